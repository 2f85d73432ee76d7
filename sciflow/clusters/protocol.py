"""The seam between the engine and whatever runs its batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sciflow.planning.batch import Ack, Batch
    from sciflow.planning.classes import Classes
    from sciflow.scheduling.opening import Opening
    from sciflow.scheduling.priority import Priority
    from sciflow.scheduling.slot import Slot
    from sciflow.workflow import Resources


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a batch.

    Parameters
    ----------
    batch : the batch
    ack : the worker's answer, or None when its process died
    error : what the worker raised instead of answering (the store cannot be written, say), or None
    how : how its process died, if that is known: ``signal 11 (SIGSEGV)``, ``exit status 3``
    cause : what ended its job or node, when that is known: ``node_lost``, ``preempted``, ``walltime``, ``cancelled``,
        which are not the process's own doing, or ``out_of_memory``
    """

    batch: Batch
    ack: Ack | None = None
    error: BaseException | None = None
    how: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a cluster is told of the sweep that it works for.

    Parameters
    ----------
    directory : the sweep directory, which workers see under the same path
    name : a short word for this sweep, in names of jobs
    classes : which kind of worker runs which task
    opening : whether work may start now, and until when
    slot : the times of a job that is submitted now, given the walltime wanted and the least that is worth it; None
        when now is not the moment for one
    tell : notes an event
    priority : how work stands behind that of others; None when nothing is said
    """

    directory: Path
    name: str
    classes: Classes
    opening: Callable[[], Opening]
    slot: Callable[[float | None, float], Slot | None]
    tell: Callable[..., object]
    priority: Priority | None = None


class Work(Protocol):
    """What a worker does; it pickles."""

    def __call__(self, batch: Batch) -> Ack:
        """Run a batch, commit it and answer."""
        ...

    @property
    def is_spent(self) -> bool:
        """Whether the process should be replaced by a fresh one."""
        ...

    def drain(self) -> None:
        """Start no further variant; may be called from another thread."""
        ...

    def close(self) -> None:
        """Give back what is held open."""
        ...


class Workers(Protocol):
    """Running worker processes: batches go in, answers come out. They plan nothing."""

    @property
    def batch_s(self) -> float:
        """Seconds of work in a batch: the driver hears no more often of each worker."""
        ...

    @property
    def n_slots(self) -> int:
        """How many batches can run at the same time."""
        ...

    @property
    def n_cores(self) -> int:
        """How many cores they hold."""
        ...

    def slots_of(self, resource_class: str) -> int:
        """How many of them are for batches of this class."""
        ...

    def most_memory(self, resource_class: str) -> float:
        """How many times the memory that this class asks for a worker may have; 1 where all are as they are."""
        ...

    def demand(self, waiting: Mapping[str, int]) -> None:
        """Note how many runs wait or are under way, by resource class."""
        ...

    def submit(self, batch: Batch) -> None:
        """Send a batch; its answer comes through `next_answer`."""
        ...

    def next_answer(self, timeout_s: float) -> Answer | None:
        """Give the next answer, or None when there is none within *timeout_s* seconds."""
        ...

    def drain(self) -> None:
        """Tell every worker to start no further variant and to hand back what it has not started."""
        ...

    def close(self) -> None:
        """End every worker; what is running is lost, what is committed stays."""
        ...


class OfOneKind:
    """What workers answer that are all of one kind, and as many as they are."""

    n_slots: int
    cores_each: int = 1
    batch_s: float = 2.0

    @property
    def n_cores(self) -> int:
        """The cores of all of them."""
        return self.n_slots * self.cores_each

    def slots_of(self, resource_class: str) -> int:
        """All of them."""
        del resource_class
        return self.n_slots

    def most_memory(self, resource_class: str) -> float:
        """What they have."""
        del resource_class
        return 1.0

    def demand(self, waiting: Mapping[str, int]) -> None:
        """Nothing follows from it."""


class Cluster(Protocol):
    """A place where workers come from."""

    @property
    def name(self) -> str:
        """Word for messages, such as ``local``."""
        ...

    @property
    def has_jobs(self) -> bool:
        """Whether its workers come with jobs: of the kinds that tasks ask for, at times that are said beforehand."""
        ...

    def unmet(self, resources: Mapping[str, Resources]) -> list[str]:
        """Say in a sentence each requirement (task name → resources) that this place cannot meet."""
        ...

    def n_slots(self, resources: Mapping[str, Resources]) -> int:
        """How many variants would run at the same time."""
        ...

    def start(self, work: Work, resources: Mapping[str, Resources], setting: Setting) -> Workers:
        """Start workers that do *work*, each with a copy of its own unless they share this process."""
        ...
