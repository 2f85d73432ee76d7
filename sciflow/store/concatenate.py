"""Columns of several frames, one after the other, as one column."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.store.column import NO_ARRAY, NO_VALUES, ColumnData, category, decode_pool

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.store.atomic import Bytes

# what a description says of the values at hand rather than of the column
_OF_VALUES: Final = frozenset({"dtype", "shape", "encoding", "kind", "name", "pool", "n_dims"})
_NUMBERS: Final = frozenset({"<f8", "<i8"})


@dataclass(frozen=True, slots=True)
class Part:
    """A column of one frame: its description, its number of variants, and its raw buffers."""

    description: Mapping[str, Any]
    n: int
    buffers: Sequence[Bytes]


def signature(description: Mapping[str, Any]) -> Hashable:
    """What columns have in common that can be concatenated, apart from labels along their dims."""
    encoding = description["encoding"]
    is_array = encoding == "ragged" or bool(description.get("shape"))
    dtype = None if encoding in {"category", "text"} else (description["dtype"], is_array)
    attributes = {key: value for key, value in description.items() if key not in _OF_VALUES and key != "coords"}
    form = encoding if dtype is None else "numbers"
    return description["name"], description["kind"], form, dtype, json.dumps(attributes, sort_keys=True)


def concatenate(parts: Sequence[Part]) -> ColumnData:
    """Columns of one `signature`, in order, as one."""
    first = parts[0].description
    attributes = {key: value for key, value in first.items() if key not in _OF_VALUES}
    encodings = {part.description["encoding"] for part in parts}
    n = sum(part.n for part in parts)
    if len(parts) == 1:
        kept = {key: value for key, value in first.items() if key not in {"name", "kind", "encoding"}}
        return ColumnData(first["kind"], first["encoding"], n, tuple(parts[0].buffers), kept)
    if encodings == {"category"}:
        return _categories(parts, first["kind"], attributes)
    if encodings == {"text"}:
        return ColumnData(first["kind"], "text", n, (_buffers(parts, 0), _buffers(parts, 1)), attributes)
    shapes = {tuple(part.description.get("shape", ())) for part in parts}
    if len(shapes) > 1 or "ragged" in encodings:
        return _ragged(parts, first["kind"], n, attributes)
    typed = {"dtype": first["dtype"], "shape": first["shape"], **attributes}
    if encodings == {"fixed"}:
        return ColumnData(first["kind"], "fixed", n, (_buffers(parts, 0),), typed)
    valid = tuple(
        part.buffers[1] if part.description["encoding"] == "masked" else np.ones(part.n, np.bool_).data
        for part in parts
    )
    return ColumnData(first["kind"], "masked", n, (_buffers(parts, 0), valid), typed)


def _buffers(parts: Sequence[Part], index: int) -> tuple[Bytes, ...]:
    return tuple(part.buffers[index] for part in parts)


def _ragged(parts: Sequence[Part], kind: Any, n: int, attributes: dict[str, Any]) -> ColumnData:
    pieces = [_as_ragged(part) for part in parts]
    ranks = [part.description.get("n_dims", len(part.description.get("shape", ()))) for part in parts]
    described = {"dtype": parts[0].description["dtype"], "n_dims": max(ranks), **attributes}
    return ColumnData(kind, "ragged", n, tuple(zip(*pieces, strict=True)), described)


def _as_ragged(part: Part) -> tuple[Bytes, Bytes, Bytes]:
    """The buffers of the column as if its arrays had different shapes."""
    if part.description["encoding"] == "ragged":
        ranks, shapes, data = part.buffers
        return ranks, shapes, data
    shape: list[int] = part.description["shape"]
    if part.description["encoding"] == "fixed":
        valid = np.ones(part.n, np.bool_)
        data = part.buffers[0]
    else:
        valid = np.frombuffer(part.buffers[1], dtype=np.bool_)
        values = np.frombuffer(part.buffers[0], dtype=part.description["dtype"]).reshape(part.n, *shape)
        data = values[valid].tobytes()
    ranks = np.where(valid, len(shape), NO_ARRAY).astype(np.uint8)
    return ranks.data, np.tile(np.array(shape, dtype="<i8"), int(valid.sum())).tobytes(), data


def _categories(parts: Sequence[Part], kind: Any, attributes: dict[str, Any]) -> ColumnData:
    forms = {part.description["pool"] for part in parts} - {NO_VALUES}
    lengths, pool = _numbers(parts) if len(forms) == 1 and forms <= _NUMBERS else _values(parts)
    codes = np.concatenate([_codes(part) for part in parts])
    # codes of one part follow on those of the part before it
    offsets = np.repeat(np.cumsum([0, *lengths[:-1]]), [part.n for part in parts])
    places, distinct = pool
    chosen = np.append(places, -1)[np.where(codes < 0, len(places), codes + offsets)]
    return category(distinct, chosen, kind=kind, **attributes)


def _codes(part: Part) -> NDArray[np.int64]:
    dtype = np.dtype(part.description["dtype"])
    codes = np.frombuffer(part.buffers[0], dtype=dtype).astype(np.int64)
    codes[codes == np.iinfo(dtype).max] = -1
    return codes


def _numbers(parts: Sequence[Part]) -> tuple[list[int], tuple[NDArray[np.int64], Any]]:
    """The length of each part's pool; where each value is among the distinct ones; these."""
    form = next(part.description["pool"] for part in parts if part.description["pool"] != NO_VALUES)
    # as bits: -0.0 is not 0.0, and NaN is itself
    bits = np.frombuffer(b"".join(part.buffers[1] for part in parts), dtype="<i8")
    distinct, places = np.unique(bits, return_inverse=True)
    return [len(part.buffers[1]) // 8 for part in parts], (places.astype(np.int64), distinct.view(form).tolist())


def _values(parts: Sequence[Part]) -> tuple[list[int], tuple[NDArray[np.int64], Any]]:
    """Like `_numbers`, for values of any type."""
    known: dict[Hashable, int] = {}
    values: list[Any] = []
    pools: dict[tuple[str, bytes], list[int]] = {}
    places: list[int] = []
    lengths: list[int] = []
    for part in parts:
        raw = (part.description["pool"], bytes(part.buffers[1]))
        mine = pools.get(raw)
        if mine is None:
            mine = pools[raw] = []
            for value in decode_pool(*raw):
                place = known.setdefault(identity_of(value), len(values))
                if place == len(values):
                    values.append(value)
                mine.append(place)
        places += mine
        lengths.append(len(mine))
    return lengths, (np.array(places, dtype=np.int64), values)


def keyed(part: Part) -> tuple[list[Hashable], list[int]]:
    """Of a category: something that identifies each value of its pool, None at the end, and the codes."""
    keys: list[Hashable] = [*map(identity_of, decode_pool(part.description["pool"], part.buffers[1])), None]
    return keys, _codes(part).tolist()


def identity_of(value: Any) -> Hashable:
    """Something hashable that tells values, their types, and the two zeros apart."""
    return value if type(value) is str else (type(value), repr(value))
