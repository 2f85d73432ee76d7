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
from sciflow.store.column import FAILURE, ROW, Category

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
            rows = space.find(recorded_table(frame, space, defaults))
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


def recorded_table(frame: FrameRef, space: Space, defaults: Mapping[str, object]) -> Table:
    """The parameter columns of a frame as a table that `Space.find` understands."""
    names = [c["name"] for c in frame.header["columns"] if c["kind"] == "parameter"]
    known = {parameter.name: parameter for parameter in space.parameters}
    columns: dict[str, Column] = {}
    parameters: list[Parameter] = []
    for name, category in frame.table(names).items():
        assert isinstance(category, Category)
        column = Column(objects(category.pool), category.codes)
        if name not in known:
            if name not in defaults:
                columns[name] = column
                parameters.append(Parameter(name))
                continue
            # at its default a parameter that is gone does not count; at any other value the variant is another one
            declared = Parameter(name, default=defaults[name])
            counts = np.array([declared.counts_at(value) for value in category.pool] + [False])
            codes = np.where(counts[category.codes], category.codes, -1)
            if (codes < 0).all():
                continue
            column = Column(column.pool, codes)
        columns[name] = column
        parameters.append(known.get(name, Parameter(name)))
    return Table(tuple(parameters), columns, frame.n)


def failures_of(frame: FrameRef) -> list[str]:
    """The JSON texts of the failures in a frame of failed variants."""
    texts: list[str] = frame.table([FAILURE])[FAILURE]
    return texts


def rows_of(frame: FrameRef) -> NDArray[np.int64]:
    """Rows of the frame in the space of its own definition revision."""
    if "rows" in frame.header:
        return np.arange(*frame.header["rows"])
    rows: NDArray[np.int64] = frame.table([ROW])[ROW]
    return rows


def _own_rows(frame: FrameRef) -> list[tuple[int, int]]:
    if "rows" in frame.header:
        start, stop = frame.header["rows"]
        return [(start, stop)]
    return list(RowSet.from_rows(rows_of(frame)))


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
