"""Lineage: which artifacts a variant has made, and which its tasks were given.

What is claimed is what can be seen: a task asked for an artifact and the file is there; a task was given a path, as the
value of a task it depends on, that lies among the artifacts. What a task opens by itself is not seen.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILES: Final = "files"
"""The word for `_Run.odd`: the variant has made or used artifacts."""


@dataclass(frozen=True, slots=True)
class _Made:
    task: str
    path: Path


class Lineage:
    """The artifacts of the running variant.

    Parameters
    ----------
    root : the folder of all artifacts of the sweep
    odd : told `FILES` when there is something to take
    """

    def __init__(self, root: Path, odd: list[str]) -> None:
        self._root, self._odd = f"{root.resolve()}{os.sep}", odd
        self._made: dict[Path, _Made] = {}
        self._used: dict[tuple[str, str], None] = {}

    def make(self, task: str, path: Path) -> None:
        """A task asks where to write an artifact."""
        self._made[path] = _Made(task, path)
        self._tell()

    def give(self, task: str, value: object) -> None:
        """A task is given a value; if that is the path of an artifact, it uses it."""
        if isinstance(value, str | PurePath):
            text = str(value)
            if text.startswith(self._root):
                self._used[task, Path(text[len(self._root) :]).as_posix()] = None
                self._tell()

    def take(self) -> dict[str, Any]:
        """What the variant made and used, as JSON data: ``generated`` with digests, ``used``; then forget it.

        An artifact is named ``<variant>/<name>``, which is its place in the folder; a folder's digest is that of the
        list of its files, as sha256sum prints it.
        """
        made, used = list(self._made.values()), list(self._used)
        self._made, self._used = {}, {}
        generated = [
            {"task": one.task, "artifact": str(one.path)[len(self._root) :].replace(os.sep, "/"), **facts}
            for one in made
            if (facts := _facts(one.path)) is not None
        ]
        links = [{"task": task, "artifact": artifact} for task, artifact in used]
        return ({"generated": generated} if generated else {}) | ({"used": links} if links else {})

    def _tell(self) -> None:
        if FILES not in self._odd:
            self._odd.append(FILES)


def _facts(path: Path) -> Mapping[str, Any] | None:
    """Digest and size; None when nothing was written, or it cannot be read."""
    try:
        if path.is_dir():
            files = list(_files(path))
            lines = "".join(f"{_digest(one)}  {one.relative_to(path).as_posix()}\n" for one in files)
            return {
                "sha256": hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest(),
                "size_bytes": sum(one.stat().st_size for one in files),
                "n_files": len(files),
            }
        return {"sha256": _digest(path), "size_bytes": path.stat().st_size}
    except OSError:
        return None


def _files(folder: Path) -> Iterator[Path]:
    return (one for one in sorted(folder.rglob("*")) if one.is_file())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
