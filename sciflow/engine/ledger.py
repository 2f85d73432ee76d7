"""Ledger: what the loop tells and asks of the store while it runs: counts, events, what a dead worker left."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.engine.output import tail_of_log
from sciflow.provenance.mismatch import mismatch_words
from sciflow.running.live import place_of, read_notes
from sciflow.running.shared import Intermediates, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.engine.journal import Journal
    from sciflow.engine.progress import Display
    from sciflow.engine.sweep import Sweep
    from sciflow.planning.batch import Ack, Batch
    from sciflow.planning.rows import RowSet
    from sciflow.running.failure import Failure
    from sciflow.running.live import Note
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.snapshot import Snapshot

_GRACE_S = 2.0  # beyond its deadline a task that its own watchdog cannot end is ended from here


class Ledger:
    """Keeps count of one session.

    Parameters
    ----------
    directory : the sweep
    sweep : its definition
    facts : what every record of this session says
    display, journal : where progress is shown, and events are kept
    tick : called several times a second; raises to stop the sweep
    stopping : whether to take no new work
    nearly_done : called when all that is left will be back in seconds
    """

    def __init__(
        self,
        directory: SweepDirectory,
        sweep: Sweep,
        facts: Mapping[str, Any],
        display: Display,
        journal: Journal,
        *,
        tick: Callable[[], None],
        stopping: Callable[[], bool],
        nearly_done: Callable[[], None],
    ) -> None:
        self._directory, self._sweep, self._facts = directory, sweep, facts
        self._display, self._journal = display, journal
        self._tick, self.stopping, self.nearly_done = tick, stopping, nearly_done
        self._snapshot: Snapshot | None = None
        self._footprints = {step.task.name: step.footprint for step in sweep.definition.steps}
        self._cached = frozenset(step.task.name for step in sweep.definition.steps if step.task.cache)
        self._has_deadlines = any(step.timeout_s is not None for step in sweep.definition.steps)
        self._looked = time.monotonic()
        self._seen: dict[tuple[int, int, int, float], float] = {}  # runs with a limit: since when we see them
        self._overdue: set[int] = set()
        self._live = directory.path / "live"
        self.files = Intermediates(directory.path / "intermediates", sweep.codes)
        self.n_done = self.n_failed = 0
        self._n_failed_of_lost = 0
        self._mismatches: list[Mapping[str, Any]] = []

    def tick(self) -> None:
        """Look after the session, and end workers that are stuck beyond their deadline."""
        self._tick()
        self._journal.tick()
        if self._has_deadlines and time.monotonic() - self._looked > 1.0:
            self._looked = time.monotonic()
            self._end_overdue()

    def _end_overdue(self) -> None:
        """End workers of this host that are stuck: by how long we see them at it, for clocks may be set meanwhile."""
        now = time.monotonic()
        seen: dict[tuple[int, int, int, float], float] = {}
        for note in read_notes(self._live):
            if note.host != socket.gethostname() or note.deadline == math.inf:
                continue
            run = (note.pid, note.row, note.step, note.started)
            seen[run] = self._seen.get(run, now)
            if now - seen[run] > note.deadline - note.started + _GRACE_S:
                self._overdue.add(note.pid)
                with contextlib.suppress(OSError):
                    os.kill(note.pid, signal.SIGKILL)
        self._seen = seen

    def settled(self, batch: Batch, ack: Ack) -> None:
        """Count what a batch did."""
        if ack.mismatch is not None:
            self._tell_mismatch(**ack.mismatch)
        if batch.until:
            self._journal.tell("shared.computed", task=batch.until, evaluations=batch.n_variants, busy_s=ack.busy_s)
            if ack.unkept:
                self._display.say(
                    f"what task {batch.until!r} returns cannot be sent to other processes: it runs once in each batch"
                )
            return
        self._count(ack.n_done, ack.n_failed)
        for example in ack.examples:
            self._journal.tell("variant.failed", **example)
        self._journal.tell(
            "batch.committed",
            batch=batch.number,
            done=ack.n_done,
            failed=ack.n_failed,
            busy_s=ack.busy_s,
            message=ack.message,
            failures=dict(ack.failures),
        )

    def _tell_mismatch(self, host: str, differences: Mapping[str, tuple[str | None, str | None]]) -> None:
        """Say it once for all workers of the same environment."""
        if differences not in self._mismatches:
            self._mismatches.append(differences)
            self._journal.tell("environment.mismatch", host=host, differences=differences)
            self._display.say(
                f"sciflow: a worker on {host} has another environment than the driver: {mismatch_words(differences)}; "
                "results may differ, and each says which it is of. To refuse such workers: "
                "Engine(on_environment_mismatch='error')"
            )

    def _count(self, n_done: int, n_failed: int) -> None:
        self.n_done += n_done
        self.n_failed += n_failed
        self._display.advance(n_done, n_failed)

    def lost(self, batch: Batch, how: str, suspect: int | None, n_done: int, cause: str = "") -> None:
        """Tell that a worker died."""
        n_failed, self._n_failed_of_lost = self._n_failed_of_lost, 0
        if not batch.until:
            self._count(n_done - n_failed, n_failed)
        variant = None if suspect is None else self._variant(suspect)
        self._journal.tell(
            "worker.lost",
            batch=batch.number,
            variants=batch.n_variants,
            done=n_done - n_failed,
            failed=n_failed,
            how=how,
            cause=cause,
            suspect=variant,
        )

    def missing_of(self, rows: RowSet) -> RowSet:
        """Say which of *rows* this session has not committed."""

        def look(snapshot: Snapshot) -> tuple[RowSet, RowSet]:
            return self._sweep.missing_of(rows, snapshot, self._facts["revision"], self._facts["session"])

        (missing, failed), self._snapshot = self._directory.read(look, self._directory.snapshot(self._snapshot))
        self._n_failed_of_lost = len(failed)
        return missing

    def has_saved(self, row: int) -> bool:
        """Say whether there is a checkpoint of this variant."""
        return (self._directory.path / "checkpoints" / self._variant(row)).is_dir()

    def note_of(self, batch: Batch) -> Note | None:
        """Give the last note of the process that died with this batch, and take it away."""
        for note in read_notes(self._live):
            if note.session == self._facts["session"] and note.batch == batch.number:
                with contextlib.suppress(OSError):
                    note.path.unlink()
                return replace(note, reason="timeout") if note.pid in self._overdue else note
        return None

    def give_up(self, row: int, batch: Batch, failure: Failure, note: Note | None) -> None:
        """Record a variant, or a shared run, whose worker dies whenever it runs; *note* is the last of that worker."""
        if batch.until:
            self.give_up_shared(batch.until, row, failure, note)
            return
        failure = self._with_output(failure, note)
        self._record(row, batch.attempt, failure, note)
        self._count(0, 1)
        self._journal.tell(
            "variant.failed",
            variant=self._variant(row),
            task=failure.task,
            cause=failure.cause,
            fingerprint=failure.fingerprint,
            message=failure.message,
        )
        self._journal.tell(
            "batch.committed", batch=batch.number, done=0, failed=1, busy_s=0.0, failures={failure.fingerprint: 1}
        )

    def give_up_shared(self, task: str, row: int, failure: Failure, note: Note | None) -> None:
        """Keep the failure of the shared run that the variant at *row* needs, for all that need it."""
        key = self._key(task, row)
        kept, _ = self.files.read(task, key)
        if kept.ran:  # the worker has told itself, and knew more
            return
        self.files.write(task, key, self._with_output(failure, note), {} if note is None else _ran(note))

    def _with_output(self, failure: Failure, note: Note | None) -> Failure:
        """The failure with the end of what the worker that died has printed."""
        if failure.output or note is None or "log" not in note.place:
            return failure
        return replace(failure, output=tail_of_log(self._directory.path / note.place["log"], note.said_from))

    def _record(self, row: int, attempt: int, failure: Failure, note: Note | None) -> None:
        from sciflow.engine.recorder import Recorder, Runs  # noqa: PLC0415  hardly ever needed

        space = self._sweep.definition.space
        rows = np.array([row])
        now = time.perf_counter()
        begun = now if note is None else now - _wall_s(note)
        # what is not known of the worker is left out: what holds for the driver is not its
        facts = {key: value for key, value in self._facts.items() if key != "environment"}
        recorder = Recorder({**facts, **({} if note is None else _place(note))}, {}, lambda _: "", space.names)
        frames, _ = recorder.frames(Runs(space.take(rows), rows, [failure], begun, [now], attempt))
        with self._directory.segment_writer(self._facts["session"]) as writer:
            writer.commit(frames)

    def release(self, task: str, row: int) -> None:
        """Forget a shared value that no variant needs any more, unless it is cached."""
        if task not in self._cached:
            self.files.remove(task, self._key(task, row))

    def _key(self, task: str, row: int) -> bytes:
        table = self._sweep.definition.space.take(np.array([row]))
        return keys_of(table, self._footprints[task])[0]

    def _variant(self, row: int) -> str:
        return self._sweep.definition.space.take(np.array([row])).ids()[0]

    def clear(self) -> None:
        """Forget what only a running sweep needs: failures of shared runs, values, notes of dead workers."""
        self.files.clear(self._cached)
        for note in read_notes(self._live):
            if note.session <= self._facts["session"]:
                with contextlib.suppress(OSError):
                    note.path.unlink()


def _ran(note: Note) -> dict[str, Any]:
    """When and where a shared run took place whose worker died."""
    where = place_of({"session": note.session, **_place(note)})
    return {"start": round(note.started, 3), "wall_s": round(_wall_s(note), 3), **where}


def _place(note: Note) -> dict[str, Any]:
    return {"worker": f"{note.host}:{note.pid}", **note.place}


def _wall_s(note: Note) -> float:
    """How long a run took whose worker died; until its limit, or until the driver heard of it."""
    limit_s = note.deadline - note.started if note.reason == "timeout" else math.inf
    return max(0.0, min(time.time() - note.started, limit_s))
