"""Driver: the shell around the loop: owns the session, workers, display and consolidated file of one call."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciflow.clusters.protocol import Setting
from sciflow.engine.capture import NOT_CAPTURED, Capture
from sciflow.engine.compactor import Compactor
from sciflow.engine.documentation import refuse_undocumented
from sciflow.engine.journal import Journal
from sciflow.engine.ledger import Ledger
from sciflow.engine.loop import Ending, Loop, Tally
from sciflow.engine.origin import CodeCapture, folder_of
from sciflow.engine.outlook import learn
from sciflow.engine.output import remove_empty
from sciflow.engine.overrun import Overrun
from sciflow.engine.pace import Pace
from sciflow.engine.preflight import freeze, preflight
from sciflow.engine.progress import Silent, end_line, open_display
from sciflow.engine.refresher import Refresher
from sciflow.engine.surroundings import Expected
from sciflow.engine.worker import BatchRunner
from sciflow.errors import SweepError
from sciflow.provenance.energy import measured_energy
from sciflow.provenance.environment import surroundings_of
from sciflow.provenance.inputs import InputWatch, changed_inputs
from sciflow.provenance.requirements import unmet_metadata
from sciflow.quantities import render_count
from sciflow.store.code import keep_code
from sciflow.store.lease import Session
from sciflow.store.sessions import cancel_requested

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sciflow.clusters.protocol import Cluster, Work, Workers
    from sciflow.engine.charge import Charge
    from sciflow.engine.gate import Gate
    from sciflow.engine.progress import Display
    from sciflow.engine.surroundings import OnMismatch
    from sciflow.engine.sweep import Sweep
    from sciflow.events import Event
    from sciflow.planning.plan import Plan
    from sciflow.provenance.environment import Surroundings
    from sciflow.store.directory import SweepDirectory
    from sciflow.workflow.binding import Definition
    from sciflow.workflow.stop import StopAfter

_CHECK_S = 1.0  # how often the driver looks whether the sweep is still its own
_MOST_NAMED = 20  # inputs that changed


class Driver:
    """One call's work on a sweep.

    Parameters
    ----------
    cluster : where workers come from
    directory : the sweep
    gate : when work may start
    progress : whether to show progress
    on_event : called with each event
    stop_after : when a sweep is not worth going on with, over what the workflow says
    on_mismatch : what becomes of a worker with another environment than this process's
    capture : what is recorded besides results
    charge : what a controller knows already; without it this process is looked at
    """

    def __init__(
        self,
        cluster: Cluster,
        directory: SweepDirectory,
        gate: Gate,
        *,
        progress: bool,
        on_event: Callable[[Event], None] | None,
        stop_after: StopAfter | None = None,
        on_mismatch: OnMismatch = "warn",
        capture: Capture = Capture(),  # noqa: B008  immutable
        charge: Charge | None = None,
    ) -> None:
        self._extent = capture
        self._cluster, self._directory, self._gate = cluster, directory, gate
        self._charge = charge
        self._on_mismatch: OnMismatch = on_mismatch
        self._progress, self._on_event, self._stop_after = progress, on_event, stop_after
        self._stopping = threading.Event()
        self._checked = time.monotonic()
        self._refresher = Refresher(directory)
        self._overrun: Callable[[], None] = lambda: None
        self._inputs = InputWatch((), ())
        self._display: Display = Silent()

    def run(self, definition: Definition, look: Callable[[], tuple[Sweep, Plan]]) -> None:
        """Take the sweep, run what *look* then says is to be run, and leave the results consolidated.

        Raises
        ------
        KeyboardInterrupt
            The user asked to stop; what is finished is kept.
        """
        charge = self._charge
        is_full = self._extent.is_full
        known = charge.origin.code if charge is not None else None if is_full else {"repository": None, **NOT_CAPTURED}
        self._capture = CodeCapture(folder_of(definition), self._directory.path, known)
        surroundings = surroundings_of(folder_of(definition)) if is_full else None
        environment = NOT_CAPTURED if surroundings is None else surroundings.record()
        self._sources = freeze(definition) if charge is None else charge.origin.sources
        code = self._capture.record(self._sources)
        code["tree"] = keep_code(self._directory.path, self._sources.files, self._sources.digest).name
        with (
            contextlib.closing(self._capture),
            contextlib.closing(self._refresher),
            Session.acquire(
                self._directory,
                facts={
                    "code": code,
                    "argv": sys.argv[:1],
                    # from the sweep: both may be moved together, and inputs lie there
                    "folder": os.path.relpath(Path.cwd(), self._directory.path),
                    **(charge.facts if charge else {}),
                },
            ) as session,
        ):
            self._session = session
            sweep, plan = look()
            if plan.n_todo:
                inputs = sweep.description.get("inputs", ())
                missing = unmet_metadata(definition.metadata_requirements, code, inputs, environment)
                refuse_undocumented(definition, missing)
            self._compactor = Compactor(self._directory, session.number, sweep.snapshot)
            facts: dict[str, Any] = {
                "revision": self._directory.add_definition(sweep.description),
                "session": session.number,
                "generation": sweep.generation,
                "environment": self._directory.add_environment(environment),
            }
            if charge is not None:
                charge.taken(session.number)
            ended: dict[str, Any] = {}
            ending = "finished"
            if plan.n_todo:
                journal = Journal(self._directory.path / "events" / f"{session.number:06d}.jsonl", self._on_event)
                energy = measured_energy(wanted=self._extent.measures_energy)
                with journal, self._signals(), self._showing(plan), energy as used:
                    ending, ended = self._work(sweep, plan, facts, journal, surroundings)
                ended |= used
            else:
                self._capture.finish()
                self._refresher.start()
            self._finish_results()
            self._compactor.close()
            session.end(ended)
            if ended.keys() & {"changed_inputs", "energy"}:  # what is in doubt, and what it took, is known only now
                self._refresher.start()
                self._finish_results()
        if ending == "stopped":
            raise KeyboardInterrupt
        self._report(ended)

    def _finish_results(self) -> None:
        complaint = self._refresher.finish()
        if complaint:
            self._display.say(complaint)

    # ------------------------------------------------------------------ the sweep

    def _work(
        self, sweep: Sweep, plan: Plan, facts: dict[str, Any], journal: Journal, surroundings: Surroundings | None
    ) -> tuple[Ending, dict[str, Any]]:
        """Run the loop, with new workers for each opening of the window; say how it ended, and what was done."""
        definition = sweep.definition
        self._inputs = InputWatch(definition.inputs, sweep.description.get("inputs", ()))
        self._overrun = Overrun(self._gate, self._directory.path / "live", facts["session"], journal.tell)
        ledger = Ledger(
            self._directory,
            sweep,
            facts,
            self._display,
            journal,
            tick=self.tick,
            stopping=self.stopping,
            nearly_done=self._refresher.prepare,
        )
        loop = Loop(
            gate=self._gate,
            sharing=plan.sharing,
            todo=plan.progress.by_attempt(plan.rows),
            watcher=ledger,
            stop_after=self._stop_after or definition.stop_after,
            any_done=len(plan.progress.done) > 0,
            pace=Pace(learn(sweep, self._directory), definition.space, plan.sharing),
        )
        shared = frozenset(task.name for task in plan.sharing.tasks)
        path = self._directory.path.absolute()
        gate = self._gate
        priority = gate.policy.priority
        niceness = priority.niceness if priority is not None and self._cluster.name == "local" else 0
        work: Work = BatchRunner(
            definition,
            str(path),
            facts,
            shared,
            sweep.codes,
            niceness,
            None if surroundings is None else Expected(surroundings, self._on_mismatch),
            self._extent,
        )
        if self._cluster.name != "inline":
            work = preflight(definition, work, self._sources, elsewhere=self._cluster.name != "local")
        slots = self._cluster.n_slots(definition.resources)
        journal.tell("sweep.started", todo=plan.n_todo, variants=plan.n_variants, slots=slots)
        name, classes = self._directory.sweep[:8], plan.sharing.classes
        setting = Setting(path, name, classes, gate.opening, gate.slot, journal.tell, priority)
        begun = time.monotonic()
        ending: Ending
        while True:
            # jobs may wait in the queue until the window opens
            workers = self._start(work, definition, setting) if self._cluster.has_jobs else None
            try:
                self._wait_for_window(definition.name, journal, partial(loop.rest, workers) if workers else None)
                if self.stopping():
                    ending = "stopped"
                    break
                workers = workers or self._start(work, definition, setting)
                self._capture.finish()
                ending = loop.run(workers)
                self._refresher.start(_ended(ledger, loop.tally))  # workers take a moment to close
            finally:
                if workers is not None:
                    workers.close()
            if ending != "closed":
                break
        ledger.clear()
        remove_empty(self._directory.path / "logs")
        tally = loop.tally
        ended = _ended(ledger, tally)
        busy = min(tally.busy_s / tally.worker_s, 1.0) if tally.worker_s else None  # of two clocks
        self._display.close(end_line(definition.name, ledger.n_done, ledger.n_failed, time.monotonic() - begun, busy))
        journal.tell("sweep.finished" if ending == "finished" else "sweep.stopped", **ended, reason=loop.reason)
        ended |= self._look_at_inputs(sweep, journal)
        if ending == "stopped":
            on = "" if self._charge else " To go on, run the same command again."
            self._display.say(f"stopped; {_kept(ledger.n_done, plan)}.{on}")
        if ending == "given_up":
            self._display.say(f"stopped: {loop.reason}. What is finished is kept; mend the cause and run again.")
        return ending, ended

    def _look_at_inputs(self, sweep: Sweep, journal: Journal) -> dict[str, Any]:
        """Tell of inputs that changed while tasks may have read them; what the session's end says of that."""
        changed = changed_inputs(sweep.definition.inputs, sweep.description.get("inputs", ()))
        if not changed:
            return {}
        journal.tell("input.changed", inputs=changed[:_MOST_NAMED], n=len(changed))
        more = f" and {len(changed) - _MOST_NAMED:,} more" if len(changed) > _MOST_NAMED else ""
        self._display.say(
            f"inputs changed while the sweep ran: {', '.join(changed[:_MOST_NAMED])}{more}; which variants read them "
            "before and which after is not known: those that may have read either are marked inputs_changed. "
            "Run it again to have all of them of one input."
        )
        until = self._inputs.unchanged_until
        known = {} if until is None else {"inputs_unchanged_until": _moment(until)}
        return {"changed_inputs": changed[:_MOST_NAMED], "n_changed_inputs": len(changed), **known}

    def _start(self, work: Work, definition: Definition, setting: Setting) -> Workers:
        try:
            return self._cluster.start(work, definition.resources, setting)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise SweepError(
                f"no worker could be started on cluster {self._cluster.name!r}: {type(error).__name__}: {error}"
            ) from error

    def _wait_for_window(self, name: str, journal: Journal, meanwhile: Callable[[], None] | None) -> None:
        if self._gate.opening().may_start:
            return
        self._display.say(
            f'{name}: {self._gate.explain()}; to run now: Engine(policy="immediate"), '
            "sciflow run --now, or the environment variable SCIFLOW_POLICY=immediate"
        )

        def tick() -> None:
            self.tick()
            if meanwhile is not None:
                meanwhile()

        self._gate.wait(tick, self.stopping, lambda facts: journal.tell("window.closed", **facts))
        journal.tell("window.opened")

    def tick(self) -> None:
        """Look whether the sweep is still ours, and whether somebody asked to stop it; refresh results.h5."""
        now = time.monotonic()
        if now - self._checked >= _CHECK_S:
            self._checked = now
            self._session.check()
            if cancel_requested(self._directory, self._session.number):
                self._stopping.set()
        self._refresher.tick()
        self._compactor.tick()
        self._inputs.tick()
        self._overrun()

    def stopping(self) -> bool:
        """Whether the user pressed Ctrl-C, or somebody asked from elsewhere."""
        return self._stopping.is_set()

    # ------------------------------------------------------------------ what surrounds the work

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

    def _report(self, ended: dict[str, Any]) -> None:
        n_failed = ended.get("failed", 0)
        if n_failed and self._progress:
            total = n_failed + ended["done"]
            self._display.say(
                f"{n_failed:,} of {total:,} variants failed; see results.failures() or: "
                f"sciflow status {self._directory.path}"
            )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _ended(ledger: Ledger, tally: Tally) -> dict[str, Any]:
    """What the end of a session says of what was done in it."""
    return {
        "done": ledger.n_done,
        "failed": ledger.n_failed,
        "busy_s": round(tally.busy_s, 3),
        "worker_s": round(tally.worker_s, 3),
        "core_s": round(tally.core_s, 3),
    }


def _kept(n_done: int, plan: Plan) -> str:
    """What there is when a driver stopped that has finished so many variants of the plan, in words."""
    n_before = len(plan.progress.done | plan.progress.stale)
    before = f", and so are {render_count(n_before, 'result')} from before" if n_before else ""
    return f"{render_count(n_done, 'finished variant')} {'is' if n_done == 1 else 'are'} kept{before}"
