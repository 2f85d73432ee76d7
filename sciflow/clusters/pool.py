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
"""Memory and time of later jobs grow to so many times of what was asked for, when jobs ended for want of them."""

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
    walltime_s
        What it asked for.
    n_came, n_there
        Workers of it that ever connected, and that are connected now.
    alone_since
        When the last of them left (monotonic seconds).
    state
        What the batch system said of it last.
    cancelled
        Whether we ended it.
    """

    job_id: str
    number: int
    log: Path
    submitted_at: float
    walltime_s: int | None = None
    n_came: int = 0
    n_there: int = 0
    alone_since: float | None = None
    state: JobState | None = None
    cancelled: bool = False
    end: JobEnd | None = None


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
    growth
        What later jobs ask for, as multiples of what the first did: ``memory``, ``time``.
    """

    kind: ResourceClass
    most: int
    per_job: int = 1
    jobs: dict[int, PoolJob] = field(default_factory=dict[int, PoolJob])
    demand: int = 0
    variant_s: float | None = None
    growth: dict[str, float] = field(default_factory=lambda: {"memory": 1.0, "time": 1.0})
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

    def n_wanted(self) -> int:
        """How many workers there should be: no more than have something to do for a while."""
        if self.demand <= 0:
            return 0
        enough = self.demand
        if self.variant_s is not None:
            enough = math.ceil(self.demand * self.variant_s / USEFUL_S)
        return max(1, min(self.most, self.demand, enough))

    def decide(
        self, useless: Collection[int], idle: Collection[int], bored: Collection[int] = ()
    ) -> tuple[int, list[PoolJob]]:
        """How many jobs to submit, and which to cancel.

        Parameters
        ----------
        useless
            Jobs whose workers take nothing more, because the job ends soon, or are gone.
        idle
            Jobs whose workers have nothing to do now.
        bored
            Those of them that have had nothing to do for long: others may want their place.
        """
        mine = [job for job in self.jobs.values() if not job.cancelled]
        useful = [job for job in mine if job.number not in useless]
        n_jobs = math.ceil(self.n_wanted() / self.per_job)
        over = [job for job in mine if job.number in useless and (job.number in idle or not job.n_there)]
        if self.demand <= 0:  # one that waits may be wanted again in a moment, unless nothing is left
            over += [job for job in useful if job.number in idle or job.n_came == 0]
        elif len(useful) > n_jobs:
            over += [job for job in useful if job.number in bored][: len(useful) - n_jobs]
        return max(0, n_jobs - len(useful)), over

    def grow(self, how: str) -> None:
        """Ask for more from now on, after a job ended for want of it."""
        what = {"out_of_memory": "memory", "walltime": "time"}.get(how)
        if what is not None:
            self.growth[what] = min(2 * self.growth[what], MOST_GROWTH)
