from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sciflow.engine.gate import Gate
from sciflow.scheduling import parse_policy

NIGHT = {"preferred_hours": "22:00-08:00", "timezone": "UTC"}


class Clock:
    def __init__(self, text):
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += timedelta(seconds=seconds)


def test_the_gate_waits_until_the_window_opens_and_ticks_meanwhile():
    clock = Clock("2026-11-18 21:59:00")
    gate = Gate(parse_policy("off_peak", NIGHT), clock, clock.sleep)
    ticks = []

    gate.wait(lambda: ticks.append(clock.now), lambda: False)

    assert clock.now == datetime(2026, 11, 18, 22, tzinfo=UTC)
    assert len(ticks) == 60
    assert gate.opening().until == datetime(2026, 11, 19, 8, tzinfo=UTC)


def test_max_wait_hours_bounds_the_wait_before_the_first_variant_and_not_the_sweep():
    clock = Clock("2026-11-18 09:00:00")
    gate = Gate(parse_policy("off_peak", {**NIGHT, "max_wait_hours": 2}), clock, clock.sleep)

    assert not gate.opening().may_start
    clock.sleep(2 * 3600)
    assert gate.opening().may_start
    gate.begin()
    clock.sleep(3600)

    assert gate.opening().may_start


def test_a_sweep_that_began_in_its_window_waits_again_at_the_closing():
    clock = Clock("2026-11-18 23:00:00")
    gate = Gate(parse_policy("off_peak", {**NIGHT, "max_wait_hours": 2}), clock, clock.sleep)
    gate.begin()
    clock.sleep(10 * 3600)

    assert not gate.opening().may_start
    assert "22:00" in gate.explain()


def test_the_wait_ends_when_the_user_stops():
    clock = Clock("2026-11-18 12:00:00")
    gate = Gate(parse_policy("off_peak", NIGHT), clock, clock.sleep)

    gate.wait(lambda: None, lambda: clock.now.minute >= 1)

    assert clock.now == datetime(2026, 11, 18, 12, 1, tzinfo=UTC)
