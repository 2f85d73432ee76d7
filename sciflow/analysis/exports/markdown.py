"""Markdown: a table as GitHub and most notebooks show it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sciflow.analysis.exports.texts import texts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sciflow.analysis.exports.table import ExportTable, Field

_SPECIAL: Final = re.compile(r"([\\|`*_\[\]<>&#~$])")


def write_markdown(table: ExportTable, path: Path, digits: int | None = None) -> None:
    """Write the table; a cell without a value is empty."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_row(map(_heading, table.fields)))
        file.write(_row("--:" if one.type in {"integer", "number"} else ":--" for one in table.fields))
        for piece in table.pieces():
            columns = [_cells(one, texts(values, "", digits)) for one, values in zip(table.fields, piece, strict=True)]
            file.writelines(map(_row, zip(*columns, strict=True)))
        sweep = f"Sweep {escape(str(table.about['sweep']))} (`{table.about['sweep_id']}`)"
        left_out = ", ".join(map(escape, table.left_out))
        left_out = f"; left out, for they are arrays for each variant: {left_out}" if left_out else ""
        file.write(f"\n{sweep}, {table.n_rows:,} of {table.about['n_variants']:,} variants{left_out}.\n")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _heading(one: Field) -> str:
    return escape(one.name) + ("" if one.unit in {None, "", "1"} else f" ({escape(one.unit or '')})")


def _cells(one: Field, written: list[str]) -> list[str]:
    return list(map(escape, written)) if one.type == "string" else written


def escape(text: str) -> str:
    """A text that is shown as it is; its lines are divided by ``<br>``."""
    return re.sub(r"\r\n|\r|\n", "<br>", _SPECIAL.sub(r"\\\1", text))
