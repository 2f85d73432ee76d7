"""Why something cannot be pickled: which object it is, and by which names a task reaches it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, cast

import cloudpickle

from sciflow.provenance.bytecode import all_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sciflow.space import Space

_MOST_STEPS = 30
_REMEDY = 'make it inside the task, or use Engine("inline"), which starts no processes'


def explain(work: object, error: Exception) -> str:
    """A sentence for the user: the task, the object in it that cannot be sent, and what to do."""
    definition = getattr(work, "definition", None)
    for step in getattr(definition, "steps", ()):
        unsendable = next((one for one in step.task.functions() if not _pickles(one)), None)
        if unsendable is not None:
            return f"task {step.task.name!r}: {_culprit(unsendable)} cannot be sent to worker processes; {_REMEDY}"
    space = getattr(definition, "space", None)
    if space is not None and not _pickles(space):
        return (
            f"{_culprit_of_space(space)} cannot be sent to worker processes; give values that pickle, such as names or "
            "numbers from which the task makes the object"
        )
    return f"the workflow cannot be sent to worker processes: {type(error).__name__}: {error}"


def _culprit_of_space(space: Space) -> str:
    for axis in space.axes or ():
        for value in axis.values:
            if not _pickles(value):
                return f"parameter {axis.name!r}: the value {_short(value)}, {_culprit(value)},"
    return f"the parameter space: {_culprit(space)}"


def _culprit(value: object) -> str:
    """The innermost thing that does not pickle, with the names that lead to it."""
    names: list[str] = []
    seen = {id(value)}
    for _ in range(_MOST_STEPS):
        step = next(((name, part) for name, part in _parts(value) if id(part) not in seen and not _pickles(part)), None)
        if step is None:
            break
        name, value = step
        seen.add(id(value))
        names.append(name)
    kind = type(value)
    said = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{' of '.join(reversed(names))} (a {said})" if names else f"{said} {_short(value)}"


def _pickles(value: object) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001  somebody else's __reduce__ may raise anything
        return False
    return True


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """What is pickled along with *value*, each part with a name that its author knows."""
    match value:
        case FunctionType():
            yield from _parts_of_function(value)
        case functools.partial():
            parts = cast("functools.partial[object]", value)
            yield "the function", parts.func
            yield from ((f"the argument {one!r}", given) for one, given in parts.keywords.items())
            yield from ((f"the argument at {k}", given) for k, given in enumerate(parts.args))
        case MethodType():
            yield f"the object of {value.__func__.__qualname__!r}", value.__self__
        case Mapping():
            yield from ((f"the item {key!r}", one) for key, one in cast("Mapping[object, object]", value).items())
        case list() | tuple() | set() | frozenset():
            yield from ((f"the item at {k}", one) for k, one in enumerate(cast("list[object]", value)))
        case type():
            yield from ((f"the attribute {name!r}", one) for name, one in vars(value).items() if name != "__dict__")
        case ModuleType():
            yield from ((f"the global {name!r}", one) for name, one in vars(value).items() if name != "__builtins__")
        case _:
            yield from _parts_of_object(value)


def _parts_of_function(function: FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a cell that holds nothing yet
            yield f"the variable {name!r} around it", cell.cell_contents
    for name in dict.fromkeys(name for code in all_code(function.__code__) for name in code.co_names):
        if name in function.__globals__:
            yield f"the global {name!r}", function.__globals__[name]
    yield from ((f"the default at {k}", one) for k, one in enumerate(function.__defaults__ or ()))
    yield from ((f"the default of {name!r}", one) for name, one in (function.__kwdefaults__ or {}).items())
    yield from ((f"the attribute {name!r}", one) for name, one in vars(function).items())


def _parts_of_object(value: object) -> Iterator[tuple[str, object]]:
    yield "its class", type(value)
    if is_dataclass(value):
        yield from ((f"the field {one.name!r}", getattr(value, one.name, None)) for one in fields(value))
    own: dict[str, Any] = getattr(value, "__dict__", {})
    yield from ((f"the attribute {name!r}", one) for name, one in own.items())
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if hasattr(value, name):
                yield f"the attribute {name!r}", getattr(value, name)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
