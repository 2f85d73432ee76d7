"""The longest window of the coming weeks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from sciflow.scheduling import Conditions, Immediate, LoadAware, OffPeak, Priority
from sciflow.scheduling.span import longest_window

WEDNESDAY = datetime(2026, 1, 14, 14, tzinfo=UTC)


def hours(policy, now=WEDNESDAY, **known):
    window = longest_window(policy, Conditions(now, asked_at=now, **known))
    return None if window is None else window.length / timedelta(hours=1)


@pytest.mark.parametrize(
    ("policy", "longest"),
    [
        (OffPeak("22:00-08:00", timezone="UTC"), 10),
        (OffPeak("22:00-08:00", timezone="UTC", spill_minutes=90), 11.5),
        (OffPeak("22:00-08:00", timezone="UTC", weekend_preferred=True), 58),
        (OffPeak({"weekdays": "23:00-05:00", "saturday": "20:00-24:00"}, timezone="UTC"), 6),
        (OffPeak("22:00-08:00", timezone="UTC", holidays=[date(2026, 1, 28), date(2026, 1, 29)]), 58),
        (OffPeak("22:00-08:00", timezone="UTC") & OffPeak("20:00-02:00", timezone="UTC"), 4),
        (OffPeak("22:00-08:00", timezone="UTC") & LoadAware(max_pending=3) & Priority("low"), 10),
        (OffPeak("22:00-08:00", timezone="UTC", max_wait_hours=12), 10),
    ],
)
def test_it_is_counted_from_the_opening_until_running_work_must_have_stopped(policy, longest):
    assert hours(policy) == longest


def test_in_the_middle_of_a_window_the_next_one_counts_whole():
    assert hours(OffPeak("22:00-08:00", timezone="UTC"), WEDNESDAY.replace(hour=7)) == 10


@pytest.mark.parametrize("month", [3, 10])
def test_of_nights_in_which_clocks_change_the_longer_one_counts(month):
    longest = hours(OffPeak("22:00-08:00", timezone="Europe/Paris"), WEDNESDAY.replace(month=month))

    assert longest == (11 if month == 10 else 10)


@pytest.mark.parametrize(
    "policy",
    [
        Immediate(),
        Priority("low"),
        LoadAware(0.5),
        OffPeak("22:00-08:00", timezone="UTC", max_cores_outside=1),
        OffPeak("22:00-08:00", timezone="UTC", max_wait_hours=1),  # in peak hours, and then without end
    ],
)
def test_where_work_has_no_end_there_is_none(policy):
    assert longest_window(policy, Conditions(WEDNESDAY, asked_at=WEDNESDAY)) is None
