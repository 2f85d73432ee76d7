"""The values of a metric that statistics are made of, and the parameters behind them."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.analysis.grouping import REPLICATE, codes_by_value
from sciflow.analysis.mixture import warn_of_mixture
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants
    from sciflow.space.table import Column, Table

MOST_LEVELS: Final = 30
N_BINS: Final = 10
ABSENT: Final = "(absent)"
"""The level of variants that lack a parameter."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The finite values of a metric.

    Attributes
    ----------
    rows : the variants that have one
    numbers : theirs
    table : their parameters
    """

    metric: str
    rows: NDArray[np.int64]
    numbers: NDArray[np.float64]
    table: Table


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A parameter as levels.

    Attributes
    ----------
    levels : its values, numbers ascending; intervals if there were too many numbers
    codes : the level of each variant of a sample
    """

    name: str
    levels: tuple[Any, ...]
    codes: NDArray[np.int64]

    @property
    def n(self) -> int:
        """The number of levels."""
        return len(self.levels)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many variants have each level."""
        return np.bincount(self.codes, minlength=self.n)


def take_sample(variants: Variants, metric: str, where: str | None, *, stacklevel: int) -> Sample:
    """The finite values of a metric; that others are left out, and that different code made them, is told by warnings.

    Raises
    ------
    ResultsError
        There is no such metric, its values are not numbers, or nobody has one.
    """
    values = variants.numbers(metric)
    chosen = np.ones(variants.n, dtype=np.bool_) if where is None else variants.matching(where)
    tell_infinite(metric, values[chosen], stacklevel=stacklevel + 1)
    rows = np.flatnonzero(chosen & np.isfinite(values))
    if not len(rows):
        counts = ", ".join(f"{n:,} {status}" for status, n in variants.counts().items())
        satisfying = "" if where is None else f" that satisfies {where!r}"
        raise ResultsError(
            f"no variant{satisfying} has a finite value of {metric!r} ({counts}); "
            "results.failures() says why variants failed"
        )
    warn_of_mixture(variants, f"values of {metric} that are compared", rows, stacklevel=stacklevel + 1)
    return Sample(metric, rows, values[rows], variants.table.take(rows))


def tell_infinite(metric: str, values: NDArray[np.float64], *, stacklevel: int) -> None:
    """Warn if infinite values are left out."""
    n = int(np.isinf(values).sum())
    if n:
        words = f"{n:,} infinite values of {metric} are left out"
        warnings.warn(words, UserWarning, stacklevel=stacklevel + 1)


def factors_of(table: Table, *, binned: bool = True) -> list[Factor]:
    """The parameters that differ between variants, except ``replicate`` and derived ones.

    Parameters
    ----------
    binned
        Numbers with many values become ten intervals with about as many variants each.
    """
    names = [known.name for known in table.parameters if known.name != REPLICATE and not known.derived]
    found = [factor_of(name, table.columns[name], binned=binned) for name in names]
    return [factor for factor in found if factor.n > 1]


def factor_of(name: str, column: Column, *, binned: bool = True) -> Factor:
    """A parameter's levels."""
    used, first, codes = np.unique(codes_by_value(column), return_index=True, return_inverse=True)
    levels: list[Any] = [
        ABSENT if code == 0 else column.pool[column.codes[at]]
        for code, at in zip(used.tolist(), first.tolist(), strict=True)
    ]
    if not all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        return Factor(name, tuple(levels), codes)
    order = sorted(range(len(levels)), key=levels.__getitem__)
    position = np.empty(len(levels), dtype=np.int64)
    position[order] = np.arange(len(levels))
    levels, codes = [levels[at] for at in order], position[codes]
    many = len(levels) > MOST_LEVELS and np.isfinite(levels[0]) and np.isfinite(levels[-1])
    return _binned(name, levels, codes) if binned and many else Factor(name, tuple(levels), codes)


def _binned(name: str, levels: list[Any], codes: NDArray[np.int64]) -> Factor:
    import pandas as pd  # noqa: PLC0415  brought already by whoever has results

    numbers = np.array(levels, dtype=np.float64)[codes]
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, N_BINS + 1)))
    used, codes = np.unique(np.searchsorted(edges[1:-1], numbers, side="left"), return_inverse=True)
    shown = _short_edges(edges).tolist()
    return Factor(name, tuple(pd.Interval(shown[at], shown[at + 1]) for at in used.tolist()), codes)


def _short_edges(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of three digits, which are read more easily, as long as they tell bins apart and stay among the values."""
    short = np.array([float(f"{edge:.3g}") for edge in edges])
    last_digit = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(edges), 1e-300))) - 2)
    if short[0] < edges[0]:
        short[0] = float(f"{short[0] + last_digit[0]:.3g}")
    if short[-1] > edges[-1]:
        short[-1] = float(f"{short[-1] - last_digit[-1]:.3g}")
    return short if (np.diff(short) > 0).all() else edges


def seeded(function: Callable[..., Any], seed: int = 0) -> dict[str, Any]:
    """The argument that makes a function of SciPy repeat itself: ``rng``, or before SciPy 1.15 ``random_state``."""
    name = "rng" if "rng" in inspect.signature(function).parameters else "random_state"
    return {name: np.random.default_rng(seed)}
