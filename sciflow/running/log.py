"""RunLog: what a run said, in a file that cannot grow without bound."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

LOG_BYTES: Final = 1 << 20
"""Size at which the log of a variant is full."""

_FULL = f"the log is full ({LOG_BYTES >> 20} MiB): what follows is not kept\n"


class RunLog:
    """The log of one run: lines appended to the log of its variant; standard error where no logs are kept.

    A log is a hint, never a record: what cannot be written (a full disk) is dropped, and the run goes on.

    Parameters
    ----------
    path : Path or None
        The log of the variant, which its tasks and attempts share.
    label : str
        Starts each line: which task and attempt is speaking.
    """

    def __init__(self, path: Path | None, label: str) -> None:
        self.path = path
        self._label = label

    def line(self, text: str) -> None:
        """Append one entry, with the time."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        self.raw(f"{now} {self._label} {text}\n".encode(errors="replace"))

    def raw(self, data: bytes) -> int:
        """Append bytes as they are; return how many were kept."""
        if self.path is None:
            with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
                sys.stderr.write(data.decode(errors="replace"))
            return len(data)
        with contextlib.suppress(OSError):
            return _append(self.path, data)
        return 0


def _append(path: Path, data: bytes) -> int:
    descriptor = _open(path)
    try:
        room = LOG_BYTES - os.fstat(descriptor).st_size
        if room <= 0:
            return 0
        kept = data if len(data) < room else data[:room] + b"\n" + _FULL.encode()
        os.write(descriptor, kept)  # one call, so that lines of several processes do not mix
        return min(len(data), room)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o644)
