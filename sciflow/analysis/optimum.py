"""The best variants by one metric."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sciflow.analysis.mixture import warn_of_mixture
from sciflow.canonical import identity_key
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants
    from sciflow.space.table import Column, Table
    from sciflow.space.variant import Variant

REPLICATE = "replicate"


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Variants that agree on all parameters but some, averaged.

    Attributes
    ----------
    of_variant
        The group of each variant, numbered in the order in which they come.
    first
        The first variant of each group.
    size
        How many variants each group has.
    """

    of_variant: NDArray[np.int64]
    first: NDArray[np.int64]
    size: NDArray[np.int64]

    def means(self, values: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The mean over some variants of each group; NaN where there are none of it, or one of them is NaN."""
        n = len(self.first)
        counts = np.bincount(self.of_variant[rows], minlength=n)
        sums = np.bincount(self.of_variant[rows], values[rows], minlength=n)
        means = np.full(n, np.nan)
        np.divide(sums, counts, out=means, where=counts > 0)
        return means


def group(table: Table, over: Iterable[str]) -> Groups:
    """Put variants together that differ in the parameters *over* (and in derived ones) at most."""
    left_out = set(over)
    of_variant = np.zeros(table.n_rows, dtype=np.int64)
    n_groups = 1
    for known in table.parameters:
        if known.name in left_out or known.derived:
            continue
        codes = _codes_by_value(table.columns[known.name])
        # renumbered after each parameter, so that the numbers stay small
        keys = of_variant * (int(codes.max(initial=0)) + 1) + codes
        _, of_variant = np.unique(keys, return_inverse=True)
        n_groups = int(of_variant.max(initial=-1)) + 1
    first = np.full(n_groups, table.n_rows, dtype=np.int64)
    np.minimum.at(first, of_variant, np.arange(table.n_rows))
    order = np.argsort(first, kind="stable")
    number = np.empty(n_groups, dtype=np.int64)
    number[order] = np.arange(n_groups)
    of_variant = number[of_variant]
    return Groups(of_variant, first[order], np.bincount(of_variant, minlength=n_groups))


def _codes_by_value(column: Column) -> NDArray[np.int64]:
    """A code per variant, the same for values that are one value; 0 for a lack."""
    keys: dict[object, int] = {}
    places = [keys.setdefault(identity_key(value), len(keys) + 1) for value in column.pool.tolist()]
    return np.array([*places, 0], dtype=np.int64)[column.codes]


def find_best(
    variants: Variants,
    metric: str,
    *,
    maximize: bool,
    where: str | None,
    over: Sequence[str],
    top: int,
) -> list[Variant]:
    """The variants with the best values of *metric*, the best first; equal ones in the order of the space.

    Variants that differ only in the parameters *over* count as one: their mean is ranked, and it takes
    part only if each of them is done and has a number.

    Raises
    ------
    ResultsError
        There is no such metric or parameter, its values are not numbers, or no variant has one.
    """
    if top < 1:
        raise ResultsError(f"top={top} asks for no variant; give 1 or more")
    values = variants.numbers(metric)
    table = variants.table
    over = _known_names(over, table)
    groups = group(table, over)
    complete = np.bincount(groups.of_variant, np.isnan(values), minlength=len(groups.first)) == 0
    if not variants.space_is_known and over:
        # replicates that nobody ran are not listed: a smaller group is one that is not finished
        complete &= groups.size == groups.size.max(initial=0)
    chosen = np.ones(variants.n, dtype=np.bool_) if where is None else variants.matching(where)
    means = groups.means(values, np.flatnonzero(chosen & complete[groups.of_variant]))
    candidates = np.flatnonzero(~np.isnan(means))
    if not len(candidates):
        raise ResultsError(_nothing_to_rank(variants, metric, where, values, chosen))
    ranks = chosen & np.isin(groups.of_variant, candidates)
    warn_of_mixture(variants, f"values of {metric} that are compared", ranks, stacklevel=3)
    scores = -means[candidates] if maximize else means[candidates]
    ranked = candidates[np.argsort(scores, kind="stable")]
    best = ranked[:top]
    _tell_ties(metric, means[ranked], top)
    found = table.take(groups.first[best]).variants()
    return [variant.without(*over) for variant in found]


def _known_names(over: Sequence[str], table: Table) -> tuple[str, ...]:
    """The parameters to average over; a sweep need not have replicates."""
    names = [parameter.name for parameter in table.parameters]
    unknown = [name for name in over if name not in names and name != REPLICATE]
    if unknown:
        raise ResultsError(f"over names {unknown[0]!r}, which is no parameter; parameters are {', '.join(names)}")
    return tuple(name for name in over if name in names)


def _tell_ties(metric: str, means: NDArray[np.float64], top: int) -> None:
    """Warn if the last place that is given could as well have gone to somebody else."""
    last = means[min(top, len(means)) - 1]
    if top < len(means) and means[top] == last:
        place = "best value" if top == 1 else f"value of place {top}"
        warnings.warn(
            f"{int((means == last).sum())} variants share the {place} of {metric}, {last:.6g}; which of them is given "
            f"goes by the order of the space, and top={int(np.flatnonzero(means == last)[-1]) + 1} gives them all",
            UserWarning,
            stacklevel=4,
        )


def _nothing_to_rank(
    variants: Variants, metric: str, where: str | None, values: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> str:
    counts = ", ".join(f"{n:,} {status}" for status, n in variants.counts().items())
    if where is not None and not chosen.any():
        return f"no variant satisfies {where!r} ({counts})"
    if np.isnan(values).all():
        return f"no variant has a value of {metric!r} ({counts}); results.failures() says why variants failed"
    if where is not None and np.isnan(values[chosen]).all():
        return f"no variant that satisfies {where!r} has a value of {metric!r} ({counts})"
    return (
        f"no group of replicates has a value of {metric!r} for each of its members ({counts}); "
        "over=None ranks single variants"
    )
