"""The package in JSON-LD: RO-Crate 1.1 with the run crate profiles 0.5, written as plain dicts.

The actions say: the engine (OrganizeAction) ran the sweep (CreateAction of the workflow), for which one step
(ControlAction) ran the tasks once for each variant (CreateActions of the script). In large sweeps all variants are one
action, and the table of results tells them apart.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sciflow.packaging import layout
from sciflow.packaging.ancestry import ancestry_words
from sciflow.packaging.texts import parse_author

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Entity = dict[str, Any]

_CONTEXT: Final[list[Any]] = [
    "https://w3id.org/ro/crate/1.1/context",
    "https://w3id.org/ro/terms/workflow-run/context",
    {"buildInstructions": "https://codemeta.github.io/terms/buildInstructions"},
]
_PROFILES: Final = {
    layout.PROCESS_RUN: "Process Run Crate",
    layout.WORKFLOW_RUN: "Workflow Run Crate",
    layout.PROVENANCE_RUN: "Provenance Run Crate",
    layout.WORKFLOW_CRATE: "Workflow RO-Crate",
}
_BIOSCHEMAS: Final = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_REQUIREMENTS: Final = "https://pip.pypa.io/en/stable/reference/requirements-file-format/"
_SCIFLOW: Final = "urn:x-sciflow:definition"
_FORMAL: Final = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
_COMPLETED: Final = "http://schema.org/CompletedActionStatus"  # as a text: the validator takes no reference
_FAILED: Final = "http://schema.org/FailedActionStatus"
_MOST_FILES: Final = 2000
_MOST_METRICS: Final = 8

FORMATS: Final = {
    ".cff": "application/yaml",
    ".csv": "text/csv",
    ".h5": "application/x-hdf5",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".lock": "application/toml",
    ".md": "text/markdown",
    ".patch": "text/x-diff",
    ".png": "image/png",
    ".py": "text/x-python",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One variant as the crate tells it."""

    id: str
    parameters: Mapping[str, Any]
    status: str
    start: str
    end: str
    failure: str
    metrics: Mapping[str, Any]
    artifacts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Told:
    """What the crate says.

    Attributes
    ----------
    record
        The content of ``sciflow-package.json``.
    definition
        Of the workflow.
    metrics
        Outputs with one value per variant, and their units.
    parameters
        Names and units.
    runs
        The variants, or None where they are too many to be told one by one.
    started, ended
        When the first and the last record was made, ISO 8601.
    environment
        The file that describes it, if it is there.
    """

    record: Mapping[str, Any]
    definition: Mapping[str, Any]
    parameters: Mapping[str, str | None]
    metrics: Mapping[str, str | None]
    runs: Sequence[Run] | None
    started: str
    ended: str
    environment: str | None
    description: str


def render_crate(told: Told, digests: Mapping[str, str], sizes: Mapping[str, int]) -> bytes:
    """``ro-crate-metadata.json``; *digests* and *sizes* are of the files that it may describe."""
    graph = {one["@id"]: one for one in _entities(told, digests, sizes)}
    text = json.dumps({"@context": _CONTEXT, "@graph": list(graph.values())}, indent=1, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _entities(told: Told, digests: Mapping[str, str], sizes: Mapping[str, int]) -> Iterator[Entity]:
    listed = _files(digests)
    files = {quote(name): _file(name, digests[name], sizes[name]) for name in listed}
    tool = _tool_id(told, digests)
    actions = list(_actions(told, tool, digests))
    mentioned = [one["@id"] for one in actions if one["@type"] == "CreateAction"]
    yield {
        "@id": layout.CRATE,
        "@type": "CreativeWork",
        "about": _ref("./"),
        "conformsTo": [_ref(layout.RO_CRATE), _ref(layout.WORKFLOW_CRATE)],
    }
    yield from _root(told, listed, mentioned)
    yield from _workflow(told, tool, files)
    yield from actions
    yield from (file for identity, file in files.items() if identity not in {tool, layout.DEFINITION})
    for uri, name in _PROFILES.items():
        yield {"@id": uri, "@type": "CreativeWork", "name": name, "version": uri.rpartition("/")[2]}


def _root(told: Told, files: Sequence[str], mentioned: Sequence[str]) -> Iterator[Entity]:
    record = told.record
    people = list(_people(record))
    license_entity = _license(record)
    folders = [f"{layout.ARTIFACTS}/"] if len(files) > _MOST_FILES else []
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": record["title"],
        "description": told.description,
        "datePublished": record["made_at"],
        "license": _ref(license_entity["@id"]),
        "conformsTo": [_ref(one) for one in _PROFILES],
        "mainEntity": _ref(layout.DEFINITION),
        "hasPart": [_ref(quote(one)) for one in (*files, *folders)],
        "mentions": [_ref(one) for one in mentioned],
        "author": _one_or_many([_ref(one["@id"]) for one in people] or [_ref("#authors")]),
        "publisher": _ref("#authors"),
        "identifier": record["sweep"],
        **({"isBasedOn": _ref("#based-on")} if record.get("based_on") else {}),
    }
    if known := record.get("based_on"):
        words = ancestry_words(known)
        yield {"@id": "#based-on", "@type": "CreativeWork", "name": known["name"], "description": words}
    yield license_entity
    yield from people
    yield from _groups(record)


def _people(record: Mapping[str, Any]) -> Iterator[Entity]:
    for k, author in enumerate(record["authors"]):
        name, affiliation = parse_author(author)
        of = f"#affiliation-{k + 1}" if affiliation else "#authors"
        yield {"@id": f"#author-{k + 1}", "@type": "Person", "name": name, "affiliation": _ref(of)}


def _groups(record: Mapping[str, Any]) -> Iterator[Entity]:
    """Organisations: the authors together, and those that they are from."""
    address = _address(record)
    yield {"@id": "#authors", "@type": "Organization", "name": f"The authors of {record['workflow']}", "url": address}
    for k, author in enumerate(record["authors"]):
        _, affiliation = parse_author(author)
        if affiliation:
            yield {"@id": f"#affiliation-{k + 1}", "@type": "Organization", "name": affiliation, "url": address}


def _address(record: Mapping[str, Any]) -> str:
    """Where the code lives, if that can be reached; else the sweep's own name among all."""
    remote = str((record.get("code") or {}).get("remote") or "")
    return remote if remote.startswith(("https://", "http://")) else f"urn:uuid:{record['sweep']}"


def _license(record: Mapping[str, Any]) -> Entity:
    license_ = record.get("license")
    if not license_:
        words = "No licence was stated; ask the authors before you reuse it"
        return {"@id": "#license", "@type": "CreativeWork", "name": words, "description": words}
    uri = license_ if "://" in license_ else f"https://spdx.org/licenses/{quote(license_)}"
    return {"@id": uri, "@type": "CreativeWork", "name": license_, "description": f"The licence {license_}"}


# ----------------------------------------------------------------------------------------------------------- workflow


def _tool_id(told: Told, digests: Mapping[str, str]) -> str:
    """What runs the tasks of a variant: the script if it is there."""
    script = (told.record.get("run") or {}).get("script")
    name = f"{layout.CODE}/{script}"
    return quote(name) if script and name in digests else "#tasks"


def _workflow(told: Told, tool: str, files: Mapping[str, Entity]) -> Iterator[Entity]:
    tasks = [one["name"] for one in told.definition.get("tasks", ())]
    yield {
        **files[layout.DEFINITION],
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": told.record["workflow"],
        "description": f"The tasks {', '.join(tasks)} and the space of their parameters",
        "url": _address(told.record),
        "version": str(told.definition.get("revision", 1)),
        "conformsTo": _ref(_BIOSCHEMAS),
        "programmingLanguage": _ref("#sciflow-definition"),
        "hasPart": _ref(tool),
        "step": _ref("#step"),
        "license": _ref(_license(told.record)["@id"]),
        **_ports(told),
        **({"buildInstructions": _ref(layout.EXACT_REQUIREMENTS)} if layout.EXACT_REQUIREMENTS in files else {}),
    }
    yield {
        "@id": "#sciflow-definition",
        "@type": "ComputerLanguage",
        "name": "sciflow's definition of a workflow",
        "identifier": _SCIFLOW,
        "url": _SCIFLOW,
        "version": str(told.record["sciflow"]),
    }
    yield {"@id": _BIOSCHEMAS, "@type": "CreativeWork", "name": "ComputationalWorkflow", "version": "1.0-RELEASE"}
    yield {"@id": _REQUIREMENTS, "@type": "CreativeWork", "name": "Requirements file format of pip"}
    yield {"@id": _FORMAL, "@type": "CreativeWork", "name": "FormalParameter", "version": "1.0-RELEASE"}
    yield _tool(told, tool, files)
    words = "The tasks of one variant, in the order of what they depend on"
    yield {"@id": "#step", "@type": "HowToStep", "name": words, "position": "1", "workExample": _ref(tool)}
    yield {
        "@id": "#engine",
        "@type": "SoftwareApplication",
        "name": "sciflow",
        "url": _SCIFLOW,
        "version": str(told.record["sciflow"]),
    }
    kinds = [*((one, told.parameters, "parameter") for one in told.parameters)]
    kinds += [(one, told.metrics, "output") for one in told.metrics]
    for name, units, kind in kinds:
        unit = {"unitText": units[name]} if units[name] else {}
        identity = f"#{kind}-{quote(name)}"
        formal = {"@id": identity, "@type": "FormalParameter", "name": name, "additionalType": "PropertyValue"}
        yield {**formal, "conformsTo": _ref(_FORMAL), **unit}


def _tool(told: Told, tool: str, files: Mapping[str, Entity]) -> Entity:
    tasks = [one["name"] for one in told.definition.get("tasks", ())]
    described: Entity = {
        **files.get(tool, {}),
        "@id": tool,
        "@type": "SoftwareApplication",
        "name": told.record["workflow"],
        "description": f"What runs the tasks {', '.join(tasks)}",
        "url": _address(told.record),
        "version": str(told.definition.get("generation") or "1"),
    }
    if tool in files:
        described["@type"] = ["File", "SoftwareSourceCode", "SoftwareApplication"]
        described["programmingLanguage"] = _ref("#sciflow-definition")
    return {**described, **_ports(told)}


def _ports(told: Told) -> Entity:
    """What goes in and comes out."""
    inputs = [_ref(f"#parameter-{quote(name)}") for name in told.parameters]
    outputs = [_ref(f"#output-{quote(name)}") for name in told.metrics]
    ports = {"input": inputs, "output": outputs}
    return {name: _one_or_many(ones) for name, ones in ports.items() if ones}


# ------------------------------------------------------------------------------------------------------------ actions


def _actions(told: Told, tool: str, digests: Mapping[str, str]) -> Iterator[Entity]:
    # a package without results has what it says of them
    results = [one for one in (layout.RESULTS_FILE, layout.TABLE) if one in digests] or [layout.RECORD]
    failures = layout.FAILURES if layout.FAILURES in digests else layout.RECORD
    agent = "#author-1" if told.record["authors"] else "#authors"
    surroundings = _environment(told)
    values: dict[str, Entity] = {}
    if told.runs is None:
        given = [_column(name, f"#parameter-{quote(name)}") for name in told.parameters]
        made = [_column(name, f"#output-{quote(name)}") for name in told.metrics]
        objects = [*given, *made]
        results_of_all = [*map(quote, results), *(one["@id"] for one in made)]
        runs = [_all_runs(told, tool, [one["@id"] for one in given], results_of_all)]
    else:
        runs = [one for run in told.runs for one in _run(run, told, tool, values, failures)]
        objects = list(values.values())
    actions = [one for one in runs if one["@type"] == "CreateAction"]
    yield {
        "@id": "#organize",
        "@type": "OrganizeAction",
        "name": "sciflow runs the sweep",
        "description": "What the engine did",
        "agent": _ref(agent),
        "instrument": _ref("#engine"),
        **({"object": _ref("#control")} if actions else {}),
        "result": _ref("#sweep"),
        "startTime": told.started,
        "endTime": told.ended,
    }
    if actions:
        yield {
            "@id": "#control",
            "@type": "ControlAction",
            "name": "For each variant, run the tasks",
            "instrument": _ref("#step"),
            "object": _one_or_many([_ref(one["@id"]) for one in actions]),
        }
    yield {
        "@id": "#sweep",
        "@type": "CreateAction",
        "name": f"Sweep {told.record['workflow']}",
        "description": told.description,
        "agent": _ref(agent),
        "instrument": _ref(layout.DEFINITION),
        "actionStatus": _COMPLETED,
        "startTime": told.started,
        "endTime": told.ended,
        **({"object": _one_or_many([_ref(one) for one in _inputs(told, digests)])} if _inputs(told, digests) else {}),
        **({"result": _one_or_many([_ref(quote(one)) for one in results])} if results else {}),
        **({"environment": _ref("#environment")} if surroundings else {}),
    }
    yield from surroundings
    yield from runs
    yield from objects


def _inputs(told: Told, digests: Mapping[str, str]) -> list[str]:
    return [quote(one["path"]) for one in told.record["inputs"] if one.get("path") in digests]


def _environment(told: Told) -> list[Entity]:
    if not told.environment:
        return []
    named = {"@id": "#environment", "@type": "PropertyValue", "name": "environment", "value": told.environment}
    return [{**named, "description": "The file with packages, machine and threads"}]


def _column(name: str, formal: str) -> Entity:
    """What stands for the values of all variants."""
    words = f"column {name} of {layout.TABLE}"
    return {
        "@id": f"{formal}-all",
        "@type": "PropertyValue",
        "name": name,
        "value": words,
        "exampleOfWork": _ref(formal),
    }


def _all_runs(told: Told, tool: str, objects: Sequence[str], results: Sequence[str]) -> Entity:
    return {
        "@id": "#variants",
        "@type": "CreateAction",
        "name": f"The tasks of {told.record['n_variants']:,} variants",
        "description": f"One row of {layout.TABLE} each",
        "agent": _ref("#author-1" if told.record["authors"] else "#authors"),
        "instrument": _ref(tool),
        "actionStatus": _COMPLETED,
        "startTime": told.started,
        "endTime": told.ended,
        "object": _one_or_many([_ref(one) for one in [layout.SPACE, *objects]]),
        **({"result": _one_or_many([_ref(one) for one in results])} if results else {}),
    }


def _run(run: Run, told: Told, tool: str, values: dict[str, Entity], failures: str) -> Iterator[Entity]:
    if run.status == "missing":
        return  # it has not run
    objects = [_value(name, value, f"#parameter-{quote(name)}", values) for name, value in run.parameters.items()]
    results = [quote(one) for one in run.artifacts]
    if run.status == "failed":  # what a failure leaves is its description
        results = [failures]
    told_metrics = list(run.metrics.items())[:_MOST_METRICS]
    results += [_value(name, value, f"#output-{quote(name)}", values) for name, value in told_metrics]
    failed = run.status == "failed"
    given = ", ".join(f"{name}={value}" for name, value in run.parameters.items())
    yield {
        "@id": f"#{run.id}",
        "@type": "CreateAction",
        "name": f"Variant {run.id}",
        "description": given or "no parameters",
        "agent": _ref("#author-1" if told.record["authors"] else "#authors"),
        "instrument": _ref(tool),
        "actionStatus": _FAILED if failed else _COMPLETED,
        "startTime": run.start,
        "endTime": run.end,
        **({"object": _one_or_many([_ref(one) for one in objects])} if objects else {}),
        **({"result": _one_or_many([_ref(one) for one in results])} if results else {}),
        **({"error": run.failure} if failed else {}),
    }


def _value(name: str, value: Any, formal: str, values: dict[str, Entity]) -> str:
    """The id of the entity for a value, which all variants with that value share."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    identity = f"{formal}-{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:12]}"
    values.setdefault(
        identity,
        {"@id": identity, "@type": "PropertyValue", "name": name, "value": text, "exampleOfWork": _ref(formal)},
    )
    return identity


# -------------------------------------------------------------------------------------------------------------- files


def _files(digests: Mapping[str, str]) -> list[str]:
    """The files that are described one by one; of very many the artifacts are not."""
    names = sorted(
        name for name in digests if name.startswith(layout.PAYLOAD) or name in {layout.README, layout.RECORD}
    )
    if len(names) <= _MOST_FILES:
        return names
    return [name for name in names if not name.startswith(f"{layout.ARTIFACTS}/")]


def _file(name: str, digest: str, size: int) -> Entity:
    path = PurePosixPath(name)
    entity: Entity = {
        "@id": quote(name),
        "@type": "File",
        "name": path.name,
        "encodingFormat": FORMATS.get(path.suffix.lower(), "application/octet-stream"),
        "contentSize": str(size),
        "sha256": digest,
    }
    if name == layout.README:
        entity |= {"about": _ref("./")}
    if name == layout.EXACT_REQUIREMENTS:
        entity |= {"conformsTo": _ref(_REQUIREMENTS)}
    return entity


def _ref(identity: str) -> Entity:
    return {"@id": identity}


def _one_or_many(items: Iterable[Entity]) -> Any:
    """The validators want a single value where there is one."""
    listed = list(items)
    return listed[0] if len(listed) == 1 else listed
