"""Roster: the workers that are connected, what each of them runs, and what waits for one; decides who gets what."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sciflow.planning.batch import STOP_EARLY_S

if TYPE_CHECKING:
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
    batch
        What it runs.
    idle_since
        Since when it runs nothing, if so (monotonic seconds).
    is_dismissed
        Whether its job is being cancelled: it gets nothing more.
    """

    address: str
    resource_class: str
    number: int
    since: float
    ends_at: float = math.inf
    is_sure: bool = False
    batch: Batch | None = None
    idle_since: float = field(default_factory=time.monotonic)
    is_dismissed: bool = False

    def takes(self, variant_s: float | None, now: float) -> bool:
        """Whether a variant that takes so long probably ends before the job does; a fresh job is all it can get."""
        if self.is_dismissed:
            return False
        left, whole = self.ends_at - MARGIN_S - now, self.ends_at - MARGIN_S - self.since
        return left > 0 and (left > _SPREAD * (variant_s or 0.0) or left > 0.9 * whole)


@dataclass(slots=True)
class Roster:
    """Seats by address, and batches that wait, by resource class."""

    seats: dict[str, Seat] = field(default_factory=dict[str, Seat])
    _waiting: defaultdict[str, deque[Batch]] = field(default_factory=lambda: defaultdict[str, "deque[Batch]"](deque))

    def n_seats(self, resource_class: str) -> int:
        """Workers of a class that still take work."""
        return sum(seat.resource_class == resource_class and not seat.is_dismissed for seat in self.seats.values())

    def n_waiting(self, resource_class: str) -> int:
        """Batches that no worker has."""
        return len(self._waiting[resource_class])

    def add(self, seat: Seat) -> None:
        """A worker has come."""
        self.seats[seat.address] = seat

    def remove(self, address: str) -> Seat | None:
        """A worker has gone."""
        return self.seats.pop(address, None)

    def dismiss(self, resource_class: str, number: int) -> bool:
        """Give the workers of a job nothing more; False, and all stays as it was, when one of them has a batch."""
        mine = [s for s in self.seats.values() if (s.resource_class, s.number) == (resource_class, number)]
        if any(seat.batch is not None for seat in mine):
            return False
        for seat in mine:
            seat.is_dismissed = True
        return True

    def put(self, batch: Batch) -> None:
        """A batch wants a worker."""
        self._waiting[batch.resource_class].append(batch)

    def assign(self, now: float) -> list[tuple[Seat, Batch]]:
        """Give waiting batches to free workers; each must stop before the job of its worker ends."""
        given: list[tuple[Seat, Batch]] = []
        for resource_class, waiting in self._waiting.items():
            if not waiting:
                continue
            free = [s for s in self.seats.values() if s.batch is None and s.resource_class == resource_class]
            # the shortest time that is enough, so that what takes long finds the longest
            for seat in sorted(free, key=lambda seat: seat.ends_at):
                if waiting and seat.takes(waiting[0].variant_s, now):
                    seat.batch = _stopping_before(waiting.popleft(), seat.ends_at)
                    given.append((seat, seat.batch))
        return given

    def settle(self, address: str, number: int) -> bool:
        """A batch was answered; False when nobody waits for that any more."""
        seat = self.seats.get(address)
        if seat is None or seat.batch is None or seat.batch.number != number:
            return False
        seat.batch, seat.idle_since = None, time.monotonic()
        return True

    def take_all(self) -> list[Batch]:
        """Take back what waits."""
        batches = [batch for waiting in self._waiting.values() for batch in waiting]
        self._waiting.clear()
        return batches


def _stopping_before(batch: Batch, ends_at: float) -> Batch:
    if ends_at == math.inf:
        return batch
    stop_at = ends_at - MARGIN_S + STOP_EARLY_S
    return replace(batch, stop_at=stop_at if batch.stop_at is None else min(batch.stop_at, stop_at))
