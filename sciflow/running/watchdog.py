"""Watchdog: ends this worker process when a task exceeds its time or memory, after what is finished is committed.

A run that will not end cannot be stopped from within its process, so the process goes; whoever supervises it starts
another. Where the interpreter itself is stuck (a C function that holds the GIL), the supervisor ends the process by the
deadline in its live note.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil

from sciflow.running.live import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.running.calls import Call, Slots
    from sciflow.running.live import Live
    from sciflow.workflow.binding import Step
    from sciflow.workflow.resources import Resources

EXIT_STATUS = 70
"""Exit status of a worker that ended itself."""

_LOOK_S = 0.05
_SLOWEST_LOOK_S = 1.0
_CHILDREN_S = 1.0  # how often to look for child processes: that goes through all processes of the machine


class Watchdog:
    """Watches the running task of this process.

    Parameters
    ----------
    resources : what tasks may use
    live : the note of this process
    on_end : called with the reason, ``timeout`` or ``out_of_memory``, before the process ends
    end : ends the process
    """

    def __init__(
        self,
        resources: Mapping[str, Resources],
        live: Live,
        on_end: Callable[[str], None],
        *,
        end: Callable[[int], Any] = os._exit,
    ) -> None:
        self._resources, self._live, self._on_end, self._end = resources, live, on_end, end
        self._lock = threading.Lock()
        self._deadline, self._most_bytes = math.inf, math.inf  # of the running task; the deadline is monotonic
        self._thread: threading.Thread | None = None
        self._memory = _Memory()
        self._look_s = _SLOWEST_LOOK_S
        self.memory = 1.0
        """How many times the memory of its limit a task may use now, in a job that has so much more."""
        self.has_limits = False
        """Whether some task has a limit."""

    def limited(self, k: int, step: Step, call: Call) -> Call:
        """The call of a task with its limits kept, if it has any."""
        resources = self._resources.get(step.task.name)
        timeout_s = step.timeout_s
        most_bytes = resources.memory_bytes if resources is not None else None
        if timeout_s is None and most_bytes is None:
            return call
        self.has_limits = True
        wanted_s = _LOOK_S if most_bytes is not None or timeout_s is None else max(timeout_s / 20, _LOOK_S)
        self._look_s = min(self._look_s, wanted_s)

        def limited(slots: Slots) -> Any:
            self._begin(k, timeout_s, most_bytes)
            try:
                return call(slots)
            finally:
                self._over()

        return limited

    def _begin(self, k: int, timeout_s: float | None, most_bytes: int | None) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="sciflow-watchdog", daemon=True)
            self._thread.start()
        self._live.task(k, math.inf if timeout_s is None else time.time() + timeout_s)
        with self._lock:
            self._deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
            self._most_bytes = math.inf if most_bytes is None else most_bytes * self.memory

    def _over(self) -> None:
        with self._lock:  # held for good by a watchdog that is ending the process
            self._deadline = self._most_bytes = math.inf
        self._live.task(NOBODY)

    def _watch(self) -> None:
        while True:
            time.sleep(self._look_s)
            with self._lock:
                reason = self._exceeded()
                if reason:
                    self._live.ending(reason)
                    try:
                        self._on_end(reason)
                    finally:
                        self._end(EXIT_STATUS)

    def _exceeded(self) -> str:
        if time.monotonic() >= self._deadline:
            return "timeout"
        if self._most_bytes < math.inf:
            used = self._memory.used_bytes()
            self._live.memory(used)
            if used > self._most_bytes:
                return "out_of_memory"
        return ""


class _Memory:
    """Physical memory of this process and its children."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._children: list[psutil.Process] = []
        self._next_look = 0.0

    def used_bytes(self) -> int:
        """What they use now."""
        if time.monotonic() >= self._next_look:
            with contextlib.suppress(psutil.Error):
                self._children = self._process.children(recursive=True)
            self._next_look = time.monotonic() + _CHILDREN_S
        used = self._process.memory_info().rss
        for child in self._children:
            with contextlib.suppress(psutil.Error):
                used += child.memory_info().rss
        return used
