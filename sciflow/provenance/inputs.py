"""Content of declared input files, read again only when a file may have changed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import WorkflowError
from sciflow.provenance.address import scrubbed
from sciflow.provenance.digests import WORTH_BYTES, DigestCache, Stamp, cache_folder, stamp_of
from sciflow.quantities import render_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from sciflow.workflow.inputs import Input

MOST_LISTED: Final = 1000
"""Files of one declared input that are listed one by one; of more the record has the digest of their list."""

_RECENT_S: Final = 2.0
"""A file written this lately may be written again within the resolution of its time stamp."""

_WATCH_S: Final = 5.0  # how often files are looked at while tasks may read them, if that takes little
_PATIENCE: Final = 100  # else one part in so many of the driver's time is spent on it

_PIECE_BYTES: Final = 1 << 20
_QUIET_S: Final = 2.0
_TELL_S: Final = 5.0
_MOST_THREADS: Final = 8  # hashing leaves the interpreter to others, and disks serve some readers at once

_digests: dict[tuple[object, ...], str] = {}


def read_inputs(
    inputs: Iterable[Input],
    earlier: Iterable[Mapping[str, Any]] = (),
    *,
    tell: Callable[[str], object] | None = None,
    cache: DigestCache | None = None,
) -> list[dict[str, Any]]:
    """What the declared files hold, as JSON data.

    Parameters
    ----------
    inputs : what was declared
    earlier : results of this function before; a file of the same name, size, times and inode is taken for the same
    tell : called with words about how far it is, when it takes longer than two seconds
    cache : digests of earlier sweeps; by default those in the user's cache folder

    Returns
    -------
    list of dict
        For each file its ``name``, ``sha256``, ``size_bytes``, and ``seen`` (time of modification in ns, inode, time
        of change in ns), which is None when the file is too young to be known by these. A file known by its size and
        time has ``hash`` (``"size-mtime"``) and ``mtime_ns`` instead of a digest. More than `MOST_LISTED` files of one
        input are one entry with ``n_files`` and as ``sha256`` that of their list, as sha256sum prints it. A URL has
        ``name``, ``url`` and the ``sha256`` that its author said. A file that is an artifact of a sweep has
        ``made_by``: ``workflow``, ``sweep`` and ``artifact`` (``<variant>/<name>``).

    Raises
    ------
    WorkflowError
        A file is not there, cannot be read, or does not hold what its author said.
    """
    known = {
        (one["name"], one["size_bytes"], *one["seen"]): one["sha256"]
        for one in earlier
        if one.get("seen") and one.get("sha256")
    }
    listed = {declared: declared.files() for declared in inputs}
    wanted = {
        name: path for declared, files in listed.items() if declared.hash == "content" for name, path in files.items()
    }
    digests = _Reading(known, cache or DigestCache(cache_folder()), tell).read(wanted)
    found: dict[str, dict[str, Any]] = {}
    for declared, files in listed.items():
        for entry in _entries(declared, files, digests):
            found[entry["name"]] = entry
    return [found[name] for name in sorted(found)]


def contents(files: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Name to digest, or what stands for it: what matters of `read_inputs` for results."""
    return {one["name"]: one.get("sha256") or f"{one['size_bytes']} bytes of {one['mtime_ns']} ns" for one in files}


def changed_inputs(inputs: Iterable[Input], before: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the inputs that are not what they were when *before* was read, those that are gone included."""
    was = contents(before)
    try:
        now = contents(read_inputs(inputs, before))
    except WorkflowError:  # one is gone: which ones, is found one by one
        now = {}
        for declared in inputs:
            try:
                now |= contents(read_inputs([declared], before))
            except WorkflowError:
                continue
    return sorted(name for name in {*was, *now} if was.get(name) != now.get(name))


class InputWatch:
    """Looks now and then whether declared files are still what was read, by their sizes and times only.

    Parameters
    ----------
    inputs : what was declared
    entries : what `read_inputs` said of them
    """

    def __init__(self, inputs: Iterable[Input], entries: Iterable[Mapping[str, Any]]) -> None:
        self._inputs = [one for one in inputs if not one.is_url]
        stamps = {one["name"]: _recorded_stamp(one) for one in entries if "url" not in one}
        self._expected = {name: stamp for name, stamp in stamps.items() if stamp is not None}
        # files that their times do not tell apart say nothing, and very many take long to look at
        self._looks = len(self._expected) == len(stamps) <= MOST_LISTED and bool(stamps)
        self._next = 0.0
        self.unchanged_until: float | None = None
        """Until when nothing had changed, in seconds since 1970; None where that is not known."""

    def tick(self) -> None:
        """Look, unless that was a moment ago; after the first change there is nothing more to learn."""
        begun = time.monotonic()
        if not self._looks or begun < self._next:
            return
        moment = time.time()
        self._looks = self._as_expected()
        if self._looks:
            self.unchanged_until = moment
        self._next = begun + max(_WATCH_S, _PATIENCE * (time.monotonic() - begun))

    def _as_expected(self) -> bool:
        try:
            files = {name: path for declared in self._inputs for name, path in declared.files().items()}
            stamps = {name: stamp_of(path.stat()) for name, path in files.items()}
        except (WorkflowError, OSError):
            return False
        return stamps.keys() == self._expected.keys() and all(
            stamps[name][: len(stamp)] == stamp for name, stamp in self._expected.items()
        )


def _recorded_stamp(entry: Mapping[str, Any]) -> Stamp | None:
    """The first parts of the stamp of a file when it was read; None if it was too young, or is many files."""
    if "mtime_ns" in entry:
        return entry["size_bytes"], entry["mtime_ns"]
    return (entry["size_bytes"], *entry["seen"]) if entry.get("seen") else None


def _entries(declared: Input, files: Mapping[str, Path], digests: Mapping[str, _Digest]) -> list[dict[str, Any]]:
    if declared.is_url:
        address = scrubbed(declared.given)
        return [{"name": address, "url": address, "sha256": declared.sha256}]
    if declared.hash == "size-mtime":
        return [_by_time(name, path) for name, path in files.items()]
    found = [digests[name].to_dict(name) | _origin(path) for name, path in files.items()]
    if declared.sha256 and found[0]["sha256"] != declared.sha256:
        raise WorkflowError(
            f"input {declared.given!r} does not hold what the workflow says: its sha256 is {found[0]['sha256']}, "
            f"add_input says {declared.sha256}"
        )
    if len(found) <= MOST_LISTED:
        return found
    text = "".join(f"{one['sha256']}  {one['name']}\n" for one in found)
    return [
        {
            "name": declared.given,
            "sha256": hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest(),
            "size_bytes": sum(one["size_bytes"] for one in found),
            "n_files": len(found),
            "seen": None,
        }
    ]


def _origin(path: Path) -> dict[str, Any]:
    """Which sweep made the file, if it lies among the artifacts of one."""
    for folder in path.parents:
        if folder.name == "artifacts" and folder != path.parent:
            try:
                identity: Any = json.loads((folder.parent / "sweep.json").read_bytes())
                of_sweep = {"workflow": identity["workflow"], "sweep": identity["sweep"]}
            except (OSError, ValueError, KeyError, TypeError):
                continue
            return {"made_by": {**of_sweep, "artifact": path.relative_to(folder).as_posix()}}
    return {}


def _by_time(name: str, path: Path) -> dict[str, Any]:
    try:
        facts = path.stat()
    except OSError as error:
        raise _unreadable(name, path, error) from error
    return {"name": name, "hash": "size-mtime", "size_bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns}


@dataclass(frozen=True, slots=True)
class _Digest:
    sha256: str
    stamp: Stamp
    is_recent: bool

    def to_dict(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "sha256": self.sha256,
            "size_bytes": self.stamp[0],
            "seen": None if self.is_recent else list(self.stamp[1:4]),
        }


@dataclass(slots=True)
class _Reading:
    """Many files being read by some threads."""

    known: Mapping[tuple[object, ...], str]
    cache: DigestCache
    tell: Callable[[str], object] | None
    _lock: Lock = field(default_factory=Lock)
    _n_bytes: int = 0
    _next: float = field(default_factory=lambda: time.monotonic() + _QUIET_S)

    def read(self, files: Mapping[str, Path]) -> dict[str, _Digest]:
        """What each file holds."""
        if len(files) < 2:
            return {name: self._digest(name, path) for name, path in files.items()}
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1, len(files))) as pool:
            return dict(zip(files, pool.map(self._digest, files, files.values()), strict=True))

    def _digest(self, name: str, path: Path) -> _Digest:
        try:
            stamp = stamp_of(path.stat())
            is_recent = abs(time.time_ns() - stamp[1]) < _RECENT_S * 1e9
            digest = None if is_recent else self._known(name, path, stamp)
            if digest is None:
                digest, after = self._content(path, stamp[0])
                is_recent = is_recent or after != stamp
                if not is_recent:
                    self._keep(path, stamp, digest)
        except OSError as error:
            raise _unreadable(name, path, error) from error
        return _Digest(digest, stamp, is_recent)

    def _known(self, name: str, path: Path, stamp: Stamp) -> str | None:
        known = self.known.get((name, *stamp[:4])) or _digests.get((str(path), *stamp))
        if known is None and stamp[0] >= WORTH_BYTES:
            known = self.cache.get(str(path), stamp)
        return known

    def _keep(self, path: Path, stamp: Stamp, digest: str) -> None:
        _digests[(str(path), *stamp)] = digest
        if stamp[0] >= WORTH_BYTES:
            self.cache.put(str(path), stamp, digest)

    def _content(self, path: Path, n_bytes: int) -> tuple[str, Stamp]:
        """Digest of a file, and its stamp when all of it was read."""
        sha256 = hashlib.sha256()
        piece = bytearray(min(_PIECE_BYTES, n_bytes + 1))
        view = memoryview(piece)
        with path.open("rb", buffering=0) as file:
            while n := file.readinto(piece):
                sha256.update(view[:n])
                self._progress(n, path)
            return sha256.hexdigest(), stamp_of(os.fstat(file.fileno()))

    def _progress(self, n: int, path: Path) -> None:
        with self._lock:
            self._n_bytes += n
            if self.tell is None or time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _TELL_S
            self.tell(f"reading inputs for their digests: {render_bytes(self._n_bytes)} so far, now {path.name}")


def _unreadable(name: str, path: Path, error: OSError) -> WorkflowError:
    return WorkflowError(f"input {name!r} cannot be read: {error.strerror}: {path}")
