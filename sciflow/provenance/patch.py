"""The difference between a commit and a tree as a patch that applies, whoever made it and wherever."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import git

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.provenance.plumbing import Git

MOST_BYTES: Final = 10_000_000
"""Of a patch that is kept."""

# git-diff-tree is plumbing: no setting called diff.* reaches it; the rest is said nevertheless
_DIFF: Final = (
    "diff-tree",
    "-p",
    "--binary",
    "--full-index",
    "--no-renames",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--submodule=short",
    "--ignore-submodules=none",
    "--unified=3",
)


def write_patch(objects: Git, commit: str, tree: str, file: Path) -> dict[str, Any]:
    """Write what leads from *commit* to *tree*, and say whether it does.

    Returns
    -------
    dict
        ``bytes``, ``sha256``, and ``applies``: whether the patch, applied to the commit, gave exactly the tree;
        or ``problem`` in place of the last two, when it is too large to be kept.
    """
    with file.open("wb") as out:
        objects(*_DIFF, commit, tree, into=out)
    n_bytes = file.stat().st_size
    if n_bytes > MOST_BYTES:
        return {"bytes": n_bytes, "problem": f"larger than {MOST_BYTES // 1_000_000} MB, and left out"}
    with file.open("rb") as text:
        digest = hashlib.file_digest(text, "sha256").hexdigest()
    return {"bytes": n_bytes, "sha256": digest, "applies": _leads_to(objects, commit, tree, file)}


def _leads_to(objects: Git, commit: str, tree: str, file: Path) -> bool:
    index = {"GIT_INDEX_FILE": f"{file}.index"}
    objects("read-tree", commit, also=index)
    try:
        objects("apply", "--cached", "--whitespace=nowarn", str(file), also=index)
    except git.GitCommandError:
        return False
    return objects("write-tree", "--missing-ok", also=index).decode().strip() == tree
