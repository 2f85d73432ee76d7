"""DaskWorkers: batches as tasks of a running Dask scheduler."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

import cloudpickle
from distributed import Client, KilledWorker, WorkerPlugin, get_worker
from distributed.client import FutureCancelledError

from sciflow.clusters.protocol import Answer, OfOneKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Worker

    from sciflow.planning.batch import Ack, Batch

SETTINGS: dict[str, Any] = {
    # a lost worker is ours to judge: the store, not Dask, knows what is done
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-saturation": 1.0,
    # batches leave nothing in worker memory, so there is nothing to spill and pausing could only hang
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # a busy worker process (the GIL held by user code for minutes) is not a dead one
    "distributed.scheduler.worker-ttl": None,
    "distributed.admin.tick.limit": "1h",
    "distributed.worker.profile.enabled": False,
}


class Payload(WorkerPlugin):
    """Brings the work to each worker once, those that join later included."""

    def __init__(self, token: str, payload: bytes) -> None:
        self.name = token
        self._payload = payload
        self._work: Any = None

    def setup(self, worker: Worker) -> None:
        """Runs in the worker, in its main thread."""
        del worker
        # Ctrl-C reaches the whole terminal; the driver decides what it means
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Worker) -> None:
        """Runs in the worker when it closes."""
        del worker
        if self._work is not None:
            self._work.close()

    @property
    def work(self) -> Any:
        """The callable, unpickled on first use so that user modules are imported by a task, where errors are seen."""
        if self._work is None:
            self._work = cloudpickle.loads(self._payload)
        return self._work


def run_batch(token: str, batch: Batch) -> Ack:
    """Runs in the worker, as a task of Dask."""
    plugin = get_worker().plugins[token]
    assert isinstance(plugin, Payload)
    if plugin.work.is_spent:  # it holds memory that it does not use: the nanny starts another, which does the batch
        os._exit(0)
    return plugin.work(batch)


def drain_worker(token: str, dask_worker: Worker) -> None:
    """Runs in the worker: have it start no further variant."""
    plugin = dask_worker.plugins[token]
    assert isinstance(plugin, Payload)
    plugin.work.drain()


class DaskWorkers(OfOneKind):
    """Batches as tasks of a Dask scheduler.

    Parameters
    ----------
    client : Client
        Connected to the scheduler; closing it is up to *on_close*.
    payload : bytes
        What the workers run.
    n_slots : int
        Number of worker threads.
    answers : queue
        Where answers go.
    on_close : callables
        Called in order when the workers are closed.
    """

    def __init__(
        self,
        client: Client,
        payload: bytes,
        n_slots: int,
        answers: queue.SimpleQueue[Answer],
        *on_close: Callable[[], object],
    ) -> None:
        self.client = client
        self.n_slots = n_slots
        self._on_close = on_close
        self.token = f"sciflow-{uuid.uuid4().hex[:12]}"
        """Name of what the workers were given."""
        self._answers = answers
        self._in_flight: dict[int, Batch] = {}
        self._closed = False
        client.register_plugin(Payload(self.token, payload))

    def submit(self, batch: Batch) -> None:
        """Send a batch as one task."""
        key = f"{self.token}-{batch.number}"
        self._in_flight[batch.number] = batch
        future: Any = self.client.submit(run_batch, self.token, batch, key=key, pure=False, retries=0)
        # the callback holds the future until it has been read; afterwards nothing does, so Dask forgets it
        future.add_done_callback(partial(self._settle, batch))

    def _settle(self, batch: Batch, future: Any) -> None:
        if self._closed or self._in_flight.pop(batch.number, None) is None:
            return
        try:
            answer = Answer(batch, future.result())
        except (KilledWorker, FutureCancelledError):
            answer = Answer(batch)
        except Exception as error:  # noqa: BLE001  whatever the worker raised is the driver's to judge
            answer = Answer(batch, error=error)
        self._answers.put(answer)

    def next_answer(self, timeout_s: float) -> Answer | None:
        """Give the next answer, or None when there is none within *timeout_s* seconds."""
        try:
            return self._answers.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return None

    def lose_all(self) -> None:
        """Answer for every batch that its worker is gone."""
        lost, self._in_flight = list(self._in_flight.values()), {}
        for batch in lost:
            self._answers.put(Answer(batch))

    def drain(self) -> None:
        """Tell every worker to start no further variant."""
        with contextlib.suppress(OSError, TimeoutError):  # a worker that cannot be reached runs nothing either
            self.client.run(drain_worker, self.token, on_error="ignore")

    def close(self) -> None:
        """Do what `on_close` says."""
        self._closed = True
        for close in self._on_close:
            close()
