"""A segment: the append-only file of one writer process. It holds a first line for people, then frames.

Version 1 is what workers write. Version 2 is a compacted segment: its first frame says which segments it
replaces, its other frames say in their header which session they are of.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import threading
import uuid
import zlib
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from sys import intern
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, cast

import numpy as np

from sciflow.errors import FormatError
from sciflow.store.atomic import Bytes, sync_data, sync_directory, write_error
from sciflow.store.column import FACT, Category, decode
from sciflow.store.frame import FRAME_MAGIC, PREFIX_BYTES, Prefix, newer_format, parse_prefix
from sciflow.store.process import boot_digest, is_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sciflow.store.frame import Frame

SEGMENT_VERSION, COMPACTED_VERSION = 1, 2
FIRST_LINE: Final = b"sciflow segment %d\n" % SEGMENT_VERSION
COMPACTED_FIRST_LINE: Final = b"sciflow segment %d\n" % COMPACTED_VERSION
REPLACES: Final = "replaces"
"""The fact of a compacted segment's first frame: names of segments, and how many bytes of each it stands for."""

_COMPACTED = "-compacted-"
_ANY_FIRST_LINE = re.compile(rb"sciflow segment (\d{1,9})\n")

_FIRST_BLOCK_BYTES, _BLOCK_BYTES = 64 << 10, 8 << 20  # of one read; it grows while reading goes straight on
_PIECE_BYTES = 1 << 20  # fits the processor's cache
_MAX_BUFFERS = 1024  # IOV_MAX of every system
_SMALL_BYTES = 32 << 10  # joining shorter buffers is cheaper than handing each to the system


# ------------------------------------------------------------------------------------------- write


class SegmentWriter:
    """Appends commits to a segment of its own; after a failure, or a fork, it goes on in a new one.

    Parameters
    ----------
    directory
        The ``segments`` directory of a sweep.
    session
        The number of the session that the writer works for.
    write, sync
        How buffers are written and made durable (``os.writev``, ``os.fdatasync``); for fault tests.
    """

    def __init__(
        self,
        directory: Path,
        session: int,
        *,
        write: Callable[[int, Sequence[Bytes]], int] = os.writev,
        sync: Callable[[int], None] = sync_data,
    ) -> None:
        self._directory, self._session = directory, session
        self._write, self._sync = write, sync
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._pid = 0
        self.path: Path | None = None
        """The segment of the latest commit."""

    def commit(self, frames: Sequence[Frame]) -> None:
        """Append *frames*; when it returns they are on the disk.

        Raises
        ------
        StoreWriteError
            The frames may or may not be there (committing them again is harmless). The segment is
            abandoned: after a failed fsync the system may call lost pages clean.
        """
        buffers = [buffer for frame in frames for buffer in frame.render()]
        if not buffers:
            return
        with self._lock:
            if self._descriptor is not None and self._pid != os.getpid():
                self._abandon()  # a forked child must not write into its parent's file
            try:
                self._append(buffers)
            except OSError as error:
                self._abandon()
                raise write_error(self.path or self._directory, error) from error
            except BaseException:
                self._abandon()
                raise

    def close(self) -> None:
        """Close the segment; a later commit opens a new one."""
        with self._lock:
            self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, buffers: list[Bytes]) -> None:
        if self._descriptor is not None:
            write_buffers(self._descriptor, buffers, self._write)
            self._sync(self._descriptor)
            return
        self.path = self._directory / segment_name(self._session)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor, self._pid = os.open(self.path, flags, 0o644), os.getpid()
        write_buffers(self._descriptor, [FIRST_LINE, *buffers], self._write)
        self._sync(self._descriptor)
        sync_directory(self._directory)

    def _abandon(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def write_buffers(
    descriptor: int, buffers: Iterable[Bytes], write: Callable[[int, Sequence[Bytes]], int] = os.writev
) -> None:
    """Write every byte of the buffers in order, in as few calls as the system makes of it."""
    rest, first = _joined(buffers), 0
    while first < len(rest):
        written = write(descriptor, rest[first : first + _MAX_BUFFERS])
        while first < len(rest) and written >= rest[first].nbytes:
            written -= rest[first].nbytes
            first += 1
        if written:
            rest[first] = rest[first][written:]


def _joined(buffers: Iterable[Bytes]) -> list[memoryview]:
    """The buffers in order, short neighbours joined; long ones are not copied."""
    joined: list[memoryview] = []
    short: list[memoryview] = []
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        if view.nbytes < _SMALL_BYTES:
            short.append(view)
            continue
        if short:
            joined.append(memoryview(b"".join(short)))
            short = []
        joined.append(view)
    if short:
        joined.append(memoryview(b"".join(short)))
    return [view for view in joined if view.nbytes]


# ------------------------------------------------------------------------------------------- names


def segment_name(session: int) -> str:
    """A new name: session, host and process, and a part that tells the host's boot and makes it unique."""
    return f"{session:06d}-{_host()}-{os.getpid()}-{boot_digest()}{uuid.uuid4().hex[:8]}.seg"


def compacted_name(session: int) -> str:
    """A new name for a segment in which *session* puts together others."""
    return f"{session:06d}{_COMPACTED}{uuid.uuid4().hex[:16]}.seg"


def is_compacted(name: str) -> bool:
    """Whether a segment was put together from others."""
    return name[name.find("-") :].startswith(_COMPACTED)


def writer_is_gone(name: str) -> bool:
    """Whether the process that wrote the segment certainly ended; False when that cannot be known here."""
    _, host, pid, rest = (*name.split("-"), "", "", "")[:4]
    return host == _host() and pid.isdecimal() and rest.startswith(boot_digest()) and not is_running(int(pid))


def _host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname(), flags=re.ASCII)


def session_of(name: str) -> int:
    """The session that the segment called *name* belongs to."""
    head = name.partition("-")[0]
    if not head.isdecimal():
        raise FormatError(f"{name} is not the name of a segment; move it out of the sweep directory")
    return int(head)


# -------------------------------------------------------------------------------------------- read


class Reader(Protocol):
    """Gives parts of a file."""

    def read(self, offset: int, n_bytes: int) -> memoryview:
        """*n_bytes* from *offset* on; fewer only at the end of the file."""
        ...


class BlockReader:
    """Reads a file with ``pread`` in big blocks, so that many small frames cost few calls."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._block_bytes = _FIRST_BLOCK_BYTES
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.n_bytes = os.fstat(self._descriptor).st_size
        self._start = 0
        self._block = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self, offset: int, n_bytes: int) -> memoryview:
        """*n_bytes* from *offset* on; fewer only at the end of the file."""
        begin = offset - self._start
        if begin >= 0 and begin + n_bytes <= len(self._block):
            return self._block[begin : begin + n_bytes]
        straight_on = 0 <= begin <= len(self._block)
        self._block_bytes = min(4 * self._block_bytes, _BLOCK_BYTES) if straight_on else _FIRST_BLOCK_BYTES
        if n_bytes >= self._block_bytes:
            return self._fetch(offset, n_bytes)
        self._start, self._block = offset, self._fetch(offset, self._block_bytes)
        return self._block[:n_bytes]

    def checksum(self, offset: int, n_bytes: int) -> int:
        """The checksum of *n_bytes* from *offset* on, which need not fit into memory."""
        piece = memoryview(bytearray(min(n_bytes, _PIECE_BYTES)))
        found = 0
        while n_bytes:
            got = _read_into(self._descriptor, piece[:n_bytes], offset)
            if not got:
                break
            found = zlib.crc32(piece[:got], found)
            offset, n_bytes = offset + got, n_bytes - got
        return found

    def read_into(self, offset: int, target: NDArray[Any]) -> None:
        """Fill a contiguous array with what stands from *offset* on.

        Raises
        ------
        FormatError
            The file is too short.
        """
        rest = bytes_of(target)
        while rest.nbytes:
            got = _read_into(self._descriptor, rest, offset)
            if not got:
                raise FormatError(f"{self.path} was cut short while it was read; restore it from a copy")
            rest, offset = rest[got:], offset + got

    def _fetch(self, offset: int, n_bytes: int) -> memoryview:
        return read_at(self._descriptor, offset, max(0, min(n_bytes, self.n_bytes - offset)))


def bytes_of(array: NDArray[Any]) -> memoryview:
    """The bytes of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _read_into(descriptor: int, target: memoryview, offset: int) -> int:
    """Fill *target* from *offset* on; the number of bytes that came."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [target], offset)
    data = os.pread(descriptor, target.nbytes, offset)  # some systems lack the former
    target[: len(data)] = data
    return len(data)


def read_at(descriptor: int, offset: int, n_bytes: int) -> memoryview:
    """*n_bytes* of a file from *offset* on; fewer only at its end."""
    data = os.pread(descriptor, n_bytes, offset)
    if len(data) == n_bytes:
        return memoryview(data)
    # one call gives at most 2 GiB
    parts, got = [data], len(data)
    while got < n_bytes and parts[-1]:
        parts.append(os.pread(descriptor, n_bytes - got, offset + got))
        got += len(parts[-1])
    return memoryview(b"".join(parts))


@dataclass(frozen=True, slots=True)
class FrameRef:
    """Where a committed frame lies, and its header; columns are read when asked for."""

    path: Path
    offset: int
    n_bytes: int
    session: int
    header: dict[str, Any]
    """The frame's facts, and ``columns``: for each its name, kind, encoding and what that encoding needs."""
    body: int
    """Where the first buffer starts."""

    @property
    def n(self) -> int:
        """The number of variants."""
        return self.header["n"]

    @property
    def n_body(self) -> int:
        """The bytes of its columns."""
        return self.offset + self.n_bytes - self.body

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column["name"] for column in self.header["columns"]]

    def column(self, name: str) -> dict[str, Any] | None:
        """The description of a column, None when the frame has none of this name."""
        return next((column for column in self.header["columns"] if column["name"] == name), None)

    def table(self, names: Iterable[str] | None = None, reader: Reader | None = None) -> dict[str, Any]:
        """The columns called *names* (those that exist; all by default), decoded.

        Raises
        ------
        FormatError
            The bytes of a column changed on the disk.
        """
        if reader is None:
            with BlockReader(self.path) as own:
                return self.table(names, own)
        wanted = self.names if names is None else frozenset(names)
        return {
            column["name"]: decode(column, self.n, self._buffers(column["name"], sizes, offset, reader))
            for column, sizes, offset in self.layout()
            if column["name"] in wanted
        }

    def fact(self, key: str, reader: Reader | None = None) -> list[Any]:
        """What the header says under *key*, for each variant: merged frames may differ in it."""
        name = FACT + key
        if self.column(name) is None:
            return [self.header.get(key)] * self.n
        values = self.table([name], reader)[name]
        return values.values() if isinstance(values, Category) else values.tolist()

    def place_of(self, name: str) -> tuple[dict[str, Any], list[int], int]:
        """The description, buffer sizes and offset in the file of a column that the frame has."""
        return next(place for place in self.layout() if place[0]["name"] == name)

    def read_into(self, name: str, target: NDArray[Any], reader: BlockReader) -> None:
        """Read a ``fixed`` column into an array of its dtype and shape, and check it.

        Raises
        ------
        FormatError
            The bytes of the column changed on the disk.
        """
        _, _, offset = self.place_of(name)
        reader.read_into(offset, target)
        long = self.header.get("long", {})
        if name in long and zlib.crc32(bytes_of(target)) != long[name]:
            raise self._damage(name)

    def raw(self, reader: Reader) -> Iterator[tuple[dict[str, Any], list[memoryview]]]:
        """Each column's description and raw buffers, checked."""
        for column, sizes, offset in self.layout():
            yield column, self._buffers(column["name"], sizes, offset, reader)

    def buffers(self, name: str, reader: Reader) -> list[memoryview]:
        """The raw buffers of a column that the frame has, checked."""
        _, sizes, offset = self.place_of(name)
        return self._buffers(name, sizes, offset, reader)

    def layout(self) -> Iterator[tuple[dict[str, Any], list[int], int]]:
        """Each column's description, buffer sizes, and offset in the file."""
        offset = self.body
        for column, sizes in zip(self.header["columns"], self.header["sizes"], strict=True):
            yield column, sizes, offset
            offset += sum(sizes)

    def is_intact(self, checksum: int, reader: BlockReader, *, with_long: bool) -> bool:
        """Whether the body has this checksum; long columns are looked at only if asked."""
        long: dict[str, int] = self.header.get("long", {})
        if not long:
            return zlib.crc32(reader.read(self.body, self.offset + self.n_bytes - self.body)) == checksum
        found = 0
        for column, sizes, offset in self.layout():
            if column["name"] not in long:
                found = zlib.crc32(reader.read(offset, sum(sizes)), found)
            elif with_long and reader.checksum(offset, sum(sizes)) != long[column["name"]]:
                return False
        return found == checksum

    def check(self, name: str, reader: BlockReader) -> None:
        """Return when a column is as it was written.

        Raises
        ------
        FormatError
            Its bytes changed on the disk.
        """
        long = self.header.get("long", {})
        _, sizes, offset = self.place_of(name)
        if name in long and reader.checksum(offset, sum(sizes)) != long[name]:
            raise self._damage(name)

    def _buffers(self, name: str, sizes: list[int], offset: int, reader: Reader) -> list[memoryview]:
        data = reader.read(offset, sum(sizes))
        long = self.header.get("long")
        if len(data) < sum(sizes) or (long and name in long and zlib.crc32(data) != long[name]):
            raise self._damage(name)
        if len(sizes) == 1:
            return [data]
        ends = list(accumulate(sizes, initial=0))
        return [data[a:b] for a, b in pairwise(ends)]

    def _damage(self, name: str) -> FormatError:
        return FormatError(
            f"{self.path}: column {name!r} of the frame at byte {self.offset} is damaged; "
            "restore the file from a copy, or run those variants again"
        )


@dataclass(frozen=True, slots=True)
class SegmentScan:
    """The frames of one segment up to *end*; bytes after it are a commit that is not, or never, finished."""

    path: Path
    session: int
    frames: tuple[FrameRef, ...]
    problems: tuple[str, ...]
    end: int
    tail: int
    """Bytes after *end* when the segment was scanned."""
    replaces: dict[str, int] = field(default_factory=dict[str, int])
    """For a compacted segment: the segments that it stands for, and how many bytes of each."""


def scan_segment(path: Path, known: SegmentScan | None = None, session: int | None = None) -> SegmentScan:
    """Find and check the frames of the segment at *path*.

    Parameters
    ----------
    known
        An earlier scan of the same file: only what was appended since is read.
    session
        The session that it is of; by default its name says so.

    Raises
    ------
    FormatError
        The segment, or a frame in it, was written by a newer release.
    """
    session = session_of(path.name) if session is None else session
    if known is None:
        known = SegmentScan(path, session, (), (), 0, 0)
    frames, problems, end, replaces = list(known.frames), list(known.problems), known.end, known.replaces
    with BlockReader(path) as reader:
        if end == 0:
            end = _check_first_line(reader, problems)
        while end < reader.n_bytes:
            step = _next_frame(reader, end, session, problems)
            if step is None:
                break
            end, frame = step
            if frame is None:
                continue
            if REPLACES in frame.header:
                replaces = frame.header[REPLACES]
            else:
                frames.append(frame)
        tail = max(0, reader.n_bytes - end)
    return SegmentScan(path, session, tuple(frames), tuple(problems), end, tail, replaces)


def is_gone(error: OSError) -> bool:
    """Whether a file could not be read because it is not there any more."""
    return isinstance(error, FileNotFoundError) or error.errno == errno.ESTALE  # the latter over NFS


def _check_first_line(reader: BlockReader, problems: list[str]) -> int:
    """Where the first frame may start; 0 when the first line is not written yet."""
    first = bytes(reader.read(0, len(FIRST_LINE)))
    if first in {FIRST_LINE, COMPACTED_FIRST_LINE}:
        return len(FIRST_LINE)
    if len(first) < len(FIRST_LINE):
        return reader.n_bytes if first and not FIRST_LINE.startswith(first) else 0
    found = _ANY_FIRST_LINE.match(bytes(reader.read(0, 64)))
    if found and int(found[1]) > COMPACTED_VERSION:
        raise newer_format(reader.path, int(found[1]), COMPACTED_VERSION)
    problems.append(f"{reader.path}: the first line is damaged; its intact frames are used")
    return len(FIRST_LINE)


def _next_frame(
    reader: BlockReader, offset: int, session: int, problems: list[str]
) -> tuple[int, FrameRef | None] | None:
    """The frame at *offset* (None in its place when it is damaged) and where the next may start.

    None when there is nothing more but the torn end of the file.
    """
    prefix = parse_prefix(reader.read(offset, PREFIX_BYTES), reader.path)
    if prefix is None:
        found = _resynchronise(reader, offset + 1)
        if found is None:
            return None
        problems.append(f"{reader.path}: {found - offset} bytes from byte {offset} on are damaged and skipped")
        return found, None
    end = offset + prefix.n_bytes
    if end > reader.n_bytes:
        return None
    last = end == reader.n_bytes
    header = _read_header(reader, offset, prefix)
    if header is not None:
        body = offset + PREFIX_BYTES + prefix.n_header
        frame = FrameRef(reader.path, offset, prefix.n_bytes, header.get("session", session), header, body)
        # a long column is checked when it is loaded; but the last frame may be half written
        if frame.is_intact(prefix.body_checksum, reader, with_long=last):
            return end, frame
    if last:
        return None
    problems.append(f"{reader.path}: the frame of {prefix.n_bytes} bytes at byte {offset} is damaged and skipped")
    return end, None


_schemas: dict[bytes, list[dict[str, Any]]] = {}


def _read_header(reader: BlockReader, offset: int, prefix: Prefix) -> dict[str, Any] | None:
    data = bytes(reader.read(offset + PREFIX_BYTES, prefix.n_header))
    if zlib.crc32(data) != prefix.header_checksum:
        return None
    facts, _, schema = data.partition(b"\n")
    columns = _schemas.get(schema)
    if columns is None:
        if len(_schemas) > 1000:
            _schemas.clear()
        columns = _schemas[schema] = cast("list[dict[str, Any]]", json.loads(schema))
    # most frames say the same: one copy of each text serves all
    header = {intern(key): intern(v) if type(v) is str else v for key, v in json.loads(facts.decode()).items()}
    header["columns"] = columns
    return header


def _resynchronise(reader: BlockReader, offset: int) -> int | None:
    """The next place from *offset* on where an intact prefix stands."""
    overlap = len(FRAME_MAGIC) - 1
    while offset < reader.n_bytes:
        block = bytes(reader.read(offset, min(_BLOCK_BYTES, reader.n_bytes - offset)))
        found = block.find(FRAME_MAGIC)
        while found >= 0:
            if parse_prefix(reader.read(offset + found, PREFIX_BYTES), reader.path) is not None:
                return offset + found
            found = block.find(FRAME_MAGIC, found + 1)
        offset += max(1, len(block) - overlap)
    return None
