"""Check: one thing that was looked at, what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

CheckState = Literal["well", "doubtful", "wrong", "untried"]
"""``doubtful`` works, or may work, with a remark; ``wrong`` will not work; ``untried`` says nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name
        One word for it.
    state
        How it is.
    says
        What was found, with what was measured.
    remedy
        What to do where it is not well.
    facts
        What was found, for programs; units are in the names.
    """

    name: str
    state: CheckState
    says: str
    remedy: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


def wrong(name: str, error: Exception, remedy: str = "") -> Check:
    """What an error says; ours end with what to do."""
    said, _, advice = (str(error), "", "") if remedy else str(error).rpartition("; ")
    return Check(name, "wrong", said or advice, remedy or (advice if said else ""))
