"""Supervisor: a thread that keeps as many worker jobs as the work wants, and finds out how others ended."""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from sciflow.batch.system import Limits, log_of
from sciflow.clusters.pool import Pool, PoolJob
from sciflow.errors import BatchError, BatchLimitError, BatchUnreachableError, SweepError
from sciflow.quantities import render_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sciflow.batch.system import BatchSystem, Job, JobEnd, JobState

LOOK_S = 15.0
"""Seconds between two questions to the batch system while nothing happens; up to four times as long in the end."""

_SOON_S = 3.0  # between questions while something is to be found out
_TICK_S = 0.25
_PATIENCE = 3  # jobs that end one after another without a worker that came; submissions that are refused
_INQUEST_S = 40.0  # how long to wait for the batch system's word on a worker that is gone
_BORED_S = 30.0  # without work a worker gives its place to others
_LONELY_S = 15.0  # a nanny takes less to bring another worker
_LONGEST_PAUSE_S = 600.0  # between submissions that are refused
_LATE = timedelta(minutes=3)
_TAIL_BYTES = 2000
_CAUSES = {
    "walltime": "walltime",
    "preempted": "preempted",
    "node_lost": "node_lost",
    "cancelled": "cancelled",
    "out_of_memory": "out_of_memory",
    "unknown": "worker_lost",
}
"""How a job ended → why its variants run again; else it may be their own doing."""
_TOLD_TO_GO = frozenset({"finished", "exit", "walltime", "cancelled", "unknown"})
"""How jobs end, in the batch system's words, that it had told to make room for others."""

_KILLED_FOR_MEMORY = re.compile(r"(?im)^slurmstepd\S*: error: .*(exceeded .*memory limit|oom.?kill)")
"""What SLURM writes into the log of a job; where it watches memory itself, the job's state does not tell."""

T = TypeVar("T")


@dataclass(slots=True)
class Inquest:
    """A worker is gone: whether its job is too, and why, is to be found out.

    Attributes
    ----------
    answer
        Called with what was found out: one of the batch system's words, or empty when the job goes on, and a sentence.
    """

    resource_class: str
    number: int
    answer: Callable[[str, str], None]
    since: float = 0.0
    is_replaced: bool = False
    """Whether the same job has brought another worker since: then it was the process alone that ended."""
    is_starved: bool = False
    """Whether that process was killed for lack of memory."""


class Orders(Protocol):
    """What the supervisor asks of those for whom it supervises."""

    def job(self, pool: Pool, number: int, log: Path, memory: float | None = None) -> Job | None:
        """The job to submit as number *number* of a pool, or None when now is not the moment.

        With *memory* it is one for variants that need so many times what their class asks for.
        """
        ...

    def most_memory(self, resource_class: str) -> float:
        """How many times the memory that a class asks for a job may have."""
        ...

    def spent_jobs(self, pool: Pool) -> list[int]:
        """Numbers of jobs whose workers take nothing more because the job ends soon."""
        ...

    def idle_jobs(self, pool: Pool) -> dict[int, float]:
        """Numbers of jobs whose workers have nothing to do, and for how many seconds."""
        ...

    def retire(self, pool: Pool, number: int, *, soon: bool) -> None:
        """Give the workers of a job nothing more; *soon*, they are to hand back what they have not begun."""
        ...

    def dismiss(self, pool: Pool, number: int) -> bool:
        """Give the workers of a job nothing more, as it is about to be cancelled; False when one of them is busy."""
        ...

    def most_cores(self) -> int | None:
        """Cores that may be in use; None is no cap."""
        ...

    def tell(self, name: str, **facts: object) -> None:
        """Note an event."""
        ...

    def fail(self, error: Exception) -> None:
        """End the sweep: it makes no sense to go on."""
        ...


class Supervisor:
    """One thread that talks to the batch system, from `start` until `close`.

    Parameters
    ----------
    system : the batch system
    prefix : with which the names of this sweep's worker jobs begin
    pools : by resource class
    orders : whom it works for
    logs : the folder for logs of jobs
    queue : of the jobs; None is the site's default
    most_waiting : jobs that may wait in the queue at the same time
    now : the clock, in monotonic seconds
    """

    def __init__(
        self,
        system: BatchSystem,
        prefix: str,
        pools: Mapping[str, Pool],
        orders: Orders,
        logs: Path,
        *,
        queue: str | None = None,
        most_waiting: int = 10,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system, self._prefix, self._pools, self._orders = system, prefix, pools, orders
        self._logs, self._queue, self._most_waiting, self._now = logs, queue, most_waiting, now
        self._inquests: list[Inquest] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._look_at = 0.0
        self._pause_s = LOOK_S
        self._n_submitted = 0
        self._away_since: float | None = None
        self._submit_at = 0.0
        self._told_reason = ""
        self._n_others = 0  # this user's other jobs
        self._limits = Limits()
        self._thread = threading.Thread(target=self._run, name="sciflow-supervisor", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    # ----------------------------------------------------------------------------------------- called by the workers

    def inquire(self, inquest: Inquest) -> None:
        """Find out what became of a worker."""
        inquest.since = self._now()
        with self._lock:
            self._inquests.append(inquest)

    def came(self, resource_class: str, number: int) -> PoolJob | None:
        """A worker of this job has come."""
        job = self._pools[resource_class].jobs.get(number)
        if job is not None:
            self._pools[resource_class].came(job)
            if job.state is None or job.state.ends_at is None:
                self._look_soon()  # when its job ends
        return job

    def is_asked_about(self, resource_class: str, number: int) -> bool:
        """Whether it is being found out what became of a worker of this job."""
        with self._lock:
            return any((one.resource_class, one.number) == (resource_class, number) for one in self._inquests)

    def replaced(self, resource_class: str, number: int, n_oom_kills: int) -> None:
        """The job of a worker that was lost goes on with another, which says how many were killed for memory there."""
        job = self._pools[resource_class].jobs.get(number)
        is_starved = job is not None and n_oom_kills > job.n_oom_kills
        if job is not None:
            job.n_oom_kills = n_oom_kills
        with self._lock:
            for one in self._inquests:
                if (one.resource_class, one.number) == (resource_class, number):
                    one.is_replaced, one.is_starved = True, is_starved

    def left(self, resource_class: str, number: int) -> None:
        """A worker of this job is gone."""
        job = self._pools[resource_class].jobs.get(number)
        if job is not None:
            job.n_there -= 1
            job.alone_since = None if job.n_there else self._now()
        self._look_soon()

    def close(self) -> None:
        """Cancel every job, and return when the batch system has none of them any more, or after a while."""
        self._over.set()
        self._thread.join()
        deadline = time.monotonic() + 30
        with contextlib.suppress(BatchError):
            while left := self._system.jobs(self._prefix):
                going = [job_id for job_id, state in left.items() if state.phase != "ending"]
                if not going or time.monotonic() > deadline:
                    self._system.cancel(going)
                    return
                self._system.cancel(going)
                time.sleep(0.5)

    # ----------------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        try:
            self.begin()
            while not self._over.wait(_TICK_S):
                self.step()
        except Exception as error:  # noqa: BLE001  nobody else would hear of it
            self._orders.fail(error)

    def begin(self) -> None:
        """End the jobs of a driver that was lost, whose workers wait for it in vain, and read the site's limits."""
        orphans = list(self._ask(lambda: self._system.jobs(self._prefix)) or ())
        if orphans:
            self._ask(lambda: self._system.cancel(orphans))
            self._orders.tell("jobs.orphaned", jobs=orphans)
        with contextlib.suppress(BatchError):
            self._limits = self._system.limits(self._queue)

    def step(self) -> None:
        """Look, if it is time to, and do what follows."""
        now = self._now()
        if now >= self._look_at:
            self._look()
        self._hold_inquests()
        for pool in self._pools.values():
            idle = self._orders.idle_jobs(pool)
            bored = [number for number, idle_s in idle.items() if idle_s > _BORED_S]
            useless = self._useless(pool)
            n_new, over = pool.decide(useless, idle.keys(), bored)
            large, large_over, yielding = pool.decide_large(useless, idle.keys())
            # the batch system is to say why, of a job that is preempted or whose worker is gone: that hides it
            told = [
                job
                for job in (*over, *large_over)
                if not job.is_preempted and not self.is_asked_about(pool.kind.name, job.number)
            ]
            self._cancel([job for job in told if self._orders.dismiss(pool, job.number)])
            for job in yielding:
                job.is_retired = True
                self._orders.retire(pool, job.number, soon=False)
            self._submit(pool, [*large, *[None] * n_new])

    def _useless(self, pool: Pool) -> set[int]:
        """Jobs that do nothing more for us."""
        now = self._now()
        lonely = (one for one in pool.jobs.values() if one.alone_since and now - one.alone_since > _LONELY_S)
        preempted = (one.number for one in pool.jobs.values() if one.is_preempted)
        return {*self._orders.spent_jobs(pool), *(one.number for one in lonely), *preempted}

    def _look_soon(self) -> None:
        self._pause_s = LOOK_S
        self._look_at = min(self._look_at, self._now() + (_SOON_S if self._look_at else 0.0))

    def _look(self) -> None:
        """Ask for all jobs at once, and how those ended that are not there any more."""
        with self._lock:
            eager = bool(self._inquests)
        found = self._ask(lambda: self._system.jobs(self._prefix))
        changed = False
        if found is not None:
            self._n_others = max(0, self._system.n_jobs() - len(found))
            self._cancel_strays(found)
            gone = {
                job.job_id: (pool, job)
                for pool in self._pools.values()
                for job in pool.jobs.values()
                if job.job_id not in found
            }
            ends = (self._ask(lambda: self._system.ends(list(gone))) or {}) if gone else {}
            for job_id, end in ends.items():
                self._bury(*gone[job_id], end)
            for pool in self._pools.values():
                for job in pool.jobs.values():
                    state = found.get(job.job_id)
                    changed |= state != job.state
                    self._note_state(pool, job, state)
            changed |= bool(ends)
        self._pause_s = LOOK_S if changed else min(2 * self._pause_s, 4 * LOOK_S)
        self._look_at = self._now() + (_SOON_S if eager else self._pause_s)

    def _cancel_strays(self, found: Mapping[str, JobState]) -> None:
        """End jobs of which we never heard that they were taken: nobody counts on them."""
        known = {job.job_id for pool in self._pools.values() for job in pool.jobs.values()}
        strays = [one.job_id for one in found.values() if one.job_id not in known and one.phase != "ending"]
        if strays:
            self._ask(lambda: self._system.cancel(strays))
            self._orders.tell("jobs.orphaned", jobs=strays)

    def _note_state(self, pool: Pool, job: PoolJob, state: JobState | None) -> None:
        if state is None:
            return
        before, job.state = job.state, state
        if state.phase == "running" and (before is None or before.phase == "waiting"):
            self._orders.tell("job.started", job=job.job_id, node=state.node, resource_class=pool.kind.name)
        if state.is_preempted and not (before is not None and before.is_preempted):
            self._orders.tell("job.preempted", job=job.job_id, node=state.node, resource_class=pool.kind.name)
            self._orders.retire(pool, job.number, soon=True)
        if pool.job_bytes is None and job.memory == 1.0:
            pool.job_bytes = state.memory_bytes
        if state.phase == "waiting":
            self._note_waiting(pool, job, state)

    def _note_waiting(self, pool: Pool, job: PoolJob, state: JobState) -> None:
        if state.reason and state.reason != self._told_reason:
            self._told_reason = state.reason
            self._orders.tell("job.waiting", job=job.job_id, reason=state.reason, never=state.never)
        if job.n_came:
            words = f"its job {job.job_id} was put back into the queue"
            for one in self._taken(lambda one: (one.resource_class, one.number) == (pool.kind.name, job.number)):
                one.answer("preempted", words)
        if state.never and not job.cancelled:
            if self._shrunk(pool, job, state.reason):
                self._cancel([job])
            else:
                self._never_runs(pool, job, state.reason)

    def _shrunk(self, pool: Pool, job: PoolJob, words: str) -> bool:
        """Whether a job that cannot be had asked for more than others, so that the sweep goes on without such."""
        asked = "" if job.memory_bytes is None else f" with {render_bytes(job.memory_bytes)} of memory"
        if not pool.shrink(job, f"no job{asked} can be had: {words}"):
            return False
        self._orders.tell("job.refused", words=words, resource_class=pool.kind.name)
        return True

    def _never_runs(self, pool: Pool, job: PoolJob, reason: str) -> None:
        self._orders.fail(
            SweepError(
                f"job {job.job_id} for workers ({_asked(pool)}) can never run as things are; the batch system "
                f"says: {reason}"
            )
        )

    def _bury(self, pool: Pool, job: PoolJob, end: JobEnd) -> None:
        del pool.jobs[job.number]
        if job.is_preempted and end.how in _TOLD_TO_GO:
            end = replace(end, how="preempted")
        elif end.how == "exit" and _KILLED_FOR_MEMORY.search(_end_of_log(job) or ""):
            end = replace(end, how="out_of_memory", words=f"{end.words}: it exceeded its memory limit")
        job.end = end
        self._orders.tell(
            "job.ended",
            job=job.job_id,
            how="finished" if job.cancelled and end.how != "preempted" else end.how,
            words=end.words,
            node=end.node,
            log=str(log_of(job.log, job.job_id)),
            resource_class=pool.kind.name,
        )
        if not job.cancelled:
            self._grow(pool, job, end)
        if job.n_came == 0 and not job.cancelled and end.how not in {"preempted", "node_lost", "cancelled"}:
            pool.n_barren += 1
            if pool.n_barren >= _PATIENCE:
                self._orders.fail(
                    SweepError(
                        f"{pool.n_barren} jobs for workers ended one after another before their workers connected; the "
                        f"last ({job.job_id}): {end.words or end.how}{_tail(job)}"
                    )
                )
        self._close_inquests(job, pool, end)

    def _grow(self, pool: Pool, job: PoolJob, end: JobEnd) -> None:
        most = self._orders.most_memory(pool.kind.name) if end.how == "out_of_memory" else 1.0
        pool.grow(job, end.how, most)

    # ------------------------------------------------------------------------------------------------------- inquests

    def _close_inquests(self, job: PoolJob, pool: Pool, end: JobEnd) -> None:
        words = f"its job {job.job_id} ended: {end.words or end.how}" + (f" on {end.node}" if end.node else "")
        if end.how == "out_of_memory":
            words += _had(job)
        for one in self._taken(lambda one: (one.resource_class, one.number) == (pool.kind.name, job.number)):
            one.answer(_CAUSES.get(end.how, ""), words)

    def _hold_inquests(self) -> None:
        """Answer those whose job has brought another worker, and those about which nobody says anything for long."""
        for one in self._taken(lambda one: one.is_replaced):
            if one.is_starved:
                job = self._pools[one.resource_class].jobs.get(one.number)
                one.answer("out_of_memory", f"its process was killed for lack of memory{_had(job)}; its job goes on")
            else:
                one.answer("", "its process ended; its job goes on with another")
        now = self._now()
        for one in self._taken(lambda one: now - one.since > _INQUEST_S):
            one.answer("worker_lost", "its worker is gone, and nobody says why")
            pool = self._pools[one.resource_class]
            job = pool.jobs.get(one.number)
            if job is not None and job.n_there == 0 and self._orders.dismiss(pool, job.number):
                self._cancel([job])  # it is of no use

    def _taken(self, which: Callable[[Inquest], bool]) -> list[Inquest]:
        with self._lock:
            taken = [one for one in self._inquests if which(one)]
            self._inquests = [one for one in self._inquests if one not in taken]
        return taken

    # --------------------------------------------------------------------------------------------------------- submit

    def _cancel(self, jobs: list[PoolJob]) -> None:
        if jobs:
            for job in jobs:
                job.cancelled = True
            self._ask(lambda: self._system.cancel([job.job_id for job in jobs]))

    def _submit(self, pool: Pool, wanted: Sequence[float | None]) -> None:
        """Submit jobs: a large one for each memory, as a multiple, and an ordinary one for None."""
        n = min(
            len(wanted),
            self._most_waiting - sum(one.n_waiting for one in self._pools.values()),
            self._n_allowed(pool),
        )
        for memory in wanted[: max(0, n)]:
            if self._now() < self._submit_at or self._over.is_set():
                return
            if not self._submit_one(pool, memory):
                return

    def _n_allowed(self, pool: Pool) -> int:
        """How many more jobs the site and the policy allow."""
        n_mine = sum(len(one.jobs) for one in self._pools.values())
        allowed = math.inf if self._limits.n_submitted is None else self._limits.n_submitted - n_mine - self._n_others
        most_cores = self._orders.most_cores()
        if most_cores is not None:
            in_use = sum(
                (1 if job.is_large else one.per_job) * one.kind.resources.cores
                for one in self._pools.values()
                for job in one.jobs.values()
            )
            allowed = min(allowed, (most_cores - in_use) // (pool.per_job * pool.kind.resources.cores))
        return max(0, int(min(allowed, 10**6)))

    def _submit_one(self, pool: Pool, memory: float | None) -> bool:
        number = self._n_submitted + 1
        log = self._logs / f"job-{pool.kind.name or 'worker'}-%j.log"
        job = self._orders.job(pool, number, log, memory)
        if job is None:
            return False
        self._n_submitted = number
        script = self._system.script(job)
        # its worker may be here before we hear that the job was taken
        submitted = pool.jobs[number] = PoolJob(
            "",
            number,
            log,
            time.time(),
            job.walltime_s,
            job.memory_bytes,
            pool.memory if memory is None else memory,
            pool.time,
            memory is not None,
        )
        job_id = None
        try:
            job_id = self._ask(lambda: self._system.submit(script), raises=True)
        except BatchError as error:
            self._refused(pool, submitted, error, is_late=_is_late(job))
        else:
            if job_id is None:
                self._submit_at = self._now() + LOOK_S
        if job_id is None:
            del pool.jobs[number]
            return False
        submitted.job_id = job_id
        pool.n_refused, pool.was_taken = 0, True
        log = log_of(log, job_id)
        self._orders.tell(
            "job.submitted",
            job=job_id,
            resource_class=pool.kind.name,
            job_name=job.name,
            log=str(log),
            memory_bytes=job.memory_bytes,
        )
        self._look_soon()
        return True

    def _refused(self, pool: Pool, job: PoolJob, error: BatchError, *, is_late: bool) -> None:
        """Try again later; what the batch system refuses every time is not asked for ever."""
        if not isinstance(error, BatchLimitError) and not is_late and self._shrunk(pool, job, str(error)):
            return
        pool.n_refused += 1
        self._submit_at = self._now() + min(LOOK_S * 2**pool.n_refused, _LONGEST_PAUSE_S)
        self._orders.tell("job.refused", words=str(error), resource_class=pool.kind.name)
        if isinstance(error, BatchLimitError) or is_late:
            return  # there is room when others have ended, and time when the window opens again
        if not pool.jobs.keys() - {self._n_submitted} and pool.n_refused >= (_PATIENCE if pool.was_taken else 1):
            self._orders.fail(SweepError(f"no job for workers ({_asked(pool)}) could be submitted: {error}"))

    def _ask(self, question: Callable[[], T], *, raises: bool = False) -> T | None:
        """Ask the batch system; None when it cannot be reached, which is told once and says nothing about any job."""
        try:
            answer = question()
        except BatchUnreachableError as error:
            if self._away_since is None:
                self._away_since = self._now()
                self._orders.tell("batch.away", words=str(error))
            return None
        except BatchError:
            if raises:
                raise
            return None
        if self._away_since is not None:
            self._orders.tell("batch.back", away_s=round(self._now() - self._away_since, 1))
            self._away_since = None
        return answer


def _is_late(job: Job) -> bool:
    """Whether the closing may have been too near when the job was submitted."""
    return job.end_by is not None and job.end_by - datetime.now(UTC) < _LATE


def _asked(pool: Pool) -> str:
    resources = pool.kind.resources
    parts = [f"{resources.cores * pool.per_job} cores"]
    if resources.gpus:
        parts.append(f"{resources.gpus} GPUs")
    return ", ".join(parts)


def _had(job: PoolJob | None) -> str:
    """The memory of a job, after other words, where it is known."""
    return "" if job is None or job.had_bytes is None else f"; it had {render_bytes(job.had_bytes)} of memory"


def _end_of_log(job: PoolJob) -> str | None:
    try:
        return log_of(job.log, job.job_id).read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
    except OSError:
        return None


def _tail(job: PoolJob) -> str:
    """The last lines of a job's log, which may tell why."""
    path = log_of(job.log, job.job_id)
    text = _end_of_log(job)
    if text is None:
        return f"; it left no log in {path}"
    return f"; its log {path} ends:\n{text}" if text else f"; its log {path} is empty"
