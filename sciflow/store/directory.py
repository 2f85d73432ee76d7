"""The sweep directory: who it belongs to, what was defined, and where its parts are."""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from sciflow.canonical import from_plain
from sciflow.errors import FormatError, StoreError, SweepMismatchError
from sciflow.store.atomic import is_temporary, numbered, publish, sync_directory, write_error
from sciflow.store.environments import keep_environment
from sciflow.store.frame import newer_format
from sciflow.store.segment import SegmentWriter, is_gone
from sciflow.store.snapshot import SESSION_SUFFIX, Snapshot, take_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

DIRECTORY_FORMAT: Final = 1
_MOST_READINGS = 20
_SUBDIRECTORIES = ("definition", "environment", "sessions", "segments")


@dataclass(frozen=True, slots=True)
class SweepDirectory:
    """A directory that holds one sweep; get one with `create_or_open` (to write) or `open` (to read).

    Attributes
    ----------
    path
        Where it is.
    identity
        The content of ``sweep.json``, which never changes: format, workflow, seed, created, sweep.
    """

    path: Path
    identity: Mapping[str, Any] = field(hash=False)

    @classmethod
    def create_or_open(cls, path: Path | str, workflow_name: str, seed: int) -> Self:
        """The sweep of this workflow in *path*, created when nothing is there.

        Raises
        ------
        SweepMismatchError
            The directory belongs to another workflow, or to this one with another seed.
        FormatError
            It holds something else, or was written by a newer release.
        StoreWriteError
            It cannot be created.
        """
        path = Path(path).absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            names = os.listdir(path)  # noqa: PTH208  names only, no Path objects
        except OSError as error:
            raise write_error(path, error) from error
        marker = path / "sweep.json"
        if marker.name not in names:
            foreign = sorted(name for name in names if not is_temporary(name) and name != marker.name)
            # another process may have created the sweep since the directory was listed
            if foreign and not marker.exists():
                raise FormatError(
                    f"{path} is not empty and is not a sweep (it has {', '.join(foreign[:5])}); "
                    "give an empty or new directory"
                )
            publish(marker, _new_identity(workflow_name, seed))
        sweep = cls.open(path)
        _compare(path, sweep.identity, workflow_name, seed)
        try:
            for name in _SUBDIRECTORIES:
                (path / name).mkdir(exist_ok=True)
            sync_directory(path)
            sync_directory(path.parent)
        except OSError as error:
            raise write_error(path, error) from error
        return sweep

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """The sweep in *path*, to read; nothing is written and no lock is taken.

        Raises
        ------
        FormatError
            There is no sweep, or it was written by a newer release.
        """
        path = Path(path).absolute()
        marker = path / "sweep.json"
        try:
            identity = json.loads(marker.read_bytes())
            version, _, _ = identity["format"], identity["workflow"], identity["seed"]
        except (FileNotFoundError, NotADirectoryError):
            raise FormatError(f"there is no sweep in {path}; give the directory that contains sweep.json") from None
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"{marker} is damaged; restore it from a copy") from error
        if version > DIRECTORY_FORMAT:
            raise newer_format(marker, version, DIRECTORY_FORMAT)
        return cls(path, identity)

    @property
    def workflow(self) -> str:
        """The name of the workflow that the sweep is of."""
        return self.identity["workflow"]

    @property
    def sweep(self) -> str:
        """What tells this sweep from all others: a UUID."""
        return self.identity["sweep"]

    @property
    def seed(self) -> int:
        """The seed that all random numbers of the sweep derive from."""
        return self.identity["seed"]

    @property
    def segments(self) -> Path:
        """Where the segments are."""
        return self.path / "segments"

    @property
    def session_files(self) -> Path:
        """Where the files of the drivers' sessions are."""
        return self.path / "sessions"

    # ---------------------------------------------------------------------------------- definition

    def definitions(self) -> list[dict[str, Any]]:
        """The revisions of the definition, oldest first, each with its number as ``revision``."""
        return [_read_json(path) for _, path in numbered(self.path / "definition", ".json")]

    def newest_definition(self) -> dict[str, Any] | None:
        """The newest revision, None when nothing was defined yet."""
        paths = [path for _, path in numbered(self.path / "definition", ".json")]
        return _read_json(paths[-1]) if paths else None

    def newest_revision(self) -> int:
        """The number of the newest revision, 0 when nothing was defined yet."""
        return max((number for number, _ in numbered(self.path / "definition", ".json")), default=0)

    def add_definition(self, data: Mapping[str, Any]) -> int:
        """Append a revision and return its number; the newest one's when it says the same.

        Raises
        ------
        StoreWriteError
            It cannot be written.
        """
        plain: dict[str, Any] = json.loads(json.dumps(dict(data)))
        while True:
            newest = self.newest_definition() or {"revision": 0}
            revision: int = newest["revision"]
            if newest == {**plain, "revision": revision}:
                return revision
            revision += 1
            content = json.dumps({"revision": revision, **plain}, indent=1).encode()
            if publish(self.path / "definition" / f"{revision:06d}.json", content):
                return revision

    # --------------------------------------------------------------------------------- environment

    def add_environment(self, data: Mapping[str, Any]) -> str:
        """Keep the description of an environment, once, and return its digest.

        Raises
        ------
        StoreWriteError
            It cannot be written.
        """
        return keep_environment(self.path, data)

    def environments(self) -> dict[str, dict[str, Any]]:
        """The environments that variants ran in, by digest."""
        return {path.stem: _read_json(path) for path in sorted((self.path / "environment").glob("*.json"))}

    # ------------------------------------------------------------------------------------ sessions

    def sessions(self) -> list[dict[str, Any]]:
        """What is known of each driver's session, oldest first; ``ended`` is there when it ended well."""
        found: list[dict[str, Any]] = []
        for number, path in numbered(self.session_files, SESSION_SUFFIX):
            end = self.session_files / f"{number:06d}.end"
            found.append({**_read_json(path), **(_read_json(end) if end.exists() else {}), "session": number})
        return found

    # ------------------------------------------------------------------------------------- records

    def snapshot(self, earlier: Snapshot | None = None) -> Snapshot:
        """All committed frames now; with an *earlier* snapshot, only what was appended since is read.

        Raises
        ------
        FormatError
            A newer release wrote to the sweep.
        """
        return take_snapshot(self.path, earlier)

    def read(self, function: Callable[[Snapshot], T], snapshot: Snapshot | None = None) -> tuple[T, Snapshot]:
        """What *function* makes of a snapshot, and that snapshot.

        By default of what is committed now. When a compaction takes away what it was reading, the function is
        called again with a newer snapshot.

        Raises
        ------
        StoreError
            The sweep changes faster than it can be read.
        """
        for _ in range(_MOST_READINGS):
            snapshot = self.snapshot() if snapshot is None else snapshot
            try:
                return function(snapshot), snapshot
            except OSError as error:
                if not is_gone(error):
                    raise
            snapshot = self.snapshot(snapshot)
        raise StoreError(f"{self.path} changes faster than it can be read; try again")

    def segment_writer(self, session: int) -> SegmentWriter:
        """A writer for this process, working for *session*."""
        return SegmentWriter(self.segments, session)


def frozen_defaults(definitions: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """The defaults that revisions of a definition declared, by parameter; recorded variants rely on them."""
    frozen: dict[str, object] = {}
    for definition in definitions:
        frozen |= {name: from_plain(value) for name, value in definition.get("defaults", {}).items()}
    return frozen


def _new_identity(workflow_name: str, seed: int) -> bytes:
    identity = {
        "format": DIRECTORY_FORMAT,
        "workflow": workflow_name,
        "seed": seed,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "sweep": str(uuid.uuid4()),
    }
    return json.dumps(identity, indent=1).encode() + b"\n"


def _compare(path: Path, identity: Mapping[str, Any], workflow_name: str, seed: int) -> None:
    if identity["workflow"] != workflow_name:
        raise SweepMismatchError(
            f"{path} holds the sweep of workflow {identity['workflow']!r}, not of {workflow_name!r}; "
            "give the workflow another name or the engine another directory"
        )
    if identity["seed"] != seed:
        raise SweepMismatchError(
            f"{path} was made with seed {identity['seed']}, the workflow now has seed {seed}; "
            f"set seed={identity['seed']}, or give another directory"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", json.loads(path.read_bytes()))
    except ValueError as error:
        raise FormatError(f"{path} is damaged; restore it from a copy") from error
