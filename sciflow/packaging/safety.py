"""Packages of others, read so that nothing in them can do harm; the rules are those of the package's own verifier."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sciflow.errors import PackageError
from sciflow.packaging.standalone import Container, Limits, UnsafeError, opened

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable


@contextmanager
def open_container(path: Path | str, limits: Limits | None = None) -> Generator[Container]:
    """The files of a package, a zip or a folder, to read without unpacking them.

    Raises
    ------
    PackageError
        There is none, it is damaged, or it is not safe to open: links, names that lead elsewhere, bombs.
    """
    try:
        with opened(path, limits) as package:
            yield package
    except UnsafeError as error:
        raise PackageError(f"{path} is not opened: {error}") from error
    except OSError as error:
        raise PackageError(f"cannot read the package {path}: {error.strerror or error}") from error


def within(folder: Path, name: str) -> Path:
    """The path of what a package names, below *folder*: whatever else was checked, nothing leads out of here.

    Raises
    ------
    PackageError
        It would.
    """
    path = folder / name
    # not where a link leads that has this very name: who writes there is told that it is taken
    if "\0" in name or ".." in Path(name).parts or not path.parent.resolve().is_relative_to(folder.resolve()):
        raise PackageError(f"the package names a file {name!r}, which would lie elsewhere; do not use it")
    return path


def unpack(package: Container, names: Iterable[str], folder: Path, *, below: str = "") -> None:
    """Write files of a package into *folder*, which is new or empty: plain files, none of them executable.

    Parameters
    ----------
    below
        What the names begin with and the files do not.
    """
    for name in names:
        path = within(folder, name.removeprefix(below))
        path.parent.mkdir(parents=True, exist_ok=True)
        # EXCL: nothing that is there is followed or replaced
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            for block in package.blocks(name):
                file.write(block)
