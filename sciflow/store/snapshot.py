"""What is committed in a sweep directory at one moment, found without locks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from sciflow.store.atomic import numbered
from sciflow.store.segment import FrameRef, SegmentScan, scan_segment

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT_SUFFIX: Final = ".seg"
FENCE_SUFFIX: Final = ".fence"
END_SUFFIX: Final = ".end"
SESSION_SUFFIX: Final = ".json"


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


def read_fences(sessions: Path) -> list[Fence]:
    """The fences in the directory *sessions*, in order."""
    return [_read_fence(path) for _, path in numbered(sessions, FENCE_SUFFIX)]


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
    """

    frames: tuple[FrameRef, ...]
    problems: tuple[str, ...]
    scans: dict[str, SegmentScan] = field(default_factory=dict[str, SegmentScan], repr=False)

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
    came before the fence, and a reader that comes after it sees the fence.
    """
    known = earlier.scans if earlier else {}
    scans: dict[str, SegmentScan] = {}
    segments = directory / "segments"
    for path in sorted(segments.glob(f"*{SEGMENT_SUFFIX}")):
        scan = known.get(path.name)
        if scan is None or scan.tail or path.stat().st_size != scan.end:
            try:
                scan = scan_segment(path, scan)
            except FileNotFoundError:
                continue  # moved by hand, or compacted, since it was listed
        scans[path.name] = scan
    sessions = directory / "sessions"
    fences = read_fences(sessions)
    over = {number for number, _ in numbered(sessions, END_SUFFIX)}
    newest = max((number for number, _ in numbered(sessions, SESSION_SUFFIX)), default=0)
    frames: list[FrameRef] = []
    problems: list[str] = []
    for name, scan in sorted(scans.items(), key=lambda item: (item[1].session, item[0])):
        limits = [limit for fence in fences if (limit := fence.limit(scan.session, name)) is not None]
        limit = min(limits, default=None)
        if limit is None:
            frames += scan.frames
        else:
            frames += [frame for frame in scan.frames if frame.offset + frame.n_bytes <= limit]
        problems += scan.problems
        if scan.tail and scan.end and (scan.session in over or scan.session < newest):
            problems.append(
                f"{scan.path}: the last {scan.tail} bytes are a commit that was cut short; it does not count"
            )
    return Snapshot(tuple(frames), tuple(problems), scans)
