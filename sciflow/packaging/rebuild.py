"""The environment of a package built again, as closely as this machine can: one rung of a ladder after the other.

The rungs, from the closest down:

1. ``exact lock, exact Python``, by uv or by pip
2. ``exact lock, nearest Python``: of the same minor version if there is one
3. ``versions without hashes``
4. ``universal lock``: ``pylock.toml``, by uv
5. ``conda``: where it is installed; first of all when the sweep ran in an environment of conda
6. ``current``: the Python that runs this, as it is

What is built is another Python's packages; the reader's own sciflow comes by path, for it is on no index and whoever
trusts a verifier trusts the same copy to run.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from sciflow.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Wish = Literal["auto", "uv", "pip", "conda", "current"]
Command = tuple[str, ...]

EXACT: Final = "requirements.exact.txt"
PLAIN: Final = "requirements.txt"
PYLOCK: Final = "pylock.toml"
CONDA: Final = "environment.yml"
WHEELS: Final = "wheels"

CURRENT: Final = "current"
_KINDS: Final = (
    "exact lock, exact Python",
    "exact lock, nearest Python",
    "versions without hashes",
    "universal lock",
)
_LOCKS: Final = (EXACT, EXACT, PLAIN, PYLOCK)
_PATIENCE_S: Final = 3600.0
_CONDAS: Final = ("micromamba", "mamba", "conda")
_PIP: Final = ("--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "20", "--quiet")
_CAN_RUN: Final = "import sciflow.cli.rerun, sciflow.engine.engine"
_LONGEST: Final = 300
# as pip, uv and Python begin their complaints
_COMPLAINT: Final = re.compile(r"(?i)(?:error|\N{MULTIPLICATION SIGN}|[├╰]─▶|caused by)|.*Error:")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said: its exit status, and what it printed."""

    status: int
    out: str
    err: str = ""

    @property
    def words(self) -> str:
        """The gist of a complaint: its last lines, or those that say error."""
        lines = [line.strip() for line in (self.err.strip() or self.out.strip()).splitlines() if line.strip()]
        told = [line for line in lines if _COMPLAINT.match(line)] or lines[-2:]
        text = " ".join(told[:4]) or f"exit status {self.status}"
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


class Programs(Protocol):
    """The programs of a machine: a seam, with a fake in `sciflow.testing.programs`."""

    def find(self, name: str) -> str | None:
        """The path of a program, None if it is not there."""
        ...

    def run(self, command: Sequence[str], variables: Mapping[str, str]) -> Answer:
        """Run a command to its end, with further environment variables."""
        ...


class SystemPrograms:
    """The programs of this machine; uv is found beside this Python too."""

    def find(self, name: str) -> str | None:
        """The path of a program, None if it is not there."""
        return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))

    def run(self, command: Sequence[str], variables: Mapping[str, str]) -> Answer:
        """Run a command to its end, with further environment variables."""
        try:
            done = subprocess.run(  # noqa: S603  an argument list of ours, no shell
                list(command),
                env=clean_variables(variables),
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=_PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Answer(124, "", f"{command[0]} took more than {_PATIENCE_S:,.0f} s")
        except OSError as error:
            return Answer(127, "", f"{command[0]}: {error.strerror or error}")
        return Answer(done.returncode, done.stdout, done.stderr)


def clean_variables(extra: Mapping[str, str]) -> dict[str, str]:
    """Environment variables of this process without those that would lead another Python to our packages."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__", "PIP_REQUIRE_VIRTUALENV"}
    return {**{name: value for name, value in os.environ.items() if name not in ours}, **extra}


@dataclass(frozen=True, slots=True)
class Step:
    """One rung.

    Attributes
    ----------
    name
        What it is called.
    commands
        What builds it.
    python
        The interpreter that is there then.
    why_not
        Why it cannot be tried; empty if it can.
    """

    name: str
    commands: tuple[Command, ...]
    python: str
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A rung that was tried, or could not be: why it was left, empty for the one that holds."""

    step: str
    reason: str
    took_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def __str__(self) -> str:
        how = "this Python as it is" if self.step == CURRENT else f"built in {self.took_s:.0f} s"
        return f"{self.step}: {self.reason or how}"


@dataclass(frozen=True, slots=True)
class Built:
    """The environment that was reached.

    Attributes
    ----------
    step
        The rung.
    python
        Its interpreter.
    variables
        Environment variables under which it finds sciflow.
    attempts
        All rungs down to it.
    """

    step: str
    python: str
    variables: Mapping[str, str]
    attempts: tuple[Attempt, ...]


class CannotBuildError(PackageError):
    """No rung holds; the text says why of each."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        super().__init__(list(attempts))
        self.attempts = tuple(attempts)

    def __str__(self) -> str:
        reasons = "".join(f"\n  {one}" for one in self.attempts)
        return f"no environment could be had in which this package runs:{reasons}"


@dataclass(frozen=True, slots=True)
class Site:
    """Where an environment is built, and of what.

    Attributes
    ----------
    locks
        The folder ``data/environment`` of a package.
    target
        Where environments are built.
    programs
        What is installed.
    python, version
        The interpreter that runs this.
    """

    locks: Path
    target: Path
    programs: Programs
    python: str = sys.executable
    version: str = platform.python_version()

    def lacks(self, lock: str) -> str:
        """That the package has no such file; empty if it has."""
        return "" if (self.locks / lock).is_file() else f"the package has no {lock}"


def ladder(wish: Wish, recorded: Mapping[str, Any], site: Site) -> Iterator[Step]:
    """The rungs for a wish, the closest first; *recorded* is the environment of the package."""
    uv, pip, conda = [*_by_uv(recorded, site)], [*_by_pip(recorded, site)], _by_conda(site)
    current = Step(CURRENT, (), site.python)
    match wish:
        case "uv":
            yield from uv
        case "pip":
            yield from pip
        case "conda":
            yield conda
        case "current":
            yield current
        case "auto":
            if recorded.get("conda"):
                yield conda
            for kind in _KINDS:  # whichever of the two builds it
                yield from (step for step in (*uv, *pip) if step.name.endswith(kind))
            if not recorded.get("conda"):
                yield conda
            yield current


def rebuild(
    steps: Sequence[Step] | Iterator[Step],
    link: Path,
    programs: Programs,
    tell: Callable[[str], object] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Built:
    """Climb down until a rung holds: its commands succeed, and sciflow can be imported there.

    Parameters
    ----------
    link
        A folder with this sciflow in it, and nothing else.

    Raises
    ------
    CannotBuildError
        None does.
    """
    attempts: list[Attempt] = []
    variables = {"PYTHONPATH": str(link)}
    for step in steps:
        reason, began = step.why_not, clock()
        if not reason:
            tell(f"environment: trying {step.name}" + (", which can take minutes" if step.commands else ""))
            reason = _reason(step, programs, variables)
        attempts.append(Attempt(step.name, reason, clock() - began))
        if not reason:
            return Built(step.name, step.python, variables, tuple(attempts))
    raise CannotBuildError(attempts)


def _reason(step: Step, programs: Programs, variables: Mapping[str, str]) -> str:
    """Why the rung does not hold; empty if it does."""
    for command in step.commands:
        answer = programs.run(command, {})
        if answer.status:
            return answer.words
    # -P: a file in the current folder must not stand in for a module
    answer = programs.run((step.python, "-P", "-c", _CAN_RUN), variables)
    return f"sciflow does not run there: {answer.words}" if answer.status else ""


# --------------------------------------------------------------------------------------------------------- the rungs


def _by_uv(recorded: Mapping[str, Any], site: Site) -> Iterator[Step]:
    found = site.programs.find("uv")
    uv = found or "uv"
    exact, near = versions_of(recorded)
    for kind, version, lock in zip(_KINDS, (exact, near, near, near), _LOCKS, strict=True):
        name = f"uv, {kind}"
        folder = site.target / _slug(name)
        python = str(folder / "bin/python")
        make = (uv, "venv", "--quiet", "--no-project", *(("--python", version) if version else ()), str(folder))
        fill = (uv, "pip", "sync", "--quiet", "--python", python, *_options(site.locks, lock), str(site.locks / lock))
        yield Step(name, (make, fill), python, site.lacks(lock) if found else "uv is not installed")


def _by_pip(recorded: Mapping[str, Any], site: Site) -> Iterator[Step]:
    exact, near = versions_of(recorded)
    other = site.programs.find(f"python{near}") if near and not site.version.startswith(f"{near}.") else None
    for kind, lock in zip(_KINDS[:3], _LOCKS[:3], strict=True):
        name = f"pip, {kind}"
        folder = site.target / _slug(name)
        python = str(folder / "bin/python")
        why_not = site.lacks(lock)
        if kind.endswith("exact Python") and site.version != exact:
            why_not = f"Python {exact or 'of the sweep'} is not here, this is {site.version}"
        make = (other or site.python, "-m", "venv", str(folder))
        fill = (python, "-m", "pip", "install", *_PIP, "--no-deps", *_options(site.locks, lock), "--requirement")
        yield Step(name, (make, (*fill, str(site.locks / lock))), python, why_not)


def _by_conda(site: Site) -> Step:
    found = next((path for name in _CONDAS if (path := site.programs.find(name))), None)
    folder = site.target / "conda"
    sub = () if found and Path(found).name == "micromamba" else ("env",)
    into = ("create", "--yes", "--quiet", "--prefix", str(folder), "--file", str(site.locks / CONDA))
    why_not = site.lacks(CONDA) if found else "conda is not installed"
    return Step("conda", ((found or "conda", *sub, *into),), str(folder / "bin/python"), why_not)


def versions_of(recorded: Mapping[str, Any]) -> tuple[str, str]:
    """The exact version of Python, such as ``3.11.7``, and its minor one; empty when they were not recorded."""
    match = re.fullmatch(r"(\d+\.\d+)\.\d+\w*", str(recorded.get("python", {}).get("version", "")))
    return (match[0], match[1]) if match else ("", "")


def _options(locks: Path, lock: str) -> tuple[str, ...]:
    """What an installer is told besides: to insist on hashes if there are some, and to use wheels that came along."""
    text = (locks / lock).read_text("utf-8", errors="replace") if (locks / lock).is_file() else ""
    hashes = ("--require-hashes",) if "--hash=" in text else ()
    return (*hashes, "--no-index", "--find-links", str(locks / WHEELS)) if (locks / WHEELS).is_dir() else hashes


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name)


def link_sciflow(folder: Path) -> Path:
    """A folder with nothing but this sciflow in it, so that another Python finds it and none of our packages."""
    folder.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).resolve().parents[1]
    (folder / here.name).symlink_to(here, target_is_directory=True)
    return folder
