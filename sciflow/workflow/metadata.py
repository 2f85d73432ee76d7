"""What a workflow wants to be known of a sweep before it runs: names, and what each asks for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from sciflow.errors import WorkflowError

METADATA_REQUIREMENTS: Final = {
    "git": "the code lies in a Git repository and has been committed",
    "git_clean": "nothing in the repository has changed since the commit, and nothing is untracked",
    "inputs_declared": "the workflow declares the files it reads",
    "inputs_hashed": "each declared input is known by a digest of its content",
    "lock_file": "a lock file lies with the code and agrees with what is installed",
    "packages_released": "each package was installed from a release, not from a folder or a repository",
}
"""Name → what must be so, for ``set_metadata_requirements``."""


def parse_metadata_requirements(requirements: Mapping[str, object]) -> tuple[str, ...]:
    """Read requirements as people write them; give the names of those that are wanted.

    Raises
    ------
    WorkflowError
        For an unknown name, or a value that is not True or False.
    """
    if not isinstance(requirements, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise WorkflowError(f"metadata requirements are a mapping such as {{'git_clean': True}}, not {requirements!r}")
    for name, value in requirements.items():
        if name not in METADATA_REQUIREMENTS:
            close = difflib.get_close_matches(str(name), METADATA_REQUIREMENTS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise WorkflowError(
                f"there is no metadata requirement {name!r}{hint}; there are {', '.join(METADATA_REQUIREMENTS)}"
            )
        if not isinstance(value, bool):
            raise WorkflowError(f"metadata requirement {name!r} is True or False, not {value!r}")
    return tuple(name for name in METADATA_REQUIREMENTS if requirements.get(name))
