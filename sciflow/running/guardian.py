"""The guardian: a small process that ends the commands of a worker when the worker is gone, whatever ended it.

It runs beside the worker as a program of its own (this file, which therefore imports little) and is told on its
standard input which process groups run. No signal handler can do this: SIGKILL cannot be handled, and what the system
offers for it (PR_SET_PDEATHSIG) reaches the command but not what the command started.
"""

from __future__ import annotations

import os
import select
import signal
import sys

POLL_S = 1.0
"""How often it looks for its parent, should a fork of the worker hold the pipe open."""


def main(parent: int) -> None:
    """Read ``+group`` and ``-group``, one on a line, until the worker is gone; then kill what is left."""
    groups: set[int] = set()
    rest = b""
    while True:
        readable, _, _ = select.select([0], [], [], POLL_S)
        if readable:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                (groups.add if line.startswith(b"+") else groups.discard)(int(line[1:]))
        elif os.getppid() != parent:
            break
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            continue


if __name__ == "__main__":
    main(int(sys.argv[1]))
