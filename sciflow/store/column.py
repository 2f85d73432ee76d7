"""Columns of a frame: a description as plain data, and the raw bytes behind it.

Five encodings. ``fixed``: one dtype and shape. ``masked``: the same with a validity byte per variant.
``text``: strings, or None. ``category``: a pool of any recordable values and a code per variant.
``ragged``: arrays of one dtype whose shapes differ.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from sciflow import canonical
from sciflow.errors import SpaceError
from sciflow.store.atomic import Bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Kind: TypeAlias = Literal["parameter", "output", "label", "fact"]
Buffer: TypeAlias = Bytes | tuple[Bytes, ...]
"""Bytes, or pieces of them to be written one after the other, which saves a copy."""
Encoding: TypeAlias = Literal["fixed", "masked", "text", "category", "ragged"]

ID_BYTES = 10
# facts carry a prefix, so a parameter or an output may be called "id" or "row"
ID, ROW, START_S, RUNTIME_S, FAILURE = "@id", "@row", "@start_s", "@runtime_s", "@failure"
FILES = "@files"  # JSON: artifacts that the variant made, with digests, and that its tasks were given
RAN = "@ran."  # begins the name of a column: JSON on the run elsewhere that a shared value is from
SUMS = frozenset({"cpu_s", "system_s", "children_s", "read_bytes", "written_bytes"})
"""What headers say of all variants of a frame together."""

MERGED = "merged"  # in the header of a frame: how many frames it was made of
FACT = "@fact."  # begins the name of a column with what the headers of merged frames said, where they differed

NO_VALUES = "none"  # the pool of a category in which no variant has a value
_NO_TEXT = 0xFFFFFFFF  # the length that stands for None
NO_ARRAY = 255  # the number of dimensions that stands for None
_EXACT_IN_FLOAT = 2**53
_WORTH_NO_COPY_BYTES = 32 << 10  # arrays from this size on are written from where they are


@dataclass(frozen=True, slots=True)
class ColumnData:
    """One column of a frame, encoded: what the header says of it, and its buffers in order."""

    kind: Kind
    encoding: Encoding
    n: int
    buffers: tuple[Buffer, ...]
    description: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def holds_arrays(self) -> bool:
        """Whether it has an array per variant of an output, which readers load only when it is asked for."""
        return self.kind in {"output", "label"} and (self.encoding == "ragged" or bool(self.description.get("shape")))


def pieces_of(buffer: Buffer) -> tuple[Bytes, ...]:
    """The pieces of a buffer, in order."""
    return buffer if isinstance(buffer, tuple) else (buffer,)


@dataclass(frozen=True, slots=True)
class Category:
    """A decoded ``category`` column: distinct values, and for each variant the index of its value or -1."""

    pool: tuple[Any, ...]
    codes: NDArray[np.int64]

    def values(self) -> list[Any]:
        """One value per variant; None where a variant has none."""
        pool = np.empty(len(self.pool) + 1, dtype=object)
        pool[:-1] = _objects(self.pool)
        return cast("list[Any]", pool[self.codes].tolist())


# ------------------------------------------------------------------------------------------ encode


def fixed(values: NDArray[Any], *, kind: Kind = "output", **attributes: Any) -> ColumnData:
    """A column of one dtype; the first dimension runs over variants, the others are the inner shape."""
    values = _storable(values)
    return ColumnData(kind, "fixed", len(values), (_raw(values),), _typed(values, attributes))


def masked(values: NDArray[Any], valid: NDArray[np.bool_], *, kind: Kind = "output", **attributes: Any) -> ColumnData:
    """Like `fixed`, with False in *valid* where a variant has no value."""
    values = _storable(values)
    buffers = (_raw(values), _raw(np.ascontiguousarray(valid, dtype=np.bool_)))
    return ColumnData(kind, "masked", len(values), buffers, _typed(values, attributes))


def text(values: Sequence[str | None], *, kind: Kind = "output", **attributes: Any) -> ColumnData:
    """A column of strings; None is kept apart from the empty string."""
    encoded = [b"" if value is None else value.encode("utf-8", "surrogatepass") for value in values]
    lengths = np.fromiter(map(len, encoded), dtype="<u4", count=len(encoded))
    lengths[[i for i, value in enumerate(values) if value is None]] = _NO_TEXT
    return ColumnData(kind, "text", len(encoded), (_raw(lengths), b"".join(encoded)), attributes)


def category(
    pool: Sequence[Any] | NDArray[Any], codes: NDArray[Any], *, kind: Kind = "output", **attributes: Any
) -> ColumnData:
    """A column of repeated values: each variant's code points into *pool*, -1 where it has no value.

    Only the part of the pool that *codes* use is stored. Values keep their types (1 is not 1.0).
    """
    codes = np.asarray(codes, dtype=np.int64)
    used, codes = _compact(codes, len(pool))
    values = _objects(pool)[used].tolist()
    dtype = _code_dtype(len(values))
    kept = codes.astype(dtype)  # -1 wraps to the largest code, which no value has
    form, buffer = _encode_pool(values)
    description = {"dtype": dtype.str, "pool": form, **attributes}
    return ColumnData(kind, "category", len(codes), (_raw(kept), buffer), description)


def ragged(values: Sequence[NDArray[Any] | None], *, kind: Kind = "output", **attributes: Any) -> ColumnData:
    """A column of arrays whose shapes differ; their dtypes are promoted to one."""
    present = [np.asarray(value) for value in values if value is not None]
    dtype = common_dtype({value.dtype for value in present}) if present else np.dtype("<f8")
    arrays = [_storable(value.astype(dtype, copy=False)) for value in present]
    n_dims = np.full(len(values), NO_ARRAY, dtype=np.uint8)
    n_dims[[i for i, value in enumerate(values) if value is not None]] = [a.ndim for a in arrays]
    shapes = np.array([length for a in arrays for length in a.shape], dtype="<i8")
    data = tuple(map(_raw, arrays))
    stored = arrays[0].dtype if arrays else dtype
    return ColumnData(
        kind,
        "ragged",
        len(values),
        (_raw(n_dims), _raw(shapes), data),
        {"dtype": stored.str, "n_dims": max((a.ndim for a in arrays), default=0), **attributes},
    )


def outputs(values: Sequence[Any], *, kind: Kind = "output", **attributes: Any) -> ColumnData:
    """What one output was for each variant, in the encoding that fits; None where there was none.

    Raises
    ------
    OverflowError
        An integer is beyond 64 bits.
    TypeError
        A value is not a number, bool, string, None or NumPy array, or arrays of text and numbers mix.
    """
    types = set(map(type, values))
    if any(issubclass(t, np.ndarray) for t in types):
        return _arrays(values, kind, attributes)
    return _scalars(values, types, kind, attributes)


def variant_facts(
    id_bytes: bytes,
    start_s: NDArray[Any],
    runtime_s: NDArray[Any],
    *,
    rows: NDArray[Any] | None = None,
    failures: Sequence[str] | None = None,
) -> dict[str, ColumnData]:
    """The fact columns of a frame: ids of 10 bytes each, start after the frame's ``t0``, and wall time.

    Parameters
    ----------
    rows
        Positions in the space of the frame's definition revision; left out when the header has ``rows``.
    failures
        For a frame of failed variants, the JSON text of each failure.
    """
    ids = np.frombuffer(id_bytes, dtype=np.uint8).reshape(-1, ID_BYTES)
    facts = {
        ID: fixed(ids, kind="fact"),
        START_S: fixed(np.asarray(start_s, dtype="<f4"), kind="fact", units="s"),
        RUNTIME_S: fixed(np.asarray(runtime_s, dtype="<f4"), kind="fact", units="s"),
    }
    if rows is not None:
        facts[ROW] = fixed(np.asarray(rows, dtype="<i8"), kind="fact")
    if failures is not None:
        facts[FAILURE] = text(failures, kind="fact")
    return facts


# ------------------------------------------------------------------------------------------ decode


def decode(description: Mapping[str, Any], n: int, buffers: Sequence[Bytes]) -> Any:
    """The values of a stored column.

    Returns an array (fixed), a masked array (masked), a `Category`, or a list of strings (text) or
    arrays (ragged), with None where a variant has none.
    """
    match description["encoding"]:
        case "fixed":
            return _array(description, n, buffers[0])
        case "masked":
            valid = np.frombuffer(buffers[1], dtype=np.bool_)
            mask = np.broadcast_to(~valid.reshape(n, *(1 for _ in description["shape"])), (n, *description["shape"]))
            return np.ma.MaskedArray(_array(description, n, buffers[0]), mask=mask)
        case "text":
            return _decode_text(buffers)
        case "category":
            dtype = np.dtype(description["dtype"])
            codes = np.frombuffer(buffers[0], dtype=dtype).astype(np.int64)
            codes[codes == np.iinfo(dtype).max] = -1
            return Category(tuple(decode_pool(description["pool"], buffers[1])), codes)
        case "ragged":
            return _decode_ragged(description, buffers)
        case other:
            raise ValueError(f"unknown column encoding {other!r}")


def _decode_text(buffers: Sequence[Bytes]) -> list[str | None]:
    lengths = np.frombuffer(buffers[0], dtype="<u4")
    absent = lengths == _NO_TEXT
    ends = np.cumsum(np.where(absent, 0, lengths), dtype=np.int64)
    data = bytes(buffers[1])
    values: list[str | None] = []
    start = 0
    for end, missing in zip(ends.tolist(), absent.tolist(), strict=True):
        values.append(None if missing else data[start:end].decode("utf-8", "surrogatepass"))
        start = end
    return values


def _decode_ragged(description: Mapping[str, Any], buffers: Sequence[Bytes]) -> list[NDArray[Any] | None]:
    dtype = np.dtype(description["dtype"])
    shapes = iter(np.frombuffer(buffers[1], dtype="<i8").tolist())
    values: list[NDArray[Any] | None] = []
    start = 0
    for n_dims in np.frombuffer(buffers[0], dtype=np.uint8).tolist():
        if n_dims == NO_ARRAY:
            values.append(None)
            continue
        shape = tuple(next(shapes) for _ in range(n_dims))
        n = math.prod(shape)
        values.append(np.frombuffer(buffers[2], dtype=dtype, count=n, offset=start).reshape(shape))
        start += n * dtype.itemsize
    return values


def _array(description: Mapping[str, Any], n: int, buffer: Bytes) -> NDArray[Any]:
    return np.frombuffer(buffer, dtype=np.dtype(description["dtype"])).reshape(n, *description["shape"])


# ------------------------------------------------------------------------------------------ choose


def _scalars(values: Sequence[Any], types: set[type], kind: Kind, attributes: Mapping[str, Any]) -> ColumnData:
    """One scalar per variant; *types* are the types that occur."""
    present_types = types - {type(None)}
    if any(issubclass(t, np.generic) for t in present_types):
        if len(present_types) == 1 and not issubclass(next(iter(present_types)), (np.str_, np.bytes_)):
            return _numbers(values, None, kind, attributes)
        values = [v.item() if isinstance(v, np.generic) else v for v in values]
        present_types = set(map(type, values)) - {type(None)}
    if present_types == {str}:
        return _strings(values, kind, attributes)
    dtype = _dtype_of_python(present_types, values)
    if dtype is not None:
        return _numbers(values, dtype, kind, attributes)
    codes = np.arange(len(values))
    codes[[i for i, value in enumerate(values) if value is None]] = -1
    return category(values, codes, kind=kind, **attributes)


def _dtype_of_python(types: set[type], values: Sequence[Any]) -> str | None:
    """The dtype that holds these values without loss; None when there is none."""
    if types in ({bool}, {int}, {float}):
        return {bool: "|b1", int: "<i8", float: "<f8"}[next(iter(types))]
    if complex in types and types <= {int, float, complex}:
        return "<c16"
    if types == {int, float} and all(abs(v) <= _EXACT_IN_FLOAT for v in values if type(v) is int):
        return "<f8"
    return None


def _strings(values: Sequence[str | None], kind: Kind, attributes: Mapping[str, Any]) -> ColumnData:
    index = {value: code for code, value in enumerate(dict.fromkeys(values))}
    if 2 * len(index) > len(values):
        return text(values, kind=kind, **attributes)
    codes = np.fromiter(map(index.__getitem__, values), dtype=np.int64, count=len(values))
    if None in index:
        codes[codes == index[None]] = -1
    return category(tuple(index), codes, kind=kind, **attributes)


def _numbers(values: Sequence[Any], dtype: str | None, kind: Kind, attributes: Mapping[str, Any]) -> ColumnData:
    if type(None) not in set(map(type, values)):
        return fixed(np.array(values, dtype=dtype), kind=kind, **attributes)
    valid = np.array([value is not None for value in values])
    present = np.array([value for value in values if value is not None], dtype=dtype)
    filled = np.zeros(len(values), dtype=present.dtype)
    filled[valid] = present
    return masked(filled, valid, kind=kind, **attributes)


def _arrays(values: Sequence[Any], kind: Kind, attributes: Mapping[str, Any]) -> ColumnData:
    """One array per variant, or None; numbers among them count as arrays without dimensions."""
    arrays = [None if value is None else np.asarray(value) for value in values]
    present = [value for value in arrays if value is not None]
    dtype = common_dtype({value.dtype for value in present})
    shapes = {value.shape for value in present}
    if len(shapes) > 1:
        return ragged(arrays, kind=kind, **attributes)
    shape = shapes.pop()
    valid = np.array([value is not None for value in arrays])
    if valid.all() and present[0].nbytes >= _WORTH_NO_COPY_BYTES:
        pieces = tuple(_raw(_storable(value.astype(dtype, copy=False))) for value in present)
        described = {"dtype": dtype.newbyteorder("<").str, "shape": list(shape), **attributes}
        return ColumnData(kind, "fixed", len(values), (pieces,), described)
    stacked = np.empty((len(values), *shape), dtype=dtype)
    if valid.all():
        np.stack(present, out=stacked)
        return fixed(stacked, kind=kind, **attributes)
    stacked[~valid] = np.zeros((), dtype=dtype)
    stacked[valid] = np.stack(present)
    return masked(stacked, valid, kind=kind, **attributes)


def common_dtype(dtypes: set[np.dtype[Any]]) -> np.dtype[Any]:
    """The dtype that holds values of all these.

    Raises
    ------
    TypeError
        They are of different kinds, such as text and numbers, or cannot be recorded.
    """
    families = {"number" if dtype.kind in "biufc" else dtype.kind for dtype in dtypes}
    if len(families) > 1 or families & {"O", "V"}:
        raise TypeError(f"arrays of types {sorted(map(str, dtypes))} cannot be recorded as one output")
    return np.result_type(*dtypes)


def _storable(values: NDArray[Any]) -> NDArray[Any]:
    """*values* contiguous and little-endian."""
    values = np.asarray(values)
    if values.dtype.hasobject or values.dtype.kind == "V":
        raise TypeError(f"an array of type {values.dtype} cannot be recorded; use numbers, bools, text or dates")
    return np.asarray(values, dtype=values.dtype.newbyteorder("<"), order="C")


def _raw(values: NDArray[Any]) -> memoryview:
    return values.reshape(-1).view(np.uint8).data


def _typed(values: NDArray[Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"dtype": values.dtype.str, "shape": list(values.shape[1:]), **attributes}


def _objects(values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """A 1-d object array of *values*, also when they are sequences or arrays themselves."""
    if isinstance(values, np.ndarray) and values.dtype == object:
        return values
    objects = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        objects[i] = value
    return objects


def _compact(codes: NDArray[np.int64], n_pool: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pool indices that occur, and *codes* as indices into those."""
    if n_pool > 20 * len(codes) + 10_000:
        used, compact = np.unique(codes, return_inverse=True)
        if len(used) and used[0] < 0:
            return used[1:], compact.astype(np.int64) - 1
        return used, compact.astype(np.int64)
    # one slot more: code -1 is the last
    occurs = np.zeros(n_pool + 1, dtype=np.bool_)
    occurs[codes] = True
    used = np.flatnonzero(occurs[:-1])
    if len(used) == n_pool:
        return used, codes
    position = np.full(n_pool + 1, -1, dtype=np.int64)
    position[used] = np.arange(len(used))
    return used, position[codes]


def _code_dtype(n_pool: int) -> np.dtype[Any]:
    for name in ("<u1", "<u2"):
        if n_pool < np.iinfo(name).max:
            return np.dtype(name)
    return np.dtype("<u4")


def _encode_pool(values: list[Any]) -> tuple[str, Bytes]:
    """Numbers as raw arrays, which is exact and costs nothing per value; the rest as JSON."""
    types = set(map(type, values))
    if not values:
        return NO_VALUES, b""
    if types == {float}:
        return "<f8", _raw(np.array(values, dtype="<f8"))
    if types == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return "<i8", _raw(np.array(values, dtype="<i8"))
    data = values if types <= {str, bool} else [_plain(value) for value in values]
    return "json", json.dumps(data, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray) and value != value:  # noqa: PLR0124  NaN: no parameter has it, an output may
        return {"$float": "nan"}
    try:
        return canonical.plain(value)
    except SpaceError as error:
        raise TypeError(f"a value of type {type(value).__name__} cannot be recorded: {error}") from error


def decode_pool(form: str, buffer: Bytes) -> list[Any]:
    """The distinct values of a category."""
    if form == NO_VALUES:
        return []
    if form != "json":
        return cast("list[Any]", np.frombuffer(buffer, dtype=form).tolist())
    return [canonical.from_plain(value) for value in json.loads(bytes(buffer))]
