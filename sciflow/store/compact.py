"""Compaction: many small segments of past writers as few large ones, while others read and write.

``python -m sciflow.store.compact SWEEPDIR --session N`` does it in a process of its own.

A compacted segment appears whole under its own name, with a first frame that says which segments it replaces; a
reader that sees it ignores those, and one that listed before it and misses one of them lists again. Segments
are removed only after what replaces them was read back and compared. Whoever dies on the way leaves files that do
not count, or that count and are replaced, and the next compaction removes them. Only the owner of the sweep
compacts, and only what nobody writes any more; of a driver that lost the sweep, a fence tells whether its compacted
segment counts, which makes no difference to what is recorded.

Bounds. After a compaction there are at most

- 20 + n_bytes / 64 MiB segments, besides those with damage and those whose writer may be alive;
- 16 + 2 * n frames in each, where n is 2 * (n_bytes / 4 MiB + n_variants / 65,536), and one more for each combination
  of session, status, attempt, generation, revision, environment, cause, and schema of the columns that occurs.

Between compactions there may be `MANY_SEGMENTS` or `MANY_FRAMES` more before `is_worthwhile` asks for the next.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections import OrderedDict
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Self

from sciflow import interpreter
from sciflow.errors import FormatError, LeaseLostError, SciflowError, StoreError
from sciflow.store.atomic import is_temporary, publish, sync_directory, temporary_name, write_error
from sciflow.store.collector import collector_paused
from sciflow.store.column import ROW
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import PREFIX_BYTES, Frame, parse_prefix
from sciflow.store.lease import HEARTBEAT_SUFFIX, newest_session
from sciflow.store.merge import Loaded, holds, merge, plan_merges
from sciflow.store.process import is_tag_of_the_dead, tag_of
from sciflow.store.segment import (
    COMPACTED_FIRST_LINE,
    REPLACES,
    BlockReader,
    compacted_name,
    is_compacted,
    read_at,
    scan_segment,
    write_buffers,
    writer_is_gone,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from sciflow.store.segment import FrameRef, SegmentScan
    from sciflow.store.snapshot import Snapshot

FULL_BYTES: Final = 64 << 20
"""A segment of this size, whose frames are large, is not touched again."""

MANY_SEGMENTS: Final = 64
MANY_FRAMES: Final = 4096
"""So many segments, or frames, less make a compaction worth its while."""

_MOST_BYTES = 4 * FULL_BYTES  # put together at a time; as much is needed on the disk meanwhile
_SLACK_FRAMES = 16
_MOST_FILES = 64  # open at a time
_LOCK = ".compaction-"
_STALE_S = 24 * 3600.0  # no file is written under a temporary name for so long


@dataclass(frozen=True, slots=True)
class ClosedSegment:
    """A segment that nobody writes any more.

    Attributes
    ----------
    n_frames
        The frames in it that count.
    n_merged
        How many these would be if they were merged.
    """

    name: str
    n_bytes: int
    n_frames: int
    n_merged: int

    @property
    def is_fragmented(self) -> bool:
        """Whether it has many more frames than it needs."""
        return self.n_frames > 2 * self.n_merged + _SLACK_FRAMES


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a compaction did.

    Attributes
    ----------
    n_segments, n_frames, n_bytes
        Taken in; and ``_after`` that, what stands for them now.
    n_removed
        Files that earlier writers and compactions left behind: temporary ones, and segments that do not count.
    """

    n_segments: int = 0
    n_segments_after: int = 0
    n_frames: int = 0
    n_frames_after: int = 0
    n_bytes: int = 0
    n_bytes_after: int = 0
    n_removed: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


# ------------------------------------------------------------------------------------------ decide


def closed_segments(snapshot: Snapshot, session: int) -> list[ClosedSegment]:
    """The segments that *session*, the owner of the sweep, may compact: their writers lost the sweep or are dead.

    A segment with damage stays as it is, for somebody may have an intact copy.
    """
    return [
        ClosedSegment(name, scan.end + scan.tail, len(frames), len(plan_merges(frames)))
        for name, frames in snapshot.counted.items()
        if _is_closed(scan := snapshot.scans[name], session) and not scan.problems and not _hides_damage(scan)
    ]


def choose(closed: Iterable[ClosedSegment]) -> tuple[str, ...]:
    """The segments to put into one, by name; none if there is nothing to gain.

    Of those below `FULL_BYTES`, by size, as many as possible such that none is more than twice as large as all
    smaller ones together: so each is written anew only when what it is put together with is of its own size, and
    of those left each is more than twice as large as all smaller ones.
    """
    small = sorted(
        (one for one in closed if one.is_fragmented or one.n_bytes < FULL_BYTES),
        key=lambda one: (one.n_bytes, one.name),
    )
    below = list(accumulate((one.n_bytes for one in small), initial=0))
    n = max((k for k, one in enumerate(small, 1) if one.n_bytes <= 2 * below[k - 1]), default=0)
    chosen = small[:n] + [one for one in small[n:] if one.is_fragmented]
    # the smallest first, and no more than the disk may have room for
    fitting = [
        one
        for one, total in zip(chosen, accumulate(one.n_bytes for one in chosen), strict=True)
        if total <= _MOST_BYTES
    ]
    chosen = fitting if len(fitting) > 1 else chosen[:2]
    if len(chosen) > 1 or any(one.is_fragmented for one in chosen):
        return tuple(one.name for one in chosen)
    return ()


def is_worthwhile(closed: Sequence[ClosedSegment]) -> bool:
    """Whether a compaction saves enough files or frames to be done now."""
    chosen = frozenset(choose(closed))
    members = [one for one in closed if one.name in chosen]
    saved_frames = sum(one.n_frames - one.n_merged for one in members)
    return len(members) > MANY_SEGMENTS or saved_frames > MANY_FRAMES


def _is_closed(scan: SegmentScan, session: int) -> bool:
    return scan.session < session or is_compacted(scan.path.name) or writer_is_gone(scan.path.name)


def _hides_damage(scan: SegmentScan) -> bool:
    """Whether the end that does not count is a whole commit that was changed, not one that was cut short."""
    if not scan.tail or not scan.end:
        return False
    with BlockReader(scan.path) as reader:
        prefix = parse_prefix(reader.read(scan.end, PREFIX_BYTES), scan.path)
        return prefix is not None and scan.end + prefix.n_bytes <= reader.n_bytes


# --------------------------------------------------------------------------------------------- act


def compact(
    directory: SweepDirectory, session: int, snapshot: Snapshot | None = None, *, when_worthwhile: bool = False
) -> CompactionReport:
    """Put closed segments together as long as there is something to gain, and remove what is left over.

    Call it for the session that owns the sweep, once at a time; while it runs others read and write.

    Parameters
    ----------
    session
        The number of the session that owns the sweep.
    snapshot
        An earlier look at the sweep, which saves reading it again.
    when_worthwhile
        Only remove what is left over unless `is_worthwhile`.

    Raises
    ------
    LeaseLostError
        Another driver took over; what is recorded is the same as before.
    StoreWriteError
        The disk is full, say; what is recorded is the same as before.
    StoreError
        What was written is not what was read; nothing was removed.
    """
    with _alone(directory, session) as alone, collector_paused():
        if not alone:
            return CompactionReport()
        snapshot = directory.snapshot(snapshot)
        report = CompactionReport(n_removed=_remove_leftovers(directory, session, snapshot))
        damaged: set[str] = set()
        while True:
            snapshot = directory.snapshot(snapshot)
            closed = [one for one in closed_segments(snapshot, session) if one.name not in damaged]
            chosen = choose(closed)
            if not chosen or (when_worthwhile and not report.n_segments and not is_worthwhile(closed)):
                return report
            try:
                report += _Compaction(directory, session, snapshot, chosen).run()
            except _DamagedError as error:
                damaged.add(error.name)


class _DamagedError(Exception):
    """A column that is checked when it is read is damaged; its segment is left as it is."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _Compaction:
    """Puts some closed segments into one."""

    def __init__(self, directory: SweepDirectory, session: int, snapshot: Snapshot, chosen: Sequence[str]) -> None:
        self._directory, self._session, self._chosen = directory, session, chosen
        self._scans = snapshot.scans
        self._frames = [frame for name in chosen for frame in snapshot.counted[name]]
        self._name = compacted_name(session)
        self._temporary = directory.segments / temporary_name(self._name)
        self._problem = f"the compacted {self._temporary} does not say what the segments say; nothing was removed"

    def run(self) -> CompactionReport:
        segments = self._directory.segments
        try:
            with _Files() as files:
                planned = plan_merges(self._frames, files.first_row)
                n_bytes = self._write(planned, files)
            _check_owner(self._directory, self._session)
            os.replace(self._temporary, segments / self._name)  # noqa: PTH105  os.* calls are what fault tests count
            sync_directory(segments)
            _check_owner(self._directory, self._session)
            for name in self._replaced:
                _unlink(segments / name)
            sync_directory(segments)
        except OSError as error:
            raise write_error(self._temporary, error) from error
        finally:
            _unlink(self._temporary)
        return CompactionReport(
            n_segments=len(self._chosen),
            n_segments_after=1,
            n_frames=len(self._frames),
            n_frames_after=len(planned),
            n_bytes=sum(self._replaced[name] for name in self._chosen),
            n_bytes_after=n_bytes,
        )

    @property
    def _replaced(self) -> dict[str, int]:
        """The chosen segments and what they in turn replace, as far as it is still there."""
        older = [old for name in self._chosen for old in self._scans[name].replaces if old in self._scans]
        return {name: self._scans[name].end + self._scans[name].tail for name in (*self._chosen, *older)}

    def _write(self, planned: Sequence[tuple[FrameRef, ...]], files: _Files) -> int:
        """Write the new segment; read each frame back and compare it with those that it stands for."""
        descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            write_buffers(descriptor, [COMPACTED_FIRST_LINE, *Frame({REPLACES: self._replaced}, {}).render()])
            scan = scan_segment(self._temporary, session=self._session)
            for frames in planned:
                members = [files.load(frame) for frame in frames]
                write_buffers(descriptor, merge(members).render())
                scan = scan_segment(self._temporary, scan, session=self._session)
                if scan.tail or scan.problems or not holds(files.load(scan.frames[-1]), members):
                    raise StoreError(self._problem)
            os.fsync(descriptor)
            n_bytes = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        scan = scan_segment(self._temporary, session=self._session)
        if scan.replaces != self._replaced or len(scan.frames) != len(planned) or not _is_intact(scan):
            raise StoreError(self._problem)
        return n_bytes


class _Files:
    """Reads frames of many segments in any order, with few files open at a time."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def load(self, frame: FrameRef) -> Loaded:
        """The frame with all its columns."""
        try:
            return Loaded.read(frame, self._body(frame))
        except FormatError as error:
            raise _DamagedError(frame.path.name) from error

    def first_row(self, frame: FrameRef) -> int:
        """Where in the space the frame begins."""
        if "rows" in frame.header:
            return frame.header["rows"][0]
        return int(frame.table([ROW], self._body(frame))[ROW].min())

    def _body(self, frame: FrameRef) -> _Body:
        descriptor = self._open.pop(frame.path, None)
        if descriptor is None:
            if len(self._open) >= _MOST_FILES:
                os.close(self._open.popitem(last=False)[1])
            descriptor = os.open(frame.path, os.O_RDONLY | os.O_CLOEXEC)
        self._open[frame.path] = descriptor
        return _Body(read_at(descriptor, frame.body, frame.offset + frame.n_bytes - frame.body), frame.body)


@dataclass(frozen=True, slots=True)
class _Body:
    """The part of a file from *start* on, in memory."""

    data: memoryview
    start: int

    def read(self, offset: int, n_bytes: int) -> memoryview:
        return self.data[offset - self.start : offset - self.start + n_bytes]


def _check_owner(directory: SweepDirectory, session: int) -> None:
    if newest_session(directory.session_files) > session:
        raise LeaseLostError(
            f"another driver took over {directory.path} while session {session} compacted it; "
            "nothing was lost and nothing counts twice"
        )


@contextlib.contextmanager
def _alone(directory: SweepDirectory, session: int) -> Generator[bool]:
    """Whether no other compaction of this session runs; two would put the same records into two segments."""
    lock = directory.segments / f"{_LOCK}{session:06d}"
    mine = tag_of(os.getpid()).encode()
    taken = publish(lock, mine)
    if not taken and is_tag_of_the_dead(lock.read_bytes().decode()):
        _unlink(lock)
        taken = publish(lock, mine)
    try:
        yield taken
    finally:
        if taken:
            _unlink(lock)


# ---------------------------------------------------------------------------------- what is left over


def _remove_leftovers(directory: SweepDirectory, session: int, snapshot: Snapshot) -> int:
    """Remove what does not count: files that nobody finishes any more, and segments that others replace."""
    _check_owner(directory, session)
    folders = (directory.path, *(directory.path / name for name in ("definition", "environment", "sessions")))
    stale = [path for folder in (*folders, directory.segments) for path in _unfinished(folder, directory, session)]
    useless = [path for path in _useless(snapshot, session) if _unlink(path)]
    n_removed = sum(map(_unlink, stale)) + len(useless)
    if useless:
        sync_directory(directory.segments)
    return n_removed


def _unfinished(folder: Path, directory: SweepDirectory, session: int) -> Iterator[Path]:
    """Temporary files whose process is dead, or that are older than any that is still written."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):  # noqa: PTH208  names only, no Path objects
            path = folder / name
            if name.startswith(_LOCK):
                if name != f"{_LOCK}{session:06d}":
                    yield path
            elif is_temporary(name) and (_is_of_the_dead(name) or _is_stale(path, directory, session)):
                yield path


def _is_of_the_dead(name: str) -> bool:
    stem = name.removesuffix(".tmp")
    for tag in (stem, stem.rpartition(".")[0]):  # some end in a random part
        with contextlib.suppress(ValueError):
            if is_tag_of_the_dead(tag):
                return True
    return False


def _is_stale(path: Path, directory: SweepDirectory, session: int) -> bool:
    """Whether the file is old by the clock of the file system, which also dates our heartbeat."""
    beat = directory.session_files / f"{session:06d}{HEARTBEAT_SUFFIX}"
    try:
        return beat.stat().st_mtime - path.stat().st_mtime > _STALE_S
    except FileNotFoundError:
        return False


def _useless(snapshot: Snapshot, session: int) -> Iterator[Path]:
    """Closed segments in which nothing counts, and those that an intact one replaces."""
    for name, scan in snapshot.scans.items():
        if not _is_closed(scan, session) or scan.problems or _hides_damage(scan):
            continue
        frames = snapshot.counted.get(name)
        if frames is None:
            if any(_is_intact(other) for other in snapshot.scans.values() if name in other.replaces):
                yield scan.path
        elif not frames:
            yield scan.path


def _is_intact(scan: SegmentScan) -> bool:
    """Whether every byte of a segment is as it was written, those that are checked late too."""
    try:
        with BlockReader(scan.path) as reader:
            for frame in scan.frames:
                for _ in frame.raw(reader):
                    pass
    except (FormatError, OSError):
        return False
    return not scan.problems and not scan.tail


def _unlink(path: Path) -> bool:
    """Remove a file; False when it is not there."""
    try:
        os.unlink(path)  # noqa: PTH108  os.* calls are what fault tests count
    except FileNotFoundError:
        return False
    return True


# ----------------------------------------------------------------------------------------- process


def compact_in_child(
    directory: SweepDirectory, session: int, *, when_worthwhile: bool = False, timeout_s: float | None = None
) -> CompactionReport:
    """Like `compact`, in a process of its own, so that the driver neither waits for it nor grows.

    Raises
    ------
    StoreError
        It did not succeed, or took too long; what is recorded is the same as before.
    """
    options = ["--session", str(session), *(["--when-worthwhile"] if when_worthwhile else [])]
    try:
        done = subprocess.run(  # noqa: S603  our own module, no shell
            interpreter.command("sciflow.store.compact", str(directory.path), *options),
            env=interpreter.environment(),
            start_new_session=True,  # Ctrl-C is the driver's to handle
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"compacting {directory.path} took more than {timeout_s} s and was stopped") from error
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise StoreError(words[-1] if words else f"compacting {directory.path} ended with status {done.returncode}")
    return CompactionReport(**json.loads(done.stdout))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: print the report as JSON; the exit status is 0, or 1."""
    parser = argparse.ArgumentParser(
        prog="python -m sciflow.store.compact", description="Put small segments of a sweep together."
    )
    parser.add_argument("directory", help="the sweep directory")
    parser.add_argument("--session", type=int, required=True, help="the number of the session that owns the sweep")
    parser.add_argument("--when-worthwhile", action="store_true", help="only when it saves many files or frames")
    given = parser.parse_args(arguments)
    try:
        directory = SweepDirectory.open(given.directory)
        report = compact(directory, given.session, when_worthwhile=given.when_worthwhile)
    except SciflowError as error:
        print(error, file=sys.stderr)  # noqa: T201  the parent reads it
        return 1
    print(json.dumps(asdict(report)))  # noqa: T201  the parent reads it
    return 0


if __name__ == "__main__":
    sys.exit(main())
