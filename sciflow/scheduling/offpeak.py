"""OffPeak: work in the hours in which others do not."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sciflow.errors import PolicyError
from sciflow.quantities import render_seconds
from sciflow.scheduling.holidays import Holidays, parse_holidays
from sciflow.scheduling.opening import Conditions, Opening, utc
from sciflow.scheduling.policy import Policy
from sciflow.scheduling.window import WeekHours, Window, next_window, parse_week
from sciflow.scheduling.zone import Zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

DEFAULT_HOURS = "22:00-08:00"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class OffPeak(Policy):
    """Work in the preferred hours of each day, and all day on days off.

    Hours are those of the clock on the wall: a night in which clocks change is an hour shorter or longer.

    Parameters
    ----------
    preferred_hours : str or mapping, default "22:00-08:00"
        From when to when; an end before the start is the next day's. Where days differ, a mapping of ``weekdays``,
        ``saturday``, ``sunday`` or ``weekend`` to hours; days that are not named have none.
    weekend_preferred : bool
        Whether Saturdays and Sundays are days off.
    holidays : str, or list of str and dates
        Further days off: a country (``"FR"``, ``"DE-BY"``; needs ``pip install 'sciflow[calendars]'``), or dates.
    max_wait_hours : number, optional
        Bound on the wait before the first variant; the sweep then goes on in any hours. None waits as long as it takes.
    timezone : str, optional
        Whose clock: a name such as ``"Europe/Paris"``; None is the zone of this machine.
    max_cores_inside, max_cores_outside : int
        Cores that may be busy at the same time in these hours, None being all, and in the others, 0 being none.
    spill_minutes : number, default 0
        For how long running work may go on after the end of the hours.

    Raises
    ------
    PolicyError
        For a value that is not understood.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from sciflow.scheduling import Conditions
    >>> policy = OffPeak("22:00-08:00", weekend_preferred=True, timezone="Europe/Paris")
    >>> policy.explain(Conditions(datetime(2026, 1, 14, 17, 48, tzinfo=UTC)))
    'off-peak window opens at 22:00 Europe/Paris (in 3 h 12 min)'
    """

    preferred_hours: WeekHours
    weekend_preferred: bool
    holidays: Holidays
    max_wait_hours: float | None
    timezone: Zone
    max_cores_inside: int | None
    max_cores_outside: int
    spill_minutes: float

    def __init__(
        self,
        preferred_hours: str | Mapping[str, str | None] | WeekHours = DEFAULT_HOURS,
        *,
        weekend_preferred: bool = False,
        holidays: str | date | Iterable[str | date] | Holidays | None = None,
        max_wait_hours: float | None = None,
        timezone: str | Zone | None = None,
        max_cores_inside: int | None = None,
        max_cores_outside: int = 0,
        spill_minutes: float = 0,
    ) -> None:
        if not isinstance(weekend_preferred, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise PolicyError(f"weekend_preferred must be True or False, not {weekend_preferred!r}")
        values: dict[str, object] = {
            "preferred_hours": parse_week(preferred_hours),
            "weekend_preferred": weekend_preferred,
            "holidays": parse_holidays(holidays),
            "max_wait_hours": None
            if max_wait_hours is None
            else _number("max_wait_hours", max_wait_hours, ", or None to wait without end"),
            "timezone": _parse_zone(timezone),
            "max_cores_inside": None if max_cores_inside is None else _cores("max_cores_inside", max_cores_inside, 1),
            "max_cores_outside": _cores("max_cores_outside", max_cores_outside, 0),
            "spill_minutes": _number("spill_minutes", spill_minutes),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._refuse_contradictions()

    def __repr__(self) -> str:
        given = self.to_dict()
        del given["name"], given["preferred_hours"]
        told = {key: value for key, value in given.items() if value is not None and value is not False}
        options = "".join(f", {key}={value!r}" for key, value in told.items())
        return f"OffPeak({self.preferred_hours.to_plain()!r}{options})"

    def opening(self, conditions: Conditions) -> Opening:
        """Open inside a window, until its end; outside for as many cores as are allowed there."""
        now = utc(conditions.now)
        if self._is_overdue(conditions):
            return Opening(may_start=True, max_cores=self.max_cores_inside)
        window = self._window(now)
        if window.start <= now:
            spill = timedelta(minutes=self.spill_minutes)
            return Opening(may_start=True, until=window.end, max_cores=self.max_cores_inside, spill=spill)
        if self.max_cores_outside:
            return Opening(may_start=True, next_open=window.start, max_cores=self.max_cores_outside)
        start_by = self._start_by(conditions)
        return Opening(may_start=False, next_open=window.start if start_by is None else min(window.start, start_by))

    def start_by(self, asked_at: datetime) -> datetime | None:
        """``max_wait_hours`` after *asked_at*."""
        if self.max_wait_hours is None:
            return None
        return utc(asked_at) + timedelta(hours=self.max_wait_hours)

    def reason(self, conditions: Conditions) -> str:
        """A few words, such as ``window opens 22:00 Europe/Paris``."""
        opening = self.opening(conditions)
        if opening.next_open is None:
            if opening.until is None:
                return f"max_wait_hours = {self.max_wait_hours:g} have passed: work may start"
            return f"window is open until {self._clock(opening.until, conditions.now)}"
        clock = self._clock(opening.next_open, conditions.now)
        if opening.may_start:
            return f"at most {_some_cores(self.max_cores_outside)} until the window opens {clock}"
        if opening.next_open < self._window(utc(conditions.now)).start:
            return f"work starts {clock}, before the window, as max_wait_hours = {self.max_wait_hours:g} says"
        return f"window opens {clock}"

    def explain(self, conditions: Conditions) -> str:
        """One sentence, such as ``off-peak window opens at 22:00 Europe/Paris (in 8 h 0 min)``."""
        now, opening = utc(conditions.now), self.opening(conditions)
        cap = "" if opening.max_cores is None else f" for at most {_some_cores(opening.max_cores)}"
        if opening.until is not None:
            return f"off-peak window is open{cap} until {self._when(opening.until, now, 'for another')}"
        window = self._window(now)
        sentence = f"off-peak window opens at {self._when(window.start, now, 'in')}"
        if opening.next_open is None:
            return f"{sentence}, but max_wait_hours = {self.max_wait_hours:g} have passed: work may start{cap}"
        if opening.may_start:
            return f"{sentence}; work may start{cap} meanwhile"
        if opening.next_open < window.start:
            return f"{sentence}; work starts at {self._when(opening.next_open, now, 'in')} at the latest"
        return sentence

    def to_dict(self) -> dict[str, object]:
        """Plain data; newer options only where they were given."""
        newer: dict[str, object] = {
            "holidays": self.holidays.to_list(),
            "max_cores_inside": self.max_cores_inside,
            "max_cores_outside": self.max_cores_outside,
            "spill_minutes": self.spill_minutes,
        }
        return {
            "name": "off_peak",
            "preferred_hours": self.preferred_hours.to_plain(),
            "weekend_preferred": self.weekend_preferred,
            "max_wait_hours": self.max_wait_hours,
            "timezone": self.timezone.name,
            **{key: value for key, value in newer.items() if value},
        }

    def _window(self, now: datetime) -> Window:
        return next_window(
            now, self.preferred_hours, self.timezone, weekend=self.weekend_preferred, holidays=self.holidays
        )

    def _start_by(self, conditions: Conditions) -> datetime | None:
        """When the first variant starts regardless; None when nobody knows, or when it has started."""
        if conditions.asked_at is None or conditions.begun_at is not None:
            return None
        return self.start_by(conditions.asked_at)

    def _is_overdue(self, conditions: Conditions) -> bool:
        """Whether the sweep began, or is to begin now, because it has waited long enough."""
        start_by = None if conditions.asked_at is None else self.start_by(conditions.asked_at)
        began = utc(conditions.begun_at or conditions.now)
        return start_by is not None and began >= start_by and self._window(began).start > began

    def _clock(self, instant: datetime, now: datetime) -> str:
        wall = self.timezone.wall(instant)
        far = instant - now > timedelta(days=1)
        return f"{wall:%H:%M on %A} {self.timezone}" if far else f"{wall:%H:%M} {self.timezone}"

    def _when(self, instant: datetime, now: datetime, preposition: str) -> str:
        # rounded up, so that it never says "in 0 s" before the time
        seconds = math.ceil((instant - now).total_seconds())
        return f"{self._clock(instant, now)} ({preposition} {render_seconds(seconds)})"

    def _refuse_contradictions(self) -> None:
        days_off = self.weekend_preferred or self.holidays != Holidays()
        if not any(self.preferred_hours.days) and not days_off:
            raise PolicyError("preferred_hours name no hours at all, and no day is off: work would never start")
        if self.preferred_hours.is_always(weekend=self.weekend_preferred):
            raise PolicyError("preferred_hours are all hours of the week; use the policy 'immediate' for that")
        if self.max_cores_inside is not None and self.max_cores_outside > self.max_cores_inside:
            raise PolicyError(
                f"max_cores_outside = {self.max_cores_outside} is more than max_cores_inside = "
                f"{self.max_cores_inside}; in the preferred hours there must be as many cores at least"
            )


OPTIONS: Final = tuple(field.name for field in fields(OffPeak))


def _number(name: str, value: object, otherwise: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise PolicyError(f"{name} must be a number of at least 0{otherwise}, not {value!r}")
    return value


def _cores(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PolicyError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return value


def _some_cores(n: int) -> str:
    return "1 core" if n == 1 else f"{n:,} cores"


def _parse_zone(value: object) -> Zone:
    if isinstance(value, Zone):
        return value
    if value is not None and not isinstance(value, str):
        raise PolicyError(f"timezone must be a name such as 'Europe/Paris', or None, not {value!r}")
    return Zone(value)
