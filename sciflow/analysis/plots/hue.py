"""One more parameter in colours: categories in colours that differ, numbers in an order from dark to light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.collections import PathCollection

from sciflow.analysis.plots.style import MARKERS, OKABE_ITO, ordered_colours
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes

    from sciflow.analysis.plots.values import Column, Levels

MOST_HUES: Final = 12
_LINES: Final = ("-", "--", ":", "-.")


@dataclass(frozen=True, slots=True, eq=False)
class Hue:
    """How the entries of each level look; one look for all where nothing is shown by colour.

    Attributes
    ----------
    levels
        Of the column; None without one.
    """

    column: Column | None
    levels: Levels | None
    colours: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.colours)

    @property
    def labels(self) -> list[str]:
        """What a legend says of each."""
        return [""] if self.levels is None else self.levels.labels

    def codes(self, n: int) -> Any:
        """The level of each of *n* entries."""
        return np.zeros(n, dtype=np.int64) if self.levels is None else self.levels.codes

    def marker(self, at: int) -> str:
        """A mark that tells a level apart without its colour."""
        return MARKERS[at % len(MARKERS)]

    def line(self, at: int) -> str:
        """A kind of line that tells a level apart without its colour, once colours come again."""
        return "-" if self.levels is None or self.levels.is_numeric else _LINES[at // len(OKABE_ITO) % len(_LINES)]


def hue_of(column: Column | None) -> Hue:
    """The looks of a column's levels.

    Raises
    ------
    ResultsError
        There are more levels than can be told apart.
    """
    if column is None:
        return Hue(None, None, OKABE_ITO[:1])
    levels = column.levels
    if len(levels) > MOST_HUES:
        raise ResultsError(
            f"{column.name} has {len(levels):,} values, and at most {MOST_HUES} colours can be told apart; "
            f"select some first, such as dataset.sel({column.name}=[...]), or use {column.name} as x"
        )
    if levels.is_numeric:
        return Hue(column, levels, tuple(ordered_colours(len(levels))))
    return Hue(column, levels, tuple(OKABE_ITO[at % len(OKABE_ITO)] for at in range(len(levels))))


def add_legend(axes: Axes, hue: Hue, handles: Iterable[Any] | None = None) -> None:
    """Say which colour is which: beside the axes, where it hides nothing."""
    if hue.column is None:
        return
    shown, labels = axes.get_legend_handles_labels()
    chosen = list(shown if handles is None else handles)
    legend = axes.legend(
        chosen,
        labels if handles is None else hue.labels,
        title=hue.column.label,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        alignment="left",
    )
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):  # the points themselves may be tiny
            handle.set(sizes=[mpl.rcParams["lines.markersize"] ** 2], alpha=1.0)
