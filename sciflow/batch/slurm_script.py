"""A job as a script of SLURM; source: sbatch(1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciflow.batch.script import (
    checked,
    checked_id,
    checked_line,
    checked_options,
    checked_word,
    job_name,
    local_time,
    mebibytes,
    path_with_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from sciflow.batch.system import Job

LONGEST_WARNING_S = 65535


def slurm_script(job: Job) -> str:
    """The script of a job: what it asks for, its id and end in the environment, its body."""
    asked = "".join(f"#SBATCH {line}\n" for line in (*_options(checked(job)), *checked_options(job.options)))
    return f"#!/bin/sh\n{asked}{_prologue(job)}{job.body.rstrip()}\n"


def _options(job: Job) -> Iterator[str]:
    yield f"--job-name={job_name(job.name)}"
    yield f"--output={'/dev/null' if _is_odd(job.log) else _quoted_pattern(job.log)}"
    yield "--open-mode=append"
    yield "--nodes=1"
    yield "--ntasks=1"
    yield f"--cpus-per-task={job.cores}"
    # sciflow replaces lost jobs itself; one that SLURM runs again would do its work twice
    yield "--no-requeue"
    # the environment of the submission, which `submit` has cleaned, whatever the user's SBATCH_EXPORT says
    yield "--export=ALL"
    if job.memory_bytes is not None:
        yield f"--mem={mebibytes(job.memory_bytes)}M"
    if job.gpus:
        yield f"--gres=gpu:{job.gpus}"
    yield from _times(job)
    if before := _before(job):
        yield f"--dependency={before}"
    if job.warn_s is not None:
        yield f"--signal=B:USR1@{min(job.warn_s, LONGEST_WARNING_S)}"
    if job.queue is not None:
        yield f"--partition={checked_word('partition', job.queue)}"
    if job.account is not None:
        yield f"--account={checked_word('account', job.account)}"


def _before(job: Job) -> str:
    after = () if job.after is None else (f"afterany:{checked_id(job.after)}",)
    # it goes by the name of the job; the ids are those that PBS needs
    return ",".join((*after, *(["singleton"] if [checked_id(one) for one in job.turn_after] else [])))


def _times(job: Job) -> Iterator[str]:
    if job.walltime_s is not None:
        yield f"--time={_duration(job.walltime_s)}"
    if job.begin is not None:
        yield f"--begin={_instant(job.begin, later=True)}"
    if job.end_by is not None:
        yield f"--deadline={_instant(job.end_by, later=False)}"
        if job.least_walltime_s is not None:
            # with it SLURM cuts the walltime at the start so that the job ends by the deadline
            # whole minutes; rounded up it might not fit before the deadline, for which SLURM refuses the job
            yield f"--time-min={_duration(max(60, job.least_walltime_s // 60 * 60))}"


def _instant(instant: datetime, *, later: bool) -> str:
    # absolute, since a time of day that is over means tomorrow, and sbatch reads it in the zone it runs in
    return f"{local_time(instant, later=later):%Y-%m-%dT%H:%M:%S}"


def _duration(seconds: int) -> str:
    """Whole minutes of it are what SLURM keeps, rounded up."""
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes}:{seconds:02}"


def _is_odd(log: Path) -> bool:
    """Whether SLURM takes no such name for a log, so that the script opens it itself."""
    return '"' in str(log) or "\\" in str(log)


def _quoted_pattern(log: Path) -> str:
    """A path for ``--output``: nothing in it has a meaning but ``%j`` in the name of the file."""
    checked_line("path", str(log))
    name = "%j".join(part.replace("%", "%%") for part in log.name.split("%j"))
    return f'"{str(log.parent).replace("%", "%%")}/{name}"'


def _prologue(job: Job) -> str:
    """The first commands; SLURM reads no options below them."""
    end = 'SLURM_TIME_FORMAT=%s squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e 2>/dev/null'
    ends = f"SCIFLOW_JOB_END=${{SLURM_JOB_END_TIME:-$({end})}}\n"
    if job.walltime_s is not None:
        # seconds since 1970, or the controller did not answer
        ends += 'case $SCIFLOW_JOB_END in "" | *[!0-9]*) '
        ends += f"SCIFLOW_JOB_END=$(($(date +%s) + {job.walltime_s})) ;; esac\n"
    to_log = f"exec >>{path_with_id(job.log, 'SLURM_JOB_ID')} 2>&1\n" if _is_odd(job.log) else ""
    return f"{to_log}SCIFLOW_JOB_ID=$SLURM_JOB_ID\n{ends}export SCIFLOW_JOB_ID SCIFLOW_JOB_END\n"
