"""What is true of one cluster: a file, ``site.toml``, that a user or a group writes once."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import stat
import subprocess
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar, cast

from sciflow.batch.script import checked_line, checked_options, checked_word
from sciflow.errors import QuantityError, SciflowError, SiteError
from sciflow.quantities import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.batch.system import BatchSystem, Job

System: TypeAlias = Literal["slurm", "pbs"]
FILE_NAME: Final = "site.toml"
GPU: Final = "gpu"
"""The table for jobs that ask for GPUs."""
CONTROLLER: Final = "controller"
"""The table for the jobs of controllers."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where jobs of one kind go, and under which terms; None is what the site does by itself.

    Attributes
    ----------
    queue
        The partition or queue.
    account
        Who pays.
    walltime_s
        How long a job lasts at most.
    prologue
        Lines of a shell before anything else, such as ``module load python/3.12``.
    options
        Further options for the batch system, such as ``--qos=low``.
    """

    queue: str | None = None
    account: str | None = None
    walltime_s: int | None = None
    prologue: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster.

    Attributes
    ----------
    system
        Its batch system.
    default
        Where jobs go.
    places
        Where jobs of some resource classes go instead, by the name of the class; ``gpu`` is for all with GPUs.
    interface
        The network interface by which nodes reach each other, such as ``ib0``.
    scratch
        A folder on fast storage, which each node may have for itself.
    python
        The interpreter for jobs; None is the one that submits.
    max_jobs, max_pending
        How many jobs a sweep may have, and how many of them waiting.
    nodes_submit
        Whether jobs may submit jobs; None when that is not said.
    file
        Where this was read; None when it was found out.
    """

    system: System
    default: Place = Place()
    places: tuple[tuple[str, Place], ...] = ()
    interface: str | None = None
    scratch: Path | None = None
    python: str | None = None
    max_jobs: int | None = None
    max_pending: int | None = None
    nodes_submit: bool | None = None
    file: Path | None = field(default=None, compare=False)

    def place(self, resource_class: str = "", *, gpus: int = 0) -> Place:
        """Where jobs of a resource class go."""
        named = dict(self.places)
        return named.get(resource_class) or (named.get(GPU) if gpus else None) or self.default

    def placed(self, job: Job, resource_class: str = "") -> Job:
        """The job as this site wants it: what it does not ask for itself is the place's, the prologue comes first."""
        place = self.place(resource_class, gpus=job.gpus)
        return replace(
            job,
            body="".join(f"{line}\n" for line in place.prologue) + job.body,
            queue=job.queue or place.queue,
            account=job.account or place.account,
            walltime_s=job.walltime_s or place.walltime_s,
            options=(*place.options, *job.options),
        )

    def batch_system(self, exits: Path | None = None) -> BatchSystem:
        """What submits jobs here; *exits* is a folder for the exit statuses of jobs, for a PBS without a history."""
        if self.system == "slurm":
            from sciflow.batch.slurm import Slurm  # noqa: PLC0415  of the two one is needed

            return Slurm()
        from sciflow.batch.pbs import Pbs  # noqa: PLC0415  same

        return Pbs(exits=exits)


def find_site(
    sweep: Path | None = None, system: System | None = None, environ: Mapping[str, str] | None = None
) -> Site:
    """The site we are on.

    It is read from the file that ``$SCIFLOW_SITE`` names; else from ``site.toml`` beside the sweep directory, or in the
    current folder, or in ``$XDG_CONFIG_HOME/sciflow`` (``~/.config/sciflow``); else it is what the programs on ``PATH``
    tell.

    Parameters
    ----------
    sweep
        The sweep directory.
    system
        The batch system that was asked for; None is whichever there is.
    environ
        Environment variables; None is this process's own.

    Raises
    ------
    SiteError
        When a file is not understood or is for another batch system, or none was found and there is no batch system.
    """
    variables = os.environ if environ is None else environ
    path = _site_file(sweep, variables)
    if path is None:
        return Site(system or detect(variables))
    site = read_site(path)
    if system is not None and site.system != system:
        raise SiteError(
            f"{path} describes a site with {site.system}, but {system} was asked for; "
            "name another file in SCIFLOW_SITE, or ask for the other system"
        )
    return site


def _site_file(sweep: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = environ.get("SCIFLOW_SITE")
    if named:
        path = Path(named).expanduser().absolute()
        if not path.is_file():
            raise SiteError(f"SCIFLOW_SITE names {str(path)!r}, which is no file; correct it or unset it")
        return path
    config = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    beside = [] if sweep is None else [sweep.absolute().parent]
    folders = [*beside, Path.cwd(), Path(config) / "sciflow"]
    return next((folder / FILE_NAME for folder in folders if (folder / FILE_NAME).is_file()), None)


def detect(environ: Mapping[str, str] | None = None) -> System:
    """The batch system whose programs are on ``PATH``.

    Raises
    ------
    SiteError
        When there is none that we know.
    """
    variables = os.environ if environ is None else environ
    path = variables.get("PATH")
    # SLURM may bring a qsub of its own
    if shutil.which("sbatch", path=path):
        return "slurm"
    qstat = shutil.which("qstat", path=path)
    if shutil.which("qsub", path=path) and qstat:
        # programs of the same names belong to Grid Engine and Torque
        version = _first_words([qstat, "--version"], variables)
        if "pbs_version" in version or "PBS_EXEC" in variables:
            return "pbs"
        raise SiteError(
            f"the qsub on PATH is not that of PBS (qstat --version says {version[:100]!r}), and other batch systems "
            "are not known here; run the sweep in a job of your own with cluster='local'"
        )
    raise SiteError(
        "there is no batch system here: neither sbatch nor qsub is on PATH; run this on a node of the cluster from "
        "which jobs can be submitted, or load the module that brings them"
    )


def _first_words(command: list[str], environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(command, env=dict(environ), capture_output=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stdout or done.stderr).decode("utf-8", "replace").strip()


def read_site(path: Path) -> Site:
    """The site that a file describes.

    Raises
    ------
    SiteError
        With the file, the key and what to write instead.
    """
    # its lines run in our jobs
    if path.stat().st_mode & stat.S_IWOTH:
        raise SiteError(f"{path} can be changed by everybody, and its lines run in your jobs; chmod o-w it")
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SiteError(f"{path} is no TOML: {error}; see https://toml.io, or examples/site.toml") from error
    return _site(_Table(path, data))


def _site(top: _Table) -> Site:
    tables = {name: value for name, value in top.data.items() if isinstance(value, dict)}
    top.refuse_unknown({*_OF_SITES, *_OF_PLACES, *tables}, f"or a table such as [{GPU}]")
    default = _place(top, Place())
    if "system" not in top.data:
        raise SiteError(f'{top.path} does not say which batch system this is; add system = "slurm" or "pbs"')
    return Site(
        system=cast("System", top.get("system", _system)),
        default=default,
        places=tuple((name, _place(top.table(name), default)) for name in tables),
        interface=top.get("interface", _interface),
        scratch=top.get("scratch", _folder),
        python=top.get("python", _python),
        max_jobs=top.get("max_jobs", _positive),
        max_pending=top.get("max_pending", _positive),
        nodes_submit=top.get("nodes_submit", _boolean),
        file=top.path,
    )


def _place(table: _Table, default: Place) -> Place:
    """What stands in a table holds instead of what stands above the tables."""
    if table.name:
        table.refuse_unknown(_OF_PLACES, "")
    if "queue" in table.data and "partition" in table.data:
        raise SiteError(f"{table.path}: {table.where('partition')} and queue are two words for one thing; keep one")
    prologue, options = table.get("prologue", _lines), table.get("options", _options)
    queue = table.get("queue", _word) or table.get("partition", _word)
    return Place(
        queue=queue or default.queue,
        account=table.get("account", _word) or default.account,
        walltime_s=table.get("walltime", _walltime) or default.walltime_s,
        prologue=default.prologue if prologue is None else prologue,
        options=default.options if options is None else options,
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file; its name is empty for what stands above the tables."""

    path: Path
    data: Mapping[str, Any]
    name: str = ""

    def table(self, name: str) -> _Table:
        return _Table(self.path, self.data[name], name)

    def where(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def refuse_unknown(self, known: set[str] | frozenset[str], also: str) -> None:
        unknown = [key for key in self.data if key not in known]
        if unknown:
            words = ", ".join(sorted(_OF_PLACES if self.name else _OF_SITES | _OF_PLACES))
            raise SiteError(f"{self.path}: there is no key {self.where(unknown[0])!r}; use {words} {also}".rstrip())

    def get(self, key: str, read: Callable[[object], _T]) -> _T | None:
        """What a key says, or None without it."""
        if key not in self.data:
            return None
        try:
            return read(self.data[key])
        except (SciflowError, TypeError, ValueError) as error:
            raise SiteError(
                f"{self.path}: {self.where(key)} = {self.data[key]!r} is not understood: {error}"
            ) from error


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("write a text in quotes")
    return checked_line("it", value)


def _system(value: object) -> str:
    if value not in {"slurm", "pbs"}:
        raise ValueError('write "slurm" or "pbs"')
    return str(value)


def _word(value: object) -> str:
    return checked_word("it", _text(value))


def _interface(value: object) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.:@-]{1,32}", _text(value)) is None:
        raise ValueError("write the name of a network interface, as 'ip -brief address' shows it")
    return str(value)


def _folder(value: object) -> Path:
    # a daemon or a container may lack what a login sets
    known = {"USER": getpass.getuser(), **os.environ}
    path = Path(Template(_text(value)).safe_substitute(known)).expanduser()
    if not path.is_absolute() or "$" in str(path):
        raise ValueError(f"{str(path)!r} is no absolute path; variables in it must be set")
    return path


def _python(value: object) -> str:
    return str(Path(_text(value)).expanduser())


def _positive(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("write a whole number of at least 1")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("write true or false")
    return value


def _walltime(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("write a duration such as '4h' or '1-12:00:00'")
    seconds = round(parse_seconds(value))
    if seconds < 60:
        raise QuantityError("a walltime is a minute at least; write a duration such as '4h'")
    return seconds


def _lines(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("write a list of lines, as in ['module load python']")
    return tuple(_text(line) for line in cast("list[object]", value))


def _options(value: object) -> tuple[str, ...]:
    return checked_options(_lines(value))


_OF_PLACES: Final = frozenset({"queue", "partition", "account", "walltime", "prologue", "options"})
_OF_SITES: Final = frozenset({"system", "interface", "scratch", "python", "max_jobs", "max_pending", "nodes_submit"})
