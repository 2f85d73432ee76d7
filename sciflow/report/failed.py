"""What went wrong, and what tells those variants from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from sciflow.analysis.plots.failure_map import telling_parameters
from sciflow.analysis.plots.values import read_rows
from sciflow.figures.spec import parse_figure
from sciflow.report.blocks import Code, Facts, Folded, Paragraph, Table
from sciflow.report.figures import drawn
from sciflow.report.tables import LACK, TIMES, csv_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sciflow.report.blocks import Block
    from sciflow.report.material import Material

_MOST: Final = 20
_MOST_DETAILS: Final = 8
_MOST_LINES: Final = 40


def failed(material: Material) -> Iterator[Block]:
    """Reasons, the most frequent first."""
    n = material.counts["failed"]
    if not n:
        yield Paragraph("No variant failed." if material.counts["done"] else "No variant has failed so far.")
        return
    reasons = material.results.failures()
    rows: Sequence[Mapping[str, Any]] = reasons.to_dict("records")
    counted = "one reason" if len(rows) == 1 else f"{len(rows):,} reasons"
    yield Paragraph(f"{n:,} variants failed, for {counted}.")
    yield Table(
        "Reasons for failures",
        ("task", "what happened", "n", "only where", "for example"),
        tuple(
            (
                str(row["task"]) or LACK,
                what_happened(row),
                f"{row['count']:,}",
                row["separated_by"] or row["in_common"] or "nothing simple tells them apart",
                row["example"],
            )
            for row in rows[:_MOST]
        ),
        frozenset({2}),
        "“Only where” holds for these failures and, unless it says so, for no variant that is done."
        + (f" The first {_MOST} of {len(rows):,} reasons." if len(rows) > _MOST else ""),
        csv_of("failures", reasons),
    )
    if material.counts["done"]:
        yield _map(material)
    for row in rows[:_MOST_DETAILS]:
        if row["traceback"] or row["output"] or row["warnings"]:
            yield Folded(f"{row['count']:,} {TIMES} {what_happened(row)}", tuple(_details(row)))


def _map(material: Material) -> Block:
    """Where in the space they are."""
    dataset = material.dataset
    rows = read_rows(dataset, parameters=material.parameters)
    names = telling_parameters(rows)[:2]
    spec = parse_figure("where variants failed", {"type": "failure_map", **dict(zip("xy", names, strict=False))})
    settled = rows.done | rows.failed
    columns = {name: column.values for name, column in rows.columns.items() if name in names}  # noqa: PD011  ours
    frame = pd.DataFrame({**columns, "failed": rows.failed}).loc[settled]
    by: Any = frame.groupby(names, sort=False, dropna=False)["failed"] if names else frame
    return drawn(material, spec, dataset, by.agg(["sum", "count", "mean"]).reset_index() if names else frame)


def what_happened(row: Mapping[str, Any]) -> str:
    """Cause or exception, and the first line of what it says."""
    first = next(iter(str(row["message"]).splitlines()), "")
    return text_of(": ".join(part for part in (str(row["type"] or row["cause"]), first) if part))


def _details(row: Mapping[str, Any]) -> Iterator[Block]:
    yield Facts((("example", row["example"]), ("message", str(row["message"])[:2000])))
    for part in ("traceback", "warnings", "output"):
        if row[part]:
            lines = str(row[part]).rstrip().splitlines()
            more = [f"… {len(lines) - _MOST_LINES} lines before"] if len(lines) > _MOST_LINES else []
            yield Code("\n".join([*more, *lines[-_MOST_LINES:]]))
