"""Controller: the process that drives a submitted sweep, as a daemon or in a batch job.

``python -m sciflow.engine.controller process SWEEP NUMBER FD`` is the daemon,
``python -m sciflow.engine.controller job SWEEP NUMBER GENERATION`` one job of a chain, with ``turn`` instead of ``job``
one of many that were queued beforehand.
"""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from sciflow.errors import SciflowError, SweepError
from sciflow.store.directory import SweepDirectory
from sciflow.store.sessions import request_cancel
from sciflow.store.submissions import FOLDER, Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sciflow.engine.gate import Gate
    from sciflow.engine.order import Order
    from sciflow.events import Event

Asked = Literal["", "stop", "hand_over"]

TERMINATED: Final = "SIGTERM"


@dataclass(slots=True)
class Ears:
    """What signals have asked of this process; the first one counts.

    Attributes
    ----------
    is_armed
        Whether they interrupt what the process does; otherwise they are remembered.
    """

    asked: Asked = ""
    why: str = ""
    is_armed: bool = True

    def listen(self, stop: Asked = "stop") -> None:
        """Hear signals from now on; *stop* is what a SIGTERM asks for."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal is closed
        signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes of a shell ignore it

        def terminated(*_: object) -> None:
            self.ask(stop, TERMINATED)

        def warned(*_: object) -> None:
            self.ask("hand_over", "the walltime is about to end")

        signal.signal(signal.SIGTERM, terminated)
        signal.signal(signal.SIGUSR1, warned)

    def ask(self, what: Asked, why: str) -> None:
        """Stop the driver as Ctrl-C does, and remember what for."""
        if not self.asked:
            self.asked, self.why = what, why
            print(f"sciflow: {why}: running variants finish first", file=sys.stderr)  # noqa: T201  into the log
            if self.is_armed:
                signal.raise_signal(signal.SIGINT)

    def arm(self) -> None:
        """Let signals interrupt from now on; one that came before does so at once."""
        self.is_armed = True
        if self.asked:
            raise KeyboardInterrupt


def drive(
    submission: Submission,
    order: Order,
    gate: Gate,
    *,
    facts: Mapping[str, Any],
    taken: Callable[[int], None],
    sessions: frozenset[int] = frozenset(),
    hear: Callable[[Event], None] | None = None,
) -> None:
    """Do what was submitted; return when it is done.

    Raises
    ------
    KeyboardInterrupt
        It was asked to stop.
    """
    from sciflow.engine.charge import Charge  # noqa: PLC0415  a job queues its successor before it loads all this

    sys.argv[:] = order.argv or [""]
    engine = copy.copy(order.engine)
    if hear is not None:
        engine.on_event = _both(hear, engine.on_event)
    told = {"controller": submission.number, **facts}
    charge = Charge(order.origin, gate, told, taken, sessions)
    engine.carry_out(order.definition, order.request, charge)


def pass_on_cancel(submission: Submission, session: int) -> None:
    """Ask the driver to stop if somebody asked for that before there was one."""
    if submission.cancel_requested:
        request_cancel(SweepDirectory.open(submission.folder.parent), session)


def _both(first: Callable[[Event], None], second: Callable[[Event], None] | None) -> Callable[[Event], None]:
    def tell(event: Event) -> None:
        first(event)
        if second is not None:
            second(event)

    return tell


def read_submission(path: Path, number: int) -> Submission:
    """The submission, from a folder that nobody else can write to: what lies there is run.

    Raises
    ------
    SweepError
        The folder is not ours alone.
    """
    folder = path / FOLDER
    facts = folder.stat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        raise SweepError(f"{folder} belongs to somebody else, or others can write to it; nothing from it is run")
    return Submission.read(folder, number)


# -------------------------------------------------------------------------------------------------------------- process


def run_process(path: Path, number: int, told: int) -> int:
    """Be the daemon; *told* is the pipe in which the submitting process listens."""
    if os.fork():
        os._exit(0)  # whoever started this one waits for no daemon
    os.set_inheritable(told, False)
    _into_log()
    submission = read_submission(path, number)
    submission.tell_process()
    ears = Ears()
    ears.listen()

    def taken(session: int) -> None:
        pass_on_cancel(submission, session)
        with contextlib.suppress(OSError):  # who submitted may be gone by now
            os.write(told, b"taken")
        os.close(told)

    try:
        from sciflow.engine.gate import Gate  # noqa: PLC0415  errors of imports are told too
        from sciflow.engine.order import open_order  # noqa: PLC0415  same

        order = open_order(submission)
        drive(submission, order, Gate(order.policy), facts={}, taken=taken)
    except KeyboardInterrupt:
        if ears.asked and not submission.cancel_requested:
            submission.tell_end("stopped", f"it was stopped by {ears.why}")
        else:
            submission.tell_end("cancelled")
    except BaseException as error:  # noqa: BLE001  the last words of a process that nobody watches
        tell_failure(submission, error)
        return 1
    else:
        submission.tell_end("finished")
    return 0


def tell_failure(submission: Submission, error: BaseException) -> None:
    """Leave last words where they are found: in the log, and in the submission."""
    if isinstance(error, SciflowError):
        print(f"sciflow: {error}", file=sys.stderr)  # noqa: T201  into the log
        submission.tell_end("failed", str(error), error)
    else:
        traceback.print_exception(error)
        submission.tell_end("failed", "".join(traceback.format_exception_only(error)).strip(), error)


def _into_log() -> None:
    """Let what is printed appear in the log line by line."""
    with contextlib.suppress(OSError):
        os.fchmod(sys.stderr.fileno(), 0o600)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]  # text streams have it


def main(arguments: Sequence[str]) -> int:
    """Be the daemon, or a job."""
    kind, path, number, last = arguments
    if kind == "process":
        return run_process(Path(path), int(number), int(last))
    from sciflow.engine.generation import run_job  # noqa: PLC0415  one of two

    _into_log()
    return run_job(Path(path), int(number), int(last), is_turn=kind == "turn")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
