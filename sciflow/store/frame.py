"""A frame: what one commit says of its variants, as bytes that describe and check themselves.

Layout: a prefix of fixed size (magic, version, lengths, checksum of the header, checksum of the prefix);
a header of two JSON lines, first what varies from frame to frame (facts, buffer sizes, checksum of each
column), then what rarely does (the description of each column); the raw buffers in the order of the
columns. Integers and floats are little-endian.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import FormatError
from sciflow.store.atomic import Bytes  # noqa: TC001  a field's type
from sciflow.store.column import ColumnData  # noqa: TC001  a field's type

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FRAME_MAGIC: Final = b"\xf5sciFRM\n"
FRAME_VERSION: Final = 1
PREFIX: Final = struct.Struct("<8sHHIQIII")  # magic, version, 0, header and body bytes, header crc, 0, 0
PREFIX_CRC: Final = struct.Struct("<I")
PREFIX_BYTES: Final = PREFIX.size + PREFIX_CRC.size


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
        if len(set(lengths.values())) != 1:
            raise ValueError(f"the columns of a frame differ in length: {lengths}")

    @property
    def n(self) -> int:
        """The number of variants."""
        return next(iter(self.columns.values())).n

    def render(self) -> list[Bytes]:
        """The frame as buffers to write one after the other."""
        buffers: list[Bytes] = []
        sizes: list[list[int]] = []
        checksums: list[int] = []
        schema: list[dict[str, Any]] = []
        for name, column in self.columns.items():
            checksum = 0
            for buffer in column.buffers:
                checksum = zlib.crc32(buffer, checksum)
            buffers += column.buffers
            sizes.append([_n_bytes(buffer) for buffer in column.buffers])
            checksums.append(checksum)
            schema.append({"name": name, "kind": column.kind, "encoding": column.encoding, **column.description})
        facts = {**self.header, "n": self.n, "sizes": sizes, "checksums": checksums}
        header = f"{_json(facts)}\n{_json(schema)}\n".encode()
        n_body = sum(map(sum, sizes))
        prefix = PREFIX.pack(FRAME_MAGIC, FRAME_VERSION, 0, len(header), n_body, zlib.crc32(header), 0, 0)
        return [prefix + PREFIX_CRC.pack(zlib.crc32(prefix)) + header, *buffers]


@dataclass(frozen=True, slots=True)
class Prefix:
    """How long a frame is, and the checksum of its header."""

    n_header: int
    n_body: int
    header_checksum: int

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
    magic, version, _, n_header, n_body, header_checksum, _, _ = PREFIX.unpack(packed)
    if magic != FRAME_MAGIC or zlib.crc32(packed) != checksum:
        return None
    if version > FRAME_VERSION:
        raise newer_format(path, version, FRAME_VERSION)
    return Prefix(n_header, n_body, header_checksum)


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
