"""Anchor: a policy that means the same on whatever machine it is read."""

from __future__ import annotations

import contextlib
import os
import zoneinfo
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sciflow.errors import PolicyError
from sciflow.scheduling.offpeak import OffPeak
from sciflow.scheduling.policy import All
from sciflow.scheduling.zone import LOCALTIME, Zone, system_zone_name

if TYPE_CHECKING:
    from sciflow.scheduling.policy import Policy


def anchored(policy: Policy) -> Policy:
    """The policy with this machine's time zone by name, where it said none.

    Raises
    ------
    PolicyError
        This machine does not tell the name of its zone.
    """
    if isinstance(policy, All):
        return All(anchored(one) for one in policy.policies)
    if isinstance(policy, OffPeak) and policy.timezone.name is None:
        return replace(policy, timezone=_zone_of_this_machine())
    return policy


def _zone_of_this_machine() -> Zone:
    name = system_zone_name()
    if name is None and not os.environ.get("TZ"):
        name = _name_of(LOCALTIME)
    try:
        if name is not None:
            return Zone(name)
    except PolicyError:  # TZ may hold rules instead of a name
        pass
    raise PolicyError(
        "the preferred hours are in this machine's time zone, and the machine where they are read may have another; "
        f"its name is not known here ({name or LOCALTIME}): say it, as in timezone='Europe/Paris'"
    )


def _name_of(rules: Path) -> str | None:
    """The name of a zone that has the rules of a file; regions before their aliases."""
    try:
        wanted = rules.read_bytes()
    except OSError:
        return "UTC"  # as the C library has it
    for name in sorted(zoneinfo.available_timezones(), key=lambda one: ("/" not in one, one)):
        for folder in zoneinfo.TZPATH:
            with contextlib.suppress(OSError):
                if Path(folder, name).read_bytes() == wanted:
                    return name
    return None
