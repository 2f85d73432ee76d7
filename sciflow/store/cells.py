"""The places of a dataset: one per variant of the space, or of what is recorded of it."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from sciflow.canonical import Named, canonical_text, identity_key, plain
from sciflow.errors import ResultsError
from sciflow.space.table import Column, Table, objects
from sciflow.space.typed import typed_pool
from sciflow.space.variant import Parameter
from sciflow.store.assembled import Coordinate
from sciflow.store.column import ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.space.algebra import Space
    from sciflow.store.assembled import Layout
    from sciflow.store.scalars import RecordColumns

MOST_CELLS: Final = 20_000_000
"""In a larger space only what is recorded is listed, unless a good part of it is."""

_YEARS_IN_NS = (dt.datetime(1678, 1, 1), dt.datetime(2262, 1, 1))  # noqa: DTZ001  limits of a naive datetime64[ns]


@dataclass(frozen=True, slots=True)
class Cells:
    """The places of the dataset, and which of them each record is for (-1: none)."""

    layout: Layout
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: dict[str, Coordinate]
    of_record: NDArray[np.int64]
    rows: NDArray[np.int64] | None


def cells_of_space(space: Space, columns: RecordColumns, layout: str) -> Cells:
    """One place per variant of the space, or per recorded one if the space is too large to list.

    Raises
    ------
    ResultsError
        The dense layout was asked for and there is none, or it is too large.
    """
    rows = _rows_in(space, columns)
    n = space.n_variants
    if n > max(MOST_CELLS, 4 * len(columns.records)):
        listed = np.unique(rows[rows >= 0])
        of_record = np.where(rows < 0, -1, np.searchsorted(listed, rows))
        coords = _flat_coords(space.take(listed))
        return Cells("flat", ("variant",), (len(listed),), coords, of_record, listed)
    axes = space.axes
    if axes is not None and layout != "flat":
        coords: dict[str, Coordinate] = {}
        for axis in axes:
            column = axis.take(np.arange(axis.n_variants)).columns[axis.name]
            coords[axis.name] = _coordinate(axis.parameters[0], column.pool[column.codes], None)
        return Cells("dense", tuple(coords), tuple(axis.n_variants for axis in axes), coords, rows, None)
    table = space.take(np.arange(n))
    if layout == "dense":
        return _scatter(table, rows)
    return Cells("flat", ("variant",), (n,), _flat_coords(table), rows, None)


def _scatter(table: Table, rows: NDArray[np.int64]) -> Cells:
    """Any space as the grid of all values that occur; most of it may be missing."""
    columns = {known.name: table.columns[known.name] for known in table.parameters}
    partial = [name for name, column in columns.items() if (column.codes < 0).any()]
    if partial:
        raise ResultsError(
            f"this sweep has no dense layout: some of its variants lack {', '.join(partial)}; use the flat layout"
        )
    used: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {
        name: np.unique(column.codes, return_inverse=True) for name, column in columns.items()
    }
    shape = tuple(len(values) for values, _ in used.values())
    if math.prod(shape) > max(MOST_CELLS, 4 * table.n_rows):
        raise ResultsError(
            f"the dense layout of this sweep has {math.prod(shape)} places for {table.n_rows} variants; "
            "use the flat layout"
        )
    place = np.ravel_multi_index(tuple(codes for _, codes in used.values()), shape).astype(np.int64)
    coords = {
        known.name: _coordinate(known, columns[known.name].pool[used[known.name][0]], None)
        for known in table.parameters
    }
    row_of = np.full(math.prod(shape), -1, dtype=np.int64)
    row_of[place] = np.arange(table.n_rows)
    of_record = np.where(rows < 0, -1, place[rows]) if len(place) else rows
    return Cells("dense", tuple(coords), shape, coords, of_record, row_of)


def _rows_in(space: Space, columns: RecordColumns) -> NDArray[np.int64]:
    """The position of each record in *space*, -1 where it is not in it any more."""
    records = columns.records
    rows = records.rows()
    foreign = [k for k, frame in enumerate(records.frames) if columns.is_foreign(frame)]
    if foreign:
        members = np.concatenate([np.arange(*records.where(k).indices(len(rows))[:2]) for k in foreign])
        table = columns.table(members).known_as(space.parameters, columns.defaults)
        rows[members] = space.find(table)
    rows[rows >= space.n_variants] = -1
    return rows


def recorded_cells(columns: RecordColumns, defaults: Mapping[str, object]) -> Cells:
    """One place for each variant that is recorded, told apart by its id, in the order of their rows.

    A variant that was recorded before a parameter of *defaults* was added is at the default.
    """
    ids = np.ascontiguousarray(columns.ids).view(f"S{ID_BYTES}").reshape(-1)
    distinct, of_record = np.unique(ids, return_inverse=True)
    last = np.zeros(len(distinct), dtype=np.int64)
    ordered = columns.records.in_order(np.arange(len(ids)))
    last[of_record[ordered]] = ordered
    order = np.argsort(columns.records.rows()[last], kind="stable")
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    coords = _flat_coords(_at_defaults(columns.table(last[order]), defaults))
    return Cells("flat", ("variant",), (len(distinct),), coords, position[of_record], None)


def _at_defaults(table: Table, defaults: Mapping[str, object]) -> Table:
    columns, parameters = dict(table.columns), list(table.parameters)
    for name, default in defaults.items():
        column = columns.get(name)
        if column is None:
            columns[name] = Column(objects([default]), np.zeros(table.n_rows, dtype=np.int64))
            parameters.append(Parameter(name))
        elif column.codes.size and column.codes.min() < 0:
            pool: list[Any] = [*column.pool.tolist(), default]
            keys = list(map(identity_key, pool))
            columns[name] = Column(objects(pool), np.where(column.codes < 0, keys.index(keys[-1]), column.codes))
    return Table(tuple(parameters), columns, table.n_rows)


def _flat_coords(table: Table) -> dict[str, Coordinate]:
    return {
        known.name: _coordinate(known, table.columns[known.name].pool, table.columns[known.name].codes)
        for known in table.parameters
    }


def _coordinate(parameter: Parameter, pool: NDArray[Any], codes: NDArray[np.int64] | None) -> Coordinate:
    typed = typed_pool(pool)
    if typed.dtype.kind == "M":
        fits = all(_YEARS_IN_NS[0] <= moment < _YEARS_IN_NS[1] for moment in typed.astype("datetime64[us]").tolist())
        typed = typed.astype("datetime64[ns]" if fits else "datetime64[us]")
    if typed.dtype != object or all(isinstance(value, str) for value in typed):
        return Coordinate(parameter.name, typed, codes, parameter.unit)
    values = cast("list[Any]", pool.tolist())
    shown = np.array(labels_of(values), dtype=object)
    return Coordinate(parameter.name, shown, codes, parameter.unit, tuple(map(plain, values)))


def labels_of(values: Sequence[Any]) -> list[str]:
    """A text for each of several different values, as people write them; no two alike."""
    labels = list(map(_label, values))
    return labels if len(set(labels)) == len(labels) else list(map(canonical_text, values))


def _label(value: Any) -> str:
    match value:
        case str():
            return value
        case Named():
            return value.name
        case PurePath():
            return value.as_posix()
        case dt.date():
            return value.isoformat()
        case None:
            return "None"
        case _:
            return canonical_text(value)
