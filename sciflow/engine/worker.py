"""BatchRunner: what a worker does with a batch: expand it, run its variants, commit them, answer."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sciflow.engine.recorder import Recorder, Runs
from sciflow.errors import OutputError
from sciflow.planning.batch import Ack, Batch
from sciflow.planning.rows import RowSet
from sciflow.running.failure import Failure, TaskFailedError
from sciflow.running.run import VariantRunner
from sciflow.store.segment import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sciflow.engine.recorder import Outcome
    from sciflow.space.algebra import Space
    from sciflow.space.table import Table
    from sciflow.store.frame import Frame
    from sciflow.workflow.binding import Definition

COMMIT_S = 0.3
"""A worker that dies loses at most about this much finished work."""

CHUNK = 8192
"""Variants expanded at a time: few enough that they stay in the processor's cache."""


_Tools: TypeAlias = tuple[VariantRunner, Recorder, SegmentWriter]


@dataclass(slots=True)
class BatchRunner:
    """Shipped once to each worker; called with one batch after another.

    Parameters
    ----------
    definition : the bound workflow, its functions included
    directory : the sweep directory
    facts : what every frame of this session says (revision, session, generation, environment)
    """

    definition: Definition
    directory: str
    facts: Mapping[str, Any]
    _ready: _Tools | None = field(default=None, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return BatchRunner, (self.definition, self.directory, self.facts)

    def drain(self) -> None:
        """Start no further variant; may be called from another thread."""
        self._stop.set()

    def close(self) -> None:
        """Close the segment."""
        if self._ready is not None:
            self._ready[2].close()
            self._ready = None

    def __call__(self, batch: Batch) -> Ack:
        """Run and commit what the batch's time allows; hand the rest back."""
        if self._ready is None:
            self._ready = self._prepare()
        # a batch makes thousands of small objects that all die with it; looking for cycles meanwhile finds none
        collecting = gc.isenabled()
        gc.disable()
        try:
            return _Run(self._ready, self._stop, self.definition.space, batch).go()
        finally:
            if collecting:
                gc.enable()

    def _prepare(self) -> _Tools:
        root = Path(self.directory)
        runner = VariantRunner(self.definition, root / "artifacts")
        facts = {**self.facts, "worker": f"{socket.gethostname()}:{os.getpid()}"}
        recorder = Recorder(facts, self.definition.units, runner.task_of, self.definition.space.names)
        return runner, recorder, SegmentWriter(root / "segments", self.facts["session"])


class _Run:
    """One batch on its way through the worker."""

    def __init__(self, tools: _Tools, stop: threading.Event, space: Space, batch: Batch) -> None:
        self._runner, self._recorder, self._writer = tools
        self._stop, self._space, self._batch = stop, space, batch
        self._n_done = self._n_failed = 0
        self._message = ""
        self._fatal: Exception | None = None
        self._frames: list[Frame] = []  # recorded, not committed
        self._commit_at = time.perf_counter() + COMMIT_S

    def go(self) -> Ack:
        starts, stops = zip(*self._batch.rows, strict=True)
        rows = RowSet.from_intervals(starts, stops).rows()
        begun = time.perf_counter()
        deadline = begun + self._batch.budget_s
        if self._batch.stop_at is not None:
            deadline = min(deadline, begun + self._batch.stop_at - time.time())
        n = 0
        try:
            while n < len(rows) and not self._over(deadline):
                n += self._chunk(rows[n : n + CHUNK], deadline)
        finally:
            self._commit()
        left = RowSet.from_rows(rows[n:])
        busy_s = time.perf_counter() - begun
        return Ack(self._n_done, self._n_failed, busy_s, tuple(left), self._message, self._fatal)

    def _over(self, deadline: float) -> bool:
        """Whether to start no further variant; some work is done first, however late it is, so that all ends."""
        settled = self._n_done + self._n_failed
        late = time.perf_counter() >= deadline and (settled > 0 or self._batch.stop_at is not None)
        return late or self._stop.is_set() or self._fatal is not None

    def _chunk(self, rows: NDArray[np.int64], deadline: float) -> int:
        """Run the variants at *rows* until the deadline; return how many were run."""
        table = self._space.take(rows)
        lists = table.lists()
        run, attempt, clock = self._runner.run, self._batch.attempt, time.perf_counter
        outcomes: list[Outcome] = []
        ends: list[float] = []
        n_recorded = 0
        begun = clock()
        look_up = min(self._commit_at, deadline)
        for row in zip(*lists, strict=True) if lists else [()] * len(rows):
            try:
                outcomes.append(run(row, attempt))
            except TaskFailedError as error:
                outcomes.append(self._failure(error))
            end = clock()
            ends.append(end)
            if end >= look_up or self._fatal is not None:
                self._record(Runs(*_part(table, rows, n_recorded, len(outcomes)), outcomes, begun, ends, attempt))
                n_recorded += len(outcomes)
                outcomes, ends = [], []
                self._commit()
                if self._over(deadline):
                    return n_recorded
                begun = clock()
                look_up = self._commit_at if begun >= deadline else min(self._commit_at, deadline)
        if outcomes:
            self._record(Runs(*_part(table, rows, n_recorded, len(outcomes)), outcomes, begun, ends, attempt))
        return n_recorded + len(outcomes)

    def _failure(self, error: TaskFailedError) -> Failure:
        cause = error.__cause__
        assert cause is not None
        failure = Failure.of(cause, str(error))
        if failure.definition and isinstance(cause, Exception) and not self._n_done:
            self._fatal = cause
        return failure

    def _record(self, runs: Runs) -> None:
        frames, failures = self._recorder.frames(runs)
        self._frames += frames
        self._n_done += len(runs.outcomes) - len(failures)
        self._n_failed += len(failures)
        if failures:
            last = failures[-1]
            self._message = last.headline
            if last.definition and not self._n_done and self._fatal is None:
                self._fatal = OutputError(last.message)  # found when the outcome was to be recorded

    def _commit(self) -> None:
        frames, self._frames = self._frames, []
        self._writer.commit(frames)
        self._commit_at = time.perf_counter() + COMMIT_S


def _part(table: Table, rows: NDArray[np.int64], start: int, n: int) -> tuple[Table, NDArray[np.int64]]:
    if n == table.n_rows:
        return table, rows
    at = np.arange(start, start + n)
    return table.take(at), rows[at]
