"""The records of a snapshot as one numbered sequence, in the order in which a later one replaces an earlier."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.store.column import FACT, MERGED, ROW, Category
from sciflow.store.segment import BlockReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sciflow.store.segment import FrameRef

_BEFORE_TIME = 4  # entries of the precedence that weigh more than when a record was made


class Records:
    """Every recorded variant of some frames has a number; one that counts more has a higher one.

    Records of today's code count more than those of other code, then successes more than failures, then later
    ones more than earlier ones.

    Parameters
    ----------
    generation
        The digest of today's code; None when it is not known, and no code counts more than another.

    Attributes
    ----------
    frames
        In the order of their records.
    first
        The number of each frame's first record, and, last, the number of records.
    """

    def __init__(self, frames: Iterable[FrameRef], generation: str | None = None) -> None:
        self.generation = generation
        self._rows: NDArray[np.int64] | None = None
        self.frames: Sequence[FrameRef] = sorted(frames, key=partial(_precedence, generation))
        self.first: NDArray[np.int64] = np.zeros(len(self.frames) + 1, dtype=np.int64)
        np.cumsum([frame.n for frame in self.frames], out=self.first[1:])

    def __len__(self) -> int:
        return int(self.first[-1])

    def frame_of(self, records: NDArray[np.int64]) -> NDArray[np.int64]:
        """The index of the frame that each record stands in."""
        return np.searchsorted(self.first, records, side="right") - 1

    def where(self, k: int) -> slice:
        """The numbers of the records of frame *k*."""
        return slice(int(self.first[k]), int(self.first[k + 1]))

    def tables(self, names_of: Callable[[FrameRef], Iterable[str]]) -> Iterator[tuple[FrameRef, slice, dict[str, Any]]]:
        """Read columns frame by frame, each segment from front to back; frames without these columns are left out.

        Gives the frame, the numbers of its records, and the decoded columns. These share memory with what
        was read: copy what has to stay.
        """
        wanted = {k: names for k, frame in enumerate(self.frames) if (names := list(names_of(frame)))}
        for path, members in by_path(self.frames, wanted):
            with BlockReader(path) as reader:
                for k in members:
                    yield self.frames[k], self.where(k), self.frames[k].table(wanted[k], reader)

    def rows(self) -> NDArray[np.int64]:
        """The position of each record in the space of its own definition revision."""
        if self._rows is None:
            self._rows = self._read_rows()
        return self._rows.copy()

    def _read_rows(self) -> NDArray[np.int64]:
        starts = np.array([frame.header.get("rows", (0,))[0] for frame in self.frames], dtype=np.int64)
        rows = np.arange(len(self), dtype=np.int64) + np.repeat(starts - self.first[:-1], np.diff(self.first))
        for _, where, table in self.tables(lambda frame: () if "rows" in frame.header else (ROW,)):
            rows[where] = table[ROW]
        return rows

    def in_order(self, records: NDArray[np.int64]) -> NDArray[np.int64]:
        """Some records such that a later one replaces an earlier; *records* ascend.

        That is the order of their numbers unless frames were merged, which may overlap in time.
        """
        if not any(MERGED in frame.header for frame in self.frames):
            return records
        sizes = np.diff(self.first)
        weights = [_precedence(self.generation, frame)[:_BEFORE_TIME] for frame in self.frames]
        ranks = {weight: rank for rank, weight in enumerate(dict.fromkeys(weights))}
        rank = np.repeat([ranks[weight] for weight in weights], sizes)
        time = np.repeat([frame.header.get("t0", 0.0) for frame in self.frames], sizes)
        name = FACT + "t0"
        for _, where, table in self.tables(lambda frame: (name,) if frame.column(name) else ()):
            time[where] = table[name]
        return records[np.lexsort((time[records], rank[records]))]

    def fact(self, key: str) -> tuple[NDArray[np.int32], tuple[Any, ...]]:
        """What the headers say under *key*: a code per record, and the distinct values."""
        known: dict[Any, int] = {}
        codes = np.repeat(
            np.array([known.setdefault(frame.header.get(key), len(known)) for frame in self.frames], dtype=np.int32),
            np.diff(self.first),
        )
        name = FACT + key
        for _, where, table in self.tables(lambda frame: (name,) if frame.column(name) else ()):
            values = table[name]
            listed = values.values() if isinstance(values, Category) else values.tolist()
            codes[where] = [known.setdefault(value, len(known)) for value in listed]
        return codes, tuple(known)


class PoolBuilder:
    """One pool of distinct values, and one code per record, from the categories of many frames."""

    def __init__(self, n: int) -> None:
        self.codes: NDArray[np.int64] = np.full(n, -1, dtype=np.int64)
        self._pools: dict[tuple[Any, ...], NDArray[np.int64]] = {}
        self._places: dict[Any, int] = {}
        self._values: list[Any] = []

    def put(self, where: slice, category: Category) -> None:
        """Take over the values of the records *where*."""
        # 1 and 1.0 are equal, but are not one value of an output
        keys = tuple(map(_key, category.pool))
        places = self._pools.get(keys)
        if places is None:
            places = self._pools[keys] = np.array([*map(self._place, keys, category.pool), -1], dtype=np.int64)
        self.codes[where] = places[category.codes]

    def pool(self) -> NDArray[np.object_]:
        """The values that the codes point at."""
        pool = np.empty(len(self._values), dtype=object)
        for place, value in enumerate(self._values):
            pool[place] = value
        return pool

    def _place(self, key: Any, value: Any) -> int:
        place = self._places.setdefault(key, len(self._values))
        if place == len(self._values):
            self._values.append(value)
        return place


def _key(value: Any) -> Any:
    """Something hashable that tells values, and their types, apart."""
    kind = type(value)
    if kind is str:
        return value
    return (kind, value) if kind in {int, float, bool} else (kind, repr(value))


def by_path(frames: Sequence[FrameRef], members: Iterable[int]) -> Iterator[tuple[Path, list[int]]]:
    """The *members* among *frames*, grouped by segment and in the order in which they lie there."""
    groups: dict[Path, list[int]] = {}
    for k in members:
        groups.setdefault(frames[k].path, []).append(k)
    for path in sorted(groups):
        yield path, sorted(groups[path], key=lambda k: frames[k].offset)


def _precedence(generation: str | None, frame: FrameRef) -> tuple[Any, ...]:
    header = frame.header
    return (
        generation is not None and header.get("generation") == generation,
        header["status"] == "done",
        frame.session,
        header.get("attempt", 1),
        header.get("t0", 0.0),
        frame.path.name,
        frame.offset,
    )
