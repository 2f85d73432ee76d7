"""Finer values where a metric changes most between neighbours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from sciflow.analysis.grouping import group
from sciflow.analysis.refinement.around import axis_of, numbers_of, values_of
from sciflow.analysis.refinement.reach import Reach, finer_values, is_geometric
from sciflow.errors import ResultsError
from sciflow.space import Points, Product, Variant

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants
    from sciflow.space import Space, Table

_MOST_EDGES: Final = 1000  # pairs of neighbours between which a boundary is looked for
_SHARE: Final = 0.5  # of the largest change between neighbours, from which on a boundary runs there


class _Edge(NamedTuple):
    """Two neighbours along an axis, as rows of a table, and by how much the metric differs."""

    change: float
    before: int
    after: int
    name: str


def along_boundary(
    variants: Variants,
    metric: str,
    refined: Collection[str],
    over: Collection[str],
    *,
    factor: int,
    where: str | None,
) -> Space:
    """Values between those neighbours between which the metric changes most.

    Raises
    ------
    ResultsError
        It changes nowhere.
    """
    table, values = variants.table, variants.numbers(metric)
    chosen = np.ones(variants.n, dtype=np.bool_) if where is None else variants.matching(where)
    groups = group(table, over)
    means = groups.average(values, np.flatnonzero(chosen & ~np.isnan(values))).mean
    first = table.take(groups.first)
    steepest = steepest_edges(first, means, refined)
    if not steepest:
        raise ResultsError(f"{metric} does not change between variants that differ in one numeric parameter alone")
    found: dict[str, dict[str, Any]] = {}
    left_out = {*over, *(one.name for one in table.parameters if one.derived)}
    befores = first.take(np.array([edge.before for edge in steepest])).variants()
    afters = first.take(np.array([edge.after for edge in steepest])).variants()
    for one, other, edge in zip(befores, afters, steepest, strict=True):
        recorded = numbers_of(first.columns[edge.name]) or []
        ends = one[edge.name], one[edge.name], other[edge.name]
        reach = Reach(*ends, is_geometric=is_geometric(recorded), recorded=tuple(recorded))
        for value in finer_values(reach, factor):
            variant = Variant({**one.without(*left_out), edge.name: value})
            found.setdefault(variant.id, dict(variant))
    units = {one.name: one.unit for one in table.parameters if one.unit is not None and one.name not in left_out}
    repeated = [one for one in table.parameters if one.name in over]
    axes = [axis_of(one, values_of(table.columns[one.name])) for one in repeated]
    return Product(Points(found.values(), units=units), *axes)


def steepest_edges(table: Table, means: NDArray[np.float64], refined: Collection[str]) -> list[_Edge]:
    """The neighbours between which the metric changes most, the largest change first, if there are very many."""
    names: list[str] = []
    parts: list[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]] = []
    for name in refined:
        column = table.columns[name]
        if numbers_of(column) is None:
            continue
        numbers = np.array([*map(float, column.pool.tolist()), math.nan])[column.codes]
        others = group(table, [name]).of_variant
        order = np.lexsort((numbers, others))
        before, after = order[:-1], order[1:]
        with np.errstate(invalid="ignore"):  # between infinite values
            change = np.abs(means[after] - means[before])
        usable = (others[before] == others[after]) & np.isfinite(change) & (numbers[before] < numbers[after])
        names.append(name)
        parts.append((change[usable], before[usable], after[usable]))
    largest = max((float(change.max(initial=0.0)) for change, _, _ in parts), default=0.0)
    if largest == 0.0:
        return []
    edges = [
        _Edge(float(change[at]), int(before[at]), int(after[at]), name)
        for name, (change, before, after) in zip(names, parts, strict=True)
        for at in _largest(change, _SHARE * largest).tolist()
    ]
    return sorted(edges, key=lambda edge: -edge.change)[:_MOST_EDGES]


def _largest(change: NDArray[np.float64], least: float) -> NDArray[np.int64]:
    """Where the largest changes are, from *least* on; of equal ones the first."""
    steep = np.flatnonzero(change >= least)
    return steep[np.argsort(-change[steep], kind="stable")[:_MOST_EDGES]]
