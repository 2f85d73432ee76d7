"""The user's code as it was when a session started: each tree of files is kept once, under its digest."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from sciflow.store.atomic import sync_directory, temporary_name, write_all, write_error

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

FOLDER: Final = "code"


@dataclass(frozen=True, slots=True)
class CodeShelf:
    """Single files beside the frozen trees: archives and patches, each named by what it holds.

    Attributes
    ----------
    sweep
        The directory of the sweep.
    """

    sweep: Path

    def size_of(self, name: str) -> int | None:
        """Bytes of what is there under this name; None when nothing is."""
        try:
            return (self.sweep / FOLDER / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    @contextlib.contextmanager
    def writing(self, name: str) -> Generator[BinaryIO]:
        """Open a new file, which appears under its name, whole and durable, when the block ends well.

        Raises
        ------
        StoreWriteError
            It cannot be written.
        """
        path = self.sweep / FOLDER / name
        temporary = path.with_name(temporary_name(name))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)  # whoever was first wrote the same
            sync_directory(path.parent)
        except OSError as error:
            raise write_error(path, error) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def keep_code(sweep: Path, files: Mapping[str, bytes], digest: str) -> Path:
    """Write a tree of files to ``code/<digest>/`` of a sweep, whole or not at all; nothing when it is there.

    Raises
    ------
    StoreWriteError
        It cannot be written.
    """
    folder = sweep / FOLDER / digest
    if folder.is_dir():
        return folder
    temporary = folder.with_name(f".{digest}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.mkdir(parents=True)
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, content)
        for inner, _, _ in os.walk(temporary):
            sync_directory(Path(inner))
        try:
            temporary.rename(folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # another driver was first, with the same files
                raise
        sync_directory(folder.parent)
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
