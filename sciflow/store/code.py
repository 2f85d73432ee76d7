"""The user's code as it was when a session started, kept once under the digest of its files."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sciflow.store.atomic import sync_directory, write_all, write_error

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = "code"


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
