"""Content of declared input files, read again only when a file may have changed."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import WorkflowError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sciflow.workflow.inputs import Input

_RECENT_S: Final = 2.0
"""A file written this lately may be written again within the resolution of its time stamp."""

_digests: dict[tuple[object, ...], str] = {}


def read_inputs(inputs: Iterable[Input], earlier: Iterable[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """What the declared files hold, as JSON data.

    Parameters
    ----------
    inputs : what was declared
    earlier : results of this function before; a file of the same name, size, time and inode is taken for the same

    Returns
    -------
    list of dict
        For each file its ``name``, ``sha256``, ``size_bytes``, and ``seen`` (time of modification in ns, inode),
        which is None when the file is too young to be known by these.

    Raises
    ------
    WorkflowError
        A file is not there or cannot be read.
    """
    known = {(one["name"], one["size_bytes"], *one["seen"]): one["sha256"] for one in earlier if one["seen"]}
    files = {name: path for declared in inputs for name, path in declared.files().items()}
    return [_read(name, path, known) for name, path in sorted(files.items())]


def contents(files: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Name to digest: what matters of `read_inputs` for results."""
    return {one["name"]: one["sha256"] for one in files}


def _read(name: str, path: Path, known: Mapping[tuple[object, ...], str]) -> dict[str, Any]:
    try:
        facts = path.stat()
        seen = (facts.st_mtime_ns, facts.st_ino)
        here = (str(path), facts.st_size, *seen, facts.st_dev)
        is_recent = abs(time.time() - facts.st_mtime) < _RECENT_S
        digest = None if is_recent else known.get((name, facts.st_size, *seen)) or _digests.get(here)
        if digest is None:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                after = os.fstat(file.fileno())
            is_recent = is_recent or (after.st_mtime_ns, after.st_size) != (facts.st_mtime_ns, facts.st_size)
    except OSError as error:
        raise WorkflowError(f"input {name!r} cannot be read: {error.strerror}: {path}") from error
    if not is_recent:
        _digests[here] = digest
    return {
        "name": name,
        "sha256": digest,
        "size_bytes": facts.st_size,
        "seen": None if is_recent else list(seen),
    }
