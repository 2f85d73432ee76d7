"""RunningWorkers: batches as tasks of a scheduler whose workers come and go."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from sciflow.clusters.dasked import DaskWorkers

if TYPE_CHECKING:
    from distributed import Client

    from sciflow.clusters.protocol import Answer

LOOK_S = 5.0
"""Seconds between two counts of the workers."""


class RunningWorkers(DaskWorkers):
    """Workers that come and go as somebody else likes."""

    _look_at = 0.0

    def next_answer(self, timeout_s: float) -> Answer | None:
        """Give the next answer, or None when there is none within *timeout_s* seconds."""
        if time.monotonic() > self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            self.n_slots = n_threads(self.client)
        return super().next_answer(timeout_s)

    def close(self) -> None:
        """Take away from the workers what they were given."""
        with contextlib.suppress(OSError, TimeoutError):
            self.client.unregister_worker_plugin(self.token)
        super().close()


def n_threads(client: Client) -> int:
    """How many batches its workers run at the same time."""
    threads: Any = client.nthreads()
    return sum(threads.values())
