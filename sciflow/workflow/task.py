"""One step of a workflow, as its author declared it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, cast

from sciflow.errors import OutputError, QuantityError, WorkflowError
from sciflow.quantities import parse_seconds
from sciflow.space import RESERVED_NAMES
from sciflow.workflow.binding import SKIP, Skip, Value
from sciflow.workflow.condition import Condition, parse_condition
from sciflow.workflow.frozen import FrozenMapping
from sciflow.workflow.retry import Retry

Function: TypeAlias = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Task:
    """A named function, what it depends on, and what is known of its arguments and outputs.

    Attributes
    ----------
    name
        A Python identifier.
    function
        Called once per run; its arguments are bound by name.
    depends_on
        Names of the tasks that run before.
    arguments
        Explicit sources, from argument to the name of what provides it.
    outputs
        Names of outputs that are recorded even when other tasks depend on this one.
    units
        Output name to unit, such as ``{"energy": "eV"}``.
    deterministic
        Whether replicates may share a run.
    retry
        Whether and when to try again when it raises; None is never.
    timeout_s
        The most that one attempt may take, in seconds.
    fallback
        What stands in for it when it fails: a value, a function bound by name, or `SKIP`.
    condition
        A function bound by name, whose result says whether the task runs.
    undo
        A function bound by name, that takes back what the task did when a later task fails.
    cache
        Whether its values are kept for later calls of the sweep.
    over
        Parameters along which it gathers what its dependencies returned.
    """

    name: str
    function: Callable[..., object]
    depends_on: tuple[str, ...] = ()
    arguments: FrozenMapping[str, str] = FrozenMapping()  # noqa: RUF009  it cannot change
    outputs: tuple[str, ...] = ()
    units: FrozenMapping[str, str] = FrozenMapping()  # noqa: RUF009  it cannot change
    deterministic: bool = False
    retry: Retry | None = None
    timeout_s: float | None = None
    fallback: Value | Skip | Function | None = None
    condition: Function | None = None
    undo: Function | None = None
    cache: bool = False
    over: tuple[str, ...] = ()

    def functions(self) -> tuple[Function, ...]:
        """The task's function, and those of its condition, fallback and undo that it has, in this order."""
        fallback = None if isinstance(self.fallback, Value | Skip) else self.fallback
        beside = (self.condition, fallback, self.undo)
        return (self.function, *(one for one in beside if one is not None))

    @property
    def critical(self) -> bool:
        """Whether its failure is the failure of the variant."""
        return self.fallback is None

    @property
    def function_name(self) -> str:
        """Qualified name of the function, without its module: a script has the same when it is imported."""
        inner = getattr(self.function, "func", self.function)  # functools.partial
        return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def make_task(
    name: str,
    function: Callable[..., object],
    depends_on: str | Iterable[str] = (),
    *,
    arguments: Mapping[str, str] | None = None,
    outputs: str | Iterable[str] = (),
    units: Mapping[str, str] | None = None,
    deterministic: bool = False,
    retry: Retry | int | None = None,
    timeout: float | str | None = None,
    fallback: object = None,
    critical: bool = True,
    condition: Callable[..., object] | str | None = None,
    undo: Callable[..., object] | None = None,
    cache: bool = False,
    over: str | Iterable[str] = (),
) -> Task:
    """Check what can be checked of one task alone, and return it as a value.

    Raises
    ------
    WorkflowError
        For a name that is no identifier, something that cannot be called, or a value of the wrong type.
    OutputError
        For an output name that is reserved, empty or declared twice.
    """
    if not isinstance(name, str) or not name.isidentifier():  # pyright: ignore[reportUnnecessaryIsInstance]  # users
        raise WorkflowError(
            f"task name {name!r} is no Python identifier; use letters, digits and underscores, such as 'train_model'"
        )
    task = Task(
        name=name,
        function=_function(name, "", function),
        depends_on=_names(name, "depends_on", depends_on),
        arguments=_texts(name, "arguments", arguments),
        outputs=_names(name, "outputs", outputs),
        units=_texts(name, "units", units),
        deterministic=deterministic,
        retry=_retry(name, retry),
        timeout_s=_timeout_s(name, timeout),
        fallback=_fallback(name, fallback, critical=_flag(name, "critical", critical)),
        condition=_condition(name, condition),
        undo=None if undo is None else _function(name, "undo", undo),
        cache=_flag(name, "cache", cache),
        over=_names(name, "over", over),
    )
    for output in (*task.outputs, *task.units):
        check_output_name(name, output)
    _check_fallback(task)
    _check_reduction(task)
    return task


def _function(task: str, role: str, given: object) -> Function:
    """What is called for a task, or in the *role* of its condition, fallback or undo."""
    whose = f"task {task!r}" + (f": {role}" if role else "")
    if not callable(given):
        raise WorkflowError(f"{whose} needs a function, not {given!r}")
    inner = given
    while isinstance(inner, partial):
        inner = cast("partial[object]", inner).func
    called = inner if inspect.isroutine(inner) or inspect.isclass(inner) else type(inner).__call__
    name = getattr(inner, "__name__", type(inner).__name__)
    if inspect.iscoroutinefunction(called):
        raise WorkflowError(
            f"{whose}: {name} is a coroutine function, which only starts when awaited; pass a function that runs it, "
            f"such as def run(...): return asyncio.run({name}(...))"
        )
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise WorkflowError(
            f"{whose}: {name} is a generator function, which returns before it ran (it has a yield); return all "
            "values at once, such as list(...) or an array"
        )
    return given


def _retry(task: str, given: object) -> Retry | None:
    if given is None or isinstance(given, Retry):
        return given
    if isinstance(given, bool) or not isinstance(given, int):
        raise WorkflowError(f"task {task!r}: retry is a sciflow.Retry or a number of attempts, not {given!r}")
    try:
        return Retry(attempts=given)
    except WorkflowError as error:
        raise WorkflowError(f"task {task!r}: {error}") from None


def _timeout_s(task: str, given: float | str | None) -> float | None:
    if given is None:
        return None
    try:
        timeout_s = float(parse_seconds(given))
    except QuantityError as error:
        raise WorkflowError(f"task {task!r}: timeout: {error}") from None
    if timeout_s == 0:
        raise WorkflowError(f"task {task!r}: a timeout of 0 s lets nothing run; leave it out for no limit")
    return timeout_s


def _fallback(task: str, given: object, *, critical: bool) -> Value | Skip | Function | None:
    if not critical and given is not None and given is not SKIP:
        raise WorkflowError(
            f"task {task!r} has a fallback and critical=False, which is to skip what depends on it; choose one"
        )
    if not critical:
        return SKIP
    if given is None or isinstance(given, Value | Skip):
        return given
    return _function(task, "fallback", given) if callable(given) else Value(given)


def _condition(task: str, given: object) -> Function | None:
    if given is None or isinstance(given, Condition):
        return given
    if isinstance(given, str):
        return parse_condition(task, given)
    if not callable(given):
        raise WorkflowError(f"task {task!r}: condition is a function or a text such as 'size > 8', not {given!r}")
    return _function(task, "condition", given)


def _flag(task: str, what: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise WorkflowError(f"task {task!r}: {what} is True or False, not {given!r}")
    return given


def _check_fallback(task: Task) -> None:
    """A value that stands in has the outputs that are recorded of the task."""
    if not isinstance(task.fallback, Value):
        return
    value = task.fallback.value
    named = cast("Mapping[object, object]", value) if isinstance(value, Mapping) else {task.name: value}
    for output in named:
        if not isinstance(output, str):
            raise OutputError(f"task {task.name!r}: the fallback names its outputs by texts, not {output!r}")
        check_output_name(task.name, output)
    missing = [output for output in task.outputs if output not in named]
    if missing:
        raise OutputError(
            f"task {task.name!r} declares the output {missing[0]!r}, which its fallback {value!r} lacks; give a "
            f"mapping with {', '.join(map(repr, task.outputs))}"
        )


def _check_reduction(task: Task) -> None:
    if not task.over:
        return
    if not task.depends_on:
        raise WorkflowError(
            f"task {task.name!r} is a reduction over {', '.join(task.over)} of what other tasks returned; name those "
            "in depends_on"
        )
    for what, given in (("a condition", task.condition), ("an undo", task.undo)):
        if given is not None:
            raise WorkflowError(
                f"task {task.name!r} is a reduction over {', '.join(task.over)} and cannot have {what}: it belongs to "
                "many variants; give it to a task before"
            )


def check_output_name(task: str, output: str) -> None:
    """Raise OutputError when *output* cannot be the name of a result variable."""
    if output in RESERVED_NAMES:
        raise OutputError(
            f"task {task!r} cannot have an output named {output!r}: reserved are {', '.join(sorted(RESERVED_NAMES))}; "
            "rename it"
        )
    if not output or "/" in output:
        raise OutputError(f"task {task!r}: an output name must be non-empty and without '/', not {output!r}")


def _names(task: str, what: str, given: str | Iterable[str]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)  # pyright: ignore[reportUnnecessaryIsInstance]  # users
    for name in names:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            raise WorkflowError(f"task {task!r}: {what} lists names as text, not {name!r}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        error = OutputError if what == "outputs" else WorkflowError
        raise error(f"task {task!r}: {what} lists {repeated} more than once; keep one of each")
    return names


def _texts(task: str, what: str, given: Mapping[str, str] | None) -> FrozenMapping[str, str]:
    items = {} if given is None else given
    if not isinstance(items, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise WorkflowError(f"task {task!r}: {what} must be a mapping from name to text, not {given!r}")
    for key, value in items.items():
        if not isinstance(key, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # same
            raise WorkflowError(f"task {task!r}: {what} maps names to texts, not {key!r} to {value!r}")
    return FrozenMapping(items)
