"""A job as a script of PBS; source: qsub(1B), and what OpenPBS 23.06 was seen to do."""

from __future__ import annotations

import math
import os
import shlex
from typing import TYPE_CHECKING, Final

from sciflow.batch.script import (
    checked,
    checked_id,
    checked_options,
    checked_word,
    job_name,
    local_time,
    mebibytes,
    path_with_id,
)
from sciflow.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from sciflow.batch.system import Job

# PBS passes no environment on, and sites may refuse what it has for that (-V); all of it would hold secrets, and much
# that belongs to the login
_CARRIED: Final = frozenset({
    *("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "LANG"),
    *("XDG_CONFIG_HOME", "PBS_CONF_FILE", "PBS_EXEC", "PBS_SERVER", "PBS_DEFAULT"),
})  # fmt: skip
_OF_ONE_JOB: Final = frozenset({"SCIFLOW_JOB_ID", "SCIFLOW_JOB_END", "SCIFLOW_SUBMISSION"})


def pbs_script(job: Job, now: datetime, exits: Path | None = None, environ: Mapping[str, str] | None = None) -> str:
    """The script of a job that is submitted *now*.

    Parameters
    ----------
    exits
        A folder in which it leaves its exit status; None for none.
    environ
        The environment of the submission, of which it restores what jobs need to find their programs and modules.

    Raises
    ------
    BatchError
        When the job cannot end in time any more, or a value cannot be written.
    """
    walltime_s = _walltime_s(checked(job), now)
    asked = "".join(f"#PBS {line}\n" for line in (*_options(job, walltime_s), *checked_options(job.options)))
    return f"#!/bin/sh\n{asked}{_prologue(job, walltime_s, exits)}{_exports(environ or {})}{job.body.rstrip()}\n"


def _walltime_s(job: Job, now: datetime) -> int | None:
    """PBS knows no deadline: what is left until then, as of now, is the longest walltime."""
    if job.end_by is None:
        return job.walltime_s
    start = now if job.begin is None else max(now, job.begin)
    left_s = math.floor((job.end_by - start).total_seconds())
    asked_s = left_s if job.walltime_s is None else job.walltime_s
    least_s = asked_s if job.least_walltime_s is None else job.least_walltime_s
    if left_s < max(1, least_s):
        raise BatchError(
            f"job {job.name!r} cannot end by {job.end_by:%Y-%m-%d %H:%M:%S %Z}: {max(0, left_s)} s are left, and it "
            f"asks for {least_s} s at least; submit it for a later window"
        )
    return min(asked_s, left_s)


def _options(job: Job, walltime_s: int | None) -> Iterator[str]:
    yield f"-N {job_name(job.name)}"
    # the script opens its log itself: PBS delivers its own copy only at the end, and knows no id in its name
    yield "-o /dev/null"
    yield "-j oe"
    # sciflow replaces lost jobs itself; one that PBS runs again would do its work twice
    yield "-r n"
    # its own is 077, and what colleagues may read in a sweep directory is decided there
    yield "-W umask=022"
    memory = "" if job.memory_bytes is None else f":mem={mebibytes(job.memory_bytes)}mb"
    gpus = f":ngpus={job.gpus}" if job.gpus else ""
    yield f"-l select=1:ncpus={job.cores}{memory}{gpus}"
    if walltime_s is not None:
        yield f"-l walltime={walltime_s}"
    if job.begin is not None:
        # in full: a time of day that is over means tomorrow, a date that is over means now
        yield f"-a {local_time(job.begin, later=True):%Y%m%d%H%M.%S}"
    if before := (*(() if job.after is None else (job.after,)), *job.turn_after):
        yield f"-W depend=afterany:{':'.join(map(checked_id, before))}"
    if job.queue is not None:
        yield f"-q {checked_word('queue', job.queue)}"
    if job.account is not None:
        yield f"-A {checked_word('account', job.account)}"


def _prologue(job: Job, walltime_s: int | None, exits: Path | None) -> str:
    """The first commands; PBS reads no options below them."""
    lines = ["SCIFLOW_JOB_ID=$PBS_JOBID", f"SCIFLOW_JOB_END={_end(walltime_s)}"]
    if job.end_by is not None and walltime_s is not None:
        end_by = math.floor(job.end_by.timestamp())
        lines.append(f'[ "$SCIFLOW_JOB_END" -le {end_by} ] || SCIFLOW_JOB_END={end_by}')
    lines += ["export SCIFLOW_JOB_ID SCIFLOW_JOB_END", f"exec >>{path_with_id(job.log, 'PBS_JOBID')} 2>&1"]
    if exits is not None:
        lines += [
            f"sciflow_exit={path_with_id(exits / '%j', 'PBS_JOBID')}",
            """trap 'echo "$?" >"$sciflow_exit"' EXIT""",
        ]
    # a job of PBS starts at home
    lines.append('cd "$PBS_O_WORKDIR" || exit')
    if job.warn_s is not None and walltime_s is not None:
        # PBS warns nobody; MOM ends what is left of the session with the job
        lines.append(f"(sleep {max(1, walltime_s - job.warn_s)}; kill -USR1 $$) </dev/null >/dev/null 2>&1 &")
    return "".join(f"{line}\n" for line in lines)


def _end(walltime_s: int | None) -> str:
    return "" if walltime_s is None else f"$(($(date +%s) + {walltime_s}))"


def _exports(environ: Mapping[str, str]) -> str:
    carried = {name: value for name, value in sorted(environ.items()) if _is_carried(name)}
    if "PATH" in carried:  # each folder once: the jobs that a job submits would have an ever longer one
        carried["PATH"] = os.pathsep.join(dict.fromkeys(carried["PATH"].split(os.pathsep)))
    lines = [f"export {name}={shlex.quote(value)}" for name, value in carried.items()]
    # programs of the node are found too, behind those of the submission
    return "".join(line + ('"${PATH:+:$PATH}"' if line.startswith("export PATH=") else "") + "\n" for line in lines)


def _is_carried(name: str) -> bool:
    return name in _CARRIED or name.startswith("LC_") or (name.startswith("SCIFLOW_") and name not in _OF_ONE_JOB)
