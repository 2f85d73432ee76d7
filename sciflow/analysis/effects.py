"""What each parameter does to a metric, alone and together with another."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from sciflow.analysis.sample import Factor, factors_of
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.sample import Sample

    Floats = NDArray[np.float64]

_MOST_ENTRIES: Final = 5_000_000
"""Of the matrix that an analysis of variance by regression needs."""

_MOST_PAIRS: Final = 1_000_000
"""Of values of two parameters; of so many most do not occur, and means of the others are of single variants."""


_UNBALANCED: Final = (
    "values of the other parameters do not occur equally often at each value, so means differ for their sake too; "
    "compare the adjusted ones"
)


@dataclass(frozen=True, slots=True, eq=False)
class Decomposition:
    """An analysis of variance with main effects alone.

    Attributes
    ----------
    sums : sum of squares of each factor
    residuals : what each factor is tested against: a sum of squares that is left, and its degrees of freedom. The same
        for all where they are looked at together
    method : how it was made, in words
    """

    sums: Floats
    residuals: tuple[tuple[float, int], ...]
    method: str


def main_effects(sample: Sample, *, confidence: float) -> pd.DataFrame:
    """What the metric is on average at each value of each parameter; the parameter that matters most first.

    Returns
    -------
    pandas.DataFrame
        By parameter and value (numbers with many values: intervals): ``mean``, ``ci_low`` and ``ci_high`` (by what main
        effects do not explain; NaN where nothing is left over), ``n``, ``effect`` (difference from the mean of all),
        ``adjusted`` (the mean that the additive model has where values of the others occur equally often: what to
        compare where the design is not balanced; NaN where it cannot be told),
        and of the parameter ``share`` (η²: its part of the sum of squares, in [0, 1]) and ``p_value`` (F-test).
        ``attrs`` has ``mean`` (of all), ``method`` and ``note`` (empty, or that means as such cannot be compared).

    Notes
    -----
    In a balanced design sums of squares follow from the means (Montgomery, Design and Analysis of Experiments, ch. 5);
    in others statsmodels fits them (type II). Without it, and of very many values, each parameter is looked at alone,
    in a one-way analysis of variance: what others do counts as chance then, and a parameter that is often large where
    another one is seems to do what that one does. ``attrs["method"]`` says when it is so.

    Raises
    ------
    ResultsError
        No parameter differs.
    """
    factors = _factors(factors_of(sample.table), sample.metric)
    values, n = sample.numbers, len(sample.numbers)
    grand = float(values.mean())
    total = float(((values - grand) ** 2).sum())
    found = decompose(values, factors)
    adjusted = _adjusted_means(values, factors)
    parts: dict[str, pd.DataFrame] = {}
    for factor, squares, (residual, df) in zip(factors, found.sums.tolist(), found.residuals, strict=True):
        error = residual / df if df > 0 else np.nan
        counts = factor.counts
        means = np.bincount(factor.codes, values, minlength=factor.n) / counts
        half = _quantile(confidence, df) * np.sqrt(error / counts)
        parts[factor.name] = pd.DataFrame(
            {
                "mean": means,
                "ci_low": means - half,
                "ci_high": means + half,
                "n": counts,
                "effect": means - grand,
                "adjusted": means if adjusted is None else adjusted[factor.name],
                "share": squares / total if total > 0 else 0.0,
                "p_value": _f_test(squares, factor.n - 1, residual, df, scale=total),
            },
            index=pd.Index(factor.levels, dtype=object),
        )
    ranked = sorted(parts, key=lambda name: -float(parts[name]["share"].iloc[0]))
    table = pd.concat([parts[name] for name in ranked], keys=ranked, names=["parameter", "value"])
    table.attrs = {"metric": sample.metric, "mean": grand, "n": n, "method": found.method}
    table.attrs["note"] = "" if adjusted is None else _UNBALANCED
    return table


def interactions(sample: Sample) -> pd.DataFrame:
    """How much more two parameters do together than each by itself; the strongest pair first.

    Returns
    -------
    pandas.DataFrame
        By pair: ``share`` (its part of the sum of squares beyond both main effects, in [0, 1]), ``largest`` (the
        largest difference of a mean from what main effects say), ``n_cells``, and ``p_value`` (F-test against the
        differences within cells, to which other parameters contribute; NaN where each cell has one value).
        ``attrs["method"]`` says where others mix in.

    Notes
    -----
    The means of each pair of values are compared with the best additive fit to them (two-way analysis of variance:
    Montgomery, Design and Analysis of Experiments, ch. 5).

    Pairs with a million of pairs of values and more are left out, which a warning tells.

    Raises
    ------
    ResultsError
        Fewer than two parameters differ, or all have too many values.
    """
    factors = _factors(factors_of(sample.table), sample.metric)
    if len(factors) < 2:
        raise ResultsError(f"an interaction takes two parameters; only {factors[0].name} differs between variants")
    values = sample.numbers - sample.numbers.mean()
    total = float((values**2).sum())
    rows: dict[tuple[str, str], dict[str, float]] = {}
    too_many: list[str] = []
    for one, other in itertools.combinations(factors, 2):
        if one.n * other.n > _MOST_PAIRS:
            too_many.append(f"{one.name} and {other.name}")
        else:
            rows[one.name, other.name] = _interaction(values, total, one, other)
    if too_many:
        words = f"{', '.join(too_many)} have more than {_MOST_PAIRS:,} pairs of values, which say nothing of each other"
        if not rows:
            raise ResultsError(f"no interaction can be told: {words}")
        warnings.warn(f"left out: {words}", UserWarning, stacklevel=3)
    index = pd.MultiIndex.from_tuples(list(rows), names=["parameter", "other"])
    table = pd.DataFrame(list(rows.values()), index=index)
    table = table.sort_values("share", ascending=False, kind="stable")
    table.attrs["method"] = "each pair by itself, without the other parameters" + (
        "" if is_balanced(factors) or len(factors) < 3 else ", whose effects mix in: the design is not balanced"
    )
    return table


def decompose(values: Floats, factors: Sequence[Factor]) -> Decomposition:
    """Sums of squares of main effects: from means where the design is balanced, else by regression."""
    n = len(values)
    grand = values.mean()
    alone = np.array(
        [
            float((factor.counts * (np.bincount(factor.codes, values, factor.n) / factor.counts - grand) ** 2).sum())
            for factor in factors
        ]
    )
    total = float(((values - grand) ** 2).sum())
    df = n - 1 - sum(factor.n - 1 for factor in factors)
    if is_balanced(factors):
        residual = max(0.0, total - float(alone.sum())), df
        return Decomposition(alone, (residual,) * len(factors), "balanced design: from means")
    n_columns = 1 + sum(factor.n - 1 for factor in factors)
    if find_spec("statsmodels") is None:
        why_not = 'statsmodels is not installed (pip install "sciflow[statistics]")'
    elif n * n_columns > _MOST_ENTRIES:
        why_not = "it is large"
    elif (found := _by_regression(values, factors)) is not None:
        return found
    else:
        why_not = "some parameters only differ where others do"
    within = tuple((max(0.0, total - mine), n - factor.n) for factor, mine in zip(factors, alone.tolist(), strict=True))
    method = (
        "each parameter alone, so that shares overlap and p-values do not tell parameters apart that vary together: "
        f"the design is not balanced, and {why_not}"
    )
    return Decomposition(alone, within, method)


def is_balanced(factors: Sequence[Factor]) -> bool:
    """Whether each pair of values occurs as often as the values alone make it expect, so that effects do not mix."""
    for one, other in itertools.combinations(factors, 2):
        if one.n * other.n > len(one.codes):  # some pair of values does not occur
            return False
        joint = np.bincount(one.codes * other.n + other.codes, minlength=one.n * other.n).reshape(one.n, other.n)
        if (joint * len(one.codes) != np.outer(one.counts, other.counts)).any():
            return False
    return True


def _adjusted_means(values: Floats, factors: Sequence[Factor]) -> dict[str, Floats] | None:
    """Marginal means of the additive model (Searle, Speed and Milliken, Am. Stat. 34 (1980) 216).

    None where the design is balanced, and means are these; NaN where parameters cannot be told apart, or are too many.
    """
    if is_balanced(factors):
        return None
    n_columns = 1 + sum(factor.n - 1 for factor in factors)
    coefficients = np.full(n_columns, np.nan)
    if len(values) * n_columns <= _MOST_ENTRIES:
        columns = [np.ones((len(values), 1)), *((f.codes[:, None] == np.arange(1, f.n)).astype(float) for f in factors)]
        fitted, _, rank, _ = np.linalg.lstsq(np.hstack(columns), values, rcond=None)
        coefficients = fitted if rank == n_columns else coefficients
    ends = np.cumsum([1, *(factor.n - 1 for factor in factors)])
    levels = [np.concatenate([[0.0], coefficients[i:j]]) for i, j in itertools.pairwise(ends.tolist())]
    middle = coefficients[0] + sum(float(of.mean()) for of in levels)
    return {factor.name: middle + of - of.mean() for factor, of in zip(factors, levels, strict=True)}


def _by_regression(values: Floats, factors: Sequence[Factor]) -> Decomposition | None:
    """None where the parameters cannot be told apart."""
    from statsmodels.formula.api import ols  # noqa: PLC0415  an extra
    from statsmodels.stats.anova import anova_lm  # noqa: PLC0415  an extra

    fit_of: Any = ols
    table_of: Any = anova_lm
    names = [f"x{k}" for k in range(len(factors))]
    frame = pd.DataFrame({name: factor.codes for name, factor in zip(names, factors, strict=True)}).assign(y=values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that columns depend on each other, which is asked next
        fit = fit_of("y ~ " + " + ".join(f"C({name})" for name in names), frame).fit()
    if fit.model.rank < fit.model.exog.shape[1] or fit.df_resid <= 0:
        return None
    table = table_of(fit, typ=2)
    sums = table["sum_sq"].loc[[f"C({name})" for name in names]].to_numpy()
    residual = float(table["sum_sq"].loc["Residual"]), int(table["df"].loc["Residual"])
    return Decomposition(sums, (residual,) * len(factors), "analysis of variance, type II (statsmodels)")


def _interaction(values: Floats, total: float, one: Factor, other: Factor) -> dict[str, float]:
    shape = (one.n, other.n)
    cell = one.codes * other.n + other.codes
    counts = np.bincount(cell, minlength=one.n * other.n).reshape(shape)
    sums: Any = np.bincount(cell, values, minlength=one.n * other.n).reshape(shape)  # its annotation says counts
    there = counts > 0
    means = np.divide(sums, counts, out=np.zeros(shape), where=there)
    if one.n < other.n:  # the larger side is solved for by hand, so that what is left is small
        theirs, mine, rank = _additive_fit(counts.T, sums.T)
    else:
        mine, theirs, rank = _additive_fit(counts, sums)
    beyond = np.where(there, means - (mine[:, None] + theirs), 0.0)
    squares = float((counts * beyond**2).sum())
    within = max(0.0, float((values**2).sum() - (counts * means**2).sum()))
    n_cells = int(there.sum())
    return {
        "share": squares / total if total > 0 else 0.0,
        "largest": float(beyond.flat[np.abs(beyond).argmax()]),
        "n_cells": n_cells,
        "p_value": _f_test(squares, n_cells - rank, within, len(values) - n_cells, scale=total),
    }


def _additive_fit(counts: NDArray[np.int64], sums: Floats) -> tuple[Floats, Floats, int]:
    """The best sum of a term per row and one per column to the means of cells, and how many terms are free.

    The terms of rows are put into the equations of columns (the Schur complement of the normal equations).
    """
    of_row = counts.sum(axis=1).astype(np.float64)
    left = np.diag(counts.sum(axis=0)) - counts.T @ (counts / of_row[:, None])
    wanted = sums.sum(axis=0) - counts.T @ (sums.sum(axis=1) / of_row)
    columns, _, rank, _ = np.linalg.lstsq(left, wanted, rcond=1e-10)
    rows = (sums.sum(axis=1) - counts @ columns) / of_row
    return rows, columns, len(of_row) + int(rank)


def _factors(factors: list[Factor], metric: str) -> list[Factor]:
    if not factors:
        raise ResultsError(f"no parameter differs between the variants that have a value of {metric!r}")
    return factors


def _quantile(confidence: float, df: int) -> float:
    from scipy import stats  # noqa: PLC0415  SciPy takes a while to import

    if not 0 < confidence < 1:
        raise ResultsError(f"confidence={confidence!r} is no probability; give a number between 0 and 1, such as 0.95")
    return float(stats.t.ppf(0.5 + confidence / 2, df)) if df > 0 else np.nan


def _f_test(squares: float, df: int, residual: float, residual_df: int, *, scale: float) -> float:
    """The probability of an effect as large by chance (Fisher, 1925); NaN where nothing says what chance does."""
    from scipy import stats  # noqa: PLC0415  SciPy takes a while to import

    rounding = 1e-12 * scale
    if df <= 0 or residual_df <= 0:
        return np.nan
    if residual <= rounding:  # nothing is left to chance
        return np.nan if squares <= rounding else 0.0
    return float(stats.f.sf(squares / df / (residual / residual_df), df, residual_df))
