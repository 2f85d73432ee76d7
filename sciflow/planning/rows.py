"""RowSet: a set of rows of a space as sorted, disjoint intervals, so that progress costs O(gaps), not O(variants)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class RowSet:
    """Rows ``[starts[i], stops[i])``, sorted, disjoint and not touching each other.

    Parameters
    ----------
    starts, stops : (n_intervals,) int64
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    @classmethod
    def from_intervals(cls, starts: ArrayLike, stops: ArrayLike) -> Self:
        """Unite intervals given in any order, overlapping or empty."""
        first = np.asarray(starts, np.int64)
        last = np.asarray(stops, np.int64)
        keep = last > first
        first, last = first[keep], last[keep]
        if len(first) == 0:
            return cls(first, last)
        order = np.argsort(first, kind="stable")
        first, last = first[order], np.maximum.accumulate(last[order])
        # a new interval begins where a start lies beyond everything seen before it
        cut = np.flatnonzero(first[1:] > last[:-1]) + 1
        return cls(first[np.r_[0, cut]], last[np.r_[cut - 1, len(last) - 1]])

    @classmethod
    def from_rows(cls, rows: ArrayLike) -> Self:
        """The set of the given rows, in any order, repeats allowed."""
        array = np.asarray(rows, np.int64)
        return cls.from_intervals(array, array + 1)

    @classmethod
    def span(cls, start: int, stop: int) -> Self:
        """All rows from *start* up to but not including *stop*."""
        return cls.from_intervals([start], [stop])

    @classmethod
    def empty(cls) -> Self:
        """No row at all."""
        return cls.from_intervals([], [])

    def __len__(self) -> int:
        return int((self.stops - self.starts).sum())

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts.tolist(), self.stops.tolist(), strict=True)

    def __contains__(self, row: object) -> bool:
        if not isinstance(row, int | np.integer):
            return False
        at = int(np.searchsorted(self.starts, row, side="right")) - 1
        return at >= 0 and bool(row < self.stops[at])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowSet):
            return NotImplemented
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.stops, other.stops)

    def __hash__(self) -> int:
        return hash((self.starts.tobytes(), self.stops.tobytes()))

    def __or__(self, other: RowSet) -> RowSet:
        return RowSet.from_intervals(
            np.concatenate([self.starts, other.starts]), np.concatenate([self.stops, other.stops])
        )

    def __sub__(self, other: RowSet) -> RowSet:
        """Rows of this set that are not in *other*: what lies in the gaps of *other*."""
        if len(self.starts) == 0 or len(other.starts) == 0:
            return self
        gap_starts = np.concatenate([[np.iinfo(np.int64).min], other.stops])
        gap_stops = np.concatenate([other.starts, [np.iinfo(np.int64).max]])
        # each interval meets the gaps from the one its start lies in (or next to) to the one its end lies in
        low = np.searchsorted(gap_stops, self.starts, side="right")
        high = np.searchsorted(gap_starts, self.stops, side="left")
        counts = np.maximum(high - low, 0)
        mine = np.repeat(np.arange(len(self.starts)), counts)
        gap = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
        return RowSet.from_intervals(
            np.maximum(self.starts[mine], gap_starts[gap]), np.minimum(self.stops[mine], gap_stops[gap])
        )

    def __and__(self, other: RowSet) -> RowSet:
        return self - (self - other)

    def within(self, start: int, stop: int) -> RowSet:
        """The rows in ``[start, stop)``, found without looking at the others."""
        first = int(np.searchsorted(self.stops, start, side="right"))
        past = int(np.searchsorted(self.starts, stop, side="left"))
        if past <= first:
            return RowSet.empty()
        return RowSet(np.maximum(self.starts[first:past], start), np.minimum(self.stops[first:past], stop))

    def split(self, n: int) -> tuple[RowSet, RowSet]:
        """The first *n* rows, and the rest."""
        if n >= len(self):
            return self, RowSet.empty()
        ends = np.cumsum(self.stops - self.starts)
        at = int(np.searchsorted(ends, n, side="right"))
        # the interval `at` holds the boundary; `middle` is where it is cut
        middle = int(self.stops[at] - (ends[at] - n))
        head = RowSet.from_intervals(np.r_[self.starts[:at], self.starts[at]], np.r_[self.stops[:at], middle])
        tail = RowSet.from_intervals(np.r_[middle, self.starts[at + 1 :]], np.r_[self.stops[at], self.stops[at + 1 :]])
        return head, tail

    def at(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that stand at these places among them, counted from 0: (n,)."""
        past = np.cumsum(self.stops - self.starts)
        which = np.searchsorted(past, ranks, side="right")
        return self.stops[which] - (past[which] - ranks)

    def chunks(self, n: int = 1 << 16) -> Iterator[NDArray[np.int64]]:
        """Every row, in arrays of at most *n*."""
        rest = self
        while len(rest.starts):
            head, rest = rest.split(n)
            yield head.rows()

    def rows(self) -> NDArray[np.int64]:
        """Every row, one by one: O(rows) memory, meant for one batch.

        Returns
        -------
        (len(self),) int64
        """
        counts = self.stops - self.starts
        before = np.repeat(np.cumsum(counts) - counts, counts)
        return np.arange(counts.sum()) - before + np.repeat(self.starts, counts)
