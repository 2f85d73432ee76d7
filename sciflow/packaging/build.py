"""One export of a package: what is in it, staged, told and checked."""

from __future__ import annotations

import hashlib
import importlib.resources
import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.analysis.results import open_results
from sciflow.analysis.surroundings import count_environments
from sciflow.packaging import gather, layout, texts
from sciflow.packaging.anonymity import anonymous_code, names_of, roots_of
from sciflow.packaging.bag import manifests, tag_manifest
from sciflow.packaging.choice import Choice
from sciflow.packaging.crate import Told, render_crate
from sciflow.packaging.describe import Described
from sciflow.packaging.locks import EnvironmentFiles, download_wheels, environment_files, found_locks
from sciflow.packaging.record import Contents, make_record
from sciflow.packaging.records import Selection, render_json, slim_records, stage_records
from sciflow.packaging.scrub import Scrubber
from sciflow.packaging.secrets import Finding, find_secrets, is_text, refuse_secrets
from sciflow.store.consolidate import consolidate
from sciflow.store.sessions import SessionWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sciflow.packaging.archive import Content
    from sciflow.packaging.create import Options
    from sciflow.store.directory import SweepDirectory

_MOST_TEXT_BYTES: Final = 64 << 20  # of a file that is searched for secrets
_LEAST_NAME: Final = 4  # characters of a host's or user's name that is searched for: "vm" is in too many words


class Build:
    """One export: everything is read from one snapshot, and staged in a folder that goes away."""

    def __init__(
        self, name: str, directory: SweepDirectory, options: Options, folder: Path, say: Callable[[str], object]
    ) -> None:
        self._name, self._source, self._options, self._folder, self._say = name, directory, options, folder, say
        say("reading the records")
        session = SessionWatch(directory).look()
        self._is_running = session is not None and session.life == "alive"
        self._snapshot = directory.snapshot()
        choice = Choice.of(directory, self._snapshot, options.query)
        self._origin = choice.origin
        self._names = names_of(directory, self._snapshot) if options.anonymise else {}
        self._scrub = Scrubber(roots_of(directory), self._names)
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
        code = anonymous_code(self._origin.code) if self._options.anonymise else self._origin.code
        if what != "results":
            self._say("gathering code, inputs and locks")
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
        left_out = [self._scrub.text(one) for one in self._gathered.left_out]
        contents = Contents(self._gathered.members, tree, entries, environments, code, pickles, left_out)
        self._record = make_record(
            self._name,
            self._options,
            self._described,
            contents,
            sweep=self._source.path,
            is_running=self._is_running,
        )
        self._facts = texts.facts(
            self._record,
            described=self._description,
            code=code,
            environment=next(iter(environments.values()), {}),
            locks=locks,
            metrics=self._described.numbers(self._record["tolerances"]),
            runtime_s=float(np.nansum(self._described.assembled.runtime_s)),
        )
        self._gathered.members |= self._tags()
        self._say("looking for secrets")
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
        self._say("writing results.h5 and the table")
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
            self._say("drawing figures")
            self._gathered.add(gather.figures(opened))
            self._say("writing the report")
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
            self._say("fetching Python packages")
            wheels = download_wheels(made.files["requirements.txt"].decode(), self._folder / "wheels")
            digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels}
            made = environment_files(environment, found, digests)
            self._gathered.members |= {f"{layout.WHEELS}/{path.name}": path for path in wheels}
        self._gathered.members |= {f"{layout.ENVIRONMENT}/{name}": one for name, one in made.files.items()}
        return made

    # --------------------------------------------------------------------------------------------------------- texts

    def notes(self) -> list[str]:
        """What whoever makes the package should know before it is given away."""
        return texts.notes(self._record, self._options.authors)

    @property
    def _description(self) -> str:
        described = self._described
        return texts.description(self._options.what, self._source.workflow, described.variants.n, described.parameters)

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


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        sample = file.read(8 << 10)
        return sample + file.read(_MOST_TEXT_BYTES) if is_text(sample) else b""
