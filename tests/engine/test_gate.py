from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from sciflow.engine.gate import MARGIN, Gate
from sciflow.engine.load import OthersLoad, Reading
from sciflow.scheduling import LoadAware, OffPeak, Priority, Slot, parse_policy

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


def test_so_near_to_the_closing_that_work_would_be_stopped_at_once_the_gate_is_shut():
    clock = Clock("2026-11-19 07:59:56")
    gate = Gate(parse_policy("off_peak", NIGHT), clock, clock.sleep)

    assert not gate.opening().may_start
    assert gate.opening().next_open == datetime(2026, 11, 19, 22, tzinfo=UTC)
    assert gate.facts()["reason"] == "window opens 22:00 UTC"
    clock.now -= MARGIN
    assert gate.opening().may_start


def test_where_work_may_spill_over_the_closing_it_starts_until_the_closing():
    clock = Clock("2026-11-19 07:59:59")
    gate = Gate(OffPeak("22:00-08:00", timezone="UTC", spill_minutes=10), clock, clock.sleep)

    assert gate.opening().may_start
    clock.sleep(1)
    assert not gate.opening().may_start


def test_where_few_cores_may_work_on_the_closing_is_a_change_of_cap():
    clock = Clock("2026-11-19 07:59:56")
    gate = Gate(OffPeak("22:00-08:00", timezone="UTC", max_cores_outside=2), clock, clock.sleep)

    assert gate.opening() == OffPeak(timezone="UTC", max_cores_outside=2).opening(gate.conditions())
    assert (gate.opening().may_start, gate.opening().max_cores) == (True, 2)


def test_what_is_waited_for_is_told_again_when_it_changes_and_only_then():
    clock = Clock("2026-11-18 21:59:57")
    calm_at = datetime(2026, 11, 18, 22, 0, 5, tzinfo=UTC)
    policy = OffPeak("22:00-08:00", timezone="UTC") & LoadAware(0.5)
    gate = Gate(policy, clock, clock.sleep, load=lambda: 0.9 if clock.now < calm_at else 0.1)
    told = []

    gate.wait(lambda: None, lambda: False, lambda facts: told.append(facts["reason"]))

    assert clock.now == calm_at
    assert told == [
        "window opens 22:00 UTC; others use more than 50% of this machine",
        "others use more than 50% of this machine",
    ]


def test_load_is_measured_only_for_policies_that_ask():
    asked = []
    clock = Clock("2026-11-18 23:00:00")

    Gate(parse_policy("off_peak", NIGHT), clock, clock.sleep, load=lambda: asked.append(1)).opening()
    assert not asked
    Gate(LoadAware(0.5), clock, clock.sleep, load=lambda: asked.append(1)).opening()
    assert asked


def test_work_that_goes_on_pauses_later_than_new_work_is_refused():
    load = [0.55]
    clock = Clock("2026-11-18 23:00:00")
    gate = Gate(LoadAware(0.5, hysteresis=0.2), clock, clock.sleep, load=lambda: load[0])

    assert not gate.opening().may_start
    load[0] = 0.4
    assert gate.opening().may_start
    gate.begin()
    load[0] = 0.55
    assert gate.opening().may_start
    load[0] = 0.65
    assert not gate.opening().may_start
    load[0] = 0.55
    assert not gate.opening().may_start


def test_jobs_get_their_times_from_the_gate():
    clock = Clock("2026-11-19 06:00:00")
    gate = Gate(parse_policy("off_peak", NIGHT) & Priority("low"), clock, clock.sleep)

    assert gate.slot(4 * 3600, 600) == Slot(None, datetime(2026, 11, 19, 8, tzinfo=UTC), 7200, 600)


def test_a_driver_that_takes_over_knows_since_when_the_sweep_waits():
    clock = Clock("2026-11-18 12:00:00")
    asked_at = clock.now - timedelta(hours=3)
    policy = parse_policy("off_peak", {**NIGHT, "max_wait_hours": 2})

    assert Gate(policy, clock, clock.sleep, asked_at=asked_at).opening().may_start
    begun = Gate(policy, clock, clock.sleep, asked_at=asked_at, begun_at=asked_at + timedelta(hours=1))
    assert not begun.opening().may_start


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


BUSY = "import time; end = time.time() + 60\nwhile time.time() < end: pass"


@pytest.fixture
def busy_child():
    child = subprocess.Popen([sys.executable, "-c", BUSY])
    yield child
    child.kill()
    child.wait()


def test_what_our_own_processes_use_is_not_the_load_of_others(busy_child):
    before = Reading.take()
    while psutil.Process(busy_child.pid).cpu_times().user < 0.3:
        time.sleep(0.05)
    after = Reading.take()

    everybody = replace(after, ours_s={}).others_since(replace(before, ours_s={}))
    others = after.others_since(before)

    assert 0 <= others < everybody <= 1
    assert everybody - others >= 0.2 / (after.total_s - before.total_s) or others == 0


def test_the_load_of_others_is_a_part_of_the_machine_and_good_for_some_seconds():
    load = OthersLoad()

    first = load()

    assert 0 <= first <= 1
    assert load() == first


def test_load_is_the_share_of_all_cores_that_is_not_ours():
    before = Reading(0, busy_s=100, total_s=1000, ours_s={1: 10, 2: 5})
    after = Reading(5, busy_s=116, total_s=1020, ours_s={1: 12, 3: 4})  # 2 has ended, 3 is new

    assert after.others_since(before) == (16 - 2 - 4) / 20
    assert before.others_since(before) == 0
