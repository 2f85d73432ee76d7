"""The state of a sweep at one moment: how far it is, who drives it, and what failed."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sciflow.quantities import render_seconds

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.store.directory import SweepDirectory
    from sciflow.store.snapshot import Snapshot

_RECENT_S = 60.0  # the rate is that of the last minute
_MOST_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Driver:
    """The process that works on the sweep, or was the last to.

    Attributes
    ----------
    state
        ``working``, ``ended`` (it ended well), ``died`` or ``silent`` (no sign of life for longer than it promised).
    """

    host: str
    pid: int
    since: str
    state: str
    session: int


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Variants that failed for one reason; *separated_by*: what only they have in common; *example*: the id of one."""

    count: int
    task: str
    type: str
    message: str
    example: str
    separated_by: str
    traceback: str


@dataclass(frozen=True, slots=True)
class State:
    """What `sciflow status` says.

    Attributes
    ----------
    rate
        Variants recorded per second of late, while a driver works; else None.
    problems
        One text per damaged place in the sweep directory.
    """

    workflow: str
    path: str
    n_variants: int
    n_done: int
    n_failed: int
    n_missing: int
    rate: float | None
    driver: Driver | None
    failures: tuple[FailureGroup, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return asdict(self)


def look_at(path: Path) -> State:
    """Read the sweep in *path*, without its workflow's code."""
    from sciflow.analysis.results import open_results  # noqa: PLC0415  brings pandas
    from sciflow.store.directory import SweepDirectory  # noqa: PLC0415  brings NumPy

    directory = SweepDirectory.open(path)
    driver = _driver(directory)
    snapshot = directory.snapshot()
    counts: dict[str, int] = {}
    failures: list[FailureGroup] = []
    if directory.newest_definition() is not None:
        results = open_results(path)
        counts = results.status()
        rows: list[dict[str, Any]] = results.failures().to_dict("records")
        failures = [FailureGroup(**{field.name: row[field.name] for field in fields(FailureGroup)}) for row in rows]
    return State(
        workflow=directory.workflow,
        path=str(path),
        n_variants=sum(counts.values()),
        n_done=counts.get("done", 0),
        n_failed=counts.get("failed", 0),
        n_missing=counts.get("missing", 0),
        rate=_rate(snapshot, driver),
        driver=driver,
        failures=tuple(failures),
        problems=snapshot.problems,
    )


def describe(state: State) -> str:
    """The state in a few lines."""
    lines = [
        f"{state.workflow} ({state.path})",
        f"{state.n_variants:,} variants: {state.n_done:,} done, {state.n_failed:,} failed, {state.n_missing:,} missing",
    ]
    if state.rate:
        left = render_seconds(state.n_missing / state.rate)
        lines.append(f"{state.rate:.3g} variants/s in the last minute; about {left} left")
    lines.append(_who(state.driver))
    for group in state.failures[:_MOST_FAILURES]:
        where = f" ({group.separated_by})" if group.separated_by else ""
        task = f" in {group.task}" if group.task else ""
        lines.append(f"{group.count:,} failed{task}{where}: {group.type}: {(group.message.splitlines() or [''])[0]}")
    if len(state.failures) > _MOST_FAILURES:
        lines.append(f"and {len(state.failures) - _MOST_FAILURES} further reasons")
    if state.failures:
        lines.append(f"tracebacks: sciflow status {state.path} --json, or results.failures() in Python")
    return "\n".join([*lines, *state.problems])


def _who(driver: Driver | None) -> str:
    if driver is None:
        return "no driver has worked on it"
    name = f"host {driver.host}, pid {driver.pid}, since {driver.since}"
    return {
        "working": f"a driver works on it: {name}",
        "ended": f"nobody works on it; the last driver ended well ({name})",
        "died": f"nobody works on it; the last driver died ({name}); run the script again to go on",
        "silent": f"the driver shows no sign of life ({name}); if it is gone, run the script again to go on",
    }[driver.state]


def _driver(directory: SweepDirectory) -> Driver | None:
    from sciflow.store.process import ProcessName  # noqa: PLC0415  with the store

    sessions = directory.sessions()
    if not sessions:
        return None
    newest = sessions[-1]
    if "ended" in newest:
        state = "ended"
    elif ProcessName.from_dict(newest).is_certainly_dead():
        state = "died"
    else:
        beat = directory.session_files / f"{newest['session']:06d}.heartbeat"
        # clocks of hosts may differ a little; this is for people, the lease itself does not rely on it
        age_s = time.time() - beat.stat().st_mtime if beat.exists() else 0.0
        state = "silent" if age_s > newest["lease_s"] else "working"
    return Driver(newest["host"], newest["pid"], newest["since"], state, newest["session"])


def _rate(snapshot: Snapshot, driver: Driver | None) -> float | None:
    if driver is None or driver.state != "working":
        return None
    now = time.time()
    begun = max(datetime.fromisoformat(driver.since).timestamp(), now - _RECENT_S)
    recent = sum(f.n for f in snapshot.frames if f.session == driver.session and f.header["t0"] >= begun)
    return recent / max(now - begun, 1.0)
