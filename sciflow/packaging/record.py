"""What a package says of itself in ``sciflow-package.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sciflow import __version__
from sciflow.packaging import layout
from sciflow.packaging.ancestry import ancestry_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from sciflow.packaging.create import Options
    from sciflow.packaging.describe import Described
    from sciflow.packaging.gather import CodeTree


@dataclass(frozen=True, slots=True)
class Contents:
    """What was gathered.

    Attributes
    ----------
    members
        Names of the files.
    tree
        The code.
    inputs
        An entry for each declared input.
    environments
        Digest → description, the newest first.
    code
        The state of the code, as far as it may be told.
    pickles
        Names of files that run code when they are opened.
    left_out
        What is not there, and why.
    """

    members: Collection[str]
    tree: CodeTree
    inputs: Sequence[Mapping[str, Any]]
    environments: Mapping[str, Any]
    code: Mapping[str, Any]
    pickles: Sequence[str]
    left_out: Sequence[str]


def make_record(
    name: str, options: Options, described: Described, contents: Contents, *, sweep: Path, is_running: bool
) -> dict[str, Any]:
    """The record of a package called *name* of what is in the directory *sweep*."""
    members, environments = contents.members, contents.environments
    directory, code = described.directory, contents.code
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
    run = {"script": contents.tree.script, "workflow": directory.workflow}
    return {
        "schema": layout.PACKAGE_SCHEMA,
        "sciflow": __version__,
        "name": name,
        "title": options.title or name,
        "workflow": directory.workflow,
        "sweep": directory.sweep,
        "license": options.license,
        "authors": [] if options.anonymise else list(options.authors),
        "based_on": None if options.anonymise else ancestry_of(sweep),
        "made_at": described.ended,
        "what": options.what,
        "query": options.query,
        "running": is_running,
        "anonymised": options.anonymise,
        "counts": described.counts,
        "n_variants": sum(described.counts.values()),
        "files": told,
        "run": run if contents.tree.script else {**run, "why_not": contents.tree.why_not},
        "inputs": [dict(one) for one in contents.inputs],
        "code": {
            "commit": repository.get("commit"),
            "branch": repository.get("branch"),
            "remote": repository.get("remote"),
            "tree": repository.get("tree"),
            "frozen": code.get("tree"),
            "dirty": bool(repository.get("dirty")),
            "patch": layout.PATCH if layout.PATCH in members else None,
        },
        "tolerances": (directory.newest_definition() or {}).get("tolerances", {}),
        "seed": directory.seed,
        "environments": {digest: layout.environment_file(digest) for digest in environments},
        "pickles": list(contents.pickles),
        "left_out": list(contents.left_out),
    }
