"""Windows of wall-clock time in which work may start, as spans between UTC instants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from sciflow.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sciflow.scheduling.zone import Zone

MIDNIGHT = time(0)
DAY = timedelta(days=1)
SATURDAY = 5
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class Window:
    """One span of time: from *start* (inclusive) to *end*, both UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class DailyHours:
    """From *start* to *end* by the clock on the wall, every day; an end before the start is the next day's."""

    start: time
    end: time

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise PolicyError(
                f"preferred_hours {self} start and end at the same time; leave an hour between, "
                "or use the policy 'immediate' to work at any hour"
            )

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


def parse_hours(text: object) -> DailyHours:
    """Read hours such as ``"22:00-08:00"``; ``24:00`` is the midnight that ends a day.

    Raises
    ------
    PolicyError
        When a part is no time of day, or both are equal.
    """
    parts = text.replace("\N{EN DASH}", "-").split("-") if isinstance(text, str) else []
    if len(parts) != 2:
        raise PolicyError(f"preferred_hours {text!r} are not understood; write them as '22:00-08:00'")
    return DailyHours(_parse_clock(parts[0], text), _parse_clock(parts[1], text, end=True))


def next_window(now: datetime, hours: DailyHours, zone: Zone, *, weekend: bool) -> Window:
    """The window that holds *now*, or else the next to open; windows that touch are one.

    Each edge is converted by itself, so a night in which clocks change is an hour shorter or longer.

    Parameters
    ----------
    weekend
        Whether Saturday and Sunday belong to the window from midnight to midnight.
    """
    # the longest run of touching windows is Friday evening to Monday morning; one day more covers the zones
    first = zone.wall(now).date() - 4 * DAY
    merged: list[Window] = []
    for window in sorted(_windows(first, 10, hours, zone, weekend=weekend), key=_by_start):
        if merged and window.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return next(window for window in merged if window.end > now)


def utc(now: datetime) -> datetime:
    """*now* in UTC; a naive datetime is refused, since nobody can know what it means."""
    if now.tzinfo is None:
        raise PolicyError(f"{now.isoformat()} has no time zone; pass an aware datetime in UTC")
    return now.astimezone(UTC)


def _windows(first: date, n_days: int, hours: DailyHours, zone: Zone, *, weekend: bool) -> Iterator[Window]:
    for day in (first + k * DAY for k in range(n_days)):
        last = day if hours.start < hours.end else day + DAY
        yield from _window(datetime.combine(day, hours.start), datetime.combine(last, hours.end), zone)
        if weekend and day.weekday() >= SATURDAY:
            yield from _window(datetime.combine(day, MIDNIGHT), datetime.combine(day + DAY, MIDNIGHT), zone)


def _window(start: datetime, end: datetime, zone: Zone) -> Iterator[Window]:
    window = Window(zone.instant(start), zone.instant(end, last=True))
    if window.start < window.end:  # a short window inside skipped time can be empty
        yield window


def _by_start(window: Window) -> datetime:
    return window.start


def _parse_clock(text: str, whole: object, *, end: bool = False) -> time:
    match = _CLOCK.fullmatch(text.strip())
    hour, minute = (int(match[1]), int(match[2])) if match else (99, 0)
    if end and (hour, minute) == (24, 0):
        return MIDNIGHT
    if hour > 23 or minute > 59:
        raise PolicyError(
            f"preferred_hours {whole!r}: {text.strip()!r} is no time of day; hours run from 00:00 to 23:59, "
            "such as '22:00-08:00'"
        )
    return time(hour, minute)
