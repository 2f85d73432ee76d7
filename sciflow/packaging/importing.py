"""Make a sweep of a package, which goes on where it stopped: records, arrays, artifacts and code."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import PackageError
from sciflow.packaging import layout
from sciflow.packaging.ancestry import keep_ancestry
from sciflow.packaging.opened import Members, OpenedPackage, open_package
from sciflow.packaging.records import ARRAYS, restore
from sciflow.packaging.safety import within
from sciflow.packaging.standalone import is_record
from sciflow.packaging.verify import verify_package
from sciflow.store.directory import SweepDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT: Final = "project"
"""Folder of an imported sweep with the code and the inputs, as a script finds them."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A sweep that was made of a package.

    Attributes
    ----------
    path
        Its directory.
    project
        The folder from which the script runs, and *script* its name there; None where the package has none.
    counts
        Variants that are done, failed and missing.
    """

    path: Path
    project: Path | None
    script: str | None
    counts: Mapping[str, int]


def import_package(package: Path | str, directory: Path | str = "sweeps", *, name: str | None = None) -> Imported:
    """Make the sweep directory ``DIRECTORY/NAME`` of a package, whole or not at all.

    The package is verified first; nothing of it is run.

    Parameters
    ----------
    name
        By default that of the workflow, under which its script finds the sweep.

    Raises
    ------
    PackageError
        The package is damaged, has no results, or the sweep is there already.
    """
    report = verify_package(package)
    # one that is incomplete, without code say, may still have records to go on from
    wrong = [one for one in report.errors if one.check != "completeness"]
    if wrong:
        problems = "; ".join(str(one) for one in wrong[:3])
        raise PackageError(f"{package} is not whole, and was not imported ({problems}); see: sciflow verify {package}")
    opened = open_package(package)
    if f"{layout.RECORDS}/sweep.json" not in opened.members.sizes:
        raise PackageError(f"{package} was made without results, so there is no sweep to continue; run its code")
    target = within(Path(directory), _folder_name(str(opened.record["workflow"]) if name is None else name))
    if target.exists():
        raise PackageError(f"{target} is there already, and nothing is overwritten; give another --directory")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            sweep = Path(folder) / "sweep"
            _build(opened, sweep)
            keep_ancestry(sweep, report.package_id, opened.record)
            sweep.chmod(0o755)
            os.rename(sweep, target)  # noqa: PTH104  fails where somebody else was first
    except OSError as error:
        raise PackageError(f"cannot write the sweep {target}: {error.strerror or error}") from error
    script: str | None = (opened.record.get("run") or {}).get("script")
    project = target / PROJECT
    return Imported(target, project if project.is_dir() else None, script, opened.record["counts"])


def _folder_name(name: str) -> str:
    if name in {"", ".", ".."} or name.startswith(".") or set(name) & set("/\\\0"):
        raise PackageError(f"{name!r} cannot name a folder; give another with --name")
    return name


def _build(opened: OpenedPackage, sweep: Path) -> None:
    members = opened.members
    with tempfile.TemporaryDirectory(dir=sweep.parent) as folder:
        records = Path(folder)
        _refuse_others(opened)
        members.copy(layout.RECORDS, records)
        shutil.copytree(records, sweep, ignore=shutil.ignore_patterns("*.seg", ARRAYS))
        (sweep / "segments").mkdir(exist_ok=True)
        _restore(members, SweepDirectory.open(records), sweep / "segments")
    members.copy(layout.ARTIFACTS, sweep / "artifacts")
    _place_code(opened, sweep)
    if layout.RESULTS_FILE in members.sizes:
        with members.opened(layout.RESULTS_FILE) as source, (sweep / "results.h5").open("xb") as file:
            shutil.copyfileobj(source, file, 1 << 20)


def _refuse_others(opened: OpenedPackage) -> None:
    others = [one for one in opened.files if one.startswith(f"{layout.RECORDS}/") and not is_record(one)]
    if others:
        raise PackageError(f"{opened.path} has {others[0]} among its records, which no package has; do not use it")


def _restore(members: Members, records: SweepDirectory, segments: Path) -> None:
    """Write the segment with the arrays that the package has in its results file only."""
    if layout.RESULTS_FILE not in members.sizes:
        restore(records, {}, segments)
        return
    import h5py  # noqa: PLC0415  brings the HDF5 library

    with members.opened(layout.RESULTS_FILE) as raw, h5py.File(raw, "r") as results:
        restore(records, results, segments)


def _place_code(opened: OpenedPackage, sweep: Path) -> None:
    """The frozen code where sweeps keep it, and a copy with its inputs from which the script runs."""
    members, record = opened.members, opened.record
    if not any(name.startswith(f"{layout.CODE}/") for name in members.sizes):
        return
    code: Mapping[str, Any] = record.get("code") or {}
    script = (record.get("run") or {}).get("script")
    project = sweep / PROJECT
    members.copy(layout.CODE, project)
    if frozen := code.get("frozen"):
        tree = sweep / "code" / _folder_name(str(frozen))
        shutil.copytree(project, tree)
        if script:
            place = within(tree / "__main__", str(script))
            place.parent.mkdir(parents=True)
            within(tree, str(script)).rename(place)
    if code.get("patch") in members.sizes:
        (sweep / "code").mkdir(exist_ok=True)
        # the name that its session knows, so that a package of this sweep has it again
        name = f"{code.get('tree')}.{str(code.get('commit'))[:12]}.patch"
        within(sweep / "code", _folder_name(name)).write_bytes(members.read(layout.PATCH))
    members.copy(layout.INPUTS, project)
