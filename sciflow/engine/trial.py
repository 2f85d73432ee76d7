"""Trial: one worker, started as sweeps start theirs, that looks around on its node."""

from __future__ import annotations

import contextlib
import json
import platform
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import psutil

from sciflow.batch.site import CONTROLLER, find_site
from sciflow.engine.check import Check, wrong
from sciflow.engine.probe import TOKEN, Probe, versions
from sciflow.errors import BatchError, SciflowError
from sciflow.planning.batch import Batch
from sciflow.planning.classes import Classes
from sciflow.quantities import render_bytes, render_seconds
from sciflow.scheduling.opening import Opening
from sciflow.scheduling.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sciflow.batch.site import Site, System
    from sciflow.batch.system import BatchSystem, JobState
    from sciflow.clusters.protocol import Answer, Cluster, Setting, Workers

PREFIX: Final = ".sciflow-doctor-"
"""With which the folder of a trial begins."""

_CONNECT_S: Final = 90.0  # from a job that runs to a worker that works; imports from a busy disk take a while
_ASK_S: Final = 2.0
_ANSWER_S: Final = 30.0  # for what takes a moment
_SEEN_S: Final = 10.0  # until a file of the node must be seen here
_AT_ONCE_S: Final = 0.1
_TOLERATED_S: Final = 5.0  # between two clocks
_TAIL_LINES, _TAIL_CHARACTERS = 5, 400


class _Over(Exception):  # noqa: N818  not an error: nothing more can be found out
    """The trial ends with this check."""

    def __init__(self, check: Check) -> None:
        super().__init__(check)
        self.check = check


@dataclass(slots=True)
class _Course:
    """How far the trial is; instants in Unix seconds."""

    logs: Path
    began_at: float = field(default_factory=time.time)
    job_id: str = ""
    submitted_at: float | None = None
    running_at: float | None = None
    came_at: float | None = None
    state: JobState | None = None
    refusal: str = ""
    """Why no job is taken for now; what is refused for good ends the workers."""
    ended: dict[str, Any] = field(default_factory=dict[str, Any])

    def note(self, name: str, **facts: Any) -> None:
        """Take note of an event of the workers."""
        if name == "job.submitted":
            self.job_id, self.submitted_at = facts["job"], time.time()
        elif name == "job.refused":
            self.refusal = facts["words"]
        elif name == "job.ended":
            self.ended = facts

    def note_states(self, states: dict[str, JobState]) -> None:
        """Take note of what the batch system says."""
        self.state = states.get(self.job_id, self.state)
        if self.running_at is None and self.state is not None and self.state.phase == "running":
            self.running_at = time.time()


def try_worker(cluster: Cluster, system: BatchSystem | None, home: Path, wait_s: float) -> Generator[Check]:
    """Start one worker and have it look around; nothing is left behind, however this ends.

    Parameters
    ----------
    cluster : where the worker comes from; it has one
    system : to ask about its job; None where there are no jobs
    home : where a folder for the trial is made
    wait_s : how long the job may wait in the queue
    """
    name = f"doctor-{uuid.uuid4().hex[:6]}"
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=home, ignore_cleanup_errors=True) as made:
        folder = Path(made).resolve()
        course = _Course(folder / "logs")
        token = uuid.uuid4().hex
        (folder / TOKEN).write_text(token, "utf-8")
        site = None if system is None else find_site(folder, cast("System", system.name))
        probe = Probe(folder, token) if site is None else Probe(folder, token, site.system, site.place(CONTROLLER))
        try:
            workers = cluster.start(probe, {}, _setting(folder, name, course))
        except (SciflowError, OSError) as error:
            yield wrong("job", error)
            return
        with contextlib.closing(workers):
            try:
                found = _Trial(workers, system, f"sf-{name}", course, wait_s).first_answer()
                yield _started(course, found)
                yield from _judged(found, _ask_time(workers), folder, site)
                if system is not None and found["stray_job"]:
                    system.cancel([found["stray_job"]])
            except _Over as over:
                yield over.check
            except SciflowError as error:  # of the supervisor of the jobs
                yield wrong("job", error, "correct what site.toml asks for, or choose another --queue")


def _setting(folder: Path, name: str, course: _Course) -> Setting:
    from sciflow.clusters.protocol import Setting  # noqa: PLC0415  with the clusters

    return Setting(
        directory=folder,
        name=name,
        classes=Classes.one(),
        opening=lambda: Opening(may_start=True),
        slot=lambda wanted_s, _: Slot(walltime_s=None if wanted_s is None else round(wanted_s)),
        tell=course.note,
    )


def _batch(number: int) -> Batch:
    return Batch(number, np.array([0]), 1, 60.0)


# ------------------------------------------------------------------------------------------------- the first answer


@dataclass(frozen=True, slots=True)
class _Trial:
    workers: Workers
    system: BatchSystem | None
    prefix: str
    course: _Course
    wait_s: float

    def first_answer(self) -> dict[str, Any]:
        """What the worker found; raises `_Over` with the reason when there is no such thing in time."""
        self.workers.demand({"": 1})
        self.workers.submit(_batch(1))
        ask_at = time.monotonic() + _ASK_S
        while True:
            answer = self.workers.next_answer(0.1)
            if self.course.came_at is None and self.workers.n_slots:
                self.course.came_at = time.time()
            if answer is not None:
                return _message(answer)
            if self.course.came_at is None and time.monotonic() > ask_at:
                self._ask()
                ask_at = time.monotonic() + _ASK_S
            _judge(self.course, self.wait_s)

    def _ask(self) -> None:
        # it may be busy; then it is asked again
        if self.system is not None:
            with contextlib.suppress(BatchError):
                self.course.note_states(self.system.jobs(self.prefix))


def _judge(course: _Course, wait_s: float) -> None:
    """Whether it makes sense to go on waiting."""
    if course.ended:
        raise _Over(_ended(course))
    now = time.time()
    waited_s = now - (course.submitted_at or course.began_at)
    if course.came_at is not None:
        if now - course.came_at > _CONNECT_S:
            raise _Over(_silent("the worker has come, and does not answer", course, "look at its node"))
    elif course.running_at is not None:
        if now - course.running_at > _CONNECT_S:
            raise _Over(_unconnected(course))
    elif waited_s > wait_s:
        raise _Over(_waiting(course, waited_s))


def _ended(course: _Course) -> Check:
    end = course.ended
    node = f" on {end['node']}" if end.get("node") else ""
    says = f"job {course.job_id} ended before its worker connected: {end['words'] or end['how']}{node}"
    said = _tail(Path(end["log"]))
    return Check("job", "wrong", says, f"the end of its log: {said}" if said else "it left no log: does its node see "
        "this folder?", {"job": course.job_id, "how": end["how"], "log": said})  # fmt: skip


def _waiting(course: _Course, waited_s: float) -> Check:
    if not course.job_id:
        says = f"no job was taken within {render_seconds(waited_s)}: {course.refusal or 'nobody says why'}"
        return Check("job", "untried", says, "try again when some of your jobs have ended")
    reason = "" if course.state is None else course.state.reason
    facts = {"job": course.job_id, "reason": reason, "waited_s": round(waited_s, 1)}
    says = f"job {course.job_id} waits: {reason or 'nobody says why'}; the rest was not tried, and it is cancelled"
    return Check("job", "untried", says, "try again with a longer --wait, or another --queue", facts)


def _unconnected(course: _Course) -> Check:
    node = "its node" if course.state is None or not course.state.node else course.state.node
    says = f"job {course.job_id} runs on {node}, and its worker has not reached this host"
    addresses = ", ".join(f"{name} {address}" for name, address in interfaces().items())
    said = "".join(_tail(log) for log in course.logs.glob("*.log"))
    remedy = f"say in site.toml by which interface nodes reach this host; it has {addresses}"
    return _silent(says, course, f"{remedy}. The end of the log: {said}" if said else remedy)


def _silent(says: str, course: _Course, remedy: str) -> Check:
    return Check("job", "wrong", f"{says} (after {render_seconds(_CONNECT_S)})", remedy, {"job": course.job_id})


def interfaces() -> dict[str, str]:
    """Network interfaces of this machine with their IPv4 address, without the loopback."""
    found = ((name, one.address) for name, many in psutil.net_if_addrs().items() for one in many if one.family == 2)
    return {name: address for name, address in found if not address.startswith("127.")}


def _tail(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return " / ".join(said[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]


def _message(answer: Answer) -> dict[str, Any]:
    if answer.ack is not None:
        return json.loads(answer.ack.message)
    if answer.error is not None:
        says = f"the worker could not do its work: {type(answer.error).__name__}: {answer.error}"
        raise _Over(Check("job", "wrong", says, "install the same packages for this host and the nodes"))
    raise _Over(Check("job", "wrong", f"the worker was lost: {answer.how or answer.cause or 'nobody says why'}"))


# ------------------------------------------------------------------------------------------------------ what it found


@dataclass(frozen=True, slots=True)
class _Time:
    """How the worker's clock stands to ours.

    Attributes
    ----------
    ahead_s
        By how much it is ahead.
    round_trip_s
        What a batch took there and back; half of it is how sure that is.
    """

    ahead_s: float
    round_trip_s: float


def _ask_time(workers: Workers) -> _Time:
    begun = time.time()
    workers.submit(_batch(2))
    while time.time() < begun + _ANSWER_S:
        answer = workers.next_answer(0.1)
        if answer is not None:
            took_s = time.time() - begun
            return _Time(_message(answer)["time"] - begun - took_s / 2, took_s)
    raise _Over(Check("network", "wrong", f"the worker does not answer any more, for {render_seconds(_ANSWER_S)}"))


def _judged(found: dict[str, Any], clock: _Time, folder: Path, site: Site | None) -> Iterator[Check]:
    yield _same_software(found)
    yield _same_folder(found, folder)
    if "address" in found:
        yield _network(found, clock.round_trip_s)
    if site is not None:
        yield _clock(clock)
    yield _cores(found)
    yield _scratch(found)
    if site is not None:
        yield _submitting(found, site)


def _started(course: _Course, found: dict[str, Any]) -> Check:
    now = time.time()
    since = course.submitted_at or course.began_at
    facts: dict[str, Any] = {"host": found["host"], "first_result_s": round(now - since, 2)}
    if not course.job_id:
        return Check("worker", "well", f"first result after {render_seconds(now - since)}", "", facts)
    came_s = (course.came_at or now) - since
    node = "" if course.state is None or course.state.node in {"", found["host"]} else f" ({course.state.node})"
    says = f"job {course.job_id} on {found['host']}{node}: first worker {render_seconds(came_s)} after submission"
    if course.running_at is not None:
        queued_s = course.running_at - since
        says += f", {render_seconds(queued_s)} of them in the queue"
        facts["queued_s"] = round(queued_s, 1)
    says += f"; first result after {render_seconds(now - since)}"
    return Check("job", "well", says, "", facts | {"job": course.job_id, "first_worker_s": round(came_s, 2)})


def _same_software(found: dict[str, Any]) -> Check:
    here, there = versions(), found["versions"]
    other = [f"{name} {there.get(name)} there, {here[name]} here" for name in here if there.get(name) != here[name]]
    facts = {"python": found["python"], "versions": there}
    if other:
        remedy = "have jobs use the same environment: python = ... in site.toml, or prologue lines that load it"
        return Check("software", "wrong", "; ".join(other), remedy, facts)
    return Check("software", "well", f"the same there as here ({found['python']})", "", facts)


def _same_folder(found: dict[str, Any], folder: Path) -> Check:
    remedy = "keep sweeps on a disk that all nodes see under the same path: --directory, or Engine(directory=...)"
    if found["folder_error"]:
        return Check("shared", "wrong", f"the worker does not see {folder.parent}: {found['folder_error']}", remedy)
    begun = time.monotonic()
    while not (folder / "answer").exists():
        if time.monotonic() - begun > _SEEN_S:
            says = f"what the worker writes below {folder.parent} is not seen here after {_SEEN_S:.0f} s"
            return Check("shared", "wrong", says, remedy)
        time.sleep(0.05)
    seen_s = time.monotonic() - begun
    when = "at once" if seen_s < _AT_ONCE_S else f"after {render_seconds(seen_s)}"
    says = f"the worker sees {folder.parent}, and what it writes is seen here {when}"
    return Check("shared", "well", says, "", {"seen_after_s": round(seen_s, 3)})


def _network(found: dict[str, Any], took_s: float) -> Check:
    address, scheduler = found["address"], found["scheduler"]
    facts = {"worker": address, "scheduler": scheduler, "round_trip_s": round(took_s, 4)}
    if not (address.startswith("tls://") and scheduler.startswith("tls://")):
        return Check("network", "wrong", f"{address} to {scheduler} is not encrypted", "this is a bug", facts)
    host = scheduler.removeprefix("tls://").rpartition(":")[0]
    by = next((name for name, ip in interfaces().items() if ip == host), "lo")
    says = f"{address} to {scheduler} ({by}), encrypted; there and back in {render_seconds(took_s)}"
    if host.startswith("127.") and found["host"] == platform.node():
        remedy = "nodes other than this host cannot reach it; say interface = ... in site.toml"
        return Check("network", "doubtful", says, remedy, facts | {"interface": by})
    return Check("network", "well", says, "", facts | {"interface": by})


def _clock(clock: _Time) -> Check:
    sure_s = max(clock.round_trip_s / 2, 0.1)
    ahead_s = clock.ahead_s
    facts = {"ahead_s": round(ahead_s, 3), "uncertain_s": round(clock.round_trip_s / 2, 3)}
    if abs(ahead_s) <= sure_s:
        return Check("clocks", "well", f"agree within {render_seconds(sure_s)}", "", facts)
    says = f"that of the node is {render_seconds(abs(ahead_s))} {'ahead' if ahead_s > 0 else 'behind'}"
    if abs(ahead_s) <= _TOLERATED_S:
        return Check("clocks", "well", says, "", facts)
    return Check("clocks", "doubtful", says, "windows open and close by them; tell the site's staff", facts)


def _cores(found: dict[str, Any]) -> Check:
    n, threads = found["n_cores"], found["n_threads"] or "as many as they like"
    says = f"1 asked for, {n} may be used; threads of libraries: {threads}; memory of the node: "
    facts = {key: found[key] for key in ("n_cores", "n_threads", "memory_bytes")}
    return Check("cores", "well", says + render_bytes(found["memory_bytes"]), "", facts)


def _scratch(found: dict[str, Any]) -> Check:
    facts = {"folder": found["scratch"], "free_bytes": found.get("scratch_free_bytes")}
    if found["scratch_error"]:
        remedy = "say another folder in site.toml: scratch = ..."
        return Check("scratch", "wrong", f"{found['scratch']}: {found['scratch_error']}", remedy, facts)
    says = f"{found['scratch']}, {render_bytes(found['scratch_free_bytes'])} free"
    return Check("scratch", "well", says, "", facts)


def _submitting(found: dict[str, Any], site: Site) -> Check:
    """Whether a controller's job can queue the next, tried with one that is cancelled at once."""
    error, facts = found["batch_error"], {"nodes_submit": not found["batch_error"]}
    if not error and site.nodes_submit is False:
        says = "the node took a job, though site.toml says nodes_submit = false"
        remedy = "take that line out: a chain of jobs goes on for as long as a sweep takes, with workers on many nodes"
        return Check("controller", "doubtful", says, remedy, facts)
    if not error:
        cannot = f", but not cancel them: {found['cancel_error']}" if found["cancel_error"] else ""
        says = f"the node can submit jobs{cannot}, so a controller may be a job"
        return Check("controller", "well", says, "", facts)
    says = (
        f"the node cannot submit jobs: {error}; the jobs of a controller are queued beforehand, and do the work "
        "themselves, each on one node"
    )
    if site.nodes_submit is False:
        return Check("controller", "well", f"as site.toml says, {says}", "", facts)
    remedy = (
        "write nodes_submit = false in site.toml, so that no sweep has to find out; for workers on many nodes, drive "
        "sweeps from here: sciflow submit --controller process"
    )
    return Check("controller", "doubtful", says, remedy, facts)
