"""LocalCluster: worker processes on this machine, supervised by Dask's nannies."""

from __future__ import annotations

import logging
import multiprocessing.spawn
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sciflow.clusters import machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.clusters.dasked import DaskWorkers
    from sciflow.workflow import Resources

_patched = threading.Event()


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """Worker processes on this machine.

    Parameters
    ----------
    workers : int, optional
        Number of worker processes; by default the cores of this machine divided by what a variant asks for.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"LocalCluster(workers={self.workers}): at least one worker is needed")

    @property
    def name(self) -> str:
        """Word for messages."""
        return "local"

    def unmet(self, resources: Mapping[str, Resources]) -> list[str]:
        """Say in a sentence each requirement that this machine cannot meet."""
        return machine.unmet(resources)

    def start(self, payload: bytes, resources: Mapping[str, Resources]) -> DaskWorkers:
        """Start the scheduler in this process and one nanny per worker."""
        import dask  # noqa: PLC0415  only a sweep that runs something pays for importing Dask
        from distributed import Client  # noqa: PLC0415  same
        from distributed import LocalCluster as Nannies  # noqa: PLC0415  same

        from sciflow.clusters.dasked import SETTINGS, DaskWorkers  # noqa: PLC0415  same

        n_threads = machine.cores_per_slot(resources)
        n_workers = self.workers or max(1, machine.n_cores() // n_threads)
        keep_main_out_of_workers()
        spawn_environment = {
            f"distributed.nanny.pre-spawn-environ.{name}": value
            for name, value in machine.thread_environment(n_threads).items()
        }
        with dask.config.set(SETTINGS | spawn_environment):
            nannies: Any = Nannies(
                n_workers=n_workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            client = Client(nannies, set_as_default=False)
        return DaskWorkers(client, payload, n_workers, nannies.close)


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
