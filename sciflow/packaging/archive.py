"""Zip archives whose bytes depend on their contents alone."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Content: TypeAlias = bytes | Path
"""What a member holds: bytes, or a file to copy."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name
_MODE: Final = 0o100644 << 16  # a plain file that everybody may read
_UNIX: Final = 3
_SAMPLE_BYTES: Final = 64 << 10
_BLOCK_BYTES: Final = 1 << 20


def write_archive(
    path: Path, members: Mapping[str, Content], complete: Callable[[Mapping[str, str]], Mapping[str, bytes]]
) -> None:
    """Write a zip to *path*, in one step: a reader sees the old file or the new one.

    Members are sorted by name and bear no times; the same contents give the same bytes (of one zlib).

    Parameters
    ----------
    complete
        Gives further members from the SHA-256 of each of *members*.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with ExitStack() as stack:
            # opened once: what is hashed is what is packed, also if somebody replaces the file meanwhile
            files = {
                member: stack.enter_context(content.open("rb"))
                for member, content in members.items()
                if isinstance(content, Path)
            }
            small = {member: content for member, content in members.items() if isinstance(content, bytes)}
            digests = {member: hashlib.sha256(content).hexdigest() for member, content in small.items()}
            for member, file in files.items():
                digests[member] = hashlib.file_digest(file, "sha256").hexdigest()
            small |= complete(digests)
            with os.fdopen(descriptor, "wb") as target:
                with zipfile.ZipFile(target, "w") as archive:
                    for member in sorted([*small, *files]):
                        if member in files:
                            _copy(archive, member, files[member])
                        else:
                            archive.writestr(_entry(member, small[member][:_SAMPLE_BYTES]), small[member])
                target.flush()
                os.fsync(target.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)  # noqa: PTH105  as everywhere where names are exchanged
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def manifest_of(digests: Mapping[str, str]) -> bytes:
    """The lines that ``sha256sum -c`` reads."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def _copy(archive: zipfile.ZipFile, member: str, file: BinaryIO) -> None:
    file.seek(0)
    sample = file.read(_SAMPLE_BYTES)
    file.seek(0)
    with archive.open(_entry(member, sample), "w", force_zip64=True) as target:
        while block := file.read(_BLOCK_BYTES):
            target.write(block)


def _entry(member: str, sample: bytes) -> zipfile.ZipInfo:
    """The head of a member: nothing in it but its name, and whether it is worth compressing."""
    entry = zipfile.ZipInfo(member, _EPOCH)
    entry.create_system, entry.external_attr = _UNIX, _MODE
    shrinks = len(zlib.compress(sample, 1)) < 0.9 * len(sample)
    entry.compress_type = zipfile.ZIP_DEFLATED if shrinks else zipfile.ZIP_STORED
    return entry
