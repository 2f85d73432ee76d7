"""Roster: the workers that are connected, what each of them runs, and what waits for one; decides who gets what."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING

from sciflow.planning.batch import STOP_EARLY_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from sciflow.planning.batch import Batch

MARGIN_S = 15.0
"""So long before its job ends, at the least, a worker is asked to have stopped."""

_SPREAD = 1.5  # variants may take this much longer than the mean


@dataclass(slots=True)
class Seat:
    """A worker that is connected: one batch at a time.

    Attributes
    ----------
    address
        Of the worker, for Dask.
    resource_class, number
        Which job of which class it came with.
    since, ends_at
        When it came, and when its job ends at the latest (Unix seconds).
    is_sure
        Whether the batch system has said when that is.
    memory
        How many times the memory that its class asks for its job has.
    is_large
        Whether its job is for variants that need so much, and for no others.
    batch
        What it runs.
    idle_since
        Since when it runs nothing, if so (monotonic seconds).
    is_dismissed
        Whether its job is about to end: it gets nothing more.
    """

    address: str
    resource_class: str
    number: int
    since: float
    ends_at: float = math.inf
    is_sure: bool = False
    memory: float = 1.0
    is_large: bool = False
    batch: Batch | None = None
    idle_since: float = field(default_factory=time.monotonic)
    is_dismissed: bool = False

    def takes(self, variant_s: float | None, now: float) -> bool:
        """Whether a variant that takes so long probably ends before the job does; a fresh job is all it can get."""
        if self.is_dismissed:
            return False
        left, whole = self.ends_at - MARGIN_S - now, self.ends_at - MARGIN_S - self.since
        return left > 0 and (left > _SPREAD * (variant_s or 0.0) or left > 0.9 * whole)

    def suits(self, resource_class: str, memory: float) -> bool:
        """Whether it is for batches of a class that need so much memory."""
        is_for_all = memory > 1 or not self.is_large
        return self.resource_class == resource_class and self.memory >= memory and is_for_all


@dataclass(slots=True)
class Roster:
    """Seats by address, and batches that wait, by resource class and memory."""

    seats: dict[str, Seat] = field(default_factory=dict[str, Seat])
    _waiting: defaultdict[tuple[str, float], deque[Batch]] = field(
        default_factory=lambda: defaultdict[tuple[str, float], "deque[Batch]"](deque)
    )
    _leaving: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])  # jobs that are dismissed

    def n_seats(self, resource_class: str) -> int:
        """Workers of a class that still take work of any kind."""
        return sum(seat.suits(resource_class, 1.0) and not seat.is_dismissed for seat in self.seats.values())

    def n_waiting(self, resource_class: str) -> int:
        """Batches that no worker has."""
        return sum(len(waiting) for (name, _), waiting in self._waiting.items() if name == resource_class)

    def large(self, resource_class: str) -> list[float]:
        """The memory, as multiples, of batches that wait for large jobs or run in them."""
        running = [
            seat.memory
            for seat in self.seats.values()
            if seat.is_large and seat.resource_class == resource_class and seat.batch is not None
        ]
        waiting = [
            memory
            for (name, memory), batches in self._waiting.items()
            if name == resource_class and memory > 1
            for _ in batches
        ]
        return running + waiting

    def add(self, seat: Seat) -> None:
        """A worker has come, maybe after its job was told to go."""
        seat.is_dismissed |= (seat.resource_class, seat.number) in self._leaving
        self.seats[seat.address] = seat

    def remove(self, address: str) -> Seat | None:
        """A worker has gone."""
        return self.seats.pop(address, None)

    def dismiss(self, resource_class: str, number: int) -> bool:
        """Give the workers of a job, later ones too, nothing more; False, and no change, when one has a batch."""
        mine = [s for s in self.seats.values() if (s.resource_class, s.number) == (resource_class, number)]
        if any(seat.batch is not None for seat in mine):
            return False
        self._leaving.add((resource_class, number))
        self.retire(resource_class, number)
        return True

    def retire(self, resource_class: str, number: int) -> None:
        """Give the workers of a job nothing more, but let them finish what they have."""
        for seat in self.seats.values():
            if (seat.resource_class, seat.number) == (resource_class, number):
                seat.is_dismissed = True

    def put(self, batch: Batch) -> None:
        """A batch wants a worker."""
        self._waiting[batch.resource_class, batch.memory].append(batch)

    def assign(self, now: float) -> list[tuple[Seat, Batch]]:
        """Give waiting batches to free workers; each must stop before the job of its worker ends."""
        given: list[tuple[Seat, Batch]] = []
        # those that need most memory first, for others find more that is enough for them
        for (resource_class, memory), waiting in sorted(self._waiting.items(), key=itemgetter(0), reverse=True):
            if not waiting:
                continue
            free = [seat for seat in self.seats.values() if seat.batch is None and seat.suits(resource_class, memory)]
            # the least memory and the shortest time that are enough, so that what needs much finds it
            for seat in sorted(free, key=lambda seat: (seat.memory, seat.ends_at)):
                if waiting and seat.takes(waiting[0].variant_s, now):
                    batch = replace(waiting.popleft(), memory=seat.memory)
                    seat.batch = _stopping_before(batch, seat.ends_at)
                    given.append((seat, seat.batch))
        return given

    def take_late(self, now: float) -> list[Batch]:
        """Take back what waits and should have stopped by now."""
        return self._take(lambda batch: batch.stop_at is not None and batch.stop_at < now)

    def take_beyond(self, resource_class: str, memory: float) -> list[Batch]:
        """Take back what waits for more memory than this."""
        return self._take(lambda batch: batch.resource_class == resource_class and batch.memory > memory)

    def settle(self, address: str, number: int) -> bool:
        """A batch was answered; False when nobody waits for that any more."""
        seat = self.seats.get(address)
        if seat is None or seat.batch is None or seat.batch.number != number:
            return False
        seat.batch, seat.idle_since = None, time.monotonic()
        return True

    def take_all(self) -> list[Batch]:
        """Take back what waits."""
        return self._take(lambda _: True)

    def _take(self, which: Callable[[Batch], bool]) -> list[Batch]:
        taken: list[Batch] = []
        for key, waiting in self._waiting.items():
            taken += filter(which, waiting)
            self._waiting[key] = deque(batch for batch in waiting if not which(batch))
        return taken


def _stopping_before(batch: Batch, ends_at: float) -> Batch:
    if ends_at == math.inf:
        return batch
    stop_at = ends_at - MARGIN_S + STOP_EARLY_S
    return replace(batch, stop_at=stop_at if batch.stop_at is None else min(batch.stop_at, stop_at))
