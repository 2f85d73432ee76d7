"""One job of the stand-in for PBS on its way from the queue to its end: a process that ends with it.

It does what the scheduler and MOM do: waits for the time, what the job depends on, and free cores; starts the script
in a session of its own; looks at the walltime; signals the session and writes down how the job ended.
"""

from __future__ import annotations

import contextlib
import math
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from sciflow.testing.pbs_records import Records
from sciflow.testing.pbs_scheduling import decided

if TYPE_CHECKING:
    from sciflow.testing.pbs_records import FakeJob, Settings


class _GoneError(Exception):
    """The stand-in was taken away."""


def main() -> None:
    """``python -m sciflow.testing.pbs_mom FOLDER NUMBER``."""
    records, number = Records(Path(sys.argv[1])), int(sys.argv[2])
    with contextlib.suppress(_GoneError, FileNotFoundError):
        _serve(records, number)


def _serve(records: Records, number: int) -> None:
    settings = records.settings
    _pause(settings, settings.start_delay_s)
    while not _started(records, number):
        _pause(settings, settings.poll_s)
        if records.job(number).state == "F":
            return
    _run(records, records.job(number), settings)


def _started(records: Records, number: int) -> bool:
    """Take the cores for a job whose time has come; True when it runs from now on."""
    with records.locked():
        jobs = records.jobs()
        job = next(job for job in jobs if job.number == number)
        changed = decided(job, jobs, records.settings.n_cores, time.time())
        if changed is not None:
            records.save(changed)
    return changed is not None and changed.state == "R"


def _run(records: Records, job: FakeJob, settings: Settings) -> None:
    out, error = _spooled(records, job)
    with out.open("ab") as to, error.open("ab") as to_error:
        # the shell of a login, whose child is the script; signals reach both
        process = subprocess.Popen(  # noqa: S603  the script of a test
            ["/bin/sh", "-c", '"$0"; exit $?', str(records.script(job))],
            stdin=subprocess.DEVNULL,
            stdout=to,
            stderr=to if job.joined else to_error,
            env=_environment(records, job),
            cwd=_home(),
            umask=job.umask,
            start_new_session=True,
        )
    records.change(job.number, session=process.pid)
    try:
        ending = _watched(records, job, settings, process)
    except (_GoneError, FileNotFoundError):
        _kill(process.pid, signal.SIGKILL)
        process.wait()
        return
    _kill(process.pid, signal.SIGKILL)
    if ending.get("substate") == 93 and ending["exit_status"] == -29:
        with (out if job.joined else error).open("a") as to:
            to.write(f"=>> PBS: job killed: walltime {_elapsed(job)} exceeded limit {job.walltime_s}\n")
    records.change(job.number, state="E", substate=51)
    _pause(settings, settings.exit_delay_s)
    delivered = _delivered(job, out, error, settings)
    records.change(job.number, state="F", **ending, **({} if delivered else {"stageout_status": 0}))


def _watched(
    records: Records, job: FakeJob, settings: Settings, process: subprocess.Popen[bytes]
) -> dict[str, int | str]:
    """Wait for the end of a job, or bring it about; what is written down of it."""
    while process.poll() is None:
        time.sleep(settings.poll_s)
        _check(settings)
        now = records.job(job.number)
        if now.deleted_by:
            _pause(settings, settings.delete_delay_s)
            status = _end(process, settings, forced=now.forced)
            return {
                "substate": 91,
                "exit_status": status,
                "comment": f"{now.comment} and terminated by {now.deleted_by}",
            }
        if job.walltime_s is not None and _elapsed(job) > job.walltime_s:
            _end(process, settings, forced=False)
            return {"substate": 93, "exit_status": -29, "comment": f"{now.comment} and exceeded resource walltime"}
        if settings.memory_kill and _used(process.pid) > _bytes(job.memory):
            _end(process, settings, forced=True)
            return {"substate": 93, "exit_status": -27, "comment": f"{now.comment} and exceeded resource mem"}
    # Popen tells a signal as a negative number; the shell of a login turned that of its child into 128 + n
    status = 256 - process.returncode if process.returncode < 0 else process.returncode
    ran = records.job(job.number).comment
    how = ("finished", 92) if status == 0 else ("failed", 93)
    return {"substate": how[1], "exit_status": status, "comment": f"{ran} and {how[0]}"}


def _end(process: subprocess.Popen[bytes], settings: Settings, *, forced: bool) -> int:
    """SIGTERM to the session, SIGKILL to what is left of it; the status that PBS tells of a job that it ended."""
    if not forced:
        _kill(process.pid, signal.SIGTERM)
        until = time.monotonic() + settings.kill_delay_s
        while _session(process.pid) and time.monotonic() < until:
            process.poll()
            time.sleep(settings.poll_s)
    _kill(process.pid, signal.SIGKILL)
    process.wait()
    return 256 + (signal.SIGKILL if forced else signal.SIGTERM)


def _session(session: int) -> list[psutil.Process]:
    """Living processes of a session; what made a session of its own is not among them."""
    found: list[psutil.Process] = []
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(pid) == session and (process := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _used(session: int) -> int:
    """Memory that processes of a session have for themselves: what they share with others would count twice."""
    used = 0
    for process in _session(session):
        with contextlib.suppress(psutil.Error):
            used += process.memory_full_info().uss
    return used


def _bytes(text: str) -> float:
    match = re.fullmatch(r"(\d+)([kmgt]?)b", text)
    return math.inf if match is None else float(int(match[1]) << 10 * " kmgt".index(match[2] or " "))


def _kill(session: int, number: signal.Signals) -> None:
    for process in _session(session):
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _environment(records: Records, job: FakeJob) -> dict[str, str]:
    """Of a login, and what PBS and ``-v`` add."""
    user = pwd.getpwuid(os.getuid())
    return {
        "HOME": _home(),
        "LOGNAME": user.pw_name,
        "USER": user.pw_name,
        "SHELL": "/bin/sh",
        "PATH": f"{records.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": job.job_id,
        "PBS_JOBNAME": job.name,
        "PBS_O_WORKDIR": job.folder,
        "PBS_QUEUE": job.queue,
        "NCPUS": str(job.n_cores),
        "OMP_NUM_THREADS": str(job.n_cores),
        **dict(job.variables),
    }


def _home() -> str:
    return pwd.getpwuid(os.getuid()).pw_dir


def _spooled(records: Records, job: FakeJob) -> tuple[Path, Path]:
    """Where output and errors go while it runs."""
    if job.direct:
        return Path(job.output), Path(job.error or job.output)
    return records.folder / f"{job.job_id}.OU", records.folder / f"{job.job_id}.ER"


def _delivered(job: FakeJob, out: Path, error: Path, settings: Settings) -> bool:
    """Bring the output to its place; False when there is none, which takes PBS a while."""
    if job.direct:
        return True
    wanted = [(out, job.output or f"{job.folder}/{job.name}.o{job.number}")]
    if not job.joined:
        wanted.append((error, job.error or f"{job.folder}/{job.name}.e{job.number}"))
    for spooled, place in wanted:
        target = Path(place) / spooled.name if place.endswith("/") else Path(place)
        if not target.parent.is_dir():
            _pause(settings, settings.stageout_s)
            return False
        if place != os.devnull:
            shutil.copyfile(spooled, target)
    return True


def _elapsed(job: FakeJob) -> int:
    return int(time.time() - job.start)


def _check(settings: Settings) -> None:
    if settings.owner_pid and not psutil.pid_exists(settings.owner_pid):
        raise _GoneError


def _pause(settings: Settings, seconds: float) -> None:
    time.sleep(seconds)
    _check(settings)


if __name__ == "__main__":
    main()
