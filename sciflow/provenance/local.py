"""Whether code is the user's own (a script, a notebook, a module beside it) or a library's."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import sciflow

if TYPE_CHECKING:
    from types import ModuleType

LIBRARY_FOLDERS = frozenset({"site-packages", "dist-packages"})


@cache
def is_local_file(filename: str) -> bool:
    """Whether a file is outside the standard library, the installed packages and sciflow itself."""
    folder, _ = os.path.split(filename)
    return not _is_library_folder(folder)


def is_local_module(name: str) -> bool:
    """Whether a module of this name is the user's; ``__main__`` is, and what has no file at all is not."""
    if name == "__main__":
        return True
    module = sys.modules.get(name)
    filename = None if module is None else file_of(module)
    return filename is not None and is_local_file(filename)


def is_local_code(filename: str, module: str) -> bool:
    """Whether code compiled from *filename* is the user's; code without a file belongs with its module."""
    if filename.startswith("<"):
        return is_local_module(module)
    return is_local_file(filename)


def file_of(module: ModuleType) -> str | None:
    """The file a module was loaded from."""
    return getattr(module, "__file__", None)


@cache
def _is_library_folder(folder: str) -> bool:
    path = Path(folder).resolve()  # slow, and a thousand modules lie in a hundred folders
    return bool(LIBRARY_FOLDERS & set(path.parts)) or any(map(path.is_relative_to, _library_folders()))


@cache
def _library_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    own = [str(folder) for folder in sciflow.__path__]
    named = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple({Path(folder).resolve() for folder in [*named, *own]})
