"""Make a package of a sweep: from its directory alone, in one step, with the same bytes for the same results."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

from sciflow.errors import PackageError, SciflowError, StoreError
from sciflow.packaging import layout
from sciflow.packaging.archive import Content, write_archive
from sciflow.packaging.build import Build
from sciflow.packaging.choice import Choice
from sciflow.store.directory import SweepDirectory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sciflow.analysis.results import Results
    from sciflow.workflow.workflow import ExperimentalWorkflow

What = Literal["all", "results", "code"]

# a sweep may be run at another time, with other resources, or drawn in other ways, and stays the same experiment
_MUST_AGREE: Final = ("name", "seed", "space", "tasks")


@dataclass(frozen=True, slots=True)
class Options:
    """How a package is made.

    Attributes
    ----------
    what
        ``all``, or only the ``results`` without code, environment and inputs, or only the ``code`` with these.
    query
        Only the variants for which a condition holds.
    anonymise
        Leave out names of people, machines and addresses.
    wheels
        Fetch the packages themselves.
    allow_secrets
        Places (``FILE:LINE``, ``FILE``) or texts that look like secrets and are none.
    """

    license: str | None = None
    authors: tuple[str, ...] = ()
    title: str | None = None
    what: What = "all"
    query: str | None = None
    anonymise: bool = False
    wheels: bool = False
    allow_secrets: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Package:
    """A sweep, ready to be written as one file; get one with `sciflow.create_reproducibility_package`.

    Attributes
    ----------
    name
        Of the package, and of its file without ``.zip``.
    id
        SHA-256 of the package's ``tagmanifest-sha256.txt``, once it was exported: who publishes it lets others check
        that theirs is the same. None before.
    notes
        What whoever gives it away should know, once it was exported: variants are missing, no licence is stated.
    """

    name: str
    _directory: SweepDirectory = field(repr=False)
    _options: Options = field(repr=False)
    id: str | None = field(default=None, init=False)
    notes: tuple[str, ...] = field(default=(), init=False)

    def estimate(self) -> dict[str, int]:
        """About how many bytes each part of the package will have, before it is compressed."""
        sizes = {"results": 0, "artifacts": 0, "code and inputs": 0}
        if self._options.what != "code":
            records = sum(path.stat().st_size for path in self._directory.segments.glob("*.seg"))
            sizes["results"] = records
            sizes["artifacts"] = _size_of(self._directory.path / "artifacts")
        if self._options.what != "results":
            definition = self._directory.newest_definition() or {}
            within = [int(one.get("size_bytes") or 0) for one in definition.get("inputs", ())]
            code = [path for path in (self._directory.path / "code").glob("*/") if path.is_dir()]
            sizes["code and inputs"] = sum(one for one in within if one <= layout.MOST_INPUT_BYTES) + max(
                map(_size_of, code), default=0
            )
        return sizes

    def export(self, directory: Path | str, *, progress: bool = False) -> Path:
        """Write ``NAME.zip`` into *directory*, which is made if need be, and return its path.

        A package of that name is replaced, in one step. The same results give the same bytes.

        Parameters
        ----------
        progress
            Whether to show a bar.

        Raises
        ------
        PackageError
            The file cannot be written, or what it would hold looks like a secret.
        """
        path = Path(directory) / f"{self.name}.zip"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
                with _Bar(enabled=progress) as bar:
                    build = Build(self.name, self._directory, self._options, Path(folder), bar.say)
                    members = build.members()
                    bar.say("packing", sum(map(_size, members.values())))
                    write_archive(
                        path,
                        members,
                        build.complete,
                        first=layout.FIRST,
                        stored=_is_read_in_place,
                        progress=bar.update,
                    )
                self.id, self.notes = build.id, tuple(build.notes())
        except StoreError as error:
            raise PackageError(f"cannot write the package {path}: {error}") from error
        except OSError as error:
            raise PackageError(f"cannot write the package {path}: {error.strerror or error}") from error
        return path


def create_reproducibility_package(
    workflow: ExperimentalWorkflow,
    results: Results,
    package_name: str | None = None,
    *,
    license: str | None = None,  # noqa: A002  what users call it
    authors: str | Iterable[str] = (),
    title: str | None = None,
    what: What = "all",
    variants: str | None = None,
    anonymise: bool = False,
    wheels: bool = False,
    allow_secrets: Iterable[str] = (),
) -> Package:
    """Gather what others need to check, read and run again what made the results of a sweep.

    Parameters
    ----------
    workflow
        What the results are of.
    package_name
        By default the name of the workflow.
    license
        Such as an SPDX identifier, ``"CC-BY-4.0"``.
    authors
        Names, as they shall stand in the package.
    title
        What the package is called where it is listed; by default its name.
    what
        ``"all"``, ``"results"`` (without code, environment and inputs), or ``"code"`` (only these).
    variants
        Only those for which this condition holds, as of `Results.query`.
    anonymise
        For a review in which authors are not to be known: no names of people, machines and addresses.
    wheels
        Also the packages that it needs, for machines without a network; pip fetches them.
    allow_secrets
        Places (``"code/study.py:12"``) or texts that look like secrets and are none.

    Raises
    ------
    PackageError
        The results are of another workflow, or different code made them, or there are none; or the name cannot name a
        file.
    """
    directory = SweepDirectory.open(results.directory)
    _check_match(workflow, directory.newest_definition() or {}, results.directory)
    options = Options(
        license=license,
        authors=(authors,) if isinstance(authors, str) else tuple(authors),
        title=title,
        what=what,
        query=variants,
        anonymise=anonymise,
        wheels=wheels,
        allow_secrets=tuple(allow_secrets),
    )
    return package_of_sweep(directory, workflow.name if package_name is None else package_name, options)


def package_of_sweep(directory: SweepDirectory, name: str | None, options: Options) -> Package:
    """The package of a sweep directory, without the workflow's code.

    Raises
    ------
    PackageError
        There are no results, or different code made them, or the name cannot name a file.
    """
    name = _check_name(directory.workflow if name is None else name)
    if options.what not in get_args(What):
        raise PackageError(f"what={options.what!r} is unknown; it is one of {', '.join(map(repr, get_args(What)))}")
    Choice.of(directory, directory.snapshot(), options.query)
    return Package(name, directory, options)


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name.strip() or name.startswith(".") or set(name) & set("/\\\0\n\r"):
        raise PackageError(f"package_name {name!r} cannot name a file; use a text without slashes, such as 'sweep_v1'")
    return name


def _check_match(workflow: ExperimentalWorkflow, recorded: Mapping[str, Any], where: Path) -> None:
    """Raise a PackageError unless *workflow* is what was recorded."""
    if not recorded:
        raise PackageError(f"nothing is recorded in {where}; run the sweep, then make the package")
    try:
        mine: dict[str, Any] = json.loads(json.dumps(workflow.validate().to_dict()))
    except SciflowError as error:
        raise PackageError(f"workflow {workflow.name!r} is not complete: {error}") from error
    different = [part for part in _MUST_AGREE if mine[part] != recorded.get(part)]
    if different:
        raise PackageError(
            f"these results ({where}) are not of the workflow {workflow.name!r} as it is now (what differs: "
            f"{', '.join(different)}); run the sweep with it first, or give the workflow that was run"
        )


def _is_read_in_place(name: str) -> bool:
    """Whether a member is read inside the zip: not compressed, so that any part of it can be."""
    return name.endswith((".h5", ".seg"))


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


class _Bar:
    """What is being done, then how many bytes of the package are written; without a terminal it shows nothing."""

    def __init__(self, *, enabled: bool) -> None:
        from tqdm import tqdm  # noqa: PLC0415  for people who wait

        shown = "{desc}" if enabled else None
        self._bar = tqdm(unit="B", unit_scale=True, leave=False, bar_format=shown, disable=None if enabled else True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.close()

    def say(self, doing: str, n_bytes: int | None = None) -> None:
        """What comes next, and its bytes where they are known."""
        self._bar.set_description_str(doing)
        if n_bytes is not None:
            self._bar.bar_format = None
            self._bar.reset(n_bytes)

    def update(self, n_bytes: int) -> None:
        """So many bytes more are written."""
        self._bar.update(n_bytes)
