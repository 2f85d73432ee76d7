"""Overrun: says once for each closing that variants still run after it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sciflow.running.closing import GRACE_S
from sciflow.running.live import read_notes

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from sciflow.engine.gate import Gate

_EVERY_S: Final = 1.0


@dataclass(slots=True)
class Overrun:
    """Call it often.

    Parameters
    ----------
    gate : says when the window closes
    live : folder of the notes of workers
    session : whose workers
    tell : notes an event
    clock : seconds
    """

    gate: Gate
    live: Path
    session: int
    tell: Callable[..., object]
    clock: Callable[[], float] = time.monotonic
    _looked: float | None = field(default=None, init=False)
    _stop_by: datetime | None = field(default=None, init=False)

    def __call__(self) -> None:
        """Look, about once a second."""
        now = self.clock()
        if self._looked is not None and now - self._looked < _EVERY_S:
            return
        self._looked = now
        opening = self.gate.opening()
        if opening.may_start:
            self._stop_by = opening.stop_by
        elif self._stop_by is not None and self.gate.now() >= self._stop_by:
            stop_by, self._stop_by = self._stop_by, None
            running = [one for one in read_notes(self.live) if one.session == self.session and one.is_running]
            if running:
                self.tell("window.overrun", variants=len(running), **_facts(stop_by))


def _facts(stop_by: datetime) -> dict[str, Any]:
    return {"closed": stop_by.timestamp(), "end_by": stop_by.timestamp() + GRACE_S}
