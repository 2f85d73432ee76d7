"""The loop of a driver: submit what the policy allows, settle what comes back. Decisions are taken elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from sciflow.errors import SweepError
from sciflow.planning.backlog import Backlog, Parcel
from sciflow.planning.batch import Batch
from sciflow.planning.batching import batch_size
from sciflow.planning.rows import RowSet
from sciflow.quantities import render_seconds
from sciflow.running.closing import GRACE_S
from sciflow.running.failure import INFRASTRUCTURE, Failure
from sciflow.running.live import NOBODY
from sciflow.scheduling.span import longest_window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.clusters.protocol import Answer, Workers
    from sciflow.engine.gate import Gate
    from sciflow.engine.pace import Pace
    from sciflow.planning.batch import Ack
    from sciflow.planning.sharing import Sharing
    from sciflow.running.live import Note
    from sciflow.workflow.stop import StopAfter

Ending = Literal["finished", "stopped", "closed", "given_up"]
"""Why a run of the loop ended; after "closed" it goes on with new workers when the window opens."""

SOON_S = 2.0
"""Where variants take less, those that are under way are back in a moment."""

PATIENCE = 2
"""A variant whose worker died this often while it ran alone is recorded as failed."""

MOST_OUTLASTED = 6
"""A variant that still ran when so many jobs were over is recorded as failed; later ones are longer, up to a limit."""

MOST_BARREN = 20
"""So many workers, and ten per slot, may die one after another with nothing settled in between."""

RECORDING_S = 1e-6
"""What it takes, about, to record a variant; for longer variants it does not matter."""

CAREFUL_S = 1e-4
"""Variants that take longer are noted as they start; for shorter ones that would cost too much."""

_TICK_S = 0.25  # how often the loop looks up when nothing comes back


class Watcher(Protocol):
    """What the loop tells while it runs, and asks of the outside."""

    def settled(self, batch: Batch, ack: Ack) -> None:
        """Variants were committed, or a shared run was kept."""
        ...

    def lost(self, batch: Batch, how: str, suspect: int | None, n_done: int, cause: str = "") -> None:
        """A worker died with this batch, of which *n_done* variants are committed; *suspect* is the row it ran.

        *cause* is what happened to its job or node, where that was it.
        """
        ...

    def missing_of(self, rows: RowSet) -> RowSet:
        """Say which of *rows* are not committed (asked of the store after a worker died)."""
        ...

    def note_of(self, batch: Batch) -> Note | None:
        """Give the last note of the process that died with this batch."""
        ...

    def give_up(self, row: int, batch: Batch, failure: Failure, note: Note | None) -> None:
        """Record a variant, or a shared run, as failed because its worker dies whenever it runs.

        *note* is the last of the process that died.
        """
        ...

    def give_up_shared(self, task: str, row: int, failure: Failure, note: Note | None) -> None:
        """Keep the failure of the shared run that the variant at *row* needs, for all that need it."""
        ...

    def release(self, task: str, row: int) -> None:
        """Forget the kept value of a shared task: no variant needs it any more."""
        ...

    def has_saved(self, row: int) -> bool:
        """Whether a task of this variant has saved its state, from which it goes on."""
        ...

    def nearly_done(self) -> None:
        """All that is left is under way, and will be back in seconds."""
        ...

    def tick(self) -> None:
        """Called several times a second: heartbeats, refreshes; raises to stop the sweep."""
        ...

    def stopping(self) -> bool:
        """Whether to take no new work."""
        ...


@dataclass(slots=True)
class Tally:
    """What the loop has seen so far.

    Attributes
    ----------
    n_done, n_failed
        Variants settled.
    busy_s, worker_s, core_s
        Seconds that workers spent on batches, that they were there, and these for each of their cores.
    failures
        Fingerprint → number of variants.
    mean_s
        Mean seconds per variant; None before the first answer.
    """

    n_done: int = 0
    n_failed: int = 0
    busy_s: float = 0.0
    worker_s: float = 0.0
    core_s: float = 0.0
    failures: Counter[str] = field(default_factory=Counter[str])
    mean_s: float | None = None

    def add(self, ack: Ack) -> None:
        """Count an answer."""
        n = ack.n_done + ack.n_failed
        self.n_done += ack.n_done
        self.n_failed += ack.n_failed
        self.busy_s += ack.busy_s
        self.failures.update(ack.failures)
        if n:
            # recent batches count more: times may depend on where in the space we are
            mine = (ack.run_s or ack.busy_s) / n + RECORDING_S
            self.mean_s = mine if self.mean_s is None else 0.5 * self.mean_s + 0.5 * mine


@dataclass(slots=True)
class Loop:
    """One driver's run over some rows.

    Parameters
    ----------
    gate : says when work may start
    sharing : what variants share, and the order in which they run
    todo : attempt number → rows to run
    watcher : told what happens
    stop_after : when a sweep is not worth going on with
    any_done : whether the sweep has any good result; until it has, an error of the definition ends it
    pace : what is known of how long variants take; without it they run in the order of the enumeration
    """

    gate: Gate
    sharing: Sharing
    todo: Mapping[int, RowSet]
    watcher: Watcher
    stop_after: StopAfter | None = None
    any_done: bool = False
    pace: Pace | None = None
    tally: Tally = field(init=False, default_factory=Tally)
    reason: str = field(init=False, default="")
    """Why the sweep was given up."""
    _workers: Workers = field(init=False)
    _backlog: Backlog = field(init=False)
    _deaths: Counter[tuple[str, int]] = field(init=False, default_factory=Counter[tuple[str, int]])
    _outlasted: Counter[tuple[str, int]] = field(init=False, default_factory=Counter[tuple[str, int]])
    """Runs → jobs that ended before them."""
    _in_flight: dict[int, tuple[Batch, Parcel]] = field(init=False, default_factory=dict[int, tuple[Batch, Parcel]])
    _mean_s: dict[str, float] = field(init=False, default_factory=dict[str, float])  # of the runs of a shared task
    _n_sent: Counter[str] = field(init=False, default_factory=Counter[str])  # batches in flight, by resource class
    _n_staging: Counter[str] = field(init=False, default_factory=Counter[str])  # runs in flight, by shared task
    _max_cores: int | None = field(init=False, default=None)
    _number: int = field(init=False, default=0)
    _n_barren: int = field(init=False, default=0)
    """Workers that died since something was settled."""

    def __post_init__(self) -> None:
        self._backlog = Backlog(self.sharing, {attempt: self._positions(rows) for attempt, rows in self.todo.items()})

    def run(self, workers: Workers) -> Ending:
        """Work with these workers until nothing is left, the window closes or somebody says stop."""
        self._workers = workers
        draining = False
        looked = time.monotonic()
        while self._backlog or self._in_flight:
            self.watcher.tick()
            workers.demand(self._demand())
            now = time.monotonic()
            self.tally.worker_s += workers.n_slots * (now - looked)
            self.tally.core_s += workers.n_cores * (now - looked)
            looked = now
            if self.watcher.stopping() or self.reason:
                if not draining:
                    workers.drain()
                    draining = True
                if not self._in_flight:
                    return "given_up" if self.reason else "stopped"
            elif not self._feed() and not self._in_flight:
                return "closed"
            answer = workers.next_answer(_TICK_S)
            if answer is not None:
                self._settle(answer)
        return "finished"

    def rest(self, workers: Workers) -> None:
        """Have workers prepared, and hear what is to be told of them, while nothing may start."""
        workers.demand(self._demand())
        workers.next_answer(0.0)

    # ------------------------------------------------------------------------------------------------------- submit

    def _feed(self) -> bool:
        """Send what the policy and the limit allow; False when the window is closed."""
        opening = self.gate.opening()
        if not opening.may_start:
            return False
        stop_at = None if opening.stop_by is None else opening.stop_by.timestamp()
        self._max_cores = opening.max_cores
        self.gate.begin()
        while self._backlog:
            parcel = self._backlog.take(self._size, self._has_room)
            if parcel is None:
                break
            self._submit(parcel, stop_at)
        if not self._backlog and self.tally.mean_s is not None and self.tally.mean_s < SOON_S:
            self.watcher.nearly_done()
        return True

    def _has_room(self, resource_class: str) -> bool:
        """Whether workers of this class can take another batch: one more than they have slots keeps them busy."""
        return self._n_sent[resource_class] < 2 * self._workers.slots_of(resource_class) and self._fits(resource_class)

    def _fits(self, resource_class: str) -> bool:
        """Whether another batch keeps to the cores that the policy allows; one may run, however many it asks for."""
        if self._max_cores is None or not self._in_flight:
            return True
        asked = {one.name: one.resources.cores for one in self.sharing.classes.all}
        busy = sum(asked.get(name, 1) * n for name, n in self._n_sent.items())
        return busy + asked.get(resource_class, 1) <= self._max_cores

    def _demand(self) -> dict[str, int]:
        """How many runs wait for workers or are under way, by resource class; none for one that is done for good.

        Where variants wait for workers of other classes, those that run them to their end have nothing to do meanwhile:
        one is enough until more than that is ready.
        """
        classes, backlog = self.sharing.classes, self._backlog
        demand = {one.name: self._n_sent[one.name] + backlog.n_ready(one.name) for one in classes.all}
        if not classes.is_mixed:
            return {classes.final: demand[classes.final] + backlog.n_unready}
        for task in self.sharing.tasks:
            if (name := classes.of_task(task.name)) != classes.final:
                n_unsent = backlog.n_unkept(task.name) - self._n_staging[task.name]
                demand[name] = max(demand[name], self._n_sent[name] + n_unsent)
        demand[classes.final] = max(demand[classes.final], int(backlog.n_unready > 0))
        return demand

    def _size(self, n_waiting: int) -> int:
        return batch_size(n_waiting, max(self._workers.n_slots, 1), self.tally.mean_s, target_s=self._workers.batch_s)

    def _submit(self, parcel: Parcel, stop_at: float | None) -> None:
        self._number += 1
        slow = self.tally.mean_s is None or self.tally.mean_s > CAREFUL_S
        batch = Batch(
            self._number,
            self.sharing.rows(parcel.positions.rows()),
            parcel.attempt,
            self._workers.batch_s,
            stop_at,
            until=parcel.until,
            kept=parcel.kept,
            careful=parcel.careful or parcel.alone or slow,
            alone=parcel.alone,
            resource_class=(resource_class := self.sharing.classes.of_task(parcel.until)),
            memory=parcel.memory,
            may_grow=(parcel.alone or parcel.until != "") and parcel.memory < self._workers.most_memory(resource_class),
            variant_s=self._mean_s.get(parcel.until),
        )
        self._in_flight[batch.number] = batch, parcel
        self._n_sent[batch.resource_class] += not parcel.is_large
        self._n_staging[parcel.until] += len(parcel.positions)
        self._workers.submit(batch)

    # ------------------------------------------------------------------------------------------------------- settle

    def _settle(self, answer: Answer) -> None:
        batch, parcel = self._in_flight.pop(answer.batch.number)
        self._n_sent[batch.resource_class] -= not parcel.is_large
        self._n_staging[parcel.until] -= len(parcel.positions)
        if answer.error is not None:
            raise answer.error
        ack = answer.ack
        if ack is None:
            self._settle_lost(batch, parcel, answer)
            return
        self._n_barren = 0
        self.tally.add(ack)
        self._learn_mean(parcel, ack)
        self.any_done = self.any_done or ack.n_done > 0
        self.watcher.settled(batch, ack)
        if ack.fatal is not None and not self.any_done:
            raise ack.fatal
        if parcel.until:
            self._settle_staged(parcel, ack)
            return
        self._learn(ack)
        positions = parcel.positions.rows()
        n_run = len(positions) - ack.n_left
        later = np.isin(batch.rows[:n_run], ack.deferred)
        self._done(RowSet.from_rows(positions[:n_run][~later]))
        if (parcel.alone and ack.n_left) or (parcel.is_large and later.any()):
            self._backlog.again(parcel)
            return
        if ack.n_left:
            self._backlog.give_back(parcel, RowSet.from_rows(positions[n_run:]))
        if later.any():
            self._backlog.put_last(parcel.attempt, RowSet.from_rows(positions[:n_run][later]))
        if self.stop_after is not None and not self.reason:
            tally = self.tally
            self.reason = self.stop_after.decide(tally.n_done, tally.n_failed, tally.failures) or ""

    def _settle_staged(self, parcel: Parcel, ack: Ack) -> None:
        done, left = parcel.positions.split(len(parcel.positions) - ack.n_left)
        if len(done):
            self._backlog.staged(_only(parcel, done), ack.busy_s / len(done), self._workers.batch_s)
        if len(left):
            self._backlog.again(_only(parcel, left, alone=parcel.alone, memory=parcel.memory))

    def _learn_mean(self, parcel: Parcel, ack: Ack) -> None:
        n = len(parcel.positions) - ack.n_left
        if n > 0 and parcel.until:
            mean_s = ack.busy_s / n
            self._mean_s[parcel.until] = 0.5 * (self._mean_s.get(parcel.until, mean_s) + mean_s)
        elif self.tally.mean_s is not None:
            self._mean_s[""] = self.tally.mean_s

    def _learn(self, ack: Ack) -> None:
        """Put the longest variants first once it is known which those are."""
        pace = self.pace
        if pace is not None:
            pace.observe(ack.sample)
            if pace.is_due():
                self._backlog.reorder(lambda positions: pace.order(positions, self._workers.n_slots))

    def _done(self, positions: RowSet) -> None:
        for task, position in self._backlog.settle(positions):
            self.watcher.release(task, self._row(position))

    def _settle_lost(self, batch: Batch, parcel: Parcel, answer: Answer) -> None:
        """Find out what the dead worker left undone, and which variant it may have died of."""
        note = self.watcher.note_of(batch)
        answer = _of_closing(answer, note)
        left, n_done = self._left_of(batch, parcel)
        if answer.cause in INFRASTRUCTURE:  # no variant is to blame
            self.watcher.lost(batch, answer.how, None, n_done, answer.cause)
            is_over = answer.cause in {"walltime", "window"}
            if is_over:
                left = self._without_endless(left, note, batch, parcel)
            # one that outlasts every job is to be found
            again = replace(parcel, careful=parcel.careful or is_over)
            self._send_again(left, again, halved=is_over and note is None)
            return
        left = self._blame(left, n_done, note, parcel, answer)
        noted = batch.careful or (note is not None and note.reason != "")
        # not begun, as far as we know; but where notes cannot be kept the culprit must be found too
        again = replace(parcel, careful=note is not None and not noted, alone=False, memory=1.0)
        self._send_again(left, again, halved=note is None)

    def _left_of(self, batch: Batch, parcel: Parcel) -> tuple[RowSet, int]:
        """Positions that a dead worker left undone, and how many it did."""
        if parcel.until:
            return parcel.positions, 0
        left = self._positions(self.watcher.missing_of(RowSet.from_rows(batch.rows)))
        self._done(parcel.positions - left)
        return left, len(parcel.positions) - len(left)

    def _blame(self, left: RowSet, n_done: int, note: Note | None, parcel: Parcel, answer: Answer) -> RowSet:
        """Run the variant that the worker may have died of alone, or give it up; give what else is left."""
        how, batch = answer.how, answer.batch
        starved = answer.cause == "out_of_memory" or (note is not None and note.reason == "out_of_memory")
        self._share_failure(note, left, parcel)
        suspect = self._suspect(note, left, batch)
        if suspect is None and starved and batch.alone and len(left):  # it may have read its inputs only
            suspect = int(left.starts[0])
        row = None if suspect is None else self._row(suspect)
        if suspect is None or not starved:
            self._judge_deaths(n_done, how)
        self.watcher.lost(batch, how, row, n_done, "out_of_memory" if starved else answer.cause)
        if suspect is None:
            return left
        if starved:
            self._run_with_more(suspect, batch, parcel, note, how)
        else:
            self._run_alone(suspect, batch, parcel, note, how)
        return left - RowSet.span(suspect, suspect + 1)

    def _send_again(self, left: RowSet, parcel: Parcel, *, halved: bool) -> None:
        """Have positions of a parcel run once more, in two parcels where the culprit among them is to be found."""
        for part in left.split(len(left) // 2) if halved else (left,):
            if len(part):
                again = _only(parcel, part, careful=parcel.careful, alone=parcel.alone, memory=parcel.memory)
                self._backlog.again(again)

    def _without_endless(self, left: RowSet, note: Note | None, batch: Batch, parcel: Parcel) -> RowSet:
        """Give up a run that outlasts every job, however long they became; give what is to run again.

        One that saves its state gets further each time.
        """
        position = self._suspect(note, left, batch)
        if position is None or self.watcher.has_saved(self._row(position)):
            return left
        key = (parcel.until, position)
        self._outlasted[key] += 1
        had_all = self._had_a_whole_window(note)
        if self._outlasted[key] < MOST_OUTLASTED and not had_all:
            return left
        task = self._task_of(note, parcel)
        if note is not None and note.reason == "window":
            often = "and it was the longest of the coming weeks" if had_all else f"{MOST_OUTLASTED} times"
            why = Failure.overran(task, often)
        else:
            why = Failure.outlasted(task, MOST_OUTLASTED)
        self._give_up(position, batch, parcel, note, why)
        return left - RowSet.span(position, position + 1)

    def _had_a_whole_window(self, note: Note | None) -> bool:
        """Whether a variant that was ended at a closing had run for as long as the longest window."""
        if note is None or note.reason != "window":
            return False
        longest = longest_window(self.gate.policy, self.gate.conditions())
        return longest is not None and self.gate.now().timestamp() - note.started >= longest.length.total_seconds()

    def _judge_deaths(self, n_done: int, how: str) -> None:
        """Give up where workers die whatever they run: no variant is to blame, and it would never end."""
        self._n_barren = 0 if n_done else self._n_barren + 1
        if self._n_barren > MOST_BARREN + 10 * self._workers.n_slots:
            raise SweepError(
                f"{self._n_barren} worker processes died one after another and finished nothing"
                f"{f' (the last: {how})' if how else ''}; what they printed is in logs/ of the sweep, and what was "
                "finished before is kept"
            )

    def _share_failure(self, note: Note | None, left: RowSet, parcel: Parcel) -> None:
        """Where a worker ended itself over a shared run, its failure is kept for the other variants that need it."""
        task = self._shared_task(note)
        if note is None or not task or parcel.until or note.reason not in {"timeout", "out_of_memory"}:
            return
        position = self._position(note.row)
        if position not in left:  # recorded by the worker
            self._backlog.keep(task, position)

    def _shared_task(self, note: Note | None) -> str:
        """The shared task that ran when a worker died, if it was one."""
        if note is None or NOBODY in {note.step, note.row}:
            return ""
        name = tuple(self.sharing.n_evaluations)[note.step]
        return name if any(task.name == name for task in self.sharing.tasks) else ""

    def _suspect(self, note: Note | None, left: RowSet, batch: Batch) -> int | None:
        """The position of the variant that ran when the worker died."""
        if note is not None and note.row != NOBODY:
            position = self._position(note.row)
            return position if position in left else None
        if note is None and batch.n_variants == 1 and len(left):
            return int(left.starts[0])
        return None

    def _run_alone(self, position: int, batch: Batch, parcel: Parcel, note: Note | None, how: str) -> None:
        """Run a variant that may have killed its worker with nothing else in its batch, or give it up."""
        key = (parcel.until, position)
        self._deaths[key] += batch.alone
        why = self._why(note, how, parcel)
        patience = PATIENCE if note is not None else 2 * PATIENCE
        if self._deaths[key] < patience and why.cause != "timeout":
            one = RowSet.span(position, position + 1)
            self._backlog.again(_only(parcel, one, alone=True, memory=parcel.memory))
            return
        self._give_up(position, batch, parcel, note, why)

    def _run_with_more(self, position: int, batch: Batch, parcel: Parcel, note: Note | None, how: str) -> None:
        """Run a variant for which the memory was not enough alone, with more where that can be had, or give it up."""
        most = self._workers.most_memory(batch.resource_class)
        memory = more_memory(batch.memory, most, alone=batch.alone)
        if memory is None:
            self._give_up(position, batch, parcel, note, Failure.starved(self._task_of(note, parcel), how))
            return
        one = RowSet.span(position, position + 1)
        self._backlog.again(_only(parcel, one, alone=True, memory=memory))

    def _give_up(self, position: int, batch: Batch, parcel: Parcel, note: Note | None, why: Failure) -> None:
        """Record that a run fails, for every variant that needs it."""
        self._n_barren = 0
        alone = _only(parcel, RowSet.span(position, position + 1), alone=True)
        shared = "" if parcel.until else self._shared_task(note)
        if shared:  # its failure is that of every variant that needs it, this one included
            self.watcher.give_up_shared(shared, self._row(position), why, note)
            self._backlog.keep(shared, position)
            self._backlog.again(_only(parcel, alone.positions))
            return
        self.watcher.give_up(self._row(position), batch, why, note)
        if parcel.until:
            self._backlog.staged(alone)
            return
        self.tally.n_failed += 1
        self.tally.failures[why.fingerprint] += 1
        self._done(alone.positions)

    def _why(self, note: Note | None, how: str, parcel: Parcel) -> Failure:
        """What killed a worker, as far as its note and the end of its process tell."""
        if note is None:
            return Failure.crash("", how)
        task = self._task_of(note, parcel)
        if note.reason == "timeout":
            return Failure.limit("timeout", task, render_seconds(note.deadline - note.started))
        return Failure.crash(task, how)

    def _task_of(self, note: Note | None, parcel: Parcel) -> str:
        """The task that ran when a worker died, if that is known."""
        tasks = tuple(self.sharing.n_evaluations)
        if note is not None and note.step != NOBODY:
            return tasks[note.step]
        return parcel.until or (tasks[0] if len(tasks) == 1 else "")

    # ------------------------------------------------------------------------------------------------------- rows

    def _positions(self, rows: RowSet) -> RowSet:
        if self.sharing.is_natural:
            return rows
        return RowSet.from_rows(self.sharing.positions(rows.rows()))

    def _position(self, row: int) -> int:
        return int(self._positions(RowSet.span(row, row + 1)).starts[0])

    def _row(self, position: int) -> int:
        return int(self.sharing.rows(np.array([position]))[0])


def more_memory(had: float, most: float, *, alone: bool) -> float | None:
    """How much memory a variant gets for which it was not enough; None when nothing is left to be tried.

    Parameters
    ----------
    had, most
        What its worker had, and what one may have, as multiples of what its class asks for.
    alone
        Whether it ran alone: else others may have left it little.
    """
    if had < most:
        return min(2 * had, most)
    return None if alone else had


def _of_closing(answer: Answer, note: Note | None) -> Answer:
    """The answer with its cause where the worker ended itself after the closing."""
    if note is None or note.reason != "window":
        return answer
    return replace(answer, cause="window", how=f"it still ran {GRACE_S:.0f} s after the closing")


def _only(
    parcel: Parcel, positions: RowSet, *, careful: bool = False, alone: bool = False, memory: float = 1.0
) -> Parcel:
    """The part of a parcel at some of its positions; values that its variants share may be kept by now."""
    evaluations: tuple[int, ...] = ()
    if parcel.until:
        by_position: dict[int, int] = dict(zip(parcel.positions.rows().tolist(), parcel.evaluations, strict=True))
        evaluations = tuple(by_position[position] for position in positions.rows().tolist())
    return replace(
        parcel,
        positions=positions,
        evaluations=evaluations,
        kept=True,
        careful=careful,
        alone=alone,
        memory=memory,
    )
