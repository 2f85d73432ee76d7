"""A controller as a daemon on this machine: started so that it is nobody's child, and heard until it has the sweep."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sciflow import errors, interpreter
from sciflow.engine.logout import ended_at_logout
from sciflow.engine.order import hand_in
from sciflow.errors import SciflowError, SweepError

if TYPE_CHECKING:
    from sciflow.engine.order import Order
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.submissions import Submission

_MODULE: Final = "sciflow.engine.controller"


@dataclass(frozen=True, slots=True)
class ProcessController:
    """A daemon on this machine: it outlives the terminal and the login session, but not the machine."""

    is_here: bool = field(default=True, init=False)

    def start(self, directory: SweepDirectory, order: Order) -> None:
        """Start the daemon; return when it has the sweep."""
        submission = hand_in(directory, {"kind": "process", **order.facts()}, order.pack())
        if ended_at_logout():
            print(  # noqa: T201  must be seen
                "sciflow: this machine ends all your processes at logout (KillUserProcesses in logind.conf), the "
                "controller too; run `loginctl enable-linger` once, or submit with a controller in a batch job",
                file=sys.stderr,
            )
        heard, told = os.pipe()
        try:
            try:
                _start_daemon(submission, told)
            finally:
                os.close(told)
            # it says so when it has the sweep; the pipe breaks when it dies before
            while (word := os.read(heard, 64)) not in {b"", b"taken"}:
                pass
        except KeyboardInterrupt:
            submission.request_cancel()
            raise
        finally:
            os.close(heard)
        if word != b"taken":
            raise_end(submission)


def _start_daemon(submission: Submission, told: int) -> None:
    arguments = ("process", str(submission.folder.parent), str(submission.number), str(told))
    log = os.open(submission.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # the first process leaves at once, so that the daemon is nobody's child and no zombie when it ends
        status = subprocess.run(  # noqa: S603  our own module
            interpreter.command(_MODULE, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=interpreter.environment(),
            pass_fds=(told,),
            start_new_session=True,
            check=False,
        ).returncode
    finally:
        os.close(log)
    if status:
        raise_end(submission)


def raise_end(submission: Submission) -> None:
    """Raise, here, what ended a controller before it had the sweep; nothing when it ended well."""
    end = submission.end
    if end is None:
        words = "; ".join(submission.last_words()) or "it said nothing"
        submission.tell_end("failed", f"the controller died as it started: {words}")
        raise SweepError(f"the controller died as it started: {words} (log: {submission.log})")
    if end["how"] == "finished":
        return
    if "error" not in end:
        raise SweepError(f"the controller ended before it had the sweep ({end['how']}): {end['message']}")
    kind: Any = getattr(errors, str(end["error"]), None)
    if isinstance(kind, type) and issubclass(kind, SciflowError):
        raise kind(*end["arguments"])
    raise SweepError(f"the controller failed as it started: {end['message']} (log: {submission.log})")
