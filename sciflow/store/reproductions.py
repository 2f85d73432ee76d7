"""Reports of others who computed variants of a sweep again: kept beside it, one file each, named by its content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from sciflow.canonical import content_digest
from sciflow.errors import FormatError, SweepMismatchError
from sciflow.store.atomic import publish, write_error

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.store.directory import SweepDirectory

FOLDER: Final = "reproductions"
KIND: Final = "reproduction-report"

_MOST_BYTES: Final = 64 << 20
_SCHEMA: Final = 1


def keep_reproduction(directory: SweepDirectory, report: Path) -> Path:
    """Add a report (``reproduction-report.json``) to the sweep that it is of; where it is kept.

    Raises
    ------
    FormatError
        It is no such report, or a newer release wrote it.
    SweepMismatchError
        It is of another sweep.
    StoreWriteError
        It cannot be written.
    """
    data = _read(report)
    if (data.get("workflow"), data.get("sweep") or directory.sweep) != (directory.workflow, directory.sweep):
        raise SweepMismatchError(
            f"{report} is of a package of the sweep {data.get('workflow')!r} ({data.get('sweep')}), and "
            f"{directory.path} is {directory.workflow!r} ({directory.sweep})"
        )
    path = directory.path / FOLDER / f"{content_digest(data)}.json"
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    publish(path, json.dumps(data, indent=1).encode())
    return path


def reproductions(directory: SweepDirectory) -> list[dict[str, Any]]:
    """The reports that were added to a sweep, the oldest first."""
    found = [_read(path) for path in sorted((directory.path / FOLDER).glob("*.json"))]
    return sorted(found, key=lambda one: str(one.get("made_at", "")))


def in_short(directory: SweepDirectory) -> list[dict[str, Any]]:
    """What came of each reproduction: when, of which package, in what, how many variants, with which verdict."""
    keys = ("made_at", "package_id", "step", "verdict", "exit_code")
    return [
        {**{key: one.get(key) for key in keys}, "n_variants": len(one.get("variants", ()))}
        for one in reproductions(directory)
    ]


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FormatError(f"{path} is too large for a report")
        data: object = json.loads(path.read_bytes())
    except OSError as error:
        raise FormatError(f"cannot read the report {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise FormatError(f"{path} is no JSON file; give the reproduction-report.json") from error
    report = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    if report.get("kind") != KIND:
        raise FormatError(f"{path} is no report of a reproduction; give the reproduction-report.json")
    if not isinstance(report.get("schema"), int) or report["schema"] > _SCHEMA:
        raise FormatError(f"{path} has schema {report.get('schema')}, this release knows {_SCHEMA}; upgrade sciflow")
    return report
