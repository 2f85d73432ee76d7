"""Files that tasks read, as the author of a workflow declares them."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from sciflow.errors import WorkflowError

Hash: TypeAlias = Literal["content", "size-mtime"]
"""What a file is known by: the digest of what it holds, or its size and time of modification."""

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Input:
    """A file, a folder with all that is in it, a pattern of files, or a URL, which is told and not fetched.

    Attributes
    ----------
    given
        As it was declared; also the beginning of the names of its files.
    folder
        The current folder when it was declared, from which a relative one is meant.
    hash
        What its files are known by.
    sha256
        What the author says that the digest of its content is; empty if nothing was said.
    """

    given: str
    folder: str
    hash: Hash = "content"
    sha256: str = ""

    @classmethod
    def declare(cls, path: str | os.PathLike[str], *, hash: Hash = "content", sha256: str | None = None) -> Input:  # noqa: A002  users' word
        """Check that there is such a file now.

        Raises
        ------
        WorkflowError
            There is none, or the options do not fit it.
        """
        try:
            given = os.fspath(path)
        except TypeError:
            given = None
        if not isinstance(given, str) or not given:
            raise WorkflowError(f"an input is a path or a pattern such as 'data/*.csv', not {path!r}")
        if hash not in get_args(Hash):
            raise WorkflowError(f"hash={hash!r} of input {given!r} is not understood; it is 'content' or 'size-mtime'")
        if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise WorkflowError(f"sha256 of input {given!r} is 64 hex digits, as sha256sum prints them, not {sha256!r}")
        declared = cls(given, str(Path.cwd()), hash, (sha256 or "").lower())
        if declared.is_url:
            if not sha256:
                raise WorkflowError(
                    f"input {given!r} is not fetched, so say what it holds: add_input(url, sha256='...'), "
                    "as sha256sum prints it of the file that tasks read"
                )
            return declared
        if sha256 and (len(declared.files()) != 1 or hash != "content"):
            raise WorkflowError(f"sha256 is of the content of one file or URL; input {given!r} is otherwise")
        declared.files()
        return declared

    @property
    def is_url(self) -> bool:
        """Whether it lies elsewhere."""
        return _URL.match(self.given) is not None

    def files(self) -> dict[str, Path]:
        """Name to path of each file, in order of their names; a name is the path as declared. None of a URL.

        Raises
        ------
        WorkflowError
            There is none.
        """
        if self.is_url:
            return {}
        root = Path(self.folder)
        pattern = self.given
        if (root / self.given).is_file():  # brackets in a name that is there mean themselves
            pattern = glob.escape(self.given)
        elif (root / self.given).is_dir():
            pattern = os.path.join(glob.escape(self.given), "**")  # noqa: PTH118  text only
        matches = glob.iglob(pattern, root_dir=root, recursive=True)  # noqa: PTH207  names are relative
        found = [one for one in matches if (root / one).is_file()]
        if not found:
            raise WorkflowError(
                f"input {self.given!r} is not there: no file is {root / self.given} (a relative path is meant from "
                f"the working directory at its declaration, {root}); give the path of a file or folder, or a pattern "
                "such as 'data/*.csv'"
            )
        return {Path(one).as_posix(): root / one for one in sorted(found)}
