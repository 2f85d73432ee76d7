"""Submitting a sweep: a controller is started elsewhere, and whatever stands in its way is said at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol, cast

from sciflow import interpreter
from sciflow.batch.nodes import find_nodes
from sciflow.batch.site import CONTROLLER, Place, find_site
from sciflow.clusters.batch import BatchCluster
from sciflow.clusters.local import LocalCluster
from sciflow.engine.job import Asked, Turn, controller_job, job_prefix, mask_of_files
from sciflow.engine.order import hand_in
from sciflow.engine.preflight import load_in_fresh_process
from sciflow.engine.turns import CONTROLLER_BYTES, MOST, Size, begins_of_turns, size_of_job
from sciflow.errors import BatchError, SubmittedError
from sciflow.quantities import parse_bytes, parse_seconds, render_bytes, render_seconds
from sciflow.store.lease import check_free, newest_session
from sciflow.store.submissions import FOLDER, newest_submission, word_of_nodes

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from sciflow.batch.site import Site, System
    from sciflow.batch.system import BatchSystem
    from sciflow.clusters.protocol import Cluster
    from sciflow.engine.order import Order
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.submissions import Submission

_QUEUED_S: Final = 60.0  # so long after a submission its job may not be in the queue yet
_WALLTIME_S: Final = 24 * 3600  # long enough that handing over costs nothing, short enough to be fitted in
_LISTEN_S: Final = 10.0  # for the first job to start and say whether it may submit the next
_LOOK_S: Final = 0.2


class Controller(Protocol):
    """Where the controller of a sweep runs."""

    @property
    def is_here(self) -> bool:
        """Whether the tasks run on this machine, so that it can be asked what it has."""
        ...

    def start(self, directory: SweepDirectory, order: Order) -> None:
        """Start a controller; return when it has the sweep, or its job is in the queue.

        Raises
        ------
        SciflowError
            It could not start, or ended before it had the sweep.
        """
        ...


def find_controller(controller: str | Controller | None, cluster: Cluster) -> Controller:
    """The controller of this name, or the object itself; without one, what suits the cluster."""
    if controller is None:
        controller = cluster.name if isinstance(cluster, BatchCluster) else "process"
    if not isinstance(controller, str):
        return controller
    if controller == "process":
        from sciflow.engine.daemon import ProcessController  # noqa: PLC0415  one of two

        return ProcessController()
    return JobController(controller)


# --------------------------------------------------------------------------------------------------- whether it is free


def check_unsubmitted(directory: SweepDirectory) -> None:
    """Return when nobody drives the sweep and no controller is on its way to it.

    Raises
    ------
    SweepBusyError
        Otherwise.
    BatchError
        A controller's job may be in the queue of a batch system that cannot be asked.
    """
    check_free(directory)
    before = newest_submission(directory)
    if before is None or before.end is not None:
        return
    if before.kind == "process":
        if not before.process_is_gone:
            raise SubmittedError(str(directory.path), str(before.facts.get("host", "")), _when(before), "a process")
        before.tell_end("superseded", "its process died")
        return
    system = find_system(str(before.facts["system"]), before.folder)
    jobs = system.jobs(str(before.facts["prefix"]))
    if jobs:
        what = f"job {', '.join(jobs)} of {before.facts['system']}"
        raise SubmittedError(str(directory.path), str(before.facts.get("host", "")), _when(before), what)
    is_new = time.time() - float(before.facts["since"]) < _QUEUED_S and not before.generations
    if is_new and not _is_gone(before) and not _has_ended(system, before.newest_job):
        raise SubmittedError(str(directory.path), str(before.facts.get("host", "")), _when(before), "a new job")
    before.tell_end("superseded", "its jobs left the queue before it ended")


def remove_unused(directory: SweepDirectory) -> None:
    """Remove a sweep directory that nobody has worked on, and that nothing was submitted from."""
    if newest_submission(directory) is None and newest_session(directory.session_files) == 0:
        shutil.rmtree(directory.path, ignore_errors=True)


def _is_gone(submission: Submission) -> bool:
    """Whether the process that submitted it died halfway."""
    from sciflow.store.process import ProcessName  # noqa: PLC0415  one use

    return ProcessName.from_dict(submission.facts).is_certainly_dead()


def _has_ended(system: BatchSystem, job: str) -> bool:
    """Whether the batch system knows how the job ended; it may not know one yet that is new."""
    end = system.ends([job]).get(job) if job else None
    return end is not None and end.how != "unknown"


def _when(submission: Submission) -> str:
    return datetime.fromtimestamp(float(submission.facts["since"]), UTC).isoformat(timespec="seconds")


def find_system(name: str, exits: Path | None = None) -> BatchSystem:
    """The batch system of this name; *exits* is where jobs leave their exit status, for a PBS without a history.

    Raises
    ------
    BatchError
        There is none.
    """
    if name == "slurm":
        from sciflow.batch.slurm import Slurm  # noqa: PLC0415  one of two

        return Slurm()
    if name == "pbs":
        from sciflow.batch.pbs import Pbs  # noqa: PLC0415  one of two

        return Pbs(exits=exits)
    raise BatchError(f"no batch system named {name!r}; a controller runs in a 'process', or a job of 'slurm' or 'pbs'")


# ------------------------------------------------------------------------------------------------------------------ job


@dataclass(frozen=True, slots=True)
class JobController:
    """A batch job that is followed by the next before its walltime is over.

    With ``LocalCluster`` the work is done in this one job too; ask for as many cores as it has workers.

    Parameters
    ----------
    system : {"slurm", "pbs"}
        The batch system.
    cores : int, optional
        By default the workers of a local cluster, else one.
    memory : str, optional
        Such as ``"16 GiB"``; 2 GiB by default, and for each worker of a local cluster what a task asks for.
    walltime : str, optional
        Such as ``"12h"``; by default a day, or what the queue allows if that is less.
    queue, account : str, optional
        The partition or queue, and who pays.
    options : tuple of str
        Further options for the batch system, such as ``--qos=low``.
    prologue : tuple of str
        Lines of a shell that come first, such as ``module load gcc``.
    nodes_submit : bool, optional
        Whether jobs may submit jobs. By default it is as ``site.toml`` says, or as an earlier controller of the sweep
        found out; else the first job finds out, and is listened to for some seconds.
    n_turns : int, default 10
        Where they may not, so many jobs are queued beforehand and take turns: each does the work itself, with as many
        workers as were asked for and one node has room for.

    What is not said of queue, account, options and prologue is that of the workers' jobs, if the workers are in jobs;
    else the table ``[controller]`` of the ``site.toml`` of the cluster holds, or what stands above its tables.
    """

    system: str = "slurm"
    cores: int | None = None
    memory: str | None = None
    walltime: str | None = None
    queue: str | None = None
    account: str | None = None
    options: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    nodes_submit: bool | None = None
    n_turns: int = MOST
    is_here: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.n_turns < 1:
            raise ValueError(f"JobController(n_turns={self.n_turns}): it must be at least 1")

    def start(self, directory: SweepDirectory, order: Order, system: BatchSystem | None = None) -> None:
        """Queue the first job, or all of them where jobs may submit none; return when they are in the queue."""
        system = system or find_system(self.system, directory.path / FOLDER)
        desk = _Desk(self, directory, system, find_site(directory.path, cast("System", self.system)))
        order = order.anchored()
        may_submit, why = desk.may_submit()
        if may_submit is False:
            desk.queue_turns(order, why)
            return
        submission = desk.queue_first(order)
        if may_submit or not (why := _heard_refusal(submission)):
            return
        if isinstance(order.engine.cluster, BatchCluster):  # its job cannot have workers, and ends
            submission.tell_end("superseded", why)
            desk.queue_turns(order, why)
        else:  # its job is at work
            desk.queue_followers(submission, order, why)


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where a controller is submitted: the sweep, the batch system, and what is true of the cluster."""

    controller: JobController
    directory: SweepDirectory
    system: BatchSystem
    site: Site

    def may_submit(self) -> tuple[bool | None, str]:
        """Whether jobs may submit jobs, None when nobody knows yet; and who says so."""
        if self.controller.nodes_submit is not None:
            return self.controller.nodes_submit, "as was said"
        if self.site.nodes_submit is not None:
            return self.site.nodes_submit, f"as {self.site.file} says"
        return word_of_nodes(self.directory, self.system.name)

    def queue_first(self, order: Order) -> Submission:
        """Queue the first job of a chain."""
        order, asked = self._asked(order, in_one_job=False)
        submission = self._hand_in(order, asked)
        with _told_when_refused(submission):
            submission.tell_job(self.system.submit(self.system.script(controller_job(submission, 1))))
        return submission

    def queue_turns(self, order: Order, why: str) -> None:
        """Queue all jobs now, each of which does the work itself when its turn comes."""
        order, asked = self._asked(order, in_one_job=True)
        submission = self._hand_in(order, asked)
        begins = self._begins(order, asked)
        with _told_when_refused(submission):
            jobs, refusal = _submit_turns(submission, self.system, begins)
        _say(_words_of_turns(asked, order, jobs, why, refusal))

    def queue_followers(self, submission: Submission, order: Order, why: str) -> None:
        """Queue the jobs that go on when the first one has ended, which cannot do so itself."""
        order, asked = self._asked(order, in_one_job=True)
        begins = self._begins(order, asked)[1:]
        try:
            jobs, refusal = _submit_turns(submission, self.system, begins, first=submission.newest_job)
        except BatchError as error:
            jobs, refusal = (), str(error)
        _say(_words_of_turns(asked, order, (submission.newest_job, *jobs), why, refusal))

    def _begins(self, order: Order, asked: Asked) -> list[datetime | None]:
        n_allowed = self.system.limits(asked.queue).n_submitted
        most = self.controller.n_turns if n_allowed is None else max(1, n_allowed - self.system.n_jobs())
        return begins_of_turns(order.policy, order.asked_at, asked.walltime_s, min(most, self.controller.n_turns))

    def _hand_in(self, order: Order, asked: Asked) -> Submission:
        contents = order.pack()
        load_in_fresh_process(contents)
        executable = self.site.python or sys.executable
        facts = {
            "kind": "job",
            "system": self.system.name,
            "prefix": job_prefix(self.directory),
            "job": asdict(asked),
            "policy": order.policy.to_dict(),
            "asked_at": order.asked_at.isoformat(),
            "cluster": order.engine.cluster.name,
            "python_path": interpreter.python_path(executable),
            "umask": mask_of_files(),
            "cwd": os.getcwd(),  # noqa: PTH109  text only
            **order.facts(),
            "executable": executable,
        }
        return hand_in(self.directory, facts, contents)

    def _asked(self, order: Order, *, in_one_job: bool) -> tuple[Order, Asked]:
        """What each job asks for, and the order with as many local workers as that allows.

        With *in_one_job* workers that would come with jobs of their own become local ones.
        """
        asked, cluster, resources = self.controller, order.engine.cluster, order.definition.resources
        place = self._place(cluster)
        walltime_s = self._walltime_s(place)
        size = Size(1, asked.cores or 1, CONTROLLER_BYTES)
        if isinstance(cluster, LocalCluster):
            per_worker = max((one.cores for one in resources.values()), default=1)
            workers = cluster.workers or max(1, (asked.cores or 1) // per_worker)
            memory_bytes = workers * max((one.memory_bytes or 0 for one in resources.values()), default=0)
            size = Size(workers, asked.cores or workers * per_worker, CONTROLLER_BYTES + memory_bytes)
            order = order.with_cluster(LocalCluster(workers, cluster.dask_after_s))
        elif isinstance(cluster, BatchCluster) and in_one_job:
            size = size_of_job(
                resources,
                find_nodes(self.system.name, place.queue),
                workers=cluster.workers,
                cores=asked.cores,
                worker_bytes=None if cluster.memory is None else parse_bytes(cluster.memory),
            )
            order = order.with_cluster(LocalCluster(size.workers))
        memory_bytes = size.memory_bytes if asked.memory is None else parse_bytes(asked.memory)
        return order, Asked(
            size.cores,
            memory_bytes,
            walltime_s,
            place.queue,
            place.account,
            place.options,
            place.prologue,
            size.gpus,
        )

    def _walltime_s(self, place: Place) -> int:
        longest = self.system.limits(place.queue).walltime_s
        if place.walltime_s is not None and longest is not None and place.walltime_s > longest:
            raise BatchError(
                f"the controller asks for a walltime of {render_seconds(place.walltime_s)}, and the queue allows "
                f"{render_seconds(longest)}; ask for less: it is followed by the next anyway"
            )
        return place.walltime_s or min(_WALLTIME_S, longest or _WALLTIME_S)

    def _place(self, cluster: Cluster) -> Place:
        """Where the jobs go: as is said here, else as of the workers' jobs, else as the site says."""
        place, said = self.site.place(CONTROLLER), self.controller
        queue, account, options, prologue = said.queue, said.account, said.options, said.prologue
        if isinstance(cluster, BatchCluster):
            queue, account = queue or cluster.queue_name, account or cluster.account
            options, prologue = options or tuple(cluster.options), prologue or tuple(cluster.prologue)
        return Place(
            queue=queue or place.queue,
            account=account or place.account,
            walltime_s=place.walltime_s if said.walltime is None else round(parse_seconds(said.walltime)),
            prologue=(*place.prologue, *prologue),
            options=(*place.options, *options),
        )


def _heard_refusal(submission: Submission) -> str:
    """In which words the first job was refused a further one; empty when it was not, or says nothing in time."""
    give_up = time.monotonic() + _LISTEN_S
    try:
        is_over = False
        while not is_over:
            is_over = time.monotonic() > give_up or submission.end is not None  # before it ends, it has said so
            if (word := submission.word_of_node) is not None:
                return "" if word["may_submit"] else str(word["words"])
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        submission.request_cancel()
        raise
    return ""


def _submit_turns(
    submission: Submission, system: BatchSystem, begins: Sequence[datetime | None], *, first: str = ""
) -> tuple[tuple[str, ...], str]:
    """Queue jobs that take turns; the ids of those that were taken, and why no more were.

    Raises
    ------
    BatchError
        Not one was taken.
    """
    jobs: list[str] = []
    refusal = ""
    for n, begin in enumerate(begins, start=2 if first else 1):
        job = controller_job(submission, n, begin=begin, turn=Turn(first, tuple(jobs)))
        try:
            jobs.append(system.submit(system.script(job)))
        except BatchError as error:
            if not jobs:
                raise
            refusal = str(error)
            break
        if n == 1:
            submission.tell_job(jobs[0])
    submission.tell_turns(jobs)
    return tuple(jobs), refusal


def _words_of_turns(asked: Asked, order: Order, jobs: Sequence[str], why: str, refusal: str) -> str:
    """What was queued, what it does, and where it ends."""
    workers = order.engine.cluster.n_slots(order.definition.resources)
    each = render_seconds(asked.walltime_s)
    took = f" (no more were taken: {refusal})" if refusal else ""
    size = f"{asked.cores} cores, {render_bytes(asked.memory_bytes)}"
    which = f"{jobs[0]} to {jobs[-1]}" if len(jobs) > 1 else jobs[0]
    return (
        f"jobs may not submit jobs on this cluster ({why}), so {len(jobs)} jobs are in the queue now, {which}{took}. "
        f"They take turns, and each does the work itself: {workers} workers on one node ({size}), {each} at most. When "
        f"the sweep is done, those that are left are cancelled, or end within seconds; if {len(jobs)} x {each} is not "
        "enough, submit the sweep again, and it goes on"
    )


def _say(words: str) -> None:
    print(f"sciflow: {words}", file=sys.stderr)  # noqa: T201  must be seen


@contextlib.contextmanager
def _told_when_refused(submission: Submission) -> Generator[None]:
    """A submission that could not be queued has ended."""
    try:
        yield
    except BaseException as error:
        submission.tell_end("failed", f"{type(error).__name__}: {error}", error)
        raise
