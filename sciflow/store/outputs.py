"""How an output is held, decided from what all frames say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.store.arrays import with_gaps
from sciflow.store.column import NO_VALUES, common_dtype
from sciflow.store.labels import given_labels, label_name, shared_coord_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from sciflow.store.segment import FrameRef

_TYPING = frozenset(
    {"dtype", "shape", "encoding", "kind", "name", "pool", "dims", "coords", "coord_attributes", "n_dims"}
)


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """How labels along a dim are held where they differ: their dtype, and how many there are (None: that differs)."""

    dim: str
    dtype: np.dtype[Any]
    length: int | None


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """How an output is held: its dtype (None: objects) and, for arrays, shape (None: they differ) and dims.

    Attributes
    ----------
    coords
        The labels along the dims on which all agree.
    labels
        The dims that have labels on which not all agree.
    coord_attributes
        What all say of the labels along a dim, such as units.
    """

    is_array: bool
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...] | None
    dims: tuple[str, ...]
    coords: dict[str, Any]
    attributes: dict[str, Any]
    labels: tuple[LabelPlan, ...] = ()
    coord_attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, "Mapping[str, str]"])


def plan_outputs(frames: Iterable[FrameRef]) -> dict[str, OutputPlan]:
    """Look at the descriptions of all frames; those of equal frames are one object."""
    schemas = {id(frame.header["columns"]): frame.header["columns"] for frame in frames}
    found: dict[str, list[dict[str, Any]]] = {}
    labels: dict[str, list[dict[str, Any]]] = {}
    for schema in schemas.values():
        for column in schema:
            if column["kind"] in {"output", "label"}:
                of_kind = found if column["kind"] == "output" else labels
                of_kind.setdefault(column["name"], []).append(column)
    return {name: _plan(name, columns, labels) for name, columns in found.items()}


def _plan(name: str, columns: list[dict[str, Any]], labels: Mapping[str, list[dict[str, Any]]]) -> OutputPlan:
    attributes: dict[str, Any] = {}
    for column in columns:
        attributes |= {key: value for key, value in column.items() if key not in _TYPING}
    telling = [column for column in columns if column.get("pool") != NO_VALUES]
    if not any(column.get("shape") or column["encoding"] == "ragged" for column in telling):
        return OutputPlan(False, _scalar_dtype(telling), (), (), {}, attributes)
    dims = _dims(telling)
    if dims is None:
        dims = tuple(f"{name}_dim_{i}" for i in range(max(map(_most_dims, telling))))
        named = list(dict.fromkeys(f"({', '.join(column['dims'])})" for column in telling if "dims" in column))
        if named:
            attributes["comment"] = f"variants name the dimensions {' or '.join(named)}; they are taken by position"
    shapes = {_turned_shape(column, dims) for column in telling}
    uniform = len(shapes) == 1 and all(column["encoding"] in {"fixed", "masked"} for column in telling)
    gaps = len(telling) < len(columns) or any(column["encoding"] == "masked" for column in telling)
    dtype = with_gaps(_array_dtype(telling)) if uniform and gaps else _array_dtype(telling)
    coords: dict[str, Any] = {}
    differing: list[LabelPlan] = []
    for dim in dims:
        given = [given_labels(column, dim) for column in telling]
        own = labels.get(label_name(name, dim), [])
        if not own and _agree(given):
            coords[dim] = next(c["coords"][dim] for c in telling)
        elif own or any(one is not None for one in given):
            differing.append(_plan_labels(dim, given, own))
    told = {dim: same for dim in dims if (same := shared_coord_attributes(telling, dim))}
    shape = shapes.pop() if uniform else None
    return OutputPlan(True, dtype, shape, dims, coords, attributes, tuple(differing), told)


def _dims(columns: list[dict[str, Any]]) -> tuple[str, ...] | None:
    """The names of dimensions that fit all arrays, those of the one with most; None if there are none."""
    named = [tuple(column["dims"]) for column in columns if "dims" in column]
    longest = max(named, key=len, default=())
    fits = len(longest) == max(map(_most_dims, columns)) and all(set(dims) <= set(longest) for dims in named)
    return longest if fits else None


def _turned_shape(column: Mapping[str, Any], dims: tuple[str, ...]) -> tuple[int, ...]:
    shape, given = tuple(column.get("shape", ())), column.get("dims", ())
    if not given or not shape or not set(given) <= set(dims):
        return shape
    return tuple(shape[given.index(dim)] if dim in given else 1 for dim in dims)


def _agree(labels: list[NDArray[Any] | None]) -> bool:
    """Whether all have labels, and the same."""
    first = labels[0]
    return first is not None and all(one is not None and np.array_equal(one, first) for one in labels)


def _plan_labels(dim: str, given: list[NDArray[Any] | None], columns: list[dict[str, Any]]) -> LabelPlan:
    told = [one for one in given if one is not None]
    stored = [column for column in columns if column["encoding"] in {"fixed", "masked", "ragged"}]
    dtype = np.result_type(*(one.dtype for one in told), *(np.dtype(column["dtype"]) for column in stored))
    lengths = {len(one) for one in told} | {next(iter(column.get("shape", [None]))) for column in stored}
    gaps = len(told) < len(given) or any(column["encoding"] != "fixed" for column in columns)
    length: int | None = lengths.pop() if len(lengths) == 1 else None
    return LabelPlan(dim, with_gaps(dtype) if gaps else dtype, length)


def _scalar_dtype(columns: list[dict[str, Any]]) -> np.dtype[Any] | None:
    if not columns:
        return np.dtype(np.float64)  # None for every variant
    if any(column["encoding"] in {"text", "category"} for column in columns):
        return None
    try:
        dtype = common_dtype({np.dtype(column["dtype"]) for column in columns})
    except TypeError:
        return None
    return dtype if dtype.kind in "biufcmM" else None


def _array_dtype(columns: list[dict[str, Any]]) -> np.dtype[Any]:
    if any(column["encoding"] in {"text", "category"} for column in columns):
        return np.dtype(object)
    try:
        return common_dtype({np.dtype(column["dtype"]) for column in columns})
    except TypeError:
        return np.dtype(object)


def _most_dims(column: dict[str, Any]) -> int:
    return column.get("n_dims", len(column.get("shape", ())))
