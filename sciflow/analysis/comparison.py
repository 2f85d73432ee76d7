"""Two sets of variants compared, in pairs where they belong together."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from sciflow.analysis.condition import names_in
from sciflow.analysis.grouping import REPLICATE
from sciflow.analysis.mixture import warn_of_mixture
from sciflow.analysis.sample import tell_infinite
from sciflow.analysis.variants import FACTS
from sciflow.canonical import identity_key
from sciflow.errors import ResultsError
from sciflow.store.assembled import FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants

    Floats = NDArray[np.float64]

TESTS: Final = ("auto", "permutation", "t", "wilcoxon")
_COLUMNS: Final = (
    *("mean_a", "mean_b", "difference", "ci_low", "ci_high", "effect_size", "p_value", "p_adjusted", "test"),
    *("n_a", "n_b", "n_pairs"),
)
_MOST_PERMUTED: Final = 2000
_N_RESAMPLES: Final = 9999


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two sets: variants of a sweep, and what they are called."""

    name: str
    variants: Variants
    rows: NDArray[np.int64]


def compare_results(
    sweeps: tuple[Variants, Variants | None],
    names: tuple[str, str],
    conditions: tuple[str | None, str | None],
    metric: str | Sequence[str] | None,
    *,
    test: str,
    confidence: float,
) -> pd.DataFrame:
    """Compare two sweeps, or two conditions on the first one.

    Raises
    ------
    ResultsError
        Neither a second sweep nor two conditions are given, or both are.
    """
    (mine, others), (a, b) = sweeps, conditions
    if others is not None and a is None and b is None:
        called = names if names[0] != names[1] else (f"{names[0]} (this)", f"{names[1]} (other)")
        first, second = (
            Side(name, one, np.flatnonzero(one.done)) for name, one in zip(called, (mine, others), strict=True)
        )
        ignored: tuple[str, ...] = ()
    elif others is None and a is not None and b is not None:
        first, second, ignored = _conditions(mine, a, b)
    else:
        raise ResultsError(
            "compare takes the results of another sweep, or two conditions such as "
            "a=\"optimizer == 'adam'\", b=\"optimizer == 'sgd'\""
        )
    if metric is None:
        known = set(second.variants.numeric_metrics)
        wanted = [name for name in first.variants.numeric_metrics if name in known]
    else:
        wanted = [metric] if isinstance(metric, str) else list(metric)
    if not wanted:
        raise ResultsError("there is no metric that both sides have as numbers")
    return compare_sides(first, second, wanted, ignored, test=test, confidence=confidence)


def compare_sides(
    a: Side, b: Side, metrics: Sequence[str], ignored: Sequence[str], *, test: str, confidence: float
) -> pd.DataFrame:
    """A row per metric: what *a* has, what *b* has, and whether they differ.

    Variants that agree in all parameters that both sides have, besides *ignored* and ``replicate``, make a pair, and
    those of one side are averaged before. With fewer than two pairs values are compared as they are, and ``n_pairs``
    is 0; a warning tells of it where one pair is among others that have no counterpart.

    Returns
    -------
    pandas.DataFrame
        ``mean_a``, ``mean_b``, ``difference`` (a - b), ``ci_low`` and ``ci_high`` (by the test: differences that it
        does not reject; by permutations infinite where there are too few values to reject any; of tests on ranks,
        which are not about means, Student's, or Welch's if there are no pairs), ``effect_size`` (Cohen's d: of pairs
        the mean difference over its standard deviation, else over the pooled one; Cohen, Statistical Power Analysis,
        1988), ``p_value`` and ``test``, ``p_adjusted`` (for several metrics: Benjamini and Hochberg, J. R. Stat. Soc.
        B 57 (1995) 289), ``n_a`` and ``n_b`` (of the means: of pairs, settings), ``n_pairs`` (0: unpaired).

    Raises
    ------
    ResultsError
        There is no such metric or test, or one side has no value.
    """
    from scipy import stats  # noqa: PLC0415  SciPy takes a while to import

    if test not in TESTS:
        raise ResultsError(f"test {test!r} is unknown; it is one of {', '.join(TESTS)}")
    if not 0 < confidence < 1:
        raise ResultsError(f"confidence={confidence!r} is no probability; give a number between 0 and 1, such as 0.95")
    keys = _keys(a, b, ignored)
    rows = {name: _compare(name, (a, b), keys, test, confidence) for name in metrics}
    known = [name for name in rows if not math.isnan(rows[name]["p_value"])]
    adjust: Any = stats.false_discovery_control
    adjusted = dict(zip(known, adjust([rows[name]["p_value"] for name in known]), strict=True)) if known else {}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")
    table["p_adjusted"] = [adjusted.get(name, math.nan) for name in rows]
    table = pd.DataFrame(table, columns=[*_COLUMNS])
    table.attrs = {"a": a.name, "b": b.name}
    return table


def _conditions(variants: Variants, a: str, b: str) -> tuple[Side, Side, tuple[str, ...]]:
    """Two sides of one sweep, and the parameters that the conditions are about.

    Raises
    ------
    ResultsError
        A condition is not understood, or the sides share variants.
    """
    masks = [variants.matching(condition) for condition in (a, b)]
    both = int((masks[0] & masks[1]).sum())
    if both:
        raise ResultsError(
            f"{both:,} variants satisfy both {a!r} and {b!r}; conditions that exclude each other compare"
        )
    sides = [Side(name, variants, np.flatnonzero(mask)) for name, mask in zip((a, b), masks, strict=True)]
    parameters = [known.name for known in variants.table.parameters]
    everything = [*parameters, *variants.metrics, *FACTS, *FLAGS]
    named = frozenset[str]().union(*(names_in(condition, everything) or () for condition in (a, b)))
    return sides[0], sides[1], tuple(name for name in parameters if name in named)


def _keys(a: Side, b: Side, ignored: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each variant of both sides, equal for those that belong together."""
    tables = [side.variants.table for side in (a, b)]
    names = [
        known.name
        for known in tables[0].parameters
        if known.name in tables[1].columns and known.name not in {*ignored, REPLICATE} and not known.derived
    ]
    n_a, n = len(a.rows), len(a.rows) + len(b.rows)
    keys = np.zeros(n, dtype=np.int64)
    for name in names:
        places: dict[object, int] = {}
        codes = np.concatenate([_coded(table.columns[name], side.rows, places) for table, side in zip(tables, (a, b))])  # noqa: B905  two and two
        if not (codes[:n_a].any() and codes[n_a:].any()):
            continue  # a parameter that all of one side lack tells nobody apart
        _, keys = np.unique(keys * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    return keys[:n_a], keys[n_a:]


def _coded(column: Any, rows: NDArray[np.int64], places: dict[object, int]) -> NDArray[np.int64]:
    numbers = [places.setdefault(identity_key(value), len(places) + 1) for value in column.pool.tolist()]
    return np.array([*numbers, 0], dtype=np.int64)[column.codes[rows]]


def _compare(
    metric: str,
    sides: tuple[Side, Side],
    keys: tuple[NDArray[np.int64], NDArray[np.int64]],
    test: str,
    confidence: float,
) -> dict[str, Any]:
    values: list[Floats] = []
    paired: list[tuple[NDArray[np.int64], Floats]] = []
    for side, key in zip(sides, keys, strict=True):
        mine = side.variants.numbers(metric)[side.rows]
        tell_infinite(f"{metric} ({side.name})", mine, stacklevel=4)
        there = np.isfinite(mine)
        if not there.any():
            raise ResultsError(f"no variant of {side.name!r} has a finite value of {metric!r}")
        warn_of_mixture(side.variants, f"values of {metric} that are compared", side.rows[there], stacklevel=4)
        values.append(mine[there])
        found, of_value = np.unique(key[there], return_inverse=True)
        paired.append((found, np.bincount(of_value, mine[there]) / np.bincount(of_value)))
    (settings_a, means_a), (settings_b, means_b) = paired
    common, at_a, at_b = np.intersect1d(settings_a, settings_b, assume_unique=True, return_indices=True)
    n_pairs = len(common) if len(common) > 1 else 0
    x, y = (means_a[at_a], means_b[at_b]) if n_pairs else values
    n_single = len(settings_a) + len(settings_b) - 2 * len(common)
    if n_pairs and n_single:
        words = f"{n_single:,} settings of {metric} have no counterpart on the other side and are left out"
        warnings.warn(words, UserWarning, stacklevel=5)
    elif len(common) and n_single:
        words = (
            f"one setting of {metric} alone is on both sides, which is no sample of pairs: all values of one side are "
            f"compared with all of the other, though {n_single:,} settings have no counterpart there"
        )
        warnings.warn(words, UserWarning, stacklevel=5)
    difference = x - y if n_pairs else None
    name = _test_for(test, len(x) + len(y), paired=bool(n_pairs))
    if name == "permutation" and min(len(x), len(y)) > 1:
        permuted = _Permuted.of(x, y, paired=bool(n_pairs))
        (low, high), p_value = permuted.interval(confidence), permuted.p_value(0.0)
    else:
        low, high = _interval(x, y, confidence, paired=bool(n_pairs))
        p_value = _p_value(x, y, test=name, paired=bool(n_pairs))
    return {
        "mean_a": float(x.mean()),
        "mean_b": float(y.mean()),
        "difference": float(x.mean() - y.mean()) if difference is None else float(difference.mean()),
        "ci_low": low,
        "ci_high": high,
        "effect_size": _cohen(x, y, paired=bool(n_pairs)),
        "p_value": p_value,
        "test": name,
        "n_a": len(x),
        "n_b": len(y),
        "n_pairs": n_pairs,
    }


def _test_for(test: str, n: int, *, paired: bool) -> str:
    if test == "auto":
        test = "permutation" if n <= _MOST_PERMUTED else "t"
    return (
        {"permutation": "permutation", "t": "paired t", "wilcoxon": "Wilcoxon"}[test]
        if paired
        else {"permutation": "permutation", "t": "Welch", "wilcoxon": "Mann-Whitney"}[test]
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Permuted:
    """Differences of means under permutations, which a shift of one side by d changes by -d times `slopes`.

    SciPy's permutation_test has no interval; this one is of the shifts that the test does not reject (Good,
    Permutation, Parametric and Bootstrap Tests of Hypotheses, ch. 3), so that it and the p-value agree.
    """

    observed: float
    differences: Floats
    slopes: Floats
    is_exact: bool

    @classmethod
    def of(cls, x: Floats, y: Floats, *, paired: bool) -> _Permuted:
        """All permutations where they are few, else some at random."""
        n, n_x = len(x) + len(y), len(x)
        n_all = 2**n_x if paired else math.comb(n, n_x)
        if paired:
            values, moved = x - y, np.ones(n_x)
        else:
            values, moved = np.concatenate([x, y]), np.repeat([1.0, 0.0], [n_x, len(y)])
        both = np.stack([values, moved], axis=1)
        parts = [weights @ both for weights in (_signs(n_x, n_all) if paired else _choices(n, n_x, n_all))]
        differences, slopes = np.concatenate(parts).T
        return cls(float(x.mean() - y.mean()), differences, slopes, n_all <= _N_RESAMPLES)

    def p_value(self, shift: float) -> float:
        """Of the hypothesis that the means differ by *shift*, two-sided."""
        here, others = self.observed - shift, self.differences - shift * self.slopes
        rounding = 1e-12 * float(np.abs(others).max(initial=abs(here)))
        extra = 0 if self.is_exact else 1
        tails = (int((others >= here - rounding).sum()), int((others <= here + rounding).sum()))
        return min(1.0, 2 * (min(tails) + extra) / (len(others) + extra))

    def interval(self, confidence: float) -> tuple[float, float]:
        """The shifts that are not rejected; infinite where none is."""
        return self._end(-1.0, 1 - confidence), self._end(1.0, 1 - confidence)

    def _end(self, direction: float, level: float) -> float:
        scale = float(np.abs(self.differences - self.observed * self.slopes).max())
        if scale <= 1e-12 * abs(self.observed) or scale == 0:
            return self.observed  # no spread at all: the difference is certain
        reach = next((scale * 2.0**k for k in range(-4, 12) if self._rejects(direction * scale * 2.0**k, level)), None)
        if reach is None:
            return direction * math.inf
        within = 0.0
        for _ in range(50):
            middle = (within + reach) / 2
            within, reach = (within, middle) if self._rejects(direction * middle, level) else (middle, reach)
        return self.observed + direction * within

    def _rejects(self, distance: float, level: float) -> bool:
        return self.p_value(self.observed + distance) <= level


def _signs(n: int, n_all: int) -> Iterator[Floats]:
    """Weights that give a mean of differences of which some changed sign; a part of the permutations at a time."""
    if n_all <= _N_RESAMPLES:
        yield np.array(list(itertools.product((1.0, -1.0), repeat=n))) / n
        return
    random = np.random.default_rng(0)
    for size in _sizes():
        yield random.choice((1.0, -1.0), (size, n)) / n


def _choices(n: int, n_x: int, n_all: int) -> Iterator[Floats]:
    """Weights that give the difference of the means of some values and the others."""
    random = np.random.default_rng(0)
    if n_all <= _N_RESAMPLES:
        parts = iter([np.array(list(itertools.combinations(range(n), n_x)))])
    else:
        parts = (random.permuted(np.tile(np.arange(n), (size, 1)), axis=1)[:, :n_x] for size in _sizes())
    for chosen in parts:
        weights = np.full((len(chosen), n), -1 / (n - n_x))
        np.put_along_axis(weights, chosen, 1 / n_x, axis=1)
        yield weights


def _sizes() -> Iterator[int]:
    for start in range(0, _N_RESAMPLES, 500):
        yield min(500, _N_RESAMPLES - start)


def _interval(x: Floats, y: Floats, confidence: float, *, paired: bool) -> tuple[float, float]:
    from scipy import stats  # noqa: PLC0415  SciPy takes a while to import

    if min(len(x), len(y)) < 2:
        return math.nan, math.nan
    of_pairs: Any = stats.ttest_rel
    of_two: Any = stats.ttest_ind
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that hardly differ
        tested = of_pairs(x, y) if paired else of_two(x, y, equal_var=False)
        found = tested.confidence_interval(confidence)
    if math.isnan(found.low):  # no spread at all: the difference is certain
        certain = float(x.mean() - y.mean())
        return certain, certain
    return float(found.low), float(found.high)


def _cohen(x: Floats, y: Floats, *, paired: bool) -> float:
    if min(len(x), len(y)) < 2:
        return math.nan
    if paired:
        spread = float((x - y).std(ddof=1))
    else:
        n_x, n_y = len(x), len(y)
        spread = math.sqrt(((n_x - 1) * x.var(ddof=1) + (n_y - 1) * y.var(ddof=1)) / (n_x + n_y - 2))
    difference = float(x.mean() - y.mean())
    if spread <= 1e-12 * max(abs(float(x.mean())), abs(float(y.mean()))):
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return difference / spread


def _p_value(x: Floats, y: Floats, *, test: str, paired: bool) -> float:
    from scipy import stats  # noqa: PLC0415  SciPy takes a while to import

    if min(len(x), len(y)) < 2:
        return math.nan
    if np.array_equal(x, y) or (np.ptp(x) == 0 and np.ptp(y) == 0 and x[0] == y[0]):
        return 1.0
    tests: Any = stats
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that hardly differ
        if paired:
            found = tests.ttest_rel(x, y) if test == "paired t" else tests.wilcoxon(x, y)
        else:
            found = tests.ttest_ind(x, y, equal_var=False) if test == "Welch" else tests.mannwhitneyu(x, y)
    return float(found.pvalue)
