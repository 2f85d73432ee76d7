"""What went wrong with Git, in words that may be kept."""

from __future__ import annotations

import re
from typing import Final

_OWNER_REMEDY: Final = (
    "Git does not read it, for it belongs to somebody else (dubious ownership); if you trust its owner: "
    "git config --global --add safe.directory FOLDER, with the folder of the repository"
)


def problem_of(error: Exception) -> str:
    """What went wrong with Git, in words without paths."""
    said = str(error)
    if "dubious ownership" in said:
        return _OWNER_REMEDY
    if "Timeout: the command" in said:
        return "Git took too long"
    words = re.search(r"(?:fatal|error): .*", said)
    return without_paths(words[0].rstrip("'") if words else f"{type(error).__name__}: {first_line(error)}")


def first_line(words: object) -> str:
    """The first line of a message."""
    lines = str(words).strip().splitlines()
    return lines[0] if lines else ""


def without_paths(words: str) -> str:
    """Words without the names of folders, which name people and machines."""
    return re.sub(r"[^\s'\"]*/[^\s'\"]*", "…", words)
