"""OthersWaiting: how many jobs of others wait in the queue that a sweep's jobs go to."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sciflow.errors import BatchError, BatchUnreachableError, PolicyError
from sciflow.planning.classes import Classes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sciflow.clusters.protocol import Cluster
    from sciflow.scheduling.policy import Policy
    from sciflow.workflow.binding import Definition

EVERY_S: Final = 60.0
"""So often the batch system is asked at most."""

LEAST_OFTEN_S: Final = 15 * 60.0
"""So often it is asked while it does not answer, in the end."""


def _in_background(ask: Callable[[], None]) -> None:
    threading.Thread(target=ask, name="sciflow-queue", daemon=True).start()


@dataclass(slots=True)
class OthersWaiting:
    """Call it for the number of jobs of others that wait; None while the batch system does not say.

    The first call waits for the answer. Later ones give the last answer at once and have it renewed meanwhile.

    Parameters
    ----------
    ask : asks the batch system
    clock : seconds
    apart : runs what takes time beside the caller
    """

    ask: Callable[[], int]
    clock: Callable[[], float] = time.monotonic
    apart: Callable[[Callable[[], None]], None] = _in_background
    _value: int | None = field(default=None, init=False)
    _next_at: float | None = field(default=None, init=False)
    _pause_s: float = field(default=EVERY_S, init=False)

    def __call__(self) -> int | None:
        """The number, a minute old at most while the batch system answers."""
        if self._next_at is None:
            self._renew()
        elif self.clock() >= self._next_at:
            self._next_at = float("inf")  # until it is answered
            self.apart(self._renew)
        return self._value

    def _renew(self) -> None:
        """Ask; what cannot be reached is asked more and more rarely.

        Raises
        ------
        BatchError
            The first time, it is not told to users at all.
        """
        try:
            self._value, self._pause_s = self.ask(), EVERY_S
        except BatchError as error:
            if self._next_at is None and not isinstance(error, BatchUnreachableError):
                raise
            if self._value is not None:
                print(f"sciflow: how many jobs of others wait is not known: {error}", file=sys.stderr)  # noqa: T201
            self._value, self._pause_s = None, min(2 * self._pause_s, LEAST_OFTEN_S)
        self._next_at = self.clock() + self._pause_s


def others_waiting(policy: Policy, cluster: Cluster, definition: Definition, sweep: Path) -> Callable[[], int | None]:
    """What tells a gate how many jobs of others wait; *sweep* is the sweep directory.

    Raises
    ------
    PolicyError
        The policy wants to know, and the workers of this cluster come through no queue.
    """
    if "n_pending" not in policy.senses:
        return lambda: None
    from sciflow.clusters.batch import BatchCluster  # noqa: PLC0415  for policies that ask

    if not isinstance(cluster, BatchCluster):
        raise PolicyError(
            f"the policy {policy!r} has max_pending, which counts the jobs of others in a queue, and workers of the "
            f"cluster {cluster.name!r} wait in none; use LoadAware(max_load=0.7), or a cluster 'slurm' or 'pbs'"
        )
    site = cluster.site(sweep)
    system, queues = site.batch_system(), cluster.queues_of(Classes.of(definition).all, site)
    return OthersWaiting(lambda: sum(map(system.n_waiting_of_others, queues)))
