from __future__ import annotations

import json
import pickle
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sciflow.errors import PolicyError
from sciflow.scheduling import (
    All,
    Conditions,
    Immediate,
    LoadAware,
    OffPeak,
    Opening,
    Priority,
    holidays,
    parse_policy,
    policy_from_dict,
)

SEED_OPTIONS = {"preferred_hours": "22:00-08:00", "weekend_preferred": True, "max_wait_hours": 48}


def in_paris(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=ZoneInfo("Europe/Paris")).astimezone(UTC)


def night(**options):
    return parse_policy("off_peak", {"preferred_hours": "22:00-08:00", "timezone": "Europe/Paris", **options})


def at(*fields: int, **facts) -> Conditions:
    return Conditions(in_paris(*fields), **facts)


WEDNESDAY_14 = in_paris(2026, 1, 14, 14)
NOW = Conditions(WEDNESDAY_14)


def test_immediate_is_always_open_and_waits_for_nothing():
    policy = parse_policy("immediate")

    assert policy.opening(NOW) == Opening(may_start=True)
    assert policy.start_by(WEDNESDAY_14) == WEDNESDAY_14
    assert policy.explain(NOW) == "work may start at any time"
    assert policy.to_dict() == {"name": "immediate"}


def test_outside_its_hours_off_peak_is_shut_and_says_when_it_opens():
    policy = night()

    assert policy.opening(NOW) == Opening(may_start=False, next_open=in_paris(2026, 1, 14, 22))
    assert policy.explain(NOW) == "off-peak window opens at 22:00 Europe/Paris (in 8 h 0 min)"


def test_inside_its_hours_off_peak_is_open_until_their_end():
    policy = night()
    now = at(2026, 1, 15, 1, 30)

    assert policy.opening(now) == Opening(may_start=True, until=in_paris(2026, 1, 15, 8))
    assert policy.explain(now) == "off-peak window is open until 08:00 Europe/Paris (for another 6 h 30 min)"


def test_an_end_more_than_a_day_away_is_said_with_its_day():
    policy = night(weekend_preferred=True)

    text = policy.explain(at(2026, 1, 16, 23))

    assert text == "off-peak window is open until 08:00 on Monday Europe/Paris (for another 2 d 9 h)"


def test_the_instant_may_be_given_in_any_zone():
    now = WEDNESDAY_14.astimezone(ZoneInfo("Asia/Tokyo"))

    assert night().opening(Conditions(now)) == night().opening(NOW)


def test_the_wait_is_bounded_by_max_wait_hours():
    assert night().start_by(WEDNESDAY_14) is None
    assert night(max_wait_hours=2.5).start_by(WEDNESDAY_14) == WEDNESDAY_14 + timedelta(hours=2.5)


def test_a_bound_on_the_wait_that_ends_before_the_opening_is_said():
    policy = night(max_wait_hours=2)
    half_an_hour, two_hours = (at(2026, 1, 14, 14, asked_at=WEDNESDAY_14 - timedelta(hours=h)) for h in (0.5, 2))

    assert policy.explain(half_an_hour) == (
        "off-peak window opens at 22:00 Europe/Paris (in 8 h 0 min); "
        "work starts at 15:30 Europe/Paris (in 1 h 30 min) at the latest"
    )
    assert policy.opening(half_an_hour).next_open == in_paris(2026, 1, 14, 15, 30)
    assert policy.explain(two_hours).endswith("max_wait_hours = 2 have passed: work may start")
    assert policy.opening(two_hours) == Opening(may_start=True)


def test_a_bound_that_ends_after_the_opening_is_not_worth_a_word():
    assert "latest" not in night(max_wait_hours=48).explain(at(2026, 1, 14, 14, asked_at=WEDNESDAY_14))


def test_a_sweep_that_began_after_its_longest_wait_is_not_stopped_by_any_closing():
    policy = night(max_wait_hours=2)
    began = {"asked_at": in_paris(2026, 1, 14, 10), "begun_at": in_paris(2026, 1, 14, 12)}

    assert policy.opening(at(2026, 1, 14, 14, **began)) == Opening(may_start=True)
    assert policy.opening(at(2026, 1, 14, 23, **began)) == Opening(may_start=True)
    assert "may start" in policy.reason(at(2026, 1, 14, 14, **began))


def test_a_sweep_that_began_in_its_window_waits_for_the_next_however_long_it_waited_for_the_first():
    policy = night(max_wait_hours=2)
    began = {"asked_at": in_paris(2026, 1, 14, 19), "begun_at": in_paris(2026, 1, 14, 22)}

    assert policy.opening(at(2026, 1, 15, 14, **began)).next_open == in_paris(2026, 1, 15, 22)


def test_just_before_the_opening_it_never_says_that_no_time_is_left():
    text = night().explain(Conditions(in_paris(2026, 1, 14, 22) - timedelta(milliseconds=1)))

    assert text.endswith("(in 1.0 s)")


def test_a_reason_stays_true_until_the_opening():
    policy = night()

    assert policy.reason(NOW) == policy.reason(at(2026, 1, 14, 21, 59)) == "window opens 22:00 Europe/Paris"
    assert policy.reason(at(2026, 1, 14, 23)) == "window is open until 08:00 Europe/Paris"


def test_cores_have_one_cap_inside_the_window_and_another_outside():
    policy = night(max_cores_inside=64, max_cores_outside=4)

    assert policy.opening(NOW) == Opening(may_start=True, next_open=in_paris(2026, 1, 14, 22), max_cores=4)
    assert policy.opening(at(2026, 1, 14, 23)) == Opening(may_start=True, until=in_paris(2026, 1, 15, 8), max_cores=64)
    assert policy.explain(NOW).endswith("(in 8 h 0 min); work may start for at most 4 cores meanwhile")
    assert "is open for at most 64 cores until 08:00" in policy.explain(at(2026, 1, 14, 23))
    assert policy.reason(NOW) == "at most 4 cores until the window opens 22:00 Europe/Paris"


def test_work_may_spill_over_the_closing_but_not_start_there():
    policy = night(spill_minutes=30)

    assert policy.opening(at(2026, 1, 15, 7, 59)).stop_by == in_paris(2026, 1, 15, 8, 30)
    assert not policy.opening(at(2026, 1, 15, 8)).may_start


def test_holidays_are_days_off_by_date_and_by_country():
    by_date = night(holidays=["2026-07-14", date(2026, 7, 15)])
    by_country = night(holidays="FR")
    in_alsace = night(holidays="FR-57")  # Good Friday is a holiday there

    assert by_date.opening(at(2026, 7, 14, 12)).until == in_paris(2026, 7, 16, 8)
    assert by_country.opening(at(2026, 7, 14, 12)).until == in_paris(2026, 7, 15, 8)
    assert not by_country.opening(at(2026, 4, 3, 12)).may_start
    assert in_alsace.opening(at(2026, 4, 3, 12)).may_start


def test_a_holiday_before_a_weekend_makes_it_longer():
    policy = night(weekend_preferred=True, holidays=["2026-05-01"])  # a Friday

    assert policy.opening(at(2026, 5, 1, 12)).until == in_paris(2026, 5, 4, 8)


def test_without_the_calendars_of_countries_it_is_said_what_to_install(monkeypatch):
    holidays._days_off.cache_clear()
    monkeypatch.setitem(sys.modules, "holidays", None)

    with pytest.raises(PolicyError, match=r"pip install 'sciflow\[calendars\]'.*list of dates needs nothing"):
        OffPeak(holidays="FR")
    assert OffPeak(holidays=["2026-12-24"])


def test_hours_may_differ_between_kinds_of_days():
    policy = night(preferred_hours={"weekdays": "22:00-08:00", "saturday": "12:00-24:00", "sunday": "00:00-24:00"})

    assert policy.opening(at(2026, 1, 17, 9)).next_open == in_paris(2026, 1, 17, 12)
    assert policy.opening(at(2026, 1, 17, 13)).until == in_paris(2026, 1, 19, 0)
    assert policy.opening(at(2026, 1, 19, 1)).next_open == in_paris(2026, 1, 19, 22)  # Sunday has no night


def test_days_that_are_not_named_have_no_hours():
    policy = night(preferred_hours={"weekend": "08:00-20:00"})

    assert policy.opening(at(2026, 1, 12, 9)).next_open == in_paris(2026, 1, 17, 8)


def test_the_options_of_the_seed_example_are_understood():
    policy = parse_policy("off_peak", SEED_OPTIONS)

    assert policy == OffPeak("22:00-08:00", weekend_preferred=True, max_wait_hours=48)
    assert policy.to_dict() == {"name": "off_peak", **SEED_OPTIONS, "timezone": None}


# ---------------------------------------------------------------------------------------------------- other policies


def test_priority_is_work_at_any_time_in_the_words_of_each_system():
    low, urgent = Priority("low"), Priority("high", qos="urgent")

    assert low.opening(NOW) == Opening(may_start=True)
    assert (low.niceness, urgent.niceness) == (10, 0)
    assert (low.job_options("slurm"), low.job_options("pbs")) == (("--nice=10000",), ("-p -512",))
    assert (urgent.job_options("slurm"), urgent.job_options("pbs")) == (("--qos=urgent",), ("-p 512",))
    assert low.explain(NOW) == "work has low priority"


def test_work_starts_while_others_leave_room_and_pauses_only_when_they_clearly_need_it():
    policy = LoadAware(0.6, hysteresis=0.5)

    assert [policy.opening(Conditions(WEDNESDAY_14, load=load)).may_start for load in (0.6, 0.7)] == [True, False]
    going_on = [Conditions(WEDNESDAY_14, load=load, working=True) for load in (0.7, 0.95)]
    assert [policy.opening(one).may_start for one in going_on] == [True, False]
    assert policy.explain(going_on[1]) == "others use more than 60% of this machine (95%)"
    assert policy.explain(Conditions(WEDNESDAY_14, load=0.25)) == "others leave room for work (25%)"


def test_without_a_bound_on_the_queue_there_is_one_on_the_load_of_this_machine():
    assert LoadAware() == LoadAware(0.7)
    assert LoadAware(max_pending=3).senses == {"n_pending"}
    assert LoadAware(0.7, max_pending=3).senses == {"load", "n_pending"}


def test_others_that_wait_in_the_queue_go_first():
    policy = LoadAware(max_pending=100)
    crowded = Conditions(WEDNESDAY_14, load=1.0, n_pending=1200)

    assert policy.senses == {"n_pending"}
    assert not policy.opening(crowded).may_start
    assert policy.explain(crowded) == "others have more than 100 jobs waiting in the queue (1,200 jobs)"
    assert policy.opening(Conditions(WEDNESDAY_14, load=1.0, n_pending=100)).may_start


def test_what_nobody_knows_holds_nothing_up():
    assert LoadAware(0.5, max_pending=0).opening(NOW).may_start


def test_policies_together_open_when_each_does_and_end_with_the_first():
    policy = night() & LoadAware(0.5) & Priority("low")
    busy, calm = at(2026, 1, 14, 23, load=0.9), at(2026, 1, 14, 23, load=0.1)

    assert isinstance(policy, All)
    assert len(policy.policies) == 3
    assert policy.priority == Priority("low")
    assert policy.senses == {"load"}
    assert policy.opening(calm) == Opening(may_start=True, until=in_paris(2026, 1, 15, 8))
    assert policy.opening(busy) == Opening(may_start=False)
    assert policy.explain(busy) == "others use more than 50% of this machine (90%)"
    assert policy.reason(NOW) == "window opens 22:00 Europe/Paris"
    assert "is open until 08:00" in policy.explain(calm)
    assert "work has low priority" in policy.explain(calm)


def test_hours_that_must_hold_together_open_where_they_meet():
    evenings = night(preferred_hours="18:00-23:00", max_cores_inside=8)
    policy = night(spill_minutes=60, max_cores_inside=16) & evenings

    assert policy.opening(NOW).next_open == in_paris(2026, 1, 14, 22)
    opening = policy.opening(at(2026, 1, 14, 22))
    assert (opening.until, opening.stop_by, opening.max_cores) == (*2 * [in_paris(2026, 1, 14, 23)], 8)
    never = night(preferred_hours="01:00-02:00") & night(preferred_hours="03:00-04:00")
    assert never.opening(NOW) == Opening(may_start=False)


def test_the_longest_wait_of_several_policies_counts():
    assert (night(max_wait_hours=2) & Priority("low")).start_by(WEDNESDAY_14) == WEDNESDAY_14 + timedelta(hours=2)
    assert (night() & Priority("low")).start_by(WEDNESDAY_14) is None


def test_only_policies_join():
    with pytest.raises(TypeError):
        night() & "low"
    with pytest.raises(PolicyError, match="two priorities"):
        Priority("low") & Priority("high")
    with pytest.raises(PolicyError, match="at least one"):
        All([])


# -------------------------------------------------------------------------------------------------------- plain data

EVERY_KIND = [
    Immediate(),
    parse_policy("off_peak"),
    night(max_wait_hours=0),
    All([night(max_wait_hours=1)]),
    OffPeak({"weekdays": "22:00-08:00", "saturday": "00:00-24:00"}, holidays=["FR", "DE-BY", "2026-12-24"]),
    OffPeak(max_cores_inside=100, max_cores_outside=10, spill_minutes=12.5, timezone="Asia/Tokyo"),
    Priority("high", qos="urgent"),
    LoadAware(0.5, max_pending=3, hysteresis=0),
    night() & Priority("low") & LoadAware(),
]


@pytest.mark.parametrize("policy", EVERY_KIND, ids=repr)
def test_a_policy_is_a_value_that_hashes_pickles_and_returns_from_plain_data(policy):
    data = json.loads(json.dumps(policy.to_dict()))
    name = data.pop("name")

    assert parse_policy(name, data) == policy == policy_from_dict(policy.to_dict())
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(pickle.loads(pickle.dumps(policy))) == hash(policy)


@pytest.mark.parametrize("policy", EVERY_KIND, ids=repr)
def test_a_policy_shows_itself_as_it_is_written(policy):
    names = {"All": All, "Immediate": Immediate, "LoadAware": LoadAware, "OffPeak": OffPeak, "Priority": Priority}

    assert eval(repr(policy), names) == policy


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("offpeak", {}, "no scheduling policy named 'offpeak'; there are 'immediate', 'off_peak', 'priority'"),
        (OffPeak, None, "a policy is a name, or an object such as OffPeak('22:00-08:00'), not <class"),
        ("off_peak", "22:00-08:00", "must be a mapping such as {'preferred_hours': '22:00-08:00'}, not '22:00-08:00'"),
        ("immediate", {"preferred_hours": "22:00-08:00"}, "has none"),
        ("off_peak", {"prefered_hours": "22:00-08:00"}, "its options are preferred_hours, weekend_preferred, holidays"),
        ("off_peak", {"preferred_hours": "25:00-08:00"}, "25:00"),
        (
            "off_peak",
            {"preferred_hours": {"weekday": "22:00-08:00"}},
            "'weekday' is no kind of day; there are",
        ),
        ("off_peak", {"preferred_hours": {}}, "no hours at all"),
        ("off_peak", {"preferred_hours": "00:00-24:00"}, "all hours of the week; use the policy 'immediate'"),
        ("off_peak", {"preferred_hours": {"weekdays": "00:00-24:00"}, "weekend_preferred": True}, "all hours"),
        ("off_peak", {"weekend_preferred": "yes"}, "weekend_preferred must be True or False"),
        ("off_peak", {"max_wait_hours": -1}, "max_wait_hours"),
        ("off_peak", {"max_wait_hours": True}, "max_wait_hours"),
        ("off_peak", {"max_wait_hours": "48"}, "max_wait_hours must be a number of at least 0, or None"),
        ("off_peak", {"timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ("off_peak", {"timezone": 2}, "timezone must be a name"),
        ("off_peak", {"holidays": "XX"}, "no calendar for 'XX'"),
        ("off_peak", {"holidays": "DE-XX"}, "no calendar for 'DE-XX'"),
        ("off_peak", {"holidays": ["24.12.2026"]}, "'24.12.2026' is neither a country such as 'FR'"),
        ("off_peak", {"holidays": 24}, "holidays must be a country such as 'FR' or a list of dates, not 24"),
        ("off_peak", {"holidays": [datetime(2026, 1, 1, 12, tzinfo=UTC)]}, "is neither"),
        ("off_peak", {"max_cores_inside": 0}, "max_cores_inside must be a whole number of at least 1, not 0"),
        ("off_peak", {"max_cores_outside": 1.5}, "max_cores_outside must be a whole number of at least 0"),
        ("off_peak", {"max_cores_inside": 4, "max_cores_outside": 8}, "more than max_cores_inside = 4"),
        ("off_peak", {"spill_minutes": "30"}, "spill_minutes must be a number of at least 0, not '30'"),
        ("priority", {"level": "urgent"}, "one of 'low', 'normal', 'high', not 'urgent'"),
        ("priority", {"qos": "low; rm -rf"}, "qos must be the name"),
        ("load_aware", {"max_load": "70%"}, "max_load must be a number of at least 0, not '70%'"),
        ("all", {"policies": "off_peak"}, "must be a list of mappings"),
        ("all", {"policies": ["off_peak"]}, "no mapping with a 'name'"),
        ("all", {"policies": [{"name": "offpeak"}]}, "no scheduling policy named 'offpeak'"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_it(name, options, says):
    with pytest.raises(PolicyError) as caught:
        parse_policy(name, options)

    assert says in str(caught.value)


def test_an_instant_without_a_zone_is_refused_by_every_policy():
    for policy in EVERY_KIND:
        with pytest.raises(PolicyError, match="no time zone"):
            policy.opening(Conditions(datetime(2026, 1, 1)))  # noqa: DTZ001  that is the point
