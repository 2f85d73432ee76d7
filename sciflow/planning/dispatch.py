"""Dispatch: the order in which segments of the waiting variants are sent; pure.

Order changes nothing but the end: with workers that take the next variant when they are free, a sweep takes at most the
work per worker plus its longest variant (Graham 1966), and with the longest first at most a third more than the best
order (Graham 1969). So it pays where a variant is long beside what each worker has left to do. It must not cost the
locality of shared runs: segments are cut where those end.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from sciflow.planning.rows import RowSet

    Rows = NDArray[np.int64]

MOST_SEGMENTS: Final = 256
_LOOKED_AT = 16  # variants of a segment whose seconds are predicted
_ALIKE = math.log(1.25)  # segments within this factor keep their order
_PAYS_FROM = 0.02  # of the time that is left
_DIFFERENT_FROM = 1.5


def order_of_dispatch(
    rows: RowSet, seconds_of: Callable[[Rows], NDArray[np.float64]], n_slots: int, *, block: int = 1
) -> list[RowSet]:
    """The waiting variants in segments, those with the longest variants first; one segment where it does not pay.

    Parameters
    ----------
    rows : what waits
    seconds_of : rows → predicted seconds of each
    n_slots : how many variants run at a time
    block : segments are cut at multiples of this, where shared runs end
    """
    pieces = segments(rows, block=block)
    looked_at = [piece.at(_spread(len(piece))) for piece in pieces]
    if len(pieces) < 2:
        return pieces
    seconds = seconds_of(np.concatenate(looked_at))
    by_piece = np.split(seconds, np.cumsum([len(some) for some in looked_at])[:-1])
    means = np.array([part.mean() for part in by_piece])
    total = float(sum(mean * len(piece) for mean, piece in zip(means, pieces, strict=True)))
    if not pays(total, float(seconds.max()), float(np.median(seconds)), n_slots):
        return [rows]
    return [pieces[k] for k in longest_first(means)]


def longest_first(seconds: ArrayLike) -> list[int]:
    """The places of segments in the order of their seconds per variant, longest first.

    Segments within a quarter of each other keep the order they have: neighbours share runs, and predictions are not
    better than that.
    """
    grades = np.floor(np.log(np.maximum(np.asarray(seconds, dtype=np.float64), 1e-9)) / _ALIKE)
    return np.argsort(-grades, kind="stable").tolist()


def pays(total_s: float, longest_s: float, median_s: float, n_slots: int) -> bool:
    """Whether the order can matter: variants differ, and the longest is not small beside each worker's share.

    Parameters
    ----------
    total_s : seconds of all that waits
    longest_s, median_s : of its variants
    n_slots : how many variants run at a time
    """
    if n_slots < 2 or total_s <= 0:
        return False
    at_the_end = longest_s * (1 - 1 / n_slots)
    return at_the_end >= _PAYS_FROM * total_s / n_slots and longest_s >= _DIFFERENT_FROM * median_s


def segments(rows: RowSet, most: int = MOST_SEGMENTS, *, block: int = 1) -> list[RowSet]:
    """*rows* in at most *most* parts of about the same length, cut at multiples of *block*."""
    if not len(rows):
        return []
    inner = [len(rows) * k // most for k in range(1, most)]
    at = rows.at(np.array(inner, dtype=np.int64)) // block * block
    first, past = int(rows.starts[0]), int(rows.stops[-1])
    edges: Sequence[int] = sorted({first, past, *(edge for edge in at.tolist() if first < edge < past)})
    parts = [rows.within(start, stop) for start, stop in pairwise(edges)]
    return [part for part in parts if len(part)]


def _spread(n: int) -> Rows:
    return np.unique(np.linspace(0, n - 1, min(n, _LOOKED_AT)).astype(np.int64))
