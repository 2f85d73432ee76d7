"""Thirty days of off-peak work on a simulated cluster: what is done outside the windows, and how they are used.

Run it with ``python benchmarks/offpeak.py``. Jobs get their times from the gate of a sweep, as on a real cluster:
they begin at the opening when it is shut, and their walltime ends at the closing. Each starts its worker, which runs
variants of random lengths, one after another, of a backlog without end. Time is a number; a month takes seconds.

What was open is read off the clock on the wall, minute by minute, without the code that is measured.
"""

from __future__ import annotations

import argparse
import random
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from sciflow.engine.gate import MARGIN, Gate
from sciflow.scheduling import OffPeak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Lengths = Literal["known", "unknown", "saved"]
"""What is known of how long a variant takes before it runs: all or nothing; ``saved``: it resumes where it stopped."""

WALLTIME_S, LEAST_S = 12 * 3600, 600
MEDIAN_S, SPREAD, LONGEST_S = 600, 1.0, 6 * 3600  # lengths are log-normal
QUEUE_S, START_S = (0, 120), 20  # from a job's submission to its start, and until its worker takes variants
LOOK_AHEAD = 50  # variants that are looked at for one that fits
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Scenario:
    """Some weeks somewhere: a policy, and what people there would call open."""

    name: str
    start: datetime
    policy: OffPeak
    is_open: Callable[[datetime], bool]


@dataclass
class Calendar:
    """Seconds that were open until each minute, by the clock on the wall."""

    start: datetime
    open_s: list[float]

    @classmethod
    def of(cls, scenario: Scenario, days: int) -> Calendar:
        """Ask of each minute."""
        zone = ZoneInfo(scenario.policy.timezone.name or "UTC")
        minutes = (scenario.start + k * MINUTE for k in range((days + 1) * 1440))
        each = (60.0 * scenario.is_open(minute.astimezone(zone).replace(tzinfo=None)) for minute in minutes)
        return cls(scenario.start, list(accumulate(each, initial=0.0)))

    def between(self, start: datetime, end: datetime) -> float:
        """Open seconds from *start* to *end*."""
        return self._until(end) - self._until(start)

    def _until(self, instant: datetime) -> float:
        minute, part = divmod((instant - self.start).total_seconds(), 60)
        k = int(minute)
        return self.open_s[k] + (self.open_s[k + 1] - self.open_s[k]) * part / 60


@dataclass(frozen=True)
class Run:
    """A variant at work, for as long as it was let."""

    start: datetime
    end: datetime
    is_kept: bool


@dataclass
class Clock:
    """The time of one node."""

    now: datetime

    def __call__(self) -> datetime:
        """What time it is."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Variant:
    """How long it takes, and how long it is known to take at least."""

    length_s: float
    known_s: float


@dataclass
class Backlog:
    """Variants without end; those that were put back come first."""

    rng: random.Random
    lengths: Lengths
    waiting: list[Variant] = field(default_factory=list)

    def take(self, left_s: float) -> Variant | None:
        """The next variant to run when so much time is left; None if it is better to leave."""
        while len(self.waiting) < LOOK_AHEAD:
            length_s = min(MEDIAN_S * self.rng.lognormvariate(0, SPREAD), LONGEST_S)
            self.waiting.append(Variant(length_s, length_s if self.lengths == "known" else 0.0))
        fitting = (k for k, variant in enumerate(self.waiting) if variant.known_s <= left_s)
        k = next(fitting, None)
        return None if k is None or left_s <= 0 else self.waiting.pop(k)

    def put_back(self, variant: Variant, ran_s: float) -> None:
        """It was ended by its walltime: it goes on where it was, or is known to take longer, twice as long perhaps."""
        if self.lengths == "saved":
            self.waiting.insert(0, Variant(variant.length_s - ran_s, 0.0))
        else:
            self.waiting.insert(0, Variant(variant.length_s, 2 * ran_s))


def work(scenario: Scenario, days: int, backlog: Backlog) -> Iterator[Run]:
    """One node: a job after the other, each of them variant after variant."""
    clock = Clock(scenario.start)
    gate = Gate(scenario.policy, clock, clock.sleep)
    end = scenario.start + timedelta(days=days)
    while clock.now < end:
        slot = gate.slot(WALLTIME_S, LEAST_S)
        if slot is None:
            clock.sleep(60)
            continue
        clock.now = slot.begin or clock.now
        clock.sleep(backlog.rng.uniform(*QUEUE_S))
        job_end = clock.now + timedelta(seconds=slot.walltime_s or WALLTIME_S)
        job_end = min(job_end, slot.end_by or job_end)
        clock.sleep(START_S)
        yield from _job(clock, gate, job_end, backlog)
        if clock.now < job_end and not gate.opening().may_start:
            clock.now = job_end


def _job(clock: Clock, gate: Gate, job_end: datetime, backlog: Backlog) -> Iterator[Run]:
    while gate.opening().may_start:
        start, stop_at = clock.now, job_end - MARGIN
        variant = backlog.take((stop_at - start).total_seconds())
        if variant is None:
            return
        finish = start + timedelta(seconds=variant.length_s)
        # one that saves is asked to stop before the end; any other is ended by the walltime
        clock.now = min(finish, stop_at if backlog.lengths == "saved" else job_end)
        if clock.now < finish:
            backlog.put_back(variant, (clock.now - start).total_seconds())
        yield Run(start, clock.now, is_kept=clock.now == finish or backlog.lengths == "saved")


@dataclass(frozen=True)
class Figures:
    """What came of it.

    Attributes
    ----------
    outside_s
        Seconds of work outside the window and its grace.
    used, kept
        Parts of the window's time in which variants ran, and in which they ran to an end that counted.
    """

    n_runs: int
    open_h: float
    outside_s: float
    used: float
    kept: float


def simulate(scenario: Scenario, lengths: Lengths, *, days: int = 30, n_nodes: int = 8, seed: int = 1) -> Figures:
    """Work for so many days on so many nodes."""
    calendar = Calendar.of(scenario, days)
    last = scenario.start + timedelta(days=days)
    grace = timedelta(minutes=scenario.policy.spill_minutes)
    runs: list[Run] = []
    for node in range(n_nodes):
        backlog = Backlog(random.Random(f"{seed} {node}"), lengths)
        runs += [run for run in work(scenario, days, backlog) if run.start < last]
    runs = [Run(run.start, min(run.end, last), run.is_kept) for run in runs]
    open_s = n_nodes * calendar.between(scenario.start, last)
    closings = _closings(calendar)
    return Figures(
        n_runs=len(runs),
        open_h=open_s / n_nodes / 3600,
        outside_s=sum(_outside_s(run, calendar, closings, grace) for run in runs),
        used=sum(calendar.between(run.start, run.end) for run in runs) / open_s,
        kept=sum(calendar.between(run.start, run.end) for run in runs if run.is_kept) / open_s,
    )


def _closings(calendar: Calendar) -> list[datetime]:
    is_open = [after > before for before, after in zip(calendar.open_s, calendar.open_s[1:], strict=False)]
    return [calendar.start + k * MINUTE for k in range(1, len(is_open)) if is_open[k - 1] and not is_open[k]]


def _outside_s(run: Run, calendar: Calendar, closings: list[datetime], grace: timedelta) -> float:
    closed_s = (run.end - run.start).total_seconds() - calendar.between(run.start, run.end)
    k = bisect_right(closings, run.end)
    if grace and k and run.start < closings[k - 1]:  # it began in the window and spilled over its closing
        closed_s -= min(closed_s, grace.total_seconds())
    return max(0.0, closed_s)


# ------------------------------------------------------------------------------------------------------------ scenarios


def night(wall: datetime) -> bool:
    """22:00 to 08:00."""
    return wall.hour >= 22 or wall.hour < 8


def night_or_weekend(wall: datetime) -> bool:
    """The same, and Saturdays and Sundays."""
    return night(wall) or wall.weekday() >= 5


CHRISTMAS = {date(2026, 12, 24), date(2026, 12, 25), date(2026, 12, 31), date(2027, 1, 1)}

SCENARIOS = [
    Scenario(
        "Paris, nights, clocks go forward",
        datetime(2026, 3, 15, 12, tzinfo=UTC),
        OffPeak("22:00-08:00", timezone="Europe/Paris"),
        night,
    ),
    Scenario(
        "Paris, nights, clocks go back",
        datetime(2026, 10, 11, 12, tzinfo=UTC),
        OffPeak("22:00-08:00", timezone="Europe/Paris"),
        night,
    ),
    Scenario(
        "New York, weekends too, forward",
        datetime(2026, 2, 20, 12, tzinfo=UTC),
        OffPeak("22:00-08:00", weekend_preferred=True, timezone="America/New_York"),
        night_or_weekend,
    ),
    Scenario(
        "New York, weekends too, back",
        datetime(2026, 10, 20, 12, tzinfo=UTC),
        OffPeak("22:00-08:00", weekend_preferred=True, timezone="America/New_York"),
        night_or_weekend,
    ),
    Scenario(
        "Lord Howe, half an hour back",
        datetime(2026, 3, 25, 12, tzinfo=UTC),
        OffPeak("22:00-08:00", timezone="Australia/Lord_Howe"),
        night,
    ),
    Scenario(
        "Tokyo, two hours at noon",
        datetime(2026, 3, 15, 0, tzinfo=UTC),
        OffPeak("12:00-14:00", timezone="Asia/Tokyo"),
        lambda wall: 12 <= wall.hour < 14,
    ),
    Scenario(
        "Berlin, nights and holidays",
        datetime(2026, 12, 10, 12, tzinfo=UTC),
        OffPeak("20:00-06:00", holidays=sorted(CHRISTMAS), timezone="Europe/Berlin"),
        lambda wall: wall.hour >= 20 or wall.hour < 6 or wall.date() in CHRISTMAS,
    ),
    Scenario(
        "Paris, nights, 15 min of grace",
        datetime(2026, 3, 15, 12, tzinfo=UTC),
        OffPeak("22:00-08:00", spill_minutes=15, timezone="Europe/Paris"),
        night,
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--nodes", type=int, default=8)
    asked = parser.parse_args()
    print(f"{'scenario':34} {'lengths':8} {'open':>8} {'runs':>7} {'outside':>8} {'used':>7} {'kept':>7}")
    for scenario in SCENARIOS:
        for lengths in ("known", "unknown", "saved"):
            it = simulate(scenario, lengths, days=asked.days, n_nodes=asked.nodes)
            print(
                f"{scenario.name:34} {lengths:8} {it.open_h:6.1f} h {it.n_runs:7,} {it.outside_s:6.0f} s "
                f"{it.used:7.1%} {it.kept:7.1%}"
            )


if __name__ == "__main__":
    main()
