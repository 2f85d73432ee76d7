"""The seam between sciflow and a batch system: a job as a value, and the few questions that are asked about jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

Phase = Literal["waiting", "running", "ending"]
"""Of a job that the batch system still has; ``ending`` is on its way out (completing, exiting, being requeued)."""

Ending = Literal[
    "finished", "exit", "walltime", "preempted", "node_lost", "out_of_memory", "cancelled", "never_started", "unknown"
]
"""How a job ended, as the batch system tells it; ``unknown`` when it has forgotten the job or cannot be asked."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a job asks for.

    Attributes
    ----------
    name
        Its name; characters that the batch system refuses are replaced when it is written.
    body
        What it runs: lines of a POSIX shell, every value in them quoted already. ``SCIFLOW_JOB_ID`` and
        ``SCIFLOW_JOB_END`` (Unix seconds; empty when not known) are in its environment.
    log
        Where its output and errors go; in the name of the file ``%j`` stands for the job's id. The folder must exist.
    cores, memory_bytes, gpus
        What it needs on its one node; no memory is the site's default.
    walltime_s
        When it is ended at the latest; None is the site's default.
    least_walltime_s
        The batch system may cut the walltime down to this so that the job ends by *end_by*; None: not at all.
    begin
        It must not start before (aware); None is at once.
    end_by
        It must have ended by then (aware); None is no such instant. Where the batch system knows no such thing, the
        walltime alone keeps it, as of the moment of submission.
    after
        The id of a job that must have ended first, however it ended.
    turn_after
        The ids of all earlier jobs of the same name; they take turns, and no two of them run at the same time.
    warn_s
        So many seconds before its walltime the job's shell gets SIGUSR1; None for no warning.
    queue, account
        The partition or queue, and who pays; None is the site's default.
    options
        Further lines for the batch system, without its prefix (``--qos=low``); no line breaks.
    """

    name: str
    body: str
    log: Path
    cores: int = 1
    memory_bytes: int | None = None
    gpus: int = 0
    walltime_s: int | None = None
    least_walltime_s: int | None = None
    begin: datetime | None = None
    end_by: datetime | None = None
    after: str | None = None
    turn_after: tuple[str, ...] = ()
    warn_s: int | None = None
    queue: str | None = None
    account: str | None = None
    options: tuple[str, ...] = ()

    def log_of(self, job_id: str) -> Path:
        """Its log, once its id is known."""
        return log_of(self.log, job_id)


def log_of(log: Path, job_id: str) -> Path:
    """The log of a job whose path was given with ``%j``."""
    return log.with_name(log.name.replace("%j", job_id))


@dataclass(frozen=True, slots=True)
class JobState:
    """What the batch system says of a job that it still has.

    Attributes
    ----------
    job_id, name
        Which job.
    phase
        Where it is on its way.
    reason
        Why it waits, in the batch system's own words (``Resources``, ``BeginTime``, ``Can Never Run: ...``); or empty.
    never
        Whether that reason means that it will never run as things are.
    node
        Where it runs; empty while it waits.
    ends_at
        When its walltime is over, in Unix seconds; None when that is not known.
    memory_bytes
        What it may use; None when that is not known.
    is_preempted
        Whether it runs on only until its grace is over, as others take its place.
    """

    job_id: str
    name: str
    phase: Phase
    reason: str = ""
    never: bool = False
    node: str = ""
    ends_at: float | None = None
    memory_bytes: int | None = None
    is_preempted: bool = False


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended.

    Attributes
    ----------
    how
        One word of a closed set.
    words
        What the batch system says, for people: ``TIMEOUT``, ``FAILED, exit status 3``.
    exit_status, signal
        Of its script, where they are told.
    node
        Where it ran; empty when that is not told.
    """

    how: Ending
    words: str = ""
    exit_status: int | None = None
    signal: int | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the site allows one user; None is no limit that is known.

    Attributes
    ----------
    walltime_s
        Longest walltime in the queue.
    n_submitted
        Jobs that one user may have waiting and running, all sweeps and other work together.
    n_running
        Jobs, and cores, that may run at the same time.
    """

    walltime_s: int | None = None
    n_submitted: int | None = None
    n_running: int | None = None
    n_cores: int | None = None


class BatchSystem(Protocol):
    """A batch system, through its commands. Calls block for as long as those take, and keep no state but caches.

    Each raises `BatchError` with the batch system's own words when it refuses, and `BatchUnreachableError` when it
    cannot be reached (after retries with growing pauses), which says nothing about any job.
    """

    @property
    def name(self) -> str:
        """Word for messages: ``slurm``, ``pbs``."""
        ...

    def script(self, job: Job) -> str:
        """The script that is submitted for a job: its first lines tell the batch system what it asks for."""
        ...

    def submit(self, script: str) -> str:
        """Submit a script and give the job's id; `BatchLimitError` when this user may have no more jobs now."""
        ...

    def jobs(self, prefix: str) -> dict[str, JobState]:
        """Every job of this user whose name begins with *prefix*, by id, with one query; ended jobs are not there."""
        ...

    def n_jobs(self) -> int:
        """Jobs that this user has waiting and running, whatever they are; from the query of `jobs`."""
        ...

    def n_waiting_of_others(self, queue: str | None) -> int:
        """Jobs of other users that wait for their turn in a queue, with one query; None is the default queue.

        Those that are held, or wait for a time or another job, are not in anybody's way. The elements of an array
        count one by one.
        """
        ...

    def ends(self, job_ids: Iterable[str]) -> Mapping[str, JobEnd]:
        """How jobs ended that are not among `jobs` any more; with few queries, however many they are.

        A job that the batch system still has is left out.
        """
        ...

    def cancel(self, job_ids: Iterable[str]) -> None:
        """Cancel jobs; those that have ended do not matter."""
        ...

    def limits(self, queue: str | None) -> Limits:
        """What the site allows in a queue, as far as users are told."""
        ...

    def remembers(self) -> bool:
        """Whether it is kept for long how jobs have ended; else they are forgotten within minutes, or at once."""
        ...
