"""Where each argument of a task gets its value: names to sources, at definition and on the first variant."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter
from typing import TYPE_CHECKING, TypeVar

from sciflow.errors import BindingError
from sciflow.workflow.binding import (
    Argument,
    FromContext,
    FromOutput,
    FromParameter,
    FromTask,
    FromUpstream,
    Source,
    Step,
)
from sciflow.workflow.condition import Condition
from sciflow.workflow.spelling import did_you_mean

if TYPE_CHECKING:
    from sciflow.workflow.task import Task

CONTEXT = "context"
REPLICATE = "replicate"
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that the arguments of one task may be bound to.

    Attributes
    ----------
    parameters
        Names of the parameters of the space, in its order; the value says whether one is derived from others.
    optional
        Those of them that some variants lack, or if derived may lack.
    declared
        Declared outputs of every task of the workflow, by task.
    """

    task: Task
    parameters: Mapping[str, bool]
    optional: frozenset[str]
    declared: Mapping[str, tuple[str, ...]]

    def candidates(self, name: str) -> dict[str, Source]:
        """What bears this name, each under a spelling that ``arguments=`` understands."""
        found: dict[str, Source] = {}
        if name == CONTEXT:
            found[CONTEXT] = FromContext()
        if name in self.parameters:
            found[f"parameter:{name}"] = self.parameter(name)
        if name in self.task.depends_on:
            found[f"task:{name}"] = FromTask(name)
        for task in self.task.depends_on:
            # of a task and its own output of the same name, the whole value comes first
            if name in self.declared[task] and name != task:
                found[f"{task}.{name}"] = FromOutput(task, name)
        return found

    def parameter(self, name: str) -> FromParameter:
        """The source that this parameter is."""
        return FromParameter(name, optional=name in self.optional)

    def describe(self) -> str:
        """What is available, for the text of errors."""
        outputs = [f"{output} (of {task})" for task in self.task.depends_on for output in self.declared[task]]
        parts = [
            f"parameters {_listed(self.parameters)}",
            f"dependencies {_listed(self.task.depends_on)}",
            f"their declared outputs {_listed(outputs)}",
        ]
        return "; ".join(parts)

    def hint(self, name: str) -> str:
        """What the author may have meant by *name*: a close spelling, or a task that is no dependency."""
        if name in self.declared:
            return f"; task {name!r} exists: add it to depends_on of {self.task.name!r}"
        owners = [task for task, outputs in self.declared.items() if name in outputs]
        if owners:
            return f"; it is an output of {owners[0]!r}: add that to depends_on of {self.task.name!r}"
        known = [*self.parameters, *self.task.depends_on, CONTEXT]
        known += [output for task in self.task.depends_on for output in self.declared[task]]
        return did_you_mean(name, known)


def bind_arguments(scope: Scope) -> tuple[Argument, ...]:
    """Bind every argument of a task, in the order of the call.

    The sources in their order: ``arguments=``, ``context``, a parameter, a dependency, a declared output of
    one, a key of a mapping that one returns, the whole value of the one that nothing else uses. The last two
    are decided on the first variant, see `settle_upstream`.

    Raises
    ------
    BindingError
        For an argument that nothing can provide or that two sources provide, and for a function whose
        arguments cannot be seen.
    """
    task = scope.task
    parameters = _parameters(task)
    named = {name: one for name, one in parameters.items() if one.kind not in _VARIABLE}
    takes_any = any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())
    extra = [name for name in task.arguments if name not in named]
    if extra and not takes_any:
        raise BindingError(
            f"task {task.name!r}: arguments= names {extra[0]!r}, which {task.function_name} does not take; "
            f"its arguments are {_listed(named)}" + did_you_mean(extra[0], named)
        )
    sources = {name: _early_source(scope, name, one) for name, one in named.items()}
    sources |= {name: _explicit_source(scope, name) for name in extra}
    bound = _with_late_sources(scope, sources, named)
    arguments = [Argument(name, bound[name], keyword) for name, keyword in _call_order(scope, named, bound)]
    arguments += [Argument(name, bound[name], keyword=True) for name in extra]
    if takes_any:
        arguments += _remaining_parameters(scope, named, arguments)
    return tuple(arguments)


def find_footprint(
    task: Task, arguments: Iterable[Argument], upstream: Iterable[str], parameters: Mapping[str, bool]
) -> tuple[str, ...]:
    """Names of the parameters that the result of a task can depend on, in the order of the space.

    Parameters
    ----------
    upstream
        The footprints of its dependencies, joined.
    parameters
        Every parameter of the space; the value says whether it is derived from others.
    """
    sources = [one.source for one in arguments]
    if FromContext() in sources or _takes_any(task):
        return tuple(name for name, derived in parameters.items() if not derived)
    found = {source.name for source in sources if isinstance(source, FromParameter)} | set(upstream)
    if not task.deterministic:
        found.add(REPLICATE)
    return tuple(name for name in parameters if name in found)


def settle_upstream(step: Step, returned: Mapping[str, object]) -> Step:
    """The step with its late decisions taken, from what its dependencies returned for the first variant.

    Raises
    ------
    BindingError
        For an argument that nothing provides, or that is a key of two mappings.
    """
    late = {one.name: one.source for one in step.arguments if isinstance(one.source, FromUpstream)}
    settled: dict[str, Source] = {}
    for name, source in late.items():
        holder = _holder(step, name, source, returned)
        if holder is not None:
            settled[name] = FromOutput(holder, name)
    decided = [settled.get(one.name, one.source) for one in step.arguments]
    whole = _whole(step.task, decided)
    left = [name for name, source in late.items() if name not in settled and not source.optional]
    if left and whole is not None and not late[left[0]].named:
        settled[left.pop(0)] = FromTask(whole)
    if left:
        what = {
            task: f"a mapping with {_listed(map(str, value))}" if isinstance(value, Mapping) else type(value).__name__
            for task, value in returned.items()
            if task in step.task.depends_on
        }
        text = late[left[0]].named
        raise BindingError(
            f"task {step.task.name!r}: "
            + (f"the condition '{step.task.function}' names" if text else "nothing provides argument")
            + f" {left[0]!r}"
            + (", which is no parameter" if text else "")
            + "; its dependencies returned "
            + ", ".join(f"{task}: {value}" for task, value in what.items())
            + did_you_mean(left[0], _keys(returned, step.task.depends_on))
            + ("" if text else f"; give it a default, or say its source with arguments={{{left[0]!r}: ...}}")
        )
    return replace(
        step,
        arguments=tuple(
            replace(one, source=settled.get(one.name, one.source))
            for one in step.arguments
            if one.name in settled or one.name not in late
        ),
    )


_VARIABLE = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def argument_names(task: Task) -> frozenset[str]:
    """The names for which ``arguments=`` may say a source, as far as the function tells them."""
    parameters = _parameters(task)
    return frozenset(name for name, one in parameters.items() if one.kind not in _VARIABLE)


def _parameters(task: Task) -> Mapping[str, Parameter]:
    try:
        return inspect.signature(task.function).parameters
    except (TypeError, ValueError):
        if task.arguments:
            return {name: Parameter(name, Parameter.KEYWORD_ONLY) for name in task.arguments}
        raise BindingError(
            f"task {task.name!r}: {task.function_name} does not tell which arguments it takes (it is not written "
            "in Python); name them with arguments={'argument': 'source'}, or wrap it in a function"
        ) from None


def _takes_any(task: Task) -> bool:
    return any(one.kind is Parameter.VAR_KEYWORD for one in _parameters(task).values())


def _early_source(scope: Scope, name: str, parameter: Parameter) -> Source | None:
    """What is known before anything ran; None leaves it to what the dependencies return."""
    task = scope.task
    source = _explicit_source(scope, name) if name in task.arguments else _only(scope, name, scope.candidates(name))
    required = parameter.default is Parameter.empty
    if isinstance(source, FromParameter) and source.optional and required and not scope.parameters[source.name]:
        raise BindingError(
            f"task {task.name!r}: argument {name!r} takes the parameter {source.name!r}, which some variants lack; "
            f"give the argument a default, such as {name}=None"
        )
    return source


def _explicit_source(scope: Scope, argument: str) -> Source:
    """What ``arguments={argument: text}`` names."""
    task, text = scope.task, scope.task.arguments[argument]
    kind, colon, name = text.partition(":")
    if colon and kind in {"parameter", "task"}:
        source = scope.candidates(name).get(text)
        if source is not None:
            return source
    found = _only(scope, argument, scope.candidates(text))
    if found is not None:
        return found
    owner, dot, key = text.partition(".")
    if dot and key and owner in task.depends_on:
        return FromOutput(owner, key)
    # a key that was not declared: it can only be meant of the one dependency
    if len(task.depends_on) == 1 and text.isidentifier() and text not in scope.declared:
        return FromOutput(task.depends_on[0], text)
    raise BindingError(
        f"task {task.name!r}: argument {argument!r} is to come from {text!r}, which is not known; available are "
        f"{scope.describe()}; a key of a mapping is written 'task.key'" + scope.hint(text)
    )


def _only(scope: Scope, argument: str, candidates: Mapping[str, Source]) -> Source | None:
    if len(candidates) > 1:
        raise BindingError(
            f"task {scope.task.name!r}: argument {argument!r} could be any of {_listed(candidates)}; say which with "
            f"arguments={{{argument!r}: {next(iter(candidates))!r}}}, or rename one; available are {scope.describe()}"
        )
    return next(iter(candidates.values()), None)


def _with_late_sources(
    scope: Scope, sources: Mapping[str, Source | None], named: Mapping[str, Parameter]
) -> dict[str, Source]:
    """Leave what is still unknown to the first variant; drop arguments that stay at their default."""
    depends_on = scope.task.depends_on
    bound = {name: source for name, source in sources.items() if source is not None}
    text = isinstance(scope.task.function, Condition)
    whole = None if text else _whole(scope.task, bound.values())
    for name in (name for name, source in sources.items() if source is None):
        optional = named[name].default is not Parameter.empty
        if depends_on:
            bound[name] = FromUpstream(depends_on, None if optional else whole, optional, named=text)
            whole = whole if optional else None  # the first argument left over takes it
        elif not optional:
            raise BindingError(
                f"task {scope.task.name!r}: nothing provides argument {name!r}; available are {scope.describe()}"
                + scope.hint(name)
                + f"; give it a default, or say its source with arguments={{{name!r}: ...}}"
            )
    return bound


def _call_order(scope: Scope, named: Mapping[str, Parameter], bound: Mapping[str, Source]) -> list[tuple[str, bool]]:
    """Names of the bound arguments, and whether each must go by keyword: after a gap only that is possible."""
    order: list[tuple[str, bool]] = []
    gap: str | None = None
    for name, parameter in named.items():
        if name not in bound:
            gap = name
            continue
        if gap is not None and parameter.kind is Parameter.POSITIONAL_ONLY:
            raise BindingError(
                f"task {scope.task.name!r}: argument {name!r} goes by position, so {gap!r} before it cannot stay "
                f"unbound; give {gap!r} a source, or remove the '/' of the signature"
            )
        order.append((name, parameter.kind is Parameter.KEYWORD_ONLY or gap is not None))
        if getattr(bound[name], "optional", False):
            gap = name
    return order


def _remaining_parameters(
    scope: Scope, named: Mapping[str, Parameter], arguments: Iterable[Argument]
) -> list[Argument]:
    """What ``**kwargs`` gets: the parameters that no argument takes."""
    used = {one.source.name for one in arguments if isinstance(one.source, FromParameter)}
    used |= {one.name for one in arguments}
    used |= {name for name, one in named.items() if one.kind is not Parameter.POSITIONAL_ONLY}
    return [Argument(name, scope.parameter(name), keyword=True) for name in scope.parameters if name not in used]


def _whole(task: Task, sources: Iterable[Source]) -> str | None:
    """The one dependency that nothing else uses, whose whole value an argument left over takes."""
    used = {source.task for source in sources if isinstance(source, FromTask | FromOutput)}
    unused = [name for name in task.depends_on if name not in used]
    if task.name in unused:  # undo gets what it is to take back
        return task.name
    return unused[0] if len(unused) == 1 else None


def _holder(step: Step, name: str, source: FromUpstream, returned: Mapping[str, object]) -> str | None:
    """The one dependency whose mapping has *name* as a key."""
    holders = [task for task in source.tasks if name in _keys(returned, (task,))]
    if len(holders) > 1:
        raise BindingError(
            f"task {step.task.name!r}: argument {name!r} is a key of what {_listed(holders)} returned; say which with "
            f"arguments={{{name!r}: '{holders[0]}.{name}'}}"
        )
    return holders[0] if holders else None


def _keys(returned: Mapping[str, object], tasks: Iterable[str]) -> list[str]:
    values = (returned[task] for task in tasks if task in returned)
    return [str(key) for value in values if isinstance(value, Mapping) for key in value]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "(none)"
