"""The texts of a package: what people read first, and what archives and libraries read."""

from __future__ import annotations

import difflib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from sciflow.packaging import layout
from sciflow.packaging.ancestry import ancestry_words
from sciflow.quantities import render_bytes, render_count, render_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sciflow.packaging.locks import EnvironmentFiles

_COMMON_LICENSES: Final = (
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC0-1.0",
    "MIT",
    "APACHE-2.0",
    "BSD-3-CLAUSE",
    "GPL-3.0-ONLY",
    "LGPL-3.0-ONLY",
    "ODBL-1.0",
)

NOT_STATED: Final = "not stated; ask the authors before you reuse it."

_WHAT_FILES_ARE: Final = {
    layout.README: "this text",
    layout.CRATE: "what is inside and how it was made, in JSON-LD",
    layout.RECORD: "the same in short, for sciflow",
    layout.VERIFIER: "checks the package with Python's standard library alone",
    layout.CITATION: "how to cite it",
    layout.LICENSE: "what you may do with it",
    layout.ZENODO: "what Zenodo asks for when it is uploaded there",
    f"{layout.CODE}/": "the code that ran, as it was frozen when the sweep started",
    layout.DEFINITION: "parameters, tasks, figures and requirements",
    layout.SWEEP: "name, seed and identity of the sweep",
    layout.SPACE: "the space of the parameters",
    f"{layout.INPUTS}/": "input files that the workflow declared",
    layout.EXACT_REQUIREMENTS: "the packages that were there, for pip and uv",
    layout.REQUIREMENTS: "the same without hashes, for other systems",
    layout.PYLOCK: "the same after PEP 751",
    layout.CONDA: "the same for conda",
    f"{layout.FOUND}/": "lock files of the project as they were, without private addresses",
    f"{layout.WHEELS}/": "the packages themselves, for machines without a network",
    f"{layout.ENVIRONMENT}/*.json": "interpreter, system, machine, packages and numeric libraries, by digest",
    layout.RESULTS_FILE: "all results as netCDF4/HDF5, arrays included",
    layout.TABLE: "one row per variant: id, parameters, status, and outputs of one value",
    layout.DICTIONARY: "what the columns of the table are (Frictionless Data)",
    layout.FAILURES: "why variants failed, one row per reason",
    f"{layout.RECORDS}/": "the records themselves, which sciflow reads and continues",
    f"{layout.ARTIFACTS}/": "files that tasks kept, by variant",
    f"{layout.FIGURES}/": "figures, and report.html if there is one",
    layout.GIT: "the state of the repository: commit, branch, address, changes",
    layout.PATCH: "from that commit to what ran",
    layout.PROV: "where results come from, in the W3C's PROV-JSON",
    layout.TRACES: "one line per variant: when, where, by which attempt",
}


def contents(names: Iterable[str]) -> list[tuple[str, str]]:
    """The files of a package in words, folders of many files as one."""
    there = list(names)
    found: list[tuple[str, str]] = []
    for name, words in _WHAT_FILES_ARE.items():
        folder, _, suffix = name.partition("*")
        if any(one == name or (name[-1] in "/n" and _is_in(one, folder, suffix, name)) for one in there):
            found.append((name, words))
    return found


def _is_in(one: str, folder: str, suffix: str, name: str) -> bool:
    if name.endswith("/"):
        return one.startswith(folder)
    return "*" in name and one.startswith(folder) and one.endswith(suffix)


def readme(facts: Mapping[str, Any]) -> str:
    """The README of a package, of the *facts* that its template names."""
    import jinja2  # noqa: PLC0415  seldom needed

    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701  Markdown, not a page
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    template = files("sciflow.packaging").joinpath("templates", "README.md.j2").read_text("utf-8")
    return environment.from_string(template).render(facts)


def code_sentence(code: Mapping[str, Any]) -> str:
    """The state of the code when the newest of the results were made."""
    facts = code.get("repository")
    if not facts:
        problem = f" ({code['problem']})" if code.get("problem") else ""
        return f"the state of a Git repository was not recorded{problem}."
    where = f" of {facts['remote']}" if facts.get("remote") else f" of the repository `{facts.get('name', '')}`"
    if not facts.get("commit"):
        return f"uncommitted files{where}."
    new = facts.get("n_untracked", 0)
    states = ["with changes that were not committed" if facts.get("dirty") else "without changes"]
    if new:
        states.append(f"and {new} files that Git did not track")
    return f"commit {facts['commit']}{where}, {' '.join(states)}, when the newest of the results were made."


# ----------------------------------------------------------------------------------------------------------- citation


def citation(record: Mapping[str, Any], description: str) -> str:
    """``CITATION.cff``, format 1.2.0."""
    lines = [
        "cff-version: 1.2.0",
        "message: If you use these results, please cite them as below.",
        "type: dataset",
        f"title: {_quoted(record['title'])}",
        f"abstract: {_quoted(description)}",
        "authors:",
    ]
    for author in record["authors"]:
        name, affiliation = parse_author(author)
        family, given = split_name(name)
        lines.append(f"  - family-names: {_quoted(family)}")
        lines += [f"    given-names: {_quoted(given)}"] if given else []
        lines += [f"    affiliation: {_quoted(affiliation)}"] if affiliation else []
    if not record["authors"]:
        lines.append(f"  - name: {_quoted('The authors of ' + record['workflow'])}")
    lines.append(f"date-released: {_quoted(record['made_at'][:10])}")
    license_ = record.get("license")
    if license_ and (spdx := spdx_id(license_)):
        lines.append(f"license: {spdx}")
    elif license_ and "://" in license_:
        lines.append(f"license-url: {_quoted(license_)}")
    return "\n".join(lines) + "\n"


def zenodo(record: Mapping[str, Any], description: str) -> bytes:
    """``.zenodo.json``: what the deposit form of Zenodo asks for."""
    creators: list[dict[str, str]] = []
    for author in record["authors"]:
        name, affiliation = parse_author(author)
        named = {"name": ", ".join(part for part in split_name(name) if part)}
        creators.append({**named, **({"affiliation": affiliation} if affiliation else {})})
    data: dict[str, Any] = {
        "title": record["title"],
        "upload_type": "dataset",
        "description": description,
        "creators": creators or [{"name": f"The authors of {record['workflow']}"}],
        "keywords": ["parameter sweep", "reproducibility", "sciflow"],
    }
    if record.get("license") and (spdx := spdx_id(record["license"])):
        data["license"] = spdx.lower()
    return json.dumps(data, indent=1, ensure_ascii=False).encode() + b"\n"


def license_text(license_: str | None, found: str | None) -> str:
    """``LICENSE``.

    Parameters
    ----------
    found
        The licence file of the code, if there was one.
    """
    if license_ is None:
        words = "No licence was stated for this package. Ask the authors before you reuse it.\n"
    else:
        address = license_ if "://" in license_ else f"https://spdx.org/licenses/{license_}.html"
        words = f"This package is given under the licence {license_}: {address}\n"
    if found:
        words += f"\nThe code came with this licence file:\n\n{found.rstrip()}\n"
    return words


def notes(record: Mapping[str, Any], authors: Iterable[str]) -> list[str]:
    """What is unfinished or not stated, for whoever makes a package.

    Parameters
    ----------
    authors
        Those that were given.
    """
    counts: Mapping[str, int] = record["counts"]
    found: list[str] = []
    if record["running"]:
        found.append("the sweep still runs; the package has what was recorded up to now")
    found += [
        f"{counts[status]:,} of {render_count(record['n_variants'], 'variant')} {words}"
        for status, words in (("missing", "did not run yet"), ("failed", "failed"))
        if counts.get(status)
    ]
    license_ = record["license"]
    if not license_:
        found.append("no licence is stated, so nobody may reuse it; --license CC-BY-4.0, say")
    elif "://" not in license_ and _expression(license_) is None:
        close = difflib.get_close_matches(license_.replace(" ", "-").upper(), _COMMON_LICENSES, n=1)
        hint = f"; did you mean {close[0]}?" if close else ", such as CC-BY-4.0 or MIT"
        found.append(f"{license_!r} is no SPDX identifier of a licence, so archives will not know it{hint}")
    if record["anonymised"] and list(authors):
        found.append("the authors that were given are left out, because it is anonymous")
    elif not record["authors"]:
        found.append("no author is stated; --author 'Ada Lovelace', say")
    return found


def spdx_id(license_: str) -> str | None:
    """The SPDX identifier that is meant, in its spelling; None if it is none."""
    known = _expression(license_)
    return known if known is not None and " " not in known else None


def _expression(license_: str) -> str | None:
    """The SPDX expression that is meant, such as ``MIT OR Apache-2.0``; None if it is none."""
    from packaging import licenses  # noqa: PLC0415  seldom needed

    try:
        return str(licenses.canonicalize_license_expression(license_))
    except licenses.InvalidLicenseExpression:
        return None


def parse_author(author: str) -> tuple[str, str]:
    """The name and the affiliation of an author such as ``Ada Lovelace (University of London)``."""
    name, bracket, rest = author.strip().partition(" (")
    return (name.strip(), rest.removesuffix(")").strip()) if bracket else (author.strip(), "")


def split_name(name: str) -> tuple[str, str]:
    """Family and given names: the last word is the family's unless a comma says otherwise."""
    if "," in name:
        family, _, given = name.partition(",")
        return family.strip(), given.strip()
    given, _, family = name.strip().rpartition(" ")
    return family, given.strip()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a string of JSON is one of YAML


# --------------------------------------------------------------------------------------------------- what a README says


def description(what: str, workflow: str, n_variants: int, parameters: Iterable[str]) -> str:
    """A package in one sentence."""
    named = {"all": "Results and code", "results": "Results", "code": "Code"}[what]
    return (
        f"{named} of the parameter sweep {workflow} ({render_count(n_variants, 'variant')}; parameters: "
        f"{', '.join(parameters) or 'none'}), packed by sciflow so that others can check it, read it and run it again."
    )


def facts(
    record: Mapping[str, Any],
    *,
    described: str,
    code: Mapping[str, Any],
    environment: Mapping[str, Any],
    locks: EnvironmentFiles | None,
    metrics: Iterable[Mapping[str, str]],
    runtime_s: float,
) -> dict[str, Any]:
    """What the README says, by its names in the template.

    Parameters
    ----------
    record
        As `sciflow.packaging.record.make_record` gives it.
    described
        The package in one sentence.
    environment
        The newest, empty if it was not recorded.
    metrics
        Name, numbers and tolerance of each, as the template asks for them.
    runtime_s
        Of all variants together.
    """
    return {
        **{key: record[key] for key in ("title", "name", "running", "made_at", "query", "sciflow", "seed")},
        "description": described,
        "counts_words": ", ".join(f"{n:,} {status}" for status, n in record["counts"].items()),
        "code_words": code_sentence(code),
        "based_on_words": ancestry_words(record["based_on"]) if record.get("based_on") else "",
        "authors_words": ", ".join(record["authors"]) or "not stated",
        "license_words": f"{record['license']}." if record["license"] else NOT_STATED,
        "effort": f"{render_seconds(runtime_s)} of computing in all",
        "environment_words": _environment_words(environment),
        "environment_notes": list(locks.notes) if locks else [],
        "hash_option": "--require-hashes " if locks and locks.has_hashes else "",
        "hardware": _hardware_words(environment),
        "script": record["run"]["script"],
        "why_not": record["run"].get("why_not", ""),
        "has_results": record["what"] != "code",
        "metrics": list(metrics),
        "left_out": record["left_out"],
        "pickles": record["pickles"],
    }


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
