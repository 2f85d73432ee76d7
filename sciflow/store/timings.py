"""Timings: what the store knows of the cost of variants and tasks, read as samples for a cost model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.planning.cost import CPU_S, PEAK_BYTES, WALL_S, CostModel, task_measure
from sciflow.space.variant import Parameter
from sciflow.store.column import RUNTIME_S
from sciflow.store.located import recorded_table
from sciflow.store.records import by_path
from sciflow.store.segment import BlockReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sciflow.space.table import Table
    from sciflow.store.segment import FrameRef

    Rows = NDArray[np.int64]
    Floats = NDArray[np.float64]

TASK_S: Final = "@s."
"""Begins the name of a column with the seconds of a task's own run; NaN where the run was another variant's."""

_OWN_CPU_S: Final = "@cpu_s"
_OWN_PEAK_BYTES: Final = "@peak_bytes"

MOST_FRAMES: Final = 256
"""Frames read for a model, however many there are: about 0.1 s."""

_MOST_OF_A_FRAME = 64
_FEWEST_OF_TODAY = 16  # with fewer timings of today's code those of earlier code count too


def model_of(
    frames: Iterable[FrameRef],
    parameters: Iterable[Parameter] | None = None,
    footprints: Mapping[str, Sequence[str]] | None = None,
    *,
    events: Path | None = None,
    generation: str | None = None,
) -> CostModel:
    """What recorded variants cost: from all of them if they are few, else from some of each of `MOST_FRAMES` frames.

    Parameters
    ----------
    frames : of a snapshot; those of failed variants say nothing of what a success takes
    parameters : of the space; by default those that were recorded
    footprints : task → the parameters that its runs depend on
    events : folder of the event logs, which alone know of shared runs that were done before their variants
    generation : today's code, if timings of other code are to count only while there are few of today's
    """
    done = [frame for frame in frames if frame.header["status"] == "done"]
    today = [frame for frame in done if frame.header.get("generation") == generation]
    if generation is not None and sum(frame.n for frame in today) >= _FEWEST_OF_TODAY:
        done = today
    model = CostModel(recorded_parameters(done) if parameters is None else parameters, footprints)
    chosen = _choose(done)
    for path, members in by_path(done, chosen):
        with BlockReader(path) as reader:
            for k in members:
                for rows, costs, table in _samples(done[k], reader):
                    model.observe(table.take(rows), costs)
    for task, (n, seconds) in shared_runs(events).items() if events is not None else ():
        model.observe_total(task_measure(task), n, seconds)
    return model


def shared_runs(events: Path) -> dict[str, tuple[int, float]]:
    """Shared runs that were done before their variants: of each task how many, and their seconds together."""
    found: dict[str, tuple[int, float]] = {}
    for path in sorted(events.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                if b'"shared.computed"' not in line:
                    continue
                try:
                    event = json.loads(line)
                    task, n, seconds = event["task"], int(event["evaluations"]), float(event["busy_s"])
                except (ValueError, KeyError, TypeError):  # cut short by a crash
                    continue
                before = found.get(task, (0, 0.0))
                found[task] = before[0] + n, before[1] + seconds
    return found


def recorded_parameters(frames: Iterable[FrameRef]) -> tuple[Parameter, ...]:
    """The parameters that frames have, in the order in which they appear."""
    found: dict[str, Parameter] = {}
    seen: set[int] = set()
    for frame in frames:
        columns = frame.header["columns"]
        if id(columns) not in seen:  # frames that are described alike share their description
            seen.add(id(columns))
            for column in columns:
                if column["kind"] == "parameter":
                    found.setdefault(column["name"], Parameter(column["name"], derived=column.get("derived", False)))
    return tuple(found.values())


def task_columns(frame: FrameRef) -> dict[str, str]:
    """The columns with seconds of tasks: task → name of the column."""
    names = [column["name"] for column in frame.header["columns"] if column["name"].startswith(TASK_S)]
    return {name.removeprefix(TASK_S): name for name in names}


def _choose(frames: Sequence[FrameRef]) -> list[int]:
    """Which frames are read: each as likely as it has variants, and the first of each segment.

    A worker's first variants do the shared runs that the others only use.
    """
    if len(frames) <= MOST_FRAMES:
        return list(range(len(frames)))
    first_of: dict[Any, int] = {}
    for k, frame in enumerate(frames):
        known = first_of.setdefault(frame.path, k)
        if frame.offset < frames[known].offset:
            first_of[frame.path] = k
    firsts = list(first_of.values())
    firsts = firsts[:: max(1, -(-len(firsts) // (MOST_FRAMES // 4)))]
    past = np.cumsum([frame.n for frame in frames])
    ranks = _evenly(int(past[-1]), MOST_FRAMES - len(firsts))
    return sorted({*np.searchsorted(past, ranks, side="right").tolist(), *firsts})


def _samples(frame: FrameRef, reader: BlockReader) -> Iterator[tuple[Rows, dict[str, Floats], Table]]:
    """Some variants of a frame with what was measured of them."""
    tasks = task_columns(frame)
    columns = frame.table([RUNTIME_S, _OWN_CPU_S, _OWN_PEAK_BYTES, *tasks.values()], reader)
    if RUNTIME_S not in columns:
        return
    table = recorded_table(frame, reader)
    wall_s = np.asarray(columns[RUNTIME_S], dtype=np.float64)
    rows = _evenly(frame.n, _MOST_OF_A_FRAME)
    costs = {WALL_S: wall_s[rows], **_of_the_process(frame, wall_s, rows)}
    for measure, name in ((CPU_S, _OWN_CPU_S), (PEAK_BYTES, _OWN_PEAK_BYTES)):
        if name in columns:
            costs[measure] = np.asarray(columns[name], dtype=np.float64)[rows]
    yield rows, costs, table
    for task, name in tasks.items():
        seconds = np.asarray(columns[name], dtype=np.float64)
        own = np.flatnonzero(np.isfinite(seconds))
        rows = own[_evenly(len(own), _MOST_OF_A_FRAME)]
        if len(rows):
            yield rows, {task_measure(task): seconds[rows]}, table


def _of_the_process(frame: FrameRef, wall_s: Floats, rows: Rows) -> dict[str, Floats]:
    """CPU time, shared out by seconds, and peak memory, which one of the frame's variants had."""
    found: dict[str, Floats] = {}
    cpu_s, total = frame.header.get("cpu_s"), float(wall_s.sum())
    if cpu_s is not None and total > 0:
        found[CPU_S] = wall_s[rows] * (cpu_s / total)
    peak_bytes = frame.header.get("peak_bytes")
    if peak_bytes:
        found[PEAK_BYTES] = np.full(len(rows), float(peak_bytes))
    return found


def _evenly(n: int, most: int) -> Rows:
    """At most *most* of ``range(n)``, one at random from each of as many parts."""
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, most + 1).astype(np.int64)
    return np.random.Generator(np.random.Philox(n)).integers(edges[:-1], edges[1:])
