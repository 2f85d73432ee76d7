"""Features: the parameters of variants as the columns of a linear model; pure.

Every parameter gives the same kinds of columns, as far as its values have them: where a number stands on a scale of
its own (the logarithm if all are positive, so that a power law is a straight line), the bend of that, and an effect of
its own for each of a few numbers or labels. A value that is no number is a label; so is the lack of a value.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.canonical import canonical_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sciflow.space.table import Column

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Labels = NDArray[np.object_]

ABSENT_LABEL: Final = ""
"""The label of a parameter that a variant lacks; no value has it."""

# how large an effect is expected to be, as a standard deviation of log seconds: what is larger is shrunk less
_TREND, _BEND, _NUMBER, _LABEL = 2.0, 0.5, 0.3, 1.0
_MOST_NUMBERS, _MOST_LABELS, _MOST_PAIRED = 8, 24, 4
_FARTHEST = 5.0  # beyond this many times the half range nothing is said but "at least as far"


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """The values of one parameter in some rows.

    Parameters
    ----------
    numbers : the distinct values as far as they are numbers, NaN for others
    labels : their labels, None for numbers
    codes : for each row, which
    """

    numbers: Floats
    labels: Labels
    codes: Codes

    @classmethod
    def of(cls, column: Column) -> Values:
        """Read a column of a table, looking at each distinct value once."""
        pool, codes = column.pool, column.codes
        if len(pool) > len(codes):  # a long axis, of which few values are here
            used, codes = np.unique(codes, return_inverse=True)
            lacking = bool(len(used)) and used[0] < 0
            pool = pool[used[1:] if lacking else used]
            codes = np.where(codes == 0, len(pool), codes - 1) if lacking else codes
        else:
            codes = np.where(codes < 0, len(pool), codes)
        listed: list[Any] = pool.tolist()
        labels: Labels = np.full(len(listed) + 1, None, dtype=object)
        labels[-1] = ABSENT_LABEL
        numbers = np.full(len(listed) + 1, np.nan)
        if set(map(type, listed)) == {float} and np.isfinite(plain := np.array(listed, dtype=np.float64)).all():
            numbers[:-1] = plain
        else:
            for place, value in enumerate(listed):
                number = _number(value)
                if number is None:
                    labels[place] = canonical_text(value)
                else:
                    numbers[place] = number
        return cls(numbers, labels, codes)

    @classmethod
    def constant(cls, value: object, n_rows: int) -> Values:
        """The same value in all rows."""
        number = _number(value)
        label = canonical_text(value) if number is None else None
        labels: Labels = np.full(1, label, dtype=object)
        return cls(np.array([np.nan if number is None else number]), labels, np.zeros(n_rows, dtype=np.int64))

    @classmethod
    def absent(cls, n_rows: int) -> Values:
        """A parameter that no row has."""
        labels: Labels = np.full(1, ABSENT_LABEL, dtype=object)
        return cls(np.full(1, np.nan), labels, np.zeros(n_rows, dtype=np.int64))


def _number(value: object) -> float | None:
    if type(value) is not int and type(value) is not float:  # a bool is no number
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers on a scale that goes from -1 to 1 over those that were seen.

    Parameters
    ----------
    is_log : whether it is logarithmic
    unit : else, the number that is neither small nor large; far beyond it the scale is logarithmic too
    middle, half : the middle, and half the length, of what was seen
    """

    is_log: bool
    unit: float
    middle: float
    half: float

    @classmethod
    def of(cls, distinct: Floats) -> Scale:
        """Choose the scale for some distinct numbers, at least two."""
        is_log = bool(distinct.min() > 0)
        unit = float(np.abs(distinct[distinct != 0]).min())
        ends = _bare(distinct[[0, -1]], is_log=is_log, unit=unit)
        half = float(ends[1] - ends[0]) / 2
        return cls(is_log, unit, float(ends.mean()), half if half > 0 else 1.0)

    def place(self, numbers: Floats) -> Floats:
        """Where numbers stand; below -1 or above 1 beyond those that were seen, NaN for NaN."""
        place = (_bare(numbers, is_log=self.is_log, unit=self.unit) - self.middle) / self.half
        return np.clip(place, -_FARTHEST, _FARTHEST)


def _bare(numbers: Floats, *, is_log: bool, unit: float) -> Floats:
    if not is_log:
        return np.arcsinh(numbers / unit)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.maximum(numbers, np.finfo(np.float64).tiny))


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """What one parameter contributes to the model.

    Parameters
    ----------
    name : the parameter
    scale : of its numbers; None where fewer than two were seen
    bends : whether the scale may bend (three numbers were seen)
    numbers, labels : those with an effect of their own
    seen_numbers : the smallest and largest number seen, NaN where there was none
    seen_labels : all labels seen
    """

    name: str
    scale: Scale | None
    bends: bool
    numbers: tuple[float, ...]
    labels: tuple[str, ...]
    seen_numbers: tuple[float, float]
    seen_labels: frozenset[str]

    @classmethod
    def of(cls, name: str, numbers: Floats, labels: Labels) -> Factor:
        """Look at what the samples have of a parameter, one number or label each."""
        there = ~np.isnan(numbers)
        distinct = np.unique(numbers[there])
        counts = Counter(labels[~there].tolist())
        one_of = len(counts) + bool(len(distinct)) > 1
        return cls(
            name=name,
            scale=Scale.of(distinct) if len(distinct) > 1 else None,
            bends=len(distinct) > 2,
            numbers=tuple(distinct.tolist()) if 2 < len(distinct) <= _MOST_NUMBERS else (),
            labels=tuple(label for label, _ in counts.most_common(_MOST_LABELS)) if one_of else (),
            seen_numbers=(float(distinct[0]), float(distinct[-1])) if len(distinct) else (math.nan, math.nan),
            seen_labels=frozenset(counts),
        )

    @property
    def expected(self) -> Floats:
        """How large the effect of each column is expected to be."""
        trend = [] if self.scale is None else [_TREND, _BEND][: 1 + self.bends]
        return np.array([*trend, *(_NUMBER for _ in self.numbers), *(_LABEL for _ in self.labels)])

    @property
    def n_single(self) -> int:
        """How many columns are for single values."""
        return len(self.numbers) + len(self.labels)

    @property
    def paired(self) -> list[int]:
        """The columns that may act together with those of another parameter: the trend, and the commonest labels."""
        first = len(self.expected) - len(self.labels)
        return [*([] if self.scale is None else [0]), *range(first, first + min(len(self.labels), _MOST_PAIRED))]

    def columns(self, numbers: Floats, labels: Labels) -> Floats:
        """The columns for some values.

        Returns
        -------
        (len(numbers), len(self.expected)) float64
        """
        parts: list[Floats] = []
        if self.scale is not None:
            place = np.nan_to_num(self.scale.place(numbers), nan=0.0)
            parts.append(place)
            if self.bends:
                size = np.abs(place)  # a parabola within what was seen, straight on beyond
                parts.append(np.where(size <= 1, size * size, 2 * size - 1) - 0.5)
        parts += [np.asarray(numbers == number, dtype=np.float64) for number in self.numbers]
        parts += [np.asarray(labels == label, dtype=np.float64) for label in self.labels]
        return np.stack(parts, axis=1) if parts else np.zeros((len(numbers), 0))

    def is_new(self, numbers: Floats, labels: Labels) -> NDArray[np.bool_]:
        """Which values nothing is known of: they were never seen, and too few others to tell how the cost varies."""
        is_number = ~np.isnan(numbers)
        if self.scale is not None:
            new_number = np.zeros(len(numbers), dtype=np.bool_)
        else:
            new_number = numbers != self.seen_numbers[0]
        if len(self.seen_labels) + (self.scale is not None) > 2:
            new_label = np.zeros(len(numbers), dtype=np.bool_)
        else:
            new_label = np.array([label not in self.seen_labels for label in labels.tolist()], dtype=np.bool_)
        return np.where(is_number, new_number, new_label)


def with_at_most(factors: Sequence[Factor], n_columns: int) -> list[Factor]:
    """The factors with so many columns, or few more: effects of single values are left out where there are most."""
    n = sum(len(factor.expected) - factor.n_single for factor in factors)
    kept: dict[str, Factor] = {}
    for factor in sorted(factors, key=lambda one: one.n_single):
        fits = n + factor.n_single <= n_columns
        kept[factor.name] = factor if fits else replace(factor, numbers=(), labels=())
        n += factor.n_single if fits else 0
    return [kept[factor.name] for factor in factors]
