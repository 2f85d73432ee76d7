"""Gate: the policy applied to one sweep, from the moment it was asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sciflow.engine.load import OthersLoad
from sciflow.planning.batch import STOP_EARLY_S
from sciflow.scheduling.opening import Conditions
from sciflow.scheduling.slot import find_slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from sciflow.scheduling.opening import Opening
    from sciflow.scheduling.policy import Policy
    from sciflow.scheduling.slot import Slot

MARGIN = timedelta(seconds=STOP_EARLY_S)
"""So long before running work must have stopped, nothing starts any more."""


@dataclass(slots=True)
class Gate:
    """Says whether work may start now; `max_wait_hours` bounds the wait before the first variant, not the sweep.

    Parameters
    ----------
    policy : the policy in force
    now : the clock, as aware UTC
    sleep : waits for so many seconds
    load : how much of this machine others keep busy; asked only if the policy wants to know
    n_pending : how many jobs of others wait in the queue, likewise; None is not known
    asked_at : when the sweep was asked for; by default now
    begun_at : when its first variant was sent; None if it was not yet
    """

    policy: Policy
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    load: Callable[[], float | None] = field(default_factory=OthersLoad)
    n_pending: Callable[[], int | None] = lambda: None
    asked_at: datetime | None = None
    begun_at: datetime | None = None
    _working: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.asked_at = self.asked_at or self.now()

    def opening(self) -> Opening:
        """Whether work may start now, how much of it, and until when."""
        _, opening = self._look()
        self._working = self._working and opening.may_start
        return opening

    def slot(self, wanted_s: float | None, least_s: float = 0) -> Slot | None:
        """The times of a job that is submitted now; see `find_slot`."""
        return find_slot(self.policy, self.conditions(), wanted_s, least_s)

    def begin(self) -> None:
        """Work is on its way, the first variant perhaps."""
        self._working = True
        self.begun_at = self.begun_at or self.now()

    def explain(self) -> str:
        """One sentence: what is being waited for."""
        return self.policy.explain(self.conditions())

    def facts(self) -> dict[str, Any]:
        """Plain data about the wait, from which its end can be told at any later moment."""
        conditions, opening = self._look()
        return {
            "explanation": self.policy.explain(conditions),
            "reason": self.policy.reason(conditions),
            **({} if opening.next_open is None else {"next_open": opening.next_open.timestamp()}),
        }

    def conditions(self) -> Conditions:
        """What the policy is told; so near to a closing that nothing may start, the instant of the closing."""
        conditions, _ = self._look()
        return conditions

    def wait(
        self,
        tick: Callable[[], None],
        stopping: Callable[[], bool],
        tell: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        """Return when work may start, or when *stopping* says so.

        Calls *tick* about once a second, and *tell* with `facts` whenever there is another reason to wait.
        """
        reason = None
        while not (opening := self.opening()).may_start and not stopping():
            facts = self.facts()
            if facts["reason"] != reason:
                reason = facts["reason"]
                tell(facts)
            tick()
            left_s = 1.0 if opening.next_open is None else (opening.next_open - self.now()).total_seconds()
            self.sleep(min(1.0, max(left_s, 0.01)))

    def _look(self) -> tuple[Conditions, Opening]:
        senses = self.policy.senses
        conditions = Conditions(
            self.now(),
            asked_at=self.asked_at,
            begun_at=self.begun_at,
            working=self._working,
            load=self.load() if "load" in senses else None,
            n_pending=self.n_pending() if "n_pending" in senses else None,
        )
        opening = self.policy.opening(conditions)
        if opening.until is not None and opening.until + opening.spill - conditions.now <= MARGIN:
            conditions = replace(conditions, now=opening.until)
            opening = self.policy.opening(conditions)
        return conditions, opening
