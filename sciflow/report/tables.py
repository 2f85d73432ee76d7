"""Numbers as people read them, and tables of data as tables of a page."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.report.blocks import Download, Table
from sciflow.report.material import file_name_of, is_lack

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

MOST_CSV_ROWS: Final = 2_500
"""Rows of a file within the page, of which there may be some ten."""

LACK: Final = "\N{EN DASH}"
"""What stands where there is no value."""

TIMES: Final = "\N{MULTIPLICATION SIGN}"

_LONGEST: Final = 80
_FEW_VALUES: Final = 8


def text_of(value: Any) -> str:
    """A value as people read it, with five significant digits."""
    if is_lack(value):
        return LACK
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}" if abs(int(value)) >= 10_000 else str(value)
    if isinstance(value, float | np.floating):
        return f"{value:.5g}"
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def span_of(values: Sequence[Any]) -> str:
    """The values of a parameter: all if they are few, else the first and the last."""
    if len(values) <= _FEW_VALUES:
        return ", ".join(map(text_of, values))
    return f"{', '.join(map(text_of, values[:3]))}, …, {text_of(values[-1])}"


def p_value_text(p: float) -> str:
    """A probability as papers print it."""
    if is_lack(p):
        return LACK
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def table_of(
    caption: str, frame: pd.DataFrame, *, most: int | None = None, note: str = "", index: bool = False
) -> Table:
    """A table of data, without empty columns; of more rows than *most* only the first."""
    shown = (frame.reset_index() if index else frame).dropna(axis="columns", how="all")
    head = tuple(map(str, shown.columns))
    numeric = frozenset(k for k, name in enumerate(shown.columns) if shown[name].dtype.kind in "iuf")
    n = len(shown)
    cut = shown if most is None else shown.head(most)
    rows = tuple(tuple(map(text_of, row)) for row in cut.itertuples(index=False, name=None))
    notes = [note] if note else []
    notes += [f"The first {len(cut):,} of {n:,} rows."] if len(cut) < n else []
    return Table(caption, head, rows, numeric, " ".join(notes))


def csv_of(name: str, frame: pd.DataFrame) -> Download:
    """A table as a file; of many rows some, evenly spread."""
    n = len(frame)
    step = -(-n // MOST_CSV_ROWS) if n else 1
    text = frame.iloc[::step].to_csv(index=False, lineterminator="\n")
    note = f"every {_ordinal(step)} of {n:,} rows; results.export has all" if step > 1 else ""
    return Download(f"{file_name_of(name)}.csv", text, note)


def _ordinal(n: int) -> str:
    suffix = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{suffix}"
