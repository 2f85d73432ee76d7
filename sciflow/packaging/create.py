"""Make a package of a sweep: from its directory alone, in one step, with the same bytes for the same results."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import importlib.resources
import json
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from sciflow import __version__
from sciflow.analysis.results import open_results
from sciflow.analysis.surroundings import count_environments
from sciflow.analysis.variants import Variants
from sciflow.errors import PackageError, SciflowError, StoreError
from sciflow.packaging import gather, layout, texts
from sciflow.packaging.archive import Content, write_archive
from sciflow.packaging.bag import manifests, tag_manifest
from sciflow.packaging.crate import Told, render_crate
from sciflow.packaging.describe import Described
from sciflow.packaging.locks import EnvironmentFiles, download_wheels, environment_files, found_locks
from sciflow.packaging.records import Selection, render_json, slim_records, stage_records
from sciflow.packaging.rewrite import keys_of_ids
from sciflow.packaging.scrub import Scrubber
from sciflow.packaging.secrets import Finding, find_secrets, is_text, refuse_secrets
from sciflow.quantities import render_bytes, render_count, render_seconds
from sciflow.space.chosen import Sampled
from sciflow.store.assemble import assemble
from sciflow.store.consolidate import consolidate
from sciflow.store.directory import SweepDirectory
from sciflow.store.origins import Origin, origins_of
from sciflow.store.sessions import SessionWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.results import Results
    from sciflow.store.assembled import Assembled
    from sciflow.store.snapshot import Snapshot
    from sciflow.workflow.workflow import ExperimentalWorkflow

What = Literal["all", "results", "code"]

_MADE_BY: Final = frozenset({"fingerprints", "generation", "inputs"})
"""What a definition says of the code and inputs: in a package those that made the results, also if newer ones exist."""

# a sweep may be run at another time, with other resources, or drawn in other ways, and stays the same experiment
_MUST_AGREE: Final = ("name", "seed", "space", "tasks")

_MOST_TEXT_BYTES: Final = 64 << 20  # of a file that is searched for secrets
_LEAST_NAME: Final = 4  # characters of a host's or user's name that is searched for: "vm" is in too many words


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
    """

    name: str
    _directory: SweepDirectory = field(repr=False)
    _options: Options = field(repr=False)
    id: str | None = field(default=None, init=False)

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
                build = _Build(self.name, self._directory, self._options, Path(folder))
                members = build.members()
                with _bar(sum(map(_size, members.values())), enabled=progress) as told:
                    write_archive(
                        path,
                        members,
                        build.complete,
                        first=layout.FIRST,
                        stored=_is_read_in_place,
                        progress=told,
                    )
                self.id = build.id
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
    _Choice.of(directory, directory.snapshot(), options.query)
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


# -------------------------------------------------------------------------------------------------------------- choice


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which records go into a package, and what made them."""

    selection: Selection
    origin: Origin

    @classmethod
    def of(cls, directory: SweepDirectory, snapshot: Snapshot, query: str | None) -> _Choice:
        """All records of *snapshot*, or those of the variants for which a condition holds.

        Raises
        ------
        PackageError
            There are none, or different code made them.
        """
        definitions = directory.definitions()
        assembled = assemble(directory, snapshot=snapshot)
        variants = Variants(assembled)
        chosen = np.ones(variants.n, dtype=np.bool_) if query is None else variants.matching(query)
        if not (variants.status[chosen] > 0).any():
            what = f"no variant for which {query!r} holds" if query else "nothing"
            raise PackageError(f"{what} is recorded in {directory.path}; run the sweep, then make the package")
        origin = _one_origin(directory, assembled, chosen)
        newest = {**definitions[-1], **{key: origin.definition[key] for key in _MADE_BY & origin.definition.keys()}}
        ids: NDArray[np.void] | None = None
        if query is not None and not chosen.all():
            ids = keys_of_ids(_bytes_of_ids(np.array(variants.ids, dtype=object)[chosen]))
            newest |= _space_of(assembled, chosen)
        if newest != definitions[-1]:
            definitions = [*definitions, {**newest, "revision": definitions[-1]["revision"] + 1}]
        return cls(Selection(definitions, ids), origin)


def _space_of(assembled: Assembled, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """The space of some variants, as a part of the one that they are from."""
    if assembled.space is None:
        return {}
    rows = np.flatnonzero(chosen) if assembled.rows is None else assembled.rows[chosen]
    space = Sampled(assembled.space, np.sort(rows[rows >= 0]), 0)
    return {"space": json.loads(json.dumps(space.to_dict())), "n_variants": len(rows)}


def _bytes_of_ids(ids: NDArray[np.object_]) -> NDArray[np.uint8]:
    text = "".join(one[1:] for one in ids)
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint8).reshape(len(ids), -1)


def _one_origin(directory: SweepDirectory, assembled: Assembled, chosen: NDArray[np.bool_]) -> Origin:
    """What made the newest of the chosen results, if the same code and inputs made all of them.

    Raises
    ------
    PackageError
        They did not: a package has one code, and would say that it made every number.
    """
    origins = origins_of(directory.definitions(), directory.sessions(), assembled)
    sessions, numbers = assembled.facts("session")
    revisions, of_revision = assembled.facts("revision")
    counted = Counter(
        (numbers[session], of_revision[revision])
        for session, revision in zip(sessions.ravel()[chosen], revisions.ravel()[chosen], strict=True)
        if session >= 0 and revision >= 0
    )
    counting = [(one, n) for one in origins if (n := counted[one.session, one.definition.get("revision")])]
    if len({one.definition.get("generation") for one, _ in counting}) > 1:
        counts: Counter[str] = Counter()
        for one, n in counting:
            counts[_made_by(one)] += n
        each = " and ".join(f"{n:,} by {words}" for words, n in counts.items())
        raise PackageError(
            f"the results in {directory.path} were not made by the same code and inputs: {each}; make those of older "
            "code again with Engine(on_stale='rerun') (on the command line: sciflow run --on-stale rerun), then make "
            "the package; or pack those of one code: --variants 'not stale'"
        )
    return counting[-1][0]


def _made_by(origin: Origin) -> str:
    if origin.is_current:
        return "today's"
    return f"revision {origin.definition.get('revision')} of the definition"


# --------------------------------------------------------------------------------------------------------------- build


class _Build:
    """One export: everything is read from one snapshot, and staged in a folder that goes away."""

    def __init__(self, name: str, directory: SweepDirectory, options: Options, folder: Path) -> None:
        self._name, self._source, self._options, self._folder = name, directory, options, folder
        session = SessionWatch(directory).look()
        self._is_running = session is not None and session.life == "alive"
        self._snapshot = directory.snapshot()
        choice = _Choice.of(directory, self._snapshot, options.query)
        self._origin = choice.origin
        self._names = _names_of(directory, self._snapshot) if options.anonymise else {}
        self._scrub = Scrubber(_roots_of(directory), self._names)
        (folder / "sweep").mkdir()
        selection = Selection([self._told(one) for one in choice.selection.definitions], choice.selection.ids)
        staged = stage_records(directory, self._snapshot, selection, folder / "sweep", self._scrub)
        self._described = Described(staged)
        self._definition: Mapping[str, Any] = staged.newest_definition() or {}
        self._gathered = gather.Gathered()
        self._record: dict[str, Any] = {}
        self._facts: dict[str, Any] = {}
        self._artifacts: dict[str, list[str]] = {}
        self.id = ""

    def members(self) -> dict[str, Content]:
        """The payload, checked for secrets."""
        what = self._options.what
        staged = self._described.directory
        self._gather_workflow()
        tree = gather.CodeTree(gather.Gathered(), None, "the package has no code")
        entries: list[dict[str, Any]] = []
        environments = self._environments()
        locks: EnvironmentFiles | None = None
        pickles: list[str] = []
        code = _anonymous(self._origin.code) if self._options.anonymise else self._origin.code
        if what != "results":
            tree = gather.code_tree(self._source.path, self._origin.code)
            self._gathered.add(tree.files)
            found, entries = gather.inputs(self._origin.definition, gather.folders_of(self._source))
            self._gathered.add(found)
            self._gathered.add(gather.git_files(self._source.path, code, self._scrub))
            locks = self._locks(environments)
        if what != "code":
            found, self._artifacts, pickles = gather.artifacts(self._source.path, self._described.variants.ids)
            self._gathered.add(found)
            self._gather_results(staged)
        for digest, facts in environments.items():
            self._gathered.members[layout.environment_file(digest)] = render_json(facts)
        self._record = self._make_record(tree, entries, environments, code, pickles)
        self._facts = self._make_facts(tree, environments, locks, pickles)
        self._gathered.members |= self._tags()
        self._refuse_secrets()
        return self._gathered.members

    def complete(self, digests: Mapping[str, str], sizes: Mapping[str, int]) -> dict[str, bytes]:
        """The files that describe the others."""
        described = self._described
        has_few = described.variants.n <= layout.MOST_VARIANTS_WITH_ACTIONS
        environment = next(iter(self._record["environments"].values()), None)
        told = Told(
            record=self._record,
            definition=self._definition,
            parameters=described.parameters,
            metrics=described.metrics,
            runs=described.runs(self._artifacts) if has_few else None,
            started=described.started,
            ended=described.ended,
            environment=environment,
            description=self._description,
        )
        made: dict[str, bytes] = {layout.CRATE: render_crate(told, digests, sizes)}
        info = {
            "Bagging-Date": described.ended[:10],
            "External-Description": self._description,
            "External-Identifier": self._source.sweep,
        }
        made |= manifests(digests, sizes, info)
        every = {**digests, **{name: hashlib.sha256(content).hexdigest() for name, content in made.items()}}
        made[layout.TAG_MANIFEST] = tag_manifest(every)
        self.id = hashlib.sha256(made[layout.TAG_MANIFEST]).hexdigest()
        return made

    # ------------------------------------------------------------------------------------------------------- payload

    def _gather_workflow(self) -> None:
        self._gathered.members |= {
            layout.DEFINITION: render_json(self._definition),
            layout.SWEEP: render_json(self._described.directory.identity),
            layout.SPACE: render_json(self._definition.get("space", {})),
        }

    def _gather_results(self, staged: SweepDirectory) -> None:
        described, members = self._described, self._gathered.members
        results = consolidate(staged, all_arrays=True)
        slim = self._folder / "records"
        slim_records(staged, results, slim)
        members |= {
            f"{layout.RECORDS}/{path.relative_to(slim).as_posix()}": path
            for path in sorted(slim.rglob("*"))
            if path.is_file()
        }
        members[layout.RESULTS_FILE] = results
        opened = open_results(staged.path)
        table = self._folder / "table" / PurePosixPath(layout.TABLE).name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that arrays are left out of it, which results.h5 has
            opened.export(table)
        members |= {
            layout.TABLE: table,
            layout.DICTIONARY: table.with_name(PurePosixPath(layout.DICTIONARY).name),
            layout.TRACES: described.traces(),
        }
        failures = described.failures
        if len(failures):
            members[layout.FAILURES] = failures.to_csv(index=False, lineterminator="\n").encode(
                "utf-8", "backslashreplace"
            )
        if (self._source.path / "reductions").is_dir():
            self._gathered.left_out.append("results of reductions, which are sweeps of their own: make them again")
        with gather.plain_look():
            self._gathered.add(gather.figures(opened))
            self._gathered.add(gather.report(opened, described.ended))
        self._gathered.add(gather.prov(opened))

    def _environments(self) -> dict[str, dict[str, Any]]:
        """Those that results were computed in, the newest first."""
        known = self._described.directory.environments()
        counted = count_environments(self._described.assembled)
        newest = open_results(self._described.directory.path).environment
        order = sorted(counted.keys() & known.keys(), key=lambda one: (known[one] != newest, one))
        return {digest: known[digest] for digest in order}

    def _locks(self, environments: Mapping[str, Mapping[str, Any]]) -> EnvironmentFiles | None:
        if not environments:
            self._gathered.left_out.append("locks: the environment was not recorded")
            return None
        environment = next(iter(environments.values()))
        archive = gather.tree_archive(self._source.path, self._origin.code)
        found = found_locks(environment, archive, gather.folders_of(self._source))
        made = environment_files(environment, found)
        if self._options.wheels:
            wheels = download_wheels(made.files["requirements.txt"].decode(), self._folder / "wheels")
            digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels}
            made = environment_files(environment, found, digests)
            self._gathered.members |= {f"{layout.WHEELS}/{path.name}": path for path in wheels}
        self._gathered.members |= {f"{layout.ENVIRONMENT}/{name}": one for name, one in made.files.items()}
        return made

    # --------------------------------------------------------------------------------------------------------- texts

    @property
    def _description(self) -> str:
        parameters = ", ".join(self._described.parameters) or "none"
        n = self._described.variants.n
        what = {"all": "Results and code", "results": "Results", "code": "Code"}[self._options.what]
        return (
            f"{what} of the parameter sweep {self._source.workflow} ({render_count(n, 'variant')}; parameters: "
            f"{parameters}), packed by sciflow so that others can check it, read it and run it again."
        )

    def _make_record(
        self,
        tree: gather.CodeTree,
        entries: Sequence[Mapping[str, Any]],
        environments: Mapping[str, Any],
        code: Mapping[str, Any],
        pickles: Sequence[str],
    ) -> dict[str, Any]:
        members = self._gathered.members
        options = self._options
        repository: Mapping[str, Any] = code.get("repository") or {}
        files = {
            "definition": layout.DEFINITION,
            "sweep": layout.SWEEP,
            "results": layout.RESULTS_FILE,
            "table": layout.TABLE,
            "requirements": layout.EXACT_REQUIREMENTS,
            "patch": layout.PATCH,
            "traces": layout.TRACES,
        }
        told = {key: name for key, name in files.items() if name in members}
        folders = {"records": layout.RECORDS, "code": layout.CODE}
        told |= {key: one for key, one in folders.items() if any(name.startswith(f"{one}/") for name in members)}
        if environments:
            told["environment"] = layout.environment_file(next(iter(environments)))
        run = {"script": tree.script, "workflow": self._source.workflow}
        return {
            "schema": layout.PACKAGE_SCHEMA,
            "sciflow": __version__,
            "name": self._name,
            "title": options.title or self._name,
            "workflow": self._source.workflow,
            "sweep": self._source.sweep,
            "license": options.license,
            "authors": [] if options.anonymise else list(options.authors),
            "made_at": self._described.ended,
            "what": options.what,
            "query": options.query,
            "running": self._is_running,
            "anonymised": options.anonymise,
            "counts": self._described.counts,
            "n_variants": sum(self._described.counts.values()),
            "files": told,
            "run": run if tree.script else {**run, "why_not": tree.why_not},
            "inputs": [dict(one) for one in entries],
            "code": {
                "commit": repository.get("commit"),
                "branch": repository.get("branch"),
                "remote": repository.get("remote"),
                "tree": repository.get("tree"),
                "frozen": code.get("tree"),
                "dirty": bool(repository.get("dirty")),
                "patch": layout.PATCH if layout.PATCH in members else None,
            },
            "tolerances": self._definition.get("tolerances", {}),
            "seed": self._source.seed,
            "environments": {digest: layout.environment_file(digest) for digest in environments},
            "pickles": list(pickles),
            "left_out": [self._scrub.text(one) for one in self._gathered.left_out],
        }

    def _make_facts(
        self,
        tree: gather.CodeTree,
        environments: Mapping[str, Any],
        locks: EnvironmentFiles | None,
        pickles: Sequence[str],
    ) -> dict[str, Any]:
        """What the README says."""
        record = self._record
        environment: Mapping[str, Any] = next(iter(environments.values()), {})
        code = _anonymous(self._origin.code) if self._options.anonymise else self._origin.code
        seconds = float(np.nansum(self._described.assembled.runtime_s))
        license_words = f"{record['license']}." if record["license"] else texts.NOT_STATED
        return {
            **{key: record[key] for key in ("title", "name", "running", "made_at", "query", "sciflow", "seed")},
            "description": self._description,
            "counts_words": ", ".join(f"{n:,} {status}" for status, n in record["counts"].items()),
            "code_words": texts.code_sentence(code),
            "authors_words": ", ".join(record["authors"]) or "not stated",
            "license_words": license_words,
            "effort": f"{render_seconds(seconds)} of computing in all",
            "environment_words": _environment_words(environment),
            "environment_notes": list(locks.notes) if locks else [],
            "hash_option": "--require-hashes " if locks and locks.has_hashes else "",
            "hardware": _hardware_words(environment),
            "script": tree.script,
            "why_not": tree.why_not,
            "has_results": self._options.what != "code",
            "metrics": list(self._described.numbers(record["tolerances"])),
            "left_out": record["left_out"],
            "pickles": list(pickles),
        }

    def _tags(self) -> dict[str, Content]:
        """The files beside the payload that do not depend on digests."""
        archive = gather.tree_archive(self._source.path, self._origin.code)
        found = None if self._options.anonymise else gather.license_of(archive)
        tags: dict[str, Content] = {
            layout.RECORD: render_json(self._record),
            layout.CITATION: texts.citation(self._record, self._description).encode(),
            layout.ZENODO: texts.zenodo(self._record, self._description),
            layout.LICENSE: texts.license_text(self._record["license"], found).encode(),
        }
        verifier = importlib.resources.files("sciflow.packaging").joinpath("standalone.py")
        if verifier.is_file():
            tags[layout.VERIFIER] = verifier.read_bytes()
        names = [*self._gathered.members, *tags, layout.README, layout.CRATE]
        tags[layout.README] = texts.readme({**self._facts, "contents": texts.contents(names)}).encode()
        return tags

    # ------------------------------------------------------------------------------------------------------- secrets

    def _refuse_secrets(self) -> None:
        named = sorted(one for one in self._names if len(one) >= _LEAST_NAME)
        refuse_secrets(self._findings(named), self._options.allow_secrets)

    def _findings(self, named: Sequence[str]) -> Iterator[Finding]:
        for name, content in sorted(self._gathered.members.items()):
            if name == layout.VERIFIER:
                continue
            data = content if isinstance(content, bytes) else _start_of(content)
            if data and is_text(data):
                yield from find_secrets(name, data, named)

    def _told(self, definition: Mapping[str, Any]) -> dict[str, Any]:
        """A definition without places of this machine; parameters stay, as identities are made of them."""
        names = gather.input_names(definition)
        inputs = [{**one, "name": name} for one, name in zip(definition.get("inputs", ()), names, strict=True)]
        return {**definition, **({"inputs": inputs} if "inputs" in definition else {})}


def _is_read_in_place(name: str) -> bool:
    """Whether a member is read inside the zip: not compressed, so that any part of it can be."""
    return name.endswith((".h5", ".seg"))


def _anonymous(code: Mapping[str, Any]) -> dict[str, Any]:
    """The state of the code without what names people and places."""
    kept = frozenset({"commit", "dirty", "n_untracked", "tree", "patch", "problem", "left_out", "archive"})
    repository: Mapping[str, Any] | None = code.get("repository")
    told = None if repository is None else {key: one for key, one in repository.items() if key in kept}
    return {**code, "repository": told if told is None else {"name": "repository", **told}}


def _names_of(directory: SweepDirectory, snapshot: Snapshot) -> dict[str, str]:
    """Hosts and users that files of the sweep may name, and what stands for each."""
    hosts = {str(one.get("host", "")) for one in directory.sessions()}
    for frame in snapshot.frames:
        for worker in {*frame.fact("worker")} if frame.column("@fact.worker") else {frame.header.get("worker")}:
            hosts.add(str(worker or "").partition(":")[0])
        hosts.add(str(frame.header.get("node", "") or ""))
    users: set[str] = {Path.home().name}
    with contextlib.suppress(OSError, KeyError):
        users.add(getpass.getuser())
    users -= {"", "root", "home", "user"}
    named = {name: f"host-{k + 1}" for k, name in enumerate(sorted(hosts - {"", "None"}))}
    return named | {name: f"user-{k + 1}" for k, name in enumerate(sorted(users))}


def _roots_of(directory: SweepDirectory) -> tuple[str, ...]:
    """Folders whose names are left out of paths: of the project and of the sweep."""
    path = directory.path.resolve()
    return tuple(str(one) for one in (path, path.parent.parent) if one != Path(one.anchor))


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        sample = file.read(8 << 10)
        return sample + file.read(_MOST_TEXT_BYTES) if is_text(sample) else b""


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


@contextlib.contextmanager
def _bar(n_bytes: int, *, enabled: bool) -> Generator[Callable[[int], object]]:
    if not enabled:
        yield lambda _: None
        return
    from tqdm import tqdm  # noqa: PLC0415  for people who wait

    # without a terminal it shows nothing
    with tqdm(total=n_bytes, unit="B", unit_scale=True, desc="packing", leave=False, disable=None) as bar:
        yield bar.update


def _environment_words(environment: Mapping[str, Any]) -> str:
    if not environment:
        return "The environment was not recorded."
    python, system = environment.get("python", {}), environment.get("system", {})
    n = len(environment.get("packages", {}))
    return (
        f"It ran under {python.get('implementation', 'Python')} {python.get('version', '')} with {n} packages on "
        f"{system.get('os', 'an unknown system')}. Nearby versions will do as far as `sciflow reproduce` finds the "
        "same numbers there; it says how near it came."
    )


def _hardware_words(environment: Mapping[str, Any]) -> str:
    machine: Mapping[str, Any] = environment.get("machine", {})
    words = [str(machine["cpu"])] if machine.get("cpu") else []
    words += [f"{machine['n_cores']} cores"] if machine.get("n_cores") else []
    words += [render_bytes(machine["memory_bytes"])] if machine.get("memory_bytes") else []
    return ", ".join(words) or "not recorded"
