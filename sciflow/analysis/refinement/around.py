"""Finer values around a variant, between its neighbours along each axis."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sciflow.analysis.refinement.reach import Reach, finer_values, is_geometric
from sciflow.canonical import identity_key
from sciflow.space import NO_DEFAULT, Axis, Product

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.refinement.reach import Number
    from sciflow.analysis.variants import Variants
    from sciflow.space import Column, Parameter, Space


def around_variant(
    variants: Variants,
    best: Mapping[str, Any],
    refined: Collection[str],
    over: Collection[str],
    *,
    factor: int,
    extend: bool,
) -> Space:
    """All combinations of finer values of the parameters *refined*; others stay, but those *over* take all values."""
    table = variants.table
    same = {
        one.name: _has_value(table.columns[one.name], best.get(one.name))
        for one in table.parameters
        if not one.derived and one.name not in over
    }
    n_different = np.zeros(table.n_rows, dtype=np.int64)
    for mask in same.values():
        n_different += ~mask
    n_numeric = sum(numbers_of(table.columns[name]) is not None for name in refined if name in best)
    axes: list[Axis] = []
    for one in table.parameters:
        column = table.columns[one.name]
        if one.derived or (one.name not in best and one.name not in over):
            continue
        if one.name in over:
            axes.append(axis_of(one, values_of(column)))
            continue
        values: list[Any] = [best[one.name]]
        if one.name in refined:
            alike = n_different - ~same[one.name] == 0
            reach = _reach(column, best[one.name], alike, n_numeric)
            if reach is not None:
                values = finer_values(_within(reach, one.name, extend=extend), factor)
        axes.append(axis_of(one, values))
    return Product(*axes)


def axis_of(parameter: Parameter, values: Iterable[Any]) -> Axis:
    """An axis of a parameter, with its unit and default."""
    default = parameter.default if parameter.has_default else NO_DEFAULT
    return Axis(parameter.name, values, unit=parameter.unit, default=default)


def _has_value(column: Column, value: object) -> NDArray[np.bool_]:
    key = identity_key(value)
    equal = [identity_key(one) == key for one in column.pool.tolist()]
    return np.array([*equal, value is None], dtype=np.bool_)[column.codes]


def values_of(column: Column, rows: NDArray[np.bool_] | None = None) -> list[Any]:
    """The different values in some rows."""
    codes = column.codes if rows is None else column.codes[rows]
    values: list[Any] = column.pool[np.unique(codes[codes >= 0])].tolist()
    # the pool of a union lists the values of each part, and so some of them more than once
    return list({identity_key(value): value for value in values}.values())


def numbers_of(column: Column, rows: NDArray[np.bool_] | None = None) -> list[Number] | None:
    """The different values in some rows, sorted; None if not all are numbers."""
    values = values_of(column, rows)
    return sorted(values) if set(map(type, values)) <= {int, float} else None


def _reach(column: Column, best: Any, alike: NDArray[np.bool_], n_numeric: int) -> Reach | None:
    """How far to look along an axis; None for one that has no neighbours."""
    everywhere = numbers_of(column)
    if everywhere is None or len(everywhere) < 2:
        return None
    # neighbours are variants that differ in this parameter alone; where variants were drawn there are none
    values = numbers_of(column, alike) or []
    geometric = is_geometric(values if len(values) > 1 else everywhere)
    if len(values) > 1:
        place = values.index(best)
        # what a condition leaves out is not the end of the axis
        low = values[place - 1] if place else max((one for one in everywhere if one < best), default=None)
        beyond = min((one for one in everywhere if one > best), default=None)
        high = values[place + 1] if place + 1 < len(values) else beyond
    else:
        low, high = _typical(best, everywhere, n_numeric, is_geometric=geometric)
    mirrored = _mirrored(best, cast("Number", high if low is None else low), is_geometric=geometric)
    return Reach(
        mirrored if low is None else low,
        best,
        mirrored if high is None else high,
        beyond_low=low is None,
        beyond_high=high is None,
        is_geometric=geometric,
        recorded=tuple(everywhere),
    )


def _mirrored(best: Number, neighbour: Number, *, is_geometric: bool) -> Number:
    return best * best / neighbour if is_geometric else 2 * best - neighbour


def _typical(
    best: Number, values: Sequence[Number], n_numeric: int, *, is_geometric: bool
) -> tuple[Number | None, Number | None]:
    """Neighbours as far as variants are from each other on average, None beyond the ends."""
    forth, back = (math.log, math.exp) if is_geometric else (float, float)
    step = (forth(values[-1]) - forth(values[0])) / len(values) ** (1 / max(1, n_numeric))
    low, high = back(forth(best) - step), back(forth(best) + step)
    kept = low if low >= values[0] else None, high if high <= values[-1] else None
    return kept if any(one is not None for one in kept) else (values[0], values[-1])


def _within(reach: Reach, name: str, *, extend: bool) -> Reach:
    """The reach as it was asked for; that the best value is at an end is told."""
    if not (reach.beyond_low or reach.beyond_high):
        return reach
    end = "lower" if reach.beyond_low else "upper"
    words = f"the best value of {name}, {reach.best:.6g}, is at the {end} end of its axis"
    what = "the suggestion goes beyond it; extend=False stays within" if extend else "better ones may lie beyond it"
    warnings.warn(f"{words}: {what}", UserWarning, stacklevel=5)
    if extend:
        return reach
    low = reach.best if reach.beyond_low else reach.low
    high = reach.best if reach.beyond_high else reach.high
    return replace(reach, low=low, high=high)
