"""The recorded results of a sweep as arrays over its variants."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from sciflow.store.column import NO_ARRAY, Category
from sciflow.store.records import by_path
from sciflow.store.segment import BlockReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from sciflow.space.algebra import Space
    from sciflow.space.table import Table
    from sciflow.store.records import Records
    from sciflow.store.segment import FrameRef
    from sciflow.store.snapshot import Snapshot

Layout: TypeAlias = Literal["dense", "flat"]

MISSING, DONE, FAILED = 0, 1, 2
STATUS_MEANINGS = ("missing", "done", "failed")

_WHOLE_BYTES = 256 << 10  # a column up to this length is read as a whole


@dataclass(frozen=True, slots=True, eq=False)
class Coordinate:
    """The values of one parameter along a dimension.

    Attributes
    ----------
    name
        The parameter.
    pool
        Distinct values: bool, int64, float64, datetime64, or text as objects. Values of other types appear
        as labels.
    codes
        For each variant the index of its value, -1 where it lacks the parameter; None for a dimension of
        its own, which has each value of the pool once.
    unit
        The parameter's unit, if it has one.
    plain
        For labels: each value of the pool as JSON data that keeps its type (`sciflow.canonical.from_plain`).
    """

    name: str
    pool: NDArray[Any]
    codes: NDArray[np.int64] | None
    unit: str | None = None
    plain: tuple[Any, ...] | None = None

    @property
    def values(self) -> NDArray[Any]:
        """One value per variant, or per place on the dimension; where absent NaN, NaT or None."""
        if self.codes is None:
            return self.pool
        if not (self.codes < 0).any():
            return self.pool[self.codes]
        pool = with_missing(self.pool)
        return pool[self.codes]


@dataclass(frozen=True, slots=True, eq=False)
class ScalarOutput:
    """An output with one number, text or moment per variant.

    Attributes
    ----------
    values
        In the shape of the dataset. Integers and bools are float64 as soon as a variant has none; a missing
        text is None, a missing moment NaT.
    attributes
        Such as ``units``.
    """

    name: str
    values: NDArray[Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class ArrayOutput:
    """An output with an array per variant; nothing is read before it is asked for.

    Attributes
    ----------
    dtype
        Integers and bools are float64 if a variant may have none.
    shape
        Of one variant's array; None if shapes differ.
    dims
        The names of its dimensions; of the array with most of them if shapes differ.
    coords
        Values along the dims, where all variants agree on them.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] | None
    dims: tuple[str, ...]
    coords: Mapping[str, Any]
    attributes: Mapping[str, Any]
    source: RecordSource = field(repr=False)

    def gather(self, cells: NDArray[np.int64]) -> NDArray[Any]:
        """The arrays of some variants, given by their positions in the flattened dataset.

        Returns
        -------
        (n, *shape) with NaN (False, 0, empty text) for variants that have none; if shapes differ, n objects,
        each an array or None.

        Raises
        ------
        FormatError
            A segment was damaged after it was scanned.
        """
        if self.shape is None:
            return self._gather_ragged(cells)
        result = np.full((len(cells), *self.shape), missing_value(self.dtype), dtype=self.dtype)
        for frame, places, rows, reader in self.source.visit(self.name, cells):
            values, valid = _read_rows(frame, self.name, rows, reader)
            if valid is None:
                result[places] = values
            elif valid.any():
                result[places[valid]] = values[valid]
        return result

    def extent(self) -> tuple[int, ...]:
        """The shape that holds every variant's array."""
        if self.shape is not None:
            return self.shape
        extent = [0] * len(self.dims)
        for frame, _, _, reader in self.source.visit(self.name, None):
            for shape in _shapes(frame, self.name, reader):
                padded = (*(1 for _ in range(len(extent) - len(shape))), *shape)
                extent = [max(a, b) for a, b in zip(extent, padded, strict=True)]
        return tuple(extent)

    def _gather_ragged(self, cells: NDArray[np.int64]) -> NDArray[Any]:
        result = np.full(len(cells), None, dtype=object)
        for frame, places, rows, reader in self.source.visit(self.name, cells):
            for place, value in zip(places.tolist(), _read_values(frame, self.name, rows, reader), strict=True):
                if value is not None:
                    result[place] = np.array(value, dtype=self.dtype)
        return result


Output: TypeAlias = ScalarOutput | ArrayOutput


@dataclass(frozen=True, slots=True, eq=False)
class RecordSource:
    """Which record each variant's results are taken from (-1: none), and where the records lie."""

    records: Records
    winners: NDArray[np.int64]

    def visit(
        self, name: str, cells: NDArray[np.int64] | None
    ) -> Iterator[tuple[FrameRef, NDArray[np.int64], NDArray[np.int64], BlockReader]]:
        """Go through the frames that hold column *name* of some variants (all by default), file by file.

        Gives the frame, the places in *cells*, the rows in the frame, and a reader of its segment.
        """
        winners = self.winners if cells is None else self.winners[cells]
        places = np.flatnonzero(winners >= 0)
        places = places[np.argsort(winners[places], kind="stable")]
        records = winners[places]
        frames, starts = np.unique(self.records.frame_of(records), return_index=True)
        bounds = [*starts.tolist(), len(records)]
        position = {k: i for i, k in enumerate(frames.tolist())}
        for path, members in by_path(self.records.frames, position):
            with BlockReader(path) as reader:
                for k in members:
                    frame = self.records.frames[k]
                    if frame.column(name) is not None:
                        part = slice(bounds[position[k]], bounds[position[k] + 1])
                        yield frame, places[part], records[part] - int(self.records.first[k]), reader


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """What is known of every variant: the newest success, else the newest failure, else that it is missing.

    All arrays have the shape of the dataset: one dimension per parameter (dense), or one called ``variant``.

    Attributes
    ----------
    status
        Codes 0 missing, 1 done, 2 failed.
    attempt
        Which attempt it was; 0 where missing.
    runtime_s
        Wall time; NaN where missing.
    failure
        0, or one more than the index in `messages`.
    messages
        The distinct failures, as they were recorded.
    rows
        The position in the space of each place of the flattened dataset (-1: a place in the grid that is no
        variant); None if it is the same, and in a sweep whose space cannot be rebuilt (a filter or
        derivation that is a function).
    space
        The space of the newest definition, None if it cannot be rebuilt.
    n_superseded
        Records that count no longer because of a later one.
    """

    layout: Layout
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: Mapping[str, Coordinate]
    status: NDArray[np.uint8]
    attempt: NDArray[np.uint16]
    runtime_s: NDArray[np.float32]
    failure: NDArray[np.int32]
    messages: tuple[dict[str, Any], ...]
    outputs: Mapping[str, Output]
    rows: NDArray[np.int64] | None
    space: Space | None
    definition: Mapping[str, Any]
    snapshot: Snapshot = field(repr=False)
    source: RecordSource = field(repr=False)
    n_superseded: int = 0

    @property
    def n_cells(self) -> int:
        """The number of places in the dataset."""
        return math.prod(self.shape)

    def facts(self, key: str) -> tuple[NDArray[np.int32], tuple[Any, ...]]:
        """What the frames say of each variant: a code per variant (-1 where missing), and the distinct values.

        *key* is ``generation``, ``environment``, ``worker``, ``revision`` or ``session``.
        """
        codes, values = self.source.records.fact(key)
        return np.append(codes, np.int32(-1))[self.source.winners].reshape(self.shape), values

    def table(self, cells: NDArray[np.int64]) -> Table | None:
        """The parameters of some variants, by their positions in the flattened dataset; None without a space."""
        if self.space is None:
            return None
        return self.space.take(cells if self.rows is None else self.rows[cells])


def missing_value(dtype: np.dtype[Any]) -> Any:
    """What stands where there is no value."""
    if dtype.kind in "fc":
        return np.nan
    return np.array("NaT", dtype=dtype) if dtype.kind in "mM" else np.zeros((), dtype=dtype)


def with_missing(pool: NDArray[Any]) -> NDArray[Any]:
    """*pool* with one more value at the end, which says that there is none."""
    if pool.dtype.kind in "biu":
        pool = pool.astype(np.float64)
    if pool.dtype.kind in "OUS":
        longer = np.empty(len(pool) + 1, dtype=object)
        longer[:-1] = pool
        return longer
    return np.append(pool, np.array([missing_value(pool.dtype)], dtype=pool.dtype))


def _read_rows(
    frame: FrameRef, name: str, rows: NDArray[np.int64], reader: BlockReader
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Some rows of a column of arrays, and which of them hold a value (None: all)."""
    column, sizes, offset = next(part for part in frame.layout() if part[0]["name"] == name)
    if column["encoding"] == "category":  # None for every variant
        return np.empty(0), np.zeros(len(rows), dtype=np.bool_)
    if column["encoding"] == "fixed" and sizes[0] > _WHOLE_BYTES and 4 * len(rows) < frame.n:
        # few of many arrays: not worth reading the others, which the checksum would need
        n_bytes = sizes[0] // frame.n
        data = b"".join(reader.read(offset + row * n_bytes, n_bytes) for row in rows.tolist())
        return np.frombuffer(data, dtype=column["dtype"]).reshape(len(rows), *column["shape"]), None
    buffers = frame.buffers(name, reader)
    values = np.frombuffer(buffers[0], dtype=column["dtype"]).reshape(frame.n, *column["shape"])
    valid = np.frombuffer(buffers[1], dtype=np.bool_)[rows] if column["encoding"] == "masked" else None
    return values[rows], valid


def _read_values(frame: FrameRef, name: str, rows: NDArray[np.int64], reader: BlockReader) -> Iterator[Any]:
    """Some rows of a column of any encoding, one after the other; None where there is no value."""
    column = frame.column(name)
    if column is not None and column["encoding"] in {"fixed", "masked"}:
        values, valid = _read_rows(frame, name, rows, reader)
        yield from values if valid is None else (v if ok else None for v, ok in zip(values, valid, strict=True))
        return
    stored = frame.table([name], reader)[name]
    values = stored.values() if isinstance(stored, Category) else stored
    yield from (values[row] for row in rows.tolist())


def _shapes(frame: FrameRef, name: str, reader: BlockReader) -> Iterator[tuple[int, ...]]:
    """The shapes that occur in a column of arrays."""
    column, sizes, offset = next(part for part in frame.layout() if part[0]["name"] == name)
    if column["encoding"] != "ragged":
        yield tuple(column.get("shape", ()))
        return
    n_dims = np.frombuffer(reader.read(offset, sizes[0]), dtype=np.uint8)
    lengths = iter(np.frombuffer(reader.read(offset + sizes[0], sizes[1]), dtype="<i8").tolist())
    for n in n_dims[n_dims != NO_ARRAY].tolist():
        yield tuple(next(lengths) for _ in range(n))
