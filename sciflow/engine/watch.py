"""Watch: the status of a sweep, with what a batch system says of the job that its controller waits for."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sciflow.analysis.follow import Follower
from sciflow.errors import BatchError
from sciflow.store.submissions import newest_submission

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sciflow.analysis.status import ControllerStatus, Status
    from sciflow.batch.system import BatchSystem, JobState
    from sciflow.store.directory import SweepDirectory

ASK_S: Final = 15.0
"""Seconds between two questions to a batch system."""

_PATIENCE_S: Final = 60.0  # a job that was just submitted, or just ended, may not be in the queue


def _find_system(name: str, exits: Path) -> BatchSystem:
    from sciflow.engine.submit import find_system  # noqa: PLC0415  brings what sends workflows

    return find_system(name, exits)


class Watch:
    """Looks at a sweep again and again; the batch system is asked only while a controller waits for its turn.

    Parameters
    ----------
    path
        The sweep directory.
    find_system
        Gives the batch system of a name; jobs leave their exit status in the folder.

    Raises
    ------
    FormatError
        There is no sweep, or a newer release wrote it.
    """

    def __init__(self, path: Path | str, find_system: Callable[[str, Path], BatchSystem] = _find_system) -> None:
        self._follower = Follower(path)
        self._find_system = find_system
        self._system: BatchSystem | None = None
        self._asked_at = -float("inf")
        self._said: ControllerStatus | None = None
        self._unseen_since: float | None = None

    @property
    def directory(self) -> SweepDirectory:
        """The sweep directory."""
        return self._follower.directory

    def look(self) -> Status:
        """The status now."""
        status = self._follower.look()
        if status.controller is None or status.controller.state != "queued":
            self._asked_at, self._unseen_since = -float("inf"), None
            return status
        controller = self._in_queue(status.controller)
        # nobody waits for a window any more when no job is left
        return replace(status, controller=controller, waiting=status.waiting if controller.is_pending else "")

    def _in_queue(self, controller: ControllerStatus) -> ControllerStatus:
        now = time.monotonic()
        is_old = self._said is None or (self._said.number, self._said.job) != (controller.number, controller.job)
        if is_old or now - self._asked_at >= ASK_S:
            self._asked_at = now
            self._said = self._ask(controller)
        assert self._said is not None
        return replace(self._said, cancel_requested=controller.cancel_requested)

    def _ask(self, controller: ControllerStatus) -> ControllerStatus:
        submission = newest_submission(self.directory)
        if submission is None or submission.number != controller.number:
            return controller
        try:
            self._system = self._system or self._find_system(controller.system, submission.folder)
            jobs = self._system.jobs(f"{submission.facts['prefix']}controller")
            if not jobs:
                return self._gone(controller, self._system)
        except BatchError as error:
            return replace(controller, message=str(error))
        self._unseen_since = None
        job = min(jobs.values(), key=lambda one: (one.phase == "waiting", len(one.job_id), one.job_id))
        state = "queued" if job.phase == "waiting" else "starting"
        return replace(controller, state=state, job=job.job_id, message=_words(job))

    def _gone(self, controller: ControllerStatus, system: BatchSystem) -> ControllerStatus:
        """No job is in the queue: it may end its work as we look, and have begun a session or told its end since."""
        now = time.monotonic()
        self._unseen_since = now if self._unseen_since is None else self._unseen_since
        recent = time.time() - controller.since < _PATIENCE_S and controller.generation == 0
        ends = system.ends([controller.job]) if controller.job else {}
        said = f"job {controller.job}: {ends[controller.job].words}" if controller.job in ends else ""
        if recent and not said:
            return controller
        fresh = self._follower.look().controller
        if fresh is not None and (fresh.state != "queued" or fresh.number != controller.number):
            return fresh
        return replace(controller, state="died", message=f"no job of it is in the queue any more; {said}".rstrip("; "))


def _words(job: JobState) -> str:
    if job.phase != "waiting":
        return f"job {job.job_id} is {job.phase}" + (f" on {job.node}" if job.node else "")
    if job.never:
        return f"job {job.job_id} can never run: {job.reason}"
    return f"job {job.job_id} waits: {job.reason}" if job.reason else f"job {job.job_id} waits"
