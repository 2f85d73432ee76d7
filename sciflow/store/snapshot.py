"""What is committed in a sweep directory at one moment, found without locks."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, cast

from sciflow.errors import StoreError
from sciflow.store.atomic import numbered
from sciflow.store.collector import collector_paused
from sciflow.store.segment import FrameRef, SegmentScan, is_compacted, is_gone, scan_segment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SEGMENT_SUFFIX: Final = ".seg"
FENCE_SUFFIX: Final = ".fence"
END_SUFFIX: Final = ".end"
SESSION_SUFFIX: Final = ".json"
_MOST_LOOKS = 100
_LOOKS_FOR_THE_LOST = 3  # what was there before and is not may have been moved by hand


@dataclass(frozen=True, slots=True)
class Fence:
    """How far the segments of earlier sessions count: what is written later comes from a driver that lost.

    It speaks of sessions from *first* to the one before *session*; fences before it speak of those below.
    """

    session: int
    first: int
    sizes: dict[str, int]

    def limit(self, session: int, name: str) -> int | None:
        """The bytes of the segment that count; None when this fence does not speak of its session."""
        return self.sizes.get(name, 0) if self.first <= session < self.session else None

    def render(self) -> bytes:
        """The fence as the content of its file."""
        return json.dumps({"session": self.session, "first": self.first, "sizes": self.sizes}).encode()


def read_fences(sessions: Path, known: Sequence[Fence] = ()) -> list[Fence]:
    """The fences in the directory *sessions*, in order; those that are *known* are not read again."""
    fences = {fence.session: fence for fence in known}
    return [fences.get(number) or _read_fence(path) for number, path in numbered(sessions, FENCE_SUFFIX)]


def _read_fence(path: Path) -> Fence:
    data = cast("dict[str, Any]", json.loads(path.read_bytes()))
    return Fence(data["session"], data["first"], data["sizes"])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All frames that count, in the order of sessions and, within a segment, of commits.

    Attributes
    ----------
    frames
        One reference per committed frame.
    problems
        One text per damaged place.
    counted
        The frames by the name of their segment; segments that another one replaces are left out.
    """

    frames: tuple[FrameRef, ...]
    problems: tuple[str, ...]
    scans: dict[str, SegmentScan] = field(default_factory=dict[str, SegmentScan], repr=False)
    counted: dict[str, tuple[FrameRef, ...]] = field(default_factory=dict[str, tuple[FrameRef, ...]], repr=False)
    fences: tuple[Fence, ...] = field(default=(), repr=False)

    @property
    def n_bytes(self) -> int:
        """The bytes of all frames."""
        return sum(frame.n_bytes for frame in self.frames)

    @property
    def n_variants(self) -> int:
        """The recorded variants, repeated ones counted each time."""
        return sum(frame.n for frame in self.frames)


def take_snapshot(directory: Path, earlier: Snapshot | None = None) -> Snapshot:
    """Look at the sweep in *directory*; with an *earlier* snapshot, read only what was appended since.

    Segments are read before fences: what a fence rules out was then never counted by a reader that
    came before the fence, and a reader that comes after it sees the fence. Where a compaction takes away
    segments while they are read, all is listed again: what takes their place was there before they went.
    """
    earlier = earlier or Snapshot((), ())
    with collector_paused():
        scans = _scan_all(directory / "segments", earlier.scans)
    sessions = directory / "sessions"
    fences = read_fences(sessions, earlier.fences)
    over = {number for number, _ in numbered(sessions, END_SUFFIX)}
    newest = max((number for number, _ in numbered(sessions, SESSION_SUFFIX)), default=0)
    limits = {name: _limit(fences, scan, name) for name, scan in scans.items()}
    replaced = _replaced(scans, limits)
    counted: dict[str, tuple[FrameRef, ...]] = {}
    problems: list[str] = []
    for name, scan in sorted(scans.items(), key=lambda item: (item[1].session, item[0])):
        if name in replaced:
            continue
        limit = limits[name]
        counted[name] = (
            scan.frames
            if limit is None
            else tuple(frame for frame in scan.frames if frame.offset + frame.n_bytes <= limit)
        )
        problems += scan.problems
        if scan.tail and scan.end and (scan.session in over or scan.session < newest):
            problems.append(
                f"{scan.path}: the last {scan.tail} bytes are a commit that was cut short; it does not count"
            )
    return Snapshot(tuple(chain.from_iterable(counted.values())), tuple(problems), scans, counted, tuple(fences))


def _scan_all(segments: Path, known: Mapping[str, SegmentScan]) -> dict[str, SegmentScan]:
    """The segments as they are at one moment, whatever compactions do meanwhile."""
    for look in range(_MOST_LOOKS):
        names = _names(segments)
        scans = _scan_each(segments, names, known)
        explained = {*scans, *(name for scan in scans.values() for name in scan.replaces)}
        known, missed = {**known, **scans}, known.keys() - explained
        if len(scans) < len(names) or (missed and look < _LOOKS_FOR_THE_LOST):
            continue
        # a listing may miss both what went and what came while it was made
        if not any(is_compacted(name) for name in _names(segments) - names):
            return scans
    raise StoreError(f"{segments} changes faster than it can be read; try again")


def _names(segments: Path) -> set[str]:
    try:
        return {name for name in os.listdir(segments) if name.endswith(SEGMENT_SUFFIX)}  # noqa: PTH208  names only
    except FileNotFoundError:
        return set()


def _scan_each(segments: Path, names: set[str], known: Mapping[str, SegmentScan]) -> dict[str, SegmentScan]:
    """A scan of each segment that is still there; what is known of it is not read again."""
    scans: dict[str, SegmentScan] = {}
    for name in sorted(names):
        scan, path = known.get(name), segments / name
        try:
            if scan is None or scan.tail or path.stat().st_size != scan.end:
                scan = scan_segment(path, scan)
        except OSError as error:
            if not is_gone(error):
                raise
        else:
            scans[name] = scan
    return scans


def _limit(fences: Sequence[Fence], scan: SegmentScan, name: str) -> int | None:
    return min((limit for fence in fences if (limit := fence.limit(scan.session, name)) is not None), default=None)


def _replaced(scans: Mapping[str, SegmentScan], limits: Mapping[str, int | None]) -> set[str]:
    """The segments whose place others take; one that a driver published after it lost the sweep takes none."""
    counting = [
        scan for name, scan in scans.items() if (limit := limits[name]) is None or scan.end + scan.tail <= limit
    ]
    return {name for scan in counting for name in scan.replaces}
