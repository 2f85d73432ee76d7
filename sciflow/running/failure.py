"""Failure: why a variant has no result, as facts that outlive the process."""

from __future__ import annotations

import re
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from sciflow.errors import BindingError, CommandError, OutputError, UpstreamError

if TYPE_CHECKING:
    from types import TracebackType

    from sciflow.running.evidence import Evidence, Warned

Cause = Literal[
    "exception",
    "exit",
    "timeout",
    "crash",
    "out_of_memory",
    "upstream",
    "unmet_requirement",
    "walltime",
    "window",
    "preempted",
    "node_lost",
    "worker_lost",
    "cancelled",
    "never_started",
]
"""Why a variant has no result; a closed set."""

INFRASTRUCTURE: Final[frozenset[str]] = frozenset(
    {"walltime", "window", "preempted", "node_lost", "worker_lost", "cancelled", "never_started"}
)
"""Causes that are not the variant's: it runs again by itself, and no retry is counted."""

_PACKAGE = str(Path(__file__).parent.parent)
_LONGEST = 20_000  # characters of a traceback that are kept: enough for any stack, not for a printed array


class TaskFailedError(Exception):
    """Carries the name of the task out of the runner; its cause is what the task raised."""


class HandedBackError(Exception):
    """The variant is to run later, perhaps elsewhere: it was deferred, or the worker stops before its next attempt."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a variant failed.

    Parameters
    ----------
    cause : what kind of failure
    task : the task that was running; empty when nobody knows
    type : class name of the exception
    message : its text
    traceback : the user's part of the stack, as Python prints it
    fingerprint : exception type and innermost line of user code; failures that share it share their reason
    definition : whether the workflow, rather than this variant, is at fault
    warnings : what the run warned of
    output : the end of what it printed
    exit_status : of the command or process, -n when signal n killed it; None where there is none
    """

    cause: Cause
    task: str
    type: str
    message: str
    traceback: str
    fingerprint: str
    definition: bool = False
    warnings: tuple[Warned, ...] = ()
    output: str = ""
    exit_status: int | None = None

    @classmethod
    def of(cls, error: BaseException, task: str, evidence: Evidence | None = None) -> Self:
        """Describe an exception that reached us from *task*, with what the run said before."""
        stack = _user_part(error.__traceback__)
        frames = traceback.extract_tb(stack)
        where = f"{Path(frames[-1].filename).name}:{frames[-1].name}:{frames[-1].lineno}" if frames else task
        kind = type(error).__name__
        try:
            message = str(error)
        except Exception as broken:  # noqa: BLE001  an exception that cannot even say what it is
            message = f"(its text cannot be read: {type(broken).__name__})"
        if isinstance(error, CommandError):  # its stack is all ours
            stack, where = None, f"{task}: {error.reason}"
        # format_exception shows an exception without a text as such
        text = "".join(traceback.format_exception(type(error), error, stack))
        return cls(
            cause=_cause_of(error),
            task=task,
            type=kind,
            message=message[:2000],
            traceback=text[-_LONGEST:],
            fingerprint=f"{kind} at {where}",
            definition=isinstance(error, BindingError | OutputError),
            warnings=evidence.warnings if evidence else (),
            output=evidence.output if evidence else "",
            exit_status=_exit_status(error),
        )

    @classmethod
    def crash(cls, task: str = "", how: str = "") -> Self:
        """Describe a worker process that died whenever it ran this variant, and *how* if that is known."""
        what = how or "a segmentation fault, os._exit, or the system ended it for lack of memory"
        return cls(
            cause="exit" if how.startswith("exit status") else "crash",
            task=task,
            type="WorkerDied",
            message=f"the worker process died each time it ran this variant alone ({what})",
            traceback="",
            fingerprint=f"WorkerDied{f' in {task}' if task else ''}{f': {how}' if how else ''}",
            exit_status=_status_in(how),
        )

    @classmethod
    def limit(cls, reason: str, task: str, limit: str) -> Self:
        """Describe a run that was ended because it exceeded its time (``timeout``) or memory (``out_of_memory``)."""
        timeout = reason == "timeout"
        what = "ran longer than its limit of" if timeout else "used more memory than its limit of"
        kind = "TimeoutExceeded" if timeout else "MemoryExceeded"
        remedy = "" if timeout else f"; {_more_memory(task)}"
        return cls(
            cause="timeout" if timeout else "out_of_memory",
            task=task,
            type=kind,
            message=f"task {task!r} {what} {limit}, and its worker process was ended{remedy}",
            traceback="",
            fingerprint=f"{kind} in {task}",
        )

    @classmethod
    def starved(cls, task: str, how: str) -> Self:
        """Describe a run that has not enough memory in the largest job that there is; *how* its last job ended."""
        return cls(
            cause="out_of_memory",
            task=task,
            type="MemoryExhausted",
            message=f"there was not enough memory for it, alone in the largest job that could be had ({how}); "
            f"{_more_memory(task)}, in a queue whose nodes have that, or make it need less",
            traceback="",
            fingerprint=f"MemoryExhausted in {task}",
        )

    @classmethod
    def outlasted(cls, task: str, n_jobs: int) -> Self:
        """Describe a run that takes longer than the jobs of its cluster."""
        return cls(
            cause="walltime",
            task=task,
            type="WalltimeExceeded",
            message=f"it still ran when its job was over, in {n_jobs} jobs one after another, the last of them as long "
            "as they may be; give the cluster a longer walltime or another queue, or have the task save its state",
            traceback="",
            fingerprint=f"WalltimeExceeded in {task}",
        )

    @classmethod
    def overran(cls, task: str, how_often: str) -> Self:
        """Describe a run that takes longer than the windows in which it may run."""
        return cls(
            cause="window",
            task=task,
            type="WindowExceeded",
            message=f"it still ran when its window had closed ({how_often}); allow more hours or spill_minutes, have "
            "the task save its state and go on later (context.checkpoint), or run it at any hour (--now)",
            traceback="",
            fingerprint=f"WindowExceeded in {task}",
        )

    def with_evidence(self, evidence: Evidence) -> Self:
        """The failure, and what the run said before it."""
        return replace(self, warnings=evidence.warnings, output=evidence.output)

    @property
    def headline(self) -> str:
        """One line: task, exception and the start of its message."""
        first = self.message.splitlines()[0] if self.message else ""
        where = f"{self.task}: " if self.task else ""
        return f"{where}{self.type}: {first}"[:300]

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the record."""
        return {key: value for key, value in asdict(self).items() if key not in _RARE or value not in ((), "", None)}


_RARE: Final = frozenset({"warnings", "output", "exit_status"})


def _more_memory(task: str) -> str:
    return f"ask for more with set_resource_requirements({{{task or 'its task'!r}: {{'memory_gb': ...}}}})"


def _status_in(how: str) -> int | None:
    """The exit status, or the negative number of the signal, in words about the end of a process."""
    found = re.match(r"(exit status|signal) (\d+)", how)
    if found is None:
        return None
    return int(found[2]) if found[1] == "exit status" else -int(found[2])


def _exit_status(error: BaseException) -> int | None:
    match error:
        case CommandError():
            return error.status
        case SystemExit(code=code):  # what the interpreter makes of it
            return code if isinstance(code, int) else int(code is not None)
        case _:
            return None


def _cause_of(error: BaseException) -> Cause:
    match error:
        case SystemExit() | CommandError():
            return "exit"
        case UpstreamError():
            return "upstream"
        case _:
            return "exception"


def _user_part(stack: TracebackType | None) -> TracebackType | None:
    """Drop the leading frames that are ours: the reader looks for their own mistake."""
    here = stack
    while here is not None and here.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        here = here.tb_next
    return here if here is not None else stack
