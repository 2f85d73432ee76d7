"""BatchRunner: what a worker does with a batch: expand it, run its variants, commit them, answer."""

from __future__ import annotations

import gc
import json
import os
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.engine.capture import Capture
from sciflow.engine.detach import detached, is_held_elsewhere
from sciflow.engine.meter import Meter, Usage
from sciflow.engine.output import SAID, WorkerOutput
from sciflow.engine.overhear import OverheardOutput
from sciflow.engine.process import WorkerProcess
from sciflow.engine.recorder import Recorder, Runs
from sciflow.engine.surroundings import WorkerEnvironment
from sciflow.errors import OutputError
from sciflow.planning.batch import STOP_EARLY_S, Ack, Batch
from sciflow.provenance.environment import facts_of_this_process
from sciflow.quantities import render_bytes, render_seconds
from sciflow.running.checkpoint import forget
from sciflow.running.closing import Closing
from sciflow.running.context import RunSite
from sciflow.running.failure import Failure, HandedBackError
from sciflow.running.lineage import FILES, Lineage
from sciflow.running.live import Live, place_of
from sciflow.running.log import RunLog
from sciflow.running.run import HANDED_BACK, Outcome, Ran, VariantRunner
from sciflow.running.shared import Intermediates, SharedRunError
from sciflow.running.watchdog import Watchdog
from sciflow.store.segment import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from sciflow.engine.surroundings import Expected
    from sciflow.space.table import Table
    from sciflow.store.frame import Frame
    from sciflow.workflow.binding import Definition

COMMIT_S = 0.3
"""A worker that dies loses at most about this much finished work."""

CHUNK = 8192
"""Variants expanded at a time: few enough that they stay in the processor's cache."""

_SAMPLE = 16  # variants of a batch whose times the driver learns from
_MOST_EXAMPLES = 20
_PLAIN = {dict}


@dataclass(slots=True)
class BatchRunner:
    """Shipped once to each worker; called with one batch after another.

    Parameters
    ----------
    definition : the bound workflow, its functions included
    directory : the sweep directory
    facts : what every frame of this session says (revision, session, generation, environment)
    shared : tasks whose runs variants share
    codes : task → identity of its code and of the code that it depends on
    niceness : how much worker processes yield to others, from 0 to 19
    capture : what is recorded besides results
    expected : the driver's environment; without it that of the facts is taken for the worker's
    """

    definition: Definition
    directory: str
    facts: Mapping[str, Any]
    shared: frozenset[str] = frozenset()
    codes: Mapping[str, str] = field(default_factory=dict[str, str])
    niceness: int = 0
    expected: Expected | None = None
    capture: Capture = field(default_factory=Capture)
    in_worker: bool = field(default=False, init=False)
    """Whether this is a copy in a process that does nothing else."""
    _tools: _Tools | None = field(default=None, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.definition, self.directory, self.facts, self.shared, self.codes, self.niceness)
        return _in_worker, (*state, self.expected, self.capture)

    def drain(self) -> None:
        """Start no further variant; may be called from another thread."""
        self._stop.set()

    def close(self) -> None:
        """Close the segment."""
        if self._tools is not None:
            self._tools.writer.close()
            self._tools.live.close()
            self._tools.meter.close()
            self._tools = None

    @property
    def is_spent(self) -> bool:
        """Whether this process should be replaced: it holds much memory though nothing runs."""
        return self._tools is not None and self._tools.process.is_bloated

    def __call__(self, batch: Batch) -> Ack:
        """Run and commit what the batch's time allows; hand the rest back."""
        if self._tools is None:
            self._tools = self._prepare()
        # a batch makes thousands of small objects that all die with it; looking for cycles meanwhile finds none
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._tools.run(batch)
        finally:
            if collecting:
                gc.enable()

    def _prepare(self) -> _Tools:
        if self.in_worker and self.niceness:
            # absolute, so that preparing again changes nothing; it never raises the priority
            os.setpriority(os.PRIO_PROCESS, 0, max(self.niceness, os.getpriority(os.PRIO_PROCESS, 0)))
        return _Tools(self, Path(self.directory), self._stop)


def _in_worker(*state: Any) -> BatchRunner:
    work = BatchRunner(*state)
    work.in_worker = True
    return work


class _Tools:
    """What a worker process has as long as it lives."""

    def __init__(self, work: BatchRunner, root: Path, stop: threading.Event) -> None:
        self.work, self.stop = work, stop
        self.environment = None if work.expected is None else WorkerEnvironment(work.expected, root)
        self._untold = None if self.environment is None else self.environment.mismatch
        definition, session = work.definition, work.facts["session"]
        self.space = definition.space
        self.live = Live(root / "live", session)
        worker = f"{socket.gethostname()}:{os.getpid()}"
        self.process = WorkerProcess(definition.resources) if work.in_worker else WorkerProcess.shared()
        self.meter = Meter(own=work.in_worker, each=work.capture.is_full)
        self.logs = root / "logs"
        keeps_all = work.capture.keeps_output
        listens = work.capture.is_full or keeps_all
        if work.in_worker:
            self.output = WorkerOutput(self.process.odd)
            self.output.on_begin = self.live.said_from
            self.output.capture(self.logs, worker, listens=listens)
        else:
            self.output = OverheardOutput(self.process.odd, listens=listens, keeps_all=keeps_all)
        said = {"log": self.output.name} if self.output.name else {}
        self.checkpoints = root / "checkpoints"
        self.lineage = Lineage(root / "artifacts", self.process.odd)
        site = RunSite(
            artifacts=root / "artifacts",
            checkpoints=self.checkpoints,
            logs=self.logs,
            should_stop=self.should_stop,
            progress=self.live.progress,
            generation=work.facts["generation"],
            evidence=self.output.evidence,
            lineage=self.lineage,
            place=self.place,
        )
        self.watchdog = watchdog = Watchdog(definition.resources, self.live, self._end) if work.in_worker else None
        self.closing = Closing(self.live) if work.in_worker else None
        self.files = Intermediates(root / "intermediates", work.codes)
        self.runner = VariantRunner(
            definition, site, shared=work.shared, files=self.files, live=self.live, watchdog=watchdog
        )
        self._own = {"worker": worker, **said, **job_of(os.environ), **facts_of_this_process()}
        self._facts = {**work.facts, **self._own}
        self.live.place(self._own)
        self.recorder = Recorder(self._facts, definition.units, self.runner.task_of, definition.space.names)
        self.worker = worker
        self.writer = SegmentWriter(root / "segments", session)
        self.told: set[str] = set()  # fingerprints of failures that the driver has an example of
        self.stop_at: float | None = None
        self._run: _Run | None = None

    def run(self, batch: Batch) -> Ack:
        """Do one batch."""
        self.stop_at = batch.stop_at
        for call in self.runner.shared.values():
            call.kept = batch.kept
        if self.watchdog is not None:
            self.watchdog.memory = batch.memory
        self.live.batch(batch.number, batch.attempt)
        if batch.alone:  # it may be the death of this process, which then cannot say any more what it ran in
            self.look_around()
        self._run = run = _Run(self, batch)
        if self.closing is not None:
            self.closing.begin(batch.stop_at)
        try:
            with self.output.heard():
                ack = run.keep() if batch.until else run.go()
        finally:
            self._run = None
            if self.closing is not None:
                self.closing.over()
        self.live.idle(ack.n_done + ack.n_failed, ack.busy_s)
        self.process.rest()
        if self._untold is not None:
            ack, self._untold = replace(ack, mismatch=self._untold), None
        return ack

    def look_around(self) -> None:
        """Have records say what their variants ran in: known only now, when the tasks have imported what they use."""
        if self.environment is None:
            return
        digest = self.environment.digest()
        if digest != self._own.get("environment"):
            self._own["environment"] = self._facts["environment"] = digest
            self.live.place(self._own)

    def place(self) -> Mapping[str, Any]:
        """Where the runs of this process take place, for those that others use."""
        self.look_around()
        return place_of(self._facts)

    def should_stop(self) -> bool:
        """Whether a task should save and hand its variant back."""
        return self.stop.is_set() or (self.stop_at is not None and time.time() > self.stop_at - STOP_EARLY_S)

    def _end(self, reason: str) -> None:
        """Commit what is finished, and why the running variant is not; this process ends next."""
        run = self._run
        if run is not None:
            run.end(reason)


class _Run:
    """One batch on its way through the worker."""

    def __init__(self, tools: _Tools, batch: Batch) -> None:
        self._tools, self._batch = tools, batch
        self._runner = tools.runner
        self._n_done = self._n_failed = 0
        self._run_s = 0.0
        self._message = ""
        self._fatal: Exception | None = None
        self._failures: Counter[str] = Counter()
        self._examples: list[dict[str, Any]] = []
        self._sample: list[tuple[int, float]] = []
        self._deferred: list[int] = []
        self._any_handed_back = False
        self._frames: list[Frame] = []  # recorded, not committed
        self._finished: list[str] = []  # variants whose checkpoints go when they are committed
        self._commit_at = time.perf_counter() + COMMIT_S
        # the variants at hand: run, not recorded
        self._table: Table | None = None
        self._rows: NDArray[np.int64] = batch.rows[:0]
        self._outcomes: list[Any] = []
        self._ends: list[float] = []
        self._files: dict[int, str] = {}  # place among the outcomes → what is known of its artifacts
        self._begun = 0.0

    # ----------------------------------------------------------------------------------------------- shared runs only

    def keep(self) -> Ack:
        """Compute the values of a shared task for these rows and keep them for others."""
        batch, space = self._batch, self._tools.space
        begun = time.perf_counter()
        unkept = False
        n = 0
        for row in batch.rows.tolist():
            if self._tools.stop.is_set() or (n and self._tools.should_stop()):
                break
            table = space.take(np.array([row]))
            self._tools.live.variant(row)
            self._tools.output.over()
            try:
                unkept |= not self._runner.keep(table, batch.until)
            except SharedRunError as error:  # what it depends on has failed
                self._tools.files.write(batch.until, self._runner.key(table, batch.until), error.failure)
            except HandedBackError:  # it waits for its next attempt
                break
            n += 1
        return Ack(0, 0, time.perf_counter() - begun, n_left=len(batch.rows) - n, unkept=unkept)

    # ------------------------------------------------------------------------------------------------------- variants

    def go(self) -> Ack:
        """Run the variants until the batch's time is over."""
        rows = self._batch.rows
        begun = time.perf_counter()
        deadline = begun + self._batch.budget_s
        if self._batch.stop_at is not None:
            deadline = min(deadline, begun + self._batch.stop_at - STOP_EARLY_S - time.time())
        n = 0
        try:
            while n < len(rows) and not self._over(deadline):
                n += self._chunk(rows[n : n + CHUNK], deadline)
        finally:
            self._commit()
        if n < len(rows) and self._runner.shared:
            self._runner.keep_for(self._tools.space.take(rows[n : n + 1]))
        return Ack(
            self._n_done,
            self._n_failed,
            time.perf_counter() - begun,
            self._run_s,
            len(rows) - n,
            tuple(self._deferred),
            self._message,
            self._fatal,
            dict(self._failures),
            tuple(self._examples),
            tuple(self._sample[:: max(1, len(self._sample) // _SAMPLE)][:_SAMPLE]),
        )

    def _over(self, deadline: float) -> bool:
        """Whether to start no further variant; some work is done first, however late it is, so that all ends."""
        settled = self._n_done + self._n_failed + len(self._deferred)
        late = time.perf_counter() >= deadline and (settled > 0 or self._batch.stop_at is not None)
        return late or self._tools.stop.is_set() or self._fatal is not None

    def _chunk(self, rows: NDArray[np.int64], deadline: float) -> int:
        """Run the variants at *rows* until the deadline; return how many were run."""
        self._table, self._rows = self._tools.space.take(rows), rows
        batch = self._batch
        iterator = self._runner.outcomes(self._table, rows, batch.attempt, careful=batch.careful)
        iterator = self._tools.meter.metered(iterator, batch.variant_s, self._tools.output.begin)
        if self._tools.work.capture.keeps_output:
            iterator = self._tools.output.kept(iterator, partial(self._keep_output, self._table))
        n = 0
        while n < len(rows):
            late = time.perf_counter() >= deadline
            self._stretch(iterator, len(rows) - n, self._commit_at if late else min(self._commit_at, deadline))
            if self._ends:
                self._run_s += self._ends[-1] - self._begun
            n += self._record()
            if time.perf_counter() >= self._commit_at:
                self._commit()
            if self._over(deadline):
                break
        return n

    def _stretch(self, iterator: Iterator[Any], n_left: int, until: float) -> None:  # noqa: C901  one hot loop
        """Run variants until it is time to look up, or none is left."""
        clock, odd = time.perf_counter, self._tools.process.odd
        outcomes, ends = self._outcomes, self._ends = [], []
        self._files = {}
        self._tools.meter.begin()
        self._tools.output.begin()
        self._begun = clock()
        while len(outcomes) < n_left:
            try:
                for outcome in iterator:
                    outcomes.append(outcome)
                    end = clock()
                    ends.append(end)
                    if odd:
                        self._tidy(odd)
                    elif len(outcomes) == 1 and is_held_elsewhere(outcome):
                        odd.append("held")
                        self._tidy(odd)
                    if end >= until:
                        return
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and not self._tools.work.in_worker:
                    raise
                self._judge(error)
            else:
                if len(outcomes) == n_left:
                    return
                self._judge(StopIteration("a task raised StopIteration; end it with return"))
            if odd:
                self._tidy(odd)
            if self._fatal is not None or ends[-1] >= until:
                return

    def _judge(self, error: BaseException) -> None:
        """Turn what a task raised into the outcome of its variant."""
        outcome = self._runner.judge(error)
        failure = outcome.result if isinstance(outcome, Ran) else outcome
        if isinstance(failure, Failure) and failure.definition and not self._n_done:
            cause = error.__cause__ or error
            self._fatal = cause if isinstance(cause, Exception) else None
        self._any_handed_back |= outcome is HANDED_BACK
        self._outcomes.append(outcome)
        self._ends.append(time.perf_counter())

    def _tidy(self, odd: list[str]) -> None:
        """Put right what the variant left behind: a changed directory; results that it may still change."""
        if SAID in odd:
            odd.remove(SAID)
            self._tools.output.over()
        if FILES in odd:
            odd.remove(FILES)
            files = self._tools.lineage.take()
            if files and self._outcomes:
                self._files[len(self._outcomes) - 1] = json.dumps(files)
                self._ends[-1] = time.perf_counter()  # reading what it wrote is part of it
        if "moved" in odd:
            self._tools.process.go_home()
        if "held" in odd and self._outcomes:
            self._outcomes[-1] = detached(self._outcomes[-1])

    def _keep_output(self, table: Table, k: int, said: str) -> None:
        """Append what a variant printed to its log."""
        variant = table.take(np.array([k])).ids()[0]
        RunLog(self._tools.logs / f"{variant}.log", "").raw(said.encode(errors="replace"))

    # --------------------------------------------------------------------------------------------------------- record

    def _record(self) -> int:
        """Turn the variants at hand into frames; return how many there were."""
        outcomes, ends, table = self._outcomes, self._ends, self._table
        n = len(outcomes)
        if n == 0:
            return 0
        assert table is not None
        rows = self._rows[:n]
        mine = table if n == table.n_rows else table.take(np.arange(n))
        origins = self._runner.take_origins(n)
        seconds = self._runner.take_seconds(n)
        if n < table.n_rows:
            rest = np.arange(n, table.n_rows)
            self._table, self._rows = table.take(rest), self._rows[n:]
        usage = self._tools.meter.take(n)
        files = [self._files.get(k) for k in range(n)] if self._files else None
        named, attempt = self._named(outcomes), self._batch.attempt
        runs = Runs(mine, rows, named, self._begun, ends, attempt, seconds, usage, files, origins)
        if self._any_handed_back:
            runs = self._without_deferred(runs)
        if len(runs.outcomes):
            self._count(runs)
        return n

    def _named(self, outcomes: list[Any]) -> list[Outcome]:
        if set(map(type, outcomes)) == _PLAIN:
            return outcomes
        named = self._runner.named
        return [outcome if outcome is HANDED_BACK else named(outcome) for outcome in outcomes]

    def _without_deferred(self, runs: Runs) -> Runs:
        stays = np.array([outcome is not HANDED_BACK for outcome in runs.outcomes])
        self._deferred += runs.rows[~stays].tolist()
        at = np.flatnonzero(stays)
        return Runs(
            runs.table.take(at),
            runs.rows[at],
            [runs.outcomes[k] for k in at.tolist()],
            runs.start,
            [runs.ends[k] for k in at.tolist()],
            runs.attempt,
            {task: seconds[at] for task, seconds in runs.seconds.items()},
            Usage(runs.usage.total, {name: values[at] for name, values in runs.usage.each.items()}),
            None if runs.files is None else [runs.files[k] for k in at.tolist()],
            {task: (known, codes[at]) for task, (known, codes) in runs.origins.items()},
        )

    def _count(self, runs: Runs) -> None:
        self._tools.look_around()
        frames, failures = self._tools.recorder.frames(runs)
        self._frames += frames
        n = len(runs.outcomes)
        self._n_done += n - len(failures)
        self._n_failed += len(failures)
        if self._tools.checkpoints.exists():  # those of failed variants stay, for when they are tried again
            done = [k for k, outcome in enumerate(runs.outcomes) if _failure_in(outcome) is None]
            self._finished += runs.table.take(np.array(done, dtype=np.int64)).ids()
        step = max(1, n // _SAMPLE)
        ends = runs.ends
        self._sample += [(int(runs.rows[k]), ends[k] - (ends[k - 1] if k else runs.start)) for k in range(0, n, step)]
        if failures:
            self._tell(runs, failures)

    def _tell(self, runs: Runs, failures: list[Failure]) -> None:
        """Keep for the driver how often each failure came, and an example of those it has not heard of."""
        self._failures.update(failure.fingerprint for failure in failures)
        last = failures[-1]
        self._message = last.headline
        if last.definition and not self._n_done and self._fatal is None:
            self._fatal = OutputError(last.message)  # found when the outcome was to be recorded
        told = self._tools.told
        for failure in failures:
            if failure.fingerprint in told or len(told) >= _MOST_EXAMPLES:
                continue
            told.add(failure.fingerprint)
            found = next((k for k, outcome in enumerate(runs.outcomes) if _failure_in(outcome) is failure), None)
            example = {
                "task": failure.task,
                "cause": failure.cause,
                "fingerprint": failure.fingerprint,
                "message": failure.message[:300],
                "worker": self._tools.worker,
            }
            if found is not None:
                example["variant"] = runs.table.take(np.array([found])).ids()[0]
            self._examples.append(example)

    def _commit(self) -> None:
        frames, self._frames = self._frames, []
        self._tools.process.leave_if_forked()
        self._tools.output.cut()
        self._tools.writer.commit(frames)
        for variant in self._finished:
            forget(self._tools.checkpoints, variant)
        self._finished = []
        self._commit_at = time.perf_counter() + COMMIT_S

    def end(self, reason: str) -> None:
        """Commit what is finished; called by the watchdog while the running variant is stuck in its task."""
        batch, live = self._batch, self._tools.live
        step = self._tools.work.definition.steps[live.step]
        failure = Failure.limit(reason, step.task.name, self._limit_of(step, reason))
        failure = failure.with_evidence(self._tools.output.evidence())
        if reason == "out_of_memory" and (batch.may_grow or not (batch.alone or batch.until)):
            failure = None  # others may have left it little, or a job may have more: it is run alone first
        if failure is not None and step.task.name in self._runner.shared:  # for all variants that need this run
            table = self._tools.space.take(np.array([live.row]))
            ran = {"start": round(live.started, 3), "wall_s": round(time.time() - live.started, 3)}
            key = self._runner.key(table, step.task.name)
            self._tools.files.write(step.task.name, key, failure, ran | {**self._tools.place()})
        if batch.until:
            return
        if failure is not None:
            self._outcomes.append(failure)
            self._ends.append(time.perf_counter())
        self._runner.stamps.clear()
        self._record()
        self._commit()

    def _limit_of(self, step: Any, reason: str) -> str:
        if reason == "timeout":
            return render_seconds(step.timeout_s)
        most_bytes = self._tools.work.definition.resources[step.task.name].memory_bytes or 0
        return render_bytes(round(most_bytes * self._batch.memory))


def job_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The job of a batch system in which a process runs, and the node's name there: ``job`` and ``node``, if any."""
    job = next((environ[name] for name in ("SCIFLOW_JOB_ID", "SLURM_JOB_ID", "PBS_JOBID") if environ.get(name)), "")
    node = environ.get("SLURMD_NODENAME", "")
    return ({"job": job} if job else {}) | ({"node": node} if job and node else {})


def _failure_in(outcome: Outcome) -> Failure | None:
    result = outcome.result if isinstance(outcome, Ran) else outcome
    return result if isinstance(result, Failure) else None
