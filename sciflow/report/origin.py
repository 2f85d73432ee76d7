"""Where the numbers come from, and how to get them again."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from sciflow.analysis.metadata import code_words, environment_words, input_words
from sciflow.quantities import render_bytes
from sciflow.report.blocks import Code, Facts, Folded, Heading, Paragraph, Table
from sciflow.report.tables import LACK, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sciflow.report.blocks import Block
    from sciflow.report.material import Material

_MOST: Final = 20  # sessions, inputs, environments, differences


def origin(material: Material) -> Iterator[Block]:
    """Code, inputs, environments, and who ran it."""
    metadata = material.metadata
    code: Mapping[str, Any] = metadata["code"]
    repository: Mapping[str, Any] = code.get("repository") or {}
    facts = [("sweep", str(metadata["sweep"].get("sweep", LACK))), ("code", code_words(code))]
    tree = repository.get("tree") or code.get("tree")
    facts += [("commit", str(repository["commit"]))] if repository.get("commit") else []
    facts += [("tree", str(tree))] if tree else []
    facts += [("seed", f"{metadata['seeds']['sweep']} ({metadata['seeds']['generator']})")]
    facts += [("input", input_words(one)) for one in metadata["inputs"][:_MOST]]
    yield Facts(tuple(facts))
    if repository.get("dirty"):
        yield Paragraph("The code had changes that no commit has; the sweep directory keeps them.", "warning")
    yield from _environments(material)
    yield _sessions(metadata["sessions"])


def _environments(material: Material) -> Iterator[Block]:
    known: Mapping[str, Mapping[str, Any]] = material.metadata["environments"]
    counts = material.results.environment_counts()
    used = {digest: known[digest] for digest in counts if digest in known} or dict(known)
    yield Heading("Environment" if len(used) < 2 else "Environments")
    if not used:
        yield Paragraph("None is recorded.", "note")
        return
    if len(used) > 1:
        yield Table(
            "Environments that results were computed in",
            ("environment", "variants"),
            tuple((environment_words({"digest": d, **used[d]}), f"{counts.get(d, 0):,}") for d in list(used)[:_MOST]),
            frozenset({1}),
        )
        differing = material.results.environment_differences()
        if differing:
            yield Table(
                "In what they differ",
                ("fact", *(digest[:12] for digest in list(used)[:_MOST])),
                tuple(
                    (name, *(text_of(values.get(digest)) for digest in list(used)[:_MOST]))
                    for name, values in list(differing.items())[:_MOST]
                ),
                note=f"The first {_MOST} of {len(differing)} facts." if len(differing) > _MOST else "",
            )
    yield from _environment(material.results.environment)


def _environment(one: Mapping[str, Any]) -> Iterator[Block]:
    python, system, machine = one.get("python", {}), one.get("system", {}), one.get("machine", {})
    memory = machine.get("memory_bytes")
    rows = [
        ("Python", f"{python.get('implementation', '')} {python.get('version', LACK)}".strip()),
        ("system", f"{system.get('os', LACK)}, {system.get('kernel', '')}".rstrip(", ")),
        (
            "machine",
            f"{machine.get('cpu', LACK)}, {machine.get('n_cores', '?')} cores"
            + (f", {render_bytes(memory)}" if memory else ""),
        ),
    ]
    yield Facts(tuple(rows))
    packages: Mapping[str, Any] = one.get("packages", {})
    if packages:
        listed = ", ".join(f"{name} {version}" for name, version in packages.items())
        yield Folded(f"{len(packages):,} installed packages", (Paragraph(listed),))


def _sessions(sessions: Sequence[Mapping[str, Any]]) -> Block:
    rows = tuple(
        (
            str(one.get("session", "")),
            str(one.get("host", LACK)),
            str(one.get("since", LACK)).replace("T", " ")[:16],
            str(one.get("ended", LACK)).replace("T", " ")[:16],
        )
        for one in sessions[-_MOST:]
    )
    note = f"The last {_MOST} of {len(sessions)}." if len(sessions) > _MOST else ""
    table = Table("Sessions: each time that somebody ran it", ("session", "host", "from", "until"), rows, note=note)
    return Folded(f"{len(sessions):,} session{'s' * (len(sessions) != 1)}", (table,))


def reproduce(material: Material) -> Iterator[Block]:
    """Commands that look at the results, run one variant again, or the whole sweep."""
    metadata = material.metadata
    name = material.results.directory.name
    yield Paragraph("With the sweep's directory and sciflow installed, in a terminal and in Python:")
    yield Code(f"sciflow results {name}\nsciflow status {name} --provenance", "sh")
    yield Code(f'import sciflow\n\nresults = sciflow.open_results("sweeps/{name}")\nresults.dataset', "python")
    script = _script(metadata["sessions"])
    repository: Mapping[str, Any] = metadata["code"].get("repository") or {}
    lines: list[str] = []
    if repository.get("commit"):
        lines.append(f"git checkout {repository['commit']}  # of {repository.get('name')}")
    if script:
        lines.append(f"sciflow run {script}")
    if lines:
        yield Paragraph("To compute everything again, with the same seeds:")
        yield Code("\n".join(lines), "sh")
    yield Paragraph(
        "Each variant draws its random numbers from the seed above and its parameters alone, so it gives the same "
        "result whenever and wherever it runs, as far as code, environment and machine are the same.",
        "note",
    )


def _script(sessions: Sequence[Mapping[str, Any]]) -> str:
    """The name of the script, without the folders of somebody's machine."""
    told = next((one["argv"][0] for one in reversed(sessions) if one.get("argv")), "")
    return PurePath(told).name if str(told).endswith(".py") else ""
