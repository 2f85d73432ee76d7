"""What the options of a figure may be: each key of a type says which kind of value it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from sciflow.errors import WorkflowError

Read: TypeAlias = "Callable[[object], object]"


@dataclass(frozen=True, slots=True)
class Key:
    """One option of a type of figure.

    Attributes
    ----------
    read
        Turns what a user gave into a value that hashes; raises ValueError with what it must be.
    names
        ``"parameter"`` or ``"metric"`` if the value is the name, or the names, of such; ``"column"`` if it is
        either.
    required
        Whether a figure cannot do without.
    """

    read: Read
    names: str | None = None
    required: bool = False

    @property
    def needed(self) -> Key:
        """The same, required."""
        return replace(self, required=True)

    def names_in(self, value: object) -> tuple[str, ...]:
        """The names in a value of this key."""
        if self.names is None:
            return ()
        if isinstance(value, str):
            return (value,)
        return tuple(one if isinstance(one, str) else one[0] for one in cast("tuple[Any, ...]", value))


def _name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a name as text, not {value!r}")
    return value


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return (_name(value),)
    return tuple(map(_name, cast("Iterable[object]", value)))


def _goals(value: object) -> tuple[tuple[str, str], ...]:
    pairs = cast("Mapping[object, object]", value).items() if isinstance(value, Mapping) else None
    if pairs is None or not all(goal in {"min", "max"} for _, goal in pairs):
        raise ValueError(f'must be like {{"accuracy": "max", "runtime_s": "min"}}, not {value!r}')
    return tuple((_name(name), cast("str", goal)) for name, goal in pairs)


def _title(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text, empty for none, not {value!r}")  # noqa: TRY004  all of these are told alike
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, not {value!r}")  # noqa: TRY004  all of these are told alike
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"must be a whole number of at least 1, not {value!r}")
    return value


def one_of(*choices: str) -> Key:
    """A key whose value is one of a few words."""

    def read(value: object) -> object:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(map(repr, choices))}, not {value!r}")
        return value

    return Key(read)


PARAMETER = Key(_name, "parameter")
PARAMETERS = Key(_names, "parameter")
METRIC = Key(_name, "metric")
METRICS = Key(_names, "metric")
COLUMN = Key(_name, "column")
COLUMNS = Key(_names, "column")
GOALS = Key(_goals, "metric")
TITLE = Key(_title)
FLAG = Key(_flag)
COUNT = Key(_count)


def read_options(label: str, kind: str, keys: Mapping[str, Key], given: Mapping[str, object]) -> dict[str, object]:
    """The options of a figure, read by the keys of its type; what is None is left out.

    Parameters
    ----------
    label, kind
        The figure and its type, for the messages.

    Raises
    ------
    WorkflowError
        A key is unknown or missing, or its value is none of its kind.
    """
    read: dict[str, object] = {}
    for key, value in given.items():
        if value is None:
            continue
        try:
            read[key] = keys[key].read(value)
        except ValueError as error:
            raise WorkflowError(f"{label}: {key} {error}") from None
    needed = [key for key, one in keys.items() if one.required]
    lacking = [key for key in needed if key not in read]
    if lacking:
        raise WorkflowError(f"{label} lacks {lacking[0]!r}; a figure of type {kind!r} needs {' and '.join(needed)}")
    return read
