"""The processes of a running sweep, to be killed and stopped from outside at any instant.

A local sweep is a driver with children: workers, first plain ones, later Dask's (whose nannies live in the driver),
and now and then a process that consolidates or compacts.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psutil

from sciflow.testing.steps import role_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_END_S = 30.0


def processes_of(driver: int) -> dict[str, list[psutil.Process]]:
    """The living processes of the sweep that process *driver* drives, by their role (see `role_of`)."""
    found: dict[str, list[psutil.Process]] = {}
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(driver)
        for process in [top, *top.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                found.setdefault("driver" if process == top else role_of(process.cmdline()), []).append(process)
    return found


def all_of(driver: int) -> list[psutil.Process]:
    """The driver and everything that it started."""
    return [process for processes in processes_of(driver).values() for process in processes]


def kill(processes: Iterable[psutil.Process]) -> int:
    """SIGKILL; returns how many were still there."""
    n = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
            n += 1
    return n


def stop(processes: Iterable[psutil.Process]) -> None:
    """SIGSTOP: they hang, as a machine does whose memory is swapped out or whose file system is away."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.suspend()


def go_on(processes: Iterable[psutil.Process]) -> None:
    """SIGCONT: those that were stopped go on."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.resume()


def await_end(processes: Iterable[psutil.Process]) -> bool:
    """Wait until all have ended; False when some live on for half a minute."""
    return not psutil.wait_procs(list(processes), timeout=_END_S)[1]
