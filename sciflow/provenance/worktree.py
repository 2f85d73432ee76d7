"""The files of a working tree as a Git tree, made without touching the repository they belong to."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sciflow.provenance.plumbing import Borrowed, Git
from sciflow.provenance.untracked import LeftOut, choose, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sciflow.provenance.patience import Patience

SUBMODULE: Final = b"160000"
_LINK: Final = b"120000"


@dataclass(frozen=True, slots=True)
class Tree:
    """A working tree as it was.

    Attributes
    ----------
    id
        Of the tree that Git makes of it.
    root
        Where it is, without symbolic links.
    blobs
        Path to name of the content, of every file.
    submodules
        Path to commit.
    """

    id: str
    root: Path
    blobs: Mapping[bytes, str]
    submodules: Mapping[bytes, str]

    def has(self, path: bytes, content: bytes) -> bool:
        """Whether the file at *path* is in the tree with this content."""
        return self.blobs.get(path) == blob_id(content, is_sha256=len(self.id) == 64)


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a working tree, before a tree is made of them.

    Attributes
    ----------
    tracked
        All that Git knows.
    hidden
        Those of them whose changes Git was told not to look for, and that are there nevertheless.
    untracked
        Those that belong to the tree too.
    n_untracked
        How many there are, with those that do not; whole folders that hold no code of the user's are not counted.
    left_out
        What is not in the tree.
    """

    tracked: Sequence[bytes]
    hidden: Sequence[bytes]
    untracked: Sequence[bytes]
    n_untracked: int
    left_out: Sequence[LeftOut]


class Workspace:
    """A repository's files, seen through a temporary index and a temporary store of objects.

    Parameters
    ----------
    root : of the working tree, without symbolic links
    folder : an empty one for what is temporary
    git_dir, common_dir : of the repository; they differ in a linked worktree
    is_sha256 : the kind of object names
    patience : how long commands may take
    """

    def __init__(
        self, root: Path, folder: Path, git_dir: Path, common_dir: Path, *, is_sha256: bool, patience: Patience
    ) -> None:
        self.root, self.folder = root, folder
        self._objects, self._patience = common_dir / "objects", patience
        self._index = folder / "index"
        self.borrowed = Borrowed(folder / "repository", is_sha256=is_sha256)
        self.git = Git(root, patience, {"GIT_INDEX_FILE": str(self._index)})
        self._copy_index(git_dir)

    def _copy_index(self, git_dir: Path) -> None:
        index = git_dir / "index"
        if any(git_dir.glob("sharedindex.*")):
            # reading a split index renews the time of its other part; without one, all files are read again
            self.git("read-tree", "HEAD")
        elif index.exists():
            # with its time: from it git knows which files may have changed within the resolution of theirs
            shutil.copy2(index, self._index)

    def look(self, outside: Iterable[Path]) -> Listing:
        """List the files; what lies in the folders *outside* is passed over."""
        words = ["ls-files", "-z", "-v", "--cached", "--others", "--exclude-standard"]
        inside = [folder.relative_to(self.root) for folder in outside if self.root in folder.parents]
        words += [f"--exclude={_pattern(folder.as_posix())}" for folder in inside]
        tracked: dict[bytes, None] = {}
        hidden: dict[bytes, None] = {}
        others: list[bytes] = []
        for entry in self.git(*words).split(b"\0")[:-1]:
            tag, path = entry[:1], entry[2:]
            if tag == b"?":
                others.append(path)
                continue
            if tag.islower() or tag == b"S":
                if not os.path.lexists(self._at(path)):
                    continue  # of a sparse checkout: not there, and not removed either
                hidden[path] = None
            tracked[path] = None
        kept, left = choose(others, os.fsencode(self.root))
        n_untracked = len(kept) + sum(one.n_files is None for one in left)
        return Listing([*tracked], [*hidden], kept, n_untracked, [*left, *self._ignored(), *self._filtered([*tracked])])

    def make_tree(self, listing: Listing) -> Tree:
        """Make the tree; from then on the objects of the repository can be read through `borrowed`."""
        store = {"GIT_OBJECT_DIRECTORY": str(self.borrowed.objects)}
        for word in ("--no-assume-unchanged", "--no-skip-worktree") if listing.hidden else ():
            self.git("update-index", word, "-z", "--stdin", stdin=self._list(listing.hidden))
        paths = self._list([*listing.tracked, *listing.untracked])
        self.git("update-index", "--add", "--remove", "--replace", "-z", "--stdin", stdin=paths, also=store)
        tree = self.git("write-tree", "--missing-ok", also=store).decode().strip()
        self.borrowed.borrow(self._objects)
        blobs: dict[bytes, str] = {}
        submodules: dict[bytes, str] = {}
        for entry in self.borrowed.git(self._patience)("ls-tree", "-r", "-z", tree).split(b"\0")[:-1]:
            facts, _, path = entry.partition(b"\t")
            mode, _, name = facts.split(b" ")
            if mode == SUBMODULE:
                submodules[path] = name.decode()
            elif mode != _LINK:
                blobs[path] = name.decode()
        return Tree(tree, self.root, blobs, submodules)

    def changes(self, commit: str, tree: Tree) -> set[bytes]:
        """The files that are not as in the commit."""
        objects = self.borrowed.git(self._patience)
        said = objects("diff-tree", "-r", "-z", "--name-only", "--no-renames", commit, tree.id)
        return {*said.split(b"\0")[:-1]}

    def n_bytes(self, tree: Tree) -> int:
        """About how much the files of the tree hold together."""
        total = 0
        for path in tree.blobs:
            try:
                total += os.lstat(self._at(path)).st_size
            except OSError:  # gone since, or never checked out
                continue
        return total

    def _ignored(self) -> list[LeftOut]:
        said = self.git("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
        paths = [path for path in said.split(b"\0")[:-1] if not path.endswith(b"__pycache__/")]
        return [LeftOut(path, "ignored by Git", self._size(path)) for path in paths]

    def _filtered(self, tracked: Sequence[bytes]) -> list[LeftOut]:
        """Files that a filter such as that of LFS keeps elsewhere: the tree has what the filter made of them."""
        names = (b".gitattributes", b"/.gitattributes")
        if not any(b"filter" in self._text(path) for path in tracked if path.endswith(names)):
            return []
        said = self.git("check-attr", "-z", "--stdin", "filter", stdin=self._list(tracked)).split(b"\0")
        filtered = [
            (path, value) for path, value in zip(said[::3], said[2::3], strict=False) if value != b"unspecified"
        ]
        return [
            LeftOut(path, f"in the tree as the filter {value.decode(errors='replace')!r} keeps it", self._size(path))
            for path, value in filtered
            if value not in {b"unset", b"set"}
        ]

    def _list(self, paths: Iterable[bytes]) -> Path:
        file = self.folder / "paths"
        file.write_bytes(b"".join(path + b"\0" for path in paths))
        return file

    def _at(self, path: bytes) -> bytes:
        return os.path.join(os.fsencode(self.root), path)  # noqa: PTH118  bytes

    def _size(self, path: bytes) -> int | None:
        return None if path.endswith(b"/") else size_of(self._at(path))

    def _text(self, path: bytes) -> bytes:
        try:
            return Path(os.fsdecode(self._at(path))).read_bytes()
        except OSError:
            return b""


def blob_id(content: bytes, *, is_sha256: bool) -> str:
    """The name that Git gives to the content of a file; gitformat-loose(5)."""
    kind = hashlib.sha256 if is_sha256 else hashlib.sha1
    return kind(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _pattern(path: str) -> str:
    """A line of an ignore file that means this folder alone; gitignore(5)."""
    escaped = "".join(f"\\{one}" if one in "\\*?[]! #" else one for one in path)
    return f"/{escaped}/"
