"""A sweep that runs elsewhere, in one's hand: its status, its results, its end, and a way to stop it."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from sciflow.analysis.words import status_html
from sciflow.engine.watch import Watch
from sciflow.errors import BatchError
from sciflow.quantities import render_count
from sciflow.store.sessions import request_cancel
from sciflow.store.submissions import newest_submission

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.analysis.results import Results
    from sciflow.analysis.status import ControllerStatus, Status
    from sciflow.store.submissions import Submission

LOOK_S = 1.0
"""Seconds between two looks while waiting; more when a look itself takes long."""

_SHARE = 20  # looking may take this fraction of the time


def attach(directory: str | os.PathLike[str]) -> SweepHandle:
    """A handle on the sweep in *directory*, wherever and by whomever it is driven.

    Raises
    ------
    FormatError
        There is no sweep, or a newer release wrote it.
    """
    return SweepHandle(directory)


class SweepHandle:
    """Looks at a sweep, waits for its end, and asks its driver to stop.

    Get one with `sciflow.attach` or ``Engine.submit``. It reads the sweep directory, so it works from any notebook that
    sees that, and takes nothing away from the driver. While the controller of a sweep waits in the queue of a batch
    system, that is asked now and then.

    Examples
    --------
    >>> sweep = sciflow.attach("sweeps/ising")  # doctest: +SKIP
    >>> sweep.status().n_done  # doctest: +SKIP
    4096
    >>> sweep.wait(timeout=3600).n_failed  # doctest: +SKIP
    0
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._watch = Watch(os.fspath(directory))

    @property
    def directory(self) -> Path:
        """The sweep directory."""
        return self._watch.directory.path

    @property
    def results(self) -> Results:
        """The results as they are now, also while the sweep runs."""
        from sciflow.analysis.results import open_results  # noqa: PLC0415  brings pandas and xarray

        return open_results(self.directory)

    def status(self) -> Status:
        """How the sweep is now."""
        return self._watch.look()

    def wait(self, timeout: float | None = None) -> Status:
        """Wait until nobody works on the sweep any more, and return its last status.

        That it ended does not say how: ``status.state`` (``"complete"`` when all that was asked for is done) and
        ``status.n_failed`` do.
        Nothing is waited for when nobody works on it.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None for no limit.

        Raises
        ------
        TimeoutError
            The sweep still runs, or waits for its turn.
        """
        give_up = None if timeout is None else time.monotonic() + timeout
        while True:
            begun = time.monotonic()
            status = self.status()
            if not status.is_driven:
                return status
            now = time.monotonic()
            if give_up is not None and now >= give_up:
                raise TimeoutError(f"the sweep still runs, or waits for its turn: {status}")
            pause = max(LOOK_S, _SHARE * (now - begun))
            time.sleep(pause if give_up is None else min(pause, max(0.0, give_up - now)))

    def cancel(self) -> str:
        """Ask the driver to stop, and say what happens; does not wait for it (`wait` does).

        The driver takes no new work; variants that run are finished, or saved where their tasks can do so, and what
        is finished stays. Running the script again goes on.

        Raises
        ------
        StoreWriteError
            The sweep directory cannot be written to.
        """
        status = self.status()
        driver = status.driver
        kept = f"{render_count(status.n_done, 'finished variant')} {'is' if status.n_done == 1 else 'are'} kept"
        if status.controller is not None and status.controller.is_pending:
            return f"{self._cancel_controller(status.controller, status)}; {kept}"
        if status.controller is not None and status.controller.state == "died":
            self._bury_controller()
        if driver is None or not status.is_driven:
            return f"nobody works on {status.path}: there is nothing to cancel; {kept}"
        name = f"the driver (host {driver.host}, pid {driver.pid})"
        if not request_cancel(self._watch.directory, driver.session):
            return f"{name} was asked to stop before; {kept}"
        if driver.life == "silent":
            return f"{name} shows no sign of life; it stops when it wakes up; {kept}"
        if status.waiting:
            return f"{name} was asked to stop while it waits; {kept}"
        running = render_count(status.n_running, "running variant") if status.n_running else "variants that run"
        return f"{name} was asked to stop: it takes no new work, {running} finish first; {kept}"

    def _bury_controller(self) -> None:
        """Have no late job of a controller that died take the sweep up again, so that it can be submitted anew."""
        submission = newest_submission(self._watch.directory)
        if submission is not None and submission.kind == "job":
            submission.request_cancel()
            submission.tell_end("cancelled")

    def _cancel_controller(self, controller: ControllerStatus, status: Status) -> str:
        """Stop a controller wherever it is on its way."""
        submission = newest_submission(self._watch.directory)
        assert submission is not None
        submission.request_cancel()
        # a driver that takes the sweep from now on sees the request itself
        at_work = controller.state == "working" and status.driver is not None and status.driver.life == "alive"
        if at_work and status.driver is not None:
            request_cancel(self._watch.directory, status.driver.session)
        if controller.kind == "job":
            is_driven = status.driver is not None and status.driver.life == "alive"
            return self._cancel_jobs(submission, at_work=at_work, is_driven=is_driven)
        if at_work:
            return f"the controller (host {controller.host}, pid {controller.pid}) was asked to stop"
        process = submission.process
        if process is not None and process.is_certainly_alive():
            os.kill(process.pid, signal.SIGTERM)  # it drives nothing yet, or reduces what the sweep has left
            return f"the controller (host {process.host}, pid {process.pid}) was asked to stop"
        submission.tell_end("cancelled")
        return "the controller was asked to stop; whether it lives cannot be told from here"

    def _cancel_jobs(self, submission: Submission, *, at_work: bool, is_driven: bool) -> str:
        """Take the jobs of a controller out of the queue; a driver that is alive ends, and ends its workers, itself."""
        from sciflow.engine.job import is_controller  # noqa: PLC0415  same
        from sciflow.engine.submit import find_system  # noqa: PLC0415  brings what sends workflows

        try:
            system = find_system(str(submission.facts["system"]), submission.folder)
            jobs = system.jobs(str(submission.facts["prefix"]))
            controllers = [one for one in jobs.values() if is_controller(one)]
            ours = [one.job_id for one in controllers if not at_work or one.phase == "waiting"]
            ours += [] if is_driven else [one.job_id for one in jobs.values() if not is_controller(one)]
            if ours:
                system.cancel(ours)
        except BatchError as error:
            return f"the controller was asked to stop, and does so when it starts; its jobs stay in the queue: {error}"
        if at_work:
            return "the controller was asked to stop: it takes no new work, running variants finish first"
        submission.tell_end("cancelled")
        gone = f"{system.name} job {', '.join(ours)} taken out of the queue" if ours else "no job was in the queue"
        return f"cancelled: {gone}"

    def __reduce__(self) -> tuple[Any, ...]:
        return SweepHandle, (self.directory,)

    def __repr__(self) -> str:
        status = self.status()
        return f"<SweepHandle {status.workflow!r}: {status.state}, {status.n_done:,} of {status.n_variants:,} done>"

    def _repr_html_(self) -> str:
        return status_html(self.status())
