"""From the frames of a sweep to arrays over its variants."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from sciflow.canonical import from_plain
from sciflow.errors import ResultsError, SpaceError
from sciflow.space.spec import from_dict
from sciflow.store.arrays import ArrayOutput, LabelOutput, with_gaps
from sciflow.store.assembled import DONE, FAILED, Assembled, ScalarOutput
from sciflow.store.cells import cells_of_space, recorded_cells
from sciflow.store.collector import collector_paused
from sciflow.store.directory import frozen_defaults
from sciflow.store.doubt import doubtful
from sciflow.store.records import Records
from sciflow.store.scalars import RecordColumns
from sciflow.store.source import RecordSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.space.algebra import Space
    from sciflow.store.assembled import Output
    from sciflow.store.cells import Cells
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.outputs import OutputPlan
    from sciflow.store.snapshot import Snapshot


def assemble(
    directory: SweepDirectory,
    layout: Literal["auto", "dense", "flat"] = "auto",
    snapshot: Snapshot | None = None,
) -> Assembled:
    """Reduce what is recorded to one result per variant.

    Among the records of a variant those of today's code count before those of other code, then any success before
    a failure, then the newest. Records of older revisions of the definition count for the variants that still are
    in the space.

    Parameters
    ----------
    layout
        ``dense``: one dimension per parameter; ``flat``: one dimension ``variant``; ``auto``: dense if and
        only if the space is a product of axes.
    snapshot
        What to assemble; by default all that is committed now. Where a compaction has taken away what it lists,
        all that is committed now too.

    Raises
    ------
    ResultsError
        ``dense`` was asked of a space that has no such form, or whose form is too large.
    FormatError
        The sweep was written by a newer release, or is damaged.
    """
    with collector_paused():
        assembled, _ = directory.read(lambda now: _assemble(directory, layout, now), snapshot)
    return assembled


def _assemble(directory: SweepDirectory, layout: Literal["auto", "dense", "flat"], snapshot: Snapshot) -> Assembled:
    definitions = directory.definitions()
    definition: dict[str, Any] = definitions[-1] if definitions else {}
    records = Records(snapshot.frames, definition.get("generation"))
    space = _rebuild(definition)
    columns = RecordColumns(records, _foreign(definitions, space), frozen_defaults(definitions))
    columns.read()
    cells = recorded_cells(columns, _defaults(definition)) if space is None else cells_of_space(space, columns, layout)
    if layout == "dense" and cells.layout != "dense":
        raise ResultsError(
            "this sweep has no dense layout: its space is too large or cannot be rebuilt; use the flat layout"
        )
    assembled = _reduce(cells, columns, space, definition, snapshot)
    if not any(one.get("inputs") for one in definitions):
        return assembled
    doubt = doubtful(directory.sessions(), assembled.source)
    return replace(assembled, inputs_changed=doubt.reshape(assembled.shape))


def _rebuild(definition: Mapping[str, Any]) -> Space | None:
    """The space of a definition; None if a function that nobody stored decides what is in it."""
    if "space" not in definition:
        return None
    try:
        space = from_dict(definition["space"])
    except SpaceError:
        return None
    return space if space.n_up_to(2**62) < 2**62 else None


def _defaults(definition: Mapping[str, Any]) -> dict[str, object]:
    return {name: from_plain(value) for name, value in definition.get("defaults", {}).items()}


def _foreign(definitions: Sequence[Mapping[str, Any]], space: Space | None) -> set[int] | None:
    """The revisions whose row numbers are not those of the newest space; None if no row number means anything."""
    if space is None:
        return None
    newest = definitions[-1]["space"]
    return {definition["revision"] for definition in definitions if definition["space"] != newest}


def _reduce(
    cells: Cells, columns: RecordColumns, space: Space | None, definition: Mapping[str, Any], snapshot: Snapshot
) -> Assembled:
    records, shape = columns.records, cells.shape
    winners = np.full(math.prod(shape), -1, dtype=np.int64)
    counted = np.flatnonzero(cells.of_record >= 0)
    winners[cells.of_record[counted]] = counted  # of several records for one place the last stays
    there = winners >= 0
    if int(there.sum()) < len(counted):
        ordered = records.in_order(counted)
        winners[cells.of_record[ordered]] = ordered
    source = RecordSource(records, winners)

    def of_frames(values: list[Any], dtype: Any) -> NDArray[Any]:
        per_record = np.repeat(np.array([*values, 0], dtype=dtype), [*np.diff(records.first), 1])
        return per_record[winners].reshape(shape)

    statuses = [DONE if frame.header["status"] == "done" else FAILED for frame in records.frames]
    today = definition.get("generation")
    old = [today is not None and frame.header.get("generation") != today for frame in records.frames]
    attempts = [min(frame.header.get("attempt", 1), 0xFFFF) for frame in records.frames]
    outputs: dict[str, Output] = {}
    for name, plan in columns.plans.items():
        if plan.is_array:
            outputs[name] = _array_output(name, plan, source, gaps=not _all_have(records, winners, name))
        else:
            taken = columns.scalars[name].take(winners)
            outputs[name] = ScalarOutput(name, taken.reshape(shape), plan.attributes)
    runtime = np.append(columns.runtime_s, np.float32(np.nan))[winners]
    failure = np.append(columns.failure, np.int32(0))[winners]
    return Assembled(
        layout=cells.layout,
        dims=cells.dims,
        shape=shape,
        coords=cells.coords,
        status=of_frames(statuses, np.uint8),
        attempt=of_frames(attempts, np.uint16),
        runtime_s=runtime.reshape(shape),
        failure=failure.reshape(shape),
        stale=of_frames(old, np.bool_),
        inputs_changed=np.zeros(shape, dtype=np.bool_),
        messages=tuple(map(_message, columns.failures)),
        outputs=outputs,
        rows=cells.rows,
        space=space,
        definition=definition,
        snapshot=snapshot,
        source=source,
        n_superseded=len(counted) - int(there.sum()),
    )


def _array_output(name: str, plan: OutputPlan, source: RecordSource, *, gaps: bool) -> ArrayOutput:
    assert plan.dtype is not None
    dtype = with_gaps(plan.dtype) if gaps and plan.shape is not None else plan.dtype
    labels = {
        one.dim: LabelOutput(
            name=f"{name}_{one.dim}",
            dtype=with_gaps(one.dtype) if gaps or one.length is None else one.dtype,
            shape=None if one.length is None else (one.length,),
            dims=(one.dim,),
            coords={},
            attributes={"long_name": f"labels along {one.dim} of {name}", **plan.coord_attributes.get(one.dim, {})},
            source=source,
            of=name,
        )
        for one in plan.labels
    }
    return ArrayOutput(
        name, dtype, plan.shape, plan.dims, plan.coords, plan.attributes, source, labels, plan.coord_attributes
    )


def _all_have(records: Records, winners: NDArray[np.int64], name: str) -> bool:
    """Whether the record of every place has a column *name*."""
    if not len(winners) or winners.min() < 0:
        return False
    having = np.array([frame.column(name) is not None for frame in records.frames])
    return bool(having[records.frame_of(winners)].all())


def _message(text: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(text))
