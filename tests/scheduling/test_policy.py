from __future__ import annotations

import pickle
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from sciflow.errors import PolicyError
from sciflow.scheduling import Immediate, OffPeak, Opening, parse_policy
from sciflow.scheduling.window import DailyHours
from sciflow.scheduling.zone import Zone

SEED_OPTIONS = {"preferred_hours": "22:00-08:00", "weekend_preferred": True, "max_wait_hours": 48}


def in_paris(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=ZoneInfo("Europe/Paris")).astimezone(UTC)


def night(**options):
    return parse_policy("off_peak", {"preferred_hours": "22:00-08:00", "timezone": "Europe/Paris", **options})


WEDNESDAY_14 = in_paris(2026, 1, 14, 14)


def test_immediate_is_always_open_and_waits_for_nothing():
    policy = parse_policy("immediate")

    assert policy.opening(WEDNESDAY_14) == Opening(may_start=True)
    assert policy.start_by(WEDNESDAY_14) == WEDNESDAY_14
    assert policy.explain(WEDNESDAY_14) == "work may start at any time"
    assert policy.to_dict() == {"name": "immediate"}


def test_outside_its_hours_off_peak_is_shut_and_says_when_it_opens():
    policy = night()

    assert policy.opening(WEDNESDAY_14) == Opening(may_start=False, next_open=in_paris(2026, 1, 14, 22))
    assert policy.explain(WEDNESDAY_14) == "off-peak window opens at 22:00 Europe/Paris (in 8 h 0 min)"


def test_inside_its_hours_off_peak_is_open_until_their_end():
    policy = night()
    now = in_paris(2026, 1, 15, 1, 30)

    assert policy.opening(now) == Opening(may_start=True, until=in_paris(2026, 1, 15, 8))
    assert policy.explain(now) == "off-peak window is open until 08:00 Europe/Paris (for another 6 h 30 min)"


def test_an_end_more_than_a_day_away_is_said_with_its_day():
    policy = night(weekend_preferred=True)

    text = policy.explain(in_paris(2026, 1, 16, 23))

    assert text == "off-peak window is open until 08:00 on Monday Europe/Paris (for another 2 d 9 h)"


def test_the_instant_may_be_given_in_any_zone():
    now = WEDNESDAY_14.astimezone(ZoneInfo("Asia/Tokyo"))

    assert night().opening(now) == night().opening(WEDNESDAY_14)


def test_the_wait_is_bounded_by_max_wait_hours():
    assert night().start_by(WEDNESDAY_14) is None
    assert night(max_wait_hours=2.5).start_by(WEDNESDAY_14) == WEDNESDAY_14 + timedelta(hours=2.5)


def test_a_bound_on_the_wait_that_ends_before_the_opening_is_said():
    policy = night(max_wait_hours=2)

    assert policy.explain(WEDNESDAY_14, waited_s=1800) == (
        "off-peak window opens at 22:00 Europe/Paris (in 8 h 0 min); "
        "work starts at 15:30 Europe/Paris (in 1 h 30 min) at the latest"
    )
    assert policy.explain(WEDNESDAY_14, waited_s=7200).endswith("max_wait_hours = 2 have passed: work may start")


def test_a_bound_that_ends_after_the_opening_is_not_worth_a_word():
    assert "latest" not in night(max_wait_hours=48).explain(WEDNESDAY_14)


def test_just_before_the_opening_it_never_says_that_no_time_is_left():
    text = night().explain(in_paris(2026, 1, 14, 22) - timedelta(milliseconds=1))

    assert text.endswith("(in 1.0 s)")


def test_the_options_of_the_seed_example_are_understood():
    policy = parse_policy("off_peak", SEED_OPTIONS)

    assert policy == OffPeak(DailyHours(time(22), time(8)), weekend_preferred=True, max_wait_hours=48, zone=Zone())


@pytest.mark.parametrize("policy", [Immediate(), parse_policy("off_peak"), night(max_wait_hours=1)])
def test_a_policy_is_a_value_that_hashes_pickles_and_returns_from_plain_data(policy):
    data = policy.to_dict()
    name = data.pop("name")

    assert parse_policy(name, data) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(pickle.loads(pickle.dumps(policy))) == hash(policy)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("offpeak", {}, "no scheduling policy named 'offpeak'"),
        ("immediate", {"preferred_hours": "22:00-08:00"}, "has none"),
        ("off_peak", {"prefered_hours": "22:00-08:00"}, "its options are preferred_hours"),
        ("off_peak", {"preferred_hours": "25:00-08:00"}, "25:00"),
        ("off_peak", {"weekend_preferred": "yes"}, "weekend_preferred must be True or False"),
        ("off_peak", {"max_wait_hours": -1}, "max_wait_hours"),
        ("off_peak", {"max_wait_hours": True}, "max_wait_hours"),
        ("off_peak", {"max_wait_hours": "48"}, "max_wait_hours"),
        ("off_peak", {"timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ("off_peak", {"timezone": 2}, "timezone must be a name"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_it(name, options, says):
    with pytest.raises(PolicyError) as caught:
        parse_policy(name, options)

    assert says in str(caught.value)
