"""BatchRunner: what a worker does with a batch: expand it, run its variants, commit them, answer."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.engine.recorder import Recorder
from sciflow.planning.batch import Ack, Batch
from sciflow.planning.rows import RowSet
from sciflow.running.failure import Failure, TaskFailedError
from sciflow.running.run import VariantRunner
from sciflow.store.segment import SegmentWriter

if TYPE_CHECKING:
    from sciflow.engine.recorder import Outcome
    from sciflow.workflow.binding import Definition

COMMIT_S = 0.3
"""A worker that dies loses at most about this much finished work."""

CHUNK = 8192
"""Variants expanded at a time: few enough that they stay in the processor's cache."""


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
    _ready: tuple[VariantRunner, Recorder, SegmentWriter] | None = field(default=None, init=False)
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
            return _Run(*self._ready, self._stop, self.definition.space, batch).go()
        finally:
            if collecting:
                gc.enable()

    def _prepare(self) -> tuple[VariantRunner, Recorder, SegmentWriter]:
        root = Path(self.directory)
        runner = VariantRunner(self.definition, root / "artifacts")
        facts = {**self.facts, "worker": f"{socket.gethostname()}:{os.getpid()}"}
        recorder = Recorder(facts, self.definition.units, runner.task_of, self.definition.space.names)
        return runner, recorder, SegmentWriter(root / "segments", self.facts["session"])


class _Run:
    """One batch on its way through the worker."""

    def __init__(
        self,
        runner: VariantRunner,
        recorder: Recorder,
        writer: SegmentWriter,
        stop: threading.Event,
        space: Any,
        batch: Batch,
    ) -> None:
        self._runner, self._recorder, self._writer = runner, recorder, writer
        self._stop, self._space, self._batch = stop, space, batch
        self._n_done = self._n_failed = 0
        self._busy_s = 0.0
        self._message = ""
        self._fatal: Exception | None = None

    def go(self) -> Ack:
        starts, stops = zip(*self._batch.rows, strict=True)
        rows = RowSet.from_intervals(starts, stops).rows()
        deadline = time.perf_counter() + self._batch.budget_s
        if self._batch.stop_at is not None:
            deadline = min(deadline, time.perf_counter() + self._batch.stop_at - time.time())
        done = 0
        while done < len(rows):
            chunk = rows[done : done + CHUNK]
            n = self._chunk(chunk, deadline)
            done += n
            if n < len(chunk):
                break
        left = RowSet.from_rows(rows[done:])
        return Ack(self._n_done, self._n_failed, self._busy_s, tuple(left), self._message, self._fatal)

    def _chunk(self, rows: np.ndarray[Any, np.dtype[np.int64]], deadline: float) -> int:
        """Run the variants at *rows* until the deadline; return how many were run."""
        table = self._space.take(rows)
        lists = table.lists()
        runner, attempt, stopped = self._runner, self._batch.attempt, self._stop.is_set
        clock = time.perf_counter
        outcomes: list[Outcome] = []
        ends: list[float] = []
        first = 0  # the first variant that is not committed
        begun = clock()
        look_up = min(begun + COMMIT_S, deadline)
        if stopped() or (begun >= deadline and self._busy_s):
            return 0
        for row in zip(*lists, strict=True) if lists else [()] * len(rows):
            try:
                outcomes.append(runner(row, attempt))
            except TaskFailedError as error:
                cause = error.__cause__
                assert cause is not None
                failure = Failure.of(cause, str(error))
                outcomes.append(failure)
                if failure.definition and isinstance(cause, Exception) and not self._n_done:
                    self._fatal = cause
            end = clock()
            ends.append(end)
            if end >= look_up or self._fatal is not None:
                self._commit(table, rows, first, outcomes, ends, begun)
                first += len(outcomes)
                outcomes, ends = [], []
                begun = clock()
                look_up = min(begun + COMMIT_S, max(deadline, begun))
                if begun >= deadline or stopped() or self._fatal is not None:
                    return first
        if outcomes:
            self._commit(table, rows, first, outcomes, ends, begun)
        return first + len(outcomes)

    def _commit(
        self, table: Any, rows: Any, first: int, outcomes: list[Outcome], ends: list[float], begun: float
    ) -> None:
        n = len(outcomes)
        if n < table.n_rows:
            at = np.arange(first, first + n)
            table, rows = table.take(at), rows[at]
        frames, n_failed, failure = self._recorder.frames(
            table, rows, outcomes, np.array(ends), begun, self._batch.attempt
        )
        self._writer.commit(frames)
        self._n_done += n - n_failed
        self._n_failed += n_failed
        self._busy_s += ends[-1] - begun
        if failure is not None:
            self._message = failure.headline
            if failure.definition and not self._n_done and self._fatal is None:
                self._fatal = _definition_error(failure)


def _definition_error(failure: Failure) -> Exception:
    """The error behind a failure that was found when the outcome was to be recorded."""
    from sciflow.errors import OutputError  # noqa: PLC0415  the one place

    return OutputError(failure.message)
