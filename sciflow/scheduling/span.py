"""The longest time in a row that a policy gives to work."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sciflow.scheduling.window import Window

if TYPE_CHECKING:
    from sciflow.scheduling.opening import Conditions
    from sciflow.scheduling.policy import Policy

HORIZON: Final = timedelta(weeks=5)
"""So far ahead is looked."""

_STEP: Final = timedelta(minutes=1)  # for a policy that names an instant that is not later


def longest_window(policy: Policy, conditions: Conditions) -> Window | None:
    """The longest window in the coming five weeks, from its opening until running work must have stopped.

    None where some opening has no end, or where it is not the clock alone that decides. What has to be found out from
    elsewhere (load, queues) is taken to hold nothing up.
    """
    now, end = conditions.now, conditions.now + HORIZON
    longest: Window | None = None
    while now < end:
        opening = policy.opening(replace(conditions, now=now, load=None, n_pending=None))
        if not opening.may_start:
            following = opening.next_open
        elif opening.stop_by is None:
            return None
        else:
            window, following = Window(now, opening.stop_by), opening.until
            if longest is None or window.length > longest.length:
                longest = window
            if conditions.begun_at is None:  # work begins with the first, so nothing is overdue later
                conditions = replace(conditions, begun_at=now)
        if following is None:
            return None
        now = max(following, now + _STEP)
    return longest
