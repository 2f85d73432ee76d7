"""A netCDF4 file as a sweep needs one: few calls, no variable-length columns, layouts that fit their size."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import h5netcdf
import h5py
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_CHUNK_BYTES = 512 << 10
_COMPRESSED_BYTES = 64 << 10  # a shorter column is not worth the index of its chunks
_BLOCK_BYTES = 16 << 20  # in memory at a time; larger ones cost the system more to hand out than they save
_LONGEST_TEXT_AXIS = 10_000


class Coded(Protocol):
    """Texts as distinct values and, for each place, the index of its value, or -1."""

    @property
    def pool(self) -> NDArray[Any]:
        """The distinct values."""
        ...

    @property
    def codes(self) -> NDArray[np.int64] | None:
        """One code per place."""
        ...


@dataclass(frozen=True, slots=True)
class Blocks:
    """The values of a variable, block after block.

    Attributes
    ----------
    dtype
        Of the values.
    inner
        The shape of what stands in one place.
    read
        Gives the places from start to stop of the flattened variable, each of the inner shape.
    """

    dtype: np.dtype[Any]
    inner: tuple[int, ...]
    read: Callable[[int, int], NDArray[Any]]

    @classmethod
    def of(cls, values: NDArray[Any], n_dims: int) -> Self:
        """Blocks of values in memory whose first *n_dims* dimensions are places."""
        inner = values.shape[n_dims:]
        flat = values.reshape(math.prod(values.shape[:n_dims]), *inner)
        return cls(values.dtype, inner, lambda start, stop: flat[start:stop])

    def map(self, dtype: np.dtype[Any], function: Callable[[NDArray[Any]], NDArray[Any]]) -> Blocks:
        """The blocks with *function* applied to each."""
        return Blocks(dtype, self.inner, lambda start, stop: function(self.read(start, stop)))


class NetcdfFile:
    """Writes variables of any recordable type, in the conventions that xarray and CF tools read.

    Bools are bytes with a ``dtype`` attribute, moments integers with ``units``, complex numbers two
    variables ``NAME_real`` and ``NAME_imag``, texts fixed-width characters in UTF-8.
    """

    def __init__(self, path: Path) -> None:
        # locks lie on network file systems; nobody else knows this name anyway
        self._file: Any = h5netcdf.File(path, "w", locking=False)
        self._dims: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def attribute(self, name: str, value: object) -> None:
        """Set an attribute of the file; what is neither text nor number is written as JSON."""
        self._file.attrs[name] = _attribute(value)

    def dimension(self, name: str, length: int) -> None:
        """Make a dimension; again with the same length does nothing."""
        if name not in self._dims:
            self._dims[name] = length
            self._file.dimensions[name] = length

    def length(self, name: str) -> int | None:
        """The length of a dimension, None if there is none of this name."""
        return self._dims.get(name)

    def axis(self, name: str, values: NDArray[Any], attributes: Mapping[str, Any]) -> None:
        """The values along a dimension, as a variable of its name."""
        self.dimension(name, len(values))
        texts = [_text(value) for value in values.tolist()] if values.dtype.kind in "OUS" else None
        # HDF5 ends a text of variable length at a zero byte
        if texts is not None and len(texts) <= _LONGEST_TEXT_AXIS and not any("\0" in text for text in texts):
            variable = self._file.create_variable(name, (name,), h5py.string_dtype())
            if len(texts):
                variable[...] = np.array(texts, dtype=object)
            _set(variable, attributes)
        else:
            self.variable(name, (name,), values, attributes)

    def variable(self, name: str, dims: Sequence[str], values: NDArray[Any], attributes: Mapping[str, Any]) -> None:
        """Write values that are in memory."""
        self.streamed(name, dims, Blocks.of(values, len(dims)), attributes)

    def coded(self, name: str, dims: Sequence[str], texts: Coded, attributes: Mapping[str, Any]) -> None:
        """Write texts that are given by codes."""
        encoded = np.array([*(_text(value).encode() for value in texts.pool.tolist()), b""], dtype=np.bytes_)
        self.variable(name, dims, encoded[texts.codes], attributes)

    def streamed(self, name: str, dims: Sequence[str], blocks: Blocks, attributes: Mapping[str, Any]) -> None:
        """Write values that come a block at a time; *dims* exist, and those of the inner shape are the last."""
        dtype = blocks.dtype
        match dtype.kind:
            case "c":
                part = np.dtype(f"f{dtype.itemsize // 2}")
                self.streamed(f"{name}_real", dims, blocks.map(part, np.real), attributes)
                self.streamed(f"{name}_imag", dims, blocks.map(part, np.imag), attributes)
            case "b":
                numbers = blocks.map(np.dtype("i1"), lambda values: values.astype("i1"))
                self._write(name, dims, numbers, {**attributes, "dtype": "bool"})
            case "M" | "m":
                moments = np.dtype(f"{dtype.kind}8[ns]")
                numbers = blocks.map(np.dtype("i8"), lambda values: values.astype(moments).view("i8"))
                kept = {**attributes, **_time_attributes(dtype)}
                self._write(name, dims, numbers, kept, fill=np.iinfo(np.int64).min)
            case "O" | "U" | "S":
                self._write_texts(name, dims, blocks, attributes)
            case "f":
                # netCDF knows neither half nor long double
                fits = np.dtype(f"f{min(max(dtype.itemsize, 4), 8)}")
                self._write(name, dims, blocks.map(fits, lambda values: values), attributes, fill=np.nan)
            case _:
                self._write(name, dims, blocks, attributes)

    def _write_texts(self, name: str, dims: Sequence[str], blocks: Blocks, attributes: Mapping[str, Any]) -> None:
        n = math.prod(self._dims[dim] for dim in dims[: len(dims) - len(blocks.inner)])
        step = 1 << 20
        parts = (_encode(blocks.read(start, min(start + step, n))) for start in range(0, n, step))
        width = max([1, *(part.dtype.itemsize for part in parts)])
        dim = f"string{width}"
        self.dimension(dim, width)

        def characters(values: NDArray[Any]) -> NDArray[Any]:
            return _encode(values).astype(f"S{width}").view("S1").reshape(*values.shape, width)

        single = Blocks(np.dtype("S1"), (*blocks.inner, width), blocks.map(np.dtype("S1"), characters).read)
        self._write(name, (*dims, dim), single, {**attributes, "_Encoding": "utf-8"})

    def _write(
        self, name: str, dims: Sequence[str], blocks: Blocks, attributes: Mapping[str, Any], *, fill: Any = None
    ) -> None:
        shape = tuple(self._dims[dim] for dim in dims)
        size = blocks.dtype.itemsize
        n_bytes = math.prod(shape) * size
        # every place is written below; floats hardly compress, and what is in one piece is written and read fastest
        options: dict[str, Any] = {"fill_time": "never"}
        if blocks.dtype.kind in "iuS" and n_bytes >= _COMPRESSED_BYTES:
            options |= {"chunks": _chunks(shape, size), "compression": "gzip", "compression_opts": 1, "shuffle": True}
        variable = self._file.create_variable(name, tuple(dims), blocks.dtype, fillvalue=fill, **options)
        _set(variable, attributes)
        if not n_bytes:
            return
        outer = shape[: len(shape) - len(blocks.inner)]
        for index, start, stop, block in _slabs(outer, size * math.prod(blocks.inner), options.get("chunks")):
            variable[index] = blocks.read(start, stop).reshape((*block, *blocks.inner))


def _slabs(
    shape: tuple[int, ...], place_bytes: int, chunks: Sequence[int] | None
) -> Iterator[tuple[tuple[int | slice, ...], int, int, tuple[int, ...]]]:
    """Cut an array into blocks that are slices of it and runs of its flattened form.

    Gives for each the index, the flattened start and stop, and the shape.
    """
    if not shape:
        yield (), 0, 1, ()
        return
    axis = 0
    while axis < len(shape) - 1 and math.prod(shape[axis + 1 :]) * place_bytes > _BLOCK_BYTES:
        axis += 1
    rest = shape[axis + 1 :]
    step = max(1, _BLOCK_BYTES // max(1, math.prod(rest) * place_bytes))
    if chunks is not None and step > chunks[axis]:
        step -= step % chunks[axis]
    start = 0
    for lead in np.ndindex(shape[:axis]):
        for first in range(0, shape[axis], step):
            last = min(first + step, shape[axis])
            stop = start + (last - first) * math.prod(rest)
            yield (*lead, slice(first, last)), start, stop, (last - first, *rest)
            start = stop


def _chunks(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    """A chunk of about the wanted size, the last dimensions whole first."""
    room = max(1, _CHUNK_BYTES // item_bytes)
    chunks: list[int] = []
    for length in reversed(shape):
        chunks.append(min(length, room))
        room = max(1, room // length)
    return tuple(reversed(chunks))


def _encode(values: NDArray[Any]) -> NDArray[np.bytes_]:
    """Texts as UTF-8 of fixed width; what is no text is written as one."""
    if values.dtype.kind == "S":
        return values
    listed: list[Any] = values.reshape(-1).tolist()
    if not set(map(type, listed)) <= {str, type(None)}:
        listed = list(map(_text, listed))  # 1, 1.0 and True are equal and read differently
    distinct = {value: place for place, value in enumerate(dict.fromkeys(listed))}
    pool = np.array([_text(value).encode() for value in distinct], dtype=np.bytes_)
    codes = np.fromiter(map(distinct.__getitem__, listed), dtype=np.int64, count=len(listed))
    return (pool[codes] if len(pool) else np.empty(0, "S1")).reshape(values.shape)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    text = "" if value is None else str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()  # half a character is none


def _time_attributes(dtype: np.dtype[Any]) -> dict[str, str]:
    if dtype.kind == "m":
        return {"units": "nanoseconds", "dtype": "timedelta64[ns]"}
    return {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}


def _attribute(value: object) -> Any:
    if isinstance(value, str):
        return _text(value).replace("\0", " ")
    return value if isinstance(value, (int, float, np.ndarray)) else json.dumps(value)


def _set(variable: Any, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        variable.attrs[name] = _attribute(value)
