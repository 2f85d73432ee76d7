"""What a run said before it failed: its warnings, and the end of what it printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_WARNINGS: Final = 20
"""Different warnings of one variant that are kept."""

TAIL_CHARACTERS: Final = 2000
"""How much of what a variant printed is kept: the last of it."""


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning.

    Attributes
    ----------
    category : name of its class
    message : its text
    where : file and line
    """

    category: str
    message: str
    where: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a run besides the exception.

    Attributes
    ----------
    warnings : the first that were raised, at most `MOST_WARNINGS`
    output : the last `TAIL_CHARACTERS` of what was printed, on both streams
    """

    warnings: tuple[Warned, ...] = ()
    output: str = ""


def no_evidence() -> Evidence:
    """Of a process whose output is not ours to listen to."""
    return Evidence()
