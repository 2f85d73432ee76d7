"""Make a package of a workflow and its results."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sciflow.analysis.results import open_results
from sciflow.errors import PackageError, SciflowError, StoreError
from sciflow.packaging.archive import Content, manifest_of, write_archive
from sciflow.packaging.texts import Sources, read_sources, readme, requirements
from sciflow.store.commits import is_consolidated
from sciflow.store.consolidate import consolidate
from sciflow.store.directory import SweepDirectory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sciflow.analysis.origins import Origin
    from sciflow.analysis.results import Results
    from sciflow.workflow.workflow import ExperimentalWorkflow

MANIFEST: Final = "manifest-sha256.txt"
README: Final = "README.md"
PACKAGE_FORMAT: Final = 1

_MADE_BY: Final = frozenset({"fingerprints", "generation", "inputs"})
"""What a definition says of the code and inputs: in a package those that made the results, also if newer ones exist."""

# a sweep may be run at another time, with other resources, or drawn in other ways, and stays the same experiment
_MUST_AGREE: Final = ("name", "seed", "space", "tasks")

_WHAT_FILES_ARE: Final = {
    README: "this text",
    MANIFEST: "SHA-256 of every file but this one and the README",
    "definition.json": "parameters, tasks, figures and requirements, as the sweep recorded them",
    "environment.json": "interpreter, system, machine, packages and numeric libraries of the newest results",
    "package.json": "name, authors and license of the package, and the state of the code",
    "requirements.txt": "the packages with their versions, for pip",
    "results.csv": "one row per variant: id, parameters, status, and outputs of one value",
    "results.h5": "all results as netCDF4/HDF5, arrays included (unless its attribute `sciflow_left_out` names them)",
    "sweep.json": "name, seed and identity of the sweep",
}


@dataclass(frozen=True, slots=True, eq=False)
class Package:
    """A sweep, ready to be written as one file; get one with `sciflow.create_reproducibility_package`.

    Attributes
    ----------
    name
        Of the package, and of its file without ``.zip``.
    """

    name: str
    _facts: Mapping[str, Any] = field(repr=False)
    _members: Mapping[str, Content] = field(repr=False)
    _sources: Sources = field(repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files inside."""
        return tuple(sorted([*self._members, MANIFEST, README]))

    def export(self, directory: Path | str) -> Path:
        """Write ``NAME.zip`` into *directory*, which is made if need be, and return its path.

        A package of that name is replaced, in one step. The same results give the same bytes.

        Raises
        ------
        PackageError
            The file cannot be written.
        """
        path = Path(directory) / f"{self.name}.zip"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_archive(path, self._members, self._complete)
        except OSError as error:
            raise PackageError(f"cannot write the package {path}: {error.strerror or error}") from error
        return path

    def _complete(self, digests: Mapping[str, str]) -> dict[str, bytes]:
        manifest = manifest_of(digests)
        words = {name: _what_is(name) for name in self.files}
        text = readme(self._facts, words, self._sources, hashlib.sha256(manifest).hexdigest())
        return {MANIFEST: manifest, README: text.encode()}


def create_reproducibility_package(
    workflow: ExperimentalWorkflow,
    results: Results,
    package_name: str | None = None,
    *,
    license: str | None = None,  # noqa: A002  what users call it
    authors: str | Iterable[str] = (),
) -> Package:
    """Gather what others need to check and read the results of a sweep.

    Parameters
    ----------
    workflow
        What the results are of; the source of its functions goes into the package where it is the code that ran.
    package_name
        By default the name of the workflow.
    license
        Such as an SPDX identifier, ``"CC-BY-4.0"``.
    authors
        Names, as they shall stand in the package.

    Raises
    ------
    PackageError
        The results are of another workflow, or different code made them, or there are none; or the name cannot name a
        file.
    """
    name = _check_name(workflow.name if package_name is None else package_name)
    directory = SweepDirectory.open(results.directory)
    newest = open_results(results.directory)
    metadata = newest.metadata
    _check_match(workflow, metadata["definition"], results.directory)
    counts = newest.status()
    if not counts["done"] + counts["failed"]:
        raise PackageError(f"nothing is recorded in {results.directory}; run the sweep, then make the package")
    origin = _one_origin(newest, results.directory)
    definition = {
        **metadata["definition"],
        **{key: origin.definition[key] for key in _MADE_BY & origin.definition.keys()},
    }
    sources = read_sources(workflow.tasks, definition.get("fingerprints", {}))
    environment = newest.environment
    environments = {
        one: metadata["environments"][one]
        for one in newest.environment_counts().keys() & metadata["environments"].keys()
    }
    described = {
        "format": PACKAGE_FORMAT,
        "name": name,
        "workflow": workflow.name,
        "authors": [authors] if isinstance(authors, str) else list(authors),
        "license": license,
        "counts": counts,
        "code": origin.code,
    }
    members: dict[str, Content] = {
        "definition.json": _json(definition),
        "environment.json": _json(environment),
        "package.json": _json(described),
        "requirements.txt": requirements(environment).encode(),
        "results.csv": newest.to_dataframe().to_csv(lineterminator="\n").encode(),
        "results.h5": _consolidated(directory),
        "sweep.json": _json(metadata["sweep"]),
        **{f"code/{task}.py": text.encode() for task, text in sources.files.items()},
    }
    if len(environments) > 1:
        members |= {f"environments/{digest}.json": _json(one) for digest, one in environments.items()}
    return Package(name, described, members, sources)


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name.strip() or name.startswith(".") or set(name) & set("/\\\0\n\r"):
        raise PackageError(f"package_name {name!r} cannot name a file; use a text without slashes, such as 'sweep_v1'")
    return name


def _check_match(workflow: ExperimentalWorkflow, recorded: Mapping[str, Any], where: Path) -> None:
    """Raise a PackageError unless *workflow* is what was recorded."""
    if not recorded:
        raise PackageError(f"nothing is recorded in {where}; run the sweep, then make the package")
    try:
        mine: dict[str, Any] = json.loads(_json(workflow.validate().to_dict()))
    except SciflowError as error:
        raise PackageError(f"workflow {workflow.name!r} is not complete: {error}") from error
    different = [part for part in _MUST_AGREE if mine[part] != recorded.get(part)]
    if different:
        raise PackageError(
            f"these results ({where}) are not of the workflow {workflow.name!r} as it is now (what differs: "
            f"{', '.join(different)}); run the sweep with it first, or give the workflow that was run"
        )


def _one_origin(results: Results, where: Path) -> Origin:
    """What made the newest of the results, if the same code and inputs made all of them.

    Raises
    ------
    PackageError
        They did not: a package has one code, and would say that it made every number.
    """
    origins = [one for one in results.origins() if one.n_variants]
    counts: Counter[str] = Counter()
    for one in origins:
        counts[_made_by(one)] += one.n_variants
    if len({one.definition.get("generation") for one in origins}) > 1:
        each = " and ".join(f"{n:,} by {words}" for words, n in counts.items())
        raise PackageError(
            f"the results in {where} were not made by the same code and inputs: {each}; make those of older code again "
            "with Engine(on_stale='rerun') (on the command line: sciflow run --on-stale rerun), then make the package"
        )
    return origins[-1]


def _made_by(origin: Origin) -> str:
    if origin.is_current:
        return "today's"
    return f"revision {origin.definition.get('revision')} of the definition"


def _consolidated(directory: SweepDirectory) -> Path:
    """The consolidated results, written again if they are older than the newest commit."""
    try:
        if not is_consolidated(directory, directory.snapshot()):
            consolidate(directory)
    except StoreError as error:
        raise PackageError(f"the results cannot be packed: {error}") from error
    return directory.path / "results.h5"


def _what_is(name: str) -> str:
    if name.startswith("code/"):
        return "the source of a task's function"
    if name.startswith("environments/"):
        return "one of the environments that results were computed in"
    return _WHAT_FILES_ARE[name]


def _json(data: object) -> bytes:
    return json.dumps(data, indent=1, sort_keys=True).encode() + b"\n"
