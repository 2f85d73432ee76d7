"""Variants sorted into the cells of a heatmap: what there is to draw, before any drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from sciflow.canonical import identity_key
from sciflow.errors import ResultsError
from sciflow.space.table import objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sciflow.figures.spec import Heatmap
    from sciflow.space.table import Column, Table

Encoded: TypeAlias = "tuple[tuple[Any, ...], NDArray[np.int64]]"

MOST_PANELS: Final = 64
MOST_TICKS: Final = 400
"""A panel with more rows or columns of cells has less than a pixel for each."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One facet.

    Attributes
    ----------
    facet
        The value of each facet parameter.
    mean
        (n_y, n_x) mean of the metric, NaN where no variant has a finite value.
    n_variants, n_values
        (n_y, n_x) how many variants fall into the cell, and how many of them have a value.
    """

    facet: tuple[tuple[str, Any], ...]
    mean: NDArray[np.float64]
    n_variants: NDArray[np.int64]
    n_values: NDArray[np.int64]


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
    n_left_out
        Variants that lack a parameter of the figure.
    """

    panels: tuple[Panel, ...]
    n_columns: int
    x_values: tuple[Any, ...]
    y_values: tuple[Any, ...]
    averaged: tuple[str, ...]
    n_left_out: int


def sort_into_cells(spec: Heatmap, table: Table, values: NDArray[np.float64]) -> Panels:
    """The mean of the metric in each cell of each panel.

    Parameters
    ----------
    table
        The variants.
    values
        The metric of each, NaN where it has none.

    Raises
    ------
    ResultsError
        No variant has all parameters of the figure, or there are too many cells or panels to see.
    """
    encoded = {name: _encode(table.columns[name]) for name in spec.parameters}
    there = np.logical_and.reduce([codes >= 0 for _, codes in encoded.values()])
    if not there.any():
        raise ResultsError(f"figure {spec.name!r}: no variant has all of {', '.join(spec.parameters)}")
    _refuse_crowds(spec, encoded)
    (x_values, x), (y_values, y) = encoded[spec.x_axis], encoded[spec.y_axis]
    # the facet that is named first varies along a row of panels
    facets = [(name, *encoded[name]) for name in reversed(spec.facet_by)]
    shape = tuple(len(pool) for _, pool, _ in facets)
    panel = np.zeros(table.n_rows, dtype=np.int64)
    for _, pool, codes in facets:
        panel = panel * len(pool) + codes
    grid = (math.prod(shape), len(y_values), len(x_values))
    cells = ((panel * grid[1] + y) * grid[2] + x)[there]
    valued = np.isfinite(values[there])
    size = math.prod(grid)
    counts = np.bincount(cells, minlength=size)
    n_values = np.bincount(cells[valued], minlength=size)
    sums = np.bincount(cells[valued], values[there][valued], minlength=size)
    mean = np.full(size, np.nan)
    np.divide(sums, n_values, out=mean, where=n_values > 0)
    chosen = [np.unravel_index(k, shape) if shape else () for k in range(grid[0])]
    return Panels(
        panels=tuple(
            Panel(
                tuple((name, pool[at]) for (name, pool, _), at in zip(facets, places, strict=True))[::-1],
                *(part.reshape(grid)[k] for part in (mean, counts, n_values)),
            )
            for k, places in enumerate(chosen)
        ),
        n_columns=shape[1] if len(shape) == 2 else _row_length(grid[0]),
        x_values=x_values,
        y_values=y_values,
        averaged=tuple(
            known.name
            for known in table.parameters
            if known.name not in spec.parameters
            and not known.derived
            and _varies_within(cells, table.columns[known.name].codes[there], len(table.columns[known.name].pool))
        ),
        n_left_out=int((~there).sum()),
    )


def _refuse_crowds(spec: Heatmap, encoded: dict[str, Encoded]) -> None:
    for name in (spec.x_axis, spec.y_axis):
        if len(encoded[name][0]) > MOST_TICKS:
            raise ResultsError(
                f"figure {spec.name!r}: {name} has {len(encoded[name][0]):,} values; "
                f"a heatmap shows at most {MOST_TICKS}"
            )
    n_panels = math.prod(len(encoded[name][0]) for name in spec.facet_by)
    if n_panels > MOST_PANELS:
        raise ResultsError(
            f"figure {spec.name!r} would have {n_panels:,} panels, one per combination of {', '.join(spec.facet_by)}; "
            f"at most {MOST_PANELS} can be read, so facet by fewer parameters"
        )


def _encode(column: Column) -> Encoded:
    """The distinct values that occur, in the order of display, and for each variant which; -1 for a lack."""
    codes = column.codes
    used = np.unique(codes[codes >= 0]).tolist()
    distinct: dict[Any, Any] = {}
    for at in used:
        distinct.setdefault(identity_key(column.pool[at]), column.pool[at])
    values = list(distinct.values())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        values.sort()
    position = {identity_key(value): place for place, value in enumerate(values)}
    places = np.full(len(column.pool) + 1, -1, dtype=np.int64)
    places[used] = [position[identity_key(column.pool[at])] for at in used]
    return tuple(objects(values).tolist()), places[codes]


def _varies_within(cells: NDArray[np.int64], codes: NDArray[np.int64], n_values: int) -> bool:
    pairs = np.unique(cells * (n_values + 1) + codes + 1)
    return len(pairs) > len(np.unique(cells))


def _row_length(n_panels: int) -> int:
    """Panels side by side: up to four, and full rows where that is possible."""
    return min(n_panels, 4 if n_panels <= 4 or n_panels % 4 == 0 or n_panels > 9 else 3)


def label_values(values: Sequence[Any]) -> list[str]:
    """Short, distinct texts for the values of a parameter."""
    texts = [_label(value) for value in values]
    return texts if len(set(texts)) == len(texts) else [str(value) for value in values]


def _label(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if isinstance(value, int | str | type(None)) else _shortened(str(value))


def _shortened(text: str, width: int = 24) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
