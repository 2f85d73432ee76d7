"""A time zone by name, or the system's own: wall-clock time to instants and back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sciflow.errors import PolicyError

LOCALTIME = Path("/etc/localtime")


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone of the IANA database; None is the zone that this machine is set to."""

    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is None:
            return
        try:
            ZoneInfo(self.name)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            raise PolicyError(
                f"timezone {self.name!r} is unknown; use a name of the IANA database such as 'Europe/Paris' or 'UTC'"
            ) from None

    def instant(self, wall: datetime, *, last: bool = False) -> datetime:
        """The UTC instant at which clocks of the zone show the naive *wall*.

        A time that clocks skip is read with the offset before the change, so it moves forward by the skip.
        Of a time that clocks show twice it is the first, or with *last* the second.
        """
        utc = self._to_utc(wall.replace(fold=int(last)))
        if last and self.wall(utc) != wall.replace(fold=0):  # skipped: fold=1 would move it backward
            utc = self._to_utc(wall.replace(fold=0))
        return utc

    def wall(self, instant: datetime) -> datetime:
        """What clocks of the zone show at *instant*, as a naive datetime."""
        zone = None if self.name is None else ZoneInfo(self.name)
        return instant.astimezone(zone).replace(tzinfo=None, fold=0)

    def __str__(self) -> str:
        return self.name or system_zone_name() or datetime.now(UTC).astimezone().strftime("%Z")

    def _to_utc(self, wall: datetime) -> datetime:
        if self.name is not None:
            return wall.replace(tzinfo=ZoneInfo(self.name)).astimezone(UTC)
        # astimezone() of a naive datetime moves skipped times backward; timestamp() moves them forward
        return datetime.fromtimestamp(wall.timestamp(), UTC)


def system_zone_name() -> str | None:
    """The name of this machine's zone, from TZ or the link that /etc/localtime is; None when it has none."""
    variable = os.environ.get("TZ", "").removeprefix(":")
    if variable:
        return variable.partition("zoneinfo/")[2] or variable
    try:
        target = str(LOCALTIME.readlink())
    except OSError:
        return None
    return target.partition("zoneinfo/")[2] or None
