"""Variants sorted into the cells of a heatmap: what there is to draw, before any drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.analysis.plots.axes import is_logarithmic
from sciflow.analysis.plots.marks import need_values_of_parameters
from sciflow.analysis.plots.statistics import summarise
from sciflow.analysis.plots.values import Levels, combine
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.plots.values import Column, Rows

MOST_PANELS: Final = 64
MOST_TICKS: Final = 400
"""A panel with more rows or columns of cells has less than a pixel for each."""
N_BINS: Final = 40
_LEAST_BINS: Final = 8
_SPARSE: Final = 5  # so many times more cells than variants, and numbers are put into bins


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One facet.

    Attributes
    ----------
    facet
        The label of the value of each facet parameter.
    mean
        (n_y, n_x) mean of the metric, NaN where no variant has a finite value.
    n_variants, n_values, n_failed
        (n_y, n_x) how many variants fall into the cell, how many of them have a value, and how many failed.
    """

    facet: tuple[tuple[str, str], ...]
    mean: NDArray[np.float64]
    n_variants: NDArray[np.int64]
    n_values: NDArray[np.int64]
    n_failed: NDArray[np.int64]

    @property
    def is_lacking(self) -> NDArray[np.bool_]:
        """Cells of the space that have no value."""
        return (self.n_variants > 0) & (self.n_values == 0)

    @property
    def is_partial(self) -> NDArray[np.bool_]:
        """Cells of which some variants have no value."""
        return (self.n_values > 0) & (self.n_values < self.n_variants)


@dataclass(frozen=True, slots=True, eq=False)
class Panels:
    """All facets of a heatmap, on common axes.

    Attributes
    ----------
    n_columns
        How many panels stand side by side.
    x_values, y_values
        What the columns and rows of cells stand for; numbers ascend, other values keep their order.
    averaged
        Parameters that differ between variants of one cell.
    binned
        Parameters of which a cell stands for a range of values.
    n_left_out
        Variants that lack a parameter of the figure.
    """

    panels: tuple[Panel, ...]
    n_columns: int
    x_values: tuple[Any, ...]
    y_values: tuple[Any, ...]
    averaged: tuple[str, ...]
    binned: tuple[str, ...]
    n_left_out: int

    @property
    def means(self) -> NDArray[np.float64]:
        """The finite means of all panels."""
        found = np.concatenate([panel.mean.ravel() for panel in self.panels])
        return found[np.isfinite(found)]


def sort_into_cells(rows: Rows, x: Column, y: Column, value: Column, facets: Sequence[Column] = ()) -> Panels:
    """The mean of the metric in each cell of each panel.

    Raises
    ------
    ResultsError
        No variant has all parameters of the figure, or there are too many cells or panels to see.
    """
    there = need_values_of_parameters(rows, [x, y, *facets])
    across, up, binned = _gridded(x, y, rows.n)
    _refuse_crowds({x.name: across, y.name: up}, facets)
    # the facet that is named first varies along a row of panels
    backwards = list(reversed(facets))
    places, size = combine(*(facet.levels for facet in backwards), up, across)
    shape = tuple(len(facet.levels) for facet in backwards)
    grid = (math.prod(shape), len(up), len(across))
    summary = summarise(places, size, value.numbers, "none")
    n_failed = np.bincount(places[there & rows.failed], minlength=size)
    parts = [part.reshape(grid) for part in (summary.mean, summary.n_variants, summary.n, n_failed)]
    labels = [facet.levels.labels for facet in backwards]
    chosen = [np.unravel_index(k, shape) if shape else () for k in range(grid[0])]
    return Panels(
        panels=tuple(
            Panel(
                tuple((one.name, texts[at]) for one, texts, at in zip(backwards, labels, at_facets, strict=True))[::-1],
                *(part[k] for part in parts),
            )
            for k, at_facets in enumerate(chosen)
        ),
        n_columns=shape[1] if len(shape) == 2 else _row_length(grid[0]),
        x_values=across.values,
        y_values=up.values,
        averaged=rows.averaged(places, there),
        binned=binned,
        n_left_out=int((~there).sum()),
    )


def _gridded(x: Column, y: Column, n: int) -> tuple[Levels, Levels, tuple[str, ...]]:
    """The rows and columns of cells; numbers that hardly ever come twice, as in a random design, go into bins."""
    pairs = [x.levels, y.levels]
    sparse = len(pairs[0]) * len(pairs[1]) > _SPARSE * n
    binned: list[str] = []
    for at, column in enumerate((x, y)):
        if column.is_numeric and len(pairs[at]) > (N_BINS if sparse else MOST_TICKS):
            # about three variants to a cell where there are enough
            pairs[at] = bin_numbers(column.numbers, int(np.clip(np.sqrt(n / 3), _LEAST_BINS, N_BINS)))
            binned.append(column.name)
    return pairs[0], pairs[1], tuple(binned)


def bin_numbers(numbers: NDArray[np.float64], n: int = N_BINS) -> Levels:
    """Numbers sorted into bins of one width (of one ratio if they span orders), told by their middles."""
    there = np.isfinite(numbers)
    logarithmic = is_logarithmic(numbers)
    places = np.log(numbers, where=there, out=np.full(len(numbers), np.nan)) if logarithmic else numbers
    low, high = float(places[there].min()), float(places[there].max())
    codes = np.full(len(numbers), -1, dtype=np.int64)
    codes[there] = np.minimum((places[there] - low) / (high - low) * n, n - 1).astype(np.int64)
    middles = low + (np.arange(n) + 0.5) * (high - low) / n
    values = np.exp(middles) if logarithmic else middles
    return Levels(tuple(float(f"{one:.3g}") for one in values.tolist()), codes, is_numeric=True)


def _refuse_crowds(axes: dict[str, Levels], facets: Sequence[Column]) -> None:
    for name, levels in axes.items():
        if len(levels) > MOST_TICKS:
            raise ResultsError(
                f"{name} has {len(levels):,} values; a heatmap shows at most {MOST_TICKS}; "
                f"select some first, such as dataset.isel({name}=slice(0, {MOST_TICKS}))"
            )
    n_panels = math.prod(len(one.levels) for one in facets)
    if n_panels > MOST_PANELS:
        raise ResultsError(
            f"the figure would have {n_panels:,} panels, one per combination of "
            f"{', '.join(one.name for one in facets)}; "
            f"at most {MOST_PANELS} can be read, so facet by fewer parameters"
        )


def _row_length(n_panels: int) -> int:
    """Panels side by side: up to four, and full rows where that is possible."""
    return min(n_panels, 4 if n_panels <= 4 or n_panels % 4 == 0 or n_panels > 9 else 3)
