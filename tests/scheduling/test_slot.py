from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.scheduling import Conditions, Immediate, LoadAware, OffPeak, Slot, find_slot

NIGHT = OffPeak("22:00-08:00", timezone="UTC")
HOUR = 3600


def at(hour, minute=0, second=0, **facts):
    return Conditions(datetime(2026, 1, 14, hour, minute, second, tzinfo=UTC), **facts)


def on(day, hour):
    return datetime(2026, 1, day, hour, tzinfo=UTC)


def test_while_the_window_is_shut_a_job_begins_at_its_opening():
    assert find_slot(NIGHT, at(14), 4 * HOUR, 600) == Slot(on(14, 22), on(15, 8), 4 * HOUR, 600)


def test_while_the_window_is_open_no_begin_is_asked_for_since_it_could_be_read_as_tomorrows():
    assert find_slot(NIGHT, at(22), 4 * HOUR, 600) == Slot(None, on(15, 8), 4 * HOUR, 600)


def test_the_walltime_ends_at_the_closing_or_its_spill():
    spilling = OffPeak("22:00-08:00", timezone="UTC", spill_minutes=30)

    assert find_slot(NIGHT, at(6), 4 * HOUR).walltime_s == 2 * HOUR
    assert find_slot(spilling, at(6), 4 * HOUR) == Slot(None, on(14, 8) + timedelta(minutes=30), int(2.5 * HOUR))
    assert find_slot(NIGHT, at(6), None).walltime_s == 2 * HOUR


def test_too_little_of_a_window_is_not_worth_a_job():
    assert find_slot(NIGHT, at(7, 55), 4 * HOUR, least_s=600) is None
    assert find_slot(NIGHT, at(7, 55), 120, least_s=600) == Slot(None, on(14, 8), 120, 120)
    assert find_slot(NIGHT, at(7, 59, 59), 4 * HOUR).walltime_s == 1


def test_a_job_of_a_policy_without_end_gets_the_walltime_that_was_wanted():
    assert find_slot(Immediate(), at(14), 4.2 * HOUR, 600) == Slot(walltime_s=15120)
    assert find_slot(Immediate(), at(14), None) == Slot()


def test_no_job_waits_for_what_no_clock_tells():
    assert find_slot(LoadAware(0.5), at(14, load=0.9), HOUR) is None
    assert find_slot(NIGHT & LoadAware(0.5), at(14, load=0.9), HOUR) is None


def test_a_sweep_that_has_waited_long_enough_begins_then_and_has_no_end():
    policy = OffPeak("22:00-08:00", timezone="UTC", max_wait_hours=2)
    asked_at = on(14, 13) + timedelta(milliseconds=500)

    slot = find_slot(policy, at(14, asked_at=asked_at), 4 * HOUR, 600)

    assert slot == Slot(on(14, 15) + timedelta(seconds=1), None, 4 * HOUR)


def test_where_few_cores_may_work_outside_no_begin_is_needed():
    policy = OffPeak("22:00-08:00", timezone="UTC", max_cores_outside=4)

    assert find_slot(policy, at(14), 4 * HOUR, 600) == Slot(walltime_s=4 * HOUR)


NAIVE_2025, NAIVE_2027 = datetime(2025, 1, 1), datetime(2027, 1, 1)  # noqa: DTZ001  Hypothesis wants naive bounds
zones = st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


@given(
    now=st.datetimes(NAIVE_2025, NAIVE_2027).map(lambda naive: naive.replace(tzinfo=UTC)),
    zone=zones,
    hours=st.sampled_from(["22:00-08:00", "01:30-02:45", "12:31-12:32", "08:00-24:00"]),
    weekend=st.booleans(),
    spill=st.sampled_from([0, 7.5, 600]),
    wanted_s=st.one_of(st.none(), st.floats(1, 1e6)),
    least_s=st.integers(0, 7200),
)
def test_a_job_that_keeps_to_its_slot_begins_in_a_window_and_ends_by_its_closing_and_spill(
    *, now, zone, hours, weekend, spill, wanted_s, least_s
):
    preferred = {"weekdays": hours, "saturday": "10:00-12:00"}
    policy = OffPeak(preferred, weekend_preferred=weekend, timezone=zone, spill_minutes=spill)
    conditions = Conditions(now)

    slot = find_slot(policy, conditions, wanted_s, least_s)

    opening = policy.opening(conditions)
    start = now if opening.may_start else opening.next_open
    then = policy.opening(replace(conditions, now=start))
    left_s = (then.stop_by - start).total_seconds()
    if slot is None:
        assert left_s < max(1, least_s + 60)
        return
    assert (slot.begin is None) == opening.may_start
    assert slot.begin is None or slot.begin == start
    assert slot.end_by == then.stop_by
    assert start + timedelta(seconds=slot.walltime_s) <= slot.end_by
    assert 1 <= slot.walltime_s <= left_s
    assert slot.walltime_s <= 60 or start + timedelta(minutes=math.ceil(slot.walltime_s / 60)) <= slot.end_by
    assert slot.least_walltime_s is None or slot.least_walltime_s <= slot.walltime_s
    if wanted_s is not None and wanted_s + 60 <= left_s:
        assert slot.walltime_s == math.ceil(wanted_s)


@pytest.mark.parametrize(
    ("night", "hours_long"), [((2026, 3, 28), 9), ((2026, 10, 24), 11), ((2026, 6, 1), 10)], ids=str
)
def test_a_job_of_a_night_in_which_clocks_change_is_as_long_as_that_night(night, hours_long):
    noon = Conditions(datetime(*night, 12, tzinfo=UTC))

    slot = find_slot(OffPeak("22:00-08:00", timezone="Europe/Paris"), noon, None)

    assert slot.walltime_s == hours_long * HOUR
