"""What a computation ran in: interpreter, packages, system, machine, numeric libraries, and variables that matter.

Workers of one kind of node have the same record and share it: what tells them apart (host, process, the cores that they
may use) goes with their runs. No path of a machine and no variable that is not on the list is kept.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from sciflow.provenance.machine import container, locale_facts, machine_facts, system_facts
from sciflow.provenance.numerics import numeric_facts
from sciflow.provenance.variables import kept_variables, loaded_modules, own_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import Distribution
    from pathlib import Path

    from sciflow.provenance.locks import Lock

SCHEMA: Final = 2
"""Version of the record; it rises when a key changes its meaning or goes away. Records without one are of version 1."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process finds its packages: two of the same place need not look twice.

    Attributes
    ----------
    host
        The machine, and the root of the file system that is seen there: a container has its own.
    python
        The interpreter.
    path
        Folders in which packages are looked for, in order.
    changed
        Those in which some are, with the time of their last change.
    """

    host: tuple[object, ...]
    python: tuple[object, ...]
    path: tuple[str, ...]
    changed: tuple[tuple[str, int], ...]

    @classmethod
    def here(cls, folders: Iterable[str]) -> Self:
        """That of this process, whose packages are in *folders*."""
        root = os.stat("/")  # noqa: PTH116  a number, no path
        # "" is the current folder
        path = (os.path.abspath(one) for one in sys.path)  # noqa: PTH100  no Path objects
        return cls(
            (platform.node(), root.st_dev, root.st_ino),
            (sys.version, sys.prefix, sys.base_prefix),
            tuple(dict.fromkeys(path)),
            tuple((one, _changed(one)) for one in map(os.path.abspath, folders)),
        )

    @property
    def is_here(self) -> bool:
        """Whether this process would find the same packages; Dask puts folders without any on its workers' path."""
        folders = [folder for folder, _ in self.changed]
        here = Place.here(folders)
        if (here.host, here.python, here.changed) != (self.host, self.python, self.changed):
            return False
        found = [one for one in here.path if one in folders or (one not in self.path and _may_hold_packages(one))]
        return found == [one for one in self.path if one in folders]


def _may_hold_packages(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(one.name.lower().endswith(("dist-info", "egg-info")) for one in entries)
    except OSError:
        return os.path.exists(folder)  # noqa: PTH110  no Path objects; an archive, or not readable


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116  no Path objects
    except OSError:
        return 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What holds for every process of one place, found out once: a driver sends its own to the workers.

    Attributes
    ----------
    place
        The place.
    facts
        What was found: the part of the record that does not depend on what a process does.
    locks
        Lock files beside the code.
    """

    place: Place
    facts: Mapping[str, Any]
    locks: tuple[Lock, ...] = field(default=())

    @classmethod
    def here(
        cls,
        locks: tuple[Lock, ...] = (),
        *,
        variables: Mapping[str, str] = os.environ,
        distributions: Iterable[Distribution] | None = None,
    ) -> Self:
        """Find out what holds here."""
        # most workers are of their driver's place and need none of these
        from importlib.metadata import distributions as all_distributions  # noqa: PLC0415

        from sciflow.provenance.conda import conda_packages  # noqa: PLC0415
        from sciflow.provenance.packages import normalized, read_installed  # noqa: PLC0415

        installed = read_installed(all_distributions() if distributions is None else distributions)
        conda = conda_packages()
        known = {} if conda is None else {normalized(name): version for name, version in conda["versions"].items()}
        versions = {**known, **{normalized(name): version for name, version in installed.versions.items()}}
        facts = {
            "python": {
                "version": platform.python_version(),
                "implementation": platform.python_implementation(),
                "compiler": platform.python_compiler(),
                "build": " ".join(platform.python_build()).strip(),
            },
            "system": system_facts(),
            "machine": machine_facts(),
            "container": container(variables),
            "packages": dict(installed.versions),
            "origins": dict(installed.origins),
            "conda": None if conda is None else conda["explicit"],
            "locks": [one.compare(versions) for one in locks],
        }
        return cls(Place.here(installed.folders), facts, locks)

    def of_this_process(self) -> Surroundings:
        """These if this process is of the same place, else those found here."""
        return self if self.place.is_here else Surroundings.here(self.locks)

    def record(self, variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
        """The environment of this process as it is now, as JSON data; see `capture_environment`."""
        flags = sys.flags
        own = {
            "flags": {name: getattr(flags, name) for name in ("optimize", "utf8_mode", "dev_mode")},
            "hash_seed": variables.get("PYTHONHASHSEED") or "random" if flags.hash_randomization else "0",
        }
        return {
            "schema": SCHEMA,
            **self.facts,
            "python": {**self.facts["python"], **own},
            "system": {**self.facts["system"], **locale_facts()},
            "numeric": numeric_facts(),
            "modules": loaded_modules(variables),
            "variables": kept_variables(variables),
        }


def surroundings_of(
    folder: Path | None,
    *,
    variables: Mapping[str, str] = os.environ,
    distributions: Iterable[Distribution] | None = None,
) -> Surroundings:
    """What holds here for code in *folder*, beside which lock files are looked for; None to look for none."""
    if folder is None:
        return Surroundings.here(variables=variables, distributions=distributions)
    from sciflow.provenance.locks import find_locks  # noqa: PLC0415  the driver's

    return Surroundings.here(find_locks(folder), variables=variables, distributions=distributions)


def capture_environment(
    folder: Path | None = None,
    *,
    variables: Mapping[str, str] = os.environ,
    distributions: Iterable[Distribution] | None = None,
) -> dict[str, Any]:
    """The environment of this process, as JSON data.

    Parameters
    ----------
    folder
        Where the user's code lies, beside which lock files are looked for; None to look for none.
    variables
        The environment variables to choose from.
    distributions
        The installed packages; by default all that this process can import.

    Returns
    -------
    dict
        A record of schema 2. Equal environments have equal records, whatever host and process they are of:

        ``schema``
            2. Records without it are of schema 1: they have ``python``, ``system``, ``machine`` (with ``host``),
            ``packages``, ``origins`` and ``variables``.
        ``python``
            ``version``, ``implementation``, ``compiler``, ``build``, ``flags`` (``optimize``, ``utf8_mode``,
            ``dev_mode``), ``hash_seed`` ("random", or the number that was set).
        ``packages``, ``origins``
            Version by name; where those came from that came from no index: see
            `sciflow.provenance.packages.read_origin`.
        ``conda``
            The explicit list of the conda environment; None outside of one.
        ``locks``
            Lock files in the project, each with ``sha256`` and whether it ``agrees`` with what is installed; see
            `sciflow.provenance.locks.Lock.compare`.
        ``numeric``
            ``libraries`` (BLAS, OpenMP: version, architecture, threads as set) and the build of ``numpy`` (``blas``,
            ``lapack``, ``simd``), as they are in this process after its imports.
        ``system``
            ``os``, ``kernel``, ``libc``, ``locale`` (``characters``, ``numbers``), ``encoding``, ``time_zone``.
        ``machine``
            ``architecture``, ``cpu``, ``cpu_level`` (of x86-64; None elsewhere), ``n_cores``, ``memory_bytes`` (rounded
            up, so that nodes of one type agree), and where there are some ``gpus`` and ``gpu_driver``.
        ``container``
            ``kind``, and ``image`` where it is told; None outside of one.
        ``modules``
            Environment modules, in the order of loading.
        ``variables``
            Environment variables that change numbers; see `sciflow.provenance.variables`.
    """
    return surroundings_of(folder, variables=variables, distributions=distributions).record(variables)


def usable_cores() -> int:
    """The cores that this process may run on, which a batch system often restricts."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # pragma: no cover  other systems have no affinity to ask for


def facts_of_this_process() -> dict[str, Any]:
    """What goes with the runs of this process, for it may differ between workers of one environment."""
    return own_facts(os.environ, usable_cores())
