"""What names people, machines and places, and what a package says instead."""

from __future__ import annotations

import contextlib
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.store.directory import SweepDirectory
    from sciflow.store.snapshot import Snapshot


def anonymous_code(code: Mapping[str, Any]) -> dict[str, Any]:
    """The state of the code without what names people and places."""
    kept = frozenset({"commit", "dirty", "n_untracked", "tree", "patch", "problem", "left_out", "archive"})
    repository: Mapping[str, Any] | None = code.get("repository")
    told = None if repository is None else {key: one for key, one in repository.items() if key in kept}
    return {**code, "repository": told if told is None else {"name": "repository", **told}}


def names_of(directory: SweepDirectory, snapshot: Snapshot) -> dict[str, str]:
    """Hosts and users that files of the sweep may name, and what stands for each."""
    hosts = {str(one.get("host", "")) for one in directory.sessions()}
    for frame in snapshot.frames:
        for worker in {*frame.fact("worker")} if frame.column("@fact.worker") else {frame.header.get("worker")}:
            hosts.add(str(worker or "").partition(":")[0])
        hosts.add(str(frame.header.get("node", "") or ""))
    users: set[str] = {Path.home().name}
    with contextlib.suppress(OSError, KeyError):
        users.add(getpass.getuser())
    users -= {"", "root", "home", "user"}
    named = {name: f"host-{k + 1}" for k, name in enumerate(sorted(hosts - {"", "None"}))}
    return named | {name: f"user-{k + 1}" for k, name in enumerate(sorted(users))}


def roots_of(directory: SweepDirectory) -> tuple[str, ...]:
    """Folders whose names are left out of paths: of the project and of the sweep."""
    path = directory.path.resolve()
    return tuple(str(one) for one in (path, path.parent.parent) if one != Path(one.anchor))
