"""`qsub`, `qstat` and `qdel` of the stand-in for PBS; what they say and return is what OpenPBS 23.06 was seen to."""

from __future__ import annotations

import getopt
import os
import pwd
import re
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sciflow.testing.pbs_printing import json_text, queue_text, server_text, table, text
from sciflow.testing.pbs_records import HOST, FakeJob, Records
from sciflow.testing.pbs_scheduling import decided

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_RESOURCES = frozenset({"select", "place", "walltime", "ncpus", "mem", "min_walltime", "max_walltime", "nodes"})
_IN_CHUNKS = frozenset({"ncpus", "mem", "ngpus", "mpiprocs", "ompthreads", "host"})
_QSUB = "N:o:e:j:k:r:W:l:a:q:A:v:VS:p:m:M:P:z"
_NO_SERVER = f"Connection refused\n{{program}}: cannot connect to server {HOST} (errno=111)"


def main(program: str, folder: str) -> None:
    """Run one of the programs on the folder of a stand-in."""
    records = Records(Path(folder))
    {"qsub": qsub, "qstat": qstat, "qdel": qdel}[program](records, sys.argv[1:])


def _end(status: int, words: str) -> NoReturn:
    print(words, file=sys.stderr)  # noqa: T201  a program's errors
    sys.exit(status)


def qsub(records: Records, words: list[str]) -> None:
    """Submit the script of a file or of stdin."""
    options, files = _options(words, "qsub")
    if files and not Path(files[0]).exists():
        _end(1, f"qsub: script file:: No such file or directory: {files[0]}")
    script = Path(files[0]).read_bytes() if files else sys.stdin.buffer.read()
    # those of the command line hold
    asked = [*_directives(script.decode("utf-8", "replace")), *options]
    job = _asked(asked, _name(files))
    if records.is_down:
        _end(162, _NO_SERVER.format(program="qsub"))
    with records.locked():
        job = replace(job, number=records.next_number(), queued=time.time())
        records.script(job).write_bytes(script)
        records.script(job).chmod(0o700)
        # it waits for its time or another job from the first moment
        first = decided(job, records.jobs(), 10**9, time.time()) or job
        records.save(first if first.state in {"W", "H"} else job)
    if "-z" not in dict(options):
        print(job.job_id)  # noqa: T201  its answer
        sys.stdout.flush()
    with (records.folder / "mom.log").open("ab") as log:
        subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-m", "sciflow.testing.pbs_mom", str(records.folder), str(job.number)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )


def _name(files: list[str]) -> str:
    return Path(files[0]).name[:15] if files else "STDIN"


def _options(words: list[str], program: str) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        return getopt.getopt(words, _QSUB)
    except getopt.GetoptError as error:
        _end(2, f"{program}: {error}\nusage: {program} [-a date_time] [-A account_string] ... [script | -- command]")


def _directives(script: str) -> list[tuple[str, str]]:
    """Options of the lines that begin with ``#PBS``, down to the first command."""
    found: list[tuple[str, str]] = []
    for line in script.splitlines():
        if line.startswith("#PBS"):
            found += _options(shlex.split(line[4:]), "qsub")[0]
        elif line.strip() and not line.startswith(("#", ":")):
            break
    return found


def _asked(options: list[tuple[str, str]], name: str) -> FakeJob:
    fields: dict[str, Any] = {
        "number": 0,
        "name": name,
        "owner": f"{_user()}@{HOST}",
        "folder": str(Path.cwd()),
        "variables": (("PBS_O_HOME", os.environ.get("HOME", "")), ("PBS_O_WORKDIR", str(Path.cwd()))),
    }
    resources = [part for flag, value in options if flag == "-l" for part in value.split(",")]
    if any(part.startswith("select=") for part in resources) and any(part.startswith("ncpus=") for part in resources):
        _end(5, 'qsub: "-lresource=" cannot be used with "select" or "place", resource is: ncpus')
    for flag, value in options:
        if flag == "-v":
            fields["variables"] = (*fields["variables"], *_variables(value))
        elif flag in _ASKS:
            fields |= _ASKS[flag](value)
    return FakeJob(**fields)


def _variables(value: str) -> list[tuple[str, str]]:
    """Of ``A=1,B='a,b'``."""
    parts = [part for part in shlex.shlex(value, posix=True, punctuation_chars=",") if part != ","]
    return [(name, setting) for name, _, setting in (part.partition("=") for part in parts)]


def _job_name(value: str) -> dict[str, Any]:
    if re.fullmatch(r"[A-Za-z0-9_.+-]{1,230}", value) is None:
        _end(2, "qsub: illegal -N value")
    return {"name": value}


def _queue(value: str) -> dict[str, Any]:
    if value != "workq":
        _end(170, "qsub: Unknown queue")
    return {"queue": value}


def _path(value: str) -> str:
    return str(Path.cwd() / value) + "/" * value.endswith("/")


def _attributes(value: str) -> dict[str, Any]:
    name, _, setting = value.partition("=")
    match name:
        case "depend":
            return {"depend": setting}
        case "umask":
            return {"umask": int(setting, 8)}
        case "group_list" | "block" | "sandbox":
            return {}
        case _:
            _end(2, "qsub: illegal -W value")


def _resources(value: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in value.split(","):
        name, _, setting = part.partition("=")
        if name not in _RESOURCES:
            _end(187, f"qsub: Unknown resource: {name}")
        if name == "walltime":
            found["walltime_s"] = _walltime(setting)
        elif name == "select":
            found |= _chunk(setting)
        elif name == "ncpus":
            found["n_cores"] = int(setting)
    return found


def _chunk(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in text.split(":")[1:]:
        name, _, setting = part.partition("=")
        if name not in _IN_CHUNKS:
            _end(187, f"qsub: Unknown resource: {name}")
        if name == "ncpus":
            found["n_cores"] = int(setting)
        elif name == "ngpus":
            found["n_gpus"] = int(setting)
        elif name == "mem":
            found["memory"] = setting
    return found


def _walltime(value: str) -> int:
    if re.fullmatch(r"\d+(:\d+){0,2}", value) is None:
        _end(166, "qsub: Illegal attribute or resource value Resource_List.walltime")
    seconds = 0
    for field in value.split(":"):
        seconds = seconds * 60 + int(field)
    return seconds


def _when(value: str) -> float:
    """Seconds of ``[[[[CC]YY]MM]DD]hhmm[.SS]`` on this clock; what is left out is the next such time."""
    match = re.fullmatch(r"((?:\d{2})?\d{2})?(\d{2})?(\d{2})?(\d{4})(?:\.(\d{2}))?", value)
    if match is None:
        _end(2, "qsub: illegal -a value")
    digits, _, seconds = value.partition(".")
    now = datetime.now()  # noqa: DTZ005  the clock of this machine, as PBS reads it
    full = f"{now:%Y%m%d%H%M}"
    when = datetime.strptime(full[: 12 - len(digits)] + digits, "%Y%m%d%H%M")  # noqa: DTZ007  same
    when += timedelta(seconds=int(seconds or 0))
    if len(digits) == 4 and when < now:
        when += timedelta(days=1)
    return when.timestamp()


_ASKS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "-N": _job_name,
    "-o": lambda value: {"output": _path(value)},
    "-e": lambda value: {"error": _path(value)},
    "-j": lambda value: {"joined": value in {"oe", "eo"}},
    "-k": lambda value: {"direct": "d" in value},
    "-r": lambda value: {"rerunnable": value == "y"},
    "-a": lambda value: {"begin": _when(value)},
    "-q": _queue,
    "-A": lambda value: {"account": value},
    "-l": _resources,
    "-W": _attributes,
}


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def qstat(records: Records, words: list[str]) -> None:
    """Show jobs, the server or the queue."""
    if words == ["--version"]:
        print("pbs_version = 23.06.06")  # noqa: T201  its answer
        return
    try:
        options, ids = getopt.getopt(words, "fF:xtHBQ")
    except getopt.GetoptError as error:
        _end(2, f"qstat: {error}\nusage: qstat [-f] [-x] [-F json] [job_id...]")
    flags = dict(options)
    as_json = flags.get("-F") == "json"
    settings = records.settings
    if records.is_down:
        if as_json:
            sys.stdout.buffer.write(json_text([], settings.dialect))
        _end(255, _NO_SERVER.format(program="qstat"))
    if "-B" in flags or "-Q" in flags:
        if "-Q" in flags and ids and ids[0] != "workq":
            _end(170, f"qstat: Unknown queue {ids[0]}")
        sys.stdout.write(server_text(settings) if "-B" in flags else queue_text(settings))
        return
    shown, status, complaints = _shown(records, ids, ended="-x" in flags, history=settings.history)
    if as_json:
        # the development version answers for the first of several ids
        sys.stdout.buffer.write(json_text(shown[:1] if ids and settings.dialect == "main" else shown, settings.dialect))
    else:
        sys.stdout.write(text(shown) if "-f" in flags else table(shown))
    sys.stderr.write("".join(f"{line}\n" for line in complaints))
    sys.exit(status)


def _shown(records: Records, ids: list[str], *, ended: bool, history: bool) -> tuple[list[FakeJob], int, list[str]]:
    """Jobs to print, the exit status (of the last error), and what is said on stderr."""
    if ended and not history:
        known = [job_id for job_id in ids if records.find(job_id) is None]
        return [], 153 if known else 0, ["PBS is not configured to maintain job history"]
    if not ids:
        return [job for job in records.jobs() if ended or job.state != "F"], 0, []
    shown: list[FakeJob] = []
    status, complaints = 0, list[str]()
    for job_id in ids:
        job = records.find(job_id)
        if job is None or (job.state == "F" and not history):
            status = 153
            complaints.append(f"qstat: Unknown Job Id {job_id}")
        elif job.state == "F" and not ended:
            status = 35
            complaints.append(
                f"qstat: {job.job_id} Job has finished, use -x or -H to obtain historical job information"
            )
        else:
            shown.append(job)
    return shown, status, complaints


def qdel(records: Records, words: list[str]) -> None:
    """Delete jobs: at once if they wait, else some time after this was accepted."""
    options, ids = getopt.getopt(words, "W:x")
    if records.is_down:
        _end(162, _NO_SERVER.format(program="qdel"))
    status = 0
    for job_id in ids:
        status = _delete(records, job_id, forced=("-W", "force") in options) or status
    sys.exit(status)


def _delete(records: Records, job_id: str, *, forced: bool) -> int:
    job = records.find(job_id)
    if re.match(r"\d", job_id) is None:
        print(f"qdel: illegally formed job identifier: {job_id}", file=sys.stderr)  # noqa: T201  a program's errors
        return 1
    if job is None or (job.state == "F" and not records.settings.history):
        print(f"qdel: Unknown Job Id {job_id}", file=sys.stderr)  # noqa: T201  same
        return 153
    if job.state == "F":
        print(f"qdel: Job has finished {job.job_id}", file=sys.stderr)  # noqa: T201  same
        return 35
    with records.locked():
        now = records.job(job.number)
        who = f"{_user()}@{HOST}"
        records.save(
            replace(now, state="F", substate=91)
            if now.state in {"Q", "W", "H"}
            else replace(now, deleted_by=who, forced=forced)
        )
    return 0
