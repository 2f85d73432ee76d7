"""Where the frozen modules that tasks run lie in the trees of their repository: checked byte by byte."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sciflow.provenance.sources import Sources
    from sciflow.provenance.worktree import Tree


def places_of(sources: Sources, trees: Sequence[Tree]) -> dict[str, Any]:
    """Say of each frozen file which file of which tree it is.

    Returns
    -------
    dict
        ``places``: name in ``code/<digest>/`` → ``tree`` and ``path`` there; a package that lies in one folder
        counts once, by its name with a slash. ``not_in_tree``: each file that no tree has with the same bytes, with
        the ``reason``.
    """
    found: dict[str, tuple[str, str]] = {}
    missing: list[dict[str, str]] = []
    for name, filename in sorted(sources.origins.items()):
        place = _place(name, filename, sources, trees)
        if isinstance(place, str):
            missing.append({"file": name, "reason": place})
        else:
            found[name] = place
    return {"places": _by_package(found), "not_in_tree": missing}


def _place(name: str, filename: str, sources: Sources, trees: Sequence[Tree]) -> tuple[str, str] | str:
    """The tree and the path in it, or why there is none."""
    if name in sources.edited_files:
        return "edited after it was imported; what was imported ran"
    path = Path(os.path.realpath(filename))
    if filename.startswith("<") or not path.is_file():
        return "in no file: typed, or removed since"
    inside = [tree for tree in trees if path.is_relative_to(tree.root)]
    if not inside:
        return "outside the repository"
    tree = max(inside, key=lambda one: len(one.root.parts))  # a submodule lies in another tree
    relative = path.relative_to(tree.root).as_posix()
    if tree.has(os.fsencode(relative), _bytes_of(path, sources.files[name])):
        return tree.id, relative
    if os.fsencode(relative) in tree.blobs:
        return "the tree has it with other bytes (changed meanwhile, or converted by Git)"
    return "ignored by Git, or left out"


def _bytes_of(path: Path, text: bytes) -> bytes:
    """What was read from *path* as the file has it: Python reads the lines of a script whatever ends them."""
    content = path.read_bytes()
    return content if b"\r" in content and content.splitlines() == text.splitlines() else text


def _by_package(found: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for name, place in found.items():
        groups[name.partition("/")[0]][name] = place
    places: dict[str, dict[str, str]] = {}
    for top, members in groups.items():
        prefixes = {(tree, path.removesuffix(name)) for name, (tree, path) in members.items() if path.endswith(name)}
        is_one = len(prefixes) == 1 and all(path.endswith(name) for name, (_, path) in members.items())
        if is_one and any("/" in name for name in members):
            ((tree, prefix),) = prefixes
            places[f"{top}/"] = {"tree": tree, "path": f"{prefix}{top}/"}
        else:
            places |= {name: {"tree": tree, "path": path} for name, (tree, path) in members.items()}
    return places
