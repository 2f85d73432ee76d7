"""LoadAware: work while others leave room."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sciflow.errors import PolicyError
from sciflow.scheduling.opening import Conditions, Opening, utc
from sciflow.scheduling.policy import Policy, Sense

if TYPE_CHECKING:
    from collections.abc import Iterator


MAX_LOAD = 0.7
"""Of a machine, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class LoadAware(Policy):
    """Start work only while others leave room, on this machine or in the queue; what runs is left to finish.

    Parameters
    ----------
    max_load : float, optional
        Start while others keep at most this part of the cores of the driver's machine busy; by default 0.7, and no
        bound where there is *max_pending*. What the sweep's own processes use does not count.
    max_pending : int, optional
        Start jobs while at most so many jobs of other users wait in the queue that the sweep's jobs go to; None is no
        bound. Only for clusters with a queue (``"slurm"``, ``"pbs"``), which is asked once a minute.
    hysteresis : float, default 0.15
        Work that goes on pauses only above the bounds by this part, so that it does not stutter.

    Raises
    ------
    PolicyError
        For a bound that is none.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from sciflow.scheduling import Conditions
    >>> now = datetime(2026, 11, 21, tzinfo=UTC)
    >>> [LoadAware(0.5).opening(Conditions(now, load=load)).may_start for load in (0.4, 0.6)]
    [True, False]
    """

    max_load: float | None = None
    max_pending: int | None = None
    hysteresis: float = 0.15

    def __post_init__(self) -> None:
        for name in ("max_load", "max_pending", "hysteresis"):
            value: object = getattr(self, name)
            if value is None and name != "hysteresis":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise PolicyError(f"{name} must be a number of at least 0, not {value!r}")
        if self.max_load is None and self.max_pending is None:
            object.__setattr__(self, "max_load", MAX_LOAD)

    def opening(self, conditions: Conditions) -> Opening:
        """Open while no bound is exceeded, with no end that could be known before."""
        utc(conditions.now)
        return Opening(may_start=not any(self._exceeded(conditions)))

    def reason(self, conditions: Conditions) -> str:
        """One sentence."""
        names = list(self._exceeded(conditions))
        if not names:
            return "others leave room for work"
        return " and ".join(
            f"others use more than {self.max_load:.0%} of this machine"
            if name == "load"
            else f"others have more than {_jobs(self.max_pending or 0)} waiting in the queue"
            for name in names
        )

    def explain(self, conditions: Conditions) -> str:
        """One sentence, such as ``others use more than 70% of this machine (92%)``."""
        facts = [
            *([f"{conditions.load:.0%}"] if "load" in self.senses and conditions.load is not None else []),
            *([_jobs(conditions.n_pending)] if "n_pending" in self.senses and conditions.n_pending is not None else []),
        ]
        return self.reason(conditions) + (f" ({', '.join(facts)})" if facts else "")

    @property
    def senses(self) -> frozenset[Sense]:
        """What it has bounds for."""
        return frozenset(name for name, bound in self._bounds() if bound is not None)

    def to_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "name": "load_aware",
            "max_load": self.max_load,
            "max_pending": self.max_pending,
            "hysteresis": self.hysteresis,
        }

    def _bounds(self) -> tuple[tuple[Sense, float | None], ...]:
        return ("load", self.max_load), ("n_pending", self.max_pending)

    def _exceeded(self, conditions: Conditions) -> Iterator[Sense]:
        allowed = 1 + self.hysteresis if conditions.working else 1
        for name, bound in self._bounds():
            value: float | None = getattr(conditions, name)
            if bound is not None and value is not None and value > bound * allowed:
                yield name


def _jobs(n: int) -> str:
    return "1 job" if n == 1 else f"{n:,} jobs"
