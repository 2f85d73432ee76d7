"""A task and the functions beside it, all bound: the step that planning and running read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sciflow.errors import BindingError
from sciflow.workflow.binding import Skip, Step, Value
from sciflow.workflow.condition import Condition
from sciflow.workflow.frozen import FrozenMapping
from sciflow.workflow.resolve import Scope, argument_names, bind_arguments, find_footprint
from sciflow.workflow.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sciflow.workflow.resources import Resources


def bind_step(scope: Scope, upstream: Iterable[str], *, sink: bool, resources: Resources | None) -> Step:
    """Bind a task, its condition, its fallback and its undo.

    Parameters
    ----------
    scope
        The task and the names it may use.
    upstream
        The footprints of its dependencies, joined.
    sink
        Whether nothing depends on it.
    resources
        What one run of it needs, if that was said.

    Raises
    ------
    BindingError
        For an argument that nothing can provide or that two sources provide.
    """
    task = scope.task
    upstream = frozenset(upstream)
    arguments = bind_arguments(replace(scope, task=_without_foreign_sources(task)))
    footprint = find_footprint(task, arguments, upstream, scope.parameters)
    condition = None if task.condition is None else _condition(scope, task.condition, upstream)
    fallback = task.fallback
    if not (fallback is None or isinstance(fallback, Value | Skip)):
        fallback = _beside(scope, "fallback", fallback, upstream)
    beside = [one for one in (condition, fallback) if isinstance(one, Step)]
    needed = {*footprint, *(name for one in beside for name in one.footprint)} - set(task.over)
    if task.undo is not None:  # what is undone for one variant must not be what others use
        needed |= {name for name, derived in scope.parameters.items() if not derived}
    return Step(
        task=task,
        arguments=arguments,
        sink=sink,
        footprint=tuple(name for name in scope.parameters if name in needed),
        condition=condition,
        fallback=fallback,
        undo=None if task.undo is None else _undo(scope, task.undo, {*upstream, *needed}),
        timeout_s=_timeout_s(task, resources),
        over=task.over,
    )


def _without_foreign_sources(task: Task) -> Task:
    """The task without the explicit sources that are meant for the functions beside it alone."""
    if not task.arguments:
        return task
    own, *others = [argument_names(replace(task, function=function)) for function in task.functions()]
    foreign = frozenset[str]().union(*others) - own
    given = {name: source for name, source in task.arguments.items() if name not in foreign}
    return replace(task, arguments=FrozenMapping(given))


def _condition(scope: Scope, function: Callable[..., object], upstream: Iterable[str]) -> Step:
    if isinstance(function, Condition):
        function = replace(function, optional=scope.optional)
        unknown = [name for name in function.expression.names if not scope.candidates(name)]
        if unknown and not scope.task.depends_on:
            raise BindingError(
                f"task {scope.task.name!r}: the condition '{function}' names {unknown[0]!r}, which is not known; "
                f"available are {scope.describe()}" + scope.hint(unknown[0])
            )
    return _beside(scope, "condition", function, upstream)


def _undo(scope: Scope, function: Callable[..., object], upstream: Iterable[str]) -> Step:
    task = replace(scope.task, depends_on=(*scope.task.depends_on, scope.task.name))
    return _beside(replace(scope, task=task), "undo", function, upstream)


def _beside(scope: Scope, role: str, function: Callable[..., object], upstream: Iterable[str]) -> Step:
    """The step of a function beside the task: bound by the same rules, to the same names."""
    whole = scope.task
    task = Task(
        name=whole.name,
        function=function,
        depends_on=whole.depends_on,
        outputs=whole.outputs,
        deterministic=whole.deterministic,
        over=whole.over,
    )
    try:
        taken = argument_names(task)
        given = {name: source for name, source in whole.arguments.items() if name in taken}
        task = replace(task, arguments=FrozenMapping(given))
        arguments = bind_arguments(replace(scope, task=task))
    except BindingError as error:
        raise BindingError(f"the {role} of {error}") from None
    footprint = find_footprint(task, arguments, upstream, scope.parameters)
    return Step(task, arguments, sink=False, footprint=footprint, over=whole.over)


def _timeout_s(task: Task, resources: Resources | None) -> float | None:
    limits = [task.timeout_s, None if resources is None else resources.max_runtime_s]
    return min((float(limit) for limit in limits if limit is not None), default=None)
