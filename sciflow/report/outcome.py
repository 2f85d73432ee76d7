"""How far the sweep is, or how it ended."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import ResultsError
from sciflow.quantities import render_seconds
from sciflow.report.blocks import Facts, Paragraph, Shares
from sciflow.report.tables import table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sciflow.report.blocks import Block
    from sciflow.report.material import Material

_STATES: Final = {
    "complete": "is complete",
    "running": "is running",
    "waiting": "waits for its time",
    "submitted": "is submitted",
    "silent": "gives no sign of life",
    "stopped": "was stopped before its end",
    "failed": "was given up",
    "died": "broke off: its driver died",
    "new": "has not begun",
}
_GO_ON: Final = frozenset({"running", "waiting", "submitted", "silent"})
"""States of sweeps of which more may be known a moment later: of others a report does not depend on when it is made."""


def headline(material: Material) -> str:
    """How the sweep is, in a sentence."""
    counts = material.counts
    total = sum(counts.values())
    words = [f"{counts['done']:,} of {total:,} variants are done"]
    words += [f"{counts['failed']:,} failed"] if counts["failed"] else []
    words += [f"{counts['missing']:,} are still missing"] if counts["missing"] else []
    return f"The sweep {_STATES[material.status.state]}: {_listed(words)}."


def cards(material: Material) -> tuple[tuple[str, str, str], ...]:
    """The numbers that everybody wants."""
    counts = material.counts
    total = sum(counts.values())
    share = f"{counts['done'] / total:.0%} of {total:,} variants" if total else "no variants"
    found = [("Done", f"{counts['done']:,}", share)]
    if counts["failed"]:
        found.append(("Failed", f"{counts['failed']:,}", f"{counts['failed'] / total:.1%} of all"))
    if counts["missing"]:
        left = material.status.left
        more = f"about {render_seconds(left.usual_s)} left" if left is not None else "not run yet"
        found.append(("Missing", f"{counts['missing']:,}", more))
    if hours := float(material.metadata["core_hours"]):
        found.append(("Held", render_seconds(hours * 3600), "of core time by all workers, busy or not"))
    return tuple(found)


def outcome(material: Material) -> Iterator[Block]:
    """Counts, times, and what is not finished."""
    counts, status = material.counts, material.status
    words = {"done": "done", "failed": "failed", "missing": "missing"}
    yield Shares(headline(material), tuple((name, words[name], counts[name]) for name in words))
    facts = [("state", f"The sweep {_STATES[status.state]}.")]
    facts += [("stopped or waiting because", status.waiting)] if status.waiting else []
    facts += [("started", when)] if (when := _first(material.metadata["sessions"], "since")) else []
    if status.rate:
        facts.append(("speed", f"{status.rate:.3g} variants/s of late"))
    if status.left is not None:
        facts.append(("time left", f"about {render_seconds(status.left.usual_s)}, if it goes on like this"))
    if status.state in _GO_ON:
        facts.append(("looked at", moment(dt.datetime.fromtimestamp(status.time, dt.UTC))))
    yield Facts(tuple(facts))
    if counts["done"] and material.definition.get("criteria"):
        yield from _criteria(material)
    if counts["missing"] and counts["done"]:
        yield Paragraph(
            "Everything below is about the variants that have results so far, and may change as others come in.", "note"
        )
    if not counts["done"] and not counts["failed"]:
        yield Paragraph("No variant has run yet, so there is nothing more to show but what was asked.", "note")
    elif not counts["done"]:
        yield Paragraph("No variant succeeded, so there are no results to show; the reasons are below.", "warning")
    if mixture := material.results.mixture():
        yield Paragraph(mixture, "warning")
    for problem in status.problems:
        yield Paragraph(problem, "warning")


def _criteria(material: Material) -> Iterator[Block]:
    """Which variants met what was wanted."""
    try:
        found = material.results.success()
    except ResultsError as error:
        yield Paragraph(f"Success criteria cannot be judged: {error}", "note")
        return
    passed = found.counts["passed"]
    yield Paragraph(f"{passed:,} of {sum(found.counts.values()):,} variants meet all success criteria.")
    yield table_of("Success criteria", found.criteria, index=True)


def moment(time: dt.datetime) -> str:
    """A time of the day for readers anywhere."""
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def _first(sessions: Sequence[Mapping[str, Any]], key: str) -> str:
    told = next((str(one[key]) for one in sessions if one.get(key)), "")
    try:
        return moment(dt.datetime.fromisoformat(told)) if told else ""
    except ValueError:
        return told


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
