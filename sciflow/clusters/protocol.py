"""The seam between the engine and whatever runs its batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.planning.batch import Ack, Batch
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
    """

    batch: Batch
    ack: Ack | None = None
    error: BaseException | None = None
    how: str = ""


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
    def n_slots(self) -> int:
        """How many batches can run at the same time."""
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


class Cluster(Protocol):
    """A place where workers come from."""

    @property
    def name(self) -> str:
        """Word for messages, such as ``local``."""
        ...

    def unmet(self, resources: Mapping[str, Resources]) -> list[str]:
        """Say in a sentence each requirement (task name → resources) that this place cannot meet."""
        ...

    def n_slots(self, resources: Mapping[str, Resources]) -> int:
        """How many variants would run at the same time."""
        ...

    def start(self, work: Work, resources: Mapping[str, Resources]) -> Workers:
        """Start workers that do *work*, each with a copy of its own unless they share this process."""
        ...
