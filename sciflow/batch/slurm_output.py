"""What the programs of SLURM print, as values; sources: squeue(1) with its codes, sacct(1), scontrol(1)."""

from __future__ import annotations

import os
import re
import signal
from calendar import timegm
from dataclasses import dataclass
from time import strptime
from typing import TYPE_CHECKING, Final

from sciflow.batch.limits import least_limits, parse_count, parse_duration
from sciflow.batch.system import JobEnd, JobState, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sciflow.batch.system import Ending, Phase

# columns of fixed width, which every version understands; the name is last since it may hold anything
_COLUMNS: Final = {
    "JobArrayID": 40,
    "State": 24,
    "exit_code": 12,
    "StartTime": 24,
    "EndTime": 24,
    "NodeList": 80,
    "Reason": 100,
    "PreemptTime": 24,
    "tres-alloc": 200,
    "Name": 260,
}
SQUEUE_FORMAT: Final = ",".join(f"{field}:{width}" for field, width in _COLUMNS.items())
WAITING_FORMAT: Final = "UserName:64,Reason:64"
SACCT_FIELDS: Final = "JobIDRaw,State,ExitCode,Start,NodeList,Reason"

_WAITING: Final = frozenset({"PENDING", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
_ENDING: Final = frozenset({"COMPLETING", "STAGE_OUT", "REQUEUED", "SIGNALING"})
_ENDINGS: Final[Mapping[str, Ending]] = {
    "COMPLETED": "finished",
    "FAILED": "exit",
    "TIMEOUT": "walltime",
    "DEADLINE": "walltime",
    "PREEMPTED": "preempted",
    "NODE_FAIL": "node_lost",
    "BOOT_FAIL": "node_lost",
    "OUT_OF_MEMORY": "out_of_memory",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
}
# held by SLURM until somebody acts, or asking for what this partition, account or QOS gives nobody. Limits that others
# share (AssocGrpCpuLimit, QOSMaxCpuPerUserLimit) pass when other jobs end; a spent budget (AssocGrpCPUMinutes) does not
_NEVER: Final = re.compile(
    r"DependencyNeverSatisfied|InvalidAccount|InvalidQOS|QOSNotAllowed|AccountNotAllowed|BadConstraints"
    r"|PartitionNodeLimit|PartitionTimeLimit|PartitionConfig|MaxMemPerLimit|ReservationDeleted|JobHoldMaxRequeue"
    r"|launch.failed.requeued.held"
    r"|(Assoc|QOS)Max\w*Per(Job|Node)(Limit)?|QOSMin\w+"
    r"|(Assoc|QOS)Grp(?!\w*RunMinutes)(\w*Minutes(Limit)?|WallLimit)"
)
# jobs that would not start however much room there is
_NOT_IN_THE_WAY: Final = re.compile(r"BeginTime|Dependency|JobHeld|JobArrayTaskLimit|Reservation\b")
# the signal that slurmstepd reports when a job's output cannot be opened
_NO_LOG: Final = 53


@dataclass(frozen=True, slots=True)
class Row:
    """A job as squeue shows it, ended or not; times are Unix seconds, None where there is none."""

    job_id: str
    name: str
    state: str
    status: int
    start: float | None
    end: float | None
    nodes: str
    reason: str
    preempted_at: float | None = None
    memory_bytes: int | None = None


def parse_squeue(text: str) -> list[Row]:
    """Rows of ``squeue --noheader --Format``; lines that are no rows (a name with a line break) are left out."""
    rows: list[Row] = []
    for line in text.splitlines():
        cells: dict[str, str] = {}
        start = 0
        for field, width in _COLUMNS.items():
            cells[field] = line[start : start + width].strip()
            start += width
        if cells["JobArrayID"][:1].isdigit() and cells["exit_code"].lstrip("-").isdigit():
            rows.append(_row(cells))
    return rows


def _row(cells: Mapping[str, str]) -> Row:
    reason = cells["Reason"]
    return Row(
        job_id=cells["JobArrayID"],
        name=cells["Name"],
        state=cells["State"],
        status=int(cells["exit_code"]),
        start=parse_utc(cells["StartTime"]),
        end=parse_utc(cells["EndTime"]),
        nodes=cells["NodeList"],
        reason="" if reason in {"None", "N/A"} else reason,
        preempted_at=parse_utc(cells["PreemptTime"]),
        memory_bytes=_memory_in(cells["tres-alloc"]),
    )


def _memory_in(tres: str) -> int | None:
    """Bytes of ``cpu=4,mem=1.50G,node=1``; None where memory is not what a site gives out."""
    match = re.search(r"(?:^|,)mem=([\d.]+)([KMGTP]?)", tres)
    n_bytes = 0 if match is None else round(float(match[1]) * 1024 ** " KMGTP".index(match[2] or " "))
    return n_bytes or None


def n_waiting_of_others(text: str, user: str) -> int:
    """Pending jobs of others that wait for their turn, from ``squeue --noheader --Format`` with `WAITING_FORMAT`."""
    rows = (line.split() for line in text.splitlines())
    return sum(1 for row in rows if row and row[0] != user and not _NOT_IN_THE_WAY.match("".join(row[1:])))


def hides_others(config: str) -> bool:
    """Whether users are shown their own jobs only, from ``scontrol show config``."""
    match = re.search(r"^PrivateData\s*=\s*(\S*)", config, re.MULTILINE)
    return match is not None and bool({"jobs", "all"} & set(match[1].split(",")))


def parse_utc(text: str) -> float | None:
    """Unix seconds of a time, when the program ran with ``TZ=UTC``; None for ``N/A``, ``Unknown`` or ``None``."""
    try:
        return float(timegm(strptime(text, "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return None


def state_of(row: Row) -> JobState | None:
    """What is said of a job, or None when it has ended."""
    if row.state in _ENDINGS:
        return None
    phase = _phase(row)
    waits = phase == "waiting"
    return JobState(
        job_id=row.job_id,
        name=row.name,
        phase=phase,
        reason=row.reason or (row.state if row.state not in {"PENDING", "RUNNING"} else ""),
        never=waits and never_runs(row.reason),
        node="" if waits else row.nodes,
        ends_at=None if waits else row.end,
        memory_bytes=row.memory_bytes,
        # from the announcement on, which may be long before SIGTERM; of a job that was put back it is an old story
        is_preempted=not waits and row.preempted_at is not None and row.preempted_at >= (row.start or 0.0),
    )


def _phase(row: Row) -> Phase:
    if row.state in _WAITING:
        return "waiting"
    if row.state in _ENDING:
        return "ending"
    # a state of a newer release: where it has nodes, it runs
    return "running" if row.nodes else "waiting"


def never_runs(reason: str) -> bool:
    """Whether a job that waits for this reason will not run unless somebody changes it or the site."""
    return _NEVER.fullmatch(reason) is not None


def end_of(row: Row) -> JobEnd | None:
    """How a job ended, from squeue, which keeps ended jobs for a while; None when it has not."""
    if row.state not in _ENDINGS:
        return None
    if os.WIFSIGNALED(row.status):
        exit_status, signalled = 0, os.WTERMSIG(row.status)
    else:
        exit_status, signalled = os.waitstatus_to_exitcode(row.status), 0
    started = row.start is not None and row.nodes != ""
    return _job_end(row.state, exit_status, signalled, row.nodes, row.reason, started=started)


def parse_sacct(text: str) -> dict[str, JobEnd]:
    """Ends from ``sacct --noheader --parsable2``; a job that was requeued has a row each time, and the last counts.

    Jobs that have not ended as far as the data base knows, which hears of it later, are left out.
    """
    ends: dict[str, JobEnd] = {}
    for line in text.splitlines():
        cells = line.split("|", maxsplit=5)
        if len(cells) != 6:
            continue
        job_id, state, code, start, nodes, reason = cells
        exit_status, _, signalled = code.partition(":")
        if state.split(" ")[0] not in _ENDINGS or not (exit_status.isdigit() and signalled.isdigit()):
            ends.pop(job_id, None)
            continue
        plain = "" if nodes == "None assigned" else nodes
        started = start not in {"None", "Unknown"} and plain != ""
        ends[job_id] = _job_end(state, int(exit_status), int(signalled), plain, reason, started=started)
    return ends


def _job_end(said: str, exit_status: int, signalled: int, nodes: str, reason: str, *, started: bool) -> JobEnd:
    """One end; *said* is the state, which may go on as in ``CANCELLED by 1000``."""
    state = said.split(" ", maxsplit=1)[0]
    how = _ENDINGS[state]
    words = [said]
    if signalled == _NO_LOG:
        how = "never_started"
        words.append("its log could not be opened: does the folder exist on the node?")
    elif state == "DEADLINE" and not started:
        how = "never_started"
        words.append("it could not have ended in time any more")
    elif state == "FAILED" and reason == "OutOfMemory":
        how = "out_of_memory"
    if how == "exit":
        words.append(f"signal {signalled} ({_signal_name(signalled)})" if signalled else f"exit status {exit_status}")
    # of a job that has run, the reason may still be the one for which it waited
    if not started and reason not in {"", "None", "DeadLine"}:
        words.append(reason)
    told = started and how in {"finished", "exit", "out_of_memory"}
    return JobEnd(
        how=how,
        words=", ".join(words),
        exit_status=exit_status if told and not signalled else None,
        signal=signalled if told and signalled else None,
        node=nodes,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "not a signal of this machine"


def parse_partitions(text: str) -> dict[str, dict[str, str]]:
    """Partitions by name from ``scontrol --oneliner show partition``."""
    found = (_fields(line.split()) for line in text.splitlines())
    return {fields["PartitionName"]: fields for fields in found if "PartitionName" in fields}


def _fields(words: Iterable[str]) -> dict[str, str]:
    """The words of the form ``name=value``."""
    return {name: value for name, _, value in (word.partition("=") for word in words)}


ASSOCIATION_FIELDS: Final = "DefaultAccount,Account,Partition,DefaultQOS,MaxJobs,MaxSubmit,MaxWall"
QOS_FIELDS: Final = "Name,MaxJobsPU,MaxSubmitPU,MaxWall,MaxTRESPU"


def parse_associations(text: str, queue: str | None) -> tuple[Limits, str]:
    """Limits of a user's default account in a queue, and the name of its QOS; it is ``normal`` where none is named.

    From ``sacctmgr --noheader --parsable2 show user ... withassoc``.
    """
    limits: list[Limits] = []
    qos = "normal"
    for line in text.splitlines():
        cells = line.split("|")
        if len(cells) != 7:
            continue
        default, account, partition, its_qos, running, submitted, wall = cells
        if account == (default or account) and partition in {"", queue or ""}:
            limits.append(Limits(parse_duration(wall), parse_count(submitted), parse_count(running)))
            qos = its_qos or qos
    return least_limits(limits), qos


def parse_qos(text: str) -> Limits:
    """Limits of one user in one QOS, from ``sacctmgr --noheader --parsable2 show qos``."""
    limits: list[Limits] = []
    for line in text.splitlines():
        cells = line.split("|")
        if len(cells) == 5:
            _, running, submitted, wall, tres = cells
            cores = _fields(tres.split(",")).get("cpu", "")
            limits.append(
                Limits(parse_duration(wall), parse_count(submitted), parse_count(running), parse_count(cores))
            )
    return least_limits(limits)
