"""Events: what a driver says while it works, for logs, displays and the user's own callbacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

EventName = Literal[
    "sweep.started",
    "sweep.finished",
    "sweep.stopped",
    "batch.committed",
    "variant.failed",
    "shared.computed",
    "worker.lost",
    "window.closed",
    "window.opened",
]
"""The closed set of things that are reported."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Parameters
    ----------
    name : what happened
    time : when, in Unix seconds
    facts : counts and texts that belong to it
    """

    name: EventName
    time: float
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        """Plain data: one line of the event log."""
        return {"name": self.name, "time": self.time, **self.facts}
