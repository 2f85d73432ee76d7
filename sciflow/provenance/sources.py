"""The user's own source files that a workflow may run, read once: what is edited afterwards changes nothing."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from sciflow.canonical import content_digest
from sciflow.provenance.bytecode import imports_within
from sciflow.provenance.loaded import is_as_loaded
from sciflow.provenance.local import LIBRARY_FOLDERS, file_of, is_local_file
from sciflow.provenance.syntax import read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import FunctionType

_IMPORT: Final = re.compile(
    rb"^[ \t]*(?:from[ \t]+(?P<module>[\w.]+)[ \t]+import[ \t]+(?P<members>.*)|import[ \t]+(?P<modules>[\w., \t]+))",
    re.MULTILINE,
)
_WORD: Final = re.compile(r"[^\W\d][\w.]*")
_RECENT_S: Final = 2.0  # a file this young may be edited again within the resolution of its time stamp
_MOST_VISITED: Final = 20_000  # files; a package folder that also holds somebody's data is not walked to its end
_NOT_CODE: Final = LIBRARY_FOLDERS | {"__pycache__", "node_modules"}


@dataclass(frozen=True, slots=True)
class Source:
    """One module of the user's as it is now.

    Attributes
    ----------
    filename
        Where it was read; data beside it is found from there.
    text
        The bytes of the file.
    mtime
        When it was last written, in whole seconds as compiled files say it; None when that was a moment ago, so
        that two versions may share the time.
    is_package
        Whether it is the ``__init__.py`` of a package.
    """

    filename: str
    text: bytes
    mtime: int | None
    is_package: bool


@dataclass(frozen=True)
class Sources:
    """The user's own code at one moment.

    Attributes
    ----------
    modules
        Name to source, of what is imported and of what may still be.
    edited
        Modules whose files are no longer what this process imported; their functions have to travel themselves.
    scripts
        Filename to text of the main script, or of the notebook cells that tasks come from.
    """

    modules: Mapping[str, Source] = field(default_factory=dict[str, Source])
    edited: tuple[str, ...] = ()
    scripts: Mapping[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The code as a tree of files, importable from its root; the main script lies under ``__main__``."""
        return {name: text for name, (_, text) in self._named.items()}

    @cached_property
    def origins(self) -> dict[str, str]:
        """Where each of `files` was read; of a notebook, what its cells are called."""
        return {name: filename for name, (filename, _) in self._named.items()}

    @cached_property
    def edited_files(self) -> frozenset[str]:
        """Those of `files` that are no longer what this process imported."""
        return frozenset(_file_name(name, self.modules[name]) for name in self.edited if name in self.modules)

    @cached_property
    def _named(self) -> dict[str, tuple[str, bytes]]:
        named = {_file_name(name, one): (one.filename, one.text) for name, one in sorted(self.modules.items())}
        for k, (filename, text) in enumerate(self.scripts.items()):
            name = os.path.basename(filename)  # noqa: PTH119  text only
            name = name if name.endswith(".py") and len(self.scripts) == 1 else f"cell{k}.py"
            named[f"__main__/{name}"] = filename, text.encode()
        return named

    @cached_property
    def digest(self) -> str:
        """Of the tree of files."""
        return content_digest({name: hashlib.sha256(text).hexdigest() for name, text in self.files.items()})


def _file_name(name: str, source: Source) -> str:
    stem = name.replace(".", "/")
    return f"{stem}/__init__.py" if source.is_package else f"{stem}.py"


def read_sources(functions: Iterable[Callable[..., object]]) -> Sources:
    """Read the user's own modules that this process has imported, and all that they and *functions* may import.

    Packages are taken whole, since parts of them are often imported by computed names. Compiled modules, and what
    is installed, are left where they are.
    """
    functions = [*functions]
    collection = _Collection()
    for name, module in [*sys.modules.items()]:
        filename = None if name in {"__main__", "__mp_main__"} else file_of(module)
        if filename is not None and _is_own_source(filename):
            collection.add(name)
    scripts = _scripts(functions)
    for text in scripts.values():
        collection.follow(text.encode(errors="surrogateescape"), "")
    for function in _functions_of_scripts(functions):
        for name, level, members in imports_within(function.__code__):
            if not level:
                collection.add_members(name, members)
    return Sources(collection.modules, tuple(sorted(collection.edited)), scripts)


class _Collection:
    """Modules by name, found by following imports."""

    def __init__(self) -> None:
        self.modules: dict[str, Source] = {}
        self.edited: list[str] = []
        self._places: dict[str, _Place | None] = {}

    def add(self, name: str) -> None:
        """Read a module, the packages it lies in, and what these import."""
        waiting = [name]
        while waiting:
            name = waiting.pop()
            if name in self.modules:
                continue
            place = self._place(name)
            if place is None or place.filename is None or not _is_own_source(place.filename):
                continue
            source = self._read(name, place.filename)
            if source is None:
                continue
            self.modules[name] = source
            top = name.partition(".")[0]
            waiting += [top] if top != name else []
            if source.is_package and top == name:
                waiting += _modules_below(name, os.path.dirname(source.filename))  # noqa: PTH120  text only
            waiting += _imported(source.text, name if source.is_package else name.rpartition(".")[0])

    def add_members(self, name: str, members: Iterable[str]) -> None:
        """Read a module and those of its members that are modules."""
        for one in (name, *(f"{name}.{member}" for member in members)):
            self.add(one)

    def follow(self, text: bytes, package: str) -> None:
        """Read what a text imports."""
        for name in _imported(text, package):
            self.add(name)

    def _read(self, name: str, filename: str) -> Source | None:
        try:
            text = Path(filename).read_bytes()
            mtime = os.stat(filename).st_mtime  # noqa: PTH116  text only
        except OSError:
            return None
        module = sys.modules.get(name)
        if module is not None and not is_as_loaded(module, filename):
            self.edited.append(name)
        is_recent = abs(time.time() - mtime) < _RECENT_S
        is_package = os.path.basename(filename) == "__init__.py"  # noqa: PTH119  text only
        return Source(os.path.abspath(filename), text, None if is_recent else int(mtime), is_package)  # noqa: PTH100  same

    def _place(self, name: str) -> _Place | None:
        """Where a module lies, found without importing anything."""
        if name not in self._places:
            self._places[name] = self._find(name)
        return self._places[name]

    def _find(self, name: str) -> _Place | None:
        module = sys.modules.get(name)
        if module is not None:
            return _Place(file_of(module), [*cast("Iterable[str]", getattr(module, "__path__", ()))])
        package, _, _ = name.rpartition(".")
        above = self._place(package) if package else None
        if name.partition(".")[0] in sys.stdlib_module_names or (package and (above is None or not above.folders)):
            return None
        try:
            spec = PathFinder.find_spec(name, None if above is None else above.folders)
        except (ImportError, ValueError, AttributeError):
            return None
        if spec is None:
            return None
        return _Place(spec.origin if spec.has_location else None, [*(spec.submodule_search_locations or ())])


@dataclass(frozen=True, slots=True)
class _Place:
    filename: str | None
    folders: list[str]


def _is_own_source(filename: str) -> bool:
    return filename.endswith(".py") and is_local_file(filename)


def _modules_below(package: str, folder: str) -> list[str]:
    """Names of all modules in the folder of a package."""
    names: list[str] = []
    n_visited = 0
    for root, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if one.isidentifier() and one not in _NOT_CODE]
        n_visited += len(files) + len(folders)
        if n_visited > _MOST_VISITED:
            break
        parts = [package, *Path(os.path.relpath(root, folder)).parts]
        for file in files:
            stem, suffix = os.path.splitext(file)  # noqa: PTH122  text only
            if suffix == ".py" and stem.isidentifier():
                names.append(".".join(parts if stem == "__init__" else [*parts, stem]))
    return names


def _imported(text: bytes, package: str) -> Iterator[str]:
    """Names that may be modules in what looks like an import; docstrings are read too, which does no harm."""
    for match in _IMPORT.finditer(text):
        if match["modules"] is not None:
            for one in match["modules"].decode(errors="replace").split(","):
                if word := _WORD.match(one.strip()):
                    yield word[0]
            continue
        module = match["module"].decode(errors="replace")
        base = module.lstrip(".")
        if level := len(module) - len(base):
            above = package.split(".")[: len(package.split(".")) - level + 1] if package else []
            base = ".".join([*above, *([base] if base else [])])
        if base:
            yield base
            yield from (f"{base}.{one}" for one in _WORD.findall(match["members"].decode(errors="replace")))


def _scripts(functions: Iterable[Callable[..., object]]) -> dict[str, str]:
    """The texts that functions of ``__main__`` come from, where there are any."""
    filenames = dict.fromkeys(one.__code__.co_filename for one in _functions_of_scripts(functions))
    texts = {name: read_source(name) for name in filenames if not _is_library(name)}
    return {name: text for name, text in texts.items() if text is not None}


def _is_library(filename: str) -> bool:
    return not filename.startswith("<") and not is_local_file(filename)


def _functions_of_scripts(functions: Iterable[Callable[..., object]]) -> Iterator[FunctionType]:
    """Functions that travel by value: those given and their like in the same script or notebook."""
    seen: set[int] = set()
    for function in functions:
        inner: Any = inspect.unwrap(getattr(function, "func", function))  # functools.partial
        inner = getattr(inner, "__func__", inner)
        if not hasattr(inner, "__globals__"):  # an instance that can be called
            inner = vars(type(inner)).get("__call__")
        names: Any = getattr(inner, "__globals__", None)
        if names is None or names.get("__name__") != "__main__":
            continue
        candidates = [inner] if id(names) in seen else [inner, *names.values()]
        seen.add(id(names))
        for one in candidates:
            if getattr(one, "__globals__", None) is names and hasattr(one, "__code__"):
                yield one
