"""Performance: where the time of a sweep went, what it depends on, and what would help."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.analysis.advice import SHORT_S, WORTH_S, Advice, advise, dependence
from sciflow.planning.cost import PEAK_BYTES, WALL_S, task_measure
from sciflow.quantities import render_bytes, render_seconds
from sciflow.store.assembled import FAILED
from sciflow.store.column import FACT, RUNTIME_S, START_S
from sciflow.store.records import Records
from sciflow.store.segment import is_gone
from sciflow.store.timings import model_of, shared_runs, task_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sciflow.planning.cost import CostModel
    from sciflow.planning.costfit import Effect
    from sciflow.store.assembled import Assembled
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.segment import FrameRef
    from sciflow.store.snapshot import Snapshot

    Floats = NDArray[np.float64]

_MOST_LOOKS: Final = 5
_VARIANT = "variant"
_GRADES: Final = (("A", 0.9), ("B", 0.75), ("C", 0.5), ("D", 0.25))


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """How long the runs of one task took.

    Attributes
    ----------
    n : how many runs there were
    total_s, mean_s, median_s, p95_s : seconds of all together, and of one
    share : of the time of all tasks, in [0, 1]
    explained : how much of the differences between runs the parameters explain, in [0, 1]
    effects : which parameters the time depends on, and how, the strongest first
    """

    name: str
    n: int
    total_s: float
    mean_s: float
    median_s: float
    p95_s: float
    share: float
    explained: float
    effects: tuple[Effect, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "runs": self.n,
            "total_s": self.total_s,
            "mean_s": self.mean_s,
            "median_s": self.median_s,
            "p95_s": self.p95_s,
            "share": self.share,
            "explained": self.explained,
            "depends_on": [effect.to_dict() for effect in self.effects],
        }


@dataclass(frozen=True, slots=True)
class Performance:
    """Where the time of a sweep went; printed, it is a table with what would help below.

    Attributes
    ----------
    workflow : its name
    n_variants : variants with a record
    n_workers : workers that were there at a time, each from its first variant to its last; in the session with most
    tasks : the time of each task, in the order of the workflow
    variants : the time of whole variants
    shared_s : seconds of runs that were done for several variants beforehand
    busy_s, worker_s : what workers spent on batches, and had, from the start of a session to its end (starting and
        waiting included), in seconds; by the records alone where a driver died before it could say
    cores_used : CPU time of a variant over its wall time; None where it was not measured
    peak_bytes : the most memory that a worker had; None where it was not measured
    memory_effects : which parameters that depends on
    n_superseded, superseded_s : records that count no longer, and their seconds
    n_failed, failed_s : variants that have failed, and their seconds
    advice : what would help, in sentences
    """

    workflow: str
    n_variants: int
    n_workers: int
    tasks: tuple[TaskTimes, ...]
    variants: TaskTimes
    shared_s: float
    busy_s: float
    worker_s: float
    cores_used: float | None
    peak_bytes: int | None
    memory_effects: tuple[Effect, ...]
    n_superseded: int
    superseded_s: float
    n_failed: int
    failed_s: float
    advice: tuple[str, ...] = ()

    @property
    def bottleneck(self) -> str | None:
        """The task that takes most of the time; None before anything has run."""
        return max(self.tasks, key=lambda task: task.total_s).name if self.n_variants else None

    @property
    def utilisation(self) -> float | None:
        """The share of their time in which workers were busy, in [0, 1]; None before anything has run."""
        return min(self.busy_s / self.worker_s, 1.0) if self.worker_s > 0 else None

    @property
    def efficiency(self) -> float | None:
        """The share of the workers' time that went into results that count, in [0, 1]; None before anything has run.

        The rest is waiting, recording, variants that failed, and results that others replaced.
        """
        if self.worker_s <= 0:
            return None
        useful_s = self.variants.total_s + self.shared_s - self.superseded_s - self.failed_s
        return min(max(useful_s / self.worker_s, 0.0), 1.0)

    @property
    def grade(self) -> str | None:
        """The efficiency as a grade: A from 90 %, B from 75 %, C from 50 %, D from 25 %, else E; None of short sweeps.

        Starting takes most of the time of a sweep whose workers had less than ten seconds, which says nothing.
        """
        if self.efficiency is None or self.worker_s < WORTH_S:
            return None
        return next((grade for grade, least in _GRADES if self.efficiency >= least), "E")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "workflow": self.workflow,
            "variants": self.n_variants,
            "workers": self.n_workers,
            "bottleneck": self.bottleneck,
            "tasks": {task.name: task.to_dict() for task in self.tasks},
            "whole_variants": self.variants.to_dict(),
            "shared_s": self.shared_s,
            "busy_s": self.busy_s,
            "worker_s": self.worker_s,
            "utilisation": self.utilisation,
            "efficiency": self.efficiency,
            "grade": self.grade,
            "cores_used": self.cores_used,
            "peak_bytes": self.peak_bytes,
            "memory_depends_on": [effect.to_dict() for effect in self.memory_effects],
            "superseded": {"records": self.n_superseded, "seconds": self.superseded_s},
            "failed": {"variants": self.n_failed, "seconds": self.failed_s},
            "advice": list(self.advice),
        }

    def __str__(self) -> str:
        if not self.n_variants:
            return f"{self.workflow}: nothing has run yet"
        rows = [_HEAD, *self._rows()]
        aligned: list[list[str]] = []
        for k, column in enumerate(zip(*rows, strict=True)):
            width = max(map(len, column))
            words = k in {0, len(_HEAD) - 1}
            aligned.append([cell.ljust(width) if words else cell.rjust(width) for cell in column])
        table = ["  " + "  ".join(cells).rstrip() for cells in zip(*aligned, strict=True)]
        return "\n".join([self._headline(), *table, *(f"- {sentence}" for sentence in self.advice)])

    def _repr_html_(self) -> str:
        if not self.n_variants:
            return f"<p>{html.escape(str(self))}</p>"
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in _HEAD)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>" for cells in self._rows()
        )
        advice = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.advice)
        return f"<table><caption>{html.escape(self._headline())}</caption><tr>{head}</tr>{body}</table>" + (
            f"<ul>{advice}</ul>" if advice else ""
        )

    def _headline(self) -> str:
        workers = f"{self.n_workers:,} worker{'s' * (self.n_workers != 1)}"
        took = render_seconds(self.variants.total_s + self.shared_s)
        parts = [f"{self.workflow}: {self.n_variants:,} variants took {took} of computing on {workers}"]
        if self.utilisation is not None:
            grade = f", grade {self.grade}" if self.grade is not None else ""
            parts.append(f"workers busy {self.utilisation:.0%}{grade}")
        if self.cores_used is not None and self.variants.mean_s >= SHORT_S:
            parts.append(f"{self.cores_used:.2g} core{'s' * (self.cores_used != 1)} used by a variant while it ran")
        if self.peak_bytes:
            parts.append(f"up to {render_bytes(self.peak_bytes)}")
        return "; ".join(parts)

    def _rows(self) -> list[tuple[str, ...]]:
        times = self.tasks if len(self.tasks) == 1 else (*self.tasks, self.variants)
        return [
            (
                one.name if one is not self.variants else f"({_VARIANT})",
                f"{one.n:,}",
                *(render_seconds(value) for value in (one.total_s, one.mean_s, one.median_s, one.p95_s)),
                f"{one.share:.0%}",
                dependence(one.effects),
            )
            for one in times
        ]


_HEAD: Final = ("task", "runs", "total", "mean", "median", "95 %", "share", "depends on")


def measure_performance(directory: SweepDirectory, assembled: Assembled) -> Performance:
    """What the sweep directory says of where the time went.

    Everything is counted; what times depend on is learnt from a part of the variants (`sciflow.store.timings`).
    """
    read = _read(directory, assembled.snapshot)
    definition = assembled.definition
    failed = assembled.status == FAILED
    counted_s = float(np.nansum(assembled.runtime_s, dtype=np.float64))
    tasks, variants = _task_times(read, definition)
    busy_s, worker_s = _use(directory.sessions(), read)
    memory = read.model.fit(PEAK_BYTES)
    found = Performance(
        workflow=directory.workflow,
        n_variants=int((assembled.status > 0).sum()),
        n_workers=read.n_workers,
        tasks=tasks,
        variants=variants,
        shared_s=sum(seconds for _, seconds in read.staged.values()),
        busy_s=busy_s,
        worker_s=worker_s,
        cores_used=read.cores_used,
        peak_bytes=read.peak_bytes,
        memory_effects=() if memory is None or not memory.is_predictive else memory.effects,
        n_superseded=assembled.n_superseded,
        superseded_s=max(0.0, variants.total_s - counted_s) if assembled.n_superseded else 0.0,
        n_failed=int(failed.sum()),
        failed_s=float(np.nansum(assembled.runtime_s[failed], dtype=np.float64)),
    )
    return replace(found, advice=tuple(advise(_facts(found, read, definition))))


# ------------------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """What the records say.

    Parameters
    ----------
    runtime_s, start, worker, session : of each record
    tasks : task → seconds of each of its own runs
    staged : task → how many runs were done for others, and their seconds
    """

    runtime_s: Floats
    start: Floats
    worker: NDArray[np.int32]
    session: NDArray[np.int32]
    workers: tuple[Any, ...]
    sessions: tuple[Any, ...]
    tasks: Mapping[str, Floats]
    staged: Mapping[str, tuple[int, float]]
    cores_used: float | None
    peak_bytes: int | None
    model: CostModel

    @property
    def end(self) -> Floats:
        return self.start + self.runtime_s

    @property
    def n_workers(self) -> int:
        return max(map(self.n_at_a_time, range(len(self.sessions))), default=0)

    def n_at_a_time(self, session: int) -> int:
        """How many workers of a session were there at a time: one that took over from another is not a second one."""
        mine = self.session == session
        _, worker = np.unique(self.worker[mine], return_inverse=True)
        first, last = np.full(worker.max(initial=-1) + 1, np.inf), np.full(worker.max(initial=-1) + 1, -np.inf)
        np.minimum.at(first, worker, self.start[mine])
        np.maximum.at(last, worker, self.end[mine])
        steps = np.repeat([-1, 1], len(first))  # an end before a beginning at the same moment
        order = np.argsort(np.concatenate([last, first]), kind="stable")
        return int(np.cumsum(steps[order]).max(initial=0))


def _read(directory: SweepDirectory, snapshot: Snapshot) -> _Reading:
    """Read all frames; again where a compaction moved them meanwhile."""
    newest = directory.newest_definition() or {}
    for look in range(_MOST_LOOKS):
        try:
            return _read_frames(directory.path, snapshot.frames, newest)
        except OSError as error:
            if not is_gone(error) or look == _MOST_LOOKS - 1:
                raise
            snapshot = directory.snapshot(snapshot)
    raise AssertionError("one of the looks returned or raised")


def _read_frames(path: Path, frames: Sequence[FrameRef], definition: Mapping[str, Any]) -> _Reading:
    records = Records(frames)
    n = len(records)
    runtime_s, start = np.zeros(n), np.zeros(n)
    names = list(dict.fromkeys(task for frame in frames for task in task_columns(frame)))
    tasks = {name: np.full(n, np.nan) for name in names}
    for frame, where, columns in records.tables(
        lambda frame: [RUNTIME_S, START_S, FACT + "t0", *task_columns(frame).values()]
    ):
        runtime_s[where] = columns.get(RUNTIME_S, 0.0)
        start[where] = columns.get(START_S, 0.0)  # single precision, which seconds since 1970 would lose
        start[where] += columns.get(FACT + "t0", frame.header.get("t0", 0.0))
        for task, name in task_columns(frame).items():
            tasks[task][where] = columns[name]
    measured = [frame for frame in frames if frame.header.get("cpu_s") is not None]
    of_measured = np.zeros(n, dtype=np.bool_)
    for k, frame in enumerate(records.frames):
        of_measured[records.where(k)] = frame.header.get("cpu_s") is not None
    wall_s = float(runtime_s[of_measured].sum())
    cpu_s = sum(frame.header["cpu_s"] for frame in measured)
    peaks = [frame.header["peak_bytes"] for frame in frames if frame.header.get("peak_bytes")]
    worker, workers = records.fact("worker")
    session, sessions = records.fact("session")
    footprints = {task["name"]: task["footprint"] for task in definition.get("tasks", ()) if "footprint" in task}
    return _Reading(
        runtime_s=runtime_s,
        start=start,
        worker=worker,
        session=session,
        workers=workers,
        sessions=sessions,
        tasks={task: seconds[np.isfinite(seconds)] for task, seconds in tasks.items()},
        staged=shared_runs(path / "events"),
        cores_used=cpu_s / wall_s if wall_s > 0 else None,
        peak_bytes=max(peaks, default=None),
        model=model_of(frames, footprints=footprints, generation=definition.get("generation")),
    )


def _task_times(read: _Reading, definition: Mapping[str, Any]) -> tuple[tuple[TaskTimes, ...], TaskTimes]:
    variants = _times(_VARIANT, read.runtime_s, (0, 0.0), read.model, WALL_S)
    declared = [task["name"] for task in definition.get("tasks", ())]
    names = list(dict.fromkeys([*(name for name in declared if name in read.tasks), *read.tasks]))
    if not names:  # one task: its time is the variant's
        one = replace(variants, name=declared[0] if len(declared) == 1 else _VARIANT)
        return (one,), variants
    tasks = [
        _times(name, read.tasks[name], read.staged.get(name, (0, 0.0)), read.model, task_measure(name))
        for name in names
    ]
    total = sum(task.total_s for task in tasks)
    return tuple(replace(task, share=task.total_s / total if total else 0.0) for task in tasks), variants


def _times(name: str, seconds: Floats, staged: tuple[int, float], model: CostModel, measure: str) -> TaskTimes:
    n, total_s = len(seconds) + staged[0], float(seconds.sum()) + staged[1]
    mean_s = total_s / n if n else 0.0
    median_s, p95_s = np.quantile(seconds, [0.5, 0.95]).tolist() if len(seconds) else (mean_s, mean_s)
    fit = model.fit(measure)
    known = fit is not None and fit.is_predictive
    return TaskTimes(
        name=name,
        n=n,
        total_s=total_s,
        mean_s=mean_s,
        median_s=median_s,
        p95_s=p95_s,
        share=1.0 if n else 0.0,
        explained=fit.explained if fit is not None else 0.0,
        effects=fit.effects if fit is not None and known else (),
    )


def _use(sessions: Sequence[Mapping[str, Any]], read: _Reading) -> tuple[float, float]:
    """Seconds that workers were busy, and that they had; from the records where a driver could not say."""
    said = {one["session"]: one for one in sessions if one.get("worker_s")}
    busy_s = sum(float(one["busy_s"]) for one in said.values())
    worker_s = sum(float(one["worker_s"]) for one in said.values())
    for code, session in enumerate(read.sessions):
        mine = read.session == code
        if session not in said and mine.any():
            span = float(read.end[mine].max() - read.start[mine].min())
            busy_s += float(read.runtime_s[mine].sum())
            worker_s += read.n_at_a_time(code) * span
    return busy_s, worker_s


def _facts(found: Performance, read: _Reading, definition: Mapping[str, Any]) -> Advice:
    """What advice is given on."""
    resources: Mapping[str, Mapping[str, Any]] = definition.get("resources", {})
    longest_s = float(read.runtime_s.max()) if len(read.runtime_s) else 0.0
    return Advice(
        n_variants=found.n_variants,
        n_workers=found.n_workers,
        tasks=found.tasks,
        variants=found.variants,
        utilisation=found.utilisation,
        alone_share=_alone(read, found.worker_s),
        worker_s=found.worker_s,
        in_tasks=(found.variants.total_s + found.shared_s) / found.busy_s if found.busy_s > 0 else 1.0,
        longest_s=longest_s,
        cores_used=found.cores_used,
        cores_asked=max((int(one.get("cores") or 1) for one in resources.values()), default=1),
        peak_bytes=found.peak_bytes,
        memory_effects=found.memory_effects,
        n_superseded=found.n_superseded,
        superseded_s=found.superseded_s,
        n_failed=found.n_failed,
        failed_s=found.failed_s,
    )


def _alone(read: _Reading, worker_s: float) -> float:
    """The share of the workers' time in which a worker had done its last variant and others had not."""
    if worker_s <= 0:
        return 0.0
    waited = 0.0
    for code in range(len(read.sessions)):
        mine = read.session == code
        if mine.any():
            last = np.full(len(read.workers), -np.inf)
            np.maximum.at(last, read.worker[mine], read.end[mine])
            last = last[np.isfinite(last)]
            waited += float((last.max() - last).sum())
    return waited / worker_s
