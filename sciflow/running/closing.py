"""Closing: ends this worker process when a variant still runs some time after the closing of its window.

Tasks that ask `TaskContext.should_stop` have saved their state and gone by then. Of the others nothing is kept, but
what the policy promised to the other users of the machine holds.
"""

from __future__ import annotations

import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from sciflow.running.watchdog import EXIT_STATUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sciflow.running.live import Live

GRACE_S: Final = 30.0
"""So long after the closing, spill included, a variant may still run; SLURM is as patient with its jobs."""

_LOOK_S = 1.0


class Closing:
    """Watches the clock while a batch runs.

    Parameters
    ----------
    live : the note of this process, which says why it ended
    end : ends the process
    clock : Unix seconds
    """

    def __init__(
        self, live: Live, *, end: Callable[[int], Any] = os._exit, clock: Callable[[], float] = time.time
    ) -> None:
        self._live, self._end, self._clock = live, end, clock
        self._lock = threading.Lock()
        self._ends_at = math.inf
        self._thread: threading.Thread | None = None

    def begin(self, stop_at: float | None) -> None:
        """A batch begins, in which running work must have stopped at *stop_at* (Unix seconds; None is never)."""
        if stop_at is None:
            return
        with self._lock:
            self._ends_at = stop_at + GRACE_S
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="sciflow-closing", daemon=True)
            self._thread.start()

    def over(self) -> None:
        """The batch is over."""
        with self._lock:  # held for good by a thread that is ending the process
            self._ends_at = math.inf

    def look(self) -> None:
        """End the process if it is time."""
        with self._lock:
            if self._clock() >= self._ends_at:
                self._live.ending("window")
                self._end(EXIT_STATUS)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            self.look()
