"""Means of groups of variants, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import numpy as np
from scipy.special import stdtrit

from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Band: TypeAlias = Literal["ci", "sd", "range", "none"]
CONFIDENCE: Final = 0.95

BAND_WORDS: Final = {
    "ci": "95 % CI of the mean",
    "sd": "± 1 standard deviation",
    "range": "minimum to maximum",
    "none": "",
}


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """Of each group the number of values, their mean, and a band around it; NaN where there is none.

    Attributes
    ----------
    n_variants
        How many entries are in the group; more than *n* if some have no value.
    """

    n: NDArray[np.int64]
    n_variants: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def has_band(self) -> bool:
        """Whether there is a band anywhere."""
        return bool(np.isfinite(self.low).any())

    @property
    def is_partial(self) -> NDArray[np.bool_]:
        """Where some of the entries have no value."""
        return (self.n > 0) & (self.n < self.n_variants)


def summarise(groups: NDArray[np.int64], n_groups: int, values: NDArray[np.float64], band: str = "ci") -> Summary:
    """Mean and band of each group.

    Parameters
    ----------
    groups
        The group of each value, -1 for none.
    band
        ``"ci"``: the 95 % confidence interval of the mean by Student's t, which takes values of a group as
        independent; ``"sd"``: one standard deviation to each side; ``"range"``: smallest to largest; ``"none"``.

    Raises
    ------
    ResultsError
        The band is another.
    """
    if band not in get_args(Band):
        raise ResultsError(f"band {band!r} is unknown; it is one of {', '.join(map(repr, get_args(Band)))}")
    there = groups >= 0
    used = there & np.isfinite(values)
    g, v = groups[used], values[used]
    n = np.bincount(g, minlength=n_groups)
    mean = _quotient(np.bincount(g, v, minlength=n_groups), n)
    n_variants = np.bincount(groups[there], minlength=n_groups)
    low, high = (np.full(n_groups, np.nan) for _ in range(2))
    several = n > 1
    if band in {"ci", "sd"}:
        # around the means, so that nothing cancels
        squares = np.bincount(g, (v - mean[g]) ** 2, minlength=n_groups)
        half = np.sqrt(_quotient(squares, n - 1))
        if band == "ci":
            half *= stdtrit(np.maximum(n - 1, 1), 0.5 + CONFIDENCE / 2) / np.sqrt(np.maximum(n, 1))
        low[several], high[several] = (mean - half)[several], (mean + half)[several]
    elif band == "range" and len(v):
        low[several], high[several] = np.inf, -np.inf
        inner = several[g]
        np.minimum.at(low, g[inner], v[inner])
        np.maximum.at(high, g[inner], v[inner])
    return Summary(n, n_variants, mean, low, high)


def _quotient(sums: NDArray[Any], n: NDArray[Any]) -> NDArray[np.float64]:
    result = np.full(len(n), np.nan)
    np.divide(sums, n, out=result, where=n > 0)
    return result
