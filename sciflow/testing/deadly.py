"""Death at a chosen system call: every file operation of a process is counted, and one of them is its last."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTED: Final = ("write", "writev", "fdatasync", "fsync", "link", "replace", "open", "mkdir", "unlink")


class DeadlyCalls:
    """Replaces functions of `os` in this process, before the modules that use them are imported.

    Nothing happens until `arm`. Then the k-th counted call kills the process: before it does anything or,
    when *torn*, after half of the bytes of a write.
    """

    def __init__(self) -> None:
        self._left = -1
        self._torn = False
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in COUNTED}
        for name in COUNTED:
            setattr(os, name, self._deadly(name))

    def arm(self, k: int, *, torn: bool) -> None:
        """Die at the *k*-th call from now on, counted from 0."""
        self._left, self._torn = k, torn

    def disarm(self) -> int:
        """Live on; returns how many calls were left."""
        left, self._left = self._left, -1
        return left

    def _deadly(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self._left == 0:
                if self._torn and name in {"write", "writev"}:
                    data = arguments[1] if name == "write" else b"".join(arguments[1])
                    self._real["write"](arguments[0], memoryview(data)[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            if self._left > 0:
                self._left -= 1
            return self._real[name](*arguments, **options)

        return call
