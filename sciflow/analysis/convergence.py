"""Whether there are enough replicates."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.analysis.grouping import Groups, group, half_width
from sciflow.analysis.sample import factor_of
from sciflow.analysis.variants import parameter_frame, unknown_parameter
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from sciflow.analysis.sample import Sample

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Convergence:
    """How a mean settles as replicates are added.

    Attributes
    ----------
    metric, over : of what, over which parameter
    running : a row per variant and number of values: parameters, ``n``, ``mean``, ``half_width``, ``ci_low`` and
        ``ci_high`` (Student's t; NaN for a single value)
    variants : a row per variant: parameters, ``n``, ``mean``, ``sd``, ``half_width``, and with a target ``enough``
        and ``n_needed`` (values in all, as the spread so far has it)
    target : the half-width that is wanted, None if none was named
    confidence : of the intervals
    """

    metric: str
    over: str
    running: pd.DataFrame
    variants: pd.DataFrame
    target: float | None
    confidence: float

    @property
    def enough(self) -> bool | None:
        """Whether every mean is as sure as wanted; None if no target was named."""
        return None if self.target is None else bool(self.variants["enough"].all())

    @property
    def n_needed(self) -> int | None:
        """How many values the variant that needs most should have; None if not known."""
        if self.target is None:
            return None
        needed = self.variants["n_needed"].to_numpy()
        return None if np.isnan(needed).all() else int(np.nanmax(needed))

    def __str__(self) -> str:
        n, widths = self.variants["n"].to_numpy(), self.variants["half_width"].to_numpy()
        counts = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
        head = f"{self.metric} over {self.over}: {len(n):,} means of {counts} values"
        if np.isnan(widths).all():
            return f"{head}; a single value has no interval, so add replicates"
        head += f", known to ±{np.nanmedian(widths):.3g} (median), ±{np.nanmax(widths):.3g} (worst)"
        head += f" at {self.confidence:.0%}"
        if self.target is None:
            return head
        if self.enough:
            return f"{head}; enough for ±{self.target:g}"
        lacking = int((~self.variants["enough"].to_numpy()).sum())
        needed = f"; about {self.n_needed:,} values for the widest" if self.n_needed is not None else ""
        return f"{head}; {lacking:,} are not within ±{self.target:g}{needed}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table: Any = self.variants.head(20)
        return f"<p>{html.escape(str(self))}</p>{table._repr_html_()}"


def measure_convergence(sample: Sample, over: str, *, target: float | None, confidence: float) -> Convergence:
    """The running mean of each variant over a parameter, in the order of its values.

    Raises
    ------
    ResultsError
        There is no such parameter, or the target is not above zero.
    """
    if over not in sample.table.columns:
        raise unknown_parameter(over, sample.table.columns)
    if target is not None and not target > 0:
        raise ResultsError(f"target={target!r} is the half-width that is wanted; give a number above 0")
    groups = group(sample.table, [over])
    block = _block(sample, groups, over)
    count = np.arange(1, block.shape[1] + 1)
    there = count <= groups.size[:, None]
    mean = np.nancumsum(block, axis=1) / count
    # about the first mean, for sums of squares lose digits
    shifted = block - np.nanmean(block, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = np.nancumsum(shifted**2, axis=1) - np.nancumsum(shifted, axis=1) ** 2 / count
        sd = np.sqrt(np.maximum(squares, 0.0) / (count - 1))
    half = half_width(sd, np.broadcast_to(count, block.shape), confidence)
    table = sample.table.take(groups.first)
    parameters = parameter_frame(table.only(name for name in table.columns if name != over))
    which, upto = np.nonzero(there)
    running = parameters.iloc[which].assign(
        n=count[upto],
        mean=mean[which, upto],
        half_width=half[which, upto],
        ci_low=(mean - half)[which, upto],
        ci_high=(mean + half)[which, upto],
    )
    last = np.arange(len(groups)), groups.size - 1
    final = parameters.assign(n=groups.size, mean=mean[last], sd=np.where(groups.size > 1, sd[last], np.nan))
    final["half_width"] = half[last]
    if target is not None:
        final["enough"] = final["half_width"].to_numpy() <= target
        final["n_needed"] = n_needed(final["sd"].to_numpy(), target, confidence)
    return Convergence(sample.metric, over, running, final, target, confidence)


def n_needed(sd: Floats, target: float, confidence: float) -> Floats:
    """How many values give the mean an interval of that half-width, by Student's t; NaN where the spread is not known.

    The smallest n with t(n - 1) · sd / √n ≤ target, by bisection: the left side falls as n grows.
    """
    from scipy.special import stdtrit  # noqa: PLC0415  SciPy takes a while to import

    quantile = 0.5 + confidence / 2
    low = np.full(sd.shape, 2.0)
    # as many as the widest t asks for are enough
    high = np.maximum(low, np.ceil((stdtrit(1.0, quantile) * sd / target) ** 2))
    high[np.isnan(sd)] = 2.0
    while (low < high).any():
        middle = np.floor((low + high) / 2)
        enough = stdtrit(middle - 1, quantile) * sd / np.sqrt(middle) <= target
        low, high = np.where(enough, low, np.minimum(middle + 1, high)), np.where(enough, middle, high)
    return np.where(np.isnan(sd), np.nan, low)


def _block(sample: Sample, groups: Groups, over: str) -> Floats:
    """(n_groups, most values) values in the order of the parameter, NaN at the end of groups that have fewer."""
    order = np.lexsort((factor_of(over, sample.table.columns[over], binned=False).codes, groups.of_variant))
    place = np.arange(len(order)) - np.repeat(np.cumsum(groups.size) - groups.size, groups.size)
    block = np.full((len(groups), int(groups.size.max())), np.nan)
    block[groups.of_variant[order], place] = sample.numbers[order]
    return block
