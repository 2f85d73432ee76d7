"""Variants that differ only in some parameters, such as ``replicate``, put together and averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sciflow.canonical import identity_key
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from sciflow.space.table import Column, Table

    Floats = NDArray[np.float64]

REPLICATE: Final = "replicate"


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Variants that agree on all parameters but some.

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

    def __len__(self) -> int:
        return len(self.first)

    def incomplete(self, values: Floats) -> NDArray[np.bool_]:
        """Which groups have a member without a value."""
        return np.bincount(self.of_variant, np.isnan(values), minlength=len(self)) > 0

    def average(self, values: Floats, rows: NDArray[np.int64]) -> Averages:
        """Mean and spread over some variants of each group; NaN where there are none of it, or one of them is NaN."""
        groups, mine = self.of_variant[rows], values[rows]
        n = np.bincount(groups, minlength=len(self))
        if n.max(initial=0) <= 1:  # nothing to average; of a million variants that is worth knowing
            mean = np.full(len(self), np.nan)
            mean[groups] = mine
            return Averages(n, mean, np.full(len(self), np.nan))
        with np.errstate(invalid="ignore", divide="ignore"):  # infinite values have no spread
            mean = np.bincount(groups, mine, minlength=len(self)) / n
            # about the mean, for sums of squares lose digits
            squares = np.bincount(groups, (mine - mean[groups]) ** 2, minlength=len(self))
            sd = np.sqrt(squares / (n - 1))
        sd[n < 2] = np.nan
        return Averages(n, mean, sd)


@dataclass(frozen=True, slots=True, eq=False)
class Averages:
    """A metric of each group: how many values, their mean, and their standard deviation (NaN of a single one)."""

    n: NDArray[np.int64]
    mean: Floats
    sd: Floats

    def half_width(self, confidence: float) -> Floats:
        """Half of the confidence interval of each mean, by Student's t; NaN where there is a single value."""
        return half_width(self.sd, self.n, confidence)


def half_width(sd: Floats, n: NDArray[np.int64], confidence: float) -> Floats:
    """Half of the confidence interval of means of *n* normal values (Student, 1908); NaN for fewer than two.

    Raises
    ------
    ResultsError
        *confidence* is not between 0 and 1.
    """
    from scipy.special import stdtrit  # noqa: PLC0415  SciPy takes a while to import

    if not 0 < confidence < 1:
        raise ResultsError(f"confidence={confidence!r} is no probability; give a number between 0 and 1, such as 0.95")
    with np.errstate(invalid="ignore", divide="ignore"):
        found = stdtrit(n - 1.0, 0.5 + confidence / 2) * sd / np.sqrt(n)
    return np.where(n > 1, found, np.nan)


def group(table: Table, over: Iterable[str]) -> Groups:
    """Put variants together that differ in the parameters *over* (and in derived ones) at most."""
    left_out = set(over)
    if left_out.isdisjoint(table.columns):  # variants differ: each is a group
        each = np.arange(table.n_rows)
        return Groups(each, each, np.ones(table.n_rows, dtype=np.int64))
    kept = [known.name for known in table.parameters if known.name not in left_out and not known.derived]
    return group_by(table, kept)


def group_by(table: Table, names: Iterable[str]) -> Groups:
    """Put variants together that agree in the parameters *names*."""
    of_variant = np.zeros(table.n_rows, dtype=np.int64)
    n_groups = 1
    for name in names:
        codes = codes_by_value(table.columns[name])
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


def codes_by_value(column: Column) -> NDArray[np.int64]:
    """A code per variant, the same for values that are one value; 0 for a lack."""
    keys: dict[object, int] = {}
    places = [keys.setdefault(identity_key(value), len(keys) + 1) for value in column.pool.tolist()]
    return np.array([*places, 0], dtype=np.int64)[column.codes]


def known_parameters(over: str | Iterable[str] | None, table: Table) -> tuple[str, ...]:
    """The parameters to average over, as users give them; a sweep need not have replicates.

    Raises
    ------
    ResultsError
        One of them is no parameter.
    """
    given: Sequence[str] = () if over is None else (over,) if isinstance(over, str) else tuple(over)
    names = [parameter.name for parameter in table.parameters]
    unknown = [name for name in given if name not in names and name != REPLICATE]
    if unknown:
        raise ResultsError(f"over names {unknown[0]!r}, which is no parameter; parameters are {', '.join(names)}")
    return tuple(name for name in given if name in names)
