"""Probe: what a worker is asked to look at on its node, for `sciflow doctor`."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import psutil

from sciflow.batch.site import Place
from sciflow.batch.system import Job
from sciflow.clusters.machine import n_cores
from sciflow.engine.disk import write_through
from sciflow.errors import BatchError, BatchLimitError, BatchUnreachableError
from sciflow.planning.batch import Ack

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.batch.system import BatchSystem
    from sciflow.planning.batch import Batch

PACKAGES: Final = ("sciflow", "numpy", "dask", "distributed", "cloudpickle")
"""Their versions must be the same on both sides."""

TOKEN: Final = "token"  # noqa: S105  the name of a file
_PATIENCE_S: Final = 10.0


def versions() -> dict[str, str]:
    """Versions of this interpreter and of what both sides have in common."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


@dataclass(frozen=True, slots=True)
class Probe:
    """The work of the one worker that is tried; the first batch looks around, further ones tell the time.

    Parameters
    ----------
    folder : beside the sweeps, which this process and the node see under the same path
    token : what this process wrote there
    system : the batch system; empty for none
    place : where it would have the job of a controller
    """

    folder: Path
    token: str
    system: str = ""
    place: Place = field(default_factory=Place)

    def __call__(self, batch: Batch) -> Ack:
        """Look around; what was found travels as the message of the answer."""
        found: dict[str, Any] = {"time": time.time()}
        if batch.number == 1:
            found |= self._look()
        return Ack(n_done=1, n_failed=0, busy_s=time.time() - found["time"], message=json.dumps(found))

    @property
    def is_spent(self) -> bool:
        """Never."""
        return False

    def drain(self) -> None:
        """Nothing is to be saved."""

    def close(self) -> None:
        """Nothing is held open."""

    def _look(self) -> dict[str, Any]:
        return {
            "host": platform.node(),
            "python": sys.executable,
            "versions": versions(),
            "n_cores": n_cores(),
            "n_threads": os.environ.get("OMP_NUM_THREADS", ""),
            "memory_bytes": psutil.virtual_memory().total,
            "folder_error": self._folder_error(),
            **self._submitting(),
            **_scratch(),
        }

    def _folder_error(self) -> str:
        """What is wrong with the folder as this node sees it; empty when nothing is."""
        try:
            there = (self.folder / TOKEN).read_text("utf-8")
            if there != self.token:
                return f"{self.folder} is another folder there"
            write_through(self.folder / "answer", self.token.encode())
        except OSError as error:
            return str(error)
        return ""

    def _submitting(self) -> dict[str, str]:
        """Why no job can be submitted from this node, and why none cancelled; empty words when they can."""
        told = {"batch_error": "", "cancel_error": "", "stray_job": ""}
        if not self.system:
            return told
        system = _batch_system(self.system)
        # it never runs: cancelled at once, from here or where the trial was begun
        job = Job(
            f"{self.folder.name.lstrip('.')}-submitting",
            "true",
            self.folder / "submitting-%j.log",
            walltime_s=60,
            begin=datetime.now(UTC) + timedelta(days=1),
            queue=self.place.queue,
            account=self.place.account,
            options=self.place.options,
        )
        try:
            job_id = system.submit(system.script(job))
        except (BatchLimitError, BatchUnreachableError):  # not now, which says nothing of the node
            return told
        except BatchError as error:
            return {**told, "batch_error": str(error)}
        try:
            system.cancel([job_id])
        except BatchError as error:
            return {**told, "cancel_error": str(error), "stray_job": job_id}
        return told


def _batch_system(name: str) -> BatchSystem:
    if name == "slurm":
        from sciflow.batch.slurm import Slurm  # noqa: PLC0415  of the two one is needed

        return Slurm(timeout_s=_PATIENCE_S, patience_s=_PATIENCE_S)
    from sciflow.batch.pbs import Pbs  # noqa: PLC0415  same

    return Pbs(timeout_s=_PATIENCE_S, patience_s=_PATIENCE_S)


def _scratch() -> dict[str, Any]:
    """The worker's folder for temporary files, and its addresses where it is one of Dask's."""
    found: dict[str, Any] = {"scratch": tempfile.gettempdir(), "scratch_error": ""} | _of_dask()
    try:
        with tempfile.NamedTemporaryFile(dir=found["scratch"]) as file:
            file.write(b"\0" * 4096)
            file.flush()
        found["scratch_free_bytes"] = shutil.disk_usage(found["scratch"]).free
    except OSError as error:
        found["scratch_error"] = str(error)
    return found


def _of_dask() -> dict[str, Any]:
    if "distributed" not in sys.modules:  # a worker without Dask
        return {}
    from distributed import get_worker  # noqa: PLC0415  it is there already

    try:
        worker = get_worker()
    except ValueError:
        return {}
    return {"scratch": worker.local_directory, "address": worker.address, "scheduler": worker.scheduler.addr}
