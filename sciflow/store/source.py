"""Where each variant's results are read from, also after a compaction has moved them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.errors import FormatError
from sciflow.store.merge import facts_key
from sciflow.store.records import Records, by_path
from sciflow.store.segment import BlockReader, is_gone
from sciflow.store.snapshot import take_snapshot

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sciflow.store.segment import FrameRef


class RecordSource:
    """Which record each variant's results are taken from (-1: none), and where the records lie.

    A compaction may take away the segments that the records lie in; the same records are then found in the
    segment that replaces them.
    """

    def __init__(self, records: Records, winners: NDArray[np.int64]) -> None:
        self._found = records, winners
        self._checked: set[tuple[Path, int, str]] = set()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordSource, self._found  # without the lock: arrays may be computed in other processes

    @property
    def n_cells(self) -> int:
        """The number of places in the dataset."""
        return len(self._found[1])

    @property
    def frames(self) -> Sequence[FrameRef]:
        """The frames that the records are in, and others of the sweep."""
        return self._found[0].frames

    def visit(
        self, name: str, cells: NDArray[np.int64] | None
    ) -> Iterator[tuple[FrameRef, NDArray[np.int64], NDArray[np.int64], BlockReader]]:
        """Go through the frames that hold column *name* of some variants (all by default), file by file.

        Gives the frame, the places in *cells*, the rows in the frame, and a reader of its segment.
        """
        pending = np.arange(len(self._found[1]) if cells is None else len(cells))
        while len(pending):
            found = records, winners = self._found
            chosen = winners[pending] if cells is None else winners[cells[pending]]
            there = np.flatnonzero(chosen >= 0)
            there = there[np.argsort(chosen[there], kind="stable")]
            if not len(there):
                return
            numbers = chosen[there]
            frames, starts = np.unique(records.frame_of(numbers), return_index=True)
            parts = dict(zip(frames.tolist(), np.split(np.arange(len(numbers)), starts[1:]), strict=True))
            gone: list[int] = []
            for path, members in by_path(records.frames, parts):
                try:
                    reader = BlockReader(path)
                except OSError as error:
                    if not is_gone(error):
                        raise
                    gone += members
                    continue
                with reader:
                    for k in members:
                        frame, part = records.frames[k], parts[k]
                        if frame.column(name) is not None:
                            yield frame, pending[there[part]], numbers[part] - int(records.first[k]), reader
            if not gone:
                return
            pending = np.sort(pending[there[np.concatenate([parts[k] for k in gone])]])
            self._find_again(found)

    def fact(self, key: str) -> tuple[NDArray[np.int32], tuple[Any, ...]]:
        """What the frames say of each variant: a code per variant (-1 where missing), and the distinct values."""
        while True:
            found = records, winners = self._found
            try:
                codes, values = records.fact(key)
            except OSError as error:
                if not is_gone(error):
                    raise
                self._find_again(found)
            else:
                return np.append(codes, np.int32(-1))[winners], values

    def check(self, frame: FrameRef, name: str, reader: BlockReader) -> None:
        """Check a column of a frame, once, however many parts of it are read.

        Raises
        ------
        FormatError
            Its bytes changed on the disk.
        """
        place = (frame.path, frame.offset, name)
        if place not in self._checked:
            frame.check(name, reader)
            self._checked.add(place)

    def _find_again(self, lost: tuple[Records, NDArray[np.int64]]) -> None:
        """Find the records of *lost* where they are now."""
        with self._lock:
            if self._found is not lost:
                return  # another thread did
            records, winners = lost
            there = winners >= 0
            segments = records.frames[0].path.parent
            now = Records(take_snapshot(segments.parent).frames, records.generation)
            places = _places(records, winners[there], now)
            if (places < 0).any():
                raise FormatError(
                    f"segments of {segments} were removed by hand while their results were in use; "
                    "restore them from a copy, or open the results again"
                )
            moved = winners.copy()
            moved[there] = places
            self._found = now, moved


def _places(records: Records, numbers: NDArray[np.int64], now: Records) -> NDArray[np.int64]:
    """The numbers that some records have *now*; -1 for one that is not there.

    A record is told by its session, attempt, code, definition and row.
    """
    if not len(now):
        return np.full(len(numbers), -1, dtype=np.int64)
    codes: dict[Hashable, int] = {}
    old_rows, new_rows = records.rows()[numbers], now.rows()
    rows, places = np.unique(np.concatenate([old_rows, new_rows]), return_inverse=True)
    old_codes = _codes(records.frames, codes)[records.frame_of(numbers)]
    new_codes = np.repeat(_codes(now.frames, codes), np.diff(now.first))
    old_keys = old_codes * len(rows) + places[: len(numbers)]
    ordered = now.in_order(np.arange(len(now)))
    new_keys = (new_codes * len(rows) + places[len(numbers) :])[ordered]
    # of equal keys the last, which counts
    by_key = np.argsort(new_keys, kind="stable")
    at = np.searchsorted(new_keys[by_key], old_keys, side="right") - 1
    candidates = by_key[np.maximum(at, 0)]
    return np.where((at >= 0) & (new_keys[candidates] == old_keys), ordered[candidates], -1)


def _codes(frames: Sequence[FrameRef], known: dict[Hashable, int]) -> NDArray[np.int64]:
    return np.array([known.setdefault(facts_key(frame), len(known)) for frame in frames], dtype=np.int64)
