from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.errors import PolicyError
from sciflow.scheduling.holidays import parse_holidays
from sciflow.scheduling.opening import utc
from sciflow.scheduling.window import WHOLE_DAY, DailyHours, WeekHours, next_window, parse_hours, parse_week
from sciflow.scheduling.zone import Zone

PARIS = Zone("Europe/Paris")
NIGHT = DailyHours(time(22), time(8))


def in_paris(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=ZoneInfo("Europe/Paris")).astimezone(UTC)


def window_at(now, hours=NIGHT, zone=PARIS, *, weekend=False):
    window = next_window(now, WeekHours.daily(hours), zone, weekend=weekend)
    return window.start, window.end


def test_a_night_crosses_midnight_and_belongs_to_the_evening_it_starts_in():
    night = (in_paris(2026, 1, 14, 22), in_paris(2026, 1, 15, 8))

    assert window_at(in_paris(2026, 1, 14, 14)) == night
    assert window_at(in_paris(2026, 1, 14, 22)) == night
    assert window_at(in_paris(2026, 1, 15, 7, 59)) == night


def test_at_its_end_a_window_is_shut_and_the_next_one_follows():
    assert window_at(in_paris(2026, 1, 15, 8)) == (in_paris(2026, 1, 15, 22), in_paris(2026, 1, 16, 8))


def test_a_window_within_one_day_does_not_cross_midnight():
    hours = DailyHours(time(9), time(17))

    assert window_at(in_paris(2026, 1, 14, 8), hours) == (in_paris(2026, 1, 14, 9), in_paris(2026, 1, 14, 17))
    assert window_at(in_paris(2026, 1, 14, 17), hours)[0] == in_paris(2026, 1, 15, 9)


def test_the_night_in_which_clocks_go_forward_is_an_hour_shorter():
    start, end = window_at(in_paris(2026, 3, 28, 23))

    assert (start, end) == (in_paris(2026, 3, 28, 22), in_paris(2026, 3, 29, 8))
    assert end - start == timedelta(hours=9)


def test_the_night_in_which_clocks_go_back_is_an_hour_longer():
    start, end = window_at(in_paris(2026, 10, 24, 23))

    assert (start, end) == (in_paris(2026, 10, 24, 22), in_paris(2026, 10, 25, 8))
    assert end - start == timedelta(hours=11)


def test_an_opening_that_clocks_skip_moves_forward():
    hours = DailyHours(time(2, 30), time(6))  # on 29 March 2026 clocks jump from 02:00 to 03:00

    start, end = window_at(in_paris(2026, 3, 29, 0), hours)

    assert PARIS.wall(start).time() == time(3, 30)
    assert PARIS.wall(end).time() == time(6)


def test_a_closing_that_clocks_skip_moves_forward():
    hours = DailyHours(time(1, 30), time(2, 30))

    start, end = window_at(in_paris(2026, 3, 29, 0), hours)

    assert PARIS.wall(end).time() == time(3, 30)
    assert end - start == timedelta(hours=1)


def test_a_short_window_that_ends_before_its_skipped_opening_is_left_out():
    hours = DailyHours(time(2, 30), time(3, 15))

    start, _ = window_at(in_paris(2026, 3, 29, 0), hours)

    assert PARIS.wall(start) == datetime(2026, 3, 30, 2, 30)  # noqa: DTZ001  a clock on the wall


def test_of_hours_that_clocks_show_twice_the_window_has_both():
    hours = DailyHours(time(2, 15), time(2, 45))  # on 25 October 2026 02:00 to 03:00 comes twice

    start, end = window_at(in_paris(2026, 10, 25, 0), hours)

    assert start == datetime(2026, 10, 25, 0, 15, tzinfo=UTC)
    assert end == datetime(2026, 10, 25, 1, 45, tzinfo=UTC)


def test_a_preferred_weekend_joins_the_nights_around_it():
    friday = in_paris(2026, 1, 16, 12)

    assert window_at(friday, weekend=True) == (in_paris(2026, 1, 16, 22), in_paris(2026, 1, 19, 8))
    assert window_at(in_paris(2026, 1, 18, 15), weekend=True)[1] == in_paris(2026, 1, 19, 8)
    assert window_at(in_paris(2026, 1, 18, 15), weekend=False)[0] == in_paris(2026, 1, 18, 22)


def test_a_weekend_joins_hours_that_leave_only_a_minute_of_the_day():
    hours = DailyHours(time(8), time(7, 59))

    assert window_at(in_paris(2026, 1, 17, 7, 59, 30), hours, weekend=True) == (
        in_paris(2026, 1, 16, 8),
        in_paris(2026, 1, 19, 7, 59),
    )


def test_hours_far_from_utc_are_found_on_the_right_day():
    zone = Zone("Pacific/Kiritimati")  # UTC+14
    now = datetime(2026, 1, 14, 9, tzinfo=UTC)  # 23:00 there

    start, _ = window_at(now, NIGHT, zone)

    assert start == datetime(2026, 1, 14, 8, tzinfo=UTC)


def windows_from(now, n, zone, *, weekend=False):
    """The next windows, each asked for at the end of the one before."""
    found = []
    for _ in range(n):
        found.append(next_window(now, WeekHours.daily(NIGHT), zone, weekend=weekend))
        now = found[-1].end
    return found


CHANGES = [
    ("Europe/Paris", (2026, 3, 29), -1),
    ("Europe/Paris", (2026, 10, 25), +1),
    ("America/New_York", (2026, 3, 8), -1),
    ("America/New_York", (2026, 11, 1), +1),
    ("Australia/Lord_Howe", (2026, 4, 5), +0.5),
    ("Australia/Lord_Howe", (2026, 10, 4), -0.5),
    ("Asia/Tokyo", (2026, 3, 29), 0),
]


@pytest.mark.parametrize(("name", "day", "change_h"), CHANGES)
def test_in_weeks_in_which_clocks_change_only_that_night_and_that_weekend_have_another_length(name, day, change_h):
    zone, change = Zone(name), timedelta(hours=change_h)
    before = datetime(*day, 12, tzinfo=UTC) - timedelta(days=10)
    first = next_window(before, WeekHours.daily(NIGHT), zone)

    nights = windows_from(first.end, 21, zone)
    weeks = windows_from(first.end, 15, zone, weekend=True)

    lengths = [night.end - night.start for night in nights]
    expected = timedelta(hours=10)
    assert sum(lengths, timedelta()) == 21 * expected + change
    assert sorted(set(lengths)) == sorted({expected, expected + change})
    assert all(zone.wall(night.start).time() == time(22) and zone.wall(night.end).time() == time(8) for night in nights)
    weekends = [window.end - window.start for window in weeks if window.end - window.start > timedelta(days=1)]
    assert sorted(set(weekends)) == sorted({timedelta(hours=58), timedelta(hours=58) + change})


def test_holidays_join_the_nights_around_them_however_many_they_are():
    holidays = parse_holidays([f"2026-12-{day}" for day in range(21, 32)])

    window = next_window(in_paris(2026, 12, 28, 12), WeekHours.daily(NIGHT), PARIS, holidays=holidays)

    assert (window.start, window.end) == (in_paris(2026, 12, 20, 22), in_paris(2027, 1, 1, 8))


def test_hours_are_written_as_they_are_read():
    week = parse_week({"weekdays": "22:00-08:00", "weekend": "00:00-24:00", "sunday": None})

    assert week == WeekHours(NIGHT, WHOLE_DAY, None)
    assert week.to_plain() == {"weekdays": "22:00-08:00", "saturday": "00:00-24:00", "sunday": None}
    assert parse_week("18:00-24:00").to_plain() == "18:00-24:00"
    assert all(parse_week(one.to_plain()) == one for one in (week, parse_week("18:00-24:00")))


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("22:00-08:00", NIGHT),
        (" 9:30 - 17:00 ", DailyHours(time(9, 30), time(17))),
        ("18:00-24:00", DailyHours(time(18), time(0))),
        ("22:00\N{EN DASH}08:00", NIGHT),
    ],
)
def test_hours_are_read_as_people_write_them(text, hours):
    assert parse_hours(text) == hours


@pytest.mark.parametrize(
    "text", ["25:00-08:00", "22:00-08:60", "24:00-08:00", "22-8", "night", "22:00", "a-b-c", "", 22]
)
def test_bad_hours_are_an_error_showing_them(text):
    with pytest.raises(PolicyError, match="preferred_hours") as caught:
        parse_hours(text)

    assert repr(text) in str(caught.value)
    assert "22:00-08:00" in str(caught.value)


def test_equal_edges_are_an_error_because_they_could_mean_always_or_never():
    with pytest.raises(PolicyError, match="same time"):
        parse_hours("08:00-08:00")


def test_an_instant_without_a_zone_is_refused():
    with pytest.raises(PolicyError, match="no time zone"):
        utc(datetime(2026, 1, 1))  # noqa: DTZ001  that is the point


NAIVE_2020, NAIVE_2035 = datetime(2020, 1, 1), datetime(2035, 1, 1)  # noqa: DTZ001  Hypothesis wants naive bounds
instants = st.datetimes(NAIVE_2020, NAIVE_2035).map(lambda naive: naive.replace(tzinfo=UTC))
clocks = st.times().map(lambda clock: clock.replace(second=0, microsecond=0))
zones = st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])


@given(now=instants, start=clocks, end=clocks, name=zones, weekend=st.booleans())
def test_the_next_window_ends_after_now_and_opens_within_two_days(now, start, end, name, weekend):
    if start == end:
        return

    window = next_window(now, WeekHours.daily(DailyHours(start, end)), Zone(name), weekend=weekend)

    assert window.start < window.end
    assert now < window.end
    assert window.start - now < timedelta(days=2, hours=1)


edges = st.integers(4, 23).map(time)  # clocks change earlier in the night
day_hours = st.one_of(
    st.none(),
    st.just(WHOLE_DAY),
    st.tuples(edges, edges).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: DailyHours(*pair)),
)
weeks = st.builds(WeekHours, day_hours, day_hours, day_hours)


def is_open(wall, week, off):
    """What a person reads off the clock on the wall, minute by minute."""

    def holds(hours, *, of_yesterday):
        if hours is None or hours.is_whole_day:
            return hours is not None and not of_yesterday
        crosses = hours.end < hours.start
        if of_yesterday:
            return crosses and wall.time() < hours.end
        return wall.time() >= hours.start and (crosses or wall.time() < hours.end)

    today, yesterday = wall.date(), wall.date() - timedelta(days=1)
    return today in off or holds(week.of(today), of_yesterday=False) or holds(week.of(yesterday), of_yesterday=True)


@given(now=instants, name=zones, week=weeks, off=st.sets(st.integers(-3, 3)))
def test_an_instant_is_open_exactly_when_the_clock_and_the_calendar_say_so(now, name, week, off):
    if week.is_always(weekend=False) or not any(week.days):
        return
    wall = now.astimezone(ZoneInfo(name)).replace(tzinfo=None)
    days_off = {wall.date() + timedelta(days=k) for k in off}

    window = next_window(now, week, Zone(name), holidays=days_off)

    assert (window.start <= now) == is_open(wall, week, days_off)
    before, at_end = (
        moment.astimezone(ZoneInfo(name)).replace(tzinfo=None)
        for moment in (window.end - timedelta(seconds=1), window.end)
    )
    assert is_open(before, week, days_off)
    assert not is_open(at_end, week, days_off)


@given(now=instants, name=zones, weekend=st.booleans())
def test_a_minute_of_the_night_is_open_exactly_when_the_clock_says_so(now, name, weekend):
    wall = now.astimezone(ZoneInfo(name))
    says_open = wall.hour >= 22 or wall.hour < 8 or (weekend and wall.weekday() >= 5)

    window = next_window(now, WeekHours.daily(NIGHT), Zone(name), weekend=weekend)

    assert (window.start <= now) == says_open
