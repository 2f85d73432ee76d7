"""How the programs of a batch system are run: bounded in time, again after a pause while it cannot be reached."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sciflow.errors import BatchError, BatchUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tenacity import AttemptManager

# formats that a user set for the eye, and what an outer job was told about itself, would change what we ask and read
_FORMATS = ("SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SINFO_")
_OF_JOBS = ("SLURM_", "SLURMD_", "SBATCH_", "SALLOC_", "SRUN_", "PBS_", "PMI_", "PMIX_", "PALS_")
_KEPT = frozenset({"SLURM_CONF", "PBS_CONF_FILE", "PBS_EXEC", "PBS_SERVER", "PBS_DEFAULT"})
# set for one job by its batch system; outside of jobs they are the user's own
_DEVICES = frozenset({"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK"})
_ONLY_IN_JOBS = _DEVICES | {"TMPDIR", "ENVIRONMENT", "SCIFLOW_JOB_ID", "SCIFLOW_JOB_END"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said."""

    status: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What it complained of, in one text."""
        return (self.err.strip() or self.out.strip() or f"exit status {self.status}").replace("\n", "; ")


class _TryAgainError(Exception):
    """The batch system could not be reached just now."""


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what belongs to a job that we may be running in.

    A job that is submitted from a job would inherit it: ``SLURM_MEM_PER_CPU`` of the outer job breaks ``srun`` in the
    inner one, its devices are not ours, and its folder for temporary files is gone when the inner one starts.
    """
    in_job = "SLURM_JOB_ID" in environ or "PBS_JOBID" in environ
    return {
        name: value
        for name, value in environ.items()
        if name in _KEPT
        or not (name.startswith(_OF_JOBS) or name.startswith(_FORMATS) or (in_job and name in _ONLY_IN_JOBS))
    }


class Commands:
    """Runs the programs of one batch system.

    Parameters
    ----------
    is_transient
        Whether an answer means that the batch system cannot be reached now, and may be in a moment.
    environ
        Where the programs are found and what they see; None is this process's environment at each call.
    timeout_s
        A program that takes longer is ended, which counts as not reached.
    patience_s
        How long to try again, with growing pauses.
    """

    def __init__(
        self,
        is_transient: Callable[[Answer], bool],
        environ: Mapping[str, str] | None = None,
        timeout_s: float = 120,
        patience_s: float = 60,
    ) -> None:
        self._is_transient = is_transient
        self._environ = environ
        self._timeout_s = timeout_s
        self._patience_s = patience_s

    def ask(self, *command: str, also: Mapping[str, str] | None = None) -> Answer:
        """Run what changes nothing, again if need be; *also* is added to its environment."""
        for attempt in self.attempts(command[0]):
            with attempt:
                return self.once(*command, also=also)
        raise AssertionError  # the last attempt raised

    def attempts(self, program: str) -> Iterator[AttemptManager]:
        """Attempts with growing pauses; what `once` finds unreachable in one of them leads to the next.

        Raises
        ------
        BatchUnreachableError
            When the patience is over.
        """
        from tenacity import (  # noqa: PLC0415  only where a batch system is asked: it loads asyncio
            RetryError,
            Retrying,
            retry_if_exception_type,
            stop_after_delay,
            wait_random_exponential,
        )

        retrying = Retrying(
            stop=stop_after_delay(self._patience_s),
            wait=wait_random_exponential(multiplier=1, min=0.5, max=20),
            retry=retry_if_exception_type(_TryAgainError),
        )
        try:
            yield from retrying
        except RetryError as error:
            said = error.last_attempt.exception()
            raise BatchUnreachableError(
                f"{program} did not get through for {self._patience_s:.0f} s: {said}; jobs go on without us, "
                "and it is asked again later"
            ) from said

    def once(self, *command: str, stdin: str = "", also: Mapping[str, str] | None = None) -> Answer:
        """Run a program once; within one of the `attempts`."""
        environ = {**clean_environment(os.environ if self._environ is None else self._environ), **(also or {})}
        answer = _run(command, stdin, environ, self._timeout_s)
        if self._is_transient(answer):
            raise _TryAgainError(answer.words)
        return answer


def _run(command: tuple[str, ...], stdin: str, environ: dict[str, str], timeout_s: float) -> Answer:
    try:
        # a group of its own: Ctrl-C at the driver must not end a submission halfway
        process = subprocess.Popen(  # noqa: S603  a list, no shell; the words are checked where they are made
            _found(command, environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            process_group=0,
        )
    except BlockingIOError as error:  # EAGAIN: no process can be started now
        raise _TryAgainError(str(error)) from error
    with process:
        try:
            out, err = process.communicate(stdin.encode("utf-8", "surrogateescape"), timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise _TryAgainError(f"no answer within {timeout_s:.0f} s") from error
    return Answer(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def _found(command: tuple[str, ...], environ: Mapping[str, str]) -> list[str]:
    program = shutil.which(command[0], path=environ.get("PATH"))
    if program is None:
        raise BatchError(
            f"there is no program {command[0]!r} on PATH; run this on a node of the cluster from which jobs can be "
            "submitted, or load the module that brings it"
        )
    return [program, *command[1:]]
