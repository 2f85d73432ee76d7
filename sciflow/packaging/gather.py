"""The files that a package is made of, found from a sweep directory alone: code, inputs, artifacts, figures."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import tarfile
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import SciflowError
from sciflow.packaging import layout
from sciflow.packaging.standalone import PICKLES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from sciflow.analysis.results import Results
    from sciflow.packaging.archive import Content
    from sciflow.packaging.scrub import Scrubber
    from sciflow.store.directory import SweepDirectory

_SCRIPT: Final = "__main__/"
_LICENSE: Final = re.compile(r"(?i)(licen[cs]e|copying)(\.(md|txt|rst))?")
_MOST_LICENSE_BYTES: Final = 200_000
_INCH_DPI: Final = 150


@dataclass
class Gathered:
    """Files and what is to be said of them.

    Attributes
    ----------
    members
        Name in the package → bytes, or the file to copy.
    left_out
        What is not there, and why.
    """

    members: dict[str, Content] = field(default_factory=dict[str, "Content"])
    left_out: list[str] = field(default_factory=list[str])

    def add(self, other: Gathered) -> None:
        """Take over what another has."""
        self.members |= other.members
        self.left_out += other.left_out


# --------------------------------------------------------------------------------------------------------------- code


@dataclass(frozen=True, slots=True)
class CodeTree:
    """The frozen code in a package.

    Attributes
    ----------
    files
        What is below ``data/code``.
    script
        The one that makes the sweep, or None with the reason in *why_not*.
    """

    files: Gathered
    script: str | None
    why_not: str = ""


def code_tree(sweep: Path, code: Mapping[str, Any]) -> CodeTree:
    """The code that ran, with its script at the root, so that what it imports is found beside it."""
    gathered = Gathered()
    digest = code.get("tree")
    folder = sweep / "code" / str(digest)
    if not digest or not folder.is_dir():
        gathered.left_out.append("the code: the sweep keeps no frozen copy of what made these results")
        return CodeTree(gathered, None, "the code was not kept")
    paths = {one.relative_to(folder).as_posix(): one for one in sorted(folder.rglob("*")) if one.is_file()}
    scripts = [name for name in paths if name.startswith(_SCRIPT)]
    placed = {name: name for name in paths}
    script, why_not = None, "the tasks come from no script"
    if len(scripts) == 1:
        name = scripts[0].removeprefix(_SCRIPT)
        if re.fullmatch(r"cell\d+\.py", name):
            why_not = "the workflow was written in a notebook or typed"
        elif name in paths and paths[name].read_bytes() != paths[scripts[0]].read_bytes():
            why_not = f"a module has the name of the script, {name}"
        else:
            script, placed[scripts[0]] = name, name
    elif scripts:
        why_not = "the workflow was written in a notebook"
    gathered.members = {f"{layout.CODE}/{placed[name]}": path for name, path in paths.items()}
    return CodeTree(gathered, script, "" if script else why_not)


def git_files(sweep: Path, code: Mapping[str, Any], scrub: Scrubber) -> Gathered:
    """``git.json`` and the patch."""
    gathered = Gathered({layout.GIT: _json(scrub.data(code))})
    repository: Mapping[str, Any] = code.get("repository") or {}
    patch: Mapping[str, Any] = repository.get("patch") or {}
    if patch.get("file"):
        path = sweep / str(patch["file"])
        if path.is_file():
            gathered.members[layout.PATCH] = path
        else:
            gathered.left_out.append("the patch of what was not committed: its file is gone from the sweep")
    elif patch.get("problem"):
        gathered.left_out.append(f"the patch of what was not committed: {patch['problem']}")
    elif repository.get("dirty") and not patch:
        gathered.left_out.append("the patch of what was not committed: it was not recorded")
    return gathered


def tree_archive(sweep: Path, code: Mapping[str, Any]) -> Path | None:
    """The archive of the repository's tree, if the sweep has it."""
    archive: Mapping[str, Any] = (code.get("repository") or {}).get("archive") or {}
    path = sweep / str(archive.get("file", ""))
    return path if archive.get("file") and path.is_file() else None


def license_of(archive: Path | None) -> str | None:
    """The licence file of the repository, from the archive of its tree."""
    if archive is None:
        return None
    with contextlib.suppress(OSError, tarfile.TarError), tarfile.open(archive) as tree:
        for member in tree:
            if member.isfile() and _LICENSE.fullmatch(member.name) and member.size <= _MOST_LICENSE_BYTES:
                file = tree.extractfile(member)
                return file.read().decode("utf-8", "replace") if file else None
    return None


# ------------------------------------------------------------------------------------------------------------- inputs


def inputs(
    definition: Mapping[str, Any], folders: Iterable[Path], most_bytes: int = layout.MOST_INPUT_BYTES
) -> tuple[Gathered, list[dict[str, Any]]]:
    """Declared input files whose content is still what it was, and an entry for each."""
    gathered = Gathered()
    entries: list[dict[str, Any]] = []
    places = list(folders)
    for one, name in zip(definition.get("inputs", ()), input_names(definition), strict=True):
        entry: dict[str, Any] = {"name": name, "path": None, "sha256": one.get("sha256")}
        entry |= {key: one[key] for key in ("size_bytes", "n_files", "made_by") if key in one}
        if one.get("url"):
            entry |= {"url": one["url"], "fetch": f"get it from {one['url']}"}
        elif not one.get("sha256"):
            gathered.left_out.append(f"input {name}: only its size and time of modification are known, not its content")
        elif one.get("n_files"):
            gathered.left_out.append(
                f"input {name}: {one['n_files']:,} files, which are known by the digest of their list"
            )
        elif int(one.get("size_bytes", 0)) > most_bytes:
            entry["fetch"] = "ask the authors, and compare its SHA-256"
            gathered.left_out.append(f"input {name}: {one['size_bytes']:,} bytes; its SHA-256 is in {layout.RECORD}")
        elif (path := _find_input(str(one["name"]), str(one["sha256"]), places)) is None:
            entry["fetch"] = "ask the authors, and compare its SHA-256"
            gathered.left_out.append(f"input {name}: it is not where it was, or has changed since")
        else:
            entry["path"] = f"{layout.INPUTS}/{name}"
            gathered.members[entry["path"]] = path
        entries.append(entry)
    return gathered, entries


def input_names(definition: Mapping[str, Any]) -> list[str]:
    """The names of the inputs of a definition as they may be told, each its own.

    They are below the folder of the inputs, whatever they were declared as: two files in folders of this machine may
    have one name there.
    """
    taken: set[str] = set()
    return [_free(_input_name(str(one["name"])), taken) for one in definition.get("inputs", ())]


def _input_name(name: str) -> str:
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part not in {"..", "/", "."}]
    return parts[-1] if path.is_absolute() and parts else "/".join(parts) or "input"


def _free(name: str, taken: set[str]) -> str:
    """*name*, with a number before its suffix if need be, that is not *taken*; now it is.

    Names that differ in case alone are one to some file systems.
    """
    path, free, number = PurePosixPath(name), name, 1
    while free.casefold() in taken:
        number += 1
        free = str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
    taken.add(free.casefold())
    return free


def _find_input(name: str, digest: str, folders: Iterable[Path]) -> Path | None:
    for folder in folders:
        path = folder / name
        with contextlib.suppress(OSError):
            if path.is_file():
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                        return path
    return None


# ---------------------------------------------------------------------------------------------------------- artifacts


def artifacts(sweep: Path, ids: Iterable[str]) -> tuple[Gathered, dict[str, list[str]], list[str]]:
    """Files that tasks kept for some variants, those by variant, and which of them are pickles."""
    gathered = Gathered()
    by_variant: dict[str, list[str]] = defaultdict(list)
    folder = sweep / "artifacts"
    known = {one.name for one in folder.iterdir()} if folder.is_dir() else set[str]()
    for identity in ids:
        if identity not in known:
            continue
        for path in sorted((folder / identity).rglob("*")):
            if path.is_file() and not path.is_symlink():
                name = f"{layout.ARTIFACTS}/{path.relative_to(folder).as_posix()}"
                gathered.members[name] = path
                by_variant[identity].append(name)
            elif path.is_symlink():
                gathered.left_out.append(f"artifact {path.relative_to(folder).as_posix()}: it is a link")
    pickles = [name for name in gathered.members if name.lower().endswith(PICKLES)]
    return gathered, dict(by_variant), pickles


# ------------------------------------------------------------------------------------------------------------ figures


@contextlib.contextmanager
def plain_look() -> Generator[None]:
    """Figures look as matplotlib and sciflow draw them, whatever the user's ``matplotlibrc`` says."""
    import matplotlib as mpl  # noqa: PLC0415  seldom needed
    import matplotlib.style  # noqa: PLC0415  same

    with matplotlib.style.context("default"), mpl.rc_context({"timezone": "UTC"}):
        yield


def figures(results: Results) -> Gathered:
    """The figures that the workflow asked for, as PNG and SVG."""
    gathered = Gathered()
    try:
        drawn = results.visualize()
    except SciflowError as error:
        gathered.left_out.append(f"figures: {error}")
        return gathered
    taken: set[str] = set()
    for name, figure in drawn.items():
        stem = _free(re.sub(r"[^\w.\-]+", "_", name).strip("._") or "figure", taken)
        gathered.members |= {f"{layout.FIGURES}/{stem}.{kind}": one for kind, one in _images(figure)}
    return gathered


def _images(figure: Any) -> Iterator[tuple[str, bytes]]:
    import matplotlib as mpl  # noqa: PLC0415  seldom needed

    # without dates and with names made from the content: the same figure, the same bytes
    with mpl.rc_context({"svg.hashsalt": "sciflow", "svg.fonttype": "path"}):
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, metadata=metadata, dpi=_INCH_DPI)
            yield kind, buffer.getvalue()


def report(results: Results, made_at: str) -> Gathered:
    """The page of the sweep; it says when its newest result was made, and not when the page was."""
    from sciflow.report.html import render_html  # noqa: PLC0415  brings matplotlib
    from sciflow.report.page import make_page  # noqa: PLC0415  same

    gathered = Gathered()
    try:
        page = replace(make_page(results), made=f"Made by sciflow of what was recorded up to {made_at}.")
        gathered.members[layout.REPORT] = render_html(page).encode()
    except SciflowError as error:
        gathered.left_out.append(f"report.html: {error}")
    return gathered


def prov(results: Results) -> Gathered:
    """The provenance as PROV-JSON, if the package ``prov`` is installed."""
    gathered = Gathered()
    try:
        document: Any = results.to_prov()
        data = json.loads(document.serialize(format="json"))
        gathered.members[layout.PROV] = json.dumps(data, indent=1, sort_keys=True).encode() + b"\n"
    except SciflowError as error:
        gathered.left_out.append(f"prov.json: {error}")
    return gathered


# ------------------------------------------------------------------------------------------------------------- places


def folders_of(directory: SweepDirectory) -> list[Path]:
    """Where inputs and locks may lie: where the sweep was run from and around it, and only then here."""
    path = directory.path.absolute()
    recorded = [str(one["folder"]) for one in reversed(directory.sessions()) if one.get("folder")]
    run_from = [Path(os.path.normpath(path / one)) for one in recorded]
    return list(dict.fromkeys([*run_from, *path.parents[:3], Path.cwd()]))


def _json(data: object) -> bytes:
    return json.dumps(data, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
