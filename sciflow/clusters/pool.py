"""Pool: the jobs of one resource class, and how many more there should be; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from sciflow.batch.system import JobEnd, JobState
    from sciflow.planning.classes import ResourceClass

USEFUL_S = 60.0
"""Work for less than so many seconds is not worth another worker."""

MOST_GROWTH = 16
"""Jobs grow to so many times of what was asked for, where nobody says how large they may be."""

_STARVED = 3  # jobs that memory was not enough for, not counting one for each batch that it was enough for

Life = Literal["submitted", "running", "gone"]


@dataclass(slots=True)
class PoolJob:
    """A job that was submitted for workers.

    Attributes
    ----------
    job_id, number, log
        Which, and where its output goes.
    submitted_at
        Unix seconds.
    walltime_s, memory_bytes
        What it asked for; None is the site's default.
    memory, time
        The same as multiples of what the first job of its pool asked for.
    is_large
        Whether it is for variants that need so much memory, and for no others; it has one worker.
    n_came, n_there
        Workers of it that ever connected, and that are connected now.
    alone_since
        When the last of them left (monotonic seconds).
    state
        What the batch system said of it last.
    cancelled
        Whether we ended it.
    n_oom_kills
        How many of its processes were killed for lack of memory while it went on.
    is_retired
        Whether its workers get nothing more, so that a large job finds room.
    """

    job_id: str
    number: int
    log: Path
    submitted_at: float
    walltime_s: int | None = None
    memory_bytes: int | None = None
    memory: float = 1.0
    time: float = 1.0
    is_large: bool = False
    n_came: int = 0
    n_there: int = 0
    alone_since: float | None = None
    state: JobState | None = None
    cancelled: bool = False
    n_oom_kills: int = 0
    is_retired: bool = False
    end: JobEnd | None = None

    @property
    def is_preempted(self) -> bool:
        """Whether the batch system is about to end it for others."""
        return self.state is not None and self.state.is_preempted

    @property
    def had_bytes(self) -> int | None:
        """The memory that it had, as far as that is known."""
        told = None if self.state is None else self.state.memory_bytes
        return self.memory_bytes if told is None else told


@dataclass(slots=True)
class Pool:
    """The jobs of a class.

    Attributes
    ----------
    kind
        The resource class.
    most
        Workers that there may be.
    per_job
        Workers of one job.
    large
        The memory, as multiples, of each variant that needs a large job.
    memory, time
        What later jobs ask for, as multiples of what the first did.
    had_memory, had_time
        The most that a job had whose workers came.
    most_memory, most_time
        The most that can be had, as far as refusals have told; ``why_no_more`` is what was said of memory.
    job_bytes
        The memory of a job that asks for none, as the batch system tells it.
    """

    kind: ResourceClass
    most: int
    per_job: int = 1
    jobs: dict[int, PoolJob] = field(default_factory=dict[int, PoolJob])
    demand: int = 0
    variant_s: float | None = None
    large: list[float] = field(default_factory=list[float])
    memory: float = 1.0
    time: float = 1.0
    had_memory: float = 1.0
    had_time: float = 1.0
    most_memory: float = math.inf
    most_time: float = MOST_GROWTH
    why_no_more: str = ""
    job_bytes: int | None = None
    n_starved: int = 0
    """Jobs for which the memory was not enough, less the batches for which it was."""
    n_barren: int = 0
    """Jobs that ended one after another without a worker that came."""
    n_refused: int = 0
    """Submissions that were refused one after another."""
    was_taken: bool = False
    """Whether the batch system ever took one of its jobs."""

    @property
    def n_waiting(self) -> int:
        """Jobs of which no worker has come yet."""
        return sum(job.n_came == 0 for job in self.jobs.values())

    @property
    def n_large(self) -> int:
        """How many large jobs there may be: half of all workers, unless others have nothing to do."""
        n_wanted = sum(memory <= self.most_memory for memory in self.large)
        return min(n_wanted, max(1, self.most // 2) if self.demand > 0 else self.most)

    def n_wanted(self) -> int:
        """How many workers there should be, without large jobs: no more than have something to do for a while."""
        most = self.most - self.n_large
        if self.demand <= 0 or most <= 0:
            return 0
        enough = self.demand
        if self.variant_s is not None:
            enough = math.ceil(self.demand * self.variant_s / USEFUL_S)
        return max(1, min(most, self.demand, enough))

    def decide(
        self, useless: Collection[int], idle: Collection[int], bored: Collection[int] = ()
    ) -> tuple[int, list[PoolJob]]:
        """How many jobs to submit, without large ones, and which to cancel.

        Parameters
        ----------
        useless
            Jobs whose workers take nothing more, because the job ends soon, or are gone.
        idle
            Jobs whose workers have nothing to do now.
        bored
            Those of them that have had nothing to do for long: others may want their place.
        """
        mine = [job for job in self.jobs.values() if not job.cancelled and not job.is_large]
        useful = [job for job in mine if job.number not in useless]
        n_jobs = math.ceil(self.n_wanted() / self.per_job)
        over = [job for job in mine if job.number in useless and (job.number in idle or not job.n_there)]
        if self.demand <= 0:  # one that waits may be wanted again in a moment, unless nothing is left
            over += [job for job in useful if job.number in idle or job.n_came == 0]
        elif len(useful) > n_jobs:
            free = [job for job in useful if job.number in bored or (self.large and job.n_came == 0)]
            over += free[: len(useful) - n_jobs]
        missing, _ = self._missing_large(useless)
        room = math.ceil((self._room(useless) - len(missing)) / self.per_job)
        return max(0, min(n_jobs - len(useful), room)), over

    def decide_large(
        self, useless: Collection[int], idle: Collection[int]
    ) -> tuple[list[float], list[PoolJob], list[PoolJob]]:
        """Large jobs to submit, each by its memory, those to cancel, and others that are to make room for them.

        There are as many as variants want them and may have them. They take no more than is theirs of the workers that
        there may be: where others have it, those finish what they are at and go.
        """
        jobs = [job for job in self.jobs.values() if not job.cancelled]
        missing, spare = self._missing_large(useless)
        spent = [job for job in jobs if job.is_large and job.number in useless]
        over = [job for job in (*spent, *spare) if job.number in idle or not job.n_there]
        room = max(0, self._room(useless))
        others = [job for job in jobs if not job.is_large and job.number not in useless]
        n_many = len(others) - math.ceil(self.n_wanted() / self.per_job)
        n_short = max(0, min(len(missing) - room, n_many))
        yielding = [job for job in others if job.n_there and not job.is_retired][:n_short]
        return missing[:room], over, yielding

    def _missing_large(self, useless: Collection[int]) -> tuple[list[float], list[PoolJob]]:
        """The memory of large jobs that are wanted and not there, and those that are there and not wanted."""
        spare = [job for job in self.jobs.values() if job.is_large and not job.cancelled and job.number not in useless]
        spare.sort(key=lambda job: job.memory, reverse=True)
        missing: list[float] = []
        wanted = sorted((memory for memory in self.large if memory <= self.most_memory), reverse=True)
        for memory in wanted[: self.n_large]:
            if spare and spare[0].memory >= memory:
                del spare[0]
            else:
                missing.append(memory)
        return missing, spare

    def _room(self, useless: Collection[int]) -> int:
        """How many more workers there may be; one whose job ends by itself has its successor before that."""
        held = (job for job in self.jobs.values() if job.is_retired or job.number not in useless)
        return self.most - sum(1 if job.is_large else self.per_job for job in held if not job.cancelled)

    def settled(self) -> None:
        """Note a batch for which the memory of an ordinary job was enough."""
        self.n_starved = max(0, self.n_starved - 1)

    def grow(self, job: PoolJob, how: str, most_memory: float) -> None:
        """Ask for more from now on where a job ended for want of it.

        More memory for all only where it is not enough for most batches, or for a worker to start: a variant that
        needs more than others gets a job of its own. What jobs ended for that had less than later ones says nothing.
        """
        if how == "walltime" and job.time >= self.time:
            self.time = min(2 * self.time, max(self.time, self.most_time))
        if how == "out_of_memory" and job.memory >= self.memory and not job.is_large:
            self.n_starved += 1
            if job.n_came == 0 or self.n_starved >= _STARVED:
                self.memory, self.n_starved = min(2 * self.memory, max(self.memory, most_memory)), 0

    def came(self, job: PoolJob) -> None:
        """Note that a worker of a job has come."""
        job.n_came += 1
        job.n_there += 1
        job.alone_since = None
        self.n_barren = 0
        self.had_memory, self.had_time = max(self.had_memory, job.memory), max(self.had_time, job.time)

    def shrink(self, job: PoolJob, why: str) -> bool:
        """Ask for no more than jobs have had, if one cannot be had that asked for more; else False."""
        if job.memory <= self.had_memory and job.time <= self.had_time:
            return False
        if job.memory > self.had_memory:
            self.most_memory, self.why_no_more = self.had_memory, why
            self.memory = min(self.memory, self.most_memory)
        if job.time > self.had_time:
            self.time = self.most_time = self.had_time
        return True
