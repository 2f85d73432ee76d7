"""Metrics in a few numbers each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from sciflow.analysis.grouping import Groups, group_by, half_width
from sciflow.analysis.mixture import warn_of_mixture
from sciflow.analysis.sample import factor_of, seeded, tell_infinite
from sciflow.analysis.variants import unknown_parameter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants

    Floats = NDArray[np.float64]

_N_RESAMPLES: Final = 999
_MOST_OPERATIONS: Final = 30_000_000
"""Values that are drawn, beyond which an interval is Student's, from which the bootstrap hardly differs then."""

COLUMNS: Final = ("n", "mean", "median", "sd", "min", "q25", "q75", "max", "ci_low", "ci_high")


def summarise(
    variants: Variants,
    by: str | Sequence[str] | None,
    metrics: str | Sequence[str] | None,
    *,
    where: str | None,
    confidence: float,
) -> pd.DataFrame:
    """A row per metric, or per group and metric: count, mean, median, spread, quartiles, and an interval of the mean.

    The interval is the bootstrap's (bias-corrected and accelerated: Efron, J. Am. Stat. Assoc. 82 (1987) 171); of very
    many values, and of a great many groups, Student's. A single value has none (NaN).

    Raises
    ------
    ResultsError
        There is no such metric or parameter, or a metric is no number.
    """
    names = _metrics(variants, metrics)
    groups_of = [by] if isinstance(by, str) else list(by or ())
    known = {parameter.name: parameter for parameter in variants.table.parameters}
    for name in groups_of:
        if name not in known:
            raise unknown_parameter(name, known)
    chosen = variants.done if where is None else variants.done & variants.matching(where)
    warn_of_mixture(variants, "results that are summarised", chosen, stacklevel=3)
    rows = np.flatnonzero(chosen)
    table = variants.table.take(rows)
    groups = group_by(table, groups_of)
    if not groups_of and not len(rows):  # metrics without any value are still listed
        groups = Groups(groups.of_variant, np.zeros(1, np.int64), np.zeros(1, np.int64))
    parts: list[pd.DataFrame] = []
    for name in names:
        values = variants.numbers(name)[rows]
        tell_infinite(name, values, stacklevel=3)
        parts.append(_describe(np.where(np.isfinite(values), values, np.nan), groups, confidence))
    if not groups_of:
        return pd.concat(parts).set_axis(pd.Index(names, name="metric")) if parts else pd.DataFrame(columns=[*COLUMNS])
    factors = [factor_of(name, table.columns[name], binned=False) for name in groups_of]
    keys = [[factor.levels[code] for code in factor.codes[groups.first].tolist()] for factor in factors]
    order = sorted(range(len(groups)), key=lambda at: [int(factor.codes[groups.first[at]]) for factor in factors])
    index = [(*(key[at] for key in keys), name) for at in order for name in names]
    stacked = (
        pd.concat(parts, keys=range(len(parts))).swaplevel().loc[[(at, k) for at in order for k in range(len(parts))]]
    )
    return stacked.set_axis(pd.MultiIndex.from_tuples(index, names=[*groups_of, "metric"]))


def _metrics(variants: Variants, metrics: str | Sequence[str] | None) -> list[str]:
    if metrics is None:
        return [*variants.numeric_metrics, "runtime_s"]
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        variants.numbers(name)  # unknown ones, and texts, are told
    return names


def _describe(values: Floats, groups: Groups, confidence: float) -> pd.DataFrame:
    """One row per group."""
    keys = pd.Categorical.from_codes(groups.of_variant, categories=range(len(groups)))
    grouped: Any = pd.Series(values).groupby(keys, observed=False)
    n, sd = grouped.count().to_numpy(), grouped.std().to_numpy()
    mean = grouped.mean().to_numpy()
    low, high = mean_interval(values, groups.of_variant, len(groups), confidence)
    return pd.DataFrame(
        {
            "n": n,
            "mean": mean,
            "median": grouped.median().to_numpy(),
            "sd": sd,
            "min": grouped.min().to_numpy(),
            "q25": grouped.quantile(0.25).to_numpy(),
            "q75": grouped.quantile(0.75).to_numpy(),
            "max": grouped.max().to_numpy(),
            "ci_low": low,
            "ci_high": high,
        }
    )


def mean_interval(values: Floats, group: NDArray[np.int64], n_groups: int, confidence: float) -> tuple[Floats, Floats]:
    """Confidence interval of the mean of each group by the bootstrap; NaN where there are fewer than two values."""
    there = np.flatnonzero(np.isfinite(values))
    order = there[np.argsort(group[there], kind="stable")]
    size = np.bincount(group[there], minlength=n_groups)
    start = np.cumsum(size) - size
    low, high = np.full(n_groups, np.nan), np.full(n_groups, np.nan)
    for n in np.unique(size[size > 1]).tolist():
        members = np.flatnonzero(size == n)
        block = values[order[start[members][:, None] + np.arange(n)]]
        low[members], high[members] = _interval(block, confidence)
    return low, high


def _interval(block: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Of each row of values the interval of its mean."""
    from scipy import stats  # noqa: PLC0415  SciPy takes a while to import

    n_groups, n = block.shape
    mean, sd = block.mean(axis=1), block.std(axis=1, ddof=1)
    half = half_width(sd, np.full(n_groups, n), confidence)
    low, high = mean - half, mean + half
    varied = np.flatnonzero(np.ptp(block, axis=1) > 0)
    if len(varied) and len(varied) * n * max(n, _N_RESAMPLES) <= _MOST_OPERATIONS:
        bootstrap: Any = stats.bootstrap
        with np.errstate(invalid="ignore", divide="ignore"):
            found = bootstrap(
                (block[varied],),
                np.mean,
                axis=1,
                n_resamples=_N_RESAMPLES,
                confidence_level=confidence,
                method="BCa",
                **seeded(bootstrap),
            ).confidence_interval
        low[varied], high[varied] = found.low, found.high
    return low, high
