"""Values of a parameter as a typed NumPy array."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT_FLOAT_INT = 2**53


def typed_pool(pool: NDArray[np.object_]) -> NDArray[Any]:  # noqa: PLR0911  one return for each type
    """The values in the narrowest of bool, int64, float64, text and datetime64 that keeps them all, else as objects."""
    values: list[Any] = pool.tolist()
    kinds = set(map(type, values))
    if kinds == {bool}:
        return np.array(values, dtype=bool)
    if kinds == {int}:
        fits = all(-(2**63) <= value < 2**63 for value in values)
        return np.array(values, dtype=np.int64) if fits else pool
    if kinds == {float}:
        return np.array(values, dtype=np.float64)
    if kinds == {int, float}:
        fits = all(abs(value) <= _EXACT_FLOAT_INT for value in values if type(value) is int)
        return np.array(values, dtype=np.float64) if fits else pool
    if kinds == {str}:
        # NumPy drops trailing NULs of fixed-width text
        return pool if any(value.endswith("\0") for value in values) else np.array(values, dtype=np.str_)
    if kinds == {dt.date}:
        return np.array(values, dtype="datetime64[D]")
    if kinds == {dt.datetime} and all(value.tzinfo is None for value in values):
        return np.array(values, dtype="datetime64[us]")
    return pool


def typed_column(pool: NDArray[np.object_], codes: NDArray[np.int64]) -> NDArray[Any]:
    """One typed value per row; a masked array if rows lack the parameter (code -1)."""
    values = typed_pool(pool)
    if not codes.size or codes.min() >= 0:
        return values[codes]
    if not len(values):
        values = np.empty(1, dtype=object)
    return np.ma.MaskedArray(values[np.maximum(codes, 0)], mask=codes < 0)
