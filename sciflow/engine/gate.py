"""Gate: the policy applied to one sweep, from the moment it was asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sciflow.scheduling.policy import Opening

if TYPE_CHECKING:
    from collections.abc import Callable

    from sciflow.scheduling.policy import Policy


@dataclass(slots=True)
class Gate:
    """Says whether work may start now; `max_wait_hours` bounds the wait before the first variant, not the sweep.

    Parameters
    ----------
    policy : the policy in force
    now : the clock, as aware UTC
    sleep : waits for so many seconds
    """

    policy: Policy
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    asked_at: datetime = field(init=False)
    _begun: bool = field(init=False, default=False)
    _overdue: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.asked_at = self.now()

    def opening(self) -> Opening:
        """Whether work may start now, and until when."""
        opening = self.policy.opening(self.now())
        if opening.may_start:
            return opening
        start_by = self.policy.start_by(self.asked_at)
        if not self._begun and start_by is not None and self.now() >= start_by:
            self._overdue = True  # once begun regardless of the hours, the sweep goes on
        return Opening(may_start=True) if self._overdue else opening

    def begin(self) -> None:
        """The first variant is on its way."""
        self._begun = True

    def explain(self) -> str:
        """One sentence: what is being waited for."""
        now = self.now()
        return self.policy.explain(now, (now - self.asked_at).total_seconds())

    def wait(self, tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
        """Return when work may start, or when *stopping* says so; call *tick* about once a second."""
        while not self.opening().may_start and not stopping():
            tick()
            self.sleep(1.0)
