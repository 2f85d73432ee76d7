"""The jobs and settings of a stand-in for PBS, as files of one folder that its programs share."""

from __future__ import annotations

import fcntl
import json
import os
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

Dialect: TypeAlias = Literal["main", "release"]
HOST = "vm"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the stand-in behaves.

    Attributes
    ----------
    history
        Whether ended jobs are remembered (``job_history_enable``); off is the default of OpenPBS.
    dialect
        Whose JSON: that of the development version (``main``) or of 23.06.06 (``release``).
    n_cores
        Of its one node; what asks for more can never run.
    start_delay_s, exit_delay_s, delete_delay_s, kill_delay_s, stageout_s
        How long a job stays queued, exits, runs on after qdel was accepted, lives on after SIGTERM, and waits for the
        folder of its output that is not there.
    poll_s
        How often walltimes are looked at.
    walltime
        ``resources_max.walltime`` of the queue, or empty.
    memory_kill
        Whether jobs that use more memory than they ask for are ended with exit status -27, as the manual says that MOM
        does where it enforces ``mem``; seen it was not.
    owner_pid
        When this process is gone, the jobs end.
    """

    history: bool = True
    dialect: Dialect = "main"
    n_cores: int = 16
    start_delay_s: float = 0.1
    exit_delay_s: float = 0.1
    delete_delay_s: float = 0.3
    kill_delay_s: float = 2.0
    stageout_s: float = 1.0
    poll_s: float = 0.05
    walltime: str = ""
    memory_kill: bool = False
    owner_pid: int = 0


@dataclass(frozen=True, slots=True)
class FakeJob:
    """One job: what was asked for, and what became of it; times are Unix seconds, 0 for none."""

    number: int
    name: str
    owner: str
    folder: str
    output: str = ""
    error: str = ""
    joined: bool = False
    direct: bool = False
    rerunnable: bool = True
    umask: int = 0o077
    n_cores: int = 1
    n_gpus: int = 0
    memory: str = ""
    walltime_s: int | None = None
    queue: str = "workq"
    account: str = ""
    begin: float = 0
    depend: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    state: str = "Q"
    substate: int = 10
    comment: str = ""
    queued: float = 0
    start: float = 0
    session: int = 0
    exit_status: int | None = None
    stageout_status: int | None = None
    deleted_by: str = ""
    forced: bool = False

    @property
    def job_id(self) -> str:
        """In full."""
        return f"{self.number}.{HOST}"


class Records:
    """The folder of a stand-in; every change is made with the lock held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Generator[None]:
        """Nobody else changes anything meanwhile."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def settings(self) -> Settings:
        """As they are now."""
        return Settings(**json.loads((self.folder / "settings.json").read_text("utf-8")))

    @property
    def is_down(self) -> bool:
        """Whether the server does not answer."""
        return (self.folder / "down").exists()

    def write_settings(self, settings: Settings) -> None:
        """Change how the stand-in behaves."""
        _write(self.folder / "settings.json", asdict(settings))

    def next_number(self) -> int:
        """Of the job that is submitted now; the first is 0."""
        return max((job.number for job in self.jobs()), default=-1) + 1

    def script(self, job: FakeJob) -> Path:
        """The copy of its script."""
        return self.folder / f"{job.job_id}.SC"

    def save(self, job: FakeJob) -> None:
        """Write a job down."""
        _write(self.folder / f"{job.number}.job", asdict(job))

    def change(self, number: int, **changes: Any) -> FakeJob:
        """Change a job, whatever others changed of it."""
        with self.locked():
            changed = replace(self.job(number), **changes)
            self.save(changed)
        return changed

    def job(self, number: int) -> FakeJob:
        """One job."""
        return _read(self.folder / f"{number}.job")

    def jobs(self) -> list[FakeJob]:
        """All jobs there ever were, in their order."""
        return sorted((_read(path) for path in self.folder.glob("*.job")), key=lambda job: job.number)

    def find(self, job_id: str) -> FakeJob | None:
        """The job of an id, in full or short; None when there is none."""
        match = re.fullmatch(rf"(\d+)(?:\.{HOST})?", job_id)
        path = None if match is None else self.folder / f"{match[1]}.job"
        return None if path is None or not path.exists() else _read(path)


def _read(path: Path) -> FakeJob:
    fields: dict[str, Any] = json.loads(path.read_text("utf-8"))
    fields["variables"] = tuple((name, value) for name, value in fields["variables"])
    return FakeJob(**fields)


def _write(path: Path, fields: dict[str, object]) -> None:
    new = path.with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps(fields), "utf-8")
    new.replace(path)
