"""SlurmCluster and PBSCluster: workers in jobs of a batch system."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cloudpickle

from sciflow.quantities import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sciflow.batch.system import BatchSystem
    from sciflow.clusters.jobs import JobWorkers
    from sciflow.clusters.protocol import Setting, Work
    from sciflow.workflow import Resources

MOST_WORKERS = 16
"""Workers of each class at the same time, unless it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCluster(ABC):
    """Worker processes in jobs of a batch system, which see the sweep directory under the same path as this process.

    Parameters
    ----------
    workers : int, default 16
        Workers at the same time, for each kind of resources that tasks ask for.
    workers_per_job : int, default 1
        Workers in one job: more of them make fewer jobs, where a site gives whole nodes.
    account : str, optional
        Who pays.
    walltime : str or float, default "2h"
        Of one job: short jobs wait less, long jobs lose less time to starting. A number is seconds.
    memory : str or int, optional
        Of a worker whose tasks ask for none; None is the site's default. A number is bytes.
    interface : str, optional
        Network interface by which nodes reach this host, such as ``ib0``.
    prologue : sequence of str
        Lines of a shell that come first in each job, such as ``module load gcc``.
    options : sequence of str
        Further options for the batch system, such as ``--qos=low``.
    scratch : str, optional
        Folder for temporary files on the nodes; ``$TMPDIR`` of the job unless it is said.
    python : str, optional
        The interpreter on the nodes; this one unless it is said.
    max_waiting : int, default 10
        Jobs that may wait in the queue at the same time.
    """

    workers: int = MOST_WORKERS
    workers_per_job: int = 1
    account: str | None = None
    walltime: str | float | None = "2h"
    memory: str | int | None = None
    interface: str | None = None
    prologue: Sequence[str] = ()
    options: Sequence[str] = ()
    scratch: str | None = None
    python: str | None = None
    max_waiting: int = 10

    def __post_init__(self) -> None:
        for name in ("workers", "workers_per_job", "max_waiting"):
            if getattr(self, name) < 1:
                raise ValueError(f"{type(self).__name__}({name}={getattr(self, name)}): it must be at least 1")
        for name in ("prologue", "options"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{type(self).__name__}({name}={getattr(self, name)!r}): give a list of lines")

    @property
    @abstractmethod
    def name(self) -> str:
        """Word for messages."""

    @property
    @abstractmethod
    def queue_name(self) -> str | None:
        """The queue or partition of its jobs."""

    @abstractmethod
    def system(self) -> BatchSystem:
        """The batch system itself."""

    @property
    def has_jobs(self) -> bool:
        """Its workers come with jobs."""
        return True

    def unmet(self, resources: Mapping[str, Resources]) -> list[str]:
        """Say in a sentence each requirement that no node of this cluster meets, as far as users are told."""
        del resources
        return []

    def n_slots(self, resources: Mapping[str, Resources]) -> int:
        """As many workers as there may be."""
        del resources
        return self.workers

    def start(self, work: Work, resources: Mapping[str, Resources], setting: Setting) -> JobWorkers:
        """Start a scheduler; workers come with jobs."""
        from sciflow.clusters.jobs import JobOptions, JobWorkers  # noqa: PLC0415  loads Dask

        del resources  # the classes have them
        options = JobOptions(
            most=self.workers,
            per_job=self.workers_per_job,
            walltime_s=None if self.walltime is None else round(parse_seconds(self.walltime)),
            memory_bytes=None if self.memory is None else parse_bytes(self.memory),
            queue=self.queue_name,
            account=self.account,
            options=tuple(self.options),
            prologue=tuple(self.prologue),
            interface=self.interface,
            scratch=self.scratch,
            python=self.python or sys.executable,
            most_waiting=self.max_waiting,
        )
        return JobWorkers(self.system(), options, cloudpickle.dumps(work), setting)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmCluster(BatchCluster):
    """Workers in jobs of SLURM.

    Parameters
    ----------
    partition : str, optional
        The partition of the jobs; the site's default unless it is said.
    **options
        As `BatchCluster` has them.

    Examples
    --------
    >>> cluster = SlurmCluster(partition="long", workers=32, walltime="4h", prologue=["module load gcc"])
    >>> cluster.name
    'slurm'
    """

    partition: str | None = None

    @property
    def name(self) -> str:
        """Word for messages."""
        return "slurm"

    @property
    def queue_name(self) -> str | None:
        """The partition."""
        return self.partition

    def system(self) -> BatchSystem:
        """SLURM, through its commands."""
        from sciflow.batch.slurm import Slurm  # noqa: PLC0415  one of two

        return Slurm()


@dataclass(frozen=True, slots=True, kw_only=True)
class PBSCluster(BatchCluster):
    """Workers in jobs of PBS.

    Parameters
    ----------
    queue : str, optional
        The queue of the jobs; the site's default unless it is said.
    **options
        As `BatchCluster` has them.
    """

    queue: str | None = None

    @property
    def name(self) -> str:
        """Word for messages."""
        return "pbs"

    @property
    def queue_name(self) -> str | None:
        """The queue."""
        return self.queue

    def system(self) -> BatchSystem:
        """PBS, through its commands."""
        from sciflow.batch.pbs import Pbs  # noqa: PLC0415  one of two

        return Pbs()
