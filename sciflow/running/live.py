"""Live notes: what each worker process is doing right now, readable by others, also after it died.

A note is a small file that one process writes through shared memory, so that writing costs nanoseconds and survives
the process's own death. It is a hint, never a record: what counts is committed.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import re
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_MAGIC: Final = int.from_bytes(b"sciLIVE1", "little")
_BYTES: Final = 1024
_HOST_AT: Final = 128
_PLACE_AT: Final = 256
_LAYOUT: Final = struct.Struct("<8q8d")

# places of whole numbers
_PID, _SESSION, _BATCH, _ROW, _STEP, _ATTEMPT, _REASON = range(1, 8)
# places of floats
_STARTED, _DEADLINE, _PROGRESS, _BUSY_S, _RSS, _FINISHED, _SAID_FROM = range(8, 15)

NOBODY: Final = -1
"""No row, or no step: nothing of the user's runs."""

REASONS: Final = ("", "timeout", "out_of_memory", "recycled", "window")
"""Why a worker ended itself."""


_PLACE: Final = ("worker", "session", "job", "node", "environment", "log")


def place_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Of the facts of a process those that say where its runs take place."""
    return {key: facts[key] for key in _PLACE if key in facts}


@dataclass(frozen=True, slots=True)
class Note:
    """What a worker process said last.

    Parameters
    ----------
    host, pid : the process
    session : the driver's session that it works for
    batch : number of its batch; 0 before the first
    row : row of the variant that runs, -1 when none does or it is too short to be noted
    step : place of its task among the steps of the definition, -1 when none runs
    attempt : which try of the variant this is
    started : when the variant started, in Unix seconds
    deadline : when the task is to be over, in Unix seconds; infinite without a limit
    progress : fraction that the task said it has done; NaN when it said nothing
    busy_s : seconds spent on variants so far
    rss_bytes : memory of the process when it last looked
    n_finished : variants finished by this process
    reason : why it ended itself; empty if it did not
    path : the file
    said_from : where in the log of the process begins what the running variant has said
    place : what its records say of the process: job, node, environment, log and more
    """

    host: str
    pid: int
    session: int
    batch: int
    row: int
    step: int
    attempt: int
    started: float
    deadline: float
    progress: float
    busy_s: float
    rss_bytes: int
    n_finished: int
    reason: str
    path: Path
    said_from: int = 0
    place: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_running(self) -> bool:
        """Whether a variant was running when the note was read."""
        return self.row != NOBODY


class Live:
    """The note of this process; cheap enough to write before every variant.

    Parameters
    ----------
    folder : where notes are kept; None keeps the note to this process
    session : the driver's session
    """

    def __init__(self, folder: Path | None, session: int = 0) -> None:
        self.path: Path | None = None
        self._memory: mmap.mmap | bytearray = bytearray(_BYTES)
        host = socket.gethostname()
        if folder is not None:
            plain = re.sub(r"[^\w.]", "_", host, flags=re.ASCII)
            with contextlib.suppress(OSError):  # a hint only: without it a dead worker's batch is searched instead
                self._memory = self._open(folder / f"{session:06d}-{plain}-{os.getpid()}")
        view = memoryview(self._memory)
        self.whole: memoryview[int] = view[:_HOST_AT].cast("q")
        self.real: memoryview[float] = view[:_HOST_AT].cast("d")
        self._text = view[_PLACE_AT:]
        self.whole[_PID], self.whole[_SESSION] = os.getpid(), session
        self.whole[_ROW] = self.whole[_STEP] = NOBODY
        self.real[_DEADLINE], self.real[_PROGRESS] = math.inf, math.nan
        name_bytes = host.encode()[: _PLACE_AT - _HOST_AT - 1]
        view[_HOST_AT : _HOST_AT + len(name_bytes)] = name_bytes
        self.whole[0] = _MAGIC

    def _open(self, path: Path) -> mmap.mmap:
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(descriptor, bytes(_BYTES), 0)  # the block must be there: a full disk would kill us later
            memory = mmap.mmap(descriptor, _BYTES)
        finally:
            os.close(descriptor)
        self.path = path
        return memory

    def place(self, facts: Mapping[str, Any]) -> None:
        """Say where the runs of this process take place, as JSON data; what is too long is not said."""
        data = json.dumps(dict(facts)).encode()
        if len(data) < len(self._text):
            self._text[: len(data) + 1] = data + b"\0"

    def batch(self, number: int, attempt: int) -> None:
        """Say which batch begins."""
        self.whole[_BATCH], self.whole[_ATTEMPT] = number, attempt
        self.whole[_ROW] = self.whole[_STEP] = NOBODY

    def variant(self, row: int) -> None:
        """Say which variant begins now."""
        self.whole[_ROW], self.whole[_STEP] = row, NOBODY
        self.real[_STARTED], self.real[_PROGRESS] = time.time(), math.nan

    def task(self, step: int, deadline: float = math.inf) -> None:
        """Say which task begins now, and until when (Unix seconds) it may run."""
        self.whole[_STEP] = step
        self.real[_DEADLINE] = deadline

    def idle(self, n_finished: int, busy_s: float) -> None:
        """Say that no variant runs."""
        self.whole[_ROW] = self.whole[_STEP] = NOBODY
        self.real[_DEADLINE] = math.inf
        self.real[_FINISHED] += n_finished
        self.real[_BUSY_S] += busy_s

    def progress(self, fraction: float) -> None:
        """Keep the fraction of the running task that is done."""
        self.real[_PROGRESS] = fraction

    def said_from(self, offset: int) -> None:
        """Keep where in the log of this process begins what is said from now on."""
        self.real[_SAID_FROM] = offset

    def memory(self, rss_bytes: int) -> None:
        """Keep the memory that the process has now."""
        self.real[_RSS] = rss_bytes

    def ending(self, reason: str) -> None:
        """Say why this process is about to end itself."""
        self.whole[_REASON] = REASONS.index(reason)

    @property
    def deadline(self) -> float:
        """When the running task is to be over (Unix seconds)."""
        return self.real[_DEADLINE]

    @property
    def started(self) -> float:
        """When the running variant began (Unix seconds)."""
        return self.real[_STARTED]

    @property
    def row(self) -> int:
        """Row of the running variant."""
        return self.whole[_ROW]

    @property
    def step(self) -> int:
        """Place of the running task."""
        return self.whole[_STEP]

    def close(self) -> None:
        """Take the note away: this process ended as it should."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_notes(folder: Path) -> list[Note]:
    """The notes in *folder* (``live/`` of a sweep directory), of living and of dead processes; never raises OSError."""
    return list(_notes(folder))


def _notes(folder: Path) -> Iterator[Note]:
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        with contextlib.suppress(OSError):
            note = _parse(path, path.read_bytes())
            if note is not None:
                yield note


def _parse(path: Path, data: bytes) -> Note | None:
    if len(data) < _BYTES or int.from_bytes(data[:8], "little") != _MAGIC:
        return None
    numbers: tuple[Any, ...] = _LAYOUT.unpack_from(data)
    return Note(
        host=data[_HOST_AT:_PLACE_AT].partition(b"\0")[0].decode(errors="replace"),
        pid=numbers[_PID],
        session=numbers[_SESSION],
        batch=numbers[_BATCH],
        row=numbers[_ROW],
        step=numbers[_STEP],
        attempt=numbers[_ATTEMPT],
        started=numbers[_STARTED],
        deadline=numbers[_DEADLINE],
        progress=numbers[_PROGRESS],
        busy_s=numbers[_BUSY_S],
        rss_bytes=int(numbers[_RSS]),
        n_finished=int(numbers[_FINISHED]),
        reason=REASONS[numbers[_REASON]] if 0 <= numbers[_REASON] < len(REASONS) else "",
        path=path,
        said_from=int(numbers[_SAID_FROM]),
        place=_place_in(data[_PLACE_AT:].partition(b"\0")[0]),
    )


def _place_in(data: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):  # nothing yet, or it is just being written
        return json.loads(data)
    return {}
