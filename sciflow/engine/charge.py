"""Charge: what a driver that works for somebody else is told, instead of finding it out from its own process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.engine.gate import Gate
    from sciflow.provenance.sources import Sources


@dataclass(frozen=True, slots=True)
class Origin:
    """The user's code as it was when the sweep was asked for.

    Attributes
    ----------
    sources
        The files.
    code
        What Git said of them.
    fingerprints
        Task name → identity of its code.
    """

    sources: Sources
    code: Mapping[str, Any]
    fingerprints: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Charge:
    """What a controller tells its driver.

    Attributes
    ----------
    origin
        The code.
    gate
        When work may start.
    facts
        What the session's file says besides.
    taken
        Called with the session's number once the sweep is ours.
    sessions
        Earlier ones that worked on the same request: what they settled is not run again, whatever is asked for.
    """

    origin: Origin
    gate: Gate
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    taken: Callable[[int], None] = lambda _: None
    sessions: frozenset[int] = frozenset()
