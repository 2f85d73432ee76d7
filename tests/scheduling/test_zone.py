from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.errors import PolicyError
from sciflow.scheduling import zone as zone_module
from sciflow.scheduling.zone import Zone, system_zone_name


@pytest.fixture
def set_zone():
    """Set the zone of this process as a user would, with TZ."""
    before = os.environ.get("TZ")

    def set_to(name: str | None) -> None:
        if name is None:
            os.environ.pop("TZ", None)
        else:
            os.environ["TZ"] = name
        time.tzset()

    yield set_to
    set_to(before)


def test_the_systems_zone_is_taken_from_tz(set_zone):
    set_zone("America/New_York")

    assert str(Zone()) == "America/New_York"
    assert Zone().wall(datetime(2026, 7, 1, 16, tzinfo=UTC)) == datetime(2026, 7, 1, 12)  # noqa: DTZ001  a clock on the wall
    assert Zone().instant(datetime(2026, 1, 1, 12)) == datetime(2026, 1, 1, 17, tzinfo=UTC)  # noqa: DTZ001  same


def test_a_posix_rule_in_tz_works_although_it_has_no_name_in_the_database(set_zone):
    set_zone("CET-1CEST,M3.5.0,M10.5.0/3")

    assert Zone().instant(datetime(2026, 7, 1, 12)) == datetime(2026, 7, 1, 10, tzinfo=UTC)  # noqa: DTZ001  a clock on the wall
    assert str(Zone()) == "CET-1CEST,M3.5.0,M10.5.0/3"


@pytest.mark.parametrize("value", [":Europe/Paris", "/usr/share/zoneinfo/Europe/Paris"])
def test_other_spellings_of_tz_give_the_name(set_zone, value):
    set_zone(value)

    assert system_zone_name() == "Europe/Paris"


def test_without_tz_the_name_is_where_etc_localtime_leads(set_zone, tmp_path, monkeypatch):
    set_zone(None)
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    monkeypatch.setattr(zone_module, "LOCALTIME", link)

    assert system_zone_name() == "Asia/Tokyo"


def test_without_any_name_the_abbreviation_is_said(set_zone, tmp_path, monkeypatch):
    set_zone(None)
    monkeypatch.setattr(zone_module, "LOCALTIME", tmp_path / "absent")

    assert system_zone_name() is None
    assert str(Zone()) == datetime.now(UTC).astimezone().strftime("%Z")


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", "Europe"])
def test_an_unknown_zone_is_an_error_with_an_example(name):
    with pytest.raises(PolicyError, match="IANA"):
        Zone(name)


FIRST, LAST = datetime(2020, 1, 1), datetime(2035, 1, 1)  # noqa: DTZ001  clocks on the wall
walls = st.datetimes(FIRST, LAST).map(lambda wall: wall.replace(second=0, microsecond=0))


@given(wall=walls, last=st.booleans())
def test_the_system_converts_as_the_database_does(wall, last):
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Paris"
    time.tzset()
    try:
        assert Zone().instant(wall, last=last) == Zone("Europe/Paris").instant(wall, last=last)
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "wall",
    [datetime(2026, 3, 29, 2, 30), datetime(2026, 10, 25, 2, 30)],  # noqa: DTZ001  a clock on the wall
)
def test_the_system_agrees_with_the_database_where_clocks_change(set_zone, wall, last):
    set_zone("Europe/Paris")

    assert Zone().instant(wall, last=last) == Zone("Europe/Paris").instant(wall, last=last)
