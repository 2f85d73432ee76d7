"""What the programs of PBS print, as values; sources: qstat(1B), and what OpenPBS 23.06 was seen to print."""

from __future__ import annotations

import json
import re
import signal
from calendar import timegm
from time import strptime
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from sciflow.batch.limits import least_limits, parse_count, parse_duration
from sciflow.batch.system import JobEnd, JobState, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.batch.system import Ending, Phase

Fields: TypeAlias = "dict[str, str]"
"""Attributes of a job, queue or server by name; those of resources are dotted, as in ``Resource_List.walltime``."""

_PHASES: Final[Mapping[str, Phase]] = {
    "Q": "waiting",
    "W": "waiting",
    "H": "waiting",
    "T": "waiting",
    "R": "running",
    "S": "running",
    "U": "running",
    "B": "running",
    "E": "ending",
}
_ENDED: Final = frozenset({"F", "X", "M"})
# negative exit statuses are those of PBS itself
_OWN_STATUSES: Final[Mapping[int, tuple[Ending, str]]] = {
    -1: ("never_started", "it could not be started, before its files were there"),
    -2: ("never_started", "it could not be started, after its files were there"),
    -3: ("never_started", "it could not be started, and is to be tried again"),
    -4: ("node_lost", "ended when the MOM of its node started"),
    -5: ("node_lost", "ended when the MOM of its node started, with a checkpoint"),
    -6: ("node_lost", "ended when the MOM of its node started, and is to be run again"),
    -7: ("never_started", "its checkpoint could not be restored"),
    -8: ("never_started", "its command could not be started"),
    -24: ("cancelled", "used more cores than it asked for"),
    -25: ("cancelled", "used more cores than it asked for"),
    -26: ("out_of_memory", "used more virtual memory than it asked for"),
    -27: ("out_of_memory", "used more memory than it asked for"),
    -28: ("walltime", "used more CPU time than it asked for"),
    -29: ("walltime", "its walltime was over"),
}


def parse_json(text: str) -> dict[str, Fields] | None:
    """Jobs by full id from ``qstat -f -F json``, or None when the text is no JSON, as some versions write it.

    Whether the server answered is not in it: without a server, a document without jobs is printed.
    """
    try:
        document = cast("object", json.loads(text, strict=False))
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    jobs = cast("dict[str, object]", document).get("Jobs", {})
    if not isinstance(jobs, dict):
        return None
    return {job_id: _flat(fields) for job_id, fields in cast("dict[str, object]", jobs).items()}


def _flat(fields: object, prefix: str = "") -> Fields:
    """Attributes as texts: what looks like a number was written as one."""
    flat: Fields = {}
    if isinstance(fields, dict):
        for name, value in cast("dict[str, object]", fields).items():
            if isinstance(value, dict):
                flat |= _flat(cast("object", value), f"{prefix}{name}.")
            else:
                flat[prefix + name] = str(value)
    return flat


def parse_text(text: str) -> dict[str, Fields]:
    """Blocks of ``qstat -f``, ``-Bf`` or ``-Qf`` by the name in their first line.

    Long lines go on after a tab. A value may hold a line break of its own, whose rest is no line of a block and is
    left out.
    """
    blocks: dict[str, Fields] = {}
    fields: Fields = {}
    last = ""
    for line in text.splitlines():
        head = re.fullmatch(r"(?:Job Id|Server|Queue): (\S+)", line)
        attribute = re.fullmatch(r" {4}([A-Za-z]\S*) = (.*)", line)
        if head is not None:
            fields = blocks.setdefault(head[1], {})
            last = ""
        elif attribute is not None:
            # a second one of a name can only be the rest of a value
            last = attribute[1] if attribute[1] not in fields else ""
            fields.setdefault(attribute[1], attribute[2])
        elif line.startswith("\t"):
            if last:
                fields[last] += line[1:]
        else:
            last = ""
    return blocks


def state_of(job_id: str, fields: Fields) -> JobState | None:
    """What is said of a job, or None when it has ended."""
    letter = fields.get("job_state", "")
    if letter in _ENDED:
        return None
    # a letter of another release: where the job has a node, it runs
    phase = _PHASES.get(letter) or ("running" if "exec_host" in fields else "waiting")
    comment = fields.get("comment", "")
    waits = phase == "waiting"
    return JobState(
        job_id=job_id,
        name=fields.get("Job_Name", ""),
        phase=phase,
        reason=_reason(letter, fields) if waits else "",
        never=waits and "can never run" in comment.lower(),
        node="" if waits else _node(fields),
        ends_at=None if waits else _ends_at(fields),
        memory_bytes=_bytes(fields.get("Resource_List.mem", "")),
    )


def _reason(letter: str, fields: Fields) -> str:
    if comment := fields.get("comment"):
        return comment
    if letter == "W":
        return f"Execution_Time {fields.get('Execution_Time', '')}".strip()
    if letter == "H":
        return f"depend {fields['depend']}" if "depend" in fields else f"Hold_Types {fields.get('Hold_Types', '')}"
    return ""


def _node(fields: Fields) -> str:
    """The first host of ``vm/0*4+other/1``."""
    return re.split(r"[/+]", fields.get("exec_host", ""))[0]


def _bytes(text: str) -> int | None:
    """Of ``500mb``; None when that is not said."""
    match = re.fullmatch(r"(\d+)([kmgtp]?)b", text.lower())
    return None if match is None else int(match[1]) << 10 * " kmgtp".index(match[2] or " ")


def _ends_at(fields: Fields) -> float | None:
    start = parse_ctime(fields.get("stime", ""))
    walltime_s = parse_duration(fields.get("Resource_List.walltime", ""))
    return None if start is None or walltime_s is None else start + walltime_s


def parse_ctime(text: str) -> float | None:
    """Unix seconds of a time, when the program ran with ``TZ=UTC``."""
    try:
        return float(timegm(strptime(text, "%a %b %d %H:%M:%S %Y")))
    except ValueError:
        return None


def owner(fields: Fields) -> str:
    """The user whose job it is, without the host."""
    return fields.get("Job_Owner", "").partition("@")[0]


def n_jobs_of(fields: Fields) -> int:
    """How many jobs it counts for: an array has one for each element that has not ended."""
    counts = dict(re.findall(r"(\w+):(\d+)", fields.get("array_state_count", "")))
    return sum(int(n) for state, n in counts.items() if state not in {"Expired", "Finished"}) if counts else 1


def n_waiting_of(fields: Fields) -> int:
    """How many jobs of it wait for their turn; one that is held, or waits for a time, waits for none."""
    queued = re.search(r"Queued:(\d+)", fields.get("array_state_count", ""))
    if queued is not None:
        return int(queued[1]) if fields.get("job_state") in {"Q", "B"} else 0
    return int(fields.get("job_state") == "Q")


def end_of(fields: Fields) -> JobEnd | None:
    """How a job ended, from its record in the server's history; None when it has not."""
    if fields.get("job_state") not in _ENDED:
        return None
    comment, node = fields.get("comment", ""), _node(fields)
    text = fields.get("Exit_status")
    if text is None or re.fullmatch(r"-?\d+", text) is None:
        return _end_without_status(fields, comment, node)
    status = int(text)
    how, words = _how(status, fields.get("substate", ""), comment)
    exit_status, signalled = _decoded(status)
    return JobEnd(how, _words(words, comment), exit_status, signalled, node)


def _end_without_status(fields: Fields, comment: str, node: str) -> JobEnd:
    if fields.get("substate") == "91":
        return JobEnd("cancelled", _words("deleted before it ran", comment), node=node)
    if "stime" not in fields:
        why = "what it depends on failed" if fields.get("substate") == "92" else "it never ran"
        return JobEnd("never_started", _words(why, comment), node=node)
    return JobEnd("unknown", _words("PBS keeps no exit status of it", comment), node=node)


def end_without_history(status: str | None, ends_at: float | None, gone_at: float) -> JobEnd:
    """How a job ended of which the server keeps no record.

    Parameters
    ----------
    status
        What its script left behind, or None.
    ends_at
        When its walltime was over, or None.
    gone_at
        When it was missed first, likewise in Unix seconds.
    """
    code = parse_count((status or "").strip())
    if code == 0:
        return JobEnd("finished", "exit status 0", 0)
    if ends_at is not None and gone_at >= ends_at:
        return JobEnd("walltime", "gone once its walltime was over; this server keeps no history")
    if code is None:
        return JobEnd("unknown", "gone without an exit status; this server keeps no history")
    _, signalled = _decoded(code)
    return JobEnd("exit", f"exit status {code}", code, signalled)


def _how(status: int, substate: str, comment: str) -> tuple[Ending, str]:
    if status in _OWN_STATUSES:
        return _OWN_STATUSES[status]
    said = comment.lower()
    _, signalled = _decoded(status)
    failed = f"Exit_status {status}" + (f" ({_signal_name(signalled)})" if signalled else "")
    hows: list[tuple[bool, Ending, str]] = [
        ("exceeded resource walltime" in said, "walltime", "its walltime was over"),
        ("preempt" in said, "preempted", "preempted"),
        (substate == "91" or "terminated by" in said, "cancelled", f"deleted, Exit_status {status}"),
        (status < 0, "unknown", f"Exit_status {status}"),
        (status == 0, "finished", "Exit_status 0"),
        (True, "exit", failed),
    ]
    return next((how, words) for holds, how, words in hows if holds)


def _decoded(status: int) -> tuple[int | None, int | None]:
    """Exit status and signal: 256 + n is of a job without a shell, 128 + n what its shell says of a signal."""
    if status < 0:
        return None, None
    if status >= 256:
        return None, status - 256
    return status, status - 128 if 128 < status <= 128 + signal.SIGRTMAX else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _words(words: str, comment: str) -> str:
    return f"{words}: {comment}" if comment else words


def parse_limits(fields: Fields, user: str) -> Limits:
    """Limits of one user, from the attributes of a queue or of the server."""
    return least_limits(
        [
            Limits(
                walltime_s=parse_duration(fields.get("resources_max.walltime", "")),
                n_submitted=_limit(fields.get("max_queued", ""), user),
                n_running=_limit(fields.get("max_run", ""), user),
                n_cores=_limit(fields.get("max_run_res.ncpus", ""), user),
            ),
            Limits(n_running=parse_count(fields.get("max_user_run", ""))),
        ]
    )


def _limit(text: str, user: str) -> int | None:
    """The number for a user in ``[u:PBS_GENERIC=10],[u:someone=20],[o:PBS_ALL=100]``."""
    limits = {who: int(n) for who, n in re.findall(r"\[([^\]=]+)=(\d+)\]", text)}
    own = limits.get(f"u:{user}", limits.get("u:PBS_GENERIC"))
    kept = [n for n in (own, limits.get("o:PBS_ALL")) if n is not None]
    return min(kept, default=None)
