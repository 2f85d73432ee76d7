"""Reductions: tasks that gather what their dependencies returned along parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciflow.errors import WorkflowError
from sciflow.space.derived import Derived
from sciflow.space.product import Product
from sciflow.workflow.binding import FromContext, FromParameter, Step
from sciflow.workflow.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sciflow.space import Space


def check_reduction(step: Step, space: Space) -> None:
    """Check that a task can gather over what it names.

    Raises
    ------
    WorkflowError
        For something that is no parameter with values of its own, for a task that takes the context, and
        for one that needs a parameter derived from those that it gathers over.
    """
    name, over = step.task.name, step.over
    if not over:
        return
    title = f"task {name!r} is a reduction over {', '.join(over)}"
    derived = {one.name for one in space.parameters if one.derived}
    for parameter in over:
        if parameter not in space.names:
            raise WorkflowError(
                f"task {name!r} is a reduction over {parameter!r}, which is no parameter; parameters are "
                f"{', '.join(space.names) or '(none)'}" + did_you_mean(parameter, space.names)
            )
        if parameter in derived:
            raise WorkflowError(f"{title}, but {parameter!r} is derived from other parameters; name those")
    bound = [step, step.fallback] if isinstance(step.fallback, Step) else [step]
    sources = [argument.source for one in bound for argument in one.arguments]
    if FromContext() in sources:
        raise WorkflowError(
            f"{title} and takes the context, but it has no variant of its own; take the parameters it needs by name"
        )
    used = {*step.footprint, *(source.name for source in sources if isinstance(source, FromParameter))}
    changing = sorted(used & derived_along(space, over))
    if changing:
        raise WorkflowError(
            f"{title}, along which the derived parameter {changing[0]!r} may change; compute it within the tasks that "
            "need it"
        )


def derived_along(space: Space, over: Iterable[str]) -> frozenset[str]:
    """The derived parameters that may change along these parameters: what cannot be told counts."""
    along = frozenset(over)
    if not along & set(space.names):
        return frozenset()
    match space:
        case Product(parts=parts):
            return frozenset[str]().union(*(derived_along(part, along) for part in parts))
        case Derived(of=inner, rules=rules):
            found = set(derived_along(inner, along))
            for name, rule in rules.items():  # each may use those before it
                if {*along, *found} & set(rule.names):
                    found.add(name)
            return frozenset(found)
        case _:
            return frozenset(one.name for one in space.parameters if one.derived)
