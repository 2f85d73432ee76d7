"""Files that tasks read, as the author of a workflow declares them."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from sciflow.errors import WorkflowError


@dataclass(frozen=True, slots=True)
class Input:
    """A file, a folder with all that is in it, or a pattern of files.

    Attributes
    ----------
    given
        As it was declared; also the beginning of the names of its files.
    folder
        The current folder when it was declared, from which a relative one is meant.
    """

    given: str
    folder: str

    @classmethod
    def declare(cls, path: str | os.PathLike[str]) -> Input:
        """Check that there is such a file now.

        Raises
        ------
        WorkflowError
            There is none.
        """
        try:
            given = os.fspath(path)
        except TypeError:
            given = None
        if not isinstance(given, str) or not given:
            raise WorkflowError(f"an input is a path or a pattern such as 'data/*.csv', not {path!r}")
        declared = cls(given, str(Path.cwd()))
        declared.files()
        return declared

    def files(self) -> dict[str, Path]:
        """Name to path of each file, in order of their names; a name is the path as declared.

        Raises
        ------
        WorkflowError
            There is none.
        """
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
                f"input {self.given!r} is not there: no file is {root / self.given}; give the path of a file or "
                "folder, or a pattern such as 'data/*.csv'"
            )
        return {Path(one).as_posix(): root / one for one in sorted(found)}
