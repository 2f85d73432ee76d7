"""Windows of wall-clock time in which work may start, as spans between UTC instants."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, cast

from sciflow.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from sciflow.scheduling.zone import Zone

MIDNIGHT = time(0)
DAY = timedelta(days=1)
SATURDAY = 5
_KINDS = ("weekdays", "saturday", "sunday")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class Window:
    """One span of time: from *start* (inclusive) to *end*, both UTC."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class DailyHours:
    """From *start* to *end* by the clock on the wall; an end before the start is the next day's, 00:00 a day's end."""

    start: time
    end: time

    def __post_init__(self) -> None:
        if self.start == self.end and not self.is_whole_day:
            raise PolicyError(_same_time(str(self)))

    @property
    def is_whole_day(self) -> bool:
        """Whether they are all of a day."""
        return self.start == self.end == MIDNIGHT

    def __str__(self) -> str:
        end = "24:00" if self.end == MIDNIGHT else f"{self.end:%H:%M}"
        return f"{self.start:%H:%M}-{end}"


WHOLE_DAY = DailyHours(MIDNIGHT, MIDNIGHT)


@dataclass(frozen=True, slots=True)
class WeekHours:
    """The hours of each kind of day; None where it has none."""

    weekdays: DailyHours | None
    saturday: DailyHours | None
    sunday: DailyHours | None

    @classmethod
    def daily(cls, hours: DailyHours) -> WeekHours:
        """The same hours every day."""
        return cls(hours, hours, hours)

    @property
    def days(self) -> tuple[DailyHours | None, ...]:
        """The hours of the kinds of days."""
        return self.weekdays, self.saturday, self.sunday

    def of(self, day: date) -> DailyHours | None:
        """The hours that begin on this day."""
        return self.days[max(0, day.weekday() - SATURDAY + 1)]

    def is_always(self, *, weekend: bool) -> bool:
        """Whether no hour of the week is left out."""
        days = self.days[:1] if weekend else self.days
        return all(hours is not None and hours.is_whole_day for hours in days)

    def to_plain(self) -> str | dict[str, str | None]:
        """As people write them."""
        if self.weekdays is not None and self == WeekHours.daily(self.weekdays):
            return str(self.weekdays)
        return {kind: None if hours is None else str(hours) for kind, hours in zip(_KINDS, self.days, strict=True)}


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
    start, end = _parse_clock(parts[0], text), _parse_clock(parts[1], text, end=True)
    if start == end and parts[1].strip() != "24:00":
        raise PolicyError(_same_time(str(text)))
    return DailyHours(start, end)


def parse_week(given: object) -> WeekHours:
    """Read hours that hold every day, or a mapping such as ``{"weekdays": "22:00-08:00", "weekend": "00:00-24:00"}``.

    Raises
    ------
    PolicyError
        When hours, or a kind of day, are not understood.
    """
    if isinstance(given, WeekHours):
        return given
    if not isinstance(given, Mapping):
        return WeekHours.daily(parse_hours(given))
    days = dict(cast("Mapping[object, object]", given))
    unknown = [kind for kind in days if kind not in {*_KINDS, "weekend"}]
    if unknown:
        raise PolicyError(
            f"preferred_hours: {', '.join(map(repr, unknown))} is no kind of day; there are {', '.join(_KINDS)}, "
            "and weekend for the last two"
        )
    if "weekend" in days:
        both = days.pop("weekend")
        days = {"saturday": both, "sunday": both, **days}
    hours = {kind: None if text is None else parse_hours(text) for kind, text in days.items()}
    return WeekHours(*(hours.get(kind) for kind in _KINDS))


def next_window(
    now: datetime, hours: WeekHours, zone: Zone, *, weekend: bool = False, holidays: Container[date] = ()
) -> Window:
    """The window that holds *now*, or else the next to open; windows that touch are one.

    Each edge is converted by itself, so a night in which clocks change is an hour shorter or longer.

    Parameters
    ----------
    weekend
        Whether Saturday and Sunday belong to the window from midnight to midnight.
    holidays
        Further days that do.
    """

    def is_off(day: date) -> bool:
        return (weekend and day.weekday() >= SATURDAY) or day in holidays

    # yesterday's hours may last until today; whole days before it belong to the same window
    first = zone.wall(now).date() - DAY
    while is_off(first) or hours.of(first) == WHOLE_DAY:
        first -= DAY
    found: Window | None = None
    for window in _windows(first - DAY, hours, zone, is_off):
        if found is not None and window.start <= found.end:
            found = Window(found.start, max(found.end, window.end))
        elif found is not None and found.end > now:
            break
        else:
            found = window
    assert found is not None
    return found


def _windows(first: date, hours: WeekHours, zone: Zone, is_off: Callable[[date], bool]) -> Iterator[Window]:
    """The hours of each day from the first on, without end, in the order in which they begin."""
    for day in map(date.fromordinal, itertools.count(first.toordinal())):
        if is_off(day):
            yield from _window(day, WHOLE_DAY, zone)
        usual = hours.of(day)
        if usual is not None:
            yield from _window(day, usual, zone)


def _window(day: date, hours: DailyHours, zone: Zone) -> Iterator[Window]:
    last = day if hours.start < hours.end else day + DAY
    start, end = datetime.combine(day, hours.start), datetime.combine(last, hours.end)
    window = Window(zone.instant(start), zone.instant(end, last=True))
    if window.start < window.end:  # a short window inside skipped time can be empty
        yield window


def _same_time(hours: str) -> str:
    return (
        f"preferred_hours {hours} start and end at the same time; leave an hour between, "
        "or use the policy 'immediate' to work at any hour"
    )


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
