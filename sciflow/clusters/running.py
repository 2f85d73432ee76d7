"""RunningCluster: the workers of a Dask scheduler that somebody else started."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cloudpickle

from sciflow.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distributed import Client

    from sciflow.clusters.protocol import Setting, Work
    from sciflow.clusters.running_workers import RunningWorkers
    from sciflow.workflow import Resources

CONNECT_S = 30.0
"""How long to wait for a scheduler, and for its first worker."""


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """The workers of a running Dask scheduler, which see the sweep directory under the same path as this process.

    Parameters
    ----------
    scheduler
        Its address, such as ``tcp://10.0.0.1:8786``, or a `distributed.Client` of it, which is left open.
    """

    scheduler: str | Client

    has_jobs = False

    @property
    def name(self) -> str:
        """Word for messages."""
        return self.scheduler if isinstance(self.scheduler, str) else "Dask"

    def unmet(self, resources: Mapping[str, Resources]) -> list[str]:
        """Nothing is known of what its workers have."""
        del resources
        return []

    def n_slots(self, resources: Mapping[str, Resources]) -> int:
        """Not known before it is asked."""
        del resources
        return 1

    def start(self, work: Work, resources: Mapping[str, Resources], setting: Setting) -> RunningWorkers:
        """Connect, and wait for the first worker."""
        from distributed import Client  # noqa: PLC0415  loads Dask

        from sciflow.clusters.running_workers import RunningWorkers, n_threads  # noqa: PLC0415  same

        del resources, setting
        if isinstance(self.scheduler, str):
            client = Client(self.scheduler, set_as_default=False, timeout=CONNECT_S)
            own = [client.close]
        else:
            client, own = self.scheduler, []
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            for close in own:
                close()
            raise SweepError(f"the scheduler {self.name} has had no worker for {CONNECT_S:.0f} s") from error
        return RunningWorkers(client, cloudpickle.dumps(work), n_threads(client), queue.SimpleQueue(), *own)
