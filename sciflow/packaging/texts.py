"""The texts of a package: what people read first, and what pip reads."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sciflow.provenance.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sciflow.workflow.task import Task


_LOCAL: Final = frozenset({"archive", "editable", "folder"})
"""Kinds of origins that are not version control systems."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Source texts of the tasks' functions.

    Attributes
    ----------
    files
        Task to text.
    notes
        What a reader has to know about each task's source, or why it is left out.
    """

    files: Mapping[str, str]
    notes: Mapping[str, str]


def read_sources(tasks: Iterable[Task], recorded: Mapping[str, str]) -> Sources:
    """The source of each task's function, as far as it is the code that ran.

    Parameters
    ----------
    recorded
        Task to the fingerprint of the code that ran.
    """
    files: dict[str, str] = {}
    notes: dict[str, str] = {}
    for task in tasks:
        function: Any = task.function
        while hasattr(function, "func"):  # functools.partial
            function = function.func
        try:
            source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
        except (OSError, TypeError):
            notes[task.name] = "left out, its source is not at hand"
            continue
        if task.name not in recorded:
            notes[task.name] = "as it was when the package was made; what ran was not recorded to compare with"
        elif recorded[task.name] != fingerprint(*task.functions()):
            notes[task.name] = "left out, it was changed after the sweep ran"
            continue
        else:
            notes[task.name] = "the code that ran (its recorded fingerprint agrees)"
        files[task.name] = source
    return Sources(files, notes)


def requirements(environment: Mapping[str, Any]) -> str:
    """Pins of the packages that the sweep could import, in pip's format.

    Those that came from no index are pinned where pip can find them again, else they are comments.
    """
    python = environment.get("python", {}).get("version", "unknown")
    lines = [
        f"# Packages that could be imported where the sweep ran, under Python {python}.",
        "# Versions only: no hashes, and not which of them the tasks need.",
    ]
    origins: Mapping[str, Any] = environment.get("origins", {})
    packages: Mapping[str, str] = environment.get("packages", {})
    for name, version in sorted(packages.items(), key=lambda item: item[0].lower()):
        origin = origins.get(name)
        lines.append(f"{name}=={version}" if origin is None else _line_of_origin(name, version, origin))
    return "\n".join(lines) + "\n"


def _line_of_origin(name: str, version: str, origin: Mapping[str, Any]) -> str:
    kind, url = origin["kind"], str(origin.get("url", ""))
    if kind == "archive" and "://" in url:
        return f"{name} @ {url}" + (f"#sha256={origin['sha256']}" if origin.get("sha256") else "")
    if kind not in _LOCAL and origin.get("commit"):
        part = f"#subdirectory={origin['subdirectory']}" if origin.get("subdirectory") else ""
        return f"{name} @ {kind}+{url}@{origin['commit']}{part}"
    commit = f" at commit {origin['commit']}" if origin.get("commit") else ""
    changed = ", with changes that were not committed" if origin.get("dirty") else ""
    return f"# {name}=={version} came from a local {kind}, {url}{commit}{changed}"


def readme(facts: Mapping[str, Any], files: Mapping[str, str], sources: Sources, manifest_sha256: str) -> str:
    """The README of a package.

    Parameters
    ----------
    facts
        ``name``, ``workflow``, ``counts``, ``code``, ``authors``, ``license``.
    files
        Name of each file to a sentence on what it is.
    """
    counts = ", ".join(f"{n:,} {status}" for status, n in facts["counts"].items())
    authors = ", ".join(facts["authors"]) or "not stated"
    contents = "\n".join(f"| `{name}` | {words} |" for name, words in sorted(files.items()))
    tasks = "\n".join(f"- `{task}`: {note}" for task, note in sources.notes.items())
    return f"""# {facts["name"]}

The results of the parameter sweep `{facts["workflow"]}`, packed by sciflow.

- Variants: {counts}.
- Code: {_code_sentence(facts["code"])}
- Authors: {authors}
- License: {facts["license"] or "not stated; ask the authors before you reuse it"}

## What is inside

| file | |
|---|---|
{contents}

Source texts of the tasks:

{tasks}

## Check it

    sha256sum -c manifest-sha256.txt

finds damage to any file but this one. That nobody replaced the files together with the manifest you know if the
authors published the SHA-256 of the manifest elsewhere, and it is this one:

    {manifest_sha256}  manifest-sha256.txt

## Open it

No sciflow is needed:

```python
import pandas
import xarray

table = pandas.read_csv("results.csv", index_col="variant")  # one row per variant
dataset = xarray.open_dataset("results.h5", engine="h5netcdf")  # labelled arrays, with the metadata in .attrs
```

`status` in the table is `done`, `failed` or `missing`; in `results.h5` it is a number that the attribute
`flag_meanings` explains. Only variants that are done have results; an empty cell elsewhere is not a zero.

## What it does not contain

- No command that runs the sweep again, and nothing that checks a new run against these numbers.
- No exact lock of the environment: `requirements.txt` has versions without hashes, for one system.
- Of the code only the functions named above: not the modules, data and constants they use.
- No input files, checkpoints, logs or files that tasks wrote.
"""


def _code_sentence(code: Mapping[str, Any]) -> str:
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
