"""What `qstat` of the stand-in for PBS prints: text that wraps, and the JSON of two versions with their quirks."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

from sciflow.testing.pbs_records import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sciflow.testing.pbs_records import Dialect, FakeJob, Settings

_NUMERIC = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|nan|inf(inity)?)", re.IGNORECASE)


def attributes(job: FakeJob) -> list[tuple[str, str]]:
    """A job's attributes in the order of PBS; what does not apply is not there."""
    ran = job.start > 0
    found = [
        ("Job_Name", job.name),
        ("Job_Owner", job.owner),
        ("job_state", job.state),
        ("queue", job.queue),
        ("server", HOST),
        ("Account_Name", job.account),
        ("ctime", _ctime(job.queued)),
        ("depend", job.depend),
        ("Execution_Time", _ctime(job.begin) if job.state == "W" else ""),
        ("exec_host", f"{HOST}/0*{job.n_cores}" if ran else ""),
        ("exec_vnode", f"({HOST}:ncpus={job.n_cores})" if ran else ""),
        ("Hold_Types", "s" if job.state == "H" else "n"),
        ("Join_Path", "oe" if job.joined else "n"),
        ("Output_Path", f"{HOST}:{job.output}" if job.output else ""),
        ("Rerunable", str(job.rerunnable)),
        ("Resource_List.mem", job.memory),
        ("Resource_List.ncpus", str(job.n_cores)),
        ("Resource_List.walltime", "" if job.walltime_s is None else _clock(job.walltime_s)),
        ("stime", _ctime(job.start)),
        ("session_id", str(job.session) if job.session else ""),
        ("substate", str(job.substate)),
        ("Variable_List", ",".join(f"{name}={value}" for name, value in job.variables)),
        ("comment", job.comment),
        ("run_count", "1" if ran else ""),
        ("Exit_status", "" if job.exit_status is None else str(job.exit_status)),
        ("Stageout_status", "" if job.stageout_status is None else str(job.stageout_status)),
    ]
    return [(name, value) for name, value in found if value]


def table(jobs: Iterable[FakeJob]) -> str:
    """Plain ``qstat``; names are cut."""
    head = f"{'Job id':<18}{'Name':<17}{'User':<17}{'Time Use':<9}S Queue\n" + "-" * 66 + "\n"
    rows = [
        f"{job.job_id:<18}{job.name[:15]:<17}{job.owner.split('@')[0][:15]:<17}{'0':<9}{job.state} {job.queue}\n"
        for job in jobs
    ]
    return head + "".join(rows) if rows else ""


def text(jobs: Iterable[FakeJob]) -> str:
    """``qstat -f``: lines go on after 79 columns, line breaks in values are not marked."""
    return "".join(f"Job Id: {job.job_id}\n" + block(attributes(job)) for job in jobs)


def block(fields: Iterable[tuple[str, str]]) -> str:
    """Attributes as text, and the empty line after them."""
    return "".join(_wrapped(f"    {name} = {value}") for name, value in fields) + "\n"


def server_text(settings: Settings) -> str:
    """``qstat -Bf``."""
    fields = [
        ("server_state", "Active"),
        ("server_host", HOST),
        ("default_queue", "workq"),
        ("pbs_version", "23.06.06"),
    ]
    if settings.history:
        fields.append(("job_history_enable", "True"))
    return f"Server: {HOST}\n" + block(fields)


def queue_text(settings: Settings) -> str:
    """``qstat -Qf workq``."""
    fields = [("queue_type", "Execution"), ("enabled", "True"), ("started", "True")]
    if settings.walltime:
        fields.append(("resources_max.walltime", settings.walltime))
    return "Queue: workq\n" + block(fields)


def json_text(jobs: Iterable[FakeJob], dialect: Dialect) -> bytes:
    """``qstat -f -F json``; without jobs there is no key for them."""
    head = [f'"timestamp":{int(time.time())}', '"pbs_version":"23.06.06"', f'"pbs_server":"{HOST}"']
    written = [f'"{job.job_id}":{_json_job(job, dialect)}' for job in jobs]
    if written:
        head.append('"Jobs":{' + ",".join(written) + "}")
    document = "{" + ",".join(head) + "}\n"
    if dialect == "main":
        return document.encode()
    # letters beyond ASCII come out as the first byte of each
    return b"".join(letter.encode()[:1] for letter in document)


def _json_job(job: FakeJob, dialect: Dialect) -> str:
    nested: dict[str, list[str]] = {}
    plain: list[str] = []
    for name, value in attributes(job):
        group, dot, rest = name.partition(".")
        if name == "Variable_List":
            continue
        if dot:
            nested.setdefault(group, []).append(f'"{rest}":{_json_value(value, dialect)}')
        else:
            plain.append(f'"{name}":{_json_value(value, dialect)}')
    plain += [f'"{group}":{{{",".join(values)}}}' for group, values in nested.items()]
    variables = ",".join(f'"{name}":{_json_value(value, dialect)}' for name, value in _variables(job, dialect))
    return "{" + ",".join([*plain, f'"Variable_List":{{{variables}}}']) + "}"


def _variables(job: FakeJob, dialect: Dialect) -> list[tuple[str, str]]:
    if dialect == "main":
        return list(job.variables)
    kept: list[tuple[str, str]] = []
    for name, value in job.variables:
        if kept and kept[-1][1] == "":
            # an empty variable swallows the next one
            kept[-1] = (kept[-1][0], f",{name}={value}")
        else:
            kept.append((name, value))
    return kept


def _json_value(value: str, dialect: Dialect) -> str:
    if _NUMERIC.fullmatch(value) is None:
        quoted = json.dumps(value, ensure_ascii=False)
        return quoted.replace('\\"', '\\\\\\"') if dialect == "main" else quoted
    if dialect == "release":
        return value  # raw: nan, 1e5 and 007 are no JSON, or not the same
    number = float(value)
    whole = number == number and abs(number) < 1e300 and number == int(number)  # noqa: PLR0124  a NaN differs from itself
    return str(int(number)) if whole else json.dumps(value)


def _wrapped(line: str) -> str:
    lines = [line[:79]]
    rest = line[79:]
    while rest:
        lines.append("\t" + rest[:78])
        rest = rest[78:]
    return "\n".join(lines) + "\n"


def _ctime(seconds: float) -> str:
    """On the clock of the program that asks, without its zone."""
    return time.ctime(seconds) if seconds else ""


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
