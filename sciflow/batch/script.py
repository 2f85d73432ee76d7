"""What all job scripts share: names and values that batch systems take, times in their zone, signals for the body."""

from __future__ import annotations

import math
import re
import shlex
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sciflow.errors import BatchError

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.batch.system import Job

LONGEST_NAME: Final = 200
"""Of a job; PBS refuses more than 230 characters."""

_ODD_IN_NAMES = re.compile(r"[^A-Za-z0-9_.+-]")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:,+-]*")
_ID = re.compile(r"\d[\w.\[\]-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def job_name(name: str) -> str:
    """A name that both SLURM and PBS take: of the same beginning whenever the given ones have the same.

    Odd characters become ``_``. What does not begin with a letter gets ``x-`` in front: some versions of PBS write
    the name ``1e5`` as a number.
    """
    plain = _ODD_IN_NAMES.sub("_", name)
    if plain and not (plain[0].isalpha()):
        plain = f"x-{plain}"
    return plain[:LONGEST_NAME]


def checked_word(what: str, value: str) -> str:
    """A queue or an account, which is written as it is.

    Raises
    ------
    BatchError
        When it holds more than letters, digits and ``_ . @ : , + -``.
    """
    if _WORD.fullmatch(value) is None:
        raise BatchError(f"{what} {value!r} cannot be one: use letters, digits and _ . @ : , + - only")
    return value


def checked_id(job_id: str) -> str:
    """The id of a job, which is written as it is."""
    if _ID.fullmatch(job_id) is None:
        raise BatchError(f"{job_id!r} is no id of a job")
    return job_id


def checked_line(what: str, value: str) -> str:
    """A text that stays on its line.

    Raises
    ------
    BatchError
        When it holds a line break or another control character.
    """
    if _CONTROL.search(value) is not None:
        raise BatchError(f"{what} {value!r} holds a line break or another control character; write it without")
    return value


def path_with_id(path: Path, variable: str) -> str:
    """A path as a word of a shell in which ``%j`` in the name of the file is the value of *variable*."""
    checked_line("path", str(path))
    parts = path.name.split("%j")
    return shlex.quote(f"{path.parent}/") + f'"${variable}"'.join(shlex.quote(part) if part else "" for part in parts)


def checked_options(options: tuple[str, ...]) -> tuple[str, ...]:
    """Further lines for the batch system, each an option."""
    for option in options:
        if not checked_line("option", option).startswith("-"):
            raise BatchError(f"option {option!r} does not begin with '-'; write it like '--qos=low' or '-l place=excl'")
    return options


def checked(job: Job) -> Job:
    """The job, when its numbers and times have a meaning.

    Raises
    ------
    BatchError
        Otherwise.
    """
    for what, number, least in (
        ("cores", job.cores, 1),
        ("memory_bytes", job.memory_bytes, 1),
        ("gpus", job.gpus, 0),
        ("walltime_s", job.walltime_s, 1),
        ("least_walltime_s", job.least_walltime_s, 1),
        ("warn_s", job.warn_s, 1),
    ):
        if number is not None and number < least:
            raise BatchError(f"job {job.name!r} has {what}={number}; it must be at least {least}")
    for what, instant in (("begin", job.begin), ("end_by", job.end_by)):
        if instant is not None and instant.tzinfo is None:
            raise BatchError(f"job {job.name!r} has {what}={instant} without a time zone; give an aware datetime")
    if not job.log.is_absolute():
        raise BatchError(f"job {job.name!r} has the log {str(job.log)!r}; give an absolute path")
    return job


def local_time(instant: datetime, *, later: bool) -> datetime:
    """An instant as whole seconds on this machine's clock, without a zone, for programs that read it that way.

    An hour that the clock shows twice is left out, since nobody could say which is meant: the time is the next that is
    clear if *later*, else the last before.
    """
    seconds = (math.ceil if later else math.floor)(instant.timestamp())
    step = timedelta(minutes=1 if later else -1)
    local = datetime.fromtimestamp(seconds)  # noqa: DTZ006  the local zone is what is asked for
    while _shown_twice(local):
        local = local.replace(second=0, fold=0) + step
    return local.replace(fold=0)


def _shown_twice(local: datetime) -> bool:
    return local.replace(fold=0).timestamp() != local.replace(fold=1).timestamp()


def seconds_of_local(text: str, form: str) -> float:
    """Unix seconds of a time that a program wrote on this machine's clock."""
    return time.mktime(time.strptime(text, form))


def mebibytes(n_bytes: int) -> int:
    """Whole MiB that hold so many bytes."""
    return -(-n_bytes // 2**20)


def forwarding(command: str, signals: tuple[str, ...] = ("USR1",)) -> str:
    """Lines of a shell that run a command, hand signals on to it, and end with its exit status once it has ended.

    A batch system warns the shell of a job alone, and a shell acts on a signal only after a command in the foreground
    has ended. SIGTERM, which batch systems send to every process of the job, does not end the shell, so that the
    command can tidy up; name ``TERM`` in *signals* for a command that leaves the session of its job.
    """
    hand_on = "".join(
        f"""trap 'sciflow_signal=1; [ -z "$sciflow_child" ] || kill -{name} "$sciflow_child" 2>/dev/null' {name}\n"""
        for name in signals
    )
    survive = "" if "TERM" in signals else "trap 'sciflow_signal=1' TERM\n"
    return f"""\
sciflow_child=
{hand_on}{survive}{command} &
sciflow_child=$!
sciflow_status=127
while :; do
  sciflow_signal=
  wait "$sciflow_child"
  sciflow_now=$?
  # a child that was waited for already is not known any more
  [ "$sciflow_now" -eq 127 ] || sciflow_status=$sciflow_now
  [ -n "$sciflow_signal" ] || break
done
exit "$sciflow_status"
"""
