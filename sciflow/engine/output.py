"""What tasks print in a worker process goes to a file of that process, which does not grow without end."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES: Final = 10 << 20
"""A log longer than this is cut: its last part stays."""

_KEPT_BYTES = 1 << 20
_CUT = b"(what was printed before is gone: a log keeps 1 of each 10 MiB)\n"


def capture_output(folder: Path, worker: str) -> str:
    """Send standard output and error of this process to ``worker-<host>-<pid>.log`` in *folder*; give its name.

    The terminal of a sweep with thousands of variants is no place for what each of them prints.
    """
    name = f"worker-{re.sub(r'[^A-Za-z0-9_.]', '-', worker)}.log"
    with contextlib.suppress(OSError):  # without a log what is printed goes where it went before
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
            os.dup2(descriptor, number)
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)
        os.close(descriptor)
    return f"{folder.name}/{name}"


def cut_output() -> None:
    """Keep the last part of the log if it is too long."""
    with contextlib.suppress(OSError):
        n_bytes = os.fstat(1).st_size
        if n_bytes > MOST_BYTES:
            last = os.pread(1, _KEPT_BYTES, n_bytes - _KEPT_BYTES)
            os.ftruncate(1, 0)
            os.write(1, _CUT + last)


def remove_empty(folder: Path) -> None:
    """Remove the logs of workers that printed nothing."""
    for path in folder.glob("worker-*.log"):
        with contextlib.suppress(OSError):
            if path.stat().st_size == 0:
                path.unlink()
