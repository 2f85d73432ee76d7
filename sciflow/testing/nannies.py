"""NannyCluster: Dask workers whose nannies are processes of their own, as batch schedulers start them."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cloudpickle

from sciflow import interpreter
from sciflow.clusters import machine
from sciflow.clusters.protocol import OfOneKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.clusters.dasked import DaskWorkers
    from sciflow.clusters.protocol import Answer, Setting, Work
    from sciflow.planning.batch import Batch
    from sciflow.workflow import Resources

_PATIENCE_S = "10"  # without a scheduler: it is on this machine, and dead if it does not answer


@dataclass(frozen=True, slots=True)
class NannyCluster:
    """Worker processes as a cluster has them: a scheduler in the driver, and nannies that were started elsewhere.

    A nanny that dies takes its worker with it, and another is started, as for a job that was lost.

    Parameters
    ----------
    workers : int
        Number of nannies, each with one worker of one thread.
    """

    workers: int = 2

    @property
    def name(self) -> str:
        """Word for messages."""
        return "nannies"

    @property
    def has_jobs(self) -> bool:
        """Its workers are of one kind, and there at once."""
        return False

    def unmet(self, resources: Mapping[str, Resources]) -> list[str]:
        """Say in a sentence each requirement that this machine cannot meet."""
        return machine.unmet(resources)

    def n_slots(self, resources: Mapping[str, Resources]) -> int:
        """As many as there are workers."""
        del resources
        return self.workers

    def start(self, work: Work, resources: Mapping[str, Resources], setting: Setting) -> NannyWorkers:
        """Start a scheduler and nannies."""
        del resources, setting
        return NannyWorkers(self.workers, cloudpickle.dumps(work))


class NannyWorkers(OfOneKind):
    """A running scheduler and its nannies; see `sciflow.clusters.protocol.Workers`."""

    def __init__(self, n_slots: int, payload: bytes) -> None:
        import dask.config  # noqa: PLC0415  only those who start it pay for importing Dask
        from distributed import Client, LocalCluster  # noqa: PLC0415  same

        from sciflow.clusters.dasked import SETTINGS, DaskWorkers  # noqa: PLC0415  same

        self.n_slots = n_slots
        with dask.config.set(SETTINGS):
            self._scheduler: Any = LocalCluster(
                n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
            )
            client = Client(self._scheduler, set_as_default=False)
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._workers: DaskWorkers = DaskWorkers(client, payload, n_slots, answers, client.close, self._scheduler.close)
        self._nannies = [self._new() for _ in range(n_slots)]

    def _new(self) -> subprocess.Popen[bytes]:
        options = ["--nanny", "--nthreads", "1", "--no-dashboard", "--death-timeout", _PATIENCE_S]
        return subprocess.Popen(  # noqa: S603  Dask's own command
            [sys.executable, "-m", "distributed.cli.dask_worker", self._scheduler.scheduler_address, *options],
            env=interpreter.environment(machine.worker_environment(1)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def submit(self, batch: Batch) -> None:
        """Send a batch."""
        self._workers.submit(batch)

    def next_answer(self, timeout_s: float) -> Answer | None:
        """Give the next answer, or None when there is none within *timeout_s* seconds; replace dead nannies first."""
        self._nannies = [nanny if nanny.poll() is None else self._new() for nanny in self._nannies]
        return self._workers.next_answer(timeout_s)

    def drain(self) -> None:
        """Tell every worker to start no further variant."""
        self._workers.drain()

    def close(self) -> None:
        """End every worker."""
        self._workers.close()
        for nanny in self._nannies:
            nanny.terminate()
        for nanny in self._nannies:
            try:
                nanny.wait(timeout=10)
            except subprocess.TimeoutExpired:
                nanny.kill()
                nanny.wait()
