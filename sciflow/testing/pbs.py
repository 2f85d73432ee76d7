"""A stand-in for PBS: real programs `qsub`, `qstat` and `qdel` that run jobs as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import psutil

from sciflow.testing.pbs_records import HOST, FakeJob, Records, Settings

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

_END_S = 30.0


class FakePbs:
    """A PBS of one node that behaves as OpenPBS 23.06 was seen to; for tests of what submits to PBS.

    Parameters
    ----------
    folder
        Where it keeps its programs (``bin``, to be put on ``PATH``) and its jobs; made if need be.
    settings
        How it behaves; by default it remembers ended jobs and is quick.

    Notes
    -----
    There is no server: the programs share the folder, and each job has a process that ends with it. On leaving the
    context, or when the process that made it is gone, all jobs end. It differs from PBS in that root may submit, and
    that all jobs run here; reservations, arrays, ``qalter`` and ``qsub -- command`` are not there.

    Examples
    --------
    >>> with FakePbs(tmp_path) as pbs:  # doctest: +SKIP
    ...     subprocess.run(["qsub", "job.sh"], env=pbs.environ())
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.folder = folder
        self._records = Records(folder)
        self._settings = replace(settings or Settings(), owner_pid=os.getpid())

    @property
    def programs(self) -> Path:
        """The folder of its programs."""
        return self.folder / "bin"

    def environ(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """An environment (this process's own by default) in which its programs are found first."""
        environ = dict(os.environ if base is None else base)
        return {**environ, "PATH": f"{self.programs}:{environ.get('PATH', os.defpath)}"}

    def __enter__(self) -> Self:
        self.programs.mkdir(parents=True, exist_ok=True)
        self._records.write_settings(self._settings)
        for name in ("qsub", "qstat", "qdel"):
            program = self.programs / name
            program.write_text(
                f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "import sys; from sciflow.testing.pbs_programs '
                f'import main; main({name!r}, sys.argv.pop(1))" {shlex.quote(str(self.folder))} "$@"\n',
                "utf-8",
            )
            program.chmod(0o755)
        return self

    def __exit__(self, *_: object) -> None:
        self.up()
        moms = [process for process in psutil.process_iter(["cmdline"]) if self._serves_us(process)]
        sessions = {job.session for job in self.jobs() if job.session and job.state in {"R", "E"}}
        for process in moms:
            with contextlib.suppress(psutil.Error):
                process.kill()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) in sessions:
                    process.send_signal(signal.SIGKILL)
        until = time.monotonic() + _END_S
        while any(map(_lives, moms)) and time.monotonic() < until:
            time.sleep(0.01)

    def _serves_us(self, process: psutil.Process) -> bool:
        command: list[str] = process.info["cmdline"] or []
        return "sciflow.testing.pbs_mom" in command and str(self.folder) in command

    def down(self) -> None:
        """The server stops to answer; jobs run on."""
        (self.folder / "down").touch()

    def up(self) -> None:
        """It answers again."""
        (self.folder / "down").unlink(missing_ok=True)

    def jobs(self) -> list[FakeJob]:
        """Every job there ever was, whatever the programs tell of it."""
        return self._records.jobs()

    def change(self, **settings: object) -> None:
        """Change how it behaves, for jobs that are submitted from now on."""
        self._settings = replace(self._settings, **settings)
        self._records.write_settings(self._settings)

    @contextlib.contextmanager
    def jobs_of_others(self, n_queued: int, n_held: int = 0) -> Generator[None]:
        """Let another user have jobs in the queue that do not start, as long as this lasts."""
        numbers: list[int] = []
        for state in "Q" * n_queued + "H" * n_held:
            with self._records.locked():
                job = FakeJob(self._records.next_number(), "other", f"somebody@{HOST}", "/", state=state)
                self._records.save(job)
            numbers.append(job.number)
        try:
            yield
        finally:
            for number in numbers:
                self._records.change(number, state="F", substate=91)

    def await_end(self, *job_ids: str) -> list[FakeJob]:
        """Wait until jobs have ended (all, when none is named), and give them."""
        until = time.monotonic() + _END_S
        while time.monotonic() < until:
            named = [job for job in self.jobs() if not job_ids or job.job_id in job_ids]
            if all(job.state == "F" for job in named):
                return named
            time.sleep(0.05)
        raise TimeoutError(
            f"jobs did not end within {_END_S:.0f} s: {[job for job in self.jobs() if job.state != 'F']}"
        )


def _lives(process: psutil.Process) -> bool:
    """Whether it still does anything; nobody may take note of its end for a while."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
