"""LocalCluster: worker processes on this machine."""

from __future__ import annotations

import logging
import multiprocessing.spawn
import queue
import threading
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cloudpickle

from sciflow.clusters import machine
from sciflow.clusters.children import Children
from sciflow.clusters.protocol import OfOneKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.clusters.dasked import DaskWorkers
    from sciflow.clusters.protocol import Answer, Setting, Work
    from sciflow.planning.batch import Batch
    from sciflow.workflow import Resources

_patched = threading.Event()

PATIENCE_S = 15.0
"""Without a worker for so long, Dask is not waited for any longer."""


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """Worker processes on this machine.

    Parameters
    ----------
    workers : int, optional
        Number of worker processes; by default the cores of this machine divided by what a variant asks for.
    dask_after_s : float, default 20
        A sweep that takes longer than this many seconds is taken over by Dask's workers. Starting them takes a second
        or two from the cores that the variants run on: by then at most a tenth. 0 starts them at once.
    """

    workers: int | None = None
    dask_after_s: float = 20.0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"LocalCluster(workers={self.workers}): at least one worker is needed")

    @property
    def name(self) -> str:
        """Word for messages."""
        return "local"

    @property
    def has_jobs(self) -> bool:
        """Its workers are of one kind, and there at once."""
        return False

    def unmet(self, resources: Mapping[str, Resources]) -> list[str]:
        """Say in a sentence each requirement that this machine cannot meet."""
        return machine.unmet(resources)

    def n_slots(self, resources: Mapping[str, Resources]) -> int:
        """As many worker processes as were asked for, or as the cores allow."""
        return self.workers or max(1, machine.n_cores() // machine.cores_per_slot(resources))

    def start(self, work: Work, resources: Mapping[str, Resources], setting: Setting) -> LocalWorkers:
        """Start worker processes."""
        del setting  # workers of one kind, at any time
        n_threads = machine.cores_per_slot(resources)
        return LocalWorkers(self.n_slots(resources), n_threads, cloudpickle.dumps(work), self.dask_after_s)


class LocalWorkers(OfOneKind):
    """Worker processes on this machine.

    A sweep shorter than `dask_after_s` is done by children that start fast, and never imports Dask. A longer one is
    taken over by Dask's workers, which supervise memory and restart by themselves, as soon as they have come up in
    the shade of the children's work.
    """

    def __init__(self, n_slots: int, n_threads: int, payload: bytes, dask_after_s: float) -> None:
        self.n_slots, self._dask_after_s = n_slots, dask_after_s
        self.cores_each, self._payload = n_threads, payload
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._children: Children | None = self._new_children()
        self._dask: DaskWorkers | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._starter: threading.Thread | None = None
        self._started = self._dask_seen = time.monotonic()
        self._n_dask: Callable[[], int] = lambda: 0

    def _new_children(self) -> Children:
        environment = machine.worker_environment(self.cores_each)
        return Children(self.n_slots, self._payload, environment, self._answers)

    def submit(self, batch: Batch) -> None:
        """Send a batch to Dask when it is up, to a child until then."""
        workers = self._dask or self._children
        assert workers is not None
        workers.submit(batch)

    def next_answer(self, timeout_s: float) -> Answer | None:
        """Give the next answer, or None when there is none within *timeout_s* seconds."""
        if self._starter is None and time.monotonic() - self._started > self._dask_after_s:
            # not a daemon: it has processes to end if the sweep is over before they are up
            self._starter = threading.Thread(target=self._start_dask, name="sciflow-start-dask")
            self._starter.start()
        if self._dask is not None and self._children is not None and self._children.idle:
            self._children.close()
            self._children = None
        self._look_after_dask()
        try:
            return self._answers.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return None

    def _look_after_dask(self) -> None:
        """Go on with children when Dask has no worker left: a nanny whose worker dies again and again gives up."""
        if self._dask is None or self._n_dask() > 0:
            self._dask_seen = time.monotonic()
        elif time.monotonic() - self._dask_seen > PATIENCE_S:
            dask, self._dask = self._dask, None
            self._children = self._children or self._new_children()
            dask.lose_all()
            dask.close()

    def drain(self) -> None:
        """Tell every worker to start no further variant."""
        for workers in (self._children, self._dask):
            if workers is not None:
                workers.drain()

    def close(self) -> None:
        """End every worker."""
        with self._lock:
            self._closed = True
        if self._children is not None:
            self._children.close()
        if self._dask is not None:
            self._dask.close()

    def _start_dask(self) -> None:
        try:
            workers, self._n_dask = start_dask(self.n_slots, self.cores_each, self._payload, self._answers)
        except Exception as error:  # noqa: BLE001  the children go on without it
            if self._closed:  # the interpreter is leaving, perhaps
                return
            warnings.warn(f"Dask's workers did not start, going on without them: {error}", stacklevel=1)
            return
        with self._lock:
            if not self._closed:
                self._dask = workers
                return
        workers.close()


def start_dask(
    n_slots: int, n_threads: int, payload: bytes, answers: queue.SimpleQueue[Answer]
) -> tuple[DaskWorkers, Callable[[], int]]:
    """Start a scheduler in this process and one nanny per worker; also says how many workers there are."""
    import dask.config  # noqa: PLC0415  only a sweep of some length pays for importing Dask
    from distributed import Client  # noqa: PLC0415  same
    from distributed import LocalCluster as Nannies  # noqa: PLC0415  same
    from distributed.security import Security  # noqa: PLC0415  same

    from sciflow.clusters.dasked import SETTINGS, DaskWorkers  # noqa: PLC0415  same

    keep_main_out_of_workers()
    logging.getLogger("distributed").setLevel(logging.WARNING)  # it tells of each worker and connection otherwise
    spawn_environment = {
        f"distributed.nanny.pre-spawn-environ.{name}": value
        for name, value in machine.worker_environment(n_threads).items()
    }
    with dask.config.set(SETTINGS | spawn_environment):
        nannies: Any = Nannies(
            n_workers=n_slots,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tls",
            security=Security.temporary(),  # loopback is open to every user of the machine; these keys are not
            dashboard_address="127.0.0.1:0",  # a free port: with None Dask complains when another sweep has 8787
            worker_dashboard_address="127.0.0.1:0",  # without a page workers would serve one to everybody
            silence_logs=logging.CRITICAL,
        )
        client = Client(nannies, set_as_default=False)
    workers = DaskWorkers(client, payload, n_slots, answers, client.close, nannies.close)
    return workers, lambda: len(nannies.scheduler.workers)


def keep_main_out_of_workers() -> None:
    """Let plain scripts start worker processes without an ``if __name__ == "__main__"`` guard.

    A spawned child usually runs the main script again under another name, which would start the sweep in each
    worker. Dask's workers receive the functions of the main script by value and need no second run of it; other
    children of the user's own `multiprocessing` keep Python's behaviour.
    """
    if _patched.is_set():
        return
    _patched.set()
    original = multiprocessing.spawn.get_preparation_data

    def without_main(name: str) -> dict[str, Any]:
        data: dict[str, Any] = original(name)
        if name.startswith("Dask Worker process"):
            data.pop("init_main_from_path", None)
            data.pop("init_main_from_name", None)
        return data

    multiprocessing.spawn.get_preparation_data = without_main
