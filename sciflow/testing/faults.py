"""Faults on order: what goes wrong, at which step, in which processes of a sweep.

For tests of clusters, stores and tasks. The faults reach every Python process of a sweep, workers of Dask included,
because Python itself loads them when it starts; the library has no hooks for them::

    faults = Faults(
        tmp_path / "faults",
        Fault(Kill(), at="segment.write", when="half", role="worker", skip=2),
        Fault(Fail("ENOSPC"), at="write *.seg", role="worker", skip=10),
    )
    subprocess.run([sys.executable, "sweep.py"], env=faults.environment())
    assert [strike.role for strike in faults.fired()] == ["worker", "worker"]

`sciflow.testing.steps` has the names of the steps, `sciflow.testing.processes` kills and stops processes from outside,
at any instant.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from sciflow import interpreter
from sciflow.testing.steps import Step

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

When = Literal["before", "half", "after"]

PLAN: Final = "faults.json"
HOOK: Final = "hook"
FIRED: Final = "fired"
STEPS_NOW: Final = "steps"

# runs when a Python starts; one that is there already, of an operating system say, runs too
_SITECUSTOMIZE = """\
import importlib.util, os, sys
from importlib.machinery import PathFinder
here = os.path.dirname(os.path.abspath(__file__))
try:
    from sciflow.testing.injection import inject
except ImportError:  # another Python, which has nothing to do with the sweep
    pass
else:
    inject(os.path.dirname(here))
spec = PathFinder.find_spec("sitecustomize", [p for p in sys.path if os.path.abspath(p) != here])
if spec is not None and spec.loader is not None:
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""


# ------------------------------------------------------------------------------------------ what goes wrong


@dataclass(frozen=True, slots=True)
class Kill:
    """The process is gone, as after SIGKILL or a lost node."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The process hangs (SIGSTOP), and goes on after so many seconds, or when somebody sends it SIGCONT."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The call raises `OSError`; *error* is a name of `errno`: ENOSPC for a full disk, EIO for a broken one."""

    error: str = "EIO"

    def __post_init__(self) -> None:
        if not hasattr(errno, self.error):
            raise ValueError(f"Fail({self.error!r}): no error of this name; take one of `errno`, such as 'ENOSPC'")


@dataclass(frozen=True, slots=True)
class Short:
    """The write takes only half of the bytes and says so, which every system may do; for ``when="half"``."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The call takes so many seconds longer: a slow disk."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ClockJump:
    """From then on `time.time` is so many seconds off in this process; monotonic clocks go on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class FileLimit:
    """From then on the system refuses files of more than *n_bytes* (EFBIG), to libraries in C too: a full disk."""

    n_bytes: int


@dataclass(frozen=True, slots=True)
class Note:
    """Nothing goes wrong: a line ``TEXT PID`` is appended to *file*."""

    file: str
    text: str


Action: TypeAlias = Kill | Stop | Fail | Short | Delay | ClockJump | FileLimit | Note
_ACTIONS: Final = {kind.__name__: kind for kind in (Kill, Stop, Fail, Short, Delay, ClockJump, FileLimit, Note)}


# ------------------------------------------------------------------------------------------ where, and how often


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong at a step.

    Parameters
    ----------
    does
        What goes wrong.
    at
        The step: a name of `sciflow.testing.steps.STEPS`, an operation and the end of a path
        (``write segments/*.seg``), or a function (``call package.module:Class.method``).
    when
        ``before`` the step, ``after`` it, or after ``half`` of the bytes of a write.
    role
        Only in such processes: ``driver``, ``worker``, ``nanny``, ``consolidator``, ``compactor``; None for all.
    skip
        How often the step goes well first, in each process.
    times
        How often the fault strikes, over all processes together; None for no limit. A worker that is started in
        place of one that was killed lives, then.
    """

    does: Action
    at: str
    when: When = "before"
    role: str | None = None
    skip: int = 0
    times: int | None = 1

    def __post_init__(self) -> None:
        step = Step.parse(self.at)
        if self.when == "half" and step.operation != "write":
            raise ValueError(f"{self}: only a write has a half")
        if isinstance(self.does, Short) and self.when != "half":
            raise ValueError(f"{self}: a short write is one that ends half way, when='half'")

    @property
    def step(self) -> Step:
        """Where it strikes."""
        return Step.parse(self.at)

    def to_dict(self) -> dict[str, Any]:
        """The fault as plain data."""
        return {**asdict(self), "does": {"kind": type(self.does).__name__, **asdict(self.does)}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The fault from what `to_dict` gave."""
        does = dict(data["does"])
        whole: dict[str, Any] = {**data, "does": _ACTIONS[does.pop("kind")](**does)}
        return cls(**whole)


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault that struck.

    Attributes
    ----------
    fault
        Its place among those given.
    pid, role
        The process that it struck.
    where
        The path of the file, or the function.
    """

    fault: int
    pid: int
    role: str
    where: str


@dataclass(frozen=True, slots=True, init=False)
class Faults:
    """Faults for all processes that are started with `environment`.

    Parameters
    ----------
    folder
        A folder that is not there yet, outside the sweep; it holds the faults and what became of them.
    faults
        Struck independently of each other.
    watch
        Also keep what each process does right now, for `step_of`.
    """

    folder: Path
    faults: tuple[Fault, ...] = field(default=())

    def __init__(self, folder: Path, *faults: Fault, watch: bool = False) -> None:
        object.__setattr__(self, "folder", folder.absolute())
        object.__setattr__(self, "faults", faults)
        (self.folder / HOOK).mkdir(parents=True)
        (self.folder / FIRED).mkdir()
        if watch:
            (self.folder / STEPS_NOW).mkdir()
        (self.folder / PLAN).write_text(json.dumps([fault.to_dict() for fault in faults], indent=1), "utf-8")
        (self.folder / HOOK / "sitecustomize.py").write_text(_SITECUSTOMIZE, "utf-8")

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Environment variables under which every Python, and every one that it starts, has the faults."""
        variables = interpreter.environment(extra)
        return {**variables, "PYTHONPATH": os.pathsep.join([str(self.folder / HOOK), variables["PYTHONPATH"]])}

    def fired(self) -> list[Strike]:
        """The faults that struck so far, in order of time."""
        found = sorted((self.folder / FIRED).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [Strike(**json.loads(path.read_bytes())) for path in found]

    def step_of(self, pid: int) -> str:
        """What a process is at, or was when it died, such as ``segment.sync``; empty between steps and if unknown."""
        try:
            return (self.folder / STEPS_NOW / str(pid)).read_bytes().rstrip(b"\0 ").decode()
        except FileNotFoundError:
            return ""
