"""The status of a sweep: how far it is, how fast, who works on it and on what, and what failed; a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.analysis.jobs import JobsStatus
    from sciflow.analysis.tally import FailureGroup
    from sciflow.events import Event
    from sciflow.store.sessions import Life


@dataclass(frozen=True, slots=True)
class DriverStatus:
    """The process that drives the sweep, or was the last to.

    Attributes
    ----------
    life
        ``alive``; ``ended`` (well); ``died``; or ``silent``: no sign of life for longer than it promised.
    since, ended
        When it began and, if it ended well, when: Unix seconds.
    cancel_requested
        Whether somebody asked it to stop.
    """

    session: int
    host: str
    pid: int
    since: float
    life: Life
    ended: float | None
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class ControllerStatus:
    """The detached controller that the sweep was submitted to.

    Attributes
    ----------
    number
        Of the submission.
    kind
        ``process``: a daemon on a machine; ``job``: a chain of batch jobs.
    state
        ``starting``: a daemon, or a job that runs, and does not drive the sweep at the moment; ``queued``: its next
        job waits in the batch system, or is about to start; ``working``; ``ended``; ``died``: it left without a word.
    host, pid
        Where a daemon runs, or the sweep was submitted.
    system, job, generation
        The batch system, the newest job that is known there, and how many have had the sweep in hand.
    how, message
        How it ended (``finished``, ``cancelled``, ``stopped``, ``failed``, ``given_up``), and its last words; of one
        that is queued, what the batch system says.
    log
        What it said.
    cancel_requested
        Whether somebody asked it to stop.
    """

    number: int
    kind: str
    state: Literal["starting", "queued", "working", "ended", "died"]
    host: str
    pid: int
    since: float
    log: str
    system: str = ""
    job: str = ""
    generation: int = 0
    how: str = ""
    message: str = ""
    cancel_requested: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether it works on the sweep, or will."""
        return self.state in {"starting", "queued", "working"}


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker process, and what it does; a hint, as fresh as the file system shows it.

    Attributes
    ----------
    task, variant, parameters
        What runs now; empty when nothing does, or variants are too short to be noted one by one.
    running_s
        For how long the variant has been running; None when none is.
    progress
        The fraction of the task that it says is done; None when it says nothing.
    """

    host: str
    pid: int
    n_finished: int
    memory_bytes: int
    task: str = ""
    variant: str = ""
    parameters: Mapping[str, Any] | None = None
    running_s: float | None = None
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """How long the rest takes.

    The usual, the shortest and the longest time (infinite when nobody can tell), if the rest goes as fast as the
    sweep did in the middle, the second fastest and the second slowest of ten slices of recent time.
    """

    usual_s: float
    least_s: float
    most_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """How a sweep is at one moment.

    Attributes
    ----------
    time
        When that was, in Unix seconds.
    n_variants, n_done, n_failed, n_stale, n_missing
        Variants of the space, and of these: those with a result; those that failed and never succeeded; those whose
        only result was made by other code than today's; all others.
    n_running
        Variants that workers are known to run now; most of them are among the missing.
    n_left
        Variants that the driver still has to run; None when no driver works.
    rate
        Variants per second of late, while something ran; None when no driver works or it is too early to say.
    left
        How long the rest takes; None when nobody can tell: `why_unknown` says why.
    utilisation
        Fraction of the workers' time that was spent on batches, in this session or else the last.
    n_reasons, failures
        How many reasons there are for failures, and the most frequent of them.
    waiting
        Why nothing runs though the driver is there: what the policy says; empty otherwise.
    events
        The newest things that happened, oldest first, without what is only counted.
    problems
        One text per damaged place in the sweep directory.
    controller
        The detached controller, if the sweep was submitted to one and nobody else drove it since.
    jobs
        Those of the workers, where they come with jobs.
    n_undone
        Variants that the last driver was to run, and did not before it stopped or died; they may have older results.
    """

    workflow: str
    path: str
    time: float
    n_variants: int
    n_done: int
    n_failed: int
    n_stale: int
    n_missing: int
    n_running: int
    n_left: int | None
    rate: float | None
    left: TimeLeft | None
    why_unknown: str
    utilisation: float | None
    driver: DriverStatus | None
    waiting: str
    n_workers: int
    workers: tuple[WorkerStatus, ...]
    n_reasons: int
    failures: tuple[FailureGroup, ...]
    events: tuple[Event, ...]
    problems: tuple[str, ...]
    controller: ControllerStatus | None = None
    jobs: JobsStatus | None = None
    n_undone: int = 0

    @property
    def is_driven(self) -> bool:
        """Whether a driver works on the sweep, or is silent and may, or a controller is on its way to it."""
        driven = self.driver is not None and self.driver.life in {"alive", "silent"}
        return driven or (self.controller is not None and self.controller.is_pending)

    @property
    def is_complete(self) -> bool:
        """Whether every variant of the space is settled: done, failed, or kept as other code made it."""
        return self.n_variants > 0 and self.n_missing == 0

    @property
    def ended_well(self) -> bool:
        """Whether its last driver and its last controller did all that they were asked."""
        one = self.controller
        return self.n_undone == 0 and (one is None or (one.state, one.how) == ("ended", "finished"))

    @property
    def n_settled(self) -> int:
        """Variants of the space that nobody has to run any more, nor run again."""
        return self.n_variants - max(self.n_missing, self.n_left or 0, self.n_undone)

    @property
    def state(  # noqa: PLR0911  one return for each word
        self,
    ) -> Literal["complete", "running", "waiting", "submitted", "silent", "stopped", "failed", "died", "new"]:
        """The sweep in one word.

        ``submitted``: a controller has it in hand, but does not drive it at the moment; ``failed``: the last one did.
        """
        if self.driver is not None and self.driver.life == "alive":
            return "waiting" if self.waiting else "running"
        if self.controller is not None and self.controller.is_pending:
            return "submitted"
        if self.controller is not None and self.controller.how != "finished":
            return _ENDS.get(self.controller.how, "died")
        if self.is_complete and self.n_undone == 0:
            return "complete"
        if self.driver is None:
            return "new"
        if self.driver.life == "died":
            return "died"
        return "silent" if self.driver.life == "silent" else "stopped"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {"state": self.state, **asdict(self), "events": [event.to_dict() for event in self.events]}

    def __str__(self) -> str:
        from sciflow.analysis.words import status_text  # noqa: PLC0415  words are about this class

        return status_text(self)

    def _repr_html_(self) -> str:
        from sciflow.analysis.words import status_html  # noqa: PLC0415  same

        return status_html(self)


_ENDS: Final[dict[str, Literal["stopped", "failed"]]] = {
    "cancelled": "stopped",
    "stopped": "stopped",
    "failed": "failed",
    "given_up": "failed",
}
"""The state of a sweep whose last controller ended so."""

KEPT_EVENTS: Final = frozenset(
    {
        "sweep.started",
        "sweep.finished",
        "sweep.stopped",
        "variant.failed",
        "worker.lost",
        "window.closed",
        "window.opened",
        "window.overrun",
        "job.ended",
        "job.refused",
        "jobs.orphaned",
        "batch.away",
        "batch.back",
    }
)
"""What people want to read one by one; the rest is in the counts."""
