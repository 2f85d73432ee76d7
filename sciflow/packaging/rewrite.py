"""Frames of a sweep for readers elsewhere: some variants only, without names of places, without some columns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sciflow.store.column import (
    FACT,
    FAILURE,
    FILES,
    ID,
    MERGED,
    RAN,
    ROW,
    SUMS,
    Category,
    ColumnData,
    category,
    decode,
    fixed,
    masked,
    pieces_of,
    ragged,
    text,
)
from sciflow.store.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

    from sciflow.packaging.scrub import Scrubber

# what an encoding says of itself; the rest of a description is the user's
_OF_ENCODINGS = frozenset({"dtype", "shape", "pool", "n_dims"})


def values_of(column: ColumnData) -> Any:
    """The decoded values of a column in memory."""
    buffers = [b"".join(pieces_of(one)) for one in column.buffers]
    return decode({**column.description, "encoding": column.encoding}, column.n, buffers)


def without(frame: Frame, names: Collection[str]) -> Frame:
    """The frame without some columns."""
    return Frame(frame.header, {name: one for name, one in frame.columns.items() if name not in names})


# ----------------------------------------------------------------------------------------------------- some variants


def chosen(frame: Frame, ids: NDArray[np.void]) -> Frame | None:
    """The records of a frame whose variants are among *ids* (as of `keys_of_ids`); None if there are none."""
    there = np.isin(keys_of_ids(values_of(frame.columns[ID])), ids)
    if there.all():
        return frame
    rows = np.flatnonzero(there)
    if not len(rows):
        return None
    header = dict(frame.header)
    columns = {name: _taken(one, rows) for name, one in frame.columns.items()}
    if "rows" in header:
        start, stop = header.pop("rows")
        columns[ROW] = fixed(np.arange(start, stop, dtype="<i8")[rows], kind="fact")
    for key in SUMS & header.keys():  # a header's sum is of all variants; a merged one has each one's share
        if FACT + key in frame.columns:
            shares: NDArray[np.float64] = np.asarray(values_of(frame.columns[FACT + key]), np.float64)
            header[key] = float(shares[rows].sum())
        elif MERGED not in header:
            header[key] = header[key] * len(rows) / frame.n
    return Frame(header, columns)


def keys_of_ids(ids: NDArray[np.uint8]) -> NDArray[np.void]:
    """Ids of ten bytes as one value each, which NumPy compares."""
    ids = np.ascontiguousarray(ids)
    return ids.view(np.dtype((np.void, ids.shape[1]))).ravel()


def _taken(column: ColumnData, rows: NDArray[np.int64]) -> ColumnData:
    values = values_of(column)
    kept: dict[str, Any] = {key: one for key, one in column.description.items() if key not in _OF_ENCODINGS}
    match column.encoding:
        case "fixed":
            return fixed(values[rows], kind=column.kind, **kept)
        case "masked":
            mask = np.ma.getmaskarray(values).reshape(column.n, -1)
            valid: NDArray[np.bool_] = np.logical_not(np.any(mask, axis=1))
            return masked(values.data[rows], np.take(valid, rows), kind=column.kind, **kept)
        case "text":
            return text([values[row] for row in rows.tolist()], kind=column.kind, **kept)
        case "category":
            return category(values.pool, values.codes[rows], kind=column.kind, **kept)
        case "ragged":
            return ragged([values[row] for row in rows.tolist()], kind=column.kind, **kept)


# -------------------------------------------------------------------------------------------------- names of places


def scrubbed(frame: Frame, scrub: Scrubber, environments: Mapping[str, str]) -> Frame:
    """The frame without names of places in what was noted of runs; outputs and parameters are as they were.

    Parameters
    ----------
    environments
        Digests of descriptions of environments that changed, and what they are now.
    """
    header = {key: scrub.data(value) if key != "rows" else value for key, value in frame.header.items()}
    if header.get("environment") in environments:
        header["environment"] = environments[header["environment"]]
    columns = {name: _scrubbed_column(name, one, scrub, environments) for name, one in frame.columns.items()}
    return Frame(header, columns)


def _scrubbed_column(name: str, column: ColumnData, scrub: Scrubber, environments: Mapping[str, str]) -> ColumnData:
    if column.kind != "fact" or column.encoding not in {"text", "category"}:
        return column
    is_json = name in {FAILURE, FILES} or name.startswith(RAN)
    values = values_of(column)
    before: Iterable[Any] = values.pool if isinstance(values, Category) else values
    known: dict[str, str] = {}
    after = [_scrubbed_text(one, scrub, environments, known, is_json=is_json) for one in before]
    if after == list(before):
        return column
    kept: dict[str, Any] = {key: one for key, one in column.description.items() if key not in _OF_ENCODINGS}
    if isinstance(values, Category):
        return category(after, values.codes, kind="fact", **kept)
    return text(cast("list[str | None]", after), kind="fact", **kept)


def _scrubbed_text(
    value: Any, scrub: Scrubber, environments: Mapping[str, str], known: dict[str, str], *, is_json: bool
) -> Any:
    if not isinstance(value, str):
        return value
    if value not in known:
        if is_json:
            data = scrub.data(json.loads(value))
            if isinstance(data, dict) and data.get("environment") in environments:
                data["environment"] = environments[data["environment"]]
            known[value] = json.dumps(data)
        else:
            known[value] = scrub.text(value)
    return known[value]


def with_column(frame: Frame, name: str, column: ColumnData, position: int) -> Frame:
    """The frame with one more column at its place."""
    items = list(frame.columns.items())
    items.insert(position, (name, column))
    return replace(frame, columns=dict(items))
