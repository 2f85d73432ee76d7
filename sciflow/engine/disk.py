"""The disk under a folder: what kind it is, how much room there is, and how long a commit takes."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})
_N_COMMITS: Final = 10
_COMMIT_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Disk:
    """What is under a folder.

    Attributes
    ----------
    kind
        The type of its file system, such as ``nfs4`` or ``lustre``; empty when nobody says.
    free_bytes
        Room for this user.
    n_free_files
        Files (inodes) that can still be made; None where the file system knows no such limit.
    """

    kind: str
    free_bytes: int
    n_free_files: int | None


def look_at_disk(folder: Path) -> Disk:
    """The disk under a folder that exists."""
    room = os.statvfs(folder)
    mounts = ((Path(one.mountpoint), one.fstype) for one in psutil.disk_partitions(all=True))
    return Disk(
        kind=kind_of(folder.resolve(), mounts),
        free_bytes=room.f_bavail * room.f_frsize,
        n_free_files=room.f_favail if room.f_files else None,
    )


def kind_of(folder: Path, mounts: Iterable[tuple[Path, str]]) -> str:
    """The file system that is mounted nearest above a folder; of two at one place the later one."""
    above = [(len(p.parts), number, kind) for number, (p, kind) in enumerate(mounts) if folder.is_relative_to(p)]
    return max(above, default=(0, 0, ""))[-1]


def time_commits(folder: Path) -> tuple[float, float]:
    """Median and longest time that a small file takes until it is on the disk, in seconds."""
    took: list[float] = []
    for number in range(_N_COMMITS):
        begun = time.perf_counter()
        write_through(folder / f"commit-{number}", b"\0" * _COMMIT_BYTES)
        took.append(time.perf_counter() - begun)
    return statistics.median(took), max(took)


def write_through(path: Path, content: bytes) -> None:
    """Write a file, and return when it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
