"""Places side by side for groups: one for each value of x, divided among the values of hue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sciflow.analysis.plots.axes import set_categories
from sciflow.analysis.plots.hue import hue_of
from sciflow.analysis.plots.marks import mark_failures, need_values
from sciflow.analysis.plots.style import NO_RESULT
from sciflow.analysis.plots.values import combine
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from sciflow.analysis.plots.hue import Hue
    from sciflow.analysis.plots.values import Column, Rows

MOST_SLOTS: Final = 120
_WIDTH: Final = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Groups of variants and where each stands.

    Attributes
    ----------
    groups
        The group of each entry, -1 for none: those of the first hue first.
    places
        (n_hues, n_x) the middle of each group's slot.
    width
        Of a slot.
    """

    x: Column
    hue: Hue
    groups: NDArray[np.int64]
    places: NDArray[np.float64]
    width: float

    def members(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The finite values of each group."""
        used = (self.groups >= 0) & np.isfinite(values)
        groups, chosen = self.groups[used], values[used]
        order = np.argsort(groups, kind="stable")
        ends = np.cumsum(np.bincount(groups, minlength=self.places.size))
        return np.split(chosen[order], ends[:-1])


def slots_of(rows: Rows, x: Column, y: Column, hue: Column | None) -> Slots:
    """Put variants into groups side by side.

    Raises
    ------
    ResultsError
        No variant has values, or there are more groups than can be told apart.
    """
    need_values(rows, x, y)
    hues = hue_of(hue)
    n_x = len(x.levels)
    if n_x * len(hues) > MOST_SLOTS:
        raise ResultsError(
            f"{x.name} has {n_x:,} values, which makes {n_x * len(hues):,} groups side by side; at most {MOST_SLOTS} "
            f"can be told apart: draw a line or a scatter over {x.name}, or select some values first"
        )
    levels = () if hues.levels is None else (hues.levels,)
    groups, _ = combine(*levels, x.levels)
    width = _WIDTH / len(hues)
    shifts = (np.arange(len(hues)) - (len(hues) - 1) / 2) * width
    return Slots(x, hues, groups, np.arange(n_x) + shifts[:, None], width)


def label_slots(axes: Axes, slots: Slots, y: Column) -> None:
    """Label the axes."""
    axes.xaxis.set_label_text(slots.x.label)
    axes.yaxis.set_label_text(y.label)
    set_categories(axes.xaxis, slots.x.levels)


def mark_lacks(axes: Axes, slots: Slots, rows: Rows, n: NDArray[np.int64]) -> list[str]:
    """Hatch the slots of groups without a value, cross those with failures; gives the words that explain it."""
    there = slots.groups[slots.groups >= 0]
    empty = (n == 0) & (np.bincount(there, minlength=len(n)) > 0)
    middles = slots.places.ravel()
    if empty.any():
        axes.bar(
            middles[empty],
            1.0,
            0.9 * slots.width,
            transform=axes.get_xaxis_transform(),
            facecolor=NO_RESULT,
            edgecolor="#9a9a9a",
            hatch="////",
            linewidth=0,
            zorder=1,
            gid="no result",
        )
    at = np.where(slots.groups >= 0, middles[slots.groups], np.nan)
    return mark_failures(axes, rows, at) + (["hatched: no result"] if empty.any() else [])
