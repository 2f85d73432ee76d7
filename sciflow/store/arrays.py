"""Outputs with an array per variant: read when they are asked for, straight into the array that is returned."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.store.column import NO_ARRAY, Category
from sciflow.store.labels import given_labels, label_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from sciflow.store.segment import BlockReader, FrameRef
    from sciflow.store.source import RecordSource

_WHOLE_BYTES = 256 << 10  # a column up to this length is read as a whole
_DIRECT_BYTES = 64 << 10  # from this length on reading into the result is cheaper than a copy


@dataclass(frozen=True, eq=False)
class ArrayOutput:
    """An output with an array per variant; nothing is read before it is asked for.

    Attributes
    ----------
    dtype
        Integers and bools are float64 if a variant may have none.
    shape
        Of one variant's array; None if shapes differ.
    dims
        The names of its dimensions; of the array with most of them if shapes differ. An array that names its
        dimensions in another order is turned round.
    coords
        Values along the dims, where all variants agree on them.
    labels
        The values along a dim where variants do not agree, as an output of its own with one dim.
    coord_attributes
        What all variants say of the values along a dim, such as units.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] | None
    dims: tuple[str, ...]
    coords: Mapping[str, Any]
    attributes: Mapping[str, Any]
    source: RecordSource = field(repr=False)
    labels: Mapping[str, ArrayOutput] = field(default_factory=dict[str, "ArrayOutput"])
    coord_attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, "Mapping[str, str]"])

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
        result = np.empty((len(cells), *self.shape), dtype=self.dtype)
        absent = np.ones(len(cells), dtype=np.bool_)
        for frame, places, rows, reader in self.source.visit(self.name, cells):
            absent[places] = ~self._read(frame, rows, reader, result, places)
        result[absent] = missing_value(self.dtype)
        return result

    @property
    def padded_dtype(self) -> np.dtype[Any]:
        """The dtype of `padded`."""
        return with_gaps(self.dtype) if self.shape is None else self.dtype

    def padded(self, cells: NDArray[np.int64]) -> NDArray[Any]:
        """Like `gather`, but arrays of different shapes stand in one that holds them all, (n, *extent).

        Where an array has nothing there is NaN, an empty text, or zero.
        """
        if self.shape is not None:
            return self.gather(cells)
        extent, dtype = self.extent, self.padded_dtype
        values = np.full((len(cells), *extent), missing_value(dtype), dtype=dtype)
        for place, array in self._each(cells):
            shape = _filled(array.shape, len(extent))
            values[(place, *map(slice, shape))] = array.reshape(shape)
        return values

    def sizes(self, cells: NDArray[np.int64]) -> NDArray[np.int32]:
        """The shape of each variant's array, -1 where there is none."""
        sizes = np.full((len(cells), len(self.extent)), -1, dtype=np.int32)
        for frame, places, rows, reader in self.source.visit(self.name, cells):
            shapes = list(self._shapes(frame, reader))
            for place, row in zip(places.tolist(), rows.tolist(), strict=True):
                shape = shapes[row]
                if shape is not None:
                    sizes[place] = _filled(shape, len(self.extent))
        return sizes

    @cached_property
    def extent(self) -> tuple[int, ...]:
        """The shape that holds every variant's array."""
        if self.shape is not None:
            return self.shape
        extent = [0] * len(self.dims)
        for frame, _, _, reader in self.source.visit(self.name, None):
            for shape in {shape for shape in self._shapes(frame, reader) if shape is not None}:
                extent = [max(a, b) for a, b in zip(extent, _filled(shape, len(extent)), strict=True)]
        return tuple(extent)

    def _gather_ragged(self, cells: NDArray[np.int64]) -> NDArray[Any]:
        result = np.full(len(cells), None, dtype=object)
        for place, value in self._each(cells):
            result[place] = np.array(value, dtype=self.dtype)
        return result

    def _each(self, cells: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[Any]]]:
        """The places and arrays of the variants that have one; the arrays are views of what was read."""
        for frame, places, rows, reader in self.source.visit(self.name, cells):
            axes = self._axes(frame)
            for place, value in zip(places.tolist(), _read_values(frame, self.name, rows, reader), strict=True):
                if value is not None:
                    array = np.asarray(value)
                    yield place, array if axes is None else _turned(array, axes)

    def _read(
        self,
        frame: FrameRef,
        rows: NDArray[np.int64],
        reader: BlockReader,
        result: NDArray[Any],
        places: NDArray[np.int64],
    ) -> Any:
        """Read some rows of a frame into their places of *result*; which of them hold a value."""
        column, sizes, offset = frame.place_of(self.name)
        if column["encoding"] == "category":  # None for every variant
            return np.False_
        axes = self._axes(frame)
        n_bytes = sizes[0] // frame.n
        straight = column["encoding"] == "fixed" and axes is None and np.dtype(column["dtype"]) == result.dtype
        if straight and n_bytes * len(rows) >= _DIRECT_BYTES and _is_run(rows) and _is_run(places):
            target = result[places[0] : places[-1] + 1]
            if len(rows) == frame.n:
                frame.read_into(self.name, target, reader)
                return np.True_
            if 4 * len(rows) >= frame.n:  # of fewer it is not worth reading the others, which the checksum needs
                self.source.check(frame, self.name, reader)
            reader.read_into(offset + int(rows[0]) * n_bytes, target)
            return np.True_
        values, valid = _read_rows(frame, self.name, rows, reader)
        if axes is not None:
            values = np.stack([_turned(value, axes) for value in values]) if len(values) else values
        result[places] = values.reshape(len(rows), *result.shape[1:])
        return np.True_ if valid is None else valid

    def _axes(self, frame: FrameRef) -> tuple[int | None, ...] | None:
        """For each of our dims the axis of the frame's arrays (None: it has none); None if nothing need be turned."""
        column, _, _ = frame.place_of(self.name)
        given = column.get("dims")
        if (
            given is None
            or tuple(given) == self.dims[len(self.dims) - len(given) :]
            or not set(given) <= set(self.dims)
        ):
            return None
        return tuple(given.index(dim) if dim in given else None for dim in self.dims)

    def _shapes(self, frame: FrameRef, reader: BlockReader) -> Iterator[tuple[int, ...] | None]:
        """The shape of each array of a frame, turned to our dims; None where there is none."""
        axes = self._axes(frame)
        for shape in _shapes(frame, self.name, reader):
            if shape is None or axes is None:
                yield shape
            else:
                yield tuple(1 if axis is None else shape[axis] for axis in axes)


@dataclass(frozen=True, eq=False)
class LabelOutput(ArrayOutput):
    """The labels along one dim of the arrays of another output.

    Attributes
    ----------
    of
        That output; where a frame has no column for its labels, its description says them.
    """

    of: str = ""

    @property
    def _column(self) -> str:
        return label_name(self.of, self.dims[0])

    def gather(self, cells: NDArray[np.int64]) -> NDArray[Any]:
        """The labels of some variants."""
        if self.shape is None:
            return self._gather_ragged(cells)
        result = np.full((len(cells), *self.shape), missing_value(self.dtype), dtype=self.dtype)
        for place, labels in self._each(cells):
            result[place] = labels
        return result

    def _each(self, cells: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[Any]]]:
        for frame, places, rows, reader in self.source.visit(self.of, cells):
            if frame.column(self._column) is not None:
                values = _read_values(frame, self._column, rows, reader)
            else:
                values = iter([given_labels(frame.place_of(self.of)[0], self.dims[0])] * len(rows))
            for place, value in zip(places.tolist(), values, strict=True):
                if value is not None:
                    labels = np.asarray(value)
                    yield place, labels.astype(self.dtype) if self.dtype.kind == "U" else labels

    @cached_property
    def extent(self) -> tuple[int, ...]:
        """The number of labels, of the array that has most."""
        if self.shape is not None:
            return self.shape
        cells = np.arange(self.source.n_cells)
        return (max((len(labels) for _, labels in self._each(cells)), default=0),)


def with_gaps(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype for values of which some are missing."""
    return np.dtype(np.float64) if dtype.kind in "biu" else dtype


def missing_value(dtype: np.dtype[Any]) -> Any:
    """What stands where there is no value."""
    if dtype.kind in "fc":
        return np.nan
    return np.array("NaT", dtype=dtype) if dtype.kind in "mM" else np.zeros((), dtype=dtype)


def _is_run(numbers: NDArray[np.int64]) -> bool:
    """Whether each number is the one after the one before it."""
    return int(numbers[-1]) - int(numbers[0]) == len(numbers) - 1 and bool((np.diff(numbers) == 1).all())


def _turned(array: NDArray[Any], axes: tuple[int | None, ...]) -> NDArray[Any]:
    """The array with its axes in another order, and one of length one where it has none."""
    present = [axis for axis in axes if axis is not None]
    array = array.transpose(present)
    return array[tuple(np.newaxis if axis is None else slice(None) for axis in axes)]


def _read_rows(
    frame: FrameRef, name: str, rows: NDArray[np.int64], reader: BlockReader
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Some rows of a column of arrays, and which of them hold a value (None: all)."""
    column, sizes, offset = frame.place_of(name)
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
    return values[rows] if len(rows) < frame.n or not _is_run(rows) else values, valid


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


def _shapes(frame: FrameRef, name: str, reader: BlockReader) -> Iterator[tuple[int, ...] | None]:
    """The shape of each array of a column, None where there is none."""
    column, sizes, offset = frame.place_of(name)
    match column["encoding"]:
        case "ragged":
            ranks = np.frombuffer(reader.read(offset, sizes[0]), dtype=np.uint8)
            lengths = iter(np.frombuffer(reader.read(offset + sizes[0], sizes[1]), dtype="<i8").tolist())
            for rank in ranks.tolist():
                yield None if rank == NO_ARRAY else tuple(next(lengths) for _ in range(rank))
        case "masked":
            for valid in np.frombuffer(reader.read(offset + sizes[0], sizes[1]), dtype=np.bool_).tolist():
                yield tuple(column["shape"]) if valid else None
        case "fixed":
            yield from [tuple(column["shape"])] * frame.n
        case _:  # None, or a text or a number among arrays
            values = frame.table([name], reader)[name]
            listed = values.values() if isinstance(values, Category) else values
            yield from (None if value is None else () for value in listed)


def _filled(shape: tuple[int, ...], n_dims: int) -> tuple[int, ...]:
    """The shape with leading axes of length one."""
    return (*(1 for _ in range(n_dims - len(shape))), *shape)
