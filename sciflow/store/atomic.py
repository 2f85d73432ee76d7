"""Files that appear whole or not at all, whoever dies while writing them."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from typing import TYPE_CHECKING, TypeAlias

from sciflow.errors import StoreWriteError
from sciflow.store.process import tag_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Bytes: TypeAlias = bytes | bytearray | memoryview

# what file systems without hard links answer to link()
NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES})
# macOS has no fdatasync
sync_data = getattr(os, "fdatasync", os.fsync)


def write_error(path: Path, error: OSError) -> StoreWriteError:
    """The error for a failed write at *path*, with the system's words and what to do."""
    reason = error.strerror or str(error)
    return StoreWriteError(
        f"cannot write {path}: {reason} ({errno.errorcode.get(error.errno or 0, 'unknown error')}); "
        "what was committed before is safe; free or mount space there and run the sweep again to carry on"
    )


def write_all(descriptor: int, data: Bytes) -> None:
    """Write every byte of *data*, however many calls the system makes of it."""
    rest = memoryview(data)
    while rest.nbytes:
        rest = rest[os.write(descriptor, rest) :]


def sync_directory(path: Path) -> None:
    """Make the names in the directory *path* durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # some network file systems cannot fsync a directory; they order names themselves
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(descriptor)


def publish(path: Path, data: bytes, *, mode: int = 0o644) -> bool:
    """Create *path* with this content, whole and durable; False when somebody else was first.

    A hard link is the one operation that is atomic on every network file system: of any number of
    contenders exactly one creates the name.
    """
    temporary = _temporary(path)
    try:
        _write_new(temporary, data, mode=mode)
        try:
            created = _link(temporary, path, data, mode)
        finally:
            _remove(temporary)
        if created:
            sync_directory(path.parent)
    except OSError as error:
        _remove(temporary)
        raise write_error(path, error) from error
    return created


def replace(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Give *path* this content in one step; a reader sees the old content or the new."""
    temporary = _temporary(path)
    try:
        _write_new(temporary, data, durable=durable)
        os.replace(temporary, path)  # noqa: PTH105  os.* calls are what fault tests count
        if durable:
            sync_directory(path.parent)
    except OSError as error:
        _remove(temporary)
        raise write_error(path, error) from error


def temporary_name(name: str) -> str:
    """What the file *name* is called until it is whole; it tells which process writes it."""
    return f".{name}.{tag_of(os.getpid())}.{uuid.uuid4().hex}.tmp"


def is_temporary(name: str) -> bool:
    """Whether *name* is one of the names that exist only while a file is written."""
    return name.startswith(".") and name.endswith(".tmp")


def numbered(directory: Path, suffix: str) -> Iterator[tuple[int, Path]]:
    """The files ``000001SUFFIX``, ``000002SUFFIX``, … of *directory*, in order."""
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208  names only, no Path objects
    except FileNotFoundError:
        return
    for name in names:
        stem = name.removesuffix(suffix)
        if stem != name and stem.isdecimal():
            yield int(stem), directory / name


def _temporary(path: Path) -> Path:
    return path.with_name(temporary_name(path.name))


def _remove(temporary: Path) -> None:
    """Take away what is left of a failed write, if that can be done; what it failed of is the news."""
    with contextlib.suppress(OSError):  # a read-only file system refuses this too, even when there is nothing
        temporary.unlink(missing_ok=True)


def _write_new(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o644) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        write_all(descriptor, data)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(temporary: Path, path: Path, data: bytes, mode: int) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        # over NFS the reply can be lost although the link was made
        if temporary.stat().st_nlink == 2:
            return True
        if error.errno not in NO_HARD_LINKS:
            raise
        try:
            _write_new(path, data, mode=mode)
        except FileExistsError:
            return False
    return True
