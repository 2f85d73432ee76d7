"""Thinning: an event log that grows with time, not with variants: what comes thick is put together."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sciflow.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOSEST_S: Final = 0.5
WIDEST_S: Final = 30.0
"""Seconds between two lines of one kind: few at first, more as the sweep goes on."""

_YOUNG = 1000  # a sweep is this many times older than its lines are apart
_SINGLE = 1000  # so many events of a kind that tells of single variants or workers are written as they are
_SUMMED: Final[Mapping[str, tuple[str, ...]]] = {
    "batch.committed": ("done", "failed", "busy_s"),
    "shared.computed": ("evaluations", "busy_s"),
    "worker.lost": ("variants", "done"),
    "variant.failed": (),
}
_FREQUENT = frozenset({"batch.committed", "shared.computed"})


@dataclass(slots=True)
class Thinning:
    """Decides what is written, and when.

    Parameters
    ----------
    start : when the log begins, in Unix seconds
    """

    start: float
    _written: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    _held: dict[tuple[str, str], Event] = field(default_factory=dict[tuple[str, str], Event])
    _n: Counter[str] = field(default_factory=Counter[str])

    def add(self, event: Event) -> list[Event]:
        """Take an event; give those that are to be written now, in order."""
        if event.name not in _SUMMED:
            return [*self.rest(), event]
        self._n[event.name] += 1
        if event.name not in _FREQUENT and self._n[event.name] <= _SINGLE:
            return [event]
        key = event.name, str(event.facts.get("task", ""))
        held = self._held.get(key)
        self._held[key] = event if held is None else _together(held, event)
        return self.due(event.time)

    def due(self, now: float) -> list[Event]:
        """Give what has been held back long enough."""
        apart_s = min(max(CLOSEST_S, (now - self.start) / _YOUNG), WIDEST_S)
        # a clock that was set back must not hold anything for long
        keys = [key for key in self._held if not 0 <= now - self._written.get(key, -math.inf) < apart_s]
        self._written |= dict.fromkeys(keys, now)
        return [self._held.pop(key) for key in keys]

    def rest(self) -> list[Event]:
        """Give all that is held back."""
        held = list(self._held.values())
        self._held.clear()
        return held


def _together(first: Event, second: Event) -> Event:
    """Two events of a kind as one: what can be counted is summed, the rest is that of the second."""
    facts: dict[str, Any] = dict(second.facts)
    for name in _SUMMED[first.name]:
        if name in first.facts or name in facts:
            facts[name] = round(first.facts.get(name, 0) + facts.get(name, 0), 6)
    if "failures" in first.facts or "failures" in facts:
        facts["failures"] = dict(Counter(first.facts.get("failures", {})) + Counter(facts.get("failures", {})))
    facts["merged"] = first.facts.get("merged", 1) + 1
    facts["since"] = first.facts.get("since", first.time)
    return Event(second.name, second.time, facts)
