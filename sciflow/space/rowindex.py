"""Finding rows of several coded columns among others, without Python objects per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sciflow.space.table import Codes

_MOST = 2**62


class RowIndex:
    """An index over rows of codes, each column's in ``range(size)``; equal rows share a key.

    Attributes
    ----------
    n_distinct
        The number of different rows.
    """

    __slots__ = ("_dense", "_keys", "_order", "_sizes", "n_distinct")

    def __init__(self, columns: Sequence[Codes], sizes: Sequence[int], n_rows: int) -> None:
        self._sizes = tuple(sizes)
        self._dense: dict[int, Codes] = {}  # column → the keys so far, where they had to be numbered anew
        keys = np.zeros(n_rows, np.int64)
        radix = 1
        for place, (codes, size) in enumerate(zip(columns, sizes, strict=True)):
            if radix * size > _MOST:
                self._dense[place] = np.unique(keys)
                keys = np.searchsorted(self._dense[place], keys)
                radix = len(self._dense[place])
            keys = keys * size + codes
            radix *= size
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self.n_distinct = int(np.count_nonzero(np.diff(self._keys))) + 1 if n_rows else 0

    def find(self, columns: Sequence[Codes], n_rows: int) -> Codes:
        """The first position of each row, -1 where it is not indexed; a code may be -1 for "nothing known"."""
        keys = np.zeros(n_rows, np.int64)
        found = np.ones(n_rows, dtype=np.bool_)
        for place, (codes, size) in enumerate(zip(columns, self._sizes, strict=True)):
            if place in self._dense:
                keys, here = _look_up(self._dense[place], keys)
                found &= here
            found &= codes >= 0
            keys = keys * size + np.maximum(codes, 0)
        at, here = _look_up(self._keys, keys)
        return np.where(found & here, self._order[at], -1)

    def first_of_each(self) -> Codes:
        """The first position of each distinct row, in order."""
        starts = np.append(True, np.diff(self._keys) != 0)
        return np.sort(self._order[starts])

    def first_repeated(self) -> tuple[int, int]:
        """The positions of two equal rows; there have to be some."""
        at = int(np.flatnonzero(np.diff(self._keys) == 0)[0])
        return int(self._order[at]), int(self._order[at + 1])


def _look_up(ordered: Codes, keys: Codes) -> tuple[Codes, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Where each key stands in the ordered ones (anywhere valid if it does not), and whether it does."""
    at = np.minimum(np.searchsorted(ordered, keys), max(len(ordered) - 1, 0))
    return at, ordered[at] == keys


def factorized(numbers: NDArray[Any]) -> tuple[NDArray[Any], Codes]:
    """The distinct numbers in order, and for each number which it is; without sorting where they lie close."""
    if numbers.dtype != object and len(numbers):
        low = int(numbers.min())
        span = int(numbers.max()) - low + 1
        if span <= 4 * len(numbers):
            place = np.zeros(span, np.int64)
            place[numbers - low] = 1
            used = np.flatnonzero(place) + low
            return used, (np.cumsum(place) - 1)[numbers - low]
    used, codes = np.unique(numbers, return_inverse=True)
    return used, codes.astype(np.int64, copy=False)
