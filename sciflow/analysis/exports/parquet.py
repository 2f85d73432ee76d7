"""Parquet: types, units and descriptions are in the file's own schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.analysis.exports.table import ExportTable, Field, Values


def write_parquet(table: ExportTable, path: Path) -> None:
    """Write the table; pandas reads it with the ids as index and the units in ``attrs["units"]``.

    Raises
    ------
    ResultsError
        The package pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  an extra
        import pyarrow.parquet as pq  # noqa: PLC0415  same
    except ImportError as error:
        raise ResultsError(
            'a .parquet file needs the package pyarrow, which is not installed; pip install "sciflow[tables]"'
        ) from error
    schema = pa.schema([_arrow_field(pa, one) for one in table.fields], metadata=_metadata(pa, table))
    with pq.ParquetWriter(path, schema) as writer:
        for piece in table.pieces():
            arrays = [_array(pa, values, one.type) for values, one in zip(piece, schema, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def _arrow_field(pa: Any, one: Field) -> Any:
    facts = {"description": one.description, "role": one.role, **({} if one.unit is None else {"unit": one.unit})}
    return pa.field(one.name, _arrow_type(pa, one), nullable=not one.required, metadata=facts)


def _arrow_type(pa: Any, one: Field) -> Any:
    match one.type:
        case "string":
            return pa.string()
        case "datetime":
            return pa.timestamp("us")
        case "date":
            return pa.date32()
        case _:
            return pa.from_numpy_dtype(one.dtype)


def _array(pa: Any, values: Values, kind: Any) -> Any:
    data = np.ma.getdata(values)
    if data.dtype.kind == "M" and data.dtype != np.dtype("datetime64[D]"):
        data = data.astype("datetime64[us]")
    mask = np.ma.getmask(values)
    return pa.array(data, type=kind, mask=None if mask is np.ma.nomask else mask, from_pandas=False)


def _metadata(pa: Any, table: ExportTable) -> dict[bytes, bytes]:
    """What pandas looks for, and what the table is of."""
    import pandas as pd  # noqa: PLC0415  with what reads a sweep

    empty = pd.DataFrame({one.name: pd.Series([], dtype=_pandas_dtype(one)) for one in table.fields})
    if any(one.role == "id" for one in table.fields):
        empty = empty.set_index("variant")
    units = {one.name: one.unit for one in table.fields if one.unit is not None}
    about = {**table.about, "left_out": list(table.left_out)}
    known: dict[bytes, bytes] = dict(pa.Schema.from_pandas(empty).metadata)
    said = {"sciflow": about, "PANDAS_ATTRS": {"units": units, "sciflow": about}}
    return known | {key.encode(): json.dumps(value, ensure_ascii=False).encode() for key, value in said.items()}


def _pandas_dtype(one: Field) -> Any:
    """The type that pandas keeps the column in: one that knows a lack where values lack."""
    match one.type:
        case "integer" if not one.required:
            return "Int64"
        case "boolean" if not one.required:
            return "boolean"
        case "string" | "date":
            return object
        case "datetime":
            return "datetime64[us]"
        case _:
            return one.dtype
