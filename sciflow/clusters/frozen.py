"""Imports of the user's modules from their frozen sources, whatever became of the files.

A module imported so has the name, file and folder that it has for the user: tracebacks name the user's file, and data
beside a module (``Path(__file__).parent / "table.csv"``), compiled modules and package data are found where they
are. Copies of the files in another folder could not give that.
"""

from __future__ import annotations

import linecache
import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from _typeshed import ReadableBuffer

    from sciflow.provenance.sources import Source


class FrozenFinder:
    """Finds the modules that were frozen, before any other finder is asked; the rest is left to those."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Say how to import *fullname*, if it was frozen (importlib.abc.MetaPathFinder)."""
        del path, target
        source = self._sources.get(fullname)
        if source is None:
            return None
        folder = [os.path.dirname(source.filename)] if source.is_package else None  # noqa: PTH120  text only
        return spec_from_file_location(
            fullname,
            source.filename,
            loader=FrozenLoader(fullname, source),
            submodule_search_locations=folder,
        )

    def add(self, sources: Mapping[str, Source]) -> None:
        """Serve these modules from now on.

        When a sweep before this one left another version of any of them in the process, all are forgotten, so that
        the next import brings today's of each; who holds on to an old one keeps it.
        """
        if any(_is_other_version(sys.modules.get(name), source) for name, source in sources.items()):
            for name in sources:
                sys.modules.pop(name, None)
        self._sources.update(sources)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)


def _is_other_version(module: ModuleType | None, source: Source) -> bool:
    if module is None:
        return False
    loader: object = getattr(module, "__loader__", None)
    return not (isinstance(loader, FrozenLoader) and loader.text == source.text)


class FrozenLoader(SourceFileLoader):
    """Loads a module from bytes as if they were in its file."""

    def __init__(self, name: str, source: Source) -> None:
        super().__init__(name, source.filename)
        self.text = source.text
        self._mtime = source.mtime

    def get_data(self, path: str) -> bytes:
        """Give the frozen text for the module's own file; package data are read from where they are."""
        return self.text if path == self.path else super().get_data(path)

    def path_stats(self, path: str) -> dict[str, Any]:
        """Say of what age the text is, so that a compiled file of just this version is used."""
        del path
        if self._mtime is None:
            raise OSError("too young to be told from another version by its time")
        return {"mtime": self._mtime, "size": len(self.text)}

    def set_data(self, path: str, data: ReadableBuffer, *, _mode: int = 0o666) -> None:
        """Write nothing into the user's folders."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module; tracebacks show the lines that run and not those of an edited file."""
        show_lines(self.path, self.text.decode("utf-8", errors="replace"))
        super().exec_module(module)


def show_lines(filename: str, text: str) -> None:
    """Let tracebacks of this process show *text* as the content of *filename*."""
    # without a modification time an entry is never compared with the file
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)


FINDER = FrozenFinder()
"""The one of this process; a second sweep that comes to the same worker adds its modules."""
