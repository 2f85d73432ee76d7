"""Events: what a driver says while it works, for logs, displays and the user's own callbacks.

========================  ============================================================================================
``sweep.started``         work begins: ``todo`` of ``variants`` are to run, on ``slots`` workers
``sweep.finished``        nothing is left to run: ``done`` and ``failed`` of this session, ``busy_s`` of ``worker_s``
``sweep.stopped``         the same, when it ended before; with a ``reason`` if it was given up
``batch.committed``       a batch is on the disk: ``done``, ``failed``, ``busy_s``, ``failures`` by fingerprint
``variant.failed``        the first failure of its kind: ``variant``, ``task``, ``cause``, ``fingerprint``, ``message``
``shared.computed``       runs that several variants have in common were made: ``task``, ``evaluations``, ``busy_s``
``worker.lost``           a worker process died with a batch of ``variants``; ``suspect`` is the one that it ran
``environment.mismatch``  a worker on ``host`` has another Python or other packages than the driver: ``differences`` has
                          for each the driver's version and the worker's (None where it is not installed)
``input.changed``         ``n`` declared inputs are not what they were when the sweep began, some of them ``inputs``
``window.closed``         the policy lets no work start: an ``explanation``, and a ``reason`` that stays true until
                          ``next_open`` (Unix seconds; left out when the clock alone does not decide)
``window.opened``         it does again
``window.overrun``        ``variants`` still run though the window has ``closed``; their workers end them by ``end_by``
                          (both in Unix seconds)
========================  ============================================================================================

Later releases may tell more, under names that are not here yet: ignore what you do not know.

The log of a session, ``events/<session>.jsonl`` in the sweep directory, has the same as JSON lines. There, what comes
thick is put together (counts are summed, ``merged`` says of how many), so that it grows with time, not with variants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

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
    "environment.mismatch",
    "input.changed",
    "window.closed",
    "window.opened",
    "window.overrun",
]
"""What is reported."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Parameters
    ----------
    name : what happened: an `EventName`, or one that a later release knows
    time : when, in Unix seconds
    facts : counts and texts that belong to it

    Examples
    --------
    Say when something fails, while the sweep goes on:

    >>> def warn(event):
    ...     if event.name == "variant.failed":
    ...         print(event.facts["task"], event.facts["message"])
    >>> engine = sciflow.Engine(on_event=warn)  # doctest: +SKIP
    """

    name: str
    time: float
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        """Plain data: one line of the event log."""
        return {"name": self.name, "time": self.time, **self.facts}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The event that `to_dict` wrote."""
        facts = {key: value for key, value in data.items() if key not in {"name", "time"}}
        return cls(str(data["name"]), float(data["time"]), facts)
