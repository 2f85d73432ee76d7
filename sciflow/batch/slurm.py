"""SLURM through its commands."""

from __future__ import annotations

import getpass
import re
import time
import uuid
from typing import TYPE_CHECKING, Final

from sciflow.batch.command import Answer, Commands
from sciflow.batch.limits import least_limits, parse_duration
from sciflow.batch.script import checked_id, checked_word, job_name
from sciflow.batch.slurm_output import (
    ASSOCIATION_FIELDS,
    QOS_FIELDS,
    SACCT_FIELDS,
    SQUEUE_FORMAT,
    WAITING_FORMAT,
    end_of,
    hides_others,
    n_waiting_of_others,
    parse_associations,
    parse_partitions,
    parse_qos,
    parse_sacct,
    parse_squeue,
    state_of,
)
from sciflow.batch.slurm_script import slurm_script
from sciflow.batch.system import JobEnd, Limits
from sciflow.errors import BatchError, BatchLimitError, BatchUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sciflow.batch.system import Job, JobState

# what is printed on times is UTC, where no hour comes twice
_UTC: Final = {"TZ": "UTC", "LC_ALL": "C"}
_IDS_PER_CALL: Final = 200
# sacct looks back to midnight unless told; jobs that ended longer ago are of no interest
_LOOK_BACK_S: Final = 60 * 86400
_TRANSIENT: Final = re.compile(
    r"Socket timed out|Unable to contact slurm|Resource temporarily unavailable|Zero Bytes were transmitted"
    r"|Connection (refused|timed out|reset)|Transport endpoint is not connected|standby mode|Munge encode failed"
    r"|authentication error|Unable to connect to|temporarily unable to accept job|Slurm(ctld)? is (starting|down)"
    r"|Unexpected message received|Message (send|receive) failure|Problem talking to the database|controller not resp",
    re.IGNORECASE,
)
# the words below this reason are the same for jobs that are too long or too large for their account
_FULL: Final = re.compile(r"(Assoc|QOS)\w*Submit\w*|maximum job count|Unable to accept new jobs", re.IGNORECASE)
_FORGOTTEN: Final = JobEnd("unknown", "SLURM does not know this job any more")


class Slurm:
    """SLURM; see `BatchSystem` for what each method is for.

    Parameters
    ----------
    environ
        Where its programs are found and what they see; None is this process's environment at each call.
    timeout_s, patience_s
        How long one command may take, and for how long one that cannot reach SLURM is tried again.

    Notes
    -----
    Jobs get the environment of the submission, without what belongs to a job that this process may be running in.
    In their script ``SCIFLOW_JOB_ID`` and ``SCIFLOW_JOB_END`` (Unix seconds) are set.
    """

    def __init__(
        self, environ: Mapping[str, str] | None = None, *, timeout_s: float = 120, patience_s: float = 60
    ) -> None:
        self._commands = Commands(_is_transient, environ, timeout_s, patience_s)
        self._alive: frozenset[str] | None = None
        self._seen_ends: dict[str, JobEnd] = {}
        self._told_config: str | None = None
        self._default_queue: str | None = None

    @property
    def name(self) -> str:
        """``slurm``."""
        return "slurm"

    def script(self, job: Job) -> str:
        """The script of a job."""
        return slurm_script(job)

    def submit(self, script: str) -> str:
        """Submit a script and give the job's id; one that was taken although sbatch heard nothing is found again."""
        mark = f"sciflow-{uuid.uuid4().hex}"
        # the user's comment stays: it may mean something at the site
        marked = () if "#SBATCH --comment" in script else (f"--comment={mark}",)
        for attempt in self._commands.attempts("sbatch"):
            with attempt:
                if attempt.retry_state.attempt_number > 1 and marked and (taken := self._submitted(mark)):
                    return taken
                answer = self._commands.once("sbatch", "--parsable", *marked, stdin=script)
                if answer.status != 0 and _FULL.search(answer.words):
                    raise BatchLimitError(f"SLURM takes no more jobs of this user now: {answer.words}")
                return _checked(answer, "SLURM refused the job").out.strip().split("\n")[-1].partition(";")[0]
        raise AssertionError  # the last attempt raised

    def _submitted(self, mark: str) -> str | None:
        answer = self._commands.once("squeue", "--me", "--noheader", "--states=all", "--Format=JobID:40,Comment:100")
        rows = (line.split() for line in _checked(answer, "squeue failed").out.splitlines())
        return next((row[0] for row in rows if row[1:] == [mark]), None)

    def jobs(self, prefix: str) -> dict[str, JobState]:
        """Jobs whose name begins with *prefix*, by id."""
        answer = self._commands.ask(
            "squeue", "--me", "--noheader", "--array", "--states=all", f"--Format={SQUEUE_FORMAT}", also=_UTC
        )
        rows = parse_squeue(_checked(answer, "squeue failed").out)
        self._seen_ends = {row.job_id: end for row in rows if (end := end_of(row)) is not None}
        states = [state for row in rows if (state := state_of(row)) is not None]
        self._alive = frozenset(state.job_id for state in states)
        wanted = job_name(prefix)
        return {state.job_id: state for state in states if state.name.startswith(wanted)}

    def n_jobs(self) -> int:
        """Jobs of this user at the last look; the elements of an array count one by one."""
        if self._alive is None:
            self.jobs("")
        return len(self._alive or ())

    def n_waiting_of_others(self, queue: str | None) -> int:
        """Pending jobs of others in a partition, the default one by default."""
        if hides_others(self._config()):
            raise BatchError(
                "this SLURM shows users only their own jobs (PrivateData): how many others wait is not told"
            )
        if queue is None and self._default_queue is None:
            self._default_queue = self._partition(None)[0]
        queue = queue or self._default_queue
        where = () if queue is None else (f"--partition={checked_word('partition', queue)}",)
        answer = self._commands.ask(
            "squeue", "--noheader", "--array", "--states=PENDING", *where, f"--Format={WAITING_FORMAT}"
        )
        return n_waiting_of_others(_checked(answer, "squeue failed").out, getpass.getuser())

    def ends(self, job_ids: Iterable[str]) -> Mapping[str, JobEnd]:
        """How jobs ended: from accounting where there is one, else from squeue while it remembers them."""
        wanted = list(job_ids)
        if not wanted:
            return {}
        told = self._accounted(wanted) if self._accounting() else {}
        if any(job_id not in told and job_id not in self._seen_ends for job_id in wanted):
            self.jobs("")
        ends = {job_id: _better(told.get(job_id), self._seen_ends.get(job_id)) or _FORGOTTEN for job_id in wanted}
        alive = self._alive or frozenset()
        return {job_id: end for job_id, end in ends.items() if end is not _FORGOTTEN or job_id not in alive}

    def _accounted(self, job_ids: list[str]) -> dict[str, JobEnd]:
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - _LOOK_BACK_S))
        ends: dict[str, JobEnd] = {}
        for some in _groups(job_ids):
            try:
                answer = self._commands.ask(
                    "sacct",
                    "--noheader",
                    "--parsable2",
                    "--duplicates",
                    "--allocations",
                    f"--starttime={since}",
                    f"--jobs={','.join(some)}",
                    f"--format={SACCT_FIELDS}",
                    also=_UTC,
                )
            except BatchUnreachableError:
                return ends  # the data base may be down while SLURM works
            if answer.status == 0:
                ends |= parse_sacct(answer.out)
        return ends

    def _accounting(self) -> bool:
        """Whether the site keeps records of jobs that can be asked."""
        return re.search(r"^AccountingStorageType\s*=\s*\S*slurmdbd", self._config(), re.MULTILINE) is not None

    def _config(self) -> str:
        """How the site has set it up; asked once."""
        if self._told_config is None:
            self._told_config = _checked(self._commands.ask("scontrol", "show", "config"), "scontrol failed").out
        return self._told_config

    def cancel(self, job_ids: Iterable[str]) -> None:
        """Cancel jobs, with one command for up to 200 of them."""
        for some in _groups([checked_id(job_id) for job_id in job_ids]):
            answer = self._commands.ask("scancel", "--quiet", *some)
            if answer.status != 0 and not _only_ended(answer):
                raise BatchError(f"SLURM did not cancel jobs: {answer.words}")

    def limits(self, queue: str | None) -> Limits:
        """What the partition, the user's account and its QOS allow."""
        _, fields = self._partition(queue)
        longest = Limits(walltime_s=parse_duration(fields.get("MaxTime", "")))
        if not self._accounting():
            return longest
        return least_limits((longest, *self._account_limits(queue, fields.get("QoS", "N/A"))))

    def _partition(self, queue: str | None) -> tuple[str | None, dict[str, str]]:
        """Name and attributes of a partition, or of the default one."""
        named = () if queue is None else (checked_word("partition", queue),)
        answer = self._commands.ask("scontrol", "--oneliner", "show", "partition", *named)
        partitions = parse_partitions(_checked(answer, f"SLURM does not know the partition {queue!r}").out)
        default = next((name for name, fields in partitions.items() if fields.get("Default") == "YES"), None)
        name = queue or default
        return name, partitions.get(name or "", {})

    def remembers(self) -> bool:
        """Whether the site keeps accounts of jobs."""
        return self._accounting()

    def _account_limits(self, queue: str | None, partition_qos: str) -> list[Limits]:
        user = getpass.getuser()
        account, qos = parse_associations(
            self._accounts("user", user, "withassoc", f"format={ASSOCIATION_FIELDS}"), queue
        )
        names = sorted({qos, partition_qos} - {"", "N/A"})
        of_qos = [parse_qos(self._accounts("qos", name, f"format={QOS_FIELDS}")) for name in names]
        return [account, *of_qos]

    def _accounts(self, what: str, name: str, *further: str) -> str:
        try:
            answer = self._commands.ask("sacctmgr", "--noheader", "--parsable2", "show", what, name, *further)
        except BatchUnreachableError:
            return ""  # no limit that is known
        return answer.out if answer.status == 0 else ""


def _better(accounted: JobEnd | None, seen: JobEnd | None) -> JobEnd | None:
    """Accounting knows who cancelled a job; it hears of ends later than squeue, and takes 128 off exit statuses."""
    return seen if accounted is None or (seen is not None and seen.how == "exit") else accounted


def _is_transient(answer: Answer) -> bool:
    return answer.status != 0 and _TRANSIENT.search(answer.err) is not None


def _checked(answer: Answer, what: str) -> Answer:
    if answer.status != 0:
        raise BatchError(f"{what}: {answer.words}")
    return answer


def _only_ended(answer: Answer) -> bool:
    lines = answer.err.splitlines()
    return all("already completing or completed" in line or "Invalid job id specified" in line for line in lines)


def _groups(job_ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(job_ids), _IDS_PER_CALL):
        yield job_ids[start : start + _IDS_PER_CALL]
