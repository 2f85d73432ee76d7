"""How fast a sweep settles variants of late, and how long the rest takes at that rate.

The rate is the median over ten equal slices of recent time in which anything ran; the interval reaches from the second
slowest to the second fastest slice. So neither a pause, nor a slice that is not over yet, nor a few odd variants
move it, and nothing is assumed about how durations are distributed. It says how long the rest takes if it is like
what was seen of late: of a space that gets slower toward its end it knows nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

RECENT_S: Final = 60.0
RECENT_VARIANTS: Final = 100
"""Recent is the last minute, or longer: until it holds so many variants."""

IDLE_S: Final = 5.0
"""Longer stretches in which nothing ran (the machine slept, the driver hung) do not count as time."""

_SLICES = 10
_SECOND = 1  # the place of the second slowest among the sorted slices, and of the second fastest from behind
_LEAST_VARIANTS = 10
_LEAST_STEPS = 4


@dataclass(frozen=True, slots=True)
class Rate:
    """Variants per second: the usual rate, a slow and a fast one."""

    usual: float
    slow: float
    fast: float

    def left_s(self, n: int) -> tuple[float, float, float]:
        """Seconds for *n* more variants: the usual, the least and the most (which may be infinite)."""

        def seconds(rate: float) -> float:
            return 0.0 if n == 0 else n / rate if rate else math.inf

        return seconds(self.usual), seconds(self.fast), seconds(self.slow)


def recent_rate(
    starts: ArrayLike,
    ends: ArrayLike,
    counts: ArrayLike,
    now: float,
    pauses: Sequence[tuple[float, float]] = (),
) -> Rate | None:
    """The rate at which variants were settled of late; None when it is too early to say.

    Parameters
    ----------
    starts, ends : (n,) in seconds of one clock; when work on some variants began, and when they were settled; *ends*
        ascend
    counts : (n,) how many variants these were; 0 for work that settled none
    now : the time, by the same clock
    pauses : further times that do not count, such as a closed window; disjoint, in order
    """
    began, ended, n = (np.asarray(values, np.float64) for values in (starts, ends, counts))
    settled = n > 0
    if settled.sum() < _LEAST_STEPS or n.sum() < _LEAST_VARIANTS:
        return None
    gaps = [*pauses, *_idle(began, ended)]
    began, ended, n = _active(began[settled], gaps), _active(ended[settled], gaps), n[settled]
    end = float(_active(np.array([now], np.float64), gaps)[0])
    enough = int(np.searchsorted(np.cumsum(n[::-1]), RECENT_VARIANTS))
    first = float(began.min())
    begin = max(first, min(end - RECENT_S, float(began[max(0, len(n) - 1 - enough)])))
    if end <= begin:
        return None
    edges = np.linspace(begin, end, _SLICES + 1)
    recent = ended > begin
    took = np.maximum(ended - began, 1e-6)[recent]
    done_by = np.clip((edges[:, None] - began[recent]) / took, 0.0, 1.0) @ n[recent]
    rates = np.sort(np.diff(done_by)) / (edges[1] - edges[0])
    return Rate(float(np.median(rates)), float(rates[_SECOND]), float(rates[-1 - _SECOND]))


def _idle(began: NDArray[np.float64], ended: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Stretches in which nothing ran of all that was settled later."""
    next_began = np.minimum.accumulate(began[::-1])[::-1][1:]
    return [(float(ended[k]), float(next_began[k])) for k in np.flatnonzero(next_began - ended[:-1] > IDLE_S).tolist()]


def _active(times: NDArray[np.float64], gaps: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Times by a clock that stands still in the gaps, which may overlap."""
    last = -math.inf
    result = times.copy()
    for start, stop in sorted(gaps):
        begin = max(start, last)
        if stop > begin:
            result -= np.clip(times - begin, 0.0, stop - begin)
            last = stop
    return result
