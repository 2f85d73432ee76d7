"""Which of the files that Git does not know belong to the code that ran."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MOST_BYTES: Final = 10_000_000
"""What a file may have; larger ones are data rather than code."""

MOST_BYTES_TOGETHER: Final = 100_000_000
MOST_FILES: Final = 10_000
MOST_NAMED: Final = 200

_FOLDERS_BY_FILE: Final = {
    b"sweep.json": "a sweep",
    b"pyvenv.cfg": "a virtual environment",
    b"conda-meta/history": "a conda environment",
}
_FOLDERS_BY_NAME: Final = {
    b"__pycache__": "compiled files",
    b".ipynb_checkpoints": "copies of notebooks",
    b"node_modules": "installed packages",
    b".ssh": "may hold secrets",
    b".aws": "may hold secrets",
    b".gnupg": "may hold secrets",
}
_SECRET: Final = re.compile(
    rb"\.env(\..+)?|.+\.env|.+\.(pem|key|ppk|p12|pfx|kdbx|keystore|jks)|id_\w+(\.pub)?|[._]netrc|\.pgpass|\.my\.cnf"
    rb"|\.pypirc|\.npmrc|\.git-credentials|\.htpasswd|\.?credentials(\.json)?|\.boto|kubeconfig",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that is not in the tree.

    Attributes
    ----------
    path
        In the repository; that of a folder ends with a slash.
    reason
        Why.
    n_bytes
        Of a file; None where nobody looked.
    n_files
        Of a folder.
    """

    path: bytes
    reason: str
    n_bytes: int | None = None
    n_files: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The facts as JSON data."""
        sizes = {"bytes": self.n_bytes, "n_files": self.n_files}
        return {
            "path": shown(self.path),
            "reason": self.reason,
            **{key: size for key, size in sizes.items() if size is not None},
        }


def shown(path: bytes) -> str:
    r"""A path as text; a byte that is no UTF-8 as ``\xff``."""
    return path.decode("utf-8", errors="backslashreplace")


def choose(paths: Iterable[bytes], root: bytes) -> tuple[list[bytes], list[LeftOut]]:
    """Of *paths* below *root*, those that go into the tree, and what does not with the reasons.

    Small files go first where there are too many: code is small.
    """
    rest, left = _without_folders(sorted(paths))
    sized: list[tuple[int, bytes]] = []
    for path in rest:
        if path.endswith(b"/"):
            left.append(LeftOut(path, "a repository of its own, which is no submodule"))
            continue
        n_bytes = size_of(os.path.join(root, path))  # noqa: PTH118  bytes
        if _SECRET.fullmatch(os.path.basename(path)):  # noqa: PTH119  same
            left.append(LeftOut(path, "may hold secrets", n_bytes))
        elif n_bytes is None:
            left.append(LeftOut(path, "cannot be read"))
        elif n_bytes > MOST_BYTES:
            left.append(LeftOut(path, f"not tracked, and larger than {MOST_BYTES // 1_000_000} MB", n_bytes))
        else:
            sized.append((n_bytes, path))
    kept: list[bytes] = []
    total = 0
    for n_bytes, path in sorted(sized):
        total += n_bytes
        if total > MOST_BYTES_TOGETHER or len(kept) >= MOST_FILES:
            left.append(LeftOut(path, "too many files that are not tracked", n_bytes))
        else:
            kept.append(path)
    return kept, left


def told(left: Sequence[LeftOut]) -> list[dict[str, Any]]:
    """What is said of them as JSON data: the largest first, and of very many the sum of the rest."""
    ordered = sorted(left, key=lambda one: (-(one.n_bytes or 0), one.path))
    data = [one.to_dict() for one in ordered[:MOST_NAMED]]
    if rest := ordered[MOST_NAMED:]:
        n_files = sum(one.n_files or 1 for one in rest)
        n_bytes = sum(one.n_bytes or 0 for one in rest)
        data.append(LeftOut("…".encode(), "further ones, for the reasons above", n_bytes, n_files).to_dict())
    return data


def _without_folders(paths: Sequence[bytes]) -> tuple[list[bytes], list[LeftOut]]:
    """Take out whole folders that are known to hold no code of the user's."""
    found = {
        path.removesuffix(name): reason
        for name, reason in _FOLDERS_BY_FILE.items()
        for path in paths
        if path.endswith(b"/" + name)
    }
    sizes: Counter[bytes] = Counter()
    rest: list[bytes] = []
    lookup = _folder_lookup(found)
    for path in paths:
        folder = lookup(path)
        if folder is None:
            rest.append(path)
        else:
            sizes[folder] += 1
    return rest, [LeftOut(folder, found[folder], n_files=n) for folder, n in sorted(sizes.items())]


def _folder_lookup(found: dict[bytes, str]) -> Callable[[bytes], bytes | None]:
    """Say of a path which of the *found* folders it lies in; folders that their names give away are added."""

    def lookup(path: bytes) -> bytes | None:
        above = b""
        for part in path.split(b"/")[:-1]:
            above += part + b"/"
            if part in _FOLDERS_BY_NAME:
                found.setdefault(above, _FOLDERS_BY_NAME[part])
            if above in found:
                return above
        return None

    return lookup


def size_of(path: bytes) -> int | None:
    """Bytes of a file; None when it cannot be read."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    is_link = (facts.st_mode & 0o170000) == 0o120000
    return facts.st_size if is_link or os.access(path, os.R_OK) else None
