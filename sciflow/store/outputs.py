"""How an output is held, decided from what all frames say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.store.column import NO_VALUES, common_dtype

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sciflow.store.segment import FrameRef

_TYPING = frozenset({"dtype", "shape", "encoding", "kind", "name", "pool", "dims", "coords", "n_dims"})


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """How an output is held: its dtype (None: objects) and, for arrays, shape (None: they differ) and dims."""

    is_array: bool
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...] | None
    dims: tuple[str, ...]
    coords: dict[str, Any]
    attributes: dict[str, Any]


def plan_outputs(frames: Iterable[FrameRef]) -> dict[str, OutputPlan]:
    """Look at the descriptions of all frames; those of equal frames are one object."""
    schemas = {id(frame.header["columns"]): frame.header["columns"] for frame in frames}
    found: dict[str, list[dict[str, Any]]] = {}
    for schema in schemas.values():
        for column in schema:
            if column["kind"] == "output":
                found.setdefault(column["name"], []).append(column)
    return {name: _plan(name, columns) for name, columns in found.items()}


def _plan(name: str, columns: list[dict[str, Any]]) -> OutputPlan:
    attributes: dict[str, Any] = {}
    for column in columns:
        attributes |= {key: value for key, value in column.items() if key not in _TYPING}
    telling = [column for column in columns if column.get("pool") != NO_VALUES]
    shapes = {tuple(column.get("shape", ())) for column in telling}
    if not any(shapes) and all(column["encoding"] != "ragged" for column in telling):
        return OutputPlan(False, _scalar_dtype(telling), (), (), {}, attributes)
    uniform = len(shapes) == 1 and all(column["encoding"] in {"fixed", "masked"} for column in telling)
    gaps = len(telling) < len(columns) or any(column["encoding"] == "masked" for column in telling)
    dtype = _array_dtype(telling)
    if uniform and gaps:
        dtype = with_gaps(dtype)
    shape = shapes.pop() if uniform else None
    n_dims = len(shape) if shape is not None else max(_most_dims(column) for column in telling)
    given = next((column["dims"] for column in telling if len(column.get("dims", ())) == n_dims), None)
    dims = tuple(given) if given is not None else tuple(f"{name}_dim_{i}" for i in range(n_dims))
    coords = telling[0].get("coords", {}) if uniform else {}
    agreed = {dim: coords[dim] for dim in coords if all(c.get("coords", {}).get(dim) == coords[dim] for c in telling)}
    return OutputPlan(True, dtype, shape, dims, agreed, attributes)


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


def with_gaps(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype for values of which some are missing."""
    return np.dtype(np.float64) if dtype.kind in "biu" else dtype
