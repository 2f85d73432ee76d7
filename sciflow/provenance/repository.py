"""What Git says of one repository and its submodules, and the tree of its files as it was."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import git

from sciflow.errors import StoreWriteError
from sciflow.provenance.address import scrubbed
from sciflow.provenance.patch import write_patch
from sciflow.provenance.plumbing import Git
from sciflow.provenance.problem import problem_of
from sciflow.provenance.untracked import shown, told
from sciflow.provenance.worktree import Workspace

if TYPE_CHECKING:
    from sciflow.provenance.code import Shelf
    from sciflow.provenance.patience import Patience
    from sciflow.provenance.plumbing import Sink
    from sciflow.provenance.worktree import Tree

MOST_BYTES: Final = 100_000_000
"""Of the files of a tree that is kept whole."""

_DESCRIBE_S: Final = 5.0  # it walks the whole history where no commit has a tag


class Capture:
    """The facts of one repository and its submodules.

    Parameters
    ----------
    repository : as GitPython found it
    root : of its working tree, without symbolic links; None when it has none
    folder : an empty one for what is temporary
    outside : folders that are no part of it
    shelf : where to keep trees and patches
    patience : how long commands may take

    Attributes
    ----------
    trees
        Those that were made.
    """

    def __init__(
        self,
        repository: git.Repo,
        root: Path | None,
        folder: Path,
        *,
        outside: list[Path],
        shelf: Shelf | None,
        patience: Patience,
    ) -> None:
        # a linked worktree of a bare repository has files, though its configuration says that it is bare
        self._git_dir, self._common_dir = Path(repository.git_dir).resolve(), Path(repository.common_dir).resolve()
        self._root, self._folder = root, folder
        self._outside, self._shelf, self._patience = outside, shelf, patience
        self.trees: list[Tree] = []
        self._to_pack: list[tuple[Workspace, Tree, dict[str, Any]]] = []

    def facts(self) -> dict[str, Any]:
        """Find them out; a tree that is to be kept is named, and written by `pack`."""
        look = Git(self._root or self._git_dir, self._patience, {"GIT_INDEX_FILE": str(self._folder / "index")})
        configuration = _configured(look)
        remotes = configuration.remotes
        facts: dict[str, Any] = {
            "name": (self._root or self._git_dir).name,
            **_head(look, configuration.upstreams),
            "remote": remotes.get("origin") or next(iter(remotes.values()), None),
            "remotes": remotes,
        }
        if self._root is None:
            return {**facts, "tree": None, "problem": "a bare repository has no files"}
        try:
            return facts | self._of_files(self._root, facts["commit"], is_sha256=configuration.is_sha256)
        except StoreWriteError:
            raise
        except (git.GitError, OSError, ValueError) as error:  # the commit is known, and worth saying
            return {**facts, "tree": None, "problem": problem_of(error)}

    def pack(self) -> list[str]:
        """Keep the trees that `facts` named, and say what Git could not give; the facts say so too from then on.

        Raises
        ------
        StoreWriteError
            They cannot be written.
        """
        complaints: list[str] = []
        for workspace, tree, facts in self._to_pack:
            assert self._shelf is not None
            try:
                _pack(workspace.borrowed.git(self._patience), tree, self._shelf)
            except StoreWriteError:
                raise
            except (git.GitError, OSError, ValueError) as error:
                del facts["file"]
                facts["problem"] = problem_of(error)
                complaints.append(f"the files of {workspace.root.name!r} are not kept: {facts['problem']}")
        return complaints

    def _of_files(self, root: Path, commit: str | None, *, is_sha256: bool) -> dict[str, Any]:
        workspace = Workspace(
            root, self._folder, self._git_dir, self._common_dir, is_sha256=is_sha256, patience=self._patience
        )
        listing = workspace.look([*self._outside, workspace.folder])
        tree = workspace.make_tree(listing)
        self.trees.append(tree)
        submodules = [self._of_submodule(root, path, name) for path, name in tree.submodules.items()]
        # before the first commit all files are new
        changes = {*listing.tracked, *listing.untracked} if commit is None else workspace.changes(commit, tree)
        return {
            "dirty": bool(changes - {*listing.untracked}) or any(one.get("dirty") for one in submodules),
            "n_untracked": listing.n_untracked,
            "tree": tree.id,
            "left_out": told(listing.left_out),
            "patch": self._patch(workspace, commit, tree) if changes else None,
            "archive": self._archive(workspace, tree),
            "submodules": submodules,
        }

    def _of_submodule(self, root: Path, path: bytes, commit: str) -> dict[str, Any]:
        known = {"path": shown(path), "commit": commit}
        folder = root / os.fsdecode(path)
        if not os.path.lexists(folder / ".git"):
            return {**known, "tree": None, "problem": "not checked out"}
        try:
            with git.Repo(folder, expand_vars=False) as repository:
                temporary, root = Path(tempfile.mkdtemp(dir=self._folder)), folder.resolve()
                capture = Capture(
                    repository, root, temporary, outside=self._outside, shelf=self._shelf, patience=self._patience
                )
                facts = known | capture.facts()
        except StoreWriteError:
            raise
        except (git.GitError, OSError, ValueError) as error:  # hides nothing of the others
            return {**known, "tree": None, "problem": problem_of(error)}
        self.trees += capture.trees
        self._to_pack += capture._to_pack
        return facts

    def _patch(self, workspace: Workspace, commit: str | None, tree: Tree) -> dict[str, Any]:

        if commit is None:
            return {"problem": "there is no commit to begin from"}
        file = workspace.folder / "patch"
        facts = write_patch(workspace.borrowed.git(self._patience), commit, tree.id, file)
        if "problem" in facts or self._shelf is None:
            return facts
        name = f"{tree.id}.{commit[:12]}.patch"
        if self._shelf.size_of(name) is None:
            with self._shelf.writing(name) as kept:
                kept.write(file.read_bytes())
        return {"file": f"code/{name}", **facts}

    def _archive(self, workspace: Workspace, tree: Tree) -> dict[str, Any]:
        n_bytes = workspace.n_bytes(tree)
        facts: dict[str, Any] = {"n_files": len(tree.blobs), "content_bytes": n_bytes}
        if n_bytes > MOST_BYTES:
            return {**facts, "problem": f"larger than {MOST_BYTES // 1_000_000} MB, and not kept"}
        if self._shelf is None:
            return facts
        name = _archive_name(tree)
        facts = {"file": f"code/{name}", **facts}
        if self._shelf.size_of(name) is None:
            self._to_pack.append((workspace, tree, facts))
        return facts


def _archive_name(tree: Tree) -> str:
    return f"{tree.id}.tar.gz"


def _pack(objects: Git, tree: Tree, shelf: Shelf) -> None:
    """Write the files of a tree as an archive that has the same bytes whenever it is made."""
    # of a commit rather than of a tree, for its time: a tree's files would be of today
    commit = objects("commit-tree", "-m", "tree", tree.id).decode().strip()
    with (
        shelf.writing(_archive_name(tree)) as kept,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=_Writable(kept), mtime=0) as packed,
    ):
        objects("-c", "tar.umask=0022", "archive", "--format=tar", commit, into=packed)


class _Writable:
    """What `gzip` needs of a file to write."""

    def __init__(self, sink: Sink) -> None:
        self.write = sink.write

    def flush(self) -> None:
        """Do nothing: the file is made durable as a whole."""


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What the configuration says; read without what replaces addresses by others."""

    remotes: dict[str, str]
    upstreams: dict[str, str]
    is_sha256: bool


def _configured(look: Git) -> _Configuration:
    """Read git-config(1); of what is said several times, the first address and the last of all else count."""
    remotes: dict[str, str] = {}
    branches: defaultdict[str, dict[str, str]] = defaultdict(dict)
    is_sha256 = False
    for entry in look("config", "--null", "--list").split(b"\0")[:-1]:
        key, _, value = entry.decode(errors="backslashreplace").partition("\n")
        section, _, rest = key.partition(".")
        name, _, word = rest.rpartition(".")
        if (section, word) == ("remote", "url"):
            remotes.setdefault(name, scrubbed(value))
        elif section == "branch" and word in {"remote", "merge"}:
            branches[name][word] = value.removeprefix("refs/heads/")
        is_sha256 = is_sha256 or (key, value) == ("extensions.objectformat", "sha256")
    upstreams = {name: f"{one['remote']}/{one['merge']}" for name, one in branches.items() if len(one) == 2}
    # a branch may follow an address instead of a remote with a name
    return _Configuration(
        remotes, {name: one for name, one in upstreams.items() if one.partition("/")[0] in remotes}, is_sha256
    )


def _head(look: Git, upstreams: dict[str, str]) -> dict[str, Any]:
    """The commit and its surroundings; nothing here looks at files."""
    commit = _said(look, "rev-parse", "--verify", "--quiet", "HEAD")
    branch = _said(look, "symbolic-ref", "--quiet", "--short", "HEAD")
    return {
        "commit": commit,
        "branch": branch,
        "describe": None if commit is None else _said(look, "describe", "--tags", "--always", limit_s=_DESCRIBE_S),
        "upstream": None if branch is None else upstreams.get(branch),
    }


def _said(look: Git, *words: str, limit_s: float | None = None) -> str | None:
    """What a command says; None when it has nothing to say."""
    try:
        return look(*words, limit_s=limit_s).decode(errors="backslashreplace").strip()
    except git.GitCommandError as error:
        if "dubious ownership" in str(error):
            raise
        return None
