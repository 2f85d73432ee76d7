"""Holidays: whole days off, by the calendar of a country or by date."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import cast

from sciflow.errors import PolicyError

_CODE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days off: ``day in holidays``.

    Attributes
    ----------
    codes
        Countries (``"FR"``), or parts of them that have holidays of their own (``"DE-BY"``), as in ISO 3166.
    dates
        Further days, in order.
    """

    codes: tuple[str, ...] = ()
    dates: tuple[date, ...] = ()

    def __contains__(self, day: date) -> bool:
        return day in self.dates or any(day in _days_off(code, day.year) for code in self.codes)

    def to_list(self) -> list[str]:
        """Plain data, as people write it."""
        return [*self.codes, *map(str, self.dates)]


def parse_holidays(given: object) -> Holidays:
    """Read a country's code, a date, or several of both; None is none.

    Raises
    ------
    PolicyError
        When one is not understood, or when the calendars of countries are not installed.
    """
    if isinstance(given, Holidays):
        return given
    if given is None or isinstance(given, str | date):
        given = [] if given is None else [given]
    if not isinstance(given, Iterable):
        raise PolicyError(f"holidays must be a country such as 'FR' or a list of dates, not {given!r}")
    days = [_parse_one(one) for one in cast("Iterable[object]", given)]
    codes = dict.fromkeys(one for one in days if isinstance(one, str))
    dates = {one for one in days if isinstance(one, date)}
    return Holidays(tuple(codes), tuple(sorted(dates)))


def _parse_one(given: object) -> str | date:
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    if isinstance(given, str):
        text = given.strip()
        if _CODE.fullmatch(text.upper()):
            _days_off(text.upper(), 2000)  # a code that nobody knows, or calendars that are missing, are told now
            return text.upper()
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise PolicyError(
        f"holidays: {given!r} is neither a country such as 'FR' or 'DE-BY' nor a date such as '2026-12-24'"
    )


@functools.cache
def _days_off(code: str, year: int) -> frozenset[date]:
    try:
        import holidays  # noqa: PLC0415  an extra, for those who name a country
    except ImportError:
        raise PolicyError(
            f"holidays={code!r} needs the calendars of countries: pip install 'sciflow[calendars]' "
            "(a list of dates needs nothing: holidays=['2026-12-24'])"
        ) from None
    country, _, part = code.partition("-")
    try:
        return frozenset(holidays.country_holidays(country, subdiv=part or None, years=year))
    except NotImplementedError as error:
        raise PolicyError(
            f"holidays: no calendar for {code!r} ({error}); codes are those of ISO 3166, "
            "such as 'FR' or 'DE-BY'; or list dates"
        ) from None
