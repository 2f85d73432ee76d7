"""A ledger outside the sweep: what ran, and what was acknowledged, as the processes themselves wrote it down.

Tasks call `ran`; the faults of `notes_of` add a line whenever a commit is synced, and then everything that the same
process ran before is committed. A sweep that lost any of it lost something that it had acknowledged::

    def work(a, b):
        result = compute(a, b)
        ran("ledger", a, b)
        return result
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from sciflow.testing.faults import Fault, Note

if TYPE_CHECKING:
    from pathlib import Path

_STARTED: Final = "started"
_SYNCED: Final = "synced"
_DRIVER_DIES: Final = "driver-dies"
_RAN: Final = "ran"


def ran(file: str | os.PathLike[str], *values: object) -> None:
    """Note that this process ran the variant of these values."""
    _append(file, f"{_RAN} {os.getpid()} {' '.join(map(str, values))}\n")


def driver_dies(file: str | os.PathLike[str]) -> None:
    """Note that the driver is about to be killed: what its workers commit from now on is acknowledged to nobody."""
    _append(file, f"{_DRIVER_DIES} {os.getpid()}\n")


def notes_of(file: Path) -> tuple[Fault, Fault]:
    """The faults, harmless ones, that note in the ledger when processes start and when commits are synced."""
    path = str(file.absolute())
    return (
        Fault(Note(path, _STARTED), at="process.start", times=None),
        Fault(Note(path, _SYNCED), at="segment.sync", when="after", times=None),
    )


class Ledger:
    """Reads a ledger that is written.

    Attributes
    ----------
    runs
        The values of a variant, joined by blanks → how often it ran.
    acknowledged
        Those of the variants that are committed.
    """

    def __init__(self, path: Path) -> None:
        self.runs: Counter[str] = Counter()
        self.acknowledged: set[str] = set()
        self._path, self._offset = path, 0
        self._pending: dict[str, list[str]] = defaultdict(list)
        self._living: set[str] = set()
        self._orphans: set[str] = set()

    def read(self) -> None:
        """Read what was written since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            what, pid, *values = line.split(" ", 2)
            self._take(what, pid, values[0] if values else "")

    def _take(self, what: str, pid: str, values: str) -> None:
        match what:
            case "started":  # a process of this number may have died before
                self._pending.pop(pid, None)
                self._orphans.discard(pid)
                self._living.add(pid)
            case "ran":
                self.runs[values] += 1
                self._pending[pid].append(values)
            case "synced" if pid not in self._orphans:
                self.acknowledged.update(self._pending.pop(pid, ()))
            case "driver-dies":
                self._orphans |= self._living
                self._living.clear()
            case _:
                pass

    @property
    def n_repeated(self) -> int:
        """Runs beyond the first of each variant."""
        return self.runs.total() - len(self.runs)


def _append(file: str | os.PathLike[str], line: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, line.encode())  # one call, so that lines of several processes do not mix
    finally:
        os.close(descriptor)
