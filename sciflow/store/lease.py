"""One driver at a time: a session owns the sweep until it ends, dies, or falls silent.

The owner is the highest session without an end whose heartbeat moves. Taking over is creating the next
number with a hard link: exactly one contender can, and nobody removes a lock that may have changed hands.
A heartbeat is judged by the watcher's own clock over the lease that its owner promised, so the clocks of
hosts need not agree.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self, cast

from sciflow.errors import LeaseLostError, StoreWriteError, SweepBusyError
from sciflow.store.atomic import numbered, publish, replace
from sciflow.store.process import ProcessName
from sciflow.store.segment import session_of
from sciflow.store.snapshot import END_SUFFIX, FENCE_SUFFIX, SEGMENT_SUFFIX, SESSION_SUFFIX, Fence, read_fences

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sciflow.store.directory import SweepDirectory

HEARTBEAT_SUFFIX: Final = ".heartbeat"
_LOOKS_PER_LEASE = 50
_LONGEST_PAUSE_S = 0.25


class Session:
    """The right to drive a sweep, held by this process; get one with `acquire`.

    Attributes
    ----------
    number
        The fencing number: a session of a higher number has taken over.
    directory
        The sweep directory.
    """

    def __init__(self, directory: SweepDirectory, number: int, heartbeat_s: float) -> None:
        self.directory, self.number = directory, number
        self._heartbeat_s = heartbeat_s
        self._beats = 0
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._keep_beating, name=f"session-{number}", daemon=True)

    @classmethod
    def acquire(
        cls,
        directory: SweepDirectory,
        *,
        heartbeat_s: float = 1.0,
        lease_s: float = 10.0,
        facts: Mapping[str, Any] | None = None,
    ) -> Self:
        """Own the sweep, or say who does.

        A predecessor that ended, or died on this host, is succeeded at once; one on another host, or one
        that hangs, after its lease has passed without a heartbeat.

        Parameters
        ----------
        heartbeat_s
            Seconds between heartbeats.
        lease_s
            Seconds of silence after which others may take over.
        facts
            Further plain data to keep in the session's file.

        Raises
        ------
        SweepBusyError
            Another driver is alive.
        StoreWriteError
            The session's files cannot be written.
        """
        files = directory.session_files
        while True:
            newest = check_free(directory)
            claim = {
                **(facts or {}),
                **ProcessName.of_this_process().to_dict(),
                "session": newest + 1,
                "since": _now(),
                "heartbeat_s": heartbeat_s,
                "lease_s": lease_s,
            }
            if publish(_file(files, newest + 1, SESSION_SUFFIX), json.dumps(claim, indent=1).encode()):
                break
        session = cls(directory, newest + 1, heartbeat_s)
        try:
            session._beat()
            session._fence()
        except BaseException:
            with contextlib.suppress(StoreWriteError):
                session._mark_end({})
            raise
        session._heart.start()
        return session

    @property
    def lost(self) -> bool:
        """Whether another session has taken over."""
        return newest_session(self.directory.session_files) > self.number

    def check(self) -> None:
        """Return when the sweep is still ours.

        Raises
        ------
        LeaseLostError
            Another driver took over.
        """
        if self.lost:
            self._over.set()
            raise LeaseLostError(
                f"another driver took over {self.directory.path} while this one (session {self.number}) was away; "
                "this one stops, what it committed before stays"
            )

    def end(self, facts: Mapping[str, Any] | None = None) -> None:
        """Give the sweep back; the next driver need not wait. Nothing happens when it was lost or given back."""
        if self._over.is_set():
            return
        self._over.set()
        self._heart.join()
        if not self.lost:
            self._mark_end(facts or {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _mark_end(self, facts: Mapping[str, Any]) -> None:
        content = json.dumps({**facts, "ended": _now()}, indent=1).encode()
        publish(_file(self.directory.session_files, self.number, END_SUFFIX), content)

    def _keep_beating(self) -> None:
        while not self._over.wait(self._heartbeat_s):
            with contextlib.suppress(OSError):  # a full disk, or a server that is away: the next beat may get through
                if self.lost:
                    return
                self._beat()

    def _beat(self) -> None:
        self._beats += 1
        path = _file(self.directory.session_files, self.number, HEARTBEAT_SUFFIX)
        try:
            replace(path, b"%d\n" % self._beats, durable=False)
        except StoreWriteError:
            if self._beats == 1:
                raise
            os.utime(path)  # a full disk still takes a new time stamp

    def _fence(self) -> None:
        """Say how far the segments of earlier sessions count, now that nobody works for them."""
        if self.number == 1:
            return
        files = self.directory.session_files
        first = max((fence.session for fence in read_fences(files)), default=1)
        sizes = self._sizes(first)
        while True:
            fence = Fence(self.number, first, sizes)
            path = _file(files, self.number, FENCE_SUFFIX)
            # what a predecessor's worker appends while the fence is made still counts, so that no count shrinks
            sizes = self._sizes(first)
            if sizes == fence.sizes:
                publish(path, fence.render())
                return

    def _sizes(self, first: int) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for path in sorted(self.directory.segments.glob(f"*{SEGMENT_SUFFIX}")):
            if first <= session_of(path.name) < self.number:
                try:
                    # open asks a network file system for the size now; stat may give a remembered one
                    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue  # a predecessor's compaction put it into another one, which is listed next time
                sizes[path.name] = os.fstat(descriptor).st_size
                os.close(descriptor)
        return sizes


def newest_session(files: Path) -> int:
    """The highest number of a session in the directory *files*, 0 when there is none."""
    return max((number for number, _ in numbered(files, SESSION_SUFFIX)), default=0)


def check_free(directory: SweepDirectory) -> int:
    """Give the number of the newest session, whose driver is gone; a silent one is watched for its lease.

    Raises
    ------
    SweepBusyError
        Its driver is alive.
    """
    files = directory.session_files
    while True:
        newest = newest_session(files)
        owner = _owner(files, newest)
        if owner is None or _is_gone(files, newest, owner):
            return newest
        if newest_session(files) == newest:  # else somebody else took over: see whether that one lives
            raise SweepBusyError(str(directory.path), owner["host"], owner["pid"], owner["since"])


def owner_of(directory: SweepDirectory) -> dict[str, Any] | None:
    """What the newest session says of its driver, None when it ended well; it may be dead all the same."""
    return _owner(directory.session_files, newest_session(directory.session_files))


def _owner(files: Path, newest: int) -> dict[str, Any] | None:
    if newest == 0 or _file(files, newest, END_SUFFIX).exists():
        return None
    return cast("dict[str, Any]", json.loads(_file(files, newest, SESSION_SUFFIX).read_bytes()))


def _is_gone(files: Path, number: int, owner: Mapping[str, Any]) -> bool:
    """Watch the owner for at most its lease: False at the first sign of life."""
    process = ProcessName.from_dict(owner)
    lease_s: float = owner["lease_s"]
    first = _heartbeat(files, number)
    silent_until = time.monotonic() + lease_s
    while time.monotonic() < silent_until:
        if process.is_certainly_dead() or _file(files, number, END_SUFFIX).exists():
            return True
        if _heartbeat(files, number) != first or newest_session(files) != number:
            return False
        time.sleep(min(lease_s / _LOOKS_PER_LEASE, _LONGEST_PAUSE_S))
    return True


def _heartbeat(files: Path, number: int) -> tuple[bytes, int] | None:
    """Something that changes with every heartbeat."""
    path = _file(files, number, HEARTBEAT_SUFFIX)
    try:
        return path.read_bytes(), path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        # over NFS: replaced while it was read
        return b"", time.monotonic_ns()


def _file(files: Path, number: int, suffix: str) -> Path:
    return files / f"{number:06d}{suffix}"


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
