"""What a design may draw a parameter from: an interval, on a linear or logarithmic scale, or a list of choices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from sciflow.canonical import from_plain, plain
from sciflow.errors import SpaceError
from sciflow.space.axis import Axis, axis_named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LARGEST_INTEGER = 2**53


@dataclass(frozen=True, slots=True)
class Range:
    """An interval to draw from: ``Range(1e-4, 1e-1, scale="log")`` or ``Range(1, 8, integer=True)``.

    Parameters
    ----------
    low, high
        The ends; with ``integer`` both can be drawn.
    scale
        ``"linear"``, or ``"log"`` for equal chances at each order of magnitude.
    integer
        Whether whole numbers are drawn.
    unit
        The parameter's unit.
    """

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"
    integer: bool = False
    unit: str | None = None

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            if isinstance(end, bool | np.bool_) or not isinstance(cast("object", end), int | float | np.number):
                raise SpaceError(f"the ends of a Range are numbers, not {end!r}; for a list of choices give a list")
            if not math.isfinite(end) or (self.integer and (end != int(end) or abs(end) > _LARGEST_INTEGER)):
                raise SpaceError(f"the ends of {self} are {'whole' if self.integer else 'finite'} numbers, not {end!r}")
        if not self.low < self.high:
            raise SpaceError(f"the lower end of {self} is not below the upper one; swap them")
        if self.scale not in ("linear", "log"):
            raise SpaceError(f"the scale of a Range is 'linear' or 'log', not {self.scale!r}")
        if self.scale == "log" and self.low <= 0:
            raise SpaceError(f"{self} has no logarithm at {self.low!r}; give a lower end above 0")
        number = int if self.integer else float
        object.__setattr__(self, "low", number(self.low))
        object.__setattr__(self, "high", number(self.high))

    def __str__(self) -> str:
        return f"Range({self.low!r}, {self.high!r})"

    def place(self, unit_interval: Floats) -> Floats:
        """Numbers of [0, 1) as numbers of this range."""
        low, high = float(self.low), float(self.high) + self.integer
        if self.scale == "log":
            placed = np.exp(math.log(low) * (1 - unit_interval) + math.log(high) * unit_interval)
        else:
            placed = low * (1 - unit_interval) + high * unit_interval
        if self.integer:
            placed = np.floor(placed)
        return np.clip(placed, self.low, self.high)

    def values(self, drawn: Floats) -> list[Any]:
        """The drawn numbers as Python values."""
        return drawn.astype(np.int64).tolist() if self.integer else drawn.tolist()

    def drawn(self, value: object) -> float:
        """The number that stands for a normalized value, NaN if it cannot have been drawn."""
        if (type(value) is float or type(value) is int) and abs(value) <= self._most and float(value) == value:
            return float(value)
        return math.nan

    @property
    def _most(self) -> float:
        return max(abs(self.low), abs(self.high))

    def to_dict(self) -> dict[str, Any]:
        """The range as plain data."""
        return {"low": self.low, "high": self.high, "scale": self.scale, "integer": self.integer}


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """A list of values to draw from, all as likely."""

    axis: Axis

    @property
    def unit(self) -> str | None:
        """The parameter's unit."""
        return self.axis.unit

    def place(self, unit_interval: Floats) -> Floats:
        """Numbers of [0, 1) as positions in the list."""
        return np.minimum(np.floor(unit_interval * self.axis.n_variants), self.axis.n_variants - 1)

    def values(self, drawn: Floats) -> list[Any]:
        """The values at the drawn positions."""
        return [self.axis.value(position) for position in drawn.astype(np.int64).tolist()]

    def drawn(self, value: object) -> float:
        """The position of a normalized value, NaN if it is not in the list."""
        position = self.axis.position(value)
        return math.nan if position < 0 else float(position)

    def to_dict(self) -> dict[str, Any]:
        """The choices as plain data."""
        return {"choices": [plain(value) for value in self.axis.values]}


def parse_range(name: str, given: object) -> Range | Choices:
    """What a user gave for a parameter of a design.

    Raises
    ------
    SpaceError
        If it is neither an interval nor a list of choices, or it is not clear which.
    """
    if isinstance(given, Range):
        return given
    if not isinstance(given, tuple):
        axis = axis_named(name, given)
        if axis.parameters[0].has_default:
            raise SpaceError(f"parameter {name!r} of a design cannot declare a default; give its values and unit alone")
        return Choices(axis)
    ends = cast("tuple[Any, ...]", given)
    numbers = [end for end in ends if isinstance(end, int | float | np.number) and not isinstance(end, bool)]
    if len(ends) != 2 or len(numbers) != 2:
        raise SpaceError(
            f"parameter {name!r} was given {given!r}: write (low, high) for an interval, a list for choices"
        )
    if all(isinstance(end, int | np.integer) for end in ends):
        low, high = ends
        raise SpaceError(
            f"parameter {name!r} was given {given!r}, which may mean real or whole numbers: "
            f"write ({low}.0, {high}.0) or Range({low}, {high}, integer=True)"
        )
    return Range(*ends)


def range_from_dict(name: str, data: Mapping[str, Any]) -> Range | Choices:
    """The range or choices that ``to_dict`` wrote."""
    if "choices" in data:
        return Choices(Axis(name, [from_plain(value) for value in data["choices"]], unit=data.get("unit")))
    return Range(data["low"], data["high"], data["scale"], data["integer"], data.get("unit"))
