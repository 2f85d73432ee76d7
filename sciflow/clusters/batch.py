"""SlurmCluster and PBSCluster: workers in jobs of a batch system."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import cloudpickle

from sciflow.batch.nodes import find_nodes
from sciflow.batch.site import find_site
from sciflow.quantities import parse_bytes, parse_seconds, render_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sciflow.batch.nodes import Node
    from sciflow.batch.site import Site
    from sciflow.clusters.jobs import JobWorkers
    from sciflow.clusters.protocol import Setting, Work
    from sciflow.planning.classes import ResourceClass
    from sciflow.workflow import Resources

MOST_WORKERS = 16
"""Workers of each class at the same time, unless it is said."""

MOST_WAITING = 10
"""Jobs that wait in the queue at the same time, unless it is said."""


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
    walltime : str or float, optional
        Of one job: short jobs wait less, long jobs lose less time to starting. A number is seconds.
    memory : str or int, optional
        Of a worker whose tasks ask for none. A number is bytes.
    interface : str, optional
        Network interface by which nodes reach this host, such as ``ib0``.
    prologue : sequence of str
        Lines of a shell that come first in each job, such as ``module load gcc``.
    options : sequence of str
        Further options for the batch system, such as ``--qos=low``.
    scratch : str, optional
        Folder for temporary files on the nodes.
    python : str, optional
        The interpreter on the nodes.
    max_waiting : int, optional
        Jobs that may wait in the queue at the same time.

    Notes
    -----
    What is not said here is as the ``site.toml`` of the cluster says, and else: jobs of two hours, ten of them
    waiting, ``$TMPDIR`` of the job, the interpreter of this process, the network of the default route, and the batch
    system's own defaults.
    """

    workers: int = MOST_WORKERS
    workers_per_job: int = 1
    account: str | None = None
    walltime: str | float | None = None
    memory: str | int | None = None
    interface: str | None = None
    prologue: Sequence[str] = ()
    options: Sequence[str] = ()
    scratch: str | None = None
    python: str | None = None
    max_waiting: int | None = None

    def __post_init__(self) -> None:
        for name in ("workers", "workers_per_job", "max_waiting"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{type(self).__name__}({name}={getattr(self, name)}): it must be at least 1")
        for name in ("prologue", "options"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{type(self).__name__}({name}={getattr(self, name)!r}): give a list of lines")

    @property
    @abstractmethod
    def name(self) -> Literal["slurm", "pbs"]:
        """Word for messages."""

    @property
    @abstractmethod
    def queue_name(self) -> str | None:
        """The queue or partition of its jobs."""

    @property
    def has_jobs(self) -> bool:
        """Its workers come with jobs."""
        return True

    def unmet(self, resources: Mapping[str, Resources]) -> list[str]:
        """Say in a sentence each requirement that no node of this cluster meets, as far as users are told."""
        site = self.site()
        sentences: list[str] = []
        for task, asked in resources.items():
            nodes = self._nodes(site, asked)
            if not nodes or any(_has(node, asked) for node in nodes):
                continue
            queue = self.queue_name or site.place(gpus=asked.gpus).queue
            most = max(nodes, key=lambda node: (node.gpus, node.cores, node.memory_bytes))
            where = f"of {queue!r}" if queue else "of the default queue"
            sentences.append(
                f"task {task!r} asks for {replace(asked, max_runtime_s=None)}, and no node {where} has them together "
                f"(the best has {most.cores} cores, {render_bytes(most.memory_bytes)}, {most.gpus} GPUs)"
            )
        return sentences

    def n_slots(self, resources: Mapping[str, Resources]) -> int:
        """As many workers as there may be."""
        del resources
        return self.workers

    def site(self, sweep: Path | None = None) -> Site:
        """What is true of the cluster that we are on."""
        return find_site(sweep, self.name)

    def most_jobs(self) -> int:
        """Worker jobs of each class at the same time."""
        jobs = -(-self.workers // self.workers_per_job)
        return min(jobs, self.site().max_jobs or jobs)

    def queues_of(self, classes: Iterable[ResourceClass], site: Site) -> frozenset[str | None]:
        """The queues to which the jobs of these classes go; None is the default one."""
        places = (site.place(kind.name, gpus=kind.resources.gpus) for kind in classes)
        return frozenset(self.queue_name or place.queue for place in places)

    def start(self, work: Work, resources: Mapping[str, Resources], setting: Setting) -> JobWorkers:
        """Start a scheduler; workers come with jobs."""
        from sciflow.clusters.jobs import JobOptions, JobWorkers  # noqa: PLC0415  loads Dask

        del resources  # the classes have them
        site = self.site(setting.directory)
        options = JobOptions(
            site=site,
            most=min(self.workers, (site.max_jobs or self.workers) * self.workers_per_job),
            per_job=self.workers_per_job,
            walltime_s=None if self.walltime is None else round(parse_seconds(self.walltime)),
            memory_bytes=None if self.memory is None else parse_bytes(self.memory),
            queue=self.queue_name,
            account=self.account,
            options=tuple(self.options),
            prologue=tuple(self.prologue),
            interface=self.interface or site.interface,
            scratch=self.scratch or (None if site.scratch is None else str(site.scratch)),
            python=self.python or site.python or sys.executable,
            most_waiting=self.max_waiting or site.max_pending or MOST_WAITING,
        )
        possible = tuple(self._possible(site, kind) for kind in setting.classes.all)
        setting = replace(setting, classes=replace(setting.classes, all=possible))
        exits = setting.directory / "logs"
        return JobWorkers(site.batch_system(exits), options, cloudpickle.dumps(work), setting)

    def _possible(self, site: Site, kind: ResourceClass) -> ResourceClass:
        """The class with what nodes have, where they have less than it asks for: that was told, and accepted."""
        asked, nodes = kind.resources, self._nodes(site, kind.resources)
        if not nodes or any(_has(node, asked) for node in nodes):
            return kind
        best = max(nodes, key=lambda node: (min(node.gpus, asked.gpus), min(node.cores, asked.cores)))
        memory = None if asked.memory_bytes is None else min(asked.memory_bytes, best.memory_bytes)
        less = replace(asked, cores=min(asked.cores, best.cores), gpus=min(asked.gpus, best.gpus), memory_bytes=memory)
        return replace(kind, resources=less)

    def _nodes(self, site: Site, resources: Resources) -> frozenset[Node]:
        return find_nodes(self.name, self.queue_name or site.place(gpus=resources.gpus).queue)


def _has(node: Node, asked: Resources) -> bool:
    return asked.cores <= node.cores and asked.gpus <= node.gpus and (asked.memory_bytes or 0) <= node.memory_bytes


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
    def name(self) -> Literal["slurm", "pbs"]:
        """Word for messages."""
        return "slurm"

    @property
    def queue_name(self) -> str | None:
        """The partition."""
        return self.partition


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
    def name(self) -> Literal["slurm", "pbs"]:
        """Word for messages."""
        return "pbs"

    @property
    def queue_name(self) -> str | None:
        """The queue."""
        return self.queue
