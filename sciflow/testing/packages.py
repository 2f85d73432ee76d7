"""Packages made by hand, and ways of damaging them: what checks of packages are tried on.

For tests of whatever reads packages::

    files = handmade_files(tmp_path)
    for change, code in TAMPERED.values():
        assert verify_package(write_zip(tmp_path / "x.zip", change(files))).exit_code == code
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import pickle
import shutil
import stat
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciflow.analysis.results import open_results
from sciflow.packaging import layout, standalone
from sciflow.provenance.environment import capture_environment
from sciflow.store.consolidate import consolidate
from sciflow.store.directory import SweepDirectory
from sciflow.testing.sweeps import known_outcome_sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from sciflow.analysis.results import Results

SCRIPT = b"""import sciflow
workflow = sciflow.ExperimentalWorkflow("known_outcome", seed=7)
"""
DATA = b"1,2,3\n"

Files = dict[str, bytes]


def sha256(content: bytes) -> str:
    """The digest of a content, as manifests have it."""
    return hashlib.sha256(content).hexdigest()


def dump(data: Any) -> bytes:
    """JSON as a package has it."""
    return json.dumps(data, indent=1).encode()


def handmade_files(folder: Path) -> Files:
    """The files of a good package of a known sweep."""
    sweep = known_outcome_sweep(folder / "sweep")
    results = open_results(sweep.path)
    environment = capture_environment()
    digest = sha256(dump(environment))
    definition = max((sweep.path / "definition").iterdir()).read_bytes()
    counts = results.status()
    files: Files = {
        f"{layout.CODE}/study.py": SCRIPT,
        f"{layout.INPUTS}/data.csv": DATA,
        layout.DEFINITION: definition,
        layout.SWEEP: (sweep.path / "sweep.json").read_bytes(),
        layout.SPACE: dump(json.loads(definition)["space"]),
        layout.environment_file(digest): dump(environment),
        layout.EXACT_REQUIREMENTS: b"numpy==2.1.0 --hash=sha256:" + b"0" * 64 + b"\n",
        **_table(results, folder / "table"),
        layout.GIT: dump({"commit": "0123abcd", "dirty": True}),
        layout.PATCH: b"--- a/study.py\n+++ b/study.py\n",
    }
    consolidate(SweepDirectory.open(sweep.path))
    files[layout.RESULTS_FILE] = (sweep.path / "results.h5").read_bytes()
    for path in sorted(sweep.path.rglob("*")):
        name = f"{layout.RECORDS}/{path.relative_to(sweep.path).as_posix()}"
        if path.is_file() and standalone.is_record(name):
            files[name] = path.read_bytes()
    record = {
        "schema": 2,
        "sciflow": "0.1.0",
        "name": "known_v1",
        "workflow": "known_outcome",
        "what": "all",
        "running": False,
        "counts": counts,
        "n_variants": sum(counts.values()),
        "files": {
            "definition": layout.DEFINITION,
            "sweep": layout.SWEEP,
            "results": layout.RESULTS_FILE,
            "table": layout.TABLE,
            "records": layout.RECORDS,
            "code": layout.CODE,
            "requirements": layout.EXACT_REQUIREMENTS,
            "environment": layout.environment_file(digest),
        },
        "run": {"script": "study.py", "workflow": "known_outcome"},
        "inputs": [{"name": "data.csv", "path": f"{layout.INPUTS}/data.csv", "sha256": sha256(DATA)}],
        "code": {"commit": "0123abcd", "dirty": True, "patch": layout.PATCH},
        "seed": 7,
        "environments": {digest: layout.environment_file(digest)},
    }
    return {**files, **_tags(files, record)}


def _table(results: Results, folder: Path) -> Files:
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that arrays are left out of it
        path = results.export(folder / Path(layout.TABLE).name)
    names = {layout.TABLE: path, layout.DICTIONARY: path.with_name(Path(layout.DICTIONARY).name)}
    return {name: file.read_bytes() for name, file in names.items() if file.exists()}


def _tags(payload: Files, record: dict[str, Any]) -> Files:
    """The tag files around a payload."""
    files: Files = {
        layout.RECORD: dump(record),
        layout.README: b"# known_v1\n",
        layout.VERIFIER: Path(standalone.__file__).read_bytes(),
        layout.BAGIT: b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
    }
    entities = [
        {"@id": name, "@type": "File", "sha256": sha256(content), "contentSize": str(len(content))}
        for name, content in payload.items()
    ]
    files[layout.CRATE] = dump({"@context": layout.RO_CRATE, "@graph": entities})
    return with_manifests({**payload, **files})


def with_manifests(files: Files) -> Files:
    """The same files, and manifests that agree with them: what an editor does who knows BagIt."""
    payload = {name: content for name, content in files.items() if name.startswith(layout.PAYLOAD)}
    oxum = f"Payload-Oxum: {sum(map(len, payload.values()))}.{len(payload)}\n".encode()
    manifest = "".join(f"{sha256(payload[name])}  {name}\n" for name in sorted(payload)).encode()
    files = {**files, layout.BAG_INFO: oxum, layout.MANIFEST: manifest}
    tagged = {name: one for name, one in files.items() if name not in payload and name != layout.TAG_MANIFEST}
    listing = "".join(f"{sha256(tagged[name])}  {name}\n" for name in sorted(tagged)).encode()
    return {**files, layout.TAG_MANIFEST: listing}


def write_zip(path: Path, files: Files) -> Path:
    """Write the files as one archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(name, files[name])
    return path


def write_folder(path: Path, files: Files) -> Path:
    """Write the files as an unpacked package, in place of what is there."""
    shutil.rmtree(path, ignore_errors=True)
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


# ---------------------------------------------------------------------------------------------------------- damages


def with_json(files: Files, name: str, change: Callable[[Any], object]) -> Files:
    """The files with one of them, of JSON, changed."""
    data = json.loads(files[name])
    change(data)
    return {**files, name: dump(data)}


def without(files: Files, *names: str) -> Files:
    """The files less those whose names begin so."""
    return {name: content for name, content in files.items() if not name.startswith(names)}


def in_crate_too(files: Files) -> Files:
    """The metadata rewritten as well: digests and sizes of what is there, no entry of what is not."""
    crate = json.loads(files[layout.CRATE])
    kept = [one for one in crate["@graph"] if one.get("@type") != "File" or one["@id"] in files]
    for one in kept:
        if one.get("@type") == "File":
            content = files[one["@id"]]
            one |= {"sha256": sha256(content), "contentSize": str(len(content))}
    return with_manifests({**files, layout.CRATE: dump({**crate, "@graph": kept})})


def edited_table(files: Files, edit: Callable[[list[list[str]]], list[list[str]]]) -> Files:
    """The files with the rows of the table changed."""
    rows = list(csv.reader(io.StringIO(files[layout.TABLE].decode())))
    target = io.StringIO()
    csv.writer(target, lineterminator="\n").writerows(edit(rows))
    return {**files, layout.TABLE: target.getvalue().encode()}


def set_cell(column: str, value: str) -> Callable[[list[list[str]]], list[list[str]]]:
    """An edit of the first row that is done."""

    def edit(rows: list[list[str]]) -> list[list[str]]:
        header = rows[0]
        row = next(row for row in rows if "done" in row)
        row[header.index(column)] = value
        return rows

    return edit


def drop_row(rows: list[list[str]]) -> list[list[str]]:
    """An edit that takes the first variant away."""
    return [rows[0], *rows[2:]]


def _input(files: Files) -> Files:
    return {**files, f"{layout.INPUTS}/data.csv": b"1,2,4\n"}


def _code(files: Files) -> Files:
    return {**files, f"{layout.CODE}/study.py": SCRIPT.replace(b"seed=7", b"seed=8")}


TAMPERED: dict[str, tuple[Callable[[Files], Files], int]] = {
    "a result changed": (lambda f: edited_table(f, set_cell("energy", "11.5")), 4),
    "a result changed, manifests rewritten": (
        lambda f: with_manifests(edited_table(f, set_cell("energy", "11.5"))),
        5,
    ),
    "a result changed, manifests and metadata rewritten": (
        lambda f: in_crate_too(edited_table(f, set_cell("energy", "11.5"))),
        5,
    ),
    "the results deleted, manifests rewritten": (lambda f: with_manifests(without(f, layout.RESULTS_FILE)), 5),
    "a variant deleted, manifests and metadata rewritten": (lambda f: in_crate_too(edited_table(f, drop_row)), 5),
    "a file added to the payload": (lambda f: {**f, "data/results/more.csv": b"1\n"}, 4),
    "a parameter changed, manifests and metadata rewritten": (
        lambda f: in_crate_too(edited_table(f, set_cell("layers", "7"))),
        5,
    ),
    "the code changed, manifests rewritten": (lambda f: with_manifests(_code(f)), 5),
    "an input changed, manifests and metadata rewritten": (lambda f: in_crate_too(_input(f)), 5),
    "the locks deleted, manifests and metadata rewritten": (
        lambda f: in_crate_too(without(f, f"{layout.ENVIRONMENT}/requirements")),
        5,
    ),
    "the patch deleted, manifests and metadata rewritten": (lambda f: in_crate_too(without(f, layout.PATCH)), 5),
    "a file deleted": (lambda f: without(f, layout.DEFINITION), 4),
    "the metadata name a missing file": (
        lambda f: with_manifests(
            with_json(f, layout.CRATE, lambda c: c["@graph"].append({"@id": "data/none.csv", "@type": "File"}))
        ),
        5,
    ),
}
"""Each of the damages that checks of packages are measured by: what it does, and the exit code of `sciflow verify`."""


# ------------------------------------------------------------------------------------------------ malicious archives


def _named(name: str) -> Callable[[zipfile.ZipFile], None]:
    return lambda archive: archive.writestr(name, b"x")


def _link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("data/code/link")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc")


def _twice(archive: zipfile.ZipFile) -> None:
    archive.writestr("data/twice.txt", b"1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns, and writes it all the same
        archive.writestr("data/twice.txt", b"2")


def _two_spellings(archive: zipfile.ZipFile) -> None:
    archive.writestr("data/Twice.txt", b"1")
    archive.writestr("data/twice.TXT", b"2")


def _file_and_folder(archive: zipfile.ZipFile) -> None:
    archive.writestr("data/both", b"1")
    archive.writestr("data/both/below/it", b"2")


def _other_compression(archive: zipfile.ZipFile) -> None:
    archive.writestr("data/x", b"1", compress_type=zipfile.ZIP_BZIP2)


def _pickled(archive: zipfile.ZipFile) -> None:
    archive.writestr("data/results/model.bin", pickle.dumps([1]))


MALICIOUS: dict[str, Callable[[zipfile.ZipFile], None]] = {
    "a name that climbs": _named("../outside.txt"),
    "a name that climbs from within": _named("data/../../outside.txt"),
    "an absolute name": _named("/outside-of-it.txt"),
    "a backslash": _named("data\\..\\outside.txt"),
    "a drive": _named("C:outside.txt"),
    "a name of nothing": _named("data//x"),
    "a line in a name": _named("data/x\ny"),
    "a symbolic link": _link,
    "one name twice": _twice,
    "two spellings of a name": _two_spellings,
    "a file that is a folder": _file_and_folder,
    "a rare compression": _other_compression,
    "a pickle among the results": _pickled,
}
"""What is added to an archive; each is refused with exit code 4, and nothing is written."""
