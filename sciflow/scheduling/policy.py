"""Policies: values that say when work may start, until when, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from sciflow.errors import PolicyError
from sciflow.quantities import render_seconds
from sciflow.scheduling.window import DailyHours, next_window, parse_hours, utc
from sciflow.scheduling.zone import Zone

if TYPE_CHECKING:
    from collections.abc import Mapping

OFF_PEAK_KEYS = ("preferred_hours", "weekend_preferred", "max_wait_hours", "timezone")
DEFAULT_HOURS = "22:00-08:00"


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether work may start now, until when, and otherwise when to ask again; instants are UTC.

    Attributes
    ----------
    until
        When work must have stopped starting; None is never, or that nothing may start.
    next_open
        When work may start next; None when it may start now.
    """

    may_start: bool
    until: datetime | None = None
    next_open: datetime | None = None


class Policy(Protocol):
    """When and how a sweep may work; decided from the instant passed in, never from a clock."""

    def opening(self, now: datetime) -> Opening:
        """Whether work may start at *now* (aware), and until when."""
        ...

    def start_by(self, asked_at: datetime) -> datetime | None:
        """When a sweep asked for at *asked_at* starts regardless; None when it waits as long as it takes."""
        ...

    def explain(self, now: datetime, waited_s: float = 0) -> str:
        """One sentence that says what holds at *now*, after *waited_s* seconds of waiting."""
        ...

    def to_dict(self) -> dict[str, object]:
        """Plain data: the policy's name and its options."""
        ...


@dataclass(frozen=True, slots=True)
class Immediate:
    """Work at any time."""

    def opening(self, now: datetime) -> Opening:
        """Always open, with no end."""
        utc(now)
        return Opening(may_start=True)

    def start_by(self, asked_at: datetime) -> datetime | None:
        """At once."""
        return utc(asked_at)

    def explain(self, now: datetime, waited_s: float = 0) -> str:  # noqa: ARG002  nothing to wait for
        """One sentence."""
        utc(now)
        return "work may start at any time"

    def to_dict(self) -> dict[str, object]:
        """Plain data."""
        return {"name": "immediate"}


@dataclass(frozen=True, slots=True)
class OffPeak:
    """Work in the preferred hours of each day, and on weekends if they are preferred.

    Attributes
    ----------
    max_wait_hours
        Bound on the wait before the first variant; None is no bound.
    zone
        The zone of the clock on the wall.
    """

    hours: DailyHours
    weekend_preferred: bool = False
    max_wait_hours: float | None = None
    zone: Zone = Zone()  # noqa: RUF009  frozen

    def opening(self, now: datetime) -> Opening:
        """Open inside a window, until its end."""
        window = next_window(utc(now), self.hours, self.zone, weekend=self.weekend_preferred)
        if window.start <= now:
            return Opening(may_start=True, until=window.end)
        return Opening(may_start=False, next_open=window.start)

    def start_by(self, asked_at: datetime) -> datetime | None:
        """``max_wait_hours`` after *asked_at*."""
        if self.max_wait_hours is None:
            return None
        return utc(asked_at) + timedelta(hours=self.max_wait_hours)

    def explain(self, now: datetime, waited_s: float = 0) -> str:
        """One sentence, such as ``off-peak window opens at 22:00 Europe/Paris (in 8 h 0 min)``."""
        opening = self.opening(now)
        if opening.until is not None:
            return f"off-peak window is open until {self._when(opening.until, now, 'for another')}"
        if opening.next_open is None:  # pragma: no cover  an opening has the one or the other
            raise AssertionError
        sentence = f"off-peak window opens at {self._when(opening.next_open, now, 'in')}"
        start_by = self.start_by(now - timedelta(seconds=waited_s))
        if start_by is None or start_by >= opening.next_open:
            return sentence
        if start_by <= now:
            return f"{sentence}, but max_wait_hours = {self.max_wait_hours:g} have passed: work may start"
        return f"{sentence}; work starts at {self._when(start_by, now, 'in')} at the latest"

    def to_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "name": "off_peak",
            "preferred_hours": str(self.hours),
            "weekend_preferred": self.weekend_preferred,
            "max_wait_hours": self.max_wait_hours,
            "timezone": self.zone.name,
        }

    def _when(self, instant: datetime, now: datetime, preposition: str) -> str:
        wall = self.zone.wall(instant)
        far = instant - now > timedelta(days=1)
        clock = f"{wall:%H:%M on %A}" if far else f"{wall:%H:%M}"
        # rounded up, so that it never says "in 0 s" before the time
        seconds = math.ceil((instant - now).total_seconds())
        return f"{clock} {self.zone} ({preposition} {render_seconds(seconds)})"


def parse_policy(name: str, options: Mapping[str, object] | None = None) -> Policy:
    """The policy of this name: ``"immediate"`` or ``"off_peak"``.

    Parameters
    ----------
    options
        Of ``off_peak``: ``preferred_hours`` (such as ``"22:00-08:00"``), ``weekend_preferred`` (bool),
        ``max_wait_hours`` (number or None) and ``timezone`` (an IANA name; None is this machine's).

    Raises
    ------
    PolicyError
        For an unknown name or key, or a value that is not understood.
    """
    given = dict(options or {})
    if name == "immediate":
        _refuse_unknown(name, given, ())
        return Immediate()
    if name == "off_peak":
        _refuse_unknown(name, given, OFF_PEAK_KEYS)
        return OffPeak(
            hours=parse_hours(given.get("preferred_hours", DEFAULT_HOURS)),
            weekend_preferred=_parse_bool("weekend_preferred", given.get("weekend_preferred", False)),
            max_wait_hours=_parse_wait(given.get("max_wait_hours")),
            zone=_parse_zone(given.get("timezone")),
        )
    raise PolicyError(f"no scheduling policy named {name!r}; there are 'immediate' and 'off_peak'")


def _refuse_unknown(name: str, options: Mapping[str, object], known: tuple[str, ...]) -> None:
    unknown = [key for key in options if key not in known]
    if unknown:
        raise PolicyError(
            f"policy {name!r} has no option {', '.join(map(repr, unknown))}; "
            + (f"its options are {', '.join(known)}" if known else "it has none")
        )


def _parse_bool(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise PolicyError(f"{key} must be True or False, not {value!r}")
    return value


def _parse_wait(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise PolicyError(f"max_wait_hours must be a number of at least 0, or None to wait without end, not {value!r}")
    return value


def _parse_zone(value: object) -> Zone:
    if value is not None and not isinstance(value, str):
        raise PolicyError(f"timezone must be a name such as 'Europe/Paris', or None, not {value!r}")
    return Zone(value)
