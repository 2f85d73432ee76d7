"""WorkerProcess: what must be looked after in a process that runs other people's functions."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.workflow.resources import Resources

_BLOATED = 0.5  # of the memory that a task may use, held while nothing runs


class WorkerProcess:
    """A process that runs tasks: its directory, its memory, and whether a task has forked it off another.

    Parameters
    ----------
    resources : what tasks may use
    own : whether the process does nothing else, so that its directory is ours to restore
    """

    def __init__(self, resources: Mapping[str, Resources], *, own: bool = True) -> None:
        self.odd: list[str] = []
        """Words for what must be put right after each variant; empty as a rule, so that looking costs nothing."""
        limits = [one.memory_bytes for one in resources.values() if one.memory_bytes is not None]
        self._most_bytes = min(limits, default=None)
        self._own, self._pid = own, os.getpid()
        self._home = Path.cwd()
        self._process = psutil.Process()
        self.is_bloated = False
        """Whether the process holds so much memory at rest that it had better be replaced."""
        if own:
            sys.addaudithook(self._hear)

    @classmethod
    def shared(cls) -> Self:
        """The process of the user, of which nothing is touched."""
        return cls({}, own=False)

    def _hear(self, event: str, _: tuple[Any, ...]) -> None:
        if event == "os.chdir" and "moved" not in self.odd:
            self.odd.append("moved")

    def go_home(self) -> None:
        """Return to the directory in which every variant starts."""
        with contextlib.suppress(OSError):
            os.chdir(self._home)
        self.odd.remove("moved")

    def leave_if_forked(self) -> None:
        """End a copy of the worker that a task forked off and that returned from the task: it must commit nothing."""
        if self._own and os.getpid() != self._pid:
            os._exit(0)

    def rest(self) -> None:
        """Look at the memory that is held between two batches: a task that leaks must not cost later variants."""
        if self._own and self._most_bytes is not None:
            self.is_bloated = self._process.memory_info().rss > _BLOATED * self._most_bytes
