"""Some rows of a space, decided in chunks and remembered as counts, never as a list of rows."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

from sciflow.errors import SpaceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sciflow.space.algebra import Space
    from sciflow.space.table import Codes, Mask, Rows

CHUNK: Final = 2**16
"""Candidates decided together."""
MOST_CANDIDATES: Final = 2**34
"""Candidates that counting goes through before it gives up; minutes of work."""
_KEPT = 4


class Selection:
    """The rows of *candidates* that *choose* says, numbered in order.

    Parameters
    ----------
    candidates
        The space whose rows are chosen from; it may count lazily itself.
    choose
        From the first and last-but-one row of a chunk to a mask.
    """

    __slots__ = ("_candidates", "_choose", "_ends", "_exhausted", "_indices")

    def __init__(self, candidates: Space, choose: Callable[[range], Mask]) -> None:
        self._candidates, self._choose = candidates, choose
        self._ends: list[int] = []  # chosen up to the end of each chunk decided so far
        self._exhausted = False
        self._indices: OrderedDict[int, Codes] = OrderedDict()  # chunk → chosen within, the latest few

    def count(self) -> int:
        """How many rows are chosen in all."""
        while self._decide_next():
            pass
        return self._last_end

    def up_to(self, limit: int) -> int:
        """``min(count(), limit)``, deciding no more chunks than needed."""
        while self._last_end < limit and self._decide_next():
            pass
        return min(self._last_end, limit)

    def rows(self, positions: Rows) -> Codes:
        """The candidates' rows of the chosen at these positions."""
        if not len(positions):
            return np.zeros(0, np.int64)
        self.up_to(int(positions.max()) + 1)
        positions = positions.astype(np.int64, copy=False)
        ends = np.array(self._ends, dtype=np.int64)
        chunks = np.searchsorted(ends, positions, side="right")
        rows = np.empty(len(positions), np.int64)
        for chunk in np.unique(chunks).tolist():
            here = chunks == chunk
            begin = self._ends[chunk - 1] if chunk else 0
            rows[here] = chunk * CHUNK + self._within(chunk)[positions[here] - begin]
        return rows

    def positions(self, rows: Rows) -> Codes:
        """The positions among the chosen of these candidates' rows, all of them chosen."""
        positions = np.empty(len(rows), np.int64)
        chunks = (rows // CHUNK).astype(np.int64)
        for chunk in np.unique(chunks).tolist():
            while len(self._ends) <= chunk:
                self._decide_next()
            here = chunks == chunk
            begin = self._ends[chunk - 1] if chunk else 0
            within = (rows[here] - chunk * CHUNK).astype(np.int64)
            positions[here] = begin + np.searchsorted(self._within(chunk), within)
        return positions

    @property
    def _last_end(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _decide_next(self) -> bool:
        """Decide one more chunk; whether there was one."""
        start = len(self._ends) * CHUNK
        if self._exhausted:
            return False
        stop = self._candidates.n_up_to(start + CHUNK)
        if stop <= start:
            self._exhausted = True
            return False
        if start >= MOST_CANDIDATES:
            raise SpaceError(
                f"counting these variants means testing more than {MOST_CANDIDATES:,} candidates one by one; "
                "filter a smaller space before multiplying, or take a sample of the unfiltered space first"
            )
        indices = self._remember(len(self._ends), range(start, stop))
        self._ends.append(self._last_end + len(indices))
        return True

    def _within(self, chunk: int) -> Codes:
        known = self._indices.get(chunk)
        if known is not None:
            return known
        start = chunk * CHUNK
        return self._remember(chunk, range(start, self._candidates.n_up_to(start + CHUNK)))

    def _remember(self, chunk: int, rows: range) -> Codes:
        indices = np.flatnonzero(self._choose(rows))
        self._indices[chunk] = indices
        if len(self._indices) > _KEPT:
            self._indices.popitem(last=False)
        return indices
