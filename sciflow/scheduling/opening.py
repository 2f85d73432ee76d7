"""Conditions and Opening: what a policy is told, and what it answers. Values; instants are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sciflow.errors import PolicyError


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that a policy decides from; what nobody knows is None and holds nothing up.

    Attributes
    ----------
    now
        The instant (aware).
    asked_at
        When the sweep was asked for.
    begun_at
        When its first variant was sent; None until then.
    working
        Whether work goes on at present: what may not start may still be allowed to go on.
    load
        How much of this machine others keep busy: 0 is idle, 1 is every core.
    n_pending
        Jobs of other users that wait in the queue.
    """

    now: datetime
    asked_at: datetime | None = None
    begun_at: datetime | None = None
    working: bool = False
    load: float | None = None
    n_pending: int | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether work may start now, how much of it, until when, and otherwise when to ask again.

    Attributes
    ----------
    until
        From then on nothing starts; None is never, or that nothing may start now.
    next_open
        When work may start next, or, where it may go on outside the window with few cores, when it may use more.
        None inside the window, and where it does not depend on the clock alone.
    max_cores
        Cores that may be busy at the same time now; None is no cap.
    spill
        For how long after *until* running work may go on.
    """

    may_start: bool
    until: datetime | None = None
    next_open: datetime | None = None
    max_cores: int | None = None
    spill: timedelta = timedelta(0)

    @property
    def stop_by(self) -> datetime | None:
        """When running work must have stopped; None is never."""
        return None if self.until is None else self.until + self.spill


def utc(now: datetime) -> datetime:
    """*now* in UTC; a naive datetime is refused, since nobody can know what it means."""
    if now.tzinfo is None:
        raise PolicyError(f"{now.isoformat()} has no time zone; pass an aware datetime in UTC")
    return now.astimezone(UTC)
