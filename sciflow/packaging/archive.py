"""Zip archives whose bytes depend on their contents alone."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from sciflow.errors import PackageError
from sciflow.packaging.layout import TAG_MANIFEST

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

    Raises
    ------
    PackageError
        A file changed between the moment when *complete* was told its digest and the one when it was packed.
    """
    digests: dict[str, str] = {}
    sizes: dict[str, int] = {}
    # a process may not hold as many files open as a sweep may have: each is read twice, and has to be the same
    for member, content in members.items():
        digests[member], sizes[member] = _digest(content)
    everything: dict[str, Content] = {**members, **complete(digests, sizes)}
    ranks = {member: rank for rank, member in enumerate(first)}
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as target:
            with zipfile.ZipFile(target, "w") as archive:
                for member in sorted(everything, key=lambda one: (ranks.get(one, len(ranks)), one)):
                    content = everything[member]
                    if isinstance(content, Path):
                        packed = _copy(archive, member, content, progress, is_stored=stored(member))
                        _check_unchanged(content, digests[member], packed)
                    else:
                        entry = _entry(member, content[:_SAMPLE_BYTES], is_stored=stored(member))
                        archive.writestr(entry, content, compresslevel=_LEVEL)
                        progress(len(content))
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


def _digest(content: Content) -> tuple[str, int]:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest(), len(content)
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def _copy(
    archive: zipfile.ZipFile, member: str, path: Path, progress: Callable[[int], object], *, is_stored: bool
) -> str:
    """Pack a file, and return the digest of what was packed."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
        file.seek(0)
        with archive.open(_entry(member, sample, is_stored=is_stored), "w", force_zip64=True) as target:
            while block := file.read(_BLOCK_BYTES):
                target.write(block)
                digest.update(block)
                progress(len(block))
    return digest.hexdigest()


def _check_unchanged(path: Path, told: str, packed: str) -> None:
    """Raise a PackageError unless what was packed of a file is what the manifest says."""
    if packed != told:
        raise PackageError(
            f"{path} changed while it was packed, and nothing was written; wait until nobody writes to it, and make "
            "the package again"
        )


def _entry(member: str, sample: bytes, *, is_stored: bool) -> zipfile.ZipInfo:
    """The head of a member: nothing in it but its name, and whether it is worth compressing."""
    entry = zipfile.ZipInfo(member, _EPOCH)
    entry.create_system, entry.external_attr = _UNIX, _MODE
    shrinks = not is_stored and len(zlib.compress(sample, _LEVEL)) < 0.9 * len(sample)
    entry.compress_type = zipfile.ZIP_DEFLATED if shrinks else zipfile.ZIP_STORED
    # `ZipFile.open` looks nowhere else for it
    entry._compresslevel = _LEVEL  # type: ignore[attr-defined]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    return entry


def package_id(path: Path) -> str | None:
    """The id of the package in a file; None if there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return hashlib.sha256(archive.read(TAG_MANIFEST)).hexdigest()
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
