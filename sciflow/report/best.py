"""The best variants by each metric, how sure that is, and which others are as good."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.report.blocks import Folded, Paragraph, Table
from sciflow.report.tables import LACK, csv_of, table_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sciflow.analysis.optimum import Optimum
    from sciflow.report.blocks import Block
    from sciflow.report.material import Material

_MOST_METRICS: Final = 6
_MOST_OF_PLATEAU: Final = 10
_UP = {">=", ">"}


def best(material: Material) -> Iterator[Block]:
    """A row for each metric and end of it, and what is as good."""
    names = material.metrics
    if not names:
        yield Paragraph("No output is a single number for each variant, so none can be ranked.", "note")
        return
    goals = goals_of(material.definition)
    found = [
        (name, maximize, material.results.optimum(name, maximize=maximize))
        for name in names[:_MOST_METRICS]
        for maximize in goals.get(name, (True, False))
    ]
    parameters = list(dict.fromkeys(one for _, _, optimum in found for one in optimum.variant))
    yield Table(
        "The best variants by each metric",
        ("metric", "value", "95 % interval", "n", *map(material.labelled, parameters), "as good"),
        tuple(_row(material.labelled(name), maximize, one, parameters) for name, maximize, one in found),
        frozenset({1, 3}),
        _note(found, n_left_out=len(names) - _MOST_METRICS),
    )
    for name, maximize, optimum in found:
        if len(optimum.plateau) > 1:
            yield _plateau(f"{_end(maximize)} {name}", optimum)


def goals_of(definition: Mapping[str, Any]) -> dict[str, tuple[bool, ...]]:
    """Whether a metric is to be large or small, as far as criteria and figures say: maximize, for each metric."""
    found: dict[str, tuple[bool, ...]] = {}
    for one in definition.get("criteria", ()):
        if one["relation"] in {">=", ">", "<=", "<"}:
            found.setdefault(one["metric"], (one["relation"] in _UP,))
    for figure in definition.get("figures", ()):
        objectives = figure.get("objectives")
        if isinstance(objectives, dict):
            for metric, goal in objectives.items():
                found.setdefault(metric, (goal == "max",))
    return found


def _row(name: str, maximize: bool, one: Optimum, parameters: list[str]) -> tuple[str, ...]:  # noqa: FBT001  as users say it
    interval = f"{one.ci[0]:.5g} to {one.ci[1]:.5g}" if one.n > 1 else LACK
    others = len(one.plateau) - 1
    return (
        f"{_end(maximize)} {name}",
        text_of(one.value),
        interval,
        text_of(one.n),
        *(text_of(one.variant.get(parameter)) for parameter in parameters),
        f"{others:,} of {one.n_candidates - 1:,} others" if others else "no other",
    )


def _note(found: list[tuple[str, bool, Optimum]], n_left_out: int) -> str:
    notes: list[str] = []
    if any(one.n > 1 for _, _, one in found):
        notes.append("Replicates are averaged; the interval is Student's.")
    if any(one.n < 2 for _, _, one in found):
        notes.append("Of a single value (n = 1) there is no interval; replicates would give one.")
    criteria = dict.fromkeys(one.criterion for _, _, one in found if len(one.plateau) > 1)
    if len(criteria) == 1:
        notes.append(f"As good: {next(iter(criteria))}.")
    if n_left_out > 0:
        notes.append(f"{n_left_out} further metrics are left out.")
    return " ".join(notes)


def _plateau(title: str, optimum: Optimum) -> Folded:
    n = len(optimum.plateau) - 1
    frame = optimum.plateau
    empty = [name for name in ("ci_low", "ci_high", "p_value") if not np.isfinite(frame[name].to_numpy()).any()]
    frame = frame.drop(columns=empty)
    shown = table_of(f"The {title}, and what is as good", frame, most=_MOST_OF_PLATEAU)
    note = f"{shown.note} As good means: {optimum.criterion}.".strip()
    table = replace(shown, note=note, download=csv_of(f"plateau_{title}", frame))
    others = "1 other is" if n == 1 else f"{n:,} others are"
    return Folded(f"{others} as good as the {title}", (table,))


def _end(maximize: bool) -> str:  # noqa: FBT001  as users say it
    return "largest" if maximize else "smallest"
