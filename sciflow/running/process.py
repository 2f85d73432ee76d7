"""One command as a process group of its own: what it prints is kept within bounds, and it never outlives its run."""

from __future__ import annotations

import atexit
import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

from sciflow.running import guardian

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sciflow.running.log import RunLog

LOGGED_BYTES: Final = 256 << 10
"""How much of what one command prints is logged as it comes; of what follows the end is logged."""

_TAIL_BYTES: Final = 16 << 10
_GRACE_S: Final = 1.0  # for what a command left behind to finish printing, or to end when it is told to
# waits until the guardian knows of the group, so that there is no moment in which nobody would end it
_LAUNCH: Final = 'read -r _sciflow_go || exit 1; _sciflow_in=$1; shift; exec "$@" < "$_sciflow_in"'


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended.

    Parameters
    ----------
    status : exit status; -n when signal n killed it
    stdout : what it printed on standard output, up to the bound that was asked for
    is_whole : whether that is all of it
    last_words : the last lines of standard error, or of standard output when there are none
    """

    status: int
    stdout: bytes
    is_whole: bool
    last_words: str


def run_process(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    stdin: Path | None,
    log: RunLog | None,
    keep_bytes: int,
) -> Finished:
    """Run a command to its end, or to ours: its whole process group ends with this call, however that ends.

    Raises
    ------
    OSError
        It cannot be started.
    """
    with subprocess.Popen(  # noqa: S603  the user's own command
        ["/bin/sh", "-c", _LAUNCH, "sh", str(stdin or os.devnull), *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            _GUARD.watch(process.pid)
            _let_go(process)
            seen = _listen(process, _Logged(log), keep_bytes)
            process.wait()
        except BaseException:
            _signal(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
            raise
        finally:
            _signal(process.pid, signal.SIGKILL)  # what it left running in the background too
            process.wait()
            _GUARD.release(process.pid)
    out, err = seen
    words = bytes(err.tail) if err.tail.strip() else bytes(out.tail)
    return Finished(process.returncode, bytes(out.kept), out.is_whole, _last_lines(words))


def _let_go(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as gate:
        gate.write(b"\n")


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(group, number)


def _last_lines(data: bytes, n: int = 20) -> str:
    return "\n".join(data.decode(errors="replace").strip().splitlines()[-n:])


# ------------------------------------------------------------------------------------------------ listening


@dataclass(slots=True)
class _Stream:
    """What came through one pipe: its beginning, up to a bound, and its end."""

    keep_bytes: int
    kept: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    is_whole: bool = True

    def take(self, data: bytes) -> None:
        room = self.keep_bytes - len(self.kept)
        self.kept += data[:room]
        self.is_whole &= len(data) <= room
        self.tail += data
        del self.tail[:-_TAIL_BYTES]


class _Logged:
    """Both pipes as they came, into the log: the beginning at once, of the rest the end."""

    def __init__(self, log: RunLog | None) -> None:
        self._log = log
        self._room = LOGGED_BYTES
        self._tail = bytearray()
        self._n_left_out = 0
        self._is_at_line_start = True

    def take(self, data: bytes) -> None:
        if self._log is None:
            return
        now, later = data[: self._room], data[self._room :]
        if now:
            self._room -= len(now)
            self._log.raw(now)
            self._is_at_line_start = now.endswith(b"\n")
        self._tail += later
        self._n_left_out += max(len(self._tail) - _TAIL_BYTES, 0)
        del self._tail[:-_TAIL_BYTES]

    def close(self) -> None:
        if self._log is None:
            return
        end = b"" if self._is_at_line_start else b"\n"
        if self._tail:
            note = f"[{self._n_left_out:,} bytes left out]\n" if self._n_left_out else ""
            end += note.encode() + self._tail + (b"" if self._tail.endswith(b"\n") else b"\n")
        if end:
            self._log.raw(end)


def _listen(process: subprocess.Popen[bytes], logged: _Logged, keep_bytes: int) -> tuple[_Stream, _Stream]:
    """Read both pipes until they end; what a command left behind may hold them open, and is not waited for."""
    assert process.stdout is not None
    assert process.stderr is not None
    streams = _Stream(keep_bytes), _Stream(0)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, streams[0])
        selector.register(process.stderr, selectors.EVENT_READ, streams[1])
        until: float | None = None
        while selector.get_map() and (until is None or time.monotonic() < until):
            for key, _ in selector.select(timeout=_GRACE_S / 4):
                _read(selector, key, logged)
            if until is None and process.poll() is not None:
                until = time.monotonic() + _GRACE_S
    logged.close()
    return streams


def _read(selector: selectors.BaseSelector, key: selectors.SelectorKey, logged: _Logged) -> None:
    pipe: IO[bytes] = key.fileobj  # pyright: ignore[reportAssignmentType]  # the pipes that were registered
    data = os.read(pipe.fileno(), 1 << 16)
    if not data:
        selector.unregister(pipe)
        return
    key.data.take(data)
    logged.take(data)


# ----------------------------------------------------------------------------------------- the guardian's client


class _Guard:
    """Tells the guardian of this process, started with the first command, which process groups run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._guardian: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    def watch(self, group: int) -> None:
        """End this group when this process is gone."""
        with self._lock:
            if self._owner != os.getpid():  # the first command here, also after a fork
                self._groups.clear()
                self._start()
            self._groups.add(group)
            self._say(f"+{group}\n")

    def release(self, group: int) -> None:
        """Forget a group that has ended."""
        with self._lock:
            self._groups.discard(group)
            if self._owner == os.getpid():
                self._say(f"-{group}\n")

    def _say(self, line: str) -> None:
        assert self._guardian is not None
        assert self._guardian.stdin is not None
        try:
            os.write(self._guardian.stdin.fileno(), line.encode())
        except BrokenPipeError:  # somebody ended the guardian: another takes over
            self._guardian.wait()
            self._start()

    def _start(self) -> None:
        self._guardian = subprocess.Popen(  # noqa: S603  our own file
            [sys.executable, "-I", "-S", guardian.__file__, str(os.getpid())],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends our group must not end it
        )
        if self._owner != os.getpid():
            self._owner = os.getpid()
            atexit.register(self._close)
        assert self._guardian.stdin is not None
        os.write(self._guardian.stdin.fileno(), b"".join(b"+%d\n" % group for group in self._groups))

    def _close(self) -> None:
        if self._guardian is not None and self._owner == os.getpid():
            assert self._guardian.stdin is not None
            self._guardian.stdin.close()
            self._guardian.wait()


_GUARD: Final = _Guard()
