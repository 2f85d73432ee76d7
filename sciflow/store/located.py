"""Where recorded variants stand in a space, whichever revision of the definition they were recorded under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from sciflow.planning.rows import RowSet
from sciflow.space.table import Column, Table, objects
from sciflow.space.variant import Parameter
from sciflow.store.column import ROW, Category

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from sciflow.space import Space
    from sciflow.store.segment import FrameRef, Reader

Bounds: TypeAlias = "tuple[ArrayLike, ArrayLike]"
"""Starts and stops of intervals of rows, in any order."""


@dataclass(frozen=True, slots=True)
class Locator:
    """Finds the rows of recorded variants in *space*.

    Parameters
    ----------
    space : today's space
    revisions : definition revision → whether its rows are the rows of *space*
    defaults : parameters that earlier definitions declared with a default; a recorded variant at such a default
        is the variant without that parameter
    """

    space: Space
    revisions: Mapping[int, bool]
    defaults: Mapping[str, object]

    def rows(self, frame: FrameRef) -> NDArray[np.int64]:
        """The row of each variant of a frame, -1 where it is not in the space: (frame.n,)."""
        if not self.revisions.get(frame.header["revision"], False):
            return self.space.find(recorded_table(frame).known_as(self.space.parameters, self.defaults))
        if "rows" in frame.header:
            return np.arange(*frame.header["rows"], dtype=np.int64)
        return np.asarray(frame.table([ROW])[ROW], np.int64)

    def bounds(self, frame: FrameRef) -> tuple[Bounds, int]:
        """The rows of a frame as intervals, and how many of its variants are not in the space."""
        if "rows" in frame.header and self.revisions.get(frame.header["revision"], False):
            start, stop = frame.header["rows"]
            return ([start], [stop]), 0
        rows = self.rows(frame)
        found = rows[rows >= 0]
        return (found, found + 1), len(rows) - len(found)


def recorded_table(frame: FrameRef, reader: Reader | None = None) -> Table:
    """The parameters of a frame's variants, as they were stored; *reader* is of the frame's file."""
    stored = [column for column in frame.header["columns"] if column["kind"] == "parameter"]
    columns: dict[str, Column] = {}
    for name, category in frame.table([column["name"] for column in stored], reader).items():
        assert isinstance(category, Category)
        columns[name] = Column(objects(category.pool), category.codes)
    parameters = tuple(Parameter(column["name"], derived=column.get("derived", False)) for column in stored)
    return Table(parameters, columns, frame.n)


def united(bounds: Iterable[Bounds]) -> RowSet:
    """All rows of these intervals."""
    pairs: Sequence[Bounds] = list(bounds)
    if not pairs:
        return RowSet.empty()
    starts, stops = zip(*pairs, strict=True)
    return RowSet.from_intervals(np.concatenate(starts), np.concatenate(stops))
