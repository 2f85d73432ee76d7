"""Generation: one job of the chain that a controller in a batch system is.

Its first act is to queue the job that goes on when it ends, however it ends; when the sweep is done, its last act is to
take that one out of the queue. Where nodes may not submit, the jobs that go on are in the queue already: they take
turns.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sciflow.engine.chain import EndOfJob, begin_of, mark_of, why_give_up
from sciflow.engine.controller import TERMINATED, Ears, drive, pass_on_cancel, read_submission, tell_failure
from sciflow.engine.gate import Gate
from sciflow.engine.job import controller_job, controller_name, is_controller, is_controller_of
from sciflow.engine.submit import find_system
from sciflow.errors import (
    BatchError,
    BatchLimitError,
    BatchUnreachableError,
    LeaseLostError,
    PolicyError,
    SciflowError,
    StoreWriteError,
    SweepBusyError,
)
from sciflow.scheduling import All, Immediate, policy_from_dict
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import check_free, owner_of
from sciflow.store.sessions import cancel_requested

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sciflow.batch.system import BatchSystem, JobState
    from sciflow.events import Event
    from sciflow.scheduling import Policy
    from sciflow.store.submissions import Generation, How, Submission

_AGAIN_S: Final = 60.0  # between two attempts to queue the next job
_GONE_S: Final = 60.0  # for so long jobs that were cancelled are waited for
_LOOK_S: Final = 2.0
_PREDECESSOR_S: Final = 600.0  # a predecessor that the batch system took for dead may live on so long
_USED_UP: Final = "the last of the jobs that were queued beforehand is over; submit the sweep again, and it goes on"
_BEFOREHAND: Final = (
    "submit the sweep again: its jobs are then queued beforehand, and do the work themselves (nodes_submit = false in "
    "site.toml says so for all sweeps)"
)


def run_job(path: Path, number: int, generation: int, *, is_turn: bool) -> int:
    """Be the job of this number; its exit status."""
    submission = read_submission(path, number)
    ears = Ears(is_armed=False)
    ears.listen(stop="hand_over")
    system = find_system(str(submission.facts["system"]), submission.folder)
    return GenerationOfJobs(submission, generation, system, ears, os.environ, is_turn=is_turn).run()


class GenerationOfJobs:
    """One job's turn.

    Parameters
    ----------
    submission
        What was submitted.
    number
        Which job of the chain this one is, from 1.
    system
        The batch system.
    ears
        What signals ask; not armed yet.
    environ
        Where the job's id (``SCIFLOW_JOB_ID``) and end (``SCIFLOW_JOB_END``) are told.
    is_turn
        Whether it was queued beforehand with those that go on after it, so that it queues none.
    """

    def __init__(
        self,
        submission: Submission,
        number: int,
        system: BatchSystem,
        ears: Ears,
        environ: Mapping[str, str],
        *,
        is_turn: bool = False,
    ) -> None:
        self._is_turn = is_turn
        self._refusal = ""
        self._submission, self._number, self._system, self._ears = submission, number, system, ears
        self._directory = SweepDirectory.open(submission.folder.parent)
        self._job = environ.get("SCIFLOW_JOB_ID", "")
        end = environ.get("SCIFLOW_JOB_END", "")
        self._ends_at = datetime.fromtimestamp(int(end), UTC) if end.isdecimal() else None
        self._prefix = str(submission.facts["prefix"])
        self._successor = ""
        self._begin: datetime | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._gate = self._gate_of(self._policy())

    def run(self) -> int:
        """Take the turn; give the exit status."""
        submission = self._submission
        if submission.end is not None:
            return 0
        if submission.cancel_requested:
            return self._end("cancelled")
        self._begin = self._begin_of_next()
        jobs = self._jobs()
        if not self._is_turn:
            self._successor = self._found(jobs)
            self._queue_successor()
        mark = mark_of(self._directory.path)
        earlier = [one for one in submission.generations if one.number < self._number]
        if not self._is_ours(mark):
            self._drop_successor()  # another job of this number is at work, and has queued its own
            return 0
        return self._turn(earlier, mark, jobs)

    def _turn(self, earlier: list[Generation], mark: Mapping[str, Any], jobs: Mapping[str, JobState]) -> int:
        submission = self._submission
        asked = submission.facts["job"]
        is_alone = submission.facts.get("cluster") in {"local", "inline"}
        reason = why_give_up(earlier, mark, is_alone=is_alone, walltime_s=int(asked["walltime_s"]))
        if reason:
            said = self._how_ended(str(earlier[-1].facts.get("job", "")))
            return self._end("given_up", f"{reason}{said}")
        if submission.cancel_requested:  # asked for while this job queued the next
            return self._end("cancelled")
        if self._refusal and submission.facts.get("cluster") in {"slurm", "pbs"}:  # workers would be refused too
            return self._end("stopped", f"jobs may not submit jobs on this cluster: {self._refusal}; {_BEFOREHAND}")
        if self._begin is not None:
            self._say(f"waiting: {self._gate.explain()}; work goes on at {self._begin.isoformat()}")
            return self._hand_over("window")
        return self._work(jobs)

    def _work(self, jobs: Mapping[str, JobState]) -> int:  # noqa: PLR0911  one return for each way to end
        try:
            self._ears.arm()
            self._fence(jobs)
            self._drive()
        except KeyboardInterrupt:
            return self._interrupted()
        except LeaseLostError as error:
            self._say(str(error))
            if self._is_driven_by_us():  # the next job took this one for dead
                return 1
            return self._end("failed", str(error), error)
        except (StoreWriteError, OSError, MemoryError) as error:
            return self._leave_to_next(error)
        except SciflowError as error:
            return self._end("failed", str(error), error)
        except BaseException as error:  # noqa: BLE001  whatever it is, the next job tries again
            return self._leave_to_next(error)
        return self._end("finished")

    def _drive(self) -> None:
        from sciflow.engine.order import open_order  # noqa: PLC0415  brings the user's modules

        order = open_order(self._submission)
        self._gate = self._gate_of(order.policy, until=self._stop_by())
        sessions = self._directory.sessions()
        ours = frozenset(one["session"] for one in sessions if one.get("controller") == self._submission.number)
        drive(
            self._submission,
            order,
            self._gate,
            facts={"generation": self._number, "job": self._job, "system": self._system.name},
            taken=lambda session: pass_on_cancel(self._submission, session),
            sessions=ours,
            hear=self._hear,
        )

    def _hear(self, event: Event) -> None:
        """Note that work has begun, and leave the cores to others when there is nothing to do for long."""
        if event.name == "batch.committed" and self._submission.begun is None:
            begun_at = self._gate.begun_at or datetime.now(UTC)
            self._submission.tell_begun(begun_at.timestamp())
        if event.name == "window.closed":
            now = datetime.now(UTC)
            stop_by = self._stop_by()
            is_over = stop_by is not None and now >= stop_by - timedelta(seconds=30)
            # of the policy alone: this job's own end would hide when the window opens
            if is_over or begin_of(self._gate_of(self._policy()).opening(), now, self._start_by()) is not None:
                self._ears.ask("hand_over", self._gate.explain())

    def _stop_by(self) -> datetime | None:
        """When work must have stopped in this job."""
        if self._ends_at is None:
            return None
        job = controller_job(self._submission, self._number)
        return self._ends_at - timedelta(seconds=(job.warn_s or 0) / 2)

    # ------------------------------------------------------------------------------------------------------- window

    def _policy(self) -> Policy:
        try:
            return policy_from_dict(self._submission.facts.get("policy", {}))
        except PolicyError as error:  # of another release; the order has it, and decides when it is loaded
            self._say(str(error))
            return Immediate()

    def _gate_of(self, policy: Policy, until: datetime | None = None) -> Gate:
        begun = self._submission.begun
        return Gate(
            policy if until is None else All([policy, EndOfJob(until)]),
            asked_at=datetime.fromisoformat(str(self._submission.facts["asked_at"])),
            begun_at=None if begun is None else datetime.fromtimestamp(begun["time"], UTC),
        )

    def _begin_of_next(self) -> datetime | None:
        return begin_of(self._gate.opening(), datetime.now(UTC), self._start_by())

    def _start_by(self) -> datetime | None:
        """When work starts regardless of the hours, if it has not begun."""
        if self._gate.begun_at is not None or self._gate.asked_at is None:
            return None
        return self._gate.policy.start_by(self._gate.asked_at)

    # ------------------------------------------------------------------------------------------------ the other jobs

    def _jobs(self) -> dict[str, JobState]:
        try:
            return self._system.jobs(self._prefix)
        except BatchError as error:
            self._say(str(error))
            return {}

    def _found(self, jobs: Mapping[str, JobState]) -> str:
        """The next job, if it is in the queue already: this one was run twice, say."""
        name = controller_name(self._submission, self._number + 1)
        return next((one.job_id for one in jobs.values() if one.name == name), "")

    def _queue_successor(self) -> None:
        """Queue the next job; while that cannot be done, try again from time to time."""
        if self._successor or self._try_to_queue():
            return
        threading.Thread(target=self._keep_trying, name="sciflow-successor", daemon=True).start()

    def _keep_trying(self) -> None:
        while not self._over.wait(_AGAIN_S) and not self._try_to_queue():
            pass

    def _try_to_queue(self) -> bool:
        with self._lock:
            if self._successor or self._over.is_set():
                return True
            job = controller_job(self._submission, self._number + 1, after=self._job or None, begin=self._begin)
            try:
                self._successor = self._system.submit(self._system.script(job))
            except BatchError as error:
                self._say(f"the job that goes on after this one is not in the queue: {error}")
                self._note_refusal(error)
                return False
            if self._number == 1:
                self._submission.tell_word_of_node(may_submit=True)
            return True

    def _note_refusal(self, error: BatchError) -> None:
        """Of the first job, and for good: nodes may not submit. Later ones were submitted by a node themselves."""
        if self._number == 1 and not isinstance(error, BatchUnreachableError | BatchLimitError):
            self._refusal = str(error)
            self._submission.tell_word_of_node(may_submit=False, words=self._refusal)

    def _drop_successor(self) -> None:
        self._over.set()
        with self._lock:
            if not self._successor:
                return
            try:
                self._system.cancel([self._successor])
            except BatchError as error:  # it looks at the submission when it starts, and leaves
                self._say(f"job {self._successor} stays in the queue and will do nothing: {error}")

    def _fence(self, jobs: Mapping[str, JobState]) -> None:
        """Wait until no driver is at work, and take away what earlier ones left in the queue."""
        self._await_free()
        strays = [one for one in jobs.values() if self._is_stray(one)]
        if not strays:
            return
        self._say(f"cancelling what an earlier controller left: {', '.join(one.job_id for one in strays)}")
        with contextlib.suppress(BatchError):  # their late results count for nothing
            self._system.cancel([one.job_id for one in strays])
            give_up = time.monotonic() + _GONE_S
            left = {one.job_id for one in strays}
            while left & set(self._system.jobs(self._prefix)) and time.monotonic() < give_up:
                time.sleep(_LOOK_S)

    def _is_stray(self, job: JobState) -> bool:
        if job.job_id in {self._job, self._successor} or job.phase == "ending":
            return False
        return not (is_controller(job) and job.phase == "waiting")

    def _await_free(self) -> None:
        """Return when nobody drives the sweep; a predecessor that lives on is waited for."""
        give_up = time.monotonic() + _PREDECESSOR_S
        while True:
            try:
                check_free(self._directory)
            except SweepBusyError:
                if not self._is_driven_by_us() or time.monotonic() > give_up:
                    raise
                time.sleep(_LOOK_S)
            else:
                return

    def _is_driven_by_us(self) -> bool:
        owner = owner_of(self._directory)
        return owner is not None and owner.get("controller") == self._submission.number

    def _is_ours(self, mark: Mapping[str, Any]) -> bool:
        """Whether this job is the one of its number: the first to say so, or the same one run again."""
        facts = {"job": self._job, "mark": mark}
        if self._submission.tell_generation(self._number, facts):
            return True
        told = next((one for one in self._submission.generations if one.number == self._number), None)
        return told is not None and told.end is None and bool(self._job) and told.facts.get("job") == self._job

    def _how_ended(self, job: str) -> str:
        """What the batch system says of an earlier job, and what that one said last."""
        said = ""
        with contextlib.suppress(BatchError):
            end = self._system.ends([job]).get(job) if job else None
            said = "" if end is None or not end.words else f"; the last was job {job}: {end.words}"
        log = self._submission.folder / f"{self._submission.number:06d}.{job}.log"
        return f"{said}; log: {log}"

    # ------------------------------------------------------------------------------------------------------ the end

    def _interrupted(self) -> int:
        owner = self._directory.sessions()
        newest = owner[-1]["session"] if owner else 0
        asked = self._submission.cancel_requested or (newest and cancel_requested(self._directory, newest))
        return self._end("cancelled") if asked else self._hand_over("handed_over")

    def _hand_over(self, how: str) -> int:
        """Leave the sweep to the next job."""
        if self._has_turns():
            return self._pass_turn(how)
        if self._successor and how == "handed_over":
            jobs = self._jobs()
            if jobs and self._successor not in jobs:
                if self._ears.why == TERMINATED:  # both at once: somebody wants an end of it
                    return self._end("stopped", "its jobs were cancelled, not through sciflow")
                self._successor = ""
        if not self._try_to_queue():
            return self._end("stopped", "its job's time is over and no further one could be queued; see the log")
        self._over.set()
        self._submission.tell_end_of_generation(self._number, how)
        self._say(f"handed over to job {self._successor}")
        return 0

    def _has_turns(self) -> bool:
        """Whether the jobs that go on were queued beforehand; after the first of a chain, since it could not do so."""
        return self._is_turn or (not self._successor and bool(self._submission.turns))

    def _pass_turn(self, how: str) -> int:
        """Leave the sweep to the next of the jobs that were queued beforehand."""
        job = self._next_turn()
        if not job:
            were_cancelled = self._ears.why == TERMINATED and self._turns_after()
            words = "its jobs were cancelled, not through sciflow" if were_cancelled else _USED_UP
            return self._end("stopped", words)
        self._over.set()
        self._submission.tell_end_of_generation(self._number, how)
        self._say(f"handed over to job {job}, which was queued beforehand")
        return 0

    def _next_turn(self) -> str:
        """The next job that was queued beforehand; empty when there is none."""
        jobs = self._jobs()
        if not jobs:  # at least this one is there: the batch system does not answer
            return next(iter(self._turns_after()), "")
        left = [one for one in jobs.values() if is_controller_of(one, self._submission) and one.phase == "waiting"]
        return min((one.job_id for one in left), key=lambda job_id: (len(job_id), job_id), default="")

    def _turns_after(self) -> tuple[str, ...]:
        """The ids of the jobs after this one, as they were told when they were queued."""
        turns = self._submission.turns
        return turns[turns.index(self._job) + 1 :] if self._job in turns else turns if not self._is_turn else ()

    def _leave_to_next(self, error: BaseException) -> int:
        traceback.print_exception(error)
        successor = self._next_turn() if self._has_turns() else self._successor
        self._say(f"this job failed; job {successor or '(none)'} tries again")
        if not successor:
            tell_failure(self._submission, error)
        return 1

    def _end(self, how: How, message: str = "", error: BaseException | None = None) -> int:
        """Tell the end of it all, and leave nothing in the queue."""
        if message:
            self._say(message)
        self._submission.tell_end(how, message, error)
        self._drop_successor()
        owner = owner_of(self._directory)
        is_others = owner is not None and owner.get("controller") != self._submission.number
        jobs = self._jobs()
        # while somebody else drives the sweep, its workers are not ours
        left = {one.job_id for one in jobs.values() if self._is_ours_to_end(one, is_others=is_others)}
        left |= set(() if jobs else self._turns_after())
        if left - {self._job}:
            try:
                self._system.cancel(sorted(left - {self._job}))
            except BatchError as refusal:  # they look whether the sweep has ended when they start, and leave
                self._say(f"what is left in the queue ends when its turn comes: {refusal}")
        return 0 if how in {"finished", "cancelled"} else 1

    def _is_ours_to_end(self, job: JobState, *, is_others: bool) -> bool:
        return is_controller_of(job, self._submission) if is_controller(job) else not is_others

    def _say(self, words: str) -> None:
        print(f"sciflow: {words}", file=sys.stderr, flush=True)  # noqa: T201  into the log
