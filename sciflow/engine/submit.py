"""Submitting a sweep: a controller is started elsewhere, and whatever stands in its way is said at once."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from sciflow import errors, interpreter
from sciflow.batch.script import forwarding
from sciflow.batch.site import Place, find_site
from sciflow.batch.system import Job
from sciflow.clusters.batch import BatchCluster
from sciflow.clusters.local import LocalCluster
from sciflow.engine.logout import ended_at_logout
from sciflow.engine.order import versions
from sciflow.engine.preflight import load_in_fresh_process
from sciflow.errors import BatchError, SciflowError, SubmittedError, SweepError
from sciflow.quantities import parse_bytes, parse_seconds, render_seconds
from sciflow.store.lease import check_free
from sciflow.store.submissions import FOLDER, Submission, newest_submission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sciflow.batch.site import Site, System
    from sciflow.batch.system import BatchSystem, JobState
    from sciflow.clusters.protocol import Cluster
    from sciflow.engine.order import Order
    from sciflow.store.directory import SweepDirectory

PLACE: Final = "controller"
"""The table of ``site.toml`` for the jobs of controllers."""

_MODULE: Final = "sciflow.engine.controller"
_QUEUED_S: Final = 60.0  # so long after a submission its job may not be in the queue yet
_WALLTIME_S: Final = 24 * 3600  # long enough that handing over costs nothing, short enough to be fitted in
_MEMORY_BYTES: Final = 2 << 30
_WARN_S: Final = 180


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
    return ProcessController() if controller == "process" else JobController(controller)


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
    jobs = find_system(str(before.facts["system"]), before.folder).jobs(str(before.facts["prefix"]))
    if jobs:
        what = f"job {', '.join(jobs)} of {before.facts['system']}"
        raise SubmittedError(str(directory.path), str(before.facts.get("host", "")), _when(before), what)
    if time.time() - float(before.facts["since"]) < _QUEUED_S and not before.generations and not _is_gone(before):
        raise SubmittedError(str(directory.path), str(before.facts.get("host", "")), _when(before), "a new job")
    before.tell_end("superseded", "its jobs left the queue before it ended")


def _is_gone(submission: Submission) -> bool:
    """Whether the process that submitted it died halfway."""
    from sciflow.store.process import ProcessName  # noqa: PLC0415  one use

    return ProcessName.from_dict(submission.facts).is_certainly_dead()


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


# -------------------------------------------------------------------------------------------------------------- process


@dataclass(frozen=True, slots=True)
class ProcessController:
    """A daemon on this machine: it outlives the terminal and the login session, but not the machine."""

    is_here: bool = field(default=True, init=False)

    def start(self, directory: SweepDirectory, order: Order) -> None:
        """Start the daemon; return when it has the sweep."""
        submission = _create(directory, {"kind": "process", **_facts(order)}, order.pack())
        if ended_at_logout():
            print(  # noqa: T201  must be seen
                "sciflow: this machine ends all your processes at logout (KillUserProcesses in logind.conf), the "
                "controller too; run `loginctl enable-linger` once, or submit with a controller in a batch job",
                file=sys.stderr,
            )
        heard, told = os.pipe()
        try:
            try:
                _start_daemon(submission, told)
            finally:
                os.close(told)
            # it says so when it has the sweep; the pipe breaks when it dies before
            while (word := os.read(heard, 64)) not in {b"", b"taken"}:
                pass
        except KeyboardInterrupt:
            submission.request_cancel()
            raise
        finally:
            os.close(heard)
        if word != b"taken":
            raise_end(submission)


def _start_daemon(submission: Submission, told: int) -> None:
    arguments = ("process", str(submission.folder.parent), str(submission.number), str(told))
    log = os.open(submission.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # the first process leaves at once, so that the daemon is nobody's child and no zombie when it ends
        status = subprocess.run(  # noqa: S603  our own module
            interpreter.command(_MODULE, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=interpreter.environment(),
            pass_fds=(told,),
            start_new_session=True,
            check=False,
        ).returncode
    finally:
        os.close(log)
    if status:
        raise_end(submission)


def raise_end(submission: Submission) -> None:
    """Raise, here, what ended a controller before it had the sweep; nothing when it ended well."""
    end = submission.end
    if end is None:
        words = "; ".join(submission.last_words()) or "it said nothing"
        submission.tell_end("failed", f"the controller died as it started: {words}")
        raise SweepError(f"the controller died as it started: {words} (log: {submission.log})")
    if end["how"] == "finished":
        return
    if "error" not in end:
        raise SweepError(f"the controller ended before it had the sweep ({end['how']}): {end['message']}")
    kind: Any = getattr(errors, str(end["error"]), None)
    if isinstance(kind, type) and issubclass(kind, SciflowError):
        raise kind(*end["arguments"])
    raise SweepError(f"the controller failed as it started: {end['message']} (log: {submission.log})")


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
    is_here: bool = field(default=False, init=False)

    def start(self, directory: SweepDirectory, order: Order, system: BatchSystem | None = None) -> None:
        """Queue the first job; return when it is in the queue."""
        system = system or find_system(self.system, directory.path / FOLDER)
        site = find_site(directory.path, cast("System", self.system))
        order, asked = self._asked(order, system, site)
        contents = order.pack()
        load_in_fresh_process(contents)
        facts = {
            "kind": "job",
            "system": system.name,
            "prefix": job_prefix(directory),
            "job": asdict(asked),
            "policy": order.policy.to_dict(),
            "asked_at": order.asked_at.isoformat(),
            "cluster": order.engine.cluster.name,
            "python_path": interpreter.environment()["PYTHONPATH"],
            "umask": _umask(),
            "cwd": os.getcwd(),  # noqa: PTH109  text only
            **_facts(order),
            "executable": site.python or sys.executable,
        }
        submission = _create(directory, facts, contents)
        try:
            submission.tell_job(system.submit(system.script(controller_job(submission, 1))))
        except BaseException as error:
            submission.tell_end("failed", f"{type(error).__name__}: {error}", error)
            raise

    def _asked(self, order: Order, system: BatchSystem, site: Site) -> tuple[Order, Asked]:
        """What each job asks for, and the order with as many local workers as that allows."""
        cluster, resources = order.engine.cluster, order.definition.resources
        place = self._place(cluster, site)
        longest = system.limits(place.queue).walltime_s
        if place.walltime_s is not None and longest is not None and place.walltime_s > longest:
            raise BatchError(
                f"the controller asks for a walltime of {render_seconds(place.walltime_s)}, and the queue allows "
                f"{render_seconds(longest)}; ask for less: it is followed by the next anyway"
            )
        walltime_s = place.walltime_s or min(_WALLTIME_S, longest or _WALLTIME_S)
        cores, memory_bytes = self.cores or 1, _MEMORY_BYTES
        if isinstance(cluster, LocalCluster):
            per_worker = max((one.cores for one in resources.values()), default=1)
            workers = cluster.workers or max(1, (self.cores or 1) // per_worker)
            cores = self.cores or workers * per_worker
            memory_bytes += workers * max((one.memory_bytes or 0 for one in resources.values()), default=0)
            order = order.with_cluster(LocalCluster(workers, cluster.dask_after_s))
        if self.memory is not None:
            memory_bytes = parse_bytes(self.memory)
        return order, Asked(cores, memory_bytes, walltime_s, place.queue, place.account, place.options, place.prologue)

    def _place(self, cluster: Cluster, site: Site) -> Place:
        """Where the jobs go: as is said here, else as of the workers' jobs, else as the site says."""
        place = site.place(PLACE)
        queue, account, options, prologue = self.queue, self.account, self.options, self.prologue
        if isinstance(cluster, BatchCluster):
            queue, account = queue or cluster.queue_name, account or cluster.account
            options, prologue = options or tuple(cluster.options), prologue or tuple(cluster.prologue)
        return Place(
            queue=queue or place.queue,
            account=account or place.account,
            walltime_s=place.walltime_s if self.walltime is None else round(parse_seconds(self.walltime)),
            prologue=(*place.prologue, *prologue),
            options=(*place.options, *options),
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What each job of a controller asks for."""

    cores: int
    memory_bytes: int
    walltime_s: int
    queue: str | None = None
    account: str | None = None
    options: Sequence[str] = ()
    prologue: Sequence[str] = ()

    @property
    def warn_s(self) -> int:
        """How long before the end of its walltime a job begins to hand over."""
        return min(_WARN_S, max(10, self.walltime_s // 4))


def job_prefix(directory: SweepDirectory) -> str:
    """What the names of all jobs of a sweep begin with."""
    return f"sf-{directory.sweep[:8]}-"


def controller_name(submission: Submission, generation: int) -> str:
    """The name of a controller's job: no two of them share it."""
    return f"{submission.facts['prefix']}controller-{submission.number}.{generation}"


def is_controller(job: JobState) -> bool:
    """Whether a job of a sweep is one of its controllers; the others are workers."""
    return "-controller-" in job.name


def controller_job(
    submission: Submission, generation: int, *, after: str | None = None, begin: datetime | None = None
) -> Job:
    """The job that is this generation of a controller."""
    told = submission.facts["job"]
    asked = Asked(**told)
    return Job(
        name=controller_name(submission, generation),
        body=_body(submission, generation),
        log=submission.folder / f"{submission.number:06d}.%j.log",
        cores=asked.cores,
        memory_bytes=asked.memory_bytes,
        walltime_s=asked.walltime_s,
        begin=begin,
        after=after,
        warn_s=asked.warn_s,
        queue=asked.queue,
        account=asked.account,
        options=tuple(asked.options),
    )


def _body(submission: Submission, generation: int) -> str:
    arguments = ("job", str(submission.folder.parent), str(submission.number), str(generation))
    command = [str(submission.facts["executable"]), *interpreter.command(_MODULE, *arguments)[1:]]
    umask = submission.facts["umask"]
    return "\n".join(
        (
            *submission.facts["job"]["prologue"],
            *([f"umask {umask}"] if umask else []),
            f"cd -- {shlex.quote(str(submission.facts['cwd']))} || cd /",
            f"export PYTHONPATH={shlex.quote(str(submission.facts['python_path']))}",
            forwarding(shlex.join(command)),
        )
    )


# --------------------------------------------------------------------------------------------------------------- shared


def _create(directory: SweepDirectory, facts: dict[str, Any], order: bytes) -> Submission:
    submission = Submission.create(directory, facts, order)
    if submission is None:
        raise SubmittedError(str(directory.path), "", "this moment", "a controller that was submitted meanwhile")
    return submission


def _umask() -> str:
    """The mask of new files, as a shell writes it; empty where it cannot be read without changing it."""
    try:
        return Path("/proc/self/status").read_text().partition("Umask:")[2].split(None, 1)[0]
    except (OSError, IndexError):
        return ""


def _facts(order: Order) -> dict[str, Any]:
    return {"versions": versions(), "executable": sys.executable, "argv": order.argv[:1]}
