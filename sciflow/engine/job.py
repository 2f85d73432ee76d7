"""The job of a controller: its name, what it asks for, and what its shell does."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sciflow import interpreter
from sciflow.batch.script import forwarding
from sciflow.batch.system import Job

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sciflow.batch.system import JobState
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.submissions import Submission

_MODULE: Final = "sciflow.engine.controller"
_WARN_S: Final = 180


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
    gpus: int = 0

    @property
    def warn_s(self) -> int:
        """How long before the end of its walltime a job begins to hand over."""
        return min(_WARN_S, max(10, self.walltime_s // 4))


@dataclass(frozen=True, slots=True)
class Turn:
    """The place of a job among those that are queued beforehand, where nodes may not submit.

    Attributes
    ----------
    first
        The id of a job that is no turn and comes before all; empty for none.
    earlier
        The ids of the turns before it.
    """

    first: str = ""
    earlier: tuple[str, ...] = ()


def job_prefix(directory: SweepDirectory) -> str:
    """What the names of all jobs of a sweep begin with."""
    return f"sf-{directory.sweep[:8]}-"


def controller_name(submission: Submission, generation: int) -> str:
    """The name of a controller's job that is followed by one that it queues itself: no two of them share it."""
    return f"{_names(submission)}.{generation}"


def turn_name(submission: Submission) -> str:
    """The name of all jobs of a controller that are queued beforehand: by it SLURM has them take turns."""
    return f"{_names(submission)}.turns"


def is_controller(job: JobState) -> bool:
    """Whether a job of a sweep is one of its controllers; the others are workers."""
    return "-controller-" in job.name


def is_controller_of(job: JobState, submission: Submission) -> bool:
    """Whether it is one of this submission's."""
    return job.name.startswith(f"{_names(submission)}.")


def _names(submission: Submission) -> str:
    return f"{submission.facts['prefix']}controller-{submission.number}"


def controller_job(
    submission: Submission,
    generation: int,
    *,
    after: str | None = None,
    begin: datetime | None = None,
    turn: Turn | None = None,
) -> Job:
    """The job that is this generation of a controller; one of many that were queued beforehand if it has a *turn*."""
    asked = Asked(**submission.facts["job"])
    return Job(
        name=controller_name(submission, generation) if turn is None else turn_name(submission),
        body="\n".join(_lines(submission, generation, "job" if turn is None else "turn")),
        log=submission.folder / f"{submission.number:06d}.%j.log",
        cores=asked.cores,
        memory_bytes=asked.memory_bytes,
        gpus=asked.gpus,
        walltime_s=asked.walltime_s,
        begin=begin,
        after=after if turn is None else turn.first or None,
        turn_after=() if turn is None else turn.earlier,
        warn_s=asked.warn_s,
        queue=asked.queue,
        account=asked.account,
        options=tuple(asked.options),
    )


def _lines(submission: Submission, generation: int, kind: str) -> Iterator[str]:
    facts = submission.facts
    if kind == "turn":  # its sweep may be done, and nobody could take it out of the queue
        yield f"[ ! -e {shlex.quote(str(submission.end_file))} ] || exit 0"
    yield from facts["job"]["prologue"]
    if facts["umask"]:
        yield f"umask {facts['umask']}"
    yield f"cd -- {shlex.quote(str(facts['cwd']))} || cd /"
    yield from interpreter.path_export(str(facts["python_path"]))
    arguments = (kind, str(submission.folder.parent), str(submission.number), str(generation))
    yield forwarding(shlex.join([str(facts["executable"]), *interpreter.command(_MODULE, *arguments)[1:]]))


def mask_of_files() -> str:
    """The mask of new files, as a shell writes it; empty where it cannot be read without changing it."""
    try:
        return Path("/proc/self/status").read_text().partition("Umask:")[2].split(None, 1)[0]
    except (OSError, IndexError):
        return ""
