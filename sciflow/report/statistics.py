"""The results in numbers: what each metric is like, and which parameters matter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sciflow.errors import ResultsError
from sciflow.figures.spec import parse_figure
from sciflow.report.blocks import Folded, Heading, Paragraph, Table
from sciflow.report.figures import drawn
from sciflow.report.tables import csv_of, p_value_text, table_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from sciflow.report.blocks import Block
    from sciflow.report.material import Material

_MOST_METRICS: Final = 6
_MOST_LEVELS: Final = 60
_MOST_PAIRS: Final = 10
_MOST_PICTURES: Final = 2


def statistics(material: Material) -> Iterator[Block]:
    """A summary of the metrics, and what each parameter does to each."""
    summary = material.results.summary()
    yield table_of("Metrics over the variants that are done", summary, most=40, index=True)
    names = material.metrics[:_MOST_METRICS]
    if not names:
        return
    yield Heading("Which parameters matter")
    shares: dict[str, pd.DataFrame] = {}
    refused: dict[str, str] = {}
    for name in names:
        try:
            shares[name] = material.results.main_effects(name)
        except ResultsError as error:
            refused[name] = str(error)
    if shares:
        yield _importance(shares)
    for name, why in refused.items():
        yield Paragraph(f"Main effects on {name} cannot be computed: {why}.", "note")
    for name in list(shares)[:_MOST_PICTURES]:
        yield drawn(material, parse_figure(f"main effects on {name}", {"type": "main_effects", "value": name}))
    yield from _sensitivity(material, names)
    yield from _interactions(material, list(shares))
    for name, effects in shares.items():
        frame = effects.reset_index()
        table = table_of(f"Mean of {name} at each value of each parameter", frame, most=_MOST_LEVELS)
        yield Folded(
            f"Means of {name} at each value",
            (replace(table, download=csv_of(f"effects_{name}", frame), note=_with_note(table.note, effects)),),
        )


def _with_note(note: str, effects: pd.DataFrame) -> str:
    words = str(effects.attrs["note"])
    return " ".join(filter(None, (note, f"{words[:1].upper()}{words[1:]}." if words else "")))


def _importance(effects: dict[str, pd.DataFrame]) -> Table:
    """The share of each metric's variance that each parameter explains by itself."""
    parameters = list(dict.fromkeys(name for table in effects.values() for name in table.index.get_level_values(0)))
    of: dict[str, dict[str, tuple[float, float]]] = {
        metric: {
            str(name): (float(part["share"].iloc[0]), float(part["p_value"].iloc[0]))
            for name, part in table.groupby(level=0)
        }
        for metric, table in effects.items()
    }
    parameters.sort(key=lambda name: -max(one.get(name, (0.0, 1.0))[0] for one in of.values()))
    head = ["parameter", *(text for metric in effects for text in (metric, "p"))]
    rows = [(name, *(text for one in of.values() for text in _share(one.get(name)))) for name in parameters]
    methods = dict.fromkeys(str(table.attrs.get("method", "")) for table in effects.values())
    return Table(
        "Share of the variance that each parameter explains by itself",
        tuple(head),
        tuple(rows),
        frozenset(range(1, len(head))),
        f"η² of main effects, with the p-value of an F-test. {'; '.join(filter(None, methods))}".strip(),
    )


def _sensitivity(material: Material, names: list[str]) -> Iterator[Block]:
    """With interactions, where the design itself allows to tell; fitting a model takes too long for a page."""
    for name in names[: _MOST_METRICS // 2]:
        for method in ("grid", "sobol", "morris"):
            try:
                found = material.results.sensitivity(name, method=method)
            except ResultsError:
                continue
            why = f"{found.why[:1].upper()}{found.why[1:]}."
            yield table_of(f"Sensitivity of {name}: {found.measure}", found.table, most=40, index=True, note=why)
            break


def _interactions(material: Material, names: list[str]) -> Iterator[Block]:
    for name in names[: _MOST_METRICS // 2]:
        try:
            pairs = material.results.interactions(name)
        except ResultsError:
            continue  # fewer than two parameters vary
        yield Folded(
            f"Interactions of parameters on {name}",
            (
                table_of(
                    f"What pairs of parameters do to {name} beyond each alone", pairs, most=_MOST_PAIRS, index=True
                ),
            ),
        )


def _share(found: tuple[float, float] | None) -> tuple[str, str]:
    return (f"{found[0]:.1%}", p_value_text(found[1])) if found is not None else (text_of(None), text_of(None))
