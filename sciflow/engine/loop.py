"""The loop of a driver: submit what the policy allows, settle what comes back. Decisions are taken elsewhere."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from sciflow.planning.batch import Batch
from sciflow.planning.batching import batch_size
from sciflow.planning.rows import RowSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.clusters.protocol import Answer, Workers
    from sciflow.engine.gate import Gate

Ending = Literal["finished", "stopped", "closed"]
"""Why a run of the loop ended; after "closed" it goes on with new workers when the window opens."""

TARGET_S = 2.0
"""Seconds of work in a batch: a worker asked to stop, or the progress display, never waits much longer."""

PATIENCE = 2
"""A variant whose worker died this often while it ran alone is recorded as failed."""

_FEW = 32  # of so few variants each is run alone to find the one that kills its worker
_TICK_S = 0.25  # how often the loop looks up when nothing comes back


class Watcher(Protocol):
    """What the loop tells while it runs, and asks of the outside."""

    def settled(self, n_done: int, n_failed: int, message: str) -> None:
        """Variants were committed."""
        ...

    def lost(self, batch: Batch) -> None:
        """A worker died with this batch."""
        ...

    def tick(self) -> None:
        """Called several times a second: heartbeats, refreshes; raises to stop the sweep."""
        ...

    def stopping(self) -> bool:
        """Whether to take no new work."""
        ...


@dataclass(slots=True)
class Loop:
    """One driver's run over some rows.

    Parameters
    ----------
    gate : says when work may start
    todo : attempt number → rows to run
    watcher : told what happens
    missing_of : of these rows, which are not committed yet (asked of the store after a worker died)
    give_up : record a row as failed because its worker dies whenever it runs
    any_done : whether the sweep has any good result; until it has, an error of the definition ends it
    """

    gate: Gate
    todo: Mapping[int, RowSet]
    watcher: Watcher
    missing_of: Callable[[RowSet], RowSet]
    give_up: Callable[[int, int], None]
    any_done: bool = False
    _workers: Workers = field(init=False)
    _waiting: deque[tuple[int, RowSet]] = field(init=False)
    _alone: deque[tuple[int, int]] = field(init=False, default_factory=deque)
    _deaths: dict[int, int] = field(init=False, default_factory=dict)
    _in_flight: dict[int, Batch] = field(init=False, default_factory=dict)
    _number: int = field(init=False, default=0)
    _busy_s: float = field(init=False, default=0.0)
    _n_settled: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._waiting = deque((attempt, rows) for attempt, rows in self.todo.items() if len(rows))

    def run(self, workers: Workers) -> Ending:
        """Work with these workers until nothing is left, the window closes or the watcher says stop."""
        self._workers = workers
        draining = False
        while self._waiting or self._alone or self._in_flight:
            self.watcher.tick()
            if self.watcher.stopping():
                if not draining:
                    workers.drain()
                    draining = True
                if not self._in_flight:
                    return "stopped"
            elif not self._feed() and not self._in_flight:
                return "closed"
            answer = workers.next_answer(_TICK_S)
            if answer is not None:
                self._settle(answer)
        return "finished"

    @property
    def n_waiting(self) -> int:
        """Variants that no worker has yet."""
        return sum(len(rows) for _, rows in self._waiting) + len(self._alone)

    def _feed(self) -> bool:
        """Send what the policy and the limit allow; False when the window is closed."""
        opening = self.gate.opening()
        if not opening.may_start:
            return False
        self.gate.begin()
        stop_at = None if opening.until is None else opening.until.timestamp()
        if self._alone:
            # a suspect runs with nothing else in flight, so that its death can be blamed on nobody else
            if not self._in_flight:
                attempt, row = self._alone.popleft()
                self._submit(RowSet.span(row, row + 1), attempt, stop_at)
            return True
        while self._waiting and len(self._in_flight) < 2 * self._workers.n_slots:
            attempt, waiting = self._waiting.popleft()
            mean_s = self._busy_s / self._n_settled if self._n_settled else None
            rows, rest = waiting.split(batch_size(len(waiting), self._workers.n_slots, mean_s, target_s=TARGET_S))
            if len(rest):
                self._waiting.appendleft((attempt, rest))
            self._submit(rows, attempt, stop_at)
        return True

    def _submit(self, rows: RowSet, attempt: int, stop_at: float | None) -> None:
        self._number += 1
        batch = Batch(self._number, tuple(rows), attempt, TARGET_S, stop_at)
        self._in_flight[batch.number] = batch
        self._workers.submit(batch)

    def _settle(self, answer: Answer) -> None:
        batch = answer.batch
        del self._in_flight[batch.number]
        if answer.error is not None:
            raise answer.error
        ack = answer.ack
        if ack is None:
            self._settle_lost(batch)
            return
        self._busy_s += ack.busy_s
        self._n_settled += ack.n_done + ack.n_failed
        self.any_done = self.any_done or ack.n_done > 0
        self.watcher.settled(ack.n_done, ack.n_failed, ack.message)
        if ack.fatal is not None and not self.any_done:
            raise ack.fatal
        if ack.left:
            self._give_back(batch.attempt, ack.left)

    def _give_back(self, attempt: int, rows: tuple[tuple[int, int], ...]) -> None:
        starts, stops = zip(*rows, strict=True)
        left = RowSet.from_intervals(starts, stops)
        if self._waiting and self._waiting[0][0] == attempt:
            left = left | self._waiting.popleft()[1]
        self._waiting.appendleft((attempt, left))

    def _settle_lost(self, batch: Batch) -> None:
        """Find out what the dead worker left undone; run those few alone that it may have died of."""
        starts, stops = zip(*batch.rows, strict=True)
        left = self.missing_of(RowSet.from_intervals(starts, stops))
        n_before = batch.n_variants
        self.watcher.lost(batch)
        self.watcher.settled(n_before - len(left), 0, "")
        if len(left) == 0:
            return
        if n_before == 1 and not self._in_flight:  # it ran alone
            (row,) = left.rows().tolist()
            self._deaths[row] = self._deaths.get(row, 0) + 1
            if self._deaths[row] >= PATIENCE:
                self.give_up(row, batch.attempt)
                self.watcher.settled(0, 1, "")
                return
        if len(left) <= _FEW:
            self._alone.extend((batch.attempt, row) for row in left.rows().tolist())
        else:
            # rows run in order, so the culprit is among the first that are missing: halve until few are left
            self._waiting.extendleft((batch.attempt, half) for half in reversed(left.split(len(left) // 2)))
