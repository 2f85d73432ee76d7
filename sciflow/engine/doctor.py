"""Doctor: whether sweeps will work here, found out in about a minute."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from sciflow.batch.nodes import find_nodes
from sciflow.batch.site import detect, find_site
from sciflow.clusters.keys import keys_folder, new_keys
from sciflow.engine.check import Check, wrong
from sciflow.engine.disk import IN_MEMORY, look_at_disk, time_commits
from sciflow.engine.probe import versions
from sciflow.engine.trial import PREFIX, try_worker
from sciflow.errors import BatchError, SiteError, SweepError
from sciflow.quantities import render_bytes, render_seconds

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from sciflow.batch.nodes import Node
    from sciflow.batch.site import Place, Site
    from sciflow.batch.system import BatchSystem, Limits
    from sciflow.clusters.protocol import Cluster

WhereFrom = Literal["local", "slurm", "pbs"]

_WALLTIME_S: Final = 300  # of the one job
_SLOW_S: Final = 0.1
_LITTLE_BYTES: Final = 2**30
_FEW_FILES: Final = 10_000
_MOST_KINDS: Final = 3
_PROGRAMS: Final = {
    "slurm": (("sbatch", "squeue", "scancel", "scontrol"), ("sinfo", "sacct", "sacctmgr")),
    "pbs": (("qsub", "qstat", "qdel"), ("pbsnodes",)),
}
"""What is needed, and what tells more."""


def examine(
    where: WhereFrom | None, directory: Path, *, queue: str | None = None, wait_s: float = 60.0
) -> Generator[Check]:
    """Look at everything that a sweep needs, one thing after another, and try one worker in the end.

    Parameters
    ----------
    where
        Where workers are to come from; None is the batch system that is here, or else this machine.
    directory
        Where sweeps are kept; it need not exist.
    queue
        The partition or queue; None is that of ``site.toml``, or the batch system's default.
    wait_s
        How long the job of the one worker may wait in the queue; then it is cancelled.
    """
    yield _software()
    checks: list[Check] = []
    site: Site | None = None
    try:
        site = None if where == "local" else _site(where, directory)
    except SiteError as error:
        yield wrong("site", error)
        return
    for check in _all_but_worker(site, directory, queue):
        checks.append(check)
        yield check
    if any(check.state == "wrong" for check in checks):
        yield Check("job" if site else "worker", "untried", "not tried, since that above is in the way")
        return
    cluster, system = _cluster(site, queue), None if site is None else site.batch_system()
    yield from try_worker(cluster, system, _existing(directory), wait_s)


def _all_but_worker(site: Site | None, directory: Path, queue: str | None) -> Iterator[Check]:
    if site is None:
        yield Check("site", "well", f"workers are processes of this machine ({platform.node()})")
    else:
        yield _described(site, queue)
        yield from _batch_system(site, queue)
    yield from _folder(directory)
    if site is not None:
        yield _keys()


def _cluster(site: Site | None, queue: str | None) -> Cluster:
    if site is None:
        from sciflow.clusters.local import LocalCluster  # noqa: PLC0415  of the three one is needed

        return LocalCluster(workers=1)
    from sciflow.clusters.batch import PBSCluster, SlurmCluster  # noqa: PLC0415  same

    if site.system == "slurm":
        return SlurmCluster(partition=queue, workers=1, walltime=_WALLTIME_S)
    return PBSCluster(queue=queue, workers=1, walltime=_WALLTIME_S)


# --------------------------------------------------------------------------------------------------------------- here


def _software() -> Check:
    found = versions()
    says = ", ".join(f"{name} {version}" for name, version in found.items())
    return Check("here", "well", f"{says} on {platform.node()}", "", {"versions": found, "host": platform.node()})


def _site(where: Literal["slurm", "pbs"] | None, directory: Path) -> Site | None:
    """What is true of the cluster; None on a machine that is no part of one, where nobody asks for one."""
    try:
        return find_site(directory.absolute() / "any", where)
    except SiteError as error:
        if where is None and str(error) == _why_none():
            return None
        raise


def _why_none() -> str:
    try:
        detect()
    except SiteError as error:
        return str(error)
    return ""


def _described(site: Site, queue: str | None) -> Check:
    word = "partition" if site.system == "slurm" else "queue"
    places = [_place_words(site.default, word, queue)]
    places += [f"[{name}] {_place_words(place, word, None)}" for name, place in site.places]
    also = {"interface": site.interface, "scratch": site.scratch, "python": site.python, "max_jobs": site.max_jobs}
    said = [f"{name} {value}" for name, value in also.items() if value is not None]
    found = f"{site.file} says: " if site.file else "no site.toml, found out: "
    facts = {"file": None if site.file is None else str(site.file), "system": site.system}
    return Check("site", "well", f"{found}{site.system}; {'; '.join([*places, *said])}", "", facts)


def _place_words(place: Place, word: str, queue: str | None) -> str:
    parts = [f"{word} {queue or place.queue or 'by default'}"]
    if place.account:
        parts.append(f"account {place.account}")
    if place.walltime_s is not None:
        parts.append(f"walltime {render_seconds(place.walltime_s)}")
    if place.prologue:
        parts.append("1 line of prologue" if len(place.prologue) == 1 else f"{len(place.prologue)} lines of prologue")
    return ", ".join([*parts, *place.options])


# -------------------------------------------------------------------------------------------------- the batch system


def _batch_system(site: Site, queue: str | None) -> Iterator[Check]:
    needed, useful = _PROGRAMS[site.system]
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        remedy = "run this on a host from which jobs can be submitted, or load the module that brings them"
        yield Check("programs", "wrong", f"not on PATH: {', '.join(missing)}", remedy)
        return
    there = [name for name in (*needed, *useful) if shutil.which(name)]
    yield Check("programs", "well", ", ".join(there), "", {"programs": there})
    system = site.batch_system()
    begun = time.perf_counter()
    try:
        n_jobs = system.n_jobs()
    except BatchError as error:
        yield wrong("answers", error, "ask the site's staff; jobs cannot be submitted while it does not answer")
        return
    took_s = time.perf_counter() - begun
    says = f"{site.system} answers after {render_seconds(took_s)}; you have {_number(n_jobs, 'job')} now"
    yield Check("answers", "well", says, "", {"answer_s": round(took_s, 3), "n_jobs": n_jobs})
    chosen = queue or site.default.queue
    try:
        yield _limits(system.limits(chosen), n_jobs, site.default.walltime_s)
    except BatchError as error:
        yield wrong("limits", error, "sinfo lists partitions" if site.system == "slurm" else "qstat -Q lists queues")
        return
    yield from _other_places(site, system)
    yield _nodes(find_nodes(site.system, chosen))
    yield _history(system)


def _other_places(site: Site, system: BatchSystem) -> Iterator[Check]:
    """Tables of the site file whose queue is not there; jobs of other kinds do without them."""
    for name, place in site.places:
        try:
            system.limits(place.queue)
        except BatchError as error:
            yield Check(f"[{name}]", "doubtful", str(error), f"correct this table in {site.file}")


def _limits(limits: Limits, n_jobs: int, walltime_s: int | None) -> Check:
    said: list[str] = []
    if limits.walltime_s is not None:
        said.append(f"jobs last {render_seconds(limits.walltime_s)} at most")
    if limits.n_submitted is not None:
        said.append(f"{_number(limits.n_submitted, 'job')} waiting and running")
    if limits.n_running is not None:
        said.append(f"{_number(limits.n_running, 'job')} running")
    if limits.n_cores is not None:
        said.append(f"{_number(limits.n_cores, 'core')} at the same time")
    says = ", ".join(said) or "none that users are told of"
    facts = {name: getattr(limits, name) for name in ("walltime_s", "n_submitted", "n_running", "n_cores")}
    if limits.n_submitted is not None and n_jobs >= limits.n_submitted:
        return Check("limits", "doubtful", says, "no job more is taken until some of yours have ended", facts)
    if limits.walltime_s is not None and (walltime_s or 0) > limits.walltime_s:
        remedy = f"site.toml asks for walltime {render_seconds(walltime_s or 0)}; jobs get what is allowed"
        return Check("limits", "doubtful", says, remedy, facts)
    return Check("limits", "well", says, "", facts)


def _nodes(nodes: Iterable[Node]) -> Check:
    kinds = sorted(nodes, key=lambda node: (node.gpus, node.cores, node.memory_bytes), reverse=True)
    facts = {"nodes": [{"cores": n.cores, "memory_bytes": n.memory_bytes, "gpus": n.gpus} for n in kinds]}
    if not kinds:
        return Check("nodes", "well", "nobody says what they have; what asks for too much waits", "", facts)
    words = [_node_words(node) for node in kinds[:_MOST_KINDS]]
    rest = [f"{len(kinds) - _MOST_KINDS} further kinds"] if len(kinds) > _MOST_KINDS else []
    return Check("nodes", "well", "; ".join([*words, *rest]), "", facts)


def _node_words(node: Node) -> str:
    gpus = f", {_number(node.gpus, 'GPU')}" if node.gpus else ""
    return f"{_number(node.cores, 'core')}, {render_bytes(node.memory_bytes)}{gpus}"


def _history(system: BatchSystem) -> Check:
    try:
        remembers = system.remembers()
    except BatchError as error:
        return Check("history", "doubtful", str(error), "how jobs ended may stay unknown")
    facts = {"remembers": remembers}
    if remembers:
        return Check("history", "well", "it is kept how jobs ended", "", facts)
    if system.name == "pbs":
        return Check("history", "well", "jobs that ended are not remembered; they leave a note themselves", "", facts)
    remedy = "nothing needs to be done: a job that ends while no driver looks has no cause, and its variants run again"
    return Check("history", "doubtful", "no accounting: how jobs ended is known for minutes only", remedy, facts)


# ------------------------------------------------------------------------------------------------------------ folders


def _existing(directory: Path) -> Path:
    """The directory, or the nearest above it that exists."""
    path = directory.absolute()
    return next(one for one in (path, *path.parents) if one.is_dir())


def _folder(directory: Path) -> Iterator[Check]:
    home = _existing(directory)
    remedy = "choose a folder where you may write, with --directory, or Engine(directory=...)"
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=home) as made:
            median_s, longest_s = time_commits(Path(made))
        disk = look_at_disk(home)
    except OSError as error:
        yield wrong("sweeps", error, remedy)
        return
    room = render_bytes(disk.free_bytes) + " free"
    files = "" if disk.n_free_files is None else f", room for {disk.n_free_files:,} files"
    says = f"{directory.absolute()} on {disk.kind or 'an unknown file system'}, {room}{files}"
    facts: dict[str, Any] = {
        "directory": str(directory.absolute()),
        "file_system": disk.kind,
        "free_bytes": disk.free_bytes,
        "n_free_files": disk.n_free_files,
    }
    if disk.free_bytes < _LITTLE_BYTES or (disk.n_free_files is not None and disk.n_free_files < _FEW_FILES):
        yield Check("sweeps", "doubtful", says, "make room, or choose another folder with --directory", facts)
    elif disk.kind in IN_MEMORY:
        yield Check("sweeps", "doubtful", says, "in memory, and gone after a restart; choose another folder", facts)
    else:
        yield Check("sweeps", "well", says, "", facts)
    says = f"on this disk in {render_seconds(median_s)} (median), {render_seconds(longest_s)} (slowest of 10)"
    facts = {"median_s": round(median_s, 5), "longest_s": round(longest_s, 5)}
    if median_s > _SLOW_S:
        yield Check(
            "commits", "doubtful", says, "slow for tasks that take less than a second; is there a faster disk?", facts
        )
    else:
        yield Check("commits", "well", says, "", facts)


def _keys() -> Check:
    try:
        with new_keys(f"doctor-{os.getpid()}"):
            pass
    except (SweepError, OSError) as error:
        return wrong("keys", error)
    folder = keys_folder()
    kind = look_at_disk(folder).kind
    says, facts = f"{folder} is yours alone (on {kind})", {"folder": str(folder), "file_system": kind}
    if kind in IN_MEMORY or folder.absolute().is_relative_to(tempfile.gettempdir()):
        remedy = "nodes may not see it; set SCIFLOW_KEYS to a folder in your home"
        return Check("keys", "doubtful", says, remedy, facts)
    return Check("keys", "well", says, "", facts)


def _number(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
