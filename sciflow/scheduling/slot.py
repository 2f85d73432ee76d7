"""Slot: when a job may begin and must have ended, for a batch system that keeps both with the driver dead."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sciflow.scheduling.opening import Conditions
    from sciflow.scheduling.policy import Policy


@dataclass(frozen=True, slots=True)
class Slot:
    """The times of one job, in the words of `sciflow.batch.system.Job`.

    Attributes
    ----------
    begin
        It must not start before; None when it may at once: an instant that has passed would be tomorrow's to some
        batch systems.
    end_by
        It must have ended by then; None is never.
    walltime_s
        What to ask for: as wanted, or what is left until *end_by* for a job that starts at *begin*, or now.
    least_walltime_s
        What the batch system may cut that down to for a job that starts later; None is not at all.
    """

    begin: datetime | None = None
    end_by: datetime | None = None
    walltime_s: int | None = None
    least_walltime_s: int | None = None


def find_slot(policy: Policy, conditions: Conditions, wanted_s: float | None, least_s: float = 0) -> Slot | None:
    """The times of a job that is submitted now; None when now is not the moment to submit one.

    Parameters
    ----------
    wanted_s
        The walltime if nothing were in the way; None is all that is left, or else the site's default.
    least_s
        A job shorter than this is not worth its start. When so little is left there is no slot, and none either
        while it is not the clock alone that keeps the policy shut.
    """
    opening, begin = policy.opening(conditions), None
    if not opening.may_start:
        if opening.next_open is None:
            return None
        begin = _whole_second(opening.next_open)
        opening = policy.opening(replace(conditions, now=begin))
        if not opening.may_start:
            return None
    wanted = None if wanted_s is None else math.ceil(wanted_s)
    if opening.stop_by is None:
        return Slot(begin, None, wanted)
    left = math.floor((opening.stop_by - (begin or conditions.now)).total_seconds())
    if left > 60:  # SLURM rounds walltimes up to whole minutes, and starts no job that would then end too late
        left -= left % 60
    walltime = left if wanted is None else min(wanted, left)
    least = math.ceil(least_s)
    if walltime < max(1, least if wanted is None else min(least, wanted)):
        return None
    return Slot(begin, opening.stop_by, walltime, min(least, walltime) or None)


def _whole_second(instant: datetime) -> datetime:
    """The same, or the next whole second: batch systems know no parts of them."""
    whole = instant.replace(microsecond=0)
    return whole if whole == instant else whole + timedelta(seconds=1)
