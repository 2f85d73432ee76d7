"""A frame: what one commit says of its variants, as bytes that describe and check themselves.

Layout: a prefix of fixed size (magic, version, lengths, checksums of header, body and prefix); a header of
two JSON lines, first what varies from frame to frame (facts, buffer sizes), then what rarely does (the
description of each column); the body, which is the raw buffers in the order of the columns. A long column
has a checksum of its own, under ``long`` in the header, and is not part of the body's: it can be checked
when it is loaded. Integers and floats are little-endian; checksums are CRC-32. A compacted segment begins with
a frame without columns whose header says under ``replaces`` which segments it stands for.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import FormatError
from sciflow.store.atomic import Bytes  # noqa: TC001  a field's type
from sciflow.store.column import ColumnData, pieces_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FRAME_MAGIC: Final = b"\xf5sciFRM\n"
FRAME_VERSION: Final = 1
PREFIX: Final = struct.Struct("<8sHHIQIII")  # magic, version, 0, header and body bytes, header and body crc, 0
PREFIX_CRC: Final = struct.Struct("<I")
PREFIX_BYTES: Final = PREFIX.size + PREFIX_CRC.size
LONG_BYTES: Final = 4 << 20
_LONG_ARRAYS_BYTES = 64 << 10  # arrays are read when they are asked for, so opening a sweep need not check them


@dataclass(frozen=True, slots=True)
class Frame:
    """Facts that hold for all variants of a commit, and one column per parameter, output and fact.

    Raises
    ------
    ValueError
        The columns are not of one length.
    """

    header: Mapping[str, Any]
    columns: Mapping[str, ColumnData]

    def __post_init__(self) -> None:
        lengths = {name: column.n for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a frame differ in length: {lengths}")

    @property
    def n(self) -> int:
        """The number of variants."""
        return next((column.n for column in self.columns.values()), 0)

    def render(self) -> list[Bytes]:
        """The frame as buffers to write one after the other."""
        buffers: list[Bytes] = []
        sizes: list[list[int]] = []
        schema: list[dict[str, Any]] = []
        long: dict[str, int] = {}
        body_checksum = 0
        for name, column in self.columns.items():
            pieces = [piece for buffer in column.buffers for piece in pieces_of(buffer)]
            mine = [sum(map(_n_bytes, pieces_of(buffer))) for buffer in column.buffers]
            if sum(mine) > (_LONG_ARRAYS_BYTES if column.holds_arrays else LONG_BYTES):
                long[name] = _checksum(pieces, 0)
            else:
                body_checksum = _checksum(pieces, body_checksum)
            buffers += pieces
            sizes.append(mine)
            schema.append({"name": name, "kind": column.kind, "encoding": column.encoding, **column.description})
        facts = {**self.header, "n": self.n, "sizes": sizes, **({"long": long} if long else {})}
        header = f"{_json(facts)}\n{_json(schema)}\n".encode()
        n_body = sum(map(sum, sizes))
        prefix = PREFIX.pack(FRAME_MAGIC, FRAME_VERSION, 0, len(header), n_body, zlib.crc32(header), body_checksum, 0)
        return [prefix + PREFIX_CRC.pack(zlib.crc32(prefix)) + header, *buffers]


@dataclass(frozen=True, slots=True)
class Prefix:
    """How long a frame is, and the checksums of its header and body."""

    n_header: int
    n_body: int
    header_checksum: int
    body_checksum: int

    @property
    def n_bytes(self) -> int:
        """The length of the whole frame."""
        return PREFIX_BYTES + self.n_header + self.n_body


def parse_prefix(data: Bytes, path: Path) -> Prefix | None:
    """The prefix of a frame that starts with *data*, or None when these bytes are no prefix.

    Raises
    ------
    FormatError
        The frame is intact and was written by a newer release.
    """
    if len(data) < PREFIX_BYTES:
        return None
    packed = data[: PREFIX.size]
    (checksum,) = PREFIX_CRC.unpack(data[PREFIX.size : PREFIX_BYTES])
    magic, version, _, n_header, n_body, header_checksum, body_checksum, _ = PREFIX.unpack(packed)
    if magic != FRAME_MAGIC or zlib.crc32(packed) != checksum:
        return None
    if version > FRAME_VERSION:
        raise newer_format(path, version, FRAME_VERSION)
    return Prefix(n_header, n_body, header_checksum, body_checksum)


def newer_format(path: Path, version: int, known: int) -> FormatError:
    """The error for a file that a newer release wrote."""
    return FormatError(
        f"{path} has format {version}, this release of sciflow reads up to format {known}; "
        "upgrade sciflow to open this sweep"
    )


def _json(data: object) -> str:
    return json.dumps(data, separators=(",", ":"))


def _n_bytes(buffer: Bytes) -> int:
    return buffer.nbytes if isinstance(buffer, memoryview) else len(buffer)


def _checksum(buffers: Iterable[Bytes], checksum: int) -> int:
    for buffer in buffers:
        checksum = zlib.crc32(buffer, checksum)
    return checksum
