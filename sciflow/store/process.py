"""A process, named so that another one can tell whether it is certainly dead."""

from __future__ import annotations

import os
import socket
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROC: Final = Path("/proc")
_START_FIELD = 19  # of /proc/PID/stat after the command: start time in clock ticks since boot
_DEAD_STATES = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class ProcessName:
    """Host, boot and process; a number that the system gave to a later process is told apart by its start.

    Attributes
    ----------
    boot
        The host's boot and the name space of process numbers (containers share the former, not the latter).
    start
        When the process started, in a unit of the system.
    """

    host: str
    pid: int
    boot: str
    start: str

    @classmethod
    def of_this_process(cls) -> Self:
        """The name of the running process."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, _boot(), _start_of(pid) or "")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The name from what `to_dict` gave; other keys are ignored."""
        return cls(data["host"], data["pid"], data["boot"], data["start"])

    def to_dict(self) -> dict[str, Any]:
        """The name as plain data."""
        return {"host": self.host, "pid": self.pid, "boot": self.boot, "start": self.start}

    @property
    def tag(self) -> str:
        """The name as part of a file's name."""
        return f"{self.host}-{self.pid}-{self.start}-{zlib.crc32(self.boot.encode()):08x}"

    def is_certainly_dead(self) -> bool:
        """Whether it ended; False when that cannot be known here, on another host say."""
        if (self.host, self.boot) != (socket.gethostname(), _boot()):
            return False
        return _start_of(self.pid) != self.start

    def is_certainly_alive(self) -> bool:
        """Whether it runs; False when that cannot be known here."""
        return (self.host, self.boot) == (socket.gethostname(), _boot()) and not self.is_certainly_dead()


def is_tag_of_the_dead(tag: str) -> bool:
    """Whether *tag* is of a process on this host that certainly ended; text and a dot may stand before it."""
    host, pid, start, boot = tag.rsplit("-", 3)
    mine = socket.gethostname()
    if not f".{host}".endswith(f".{mine}") or boot != boot_digest():
        return False
    return ProcessName(mine, int(pid), _boot(), start).is_certainly_dead()


@cache
def tag_of(pid: int) -> str:
    """The tag of this process, whose number is *pid*; found out once per process."""
    assert pid == os.getpid()
    return ProcessName.of_this_process().tag


def boot_digest() -> str:
    """Eight hex digits that tell this boot of this host, and its name space of process numbers, from others."""
    return f"{zlib.crc32(_boot().encode()):08x}"


def is_running(pid: int) -> bool:
    """Whether a process of this number runs here, be it the one that had the number before or another."""
    return _start_of(pid) is not None


def _boot() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        import psutil  # noqa: PLC0415  only systems without /proc pay for the import

        return f"{psutil.boot_time():.0f}"


def _start_of(pid: int) -> str | None:
    """When the process started; None when there is none, or only its remains."""
    if (_PROC / "self/stat").exists():
        try:
            # the command, in parentheses, may hold spaces and parentheses itself
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in _DEAD_STATES else fields[_START_FIELD]
    import psutil  # noqa: PLC0415  only systems without /proc pay for the import

    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
