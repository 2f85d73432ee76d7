"""One step of a workflow, as its author declared it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sciflow.errors import OutputError, WorkflowError
from sciflow.space import RESERVED_NAMES
from sciflow.workflow.frozen import FrozenMapping


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
    """

    name: str
    function: Callable[..., object]
    depends_on: tuple[str, ...] = ()
    arguments: FrozenMapping[str, str] = FrozenMapping()  # noqa: RUF009  it cannot change
    outputs: tuple[str, ...] = ()
    units: FrozenMapping[str, str] = FrozenMapping()  # noqa: RUF009  it cannot change
    deterministic: bool = False

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
    if not callable(function):
        raise WorkflowError(f"task {name!r} needs a function, not {function!r}")
    task = Task(
        name=name,
        function=function,
        depends_on=_names(name, "depends_on", depends_on),
        arguments=_texts(name, "arguments", arguments),
        outputs=_names(name, "outputs", outputs),
        units=_texts(name, "units", units),
        deterministic=deterministic,
    )
    for output in task.outputs:
        check_output_name(name, output)
    for output in task.units:
        check_output_name(name, output)
    return task


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
