"""What the store knows of the rows of a definition: recorded frames mapped onto today's space."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from sciflow.planning.plan import Progress
from sciflow.planning.rows import RowSet
from sciflow.space.rule import Rule
from sciflow.space.table import Column, Table, objects
from sciflow.space.variant import Parameter
from sciflow.store.column import ROW, Category

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from sciflow.space import Space
    from sciflow.store.segment import FrameRef


def look(
    frames: Iterable[FrameRef],
    space: Space,
    generation: str,
    revisions: Mapping[int, bool],
    defaults: Mapping[str, object],
) -> Progress:
    """Map recorded frames onto the rows of *space*.

    Parameters
    ----------
    frames : committed frames
    space : today's space
    generation : digest of today's code and inputs
    revisions : definition revision → whether its rows are the rows of *space*
    defaults : parameters that earlier definitions declared with a default; a recorded variant at such a default
        is the variant without that parameter
    """
    spans: dict[tuple[str, bool], list[tuple[int, int]]] = defaultdict(list)
    attempts: dict[int, list[tuple[int, int]]] = defaultdict(list)
    n_foreign = 0
    for frame in frames:
        header = frame.header
        current = header["generation"] == generation
        if revisions.get(header["revision"], False):
            intervals = _own_rows(frame)
        else:
            rows = space.find(_recorded_table(frame).known_as(space.parameters, defaults))
            n_foreign += int((rows < 0).sum())
            found = RowSet.from_rows(rows[rows >= 0])
            intervals = list(found)
        spans[header["status"], current].extend(intervals)
        attempts[header["attempt"]].extend(intervals)
    done = _union(spans["done", True])
    stale = _union(spans["done", False]) - done
    failed = _union(spans["failed", True]) - done
    stale_failed = _union(spans["failed", False]) - done - stale - failed
    return Progress(
        done=done,
        failed=failed,
        stale=stale - failed,
        stale_failed=stale_failed,
        attempts={attempt: _union(intervals) for attempt, intervals in sorted(attempts.items())},
        n_foreign=n_foreign,
    )


def _recorded_table(frame: FrameRef) -> Table:
    """The parameters of a frame's variants, as they were stored."""
    stored = [column for column in frame.header["columns"] if column["kind"] == "parameter"]
    columns: dict[str, Column] = {}
    for name, category in frame.table([column["name"] for column in stored]).items():
        assert isinstance(category, Category)
        columns[name] = Column(objects(category.pool), category.codes)
    parameters = tuple(Parameter(column["name"], derived=column.get("derived", False)) for column in stored)
    return Table(parameters, columns, frame.n)


def _own_rows(frame: FrameRef) -> list[tuple[int, int]]:
    if "rows" in frame.header:
        start, stop = frame.header["rows"]
        return [(start, stop)]
    return list(RowSet.from_rows(frame.table([ROW])[ROW]))


def _union(intervals: list[tuple[int, int]]) -> RowSet:
    if not intervals:
        return RowSet.empty()
    starts, stops = zip(*intervals, strict=True)
    return RowSet.from_intervals(starts, stops)


def rows_where(space: Space, query: str) -> RowSet:
    """Rows of *space* for which the query holds."""
    rule = Rule(query, space.names, "only")
    found: list[NDArray[np.int64]] = []
    step = 1 << 16
    for start in range(0, space.n_variants, step):
        rows = np.arange(start, min(start + step, space.n_variants))
        found.append(rows[rule.mask(space.take(rows))])
    return RowSet.from_rows(np.concatenate(found)) if found else RowSet.empty()
