"""Policies that mean the same on every machine."""

from __future__ import annotations

import time
import zoneinfo
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sciflow.errors import PolicyError
from sciflow.scheduling import Conditions, Immediate, OffPeak, Priority, policy_from_dict
from sciflow.scheduling import anchor as module
from sciflow.scheduling import zone as zones
from sciflow.scheduling.anchor import anchored

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def zone(monkeypatch):
    def be_in(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield be_in
    monkeypatch.undo()
    time.tzset()


def test_hours_of_a_policy_that_is_read_elsewhere_are_those_of_where_it_was_said(zone):
    zone("America/New_York")
    policy = anchored(OffPeak("22:00-08:00", max_wait_hours=3, spill_minutes=5) & Priority("low"))
    told = policy_from_dict(policy.to_dict())
    opens = policy.opening(Conditions(NOW)).next_open

    zone("Asia/Tokyo")

    assert told == policy
    assert told.opening(Conditions(NOW)).next_open == opens == datetime(2026, 7, 2, 2, tzinfo=UTC)
    assert "22:00 America/New_York" in told.explain(Conditions(NOW))


@pytest.mark.parametrize("policy", [Immediate(), OffPeak("22:00-08:00", timezone="Europe/Paris"), Priority("low")])
def test_what_needs_no_zone_stays_as_it_is(policy, zone):
    zone("Asia/Tokyo")

    assert anchored(policy) == policy


def test_a_copy_of_the_rules_of_a_zone_is_recognised(tmp_path, monkeypatch):
    (source,) = [Path(one, "Europe/Lisbon") for one in zoneinfo.TZPATH if Path(one, "Europe/Lisbon").exists()][:1]
    copy = tmp_path / "localtime"
    copy.write_bytes(source.read_bytes())
    monkeypatch.delenv("TZ", raising=False)
    for one in (module, zones):
        monkeypatch.setattr(one, "LOCALTIME", copy)

    name = anchored(OffPeak()).timezone.name

    winter, summer = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
    for when in (winter, summer):
        assert (
            when.astimezone(zoneinfo.ZoneInfo(name)).utcoffset()
            == when.astimezone(zoneinfo.ZoneInfo("Europe/Lisbon")).utcoffset()
        )


def test_a_zone_without_a_name_is_refused_with_what_to_say(zone):
    zone("MYZONE-3:17")

    with pytest.raises(PolicyError, match=r"MYZONE-3:17.*timezone='Europe/Paris'"):
        anchored(OffPeak("22:00-08:00"))
