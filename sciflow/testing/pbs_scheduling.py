"""When a job of the stand-in for PBS may start: what its scheduler decides, from jobs and the clock; pure."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sciflow.testing.pbs_records import HOST

if TYPE_CHECKING:
    from sciflow.testing.pbs_records import FakeJob

_INSUFFICIENT = "Insufficient amount of resource"


def decided(job: FakeJob, jobs: list[FakeJob], n_cores: int, now: float) -> FakeJob | None:
    """The job as it goes on from here, or None when nothing changes."""
    if job.state == "F":
        return None
    held = _dependency(job, jobs)
    taken = sum(other.n_cores for other in jobs if other.state in {"R", "E"})
    lacking = _lacking(job, n_cores)
    started = {"state": "R", "substate": 42, "start": now, "comment": _ran(job, now)}
    cases: list[tuple[bool, dict[str, Any]]] = [
        (held == "failed", {"state": "F", "substate": 92}),
        (held == "waiting", {"state": "H", "substate": 22}),
        (job.begin > now, {"state": "W", "substate": 30}),
        (lacking != "", {"state": "Q", "comment": f"Can Never Run: {_INSUFFICIENT}: {lacking}"}),
        (
            taken + job.n_cores > n_cores,
            {"state": "Q", "comment": "Not Running: Insufficient amount of resource: ncpus"},
        ),
    ]
    return replace(job, **next((changes for holds, changes in cases if holds), started))


def _lacking(job: FakeJob, n_cores: int) -> str:
    """What no node has, in words of PBS; or empty."""
    if job.n_gpus:
        return f"ngpus (R: {job.n_gpus} A: 0 T: 0)"
    return f"ncpus (R: {job.n_cores} A: {n_cores} T: {n_cores})" if job.n_cores > n_cores else ""


def _ran(job: FakeJob, now: float) -> str:
    return f"Job run at {time.strftime('%a %b %d at %H:%M', time.localtime(now))} on ({HOST}:ncpus={job.n_cores})"


def _dependency(job: FakeJob, jobs: list[FakeJob]) -> str:
    """``free``, ``waiting`` or ``failed``."""
    kind, *ids = job.depend.split(":")
    if not ids:
        return "free"
    by_number = {str(other.number): other for other in jobs}
    before = [by_number.get(re.split(r"\.", job_id)[0]) for job_id in ids]
    if any(other is not None and other.state != "F" for other in before):
        return "waiting"
    good = [other is not None and other.exit_status == 0 for other in before]
    if (kind == "afterok" and not all(good)) or (kind == "afternotok" and any(good)):
        return "failed"
    return "free"
