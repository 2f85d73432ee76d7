"""JobWorkers: worker processes in jobs of a batch system, fed through a Dask scheduler in the driver."""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from distributed import KilledWorker
from distributed.client import FutureCancelledError

from sciflow.batch.nodes import find_nodes
from sciflow.batch.system import Job
from sciflow.clusters.cgroup import n_oom_kills
from sciflow.clusters.dasked import Payload, drain_worker, run_batch
from sciflow.clusters.keys import new_keys
from sciflow.clusters.memory import JobMemory
from sciflow.clusters.office import Arrival, Office
from sciflow.clusters.pool import Pool
from sciflow.clusters.protocol import Answer
from sciflow.clusters.roster import Roster, Seat
from sciflow.clusters.supervisor import Inquest, Supervisor
from sciflow.clusters.worker_script import worker_body
from sciflow.errors import BatchError
from sciflow.planning.batch import Ack

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from sciflow.batch.nodes import Node
    from sciflow.batch.site import Site
    from sciflow.batch.system import BatchSystem, Limits
    from sciflow.clusters.protocol import Setting
    from sciflow.planning.batch import Batch

LEAST_WORK_S = 65.0
"""A job that has less time than this is not submitted; SLURM takes none of less than a minute."""

WALLTIME_S = 2 * 3600
"""Of a job, unless it is said: short jobs wait less, long jobs lose less time to starting."""

GONE_S = 5.0
"""After Dask has given up a task its worker is gone within so long, or it was not that."""

ASK_S = 10.0
"""How long a worker that has just come may take to answer."""

START_S = 60.0
"""What a job takes, about, until its worker takes work."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What all worker jobs of a sweep have in common.

    Parameters
    ----------
    site : what is true of the cluster, where nothing else is said
    most : workers at the same time, of each class
    per_job : workers in one job
    walltime_s : of a job
    memory_bytes : of a worker where its tasks ask for none; None for the site's default
    queue, account : as `Job` has them
    options : further lines for the batch system
    prologue : lines of the shell before the workers start
    interface : the network interface that nodes reach this host by
    scratch : folder for temporary files on the nodes
    python : the interpreter on the nodes
    most_waiting : jobs in the queue at the same time
    """

    site: Site
    most: int = 16
    per_job: int = 1
    walltime_s: int | None = None
    memory_bytes: int | None = None
    queue: str | None = None
    account: str | None = None
    options: Sequence[str] = ()
    prologue: Sequence[str] = ()
    interface: str | None = None
    scratch: str | None = None
    python: str = sys.executable
    most_waiting: int = 10


class JobWorkers:
    """Workers in jobs; see `sciflow.clusters.protocol.Workers`.

    A batch is one task of Dask, sent to a certain worker, one at a time: so it is known which job each runs in, and
    that job's end is the batch's.
    """

    batch_s = 10.0  # the driver shares its host with others; what a lost worker did is committed all the same

    def __init__(self, system: BatchSystem, options: JobOptions, payload: bytes, setting: Setting) -> None:
        self._system, self._options, self._setting = system, options, setting
        self._limits: dict[str | None, Limits] = {}
        self._nodes: dict[str | None, frozenset[Node]] = {}
        self._priority = () if setting.priority is None else setting.priority.job_options(system.name)
        self._roster = Roster()
        self._lock = threading.RLock()
        self._awaited: dict[str, asyncio.Future[Answer]] = {}  # worker → the answer that is to come; in Dask's thread
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        self._failure: Exception | None = None
        self._closed = self._draining = False
        self._token = f"sciflow-{uuid.uuid4().hex[:12]}"
        self._pools = {kind.name: Pool(kind, options.most, options.per_job) for kind in setting.classes.all}
        self._prefix = f"sf-{setting.name}-w"
        self._logs = setting.directory / "logs"
        self._logs.mkdir(exist_ok=True)
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self._security = stack.enter_context(new_keys(setting.name))
            self._office = Office(self._security, options.interface, self._met)
            stack.callback(self._office.close)
            self._office.client.register_plugin(Payload(self._token, payload))
            self._supervisor = Supervisor(
                system,
                self._prefix,
                self._pools,
                self,
                self._logs,
                queue=options.queue,
                most_waiting=options.most_waiting,
            )
            self._supervisor.start()
            stack.callback(self._supervisor.close)
            self._stack = stack.pop_all()

    # -------------------------------------------------------------------------------------------------------- the loop

    @property
    def n_slots(self) -> int:
        """Workers that are connected."""
        return len(self._roster.seats)

    @property
    def n_cores(self) -> int:
        """The cores of workers that are connected."""
        with self._lock:
            seats = list(self._roster.seats.values())
        return sum(self._pools[seat.resource_class].kind.resources.cores for seat in seats)

    def slots_of(self, resource_class: str) -> int:
        """Those of a class."""
        with self._lock:
            return self._roster.n_seats(resource_class)

    def most_memory(self, resource_class: str) -> float:
        """How many times the memory that a class asks for one worker may have: up to that of the largest node."""
        pool = self._pools[resource_class]
        return min(max(self._memory_of(pool, self._nodes_of(pool)).most, pool.had_memory), pool.most_memory)

    def _memory_of(self, pool: Pool, nodes: Collection[Node]) -> JobMemory:
        resources = pool.kind.resources
        asked = resources.memory_bytes or self._options.memory_bytes
        return JobMemory.of(resources, pool.per_job, asked, pool.job_bytes, nodes)

    def _nodes_of(self, pool: Pool) -> Collection[Node]:
        """The nodes of a pool's queue, as far as users are told; asked for when a job is to have more than others."""
        options = self._options
        queue = options.queue or options.site.place(pool.kind.name, gpus=pool.kind.resources.gpus).queue
        if queue not in self._nodes:
            self._nodes[queue] = find_nodes(self._system.name, queue)
        return self._nodes[queue]

    def demand(self, waiting: Mapping[str, int]) -> None:
        """Note how many runs wait or are under way; jobs follow."""
        for name, n in waiting.items():
            pool = self._pools[name]
            with self._lock:
                beyond = self._roster.take_beyond(name, pool.most_memory)
                large = self._roster.large(name)
            pool.demand, pool.large = n, large
            for batch in beyond:  # it ends as it would in the largest job that there is
                self._answer_lost(batch, "out_of_memory", pool.why_no_more)

    def submit(self, batch: Batch) -> None:
        """Send a batch to the next worker that is free and has the time for it."""
        self._pools[batch.resource_class].variant_s = batch.variant_s
        with self._lock:
            self._roster.put(batch)
        self._dispatch()

    def next_answer(self, timeout_s: float) -> Answer | None:
        """Give the next answer, or None when there is none within *timeout_s* seconds."""
        with contextlib.suppress(queue.Empty):
            while True:
                name, facts = self._events.get_nowait()
                self._setting.tell(name, **facts)
        if self._failure is not None:
            raise self._failure
        self._dispatch()  # time goes by: a worker whose job is fresh may have come
        try:
            return self._answers.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return None

    def drain(self) -> None:
        """Tell every worker to start no further variant; give back what no worker has."""
        self._draining = True
        with self._lock:
            waiting = self._roster.take_all()
        self._hand_back(waiting)
        with contextlib.suppress(OSError, TimeoutError):  # a worker that cannot be reached runs nothing either
            self._office.client.run(drain_worker, self._token, on_error="ignore")

    def _hand_back(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._answers.put(Answer(batch, Ack(0, 0, 0.0, n_left=batch.n_variants)))

    def close(self) -> None:
        """End every job."""
        self._closed = True
        self._stack.close()

    # ---------------------------------------------------------------------------------------------------- the workers

    def _dispatch(self) -> None:
        now = time.time()
        with self._lock:
            given = [] if self._closed else self._roster.assign(now)
            late = self._roster.take_late(now)
        self._hand_back(late)
        for seat, batch in given:
            key = f"{self._token}-{batch.number}-{uuid.uuid4().hex[:8]}"
            future: Any = self._office.client.submit(
                run_batch, self._token, batch, key=key, pure=False, retries=0, workers=[seat.address]
            )
            self._office.soon(self._await, seat.address, batch, future)

    async def _await(self, address: str, batch: Batch, future: Any) -> None:
        """Wait for the answer to a batch, in Dask's thread, as long as its worker is there.

        A worker may go when it has answered and before the answer is here, which would never come. Nothing but this
        holds the future, so Dask forgets it.
        """
        waiting = self._awaited[address] = asyncio.ensure_future(_answer_of(batch, future))
        try:
            answer = await waiting
        except asyncio.CancelledError:
            return  # the worker is gone, and it is being found out why
        except (KilledWorker, FutureCancelledError):
            await asyncio.sleep(GONE_S)  # `_met` hears of it in a moment
            answer = Answer(batch, how="Dask gave its task up", cause="worker_lost")
        finally:
            if self._awaited.get(address) is waiting:
                del self._awaited[address]
        with self._lock:
            seat = self._roster.seats.get(address)
            if self._closed or not self._roster.settle(address, batch.number):
                return
        if seat is not None and answer.ack is not None:
            self._note_ack(seat, batch, answer.ack)
        self._dispatch()  # before the driver hears of it: the worker waits
        self._answers.put(answer)

    def _note_ack(self, seat: Seat, batch: Batch, ack: Ack) -> None:
        pool = self._pools[seat.resource_class]
        if not seat.is_large:
            pool.settled()
        job = pool.jobs.get(seat.number)
        if ack.n_left and job is not None and job.is_preempted:
            self.tell("batch.handed_back", batch=batch.number, variants=ack.n_left, cause="preempted", job=job.job_id)

    def _met(self, arrival: Arrival) -> None:
        """A worker came or went; called in the thread of Dask's scheduler."""
        if self._closed:
            return
        if not arrival.came:
            self._lost(arrival.address)
            return
        resource_class, number = _job_of(arrival.name)
        job = self._supervisor.came(resource_class, number)
        if job is None:
            return  # of a driver before this one, or of a job that was given up
        # until the batch system says it
        walltime_s = job.walltime_s or math.inf
        ends_at = max(job.submitted_at + walltime_s, time.time() + walltime_s - START_S)
        if job.state is not None and job.state.ends_at is not None:
            ends_at = job.state.ends_at
        with self._lock:
            seat = Seat(arrival.address, resource_class, number, time.time(), ends_at)
            seat.memory, seat.is_large, seat.is_dismissed = job.memory, job.is_large, job.is_retired
            self._roster.add(seat)
        if self._supervisor.is_asked_about(resource_class, number):
            self._office.soon(self._ask_about_kills, arrival.address, resource_class, number)

    async def _ask_about_kills(self, address: str, resource_class: str, number: int) -> None:
        """Ask the worker that stands in for one that was lost whether that was killed for lack of memory."""
        counts: Any = {}
        with contextlib.suppress(OSError, TimeoutError):
            asked: Any = self._office.client.run(n_oom_kills, workers=[address], on_error="ignore")
            counts = await asyncio.wait_for(asked, ASK_S)
        self._supervisor.replaced(resource_class, number, counts.get(address, 0))

    def _lost(self, address: str) -> None:
        with self._lock:
            seat = self._roster.remove(address)
        if (waiting := self._awaited.pop(address, None)) is not None:
            waiting.cancel()
        if seat is None:
            return
        self._supervisor.left(seat.resource_class, seat.number)
        if seat.batch is not None:
            answer = partial(self._answer_lost, seat.batch)
            self._supervisor.inquire(Inquest(seat.resource_class, seat.number, answer))

    def _answer_lost(self, batch: Batch, cause: str, words: str) -> None:
        self._answers.put(Answer(batch, how=words, cause=cause))

    # ------------------------------------------------------------------------------------------------- the supervisor

    def job(self, pool: Pool, number: int, log: Path, memory: float | None = None) -> Job | None:
        """The job to submit next; None while no job is to start."""
        options, resources = self._options, pool.kind.resources
        place = options.site.place(pool.kind.name, gpus=resources.gpus)
        queue = options.queue or place.queue
        wanted = round((options.walltime_s or place.walltime_s or WALLTIME_S) * pool.time)
        slot = self._setting.slot(min(wanted, self._longest(queue) or wanted), LEAST_WORK_S)
        if slot is None or self._draining:
            return None
        n_workers, multiple = (pool.per_job, pool.memory) if memory is None else (1, memory)
        name = _name_of(pool.kind.name, number)
        body = worker_body(
            self._office.address,
            name,
            self._security,
            cores=resources.cores,
            processes=n_workers,
            interface=options.interface,
            python=options.python,
            prologue=options.prologue,
            scratch=options.scratch,
        )
        job = Job(
            name=f"{self._prefix}{pool.kind.name}-{number}",
            body=body,
            log=log,
            cores=resources.cores * n_workers,
            memory_bytes=self._memory_of(pool, self._nodes_of(pool) if multiple > 1 else ()).bytes_of(multiple),
            gpus=resources.gpus * n_workers,
            walltime_s=slot.walltime_s,
            least_walltime_s=slot.least_walltime_s,
            begin=slot.begin,
            end_by=slot.end_by,
            queue=queue,
            account=options.account,
            options=(*self._priority, *options.options),  # of options that are given twice the last one holds
        )
        return options.site.placed(job, pool.kind.name)

    def _longest(self, queue: str | None) -> int | None:
        """The longest walltime that a queue allows."""
        if queue not in self._limits:
            with contextlib.suppress(BatchError):
                self._limits[queue] = self._system.limits(queue)
        limits = self._limits.get(queue)
        return None if limits is None else limits.walltime_s

    def spent_jobs(self, pool: Pool) -> list[int]:
        """Jobs that end before another variant would."""
        now = time.time()
        with self._lock:
            self._refresh_ends(pool)
            mine = [seat for seat in self._roster.seats.values() if seat.resource_class == pool.kind.name]
            fit = {
                seat.number
                for seat in mine
                if not seat.is_dismissed and (not seat.is_sure or seat.takes(pool.variant_s, now))
            }
            return [seat.number for seat in mine if seat.number not in fit]

    def _refresh_ends(self, pool: Pool) -> None:
        """What the batch system says of the end of a job is truer than what was guessed when its worker came."""
        for seat in self._roster.seats.values():
            job = pool.jobs.get(seat.number)
            if seat.resource_class == pool.kind.name and job is not None and job.state is not None:
                seat.ends_at, seat.is_sure = job.state.ends_at or math.inf, True

    def idle_jobs(self, pool: Pool) -> dict[int, float]:
        """Jobs whose workers have nothing to do, and for how long."""
        now = time.monotonic()
        with self._lock:
            mine = [seat for seat in self._roster.seats.values() if seat.resource_class == pool.kind.name]
            busy = {seat.number for seat in mine if seat.batch is not None}
            since = {seat.number: max(one.idle_since for one in mine if one.number == seat.number) for seat in mine}
        return {number: now - at for number, at in since.items() if number not in busy}

    def retire(self, pool: Pool, number: int, *, soon: bool) -> None:
        """Give the workers of a job nothing more; *soon*, they are to hand back what they have not begun."""
        with self._lock:
            self._roster.retire(pool.kind.name, number)
            mine = [s.address for s in self._roster.seats.values() if _is_of(s, pool, number)]
        if soon and mine:
            self._office.soon(self._drain_workers, mine)

    async def _drain_workers(self, addresses: list[str]) -> None:
        with contextlib.suppress(OSError, TimeoutError):  # a worker that cannot be reached is gone before its time
            await self._office.client.run(  # pyright: ignore[reportGeneralTypeIssues]  awaitable in Dask's thread
                drain_worker, self._token, workers=addresses, on_error="ignore"
            )

    def dismiss(self, pool: Pool, number: int) -> bool:
        """Give the workers of a job nothing more, as it is about to be cancelled; False when one of them is busy."""
        with self._lock:
            return self._roster.dismiss(pool.kind.name, number)

    def most_cores(self) -> int | None:
        """What the policy allows now."""
        return self._setting.opening().max_cores

    def tell(self, name: str, **facts: object) -> None:
        """Note an event, from any thread."""
        self._events.put((name, facts))

    def fail(self, error: Exception) -> None:
        """Have the driver end the sweep."""
        self._failure = self._failure or error


async def _answer_of(batch: Batch, future: Any) -> Answer:
    try:
        return Answer(batch, await future)
    except (KilledWorker, FutureCancelledError):
        raise
    except Exception as error:  # noqa: BLE001  whatever the worker raised is the driver's to judge
        return Answer(batch, error=error)


def _is_of(seat: Seat, pool: Pool, number: int) -> bool:
    return (seat.resource_class, seat.number) == (pool.kind.name, number)


def _name_of(resource_class: str, number: int) -> str:
    return f"w.{resource_class}.{number}"


def _job_of(name: str) -> tuple[str, int]:
    """The class and number of the job that a worker is of; several workers of one job have a suffix."""
    _, resource_class, number = name.split(".")
    return resource_class, int(number.partition("-")[0])
