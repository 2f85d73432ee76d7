"""Follow a sweep from its directory alone: no Dask, no user code, no lock; each look reads only what is new."""

from __future__ import annotations

import datetime as dt
import math
import socket
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sciflow.analysis.jobs import JobBook
from sciflow.analysis.status import KEPT_EVENTS, ControllerStatus, DriverStatus, Status, TimeLeft, WorkerStatus
from sciflow.analysis.tally import Tally
from sciflow.analysis.words import render_wait
from sciflow.planning.rate import recent_rate
from sciflow.running.live import read_notes
from sciflow.scheduling import Conditions, policy_from_dict
from sciflow.store.directory import SweepDirectory
from sciflow.store.eventlog import EventLog
from sciflow.store.process import is_running
from sciflow.store.sessions import SessionWatch, cancel_requested
from sciflow.store.submissions import newest_submission

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sciflow.events import Event
    from sciflow.planning.rate import Rate
    from sciflow.running.live import Note
    from sciflow.space import Variant
    from sciflow.store.sessions import SessionFacts
    from sciflow.store.snapshot import Snapshot
    from sciflow.store.submissions import Submission

_MOST_REASONS = 20
_MOST_WORKERS = 200
_MOST_EVENTS = 12
_MOST_KINDS = 10_000
_RECENT_STEPS = 2000


def read_status(path: Path | str) -> Status:
    """The status of the sweep in the directory *path* now.

    Raises
    ------
    FormatError
        There is no sweep, or a newer release wrote it.
    """
    return Follower(path).look()


class Follower:
    """Looks at a sweep again and again.

    Parameters
    ----------
    path
        The sweep directory.
    clock
        Gives Unix seconds.

    Raises
    ------
    FormatError
        There is no sweep, or a newer release wrote it.
    """

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.time) -> None:
        self.directory = SweepDirectory.open(path)
        self._path, self._clock = Path(path), clock
        self._sessions = SessionWatch(self.directory)
        self._snapshot: Snapshot | None = None
        self._tally: Tally | None = None
        self._revision = 0
        self._said: _Said | None = None

    def look(self) -> Status:
        """The status now."""
        session = self._sessions.look()
        self._look_at_records()
        said = self._listen(session)
        now = self._clock()
        driver = self._driver(session)
        alive = driver is not None and driver.life == "alive"
        tally = self._tally
        counts = dict.fromkeys(("n_variants", "n_done", "n_failed", "n_stale"), 0)
        if tally is not None:
            counts = {
                "n_variants": tally.n_variants,
                "n_done": tally.n_done,
                "n_failed": tally.n_failed,
                "n_stale": len(tally.stale),
            }
        n_missing = max(0, counts["n_variants"] - counts["n_done"] - counts["n_failed"] - counts["n_stale"])
        failures, n_reasons = ([], 0) if tally is None else tally.failures(_MOST_REASONS)
        notes = self._notes(session) if driver is not None and driver.life in {"alive", "silent"} else []
        controller = self._controller(session)
        if controller is not None and controller.state == "queued":
            waiting = self._wait_in_queue(now)
        else:
            waiting = render_wait(said.wait, now) if said is not None and alive else ""
        n_left = None if said is None or not alive else self._n_left(said, n_missing)
        is_finished = controller is not None and (controller.state, controller.how) == ("ended", "finished")
        n_undone = 0 if said is None or alive or is_finished else said.n_undone
        rate = None if said is None or not alive or waiting else said.recent_rate(now)
        left = None if rate is None or n_left is None else TimeLeft(*rate.left_s(n_left))
        return Status(
            workflow=self.directory.workflow,
            path=str(self._path),
            time=now,
            **counts,
            n_missing=n_missing,
            n_running=sum(note.is_running for note in notes),
            n_left=n_left,
            rate=None if rate is None else rate.usual,
            left=left,
            why_unknown="" if left is not None or not alive else _why_unknown(n_left, waiting),
            utilisation=_utilisation(session, said, notes, now, alive=alive),
            driver=driver,
            waiting=waiting,
            n_workers=len(notes),
            workers=self._workers(notes, now),
            n_reasons=n_reasons,
            failures=tuple(failures),
            events=() if said is None else tuple(said.newest),
            problems=() if self._snapshot is None else self._snapshot.problems,
            controller=controller,
            jobs=said.jobs.status() if said is not None and alive else None,
            n_undone=n_undone,
        )

    # ------------------------------------------------------------------------------------------------------- records

    def _look_at_records(self) -> None:
        self._snapshot = self.directory.snapshot(self._snapshot)
        revision = self.directory.newest_revision()
        if revision and revision != self._revision:
            self._tally, self._revision = Tally(self.directory.definitions()), revision
        if self._tally is not None:
            self._tally.add(self._snapshot)

    def _n_left(self, said: _Said, n_missing: int) -> int:
        """What the session still has to run: what it says, or, as its log lags behind, what it has recorded."""
        if said.todo is None:
            return n_missing
        if said.n_left <= n_missing or self._snapshot is None:
            return said.n_left
        recorded = sum(frame.n for frame in self._snapshot.frames if frame.session == said.session)
        return min(said.n_left, max(n_missing, said.todo - recorded))

    # -------------------------------------------------------------------------------------------- driver and workers

    def _driver(self, session: SessionFacts | None) -> DriverStatus | None:
        if session is None:
            return None
        facts = session.facts
        return DriverStatus(
            session=session.number,
            host=str(facts.get("host", "")),
            pid=int(facts.get("pid", 0)),
            since=_unix(facts.get("since")) or 0.0,
            life=session.life,
            ended=_unix(facts.get("ended")),
            cancel_requested=cancel_requested(self.directory, session.number),
        )

    def _controller(self, session: SessionFacts | None) -> ControllerStatus | None:
        submission = newest_submission(self.directory)
        if submission is None:
            return None
        its = session if session is not None and session.facts.get("controller") == submission.number else None
        others = session if its is None else None
        end = submission.end
        since = float(submission.facts.get("since", 0.0))
        if end is not None and others is not None and (_unix(others.facts.get("since")) or 0.0) > since:
            return None  # of the past: somebody else has driven the sweep since
        process = submission.process
        state = _state_of(submission, is_ended=end is not None, is_at_work=its is not None and its.life == "alive")
        message = str((end or {}).get("message", ""))
        return ControllerStatus(
            number=submission.number,
            kind=submission.kind,
            state=state,
            host=str(submission.facts.get("host", "")),
            pid=0 if process is None else process.pid,
            since=since,
            log=str(submission.log),
            system=str(submission.facts.get("system", "")),
            job=submission.newest_job,
            generation=len(submission.generations),
            how=str((end or {}).get("how", "")),
            message="; ".join(submission.last_words()) if state == "died" and not message else message,
            cancel_requested=submission.cancel_requested,
        )

    def _wait_in_queue(self, now: float) -> str:
        """What its policy says while no job of a controller is at work; empty when work may start."""
        submission = newest_submission(self.directory)
        facts = {} if submission is None else submission.facts
        begun = None if submission is None else submission.begun
        try:
            policy = policy_from_dict(facts["policy"])
            conditions = Conditions(
                dt.datetime.fromtimestamp(now, dt.UTC),
                asked_at=dt.datetime.fromisoformat(str(facts["asked_at"])),
                begun_at=None if begun is None else dt.datetime.fromtimestamp(begun["time"], dt.UTC),
            )
        except (KeyError, ValueError):  # of another release, or calendars of countries are not installed here
            return ""
        opening = policy.opening(conditions)
        if opening.may_start or opening.next_open is None:
            return ""
        return render_wait({"reason": policy.reason(conditions), "next_open": opening.next_open.timestamp()}, now)

    def _notes(self, session: SessionFacts | None) -> list[Note]:
        """What the living workers of the session say."""
        here = socket.gethostname()
        return [
            note
            for note in read_notes(self.directory.path / "live")
            if session is not None
            and note.session == session.number
            and not (note.host == here and not is_running(note.pid))
        ]

    def _workers(self, notes: Sequence[Note], now: float) -> tuple[WorkerStatus, ...]:
        shown = sorted(notes, key=lambda note: (note.started if note.is_running else math.inf, note.host, note.pid))
        shown = shown[:_MOST_WORKERS]
        variants = self._variants([note.row for note in shown if note.is_running])
        return tuple(self._worker(note, variants.get(note.row), now) for note in shown)

    def _worker(self, note: Note, variant: Variant | None, now: float) -> WorkerStatus:
        if not note.is_running:
            return WorkerStatus(note.host, note.pid, note.n_finished, note.rss_bytes)
        tasks: Sequence[Mapping[str, Any]] = () if self._tally is None else self._tally.definition.get("tasks", ())
        step = 0 if len(tasks) == 1 else note.step
        return WorkerStatus(
            note.host,
            note.pid,
            note.n_finished,
            note.rss_bytes,
            task=tasks[step]["name"] if 0 <= step < len(tasks) else "",
            variant="" if variant is None else variant.id,
            parameters=None if variant is None else dict(variant),
            running_s=max(0.0, now - note.started),
            progress=None if math.isnan(note.progress) else min(max(note.progress, 0.0), 1.0),
        )

    def _variants(self, rows: list[int]) -> dict[int, Variant]:
        """The variants at these rows of the newest definition, where its space can be rebuilt."""
        space = None if self._tally is None else self._tally.space
        if space is None:
            return {}
        known = [row for row in dict.fromkeys(rows) if 0 <= row < space.n_variants]
        return dict(zip(known, space.take(np.array(known)).variants(), strict=True)) if known else {}

    # -------------------------------------------------------------------------------------------------------- events

    def _listen(self, session: SessionFacts | None) -> _Said | None:
        if session is None:
            return None
        if self._said is None or self._said.session != session.number:
            self._said = _Said(self.directory.path, session.number)
        self._said.listen()
        return self._said


class _Said:
    """What the event log of one session has said so far."""

    def __init__(self, sweep: Path, session: int) -> None:
        self.session = session
        self._log = EventLog(sweep, session)
        self.newest: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self.todo: int | None = None
        self.slots: int | None = None
        self.started: float | None = None
        self.wait: Mapping[str, Any] | None = None  # what was said of the wait that goes on
        self.busy_s = 0.0
        self.jobs = JobBook()
        self._n_settled = 0
        self._is_finished = False
        self._kinds: set[str] = set()
        self._steps: deque[tuple[float, float, int]] = deque(maxlen=_RECENT_STEPS)
        self._pauses: list[tuple[float, float]] = []  # the last one may have no end yet

    @property
    def n_left(self) -> int:
        """Variants that the session still has to run, as far as it has told."""
        return max(0, (self.todo or 0) - self._n_settled)

    @property
    def n_undone(self) -> int:
        """Variants that it leaves if it has ended."""
        return 0 if self._is_finished else self.n_left

    def listen(self) -> None:
        """Take in what was said since the last call."""
        for event in self._log.read():
            if event.name in KEPT_EVENTS and self._is_news(event):
                self.newest.append(event)
            self._take(event)

    def _is_news(self, event: Event) -> bool:
        """Whether it was not told before: each worker tells the first failure of a kind that it meets."""
        if event.name == "job.ended":
            return event.facts.get("how") != "finished"  # that we ended it is no news
        kind = event.facts.get("fingerprint")
        if event.name != "variant.failed" or kind is None:
            return True
        known = kind in self._kinds
        if len(self._kinds) < _MOST_KINDS:
            self._kinds.add(str(kind))
        return not known

    def _take(self, event: Event) -> None:
        self.jobs.take(event)
        facts = event.facts
        match event.name:
            case "sweep.started":
                self.todo, self.slots, self.started = facts.get("todo"), facts.get("slots"), event.time
            case "sweep.finished":
                self._is_finished = True
            case "batch.committed" | "shared.computed" | "worker.lost":
                self._count(event)
            case "window.closed":
                if self.wait is None:  # else it goes on for another reason
                    self._pauses.append((event.time, math.inf))
                self.wait = facts
            case "window.opened":
                self.wait = None
                if self._pauses:
                    self._pauses[-1] = (self._pauses[-1][0], event.time)
            case _:  # told to people, or of a later release
                pass

    def _count(self, event: Event) -> None:
        facts = event.facts
        n = int(facts.get("done", 0)) + int(facts.get("failed", 0))
        busy_s = float(facts.get("busy_s", 0.0))
        self._n_settled += n
        self.busy_s += busy_s
        # several batches may stand in one line; then it says when the first of them ended
        first_end = min(event.time, float(facts.get("since", event.time)))
        self._steps.append((first_end - busy_s / max(1, int(facts.get("merged", 1))), event.time, n))

    def recent_rate(self, now: float) -> Rate | None:
        """How fast variants were settled of late."""
        if not self._steps:
            return None
        starts, ends, counts = zip(*self._steps, strict=True)
        return recent_rate(starts, ends, counts, max(now, ends[-1]), self._pauses)

    def active_s(self, now: float) -> float:
        """Seconds since the session began in which the window was open."""
        if self.started is None:
            return 0.0
        closed = sum(min(stop, now) - start for start, stop in self._pauses if start < now)
        return max(0.0, now - self.started - closed)


def _state_of(
    submission: Submission, *, is_ended: bool, is_at_work: bool
) -> Literal["starting", "queued", "working", "ended", "died"]:
    """What a controller does, as far as files tell; what waits in a queue is known there alone."""
    if is_ended:
        return "ended"
    if submission.kind == "job":
        return "working" if is_at_work else "queued"
    if submission.process_is_gone:
        return "died"
    return "starting" if submission.process is None else "working"


def _utilisation(
    session: SessionFacts | None, said: _Said | None, notes: Sequence[Note], now: float, *, alive: bool
) -> float | None:
    """The fraction of the workers' time that went into batches; what is in flight counts from its variant on."""
    if session is None:
        return None
    if not alive:
        worker_s = float(session.facts.get("worker_s", 0.0))
        return min(1.0, float(session.facts.get("busy_s", 0.0)) / worker_s) if worker_s > 0 else None
    slots = (said.slots if said is not None else None) or len(notes)
    worker_s = slots * said.active_s(now) if said is not None else 0.0
    if said is None or worker_s <= 0 or not said.busy_s:
        return None
    running_s = sum(max(0.0, now - note.started) for note in notes if note.is_running)
    return min(1.0, (said.busy_s + running_s) / worker_s)


def _why_unknown(n_left: int | None, waiting: str) -> str:
    if waiting:
        return "nothing runs while the window is closed"
    return "nothing is left to run" if n_left == 0 else "too few variants are finished to say"


def _unix(text: object) -> float | None:
    try:
        return dt.datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
