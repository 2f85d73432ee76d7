"""The reach of a refinement along one axis, and the values within."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Number: TypeAlias = "int | float"

_FINE: Final = 1e-4  # of a step: values are rounded by less
_SAME: Final = 1e-6  # of a step: closer values are one


@dataclass(frozen=True, slots=True)
class Reach:
    """The values of a numeric axis between which something better is looked for.

    Attributes
    ----------
    low, best, high
        The best value, and its neighbours; those beyond the ends of the axis are as far as the other neighbour.
    beyond_low, beyond_high
        Whether the neighbour is beyond an end.
    is_geometric
        Whether steps are factors.
    recorded
        All values that the axis has.
    """

    low: Number
    best: Number
    high: Number
    beyond_low: bool = False
    beyond_high: bool = False
    is_geometric: bool = False
    recorded: tuple[Number, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether values are whole numbers."""
        return all(isinstance(value, int) for value in self.recorded)


def is_geometric(values: Sequence[Number]) -> bool:
    """Whether the steps of sorted values are more alike as factors than as differences."""
    if len(values) < 2 or values[0] <= 0:
        return False
    if len(values) == 2:
        return values[1] / values[0] >= 10
    steps = np.diff(np.asarray(values, dtype=np.float64))
    factors = np.diff(np.log(np.asarray(values, dtype=np.float64)))
    return float(np.std(factors) / np.mean(factors)) < float(np.std(steps) / np.mean(steps))


def finer_values(reach: Reach, factor: int) -> list[Number]:
    """The best value and *factor* - 1 more to each neighbour; one beyond the axis is among them.

    A value that is recorded is given exactly as it is recorded. Whole numbers stay whole, and values stay on the side
    of zero where all recorded ones are.
    """
    forth, back = (math.log, math.exp) if reach.is_geometric else (float, float)
    centre = forth(reach.best)
    found: list[Number] = [reach.best]
    for neighbour, is_beyond in ((reach.low, reach.beyond_low), (reach.high, reach.beyond_high)):
        step = (forth(neighbour) - centre) / factor
        for k in range(1, factor + is_beyond):
            value, before = back(centre + k * step), back(centre + (k - 1) * step)
            found.append(_settled(value, abs(value - before), reach))
    inside = [
        value
        for value in found
        if (value > reach.low or reach.beyond_low) and (value < reach.high or reach.beyond_high)
        if _keeps_sign(value, reach.recorded)
    ]
    return sorted(set(inside))


def _settled(value: float, step: float, reach: Reach) -> Number:
    """The recorded value that is meant, or the value with no more digits than tell it from its neighbours."""
    if reach.is_whole:
        return round(value)
    near = min(reach.recorded, key=lambda one: abs(one - value))
    if abs(near - value) <= _SAME * step or math.isclose(near, value, rel_tol=1e-11):
        return near
    if abs(value) <= _SAME * step:
        return 0.0
    n_digits = math.ceil(math.log10(abs(value) / (_FINE * step)))
    return float(f"{value:.{min(max(n_digits, 3), 17)}g}")


def _keeps_sign(value: Number, recorded: Sequence[Number]) -> bool:
    smallest, largest = min(recorded), max(recorded)
    if smallest > 0 or largest < 0:
        return value * smallest > 0
    return (smallest < 0 or value >= 0) and (largest > 0 or value <= 0)
