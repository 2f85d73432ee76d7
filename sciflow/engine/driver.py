"""Driver: the shell around the loop: owns the session, workers, display and consolidated file of one call."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.engine.loop import Loop
from sciflow.engine.preflight import freeze, preflight
from sciflow.engine.progress import Silent, open_display
from sciflow.engine.refresher import Refresher
from sciflow.engine.worker import BatchRunner
from sciflow.errors import SweepError
from sciflow.events import Event, EventName
from sciflow.provenance.code import capture_code
from sciflow.provenance.environment import capture_environment
from sciflow.running.failure import Failure
from sciflow.store.code import keep_code
from sciflow.store.lease import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sciflow.clusters.protocol import Cluster, Work, Workers
    from sciflow.engine.gate import Gate
    from sciflow.engine.progress import Display
    from sciflow.engine.sweep import Sweep
    from sciflow.planning.batch import Batch
    from sciflow.planning.plan import Plan
    from sciflow.planning.rows import RowSet
    from sciflow.store.directory import SweepDirectory
    from sciflow.workflow.binding import Definition

_CHECK_S = 1.0  # how often the driver looks whether the sweep is still its own


class Driver:
    """One call's work on a sweep.

    Parameters
    ----------
    cluster : where workers come from
    directory : the sweep
    gate : when work may start
    progress : whether to show progress
    on_event : called with each event
    """

    def __init__(
        self,
        cluster: Cluster,
        directory: SweepDirectory,
        gate: Gate,
        *,
        progress: bool,
        on_event: Callable[[Event], None] | None,
    ) -> None:
        self._cluster, self._directory, self._gate = cluster, directory, gate
        self._progress, self._on_event = progress, on_event
        self._stopping = threading.Event()
        self._checked = time.monotonic()
        self._refresher = Refresher(directory)
        self._n_done = self._n_failed = 0
        self._display: Display = Silent()
        self._log: Any = None

    def run(self, definition: Definition, look: Callable[[], tuple[Sweep, Plan]]) -> None:
        """Take the sweep, run what *look* then says is to be run, and leave the results consolidated.

        Raises
        ------
        KeyboardInterrupt
            The user asked to stop; what is finished is kept.
        """
        code = capture_code(_folder_of(definition))
        environment = capture_environment()
        self._sources = freeze(definition)
        code["tree"] = keep_code(self._directory.path, self._sources.files, self._sources.digest).name
        with Session.acquire(self._directory, facts={"code": code, "argv": sys.argv[:1]}) as session:
            sweep, plan = look()
            revision = self._directory.add_definition(sweep.description)
            facts: dict[str, Any] = {
                "revision": revision,
                "session": session.number,
                "generation": sweep.generation,
                "environment": self._directory.add_environment(environment),
            }
            self._session, self._sweep, self._facts = session, sweep, facts
            ended = True
            if plan.n_todo:
                with self._event_log(), self._signals(), self._showing(plan):
                    ended = self._work(plan)
            else:
                self._refresher.start()
            complaint = self._refresher.finish()
            if complaint:
                self._display.say(complaint)
            session.end({"done": self._n_done, "failed": self._n_failed})
        if not ended:
            raise KeyboardInterrupt
        self._report()

    # ------------------------------------------------------------------ the sweep

    def _work(self, plan: Plan) -> bool:
        """Run the loop, with new workers for each opening of the window; False when the user stopped it."""
        self._tell("sweep.started", todo=plan.n_todo, variants=plan.n_variants)
        loop = Loop(
            gate=self._gate,
            todo=plan.progress.by_attempt(plan.rows),
            watcher=self,
            missing_of=self._missing_of,
            give_up=self._give_up,
            any_done=len(plan.progress.done) > 0,
        )
        definition = self._sweep.definition
        work: Work = BatchRunner(definition, str(self._directory.path), self._facts)
        if self._cluster.name != "inline":
            work = preflight(definition, work, self._sources, elsewhere=self._cluster.name != "local")
        while True:
            self._wait_for_window()
            if self.stopping():
                ending = "stopped"
                break
            workers = self._start(work)
            try:
                ending = loop.run(workers)
                self._refresher.start()  # workers take a moment to close
            finally:
                workers.close()
            if ending != "closed":
                break
        name: EventName = "sweep.finished" if ending == "finished" else "sweep.stopped"
        self._tell(name, done=self._n_done, failed=self._n_failed)
        if ending == "stopped":
            n = self._n_done
            self._display.say(f"stopped; {n:,} finished variants are kept. To go on, run the same command again.")
        return ending == "finished"

    def _start(self, work: Work) -> Workers:
        try:
            return self._cluster.start(work, self._sweep.definition.resources)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise SweepError(
                f"no worker could be started on cluster {self._cluster.name!r}: {type(error).__name__}: {error}"
            ) from error

    def _wait_for_window(self) -> None:
        if self._gate.opening().may_start:
            return
        self._tell("window.closed", explanation=self._gate.explain())
        self._display.say(
            f'{self._sweep.definition.name}: {self._gate.explain()}; to run now: Engine(policy="immediate"), '
            "sciflow run --now, or the environment variable SCIFLOW_POLICY=immediate"
        )
        self._gate.wait(self.tick, self.stopping)
        self._tell("window.opened")

    def _missing_of(self, rows: RowSet) -> RowSet:
        return self._sweep.missing_of(rows, self._directory.snapshot(), self._facts["revision"], self._session.number)

    def _give_up(self, row: int, attempt: int) -> None:
        """Record a variant whose worker dies whenever it runs."""
        from sciflow.engine.recorder import Recorder, Runs  # noqa: PLC0415  hardly ever needed

        space = self._sweep.definition.space
        rows = np.array([row])
        now = time.perf_counter()
        recorder = Recorder({**self._facts, "worker": f"driver:{os.getpid()}"}, {}, lambda _: "", space.names)
        frames, _ = recorder.frames(Runs(space.take(rows), rows, [Failure.crash()], now, [now], attempt))
        with self._directory.segment_writer(self._session.number) as writer:
            writer.commit(frames)

    # ------------------------------------------------------------------ what the loop tells

    def settled(self, n_done: int, n_failed: int, message: str) -> None:
        """Count committed variants."""
        self._n_done += n_done
        self._n_failed += n_failed
        self._display.advance(n_done, n_failed)
        self._tell("batch.committed", done=n_done, failed=n_failed, message=message)

    def lost(self, batch: Batch) -> None:
        """A worker died."""
        self._tell("worker.lost", batch=batch.number, variants=batch.n_variants)

    def tick(self) -> None:
        """Look whether the sweep is still ours; refresh results.h5 now and then."""
        now = time.monotonic()
        if now - self._checked >= _CHECK_S:
            self._checked = now
            self._session.check()
        self._refresher.tick()

    def stopping(self) -> bool:
        """Whether the user pressed Ctrl-C."""
        return self._stopping.is_set()

    def _tell(self, name: EventName, **facts: Any) -> None:
        event = Event(name, time.time(), facts)
        if self._log is not None:
            with contextlib.suppress(OSError):  # the log is for people; a full disk must not end the sweep here
                self._log.write(json.dumps(event.to_dict()) + "\n")
        if self._on_event is not None:
            self._on_event(event)

    # ------------------------------------------------------------------ what surrounds the work

    @contextlib.contextmanager
    def _event_log(self) -> Generator[None]:
        folder = self._directory.path / "events"
        folder.mkdir(exist_ok=True)
        with (folder / f"{self._session.number:06d}.jsonl").open("w", encoding="utf-8", buffering=1) as log:
            self._log = log
            try:
                yield
            finally:
                self._log = None

    @contextlib.contextmanager
    def _showing(self, plan: Plan) -> Generator[None]:
        before = plan.n_variants - plan.n_todo
        self._display = open_display(plan.workflow, plan.n_variants, before, wanted=self._progress)
        try:
            yield
        finally:
            self._display.close()

    @contextlib.contextmanager
    def _signals(self) -> Generator[None]:
        """Ctrl-C once: stop taking work. Twice: Python's own behaviour, at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def stop(*_: object) -> None:
            self._stopping.set()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._display.say("stopping: running variants finish first; Ctrl-C again stops at once")

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _report(self) -> None:
        if self._n_failed and self._progress:
            total = self._n_failed + self._n_done
            self._display.say(
                f"{self._n_failed:,} of {total:,} variants failed; see results.failures() or: "
                f"sciflow status {self._directory.path}"
            )


def _folder_of(definition: Definition) -> Path:
    """Where the user's code lies: the folder of the first task that has a file, else the current one."""
    for step in definition.steps:
        code = getattr(inspect.unwrap(step.task.function), "__code__", None)
        path = Path(getattr(code, "co_filename", ""))
        if path.is_file():
            return path.parent
    return Path.cwd()
