"""PBS (OpenPBS, PBS Professional) through its commands."""

from __future__ import annotations

import getpass
import os
import re
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sciflow.batch.command import Answer, Commands
from sciflow.batch.limits import least_limits
from sciflow.batch.pbs_output import (
    Fields,
    end_of,
    end_without_history,
    n_jobs_of,
    n_waiting_of,
    owner,
    parse_json,
    parse_limits,
    parse_text,
    state_of,
)
from sciflow.batch.pbs_script import pbs_script
from sciflow.batch.script import checked_id, checked_word, job_name
from sciflow.batch.system import JobEnd
from sciflow.errors import BatchError, BatchLimitError, BatchUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sciflow.batch.system import Job, JobState, Limits

# times are printed without a zone; in UTC no hour comes twice
_UTC: Final = {"TZ": "UTC", "LC_ALL": "C"}
_IDS_PER_CALL: Final = 200
# some versions answer a query of several ids for the first only; asking for all is much where the history is long
_FEW: Final = 5
_UNKNOWN_JOB: Final = 153
_TRANSIENT: Final = re.compile(
    r"cannot connect to|Connection (refused|timed out|reset)|Communication failure|End of File|Server shutting down"
    r"|Resource temporarily unavailable|No active server",
    re.IGNORECASE,
)
_FULL: Final = re.compile(r"would exceed .*limit|Maximum number of jobs", re.IGNORECASE)
_ENDED: Final = re.compile(r"Unknown Job Id|Job has finished|Request invalid for state of job", re.IGNORECASE)
_NO_MOM: Final = re.compile(r"could not connect to MOM", re.IGNORECASE)
_FORGOTTEN: Final = JobEnd("unknown", "PBS does not know this job any more")


class Pbs:
    """PBS; see `BatchSystem` for what each method is for.

    Parameters
    ----------
    environ
        Where its programs are found and what they see; None is this process's environment at each call.
    exits
        A folder that all nodes see, where each job leaves its exit status: servers keep no history of jobs unless they
        are told to, and then nothing else tells how one ended.
    timeout_s, patience_s
        How long one command may take, and for how long one that cannot reach PBS is tried again.

    Notes
    -----
    Jobs get the environment of a login, and what they need of that of their submission to find programs and modules;
    they start in the folder of their submission. In their script
    ``SCIFLOW_JOB_ID`` and ``SCIFLOW_JOB_END`` (Unix seconds) are set.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        exits: Path | None = None,
        *,
        timeout_s: float = 120,
        patience_s: float = 60,
    ) -> None:
        self._commands = Commands(_is_transient, environ, timeout_s, patience_s)
        self._exits, self._environ = exits, environ
        self._n_jobs: int | None = None
        self._ends_at: dict[str, float] = {}
        self._gone_at: dict[str, float] = {}
        self._told_server: Fields | None = None

    @property
    def name(self) -> str:
        """``pbs``."""
        return "pbs"

    def script(self, job: Job) -> str:
        """The script of a job, for submission now."""
        return pbs_script(job, datetime.now(UTC), self._exits, os.environ if self._environ is None else self._environ)

    def submit(self, script: str) -> str:
        """Submit a script and give the job's id, in full; one that was taken although qsub heard nothing is found."""
        mark = f"sciflow-{uuid.uuid4().hex}"
        # variables of the command line would hide those of the script
        marked = () if "#PBS -v" in script else ("-v", f"SCIFLOW_SUBMISSION={mark}")
        for attempt in self._commands.attempts("qsub"):
            with attempt:
                if attempt.retry_state.attempt_number > 1 and marked and (taken := self._submitted(mark)):
                    return taken
                answer = self._commands.once("qsub", *marked, stdin=script)
                if answer.status != 0 and _FULL.search(answer.words):
                    raise BatchLimitError(f"PBS takes no more jobs of this user now: {answer.words}")
                return _checked(answer, "PBS refused the job").out.strip().split("\n")[-1]
        raise AssertionError  # the last attempt raised

    def _submitted(self, mark: str) -> str | None:
        answer = self._commands.once("qstat", "-f")
        jobs = parse_text(_checked(answer, "qstat failed").out)
        return next((job_id for job_id, fields in jobs.items() if mark in fields.get("Variable_List", "")), None)

    def jobs(self, prefix: str) -> dict[str, JobState]:
        """Jobs whose name begins with *prefix*, by id."""
        mine = self._live()
        states = {job_id: state for job_id, fields in mine.items() if (state := state_of(job_id, fields)) is not None}
        self._n_jobs = sum(n_jobs_of(mine[job_id]) for job_id in states)
        self._ends_at |= {job_id: state.ends_at for job_id, state in states.items() if state.ends_at is not None}
        for job_id in self._ends_at.keys() - states.keys():
            self._gone_at.setdefault(job_id, time.time())
        wanted = job_name(prefix)
        return {job_id: state for job_id, state in states.items() if state.name.startswith(wanted)}

    def n_jobs(self) -> int:
        """Jobs of this user at the last look; the elements of an array count one by one."""
        if self._n_jobs is None:
            self.jobs("")
        return self._n_jobs or 0

    def n_waiting_of_others(self, queue: str | None) -> int:
        """Queued jobs of others in a queue, the server's default by default."""
        if self._server().get("query_other_jobs") == "False":
            raise BatchError(
                "this PBS shows users only their own jobs (query_other_jobs): how many others wait is not told"
            )
        name, user = queue or self._server().get("default_queue"), getpass.getuser()
        others = (fields for fields in self._query().values() if owner(fields) != user)
        return sum(n_waiting_of(fields) for fields in others if name in {None, fields.get("queue")})

    def ends(self, job_ids: Iterable[str]) -> Mapping[str, JobEnd]:
        """How jobs ended: from the server's history, or from what they left behind where it keeps none."""
        wanted = list(job_ids)
        if not wanted:
            return {}
        if not self._history():
            alive = self._live()
            return {job_id: self._unrecorded(job_id) for job_id in wanted if _of(alive, job_id) is None}
        records = self._records(wanted)
        ends = {job_id: _end(_of(records, job_id)) for job_id in wanted}
        return {job_id: end for job_id, end in ends.items() if end is not None}

    def cancel(self, job_ids: Iterable[str]) -> None:
        """Cancel jobs, with one command for up to 200 of them; PBS ends those that run within seconds, not at once."""
        ids = [checked_id(job_id) for job_id in job_ids]
        complaints: list[str] = []
        for start in range(0, len(ids), _IDS_PER_CALL):
            answer = self._commands.ask("qdel", *ids[start : start + _IDS_PER_CALL])
            # the status is that of the last error, the others are on its lines
            if answer.status != 0:
                complaints += [line for line in answer.err.splitlines() if line and not _ENDED.search(line)]
        if any(_NO_MOM.search(line) for line in complaints):
            raise BatchUnreachableError(f"PBS cannot reach the nodes of jobs to be cancelled: {'; '.join(complaints)}")
        if complaints:
            raise BatchError(f"PBS did not cancel jobs: {'; '.join(complaints)}")

    def limits(self, queue: str | None) -> Limits:
        """What the server and the queue allow this user."""
        user = getpass.getuser()
        server = self._server()
        name = server.get("default_queue") if queue is None else checked_word("queue", queue)
        if name is None:
            return parse_limits(server, user)
        answer = _checked(self._commands.ask("qstat", "-Qf", name), f"PBS does not know the queue {name!r}")
        return least_limits(
            (parse_limits(server, user), *(parse_limits(q, user) for q in parse_text(answer.out).values()))
        )

    def remembers(self) -> bool:
        """Whether the server keeps a history of jobs."""
        return self._history()

    def _live(self) -> dict[str, Fields]:
        """Jobs of this user that have not ended."""
        user = getpass.getuser()
        return {job_id: fields for job_id, fields in self._query().items() if owner(fields) == user}

    def _records(self, job_ids: list[str]) -> dict[str, Fields]:
        """Jobs that are asked for, and perhaps others, ended ones too."""
        if len(job_ids) > _FEW:
            return self._query("-x")
        found: dict[str, Fields] = {}
        for job_id in job_ids:
            found |= self._query("-x", checked_id(job_id))
        return found

    def _query(self, *further: str) -> dict[str, Fields]:
        """Jobs by full id; as text where the JSON cannot be read, as with names or variables that look like numbers."""
        options = [word for word in further if word.startswith("-")]
        ids = [word for word in further if not word.startswith("-")]
        for form in (["-F", "json"], []):
            answer = self._commands.ask("qstat", *options, "-f", *form, *ids, also=_UTC)
            if ids and answer.status == _UNKNOWN_JOB:
                return {}
            text = _checked(answer, "qstat failed").out
            jobs = parse_json(text) if form else parse_text(text)
            if jobs is not None:
                return jobs
        raise AssertionError  # text can always be read

    def _history(self) -> bool:
        """Whether the server remembers jobs that have ended."""
        return self._server().get("job_history_enable") == "True"

    def _server(self) -> Fields:
        """Attributes of the server; asked once."""
        if self._told_server is None:
            servers = parse_text(_checked(self._commands.ask("qstat", "-Bf"), "qstat failed").out)
            self._told_server = next(iter(servers.values()), {})
        return self._told_server

    def _unrecorded(self, job_id: str) -> JobEnd:
        left = None if self._exits is None else _read(self._exits / job_id)
        return end_without_history(left, self._ends_at.get(job_id), self._gone_at.get(job_id, time.time()))


def _end(fields: Fields | None) -> JobEnd | None:
    return _FORGOTTEN if fields is None else end_of(fields)


def _of(jobs: Mapping[str, Fields], job_id: str) -> Fields | None:
    """The job of an id in full, or of its number alone."""
    if job_id in jobs or "." in job_id:
        return jobs.get(job_id)
    return next((fields for full, fields in jobs.items() if full.partition(".")[0] == job_id), None)


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except OSError:
        return None


def _is_transient(answer: Answer) -> bool:
    # whatever is on stdout: without a server it still is JSON
    return answer.status != 0 and _TRANSIENT.search(answer.err) is not None


def _checked(answer: Answer, what: str) -> Answer:
    if answer.status != 0:
        raise BatchError(f"{what}: {answer.words}")
    return answer
