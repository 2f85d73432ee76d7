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
    from collections.abc import Callable, Mapping, Sequence

Content: TypeAlias = bytes | Path
"""What a member holds: bytes, or a file to copy."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name
_MODE: Final = 0o100644 << 16  # a plain file that everybody may read
_UNIX: Final = 3
_SAMPLE_BYTES: Final = 64 << 10
_BLOCK_BYTES: Final = 1 << 20
_LEVEL: Final = 1  # ten times as fast as 6, for a tenth more


def write_archive(
    path: Path,
    members: Mapping[str, Content],
    complete: Callable[[Mapping[str, str], Mapping[str, int]], Mapping[str, bytes]],
    *,
    first: Sequence[str] = (),
    stored: Callable[[str], bool] = lambda _: False,
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Write a zip to *path*, in one step: a reader sees the old file or the new one.

    Members are sorted by name and bear no times; the same contents give the same bytes (of one zlib).

    Parameters
    ----------
    complete
        Gives further members from the SHA-256 and the size of each of *members*.
    first
        Names of members that stand before all others, in this order.
    stored
        Which members are not compressed, so that they can be read in any order inside the zip.
    progress
        Called with the numbers of bytes that were packed.
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
            sizes = {member: len(content) for member, content in small.items()}
            for member, file in files.items():
                digests[member] = hashlib.file_digest(file, "sha256").hexdigest()
                sizes[member] = file.tell()
            small |= complete(digests, sizes)
            ranks = {member: rank for rank, member in enumerate(first)}
            with os.fdopen(descriptor, "wb") as target:
                with zipfile.ZipFile(target, "w") as archive:
                    for member in sorted([*small, *files], key=lambda one: (ranks.get(one, len(ranks)), one)):
                        if member in files:
                            _copy(archive, member, files[member], progress, is_stored=stored(member))
                        else:
                            entry = _entry(member, small[member][:_SAMPLE_BYTES], is_stored=stored(member))
                            archive.writestr(entry, small[member], compresslevel=_LEVEL)
                            progress(len(small[member]))
                target.flush()
                os.fsync(target.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)  # noqa: PTH105  as everywhere where names are exchanged
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def manifest_of(digests: Mapping[str, str]) -> bytes:
    """The lines that ``sha256sum -c`` and BagIt read, which writes line ends in names as RFC 8493 says."""
    return "".join(f"{digests[name]}  {_in_manifest(name)}\n" for name in sorted(digests)).encode()


def _in_manifest(name: str) -> str:
    return name.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")


def _copy(
    archive: zipfile.ZipFile, member: str, file: BinaryIO, progress: Callable[[int], object], *, is_stored: bool
) -> None:
    file.seek(0)
    sample = file.read(_SAMPLE_BYTES)
    file.seek(0)
    with archive.open(_entry(member, sample, is_stored=is_stored), "w", force_zip64=True) as target:
        while block := file.read(_BLOCK_BYTES):
            target.write(block)
            progress(len(block))


def _entry(member: str, sample: bytes, *, is_stored: bool) -> zipfile.ZipInfo:
    """The head of a member: nothing in it but its name, and whether it is worth compressing."""
    entry = zipfile.ZipInfo(member, _EPOCH)
    entry.create_system, entry.external_attr = _UNIX, _MODE
    shrinks = not is_stored and len(zlib.compress(sample, _LEVEL)) < 0.9 * len(sample)
    entry.compress_type = zipfile.ZIP_DEFLATED if shrinks else zipfile.ZIP_STORED
    # `ZipFile.open` looks nowhere else for it
    entry._compresslevel = _LEVEL  # type: ignore[attr-defined]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    return entry
