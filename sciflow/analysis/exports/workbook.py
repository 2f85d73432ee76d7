"""Excel: the results, a dictionary of their columns, and where they come from, a sheet each."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.analysis.exports.texts import NOT_NUMBERS
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sciflow.analysis.exports.table import ExportTable, Field, Values

MOST_ROWS: Final = 2**20 - 1
"""Rows of a sheet, less the one with the names."""

_MOST_COLUMNS: Final = 2**14
_MOST_CHARACTERS: Final = 32_767  # of a cell
_EXACT: Final = 2**53  # a cell holds no larger whole number exactly
_FIRST_YEAR: Final = 1900
_ESCAPED: Final = re.compile(r"_x[0-9A-Fa-f]{4}_")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]")


class _Digits(str):
    """A number that openpyxl, which writes 16 digits, would round."""

    __slots__ = ()


def write_workbook(table: ExportTable, path: Path) -> None:
    """Write the table; text stays text, also where a spreadsheet would take it for a formula.

    Raises
    ------
    ResultsError
        There are more variants than a sheet has rows, or the package openpyxl is not installed.
    """
    if table.n_rows > MOST_ROWS or len(table.fields) > _MOST_COLUMNS:
        raise ResultsError(
            f"an Excel sheet has {MOST_ROWS + 1:,} rows and {_MOST_COLUMNS:,} columns, too few for {table.n_rows:,} "
            "variants and their names: choose some with where= and columns=, or export to .csv or .parquet"
        )
    try:
        from openpyxl import Workbook  # noqa: PLC0415  an extra
        from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415  same
        from openpyxl.styles import Font  # noqa: PLC0415  same
    except ImportError as error:
        raise ResultsError(
            'an .xlsx file needs the package openpyxl, which is not installed; pip install "sciflow[tables]"'
        ) from error
    book = Workbook(write_only=True)
    bold = Font(bold=True)

    def add_sheet(name: str, rows: Iterable[Iterable[Any]], widths: Iterable[int]) -> None:
        sheet = book.create_sheet(name)
        sheet.freeze_panes = "A2"
        for place, width in enumerate(widths):
            sheet.column_dimensions[_letters(place)].width = width

        def text(value: str) -> Any:
            cell = WriteOnlyCell(sheet, value=escaped(value))
            if isinstance(value, _Digits):
                cell.data_type = "n"
                return cell
            cell.data_type = "s"  # what begins with "=" would be a formula
            cell.quotePrefix = True  # and would become one when somebody edits the cell
            return cell

        for number, row in enumerate(rows):
            cells = [text(value) if isinstance(value, str) else value for value in row]
            if number == 0:
                for cell in cells:
                    cell.font = bold
            sheet.append(cells)

    names = [one.name for one in table.fields]
    add_sheet("results", _rows(table), [max(12, min(24, len(name) + 3)) for name in names])
    add_sheet("dictionary", _dictionary(table), (24, 12, 12, 12, 70))
    add_sheet("provenance", _provenance(table), (24, 80))
    book.save(path)


def _rows(table: ExportTable) -> Iterable[Iterable[Any]]:
    yield [one.name for one in table.fields]
    converters = [_converter(one) for one in table.fields]
    for piece in table.pieces():
        yield from zip(
            *(_cells(values, convert) for values, convert in zip(piece, converters, strict=True)), strict=True
        )


def _cells(values: Values, convert: Callable[[Any], Any]) -> list[Any]:
    data: list[Any] = np.ma.getdata(values).tolist()
    mask = np.ma.getmaskarray(values).tolist()
    return [None if absent else convert(value) for value, absent in zip(data, mask, strict=True)]


def _converter(one: Field) -> Callable[[Any], Any]:
    """How a value becomes what a cell can hold."""
    match one.type:
        case "number":
            single = one.dtype != np.float64

            def number(value: float) -> Any:
                if not math.isfinite(value):
                    return NOT_NUMBERS[repr(value)]
                if single:  # 0.1 of single precision is meant as 0.1
                    return float(str(one.dtype.type(value)))
                return value if float(f"{value:.16g}") == value else _Digits(repr(value))

            return number
        case "integer":
            return lambda value: value if abs(value) <= _EXACT else str(value)
        case "date" | "datetime":
            return _moment
        case _:
            return lambda value: value


def _moment(value: Any) -> Any:
    if isinstance(value, int):  # nanoseconds, from which NumPy makes no datetime
        value = np.datetime64(value, "ns").astype("datetime64[us]").item()
    is_exact = not isinstance(value, dt.datetime) or value.microsecond % 1000 == 0  # a cell keeps milliseconds
    return value if isinstance(value, dt.date) and value.year > _FIRST_YEAR and is_exact else value.isoformat()


def escaped(value: str) -> str:
    """A text as cells hold it: what XML cannot say is written ``_x0007_``; one too long ends with an ellipsis."""
    value = _ESCAPED.sub(lambda found: f"_x005F{found[0]}", value)
    value = _CONTROL.sub(lambda found: f"_x{ord(found[0]):04X}_", value)
    return value if len(value) <= _MOST_CHARACTERS else value[: _MOST_CHARACTERS - 1] + "…"


def _dictionary(table: ExportTable) -> Iterable[Iterable[Any]]:
    yield ["column", "unit", "type", "role", "description"]
    for one in table.fields:
        yield [
            one.name,
            one.unit or "",
            one.type,
            one.role,
            one.description + ("" if one.required else "; may be empty"),
        ]
    yield []
    notes = [
        "An empty cell: there is no value, or an empty text. NaN, INF and -INF: the value is not a finite number.",
        f"Text, for Excel has no such: whole numbers beyond {_EXACT:,}, dates before {_FIRST_YEAR + 1}, microseconds.",
        f"Text of more than {_MOST_CHARACTERS:,} characters ends with an ellipsis.",
    ]
    if table.left_out:
        notes.append(f"Left out, for they are arrays for each variant: {', '.join(table.left_out)}; see a .nc file.")
    for note in notes:
        yield [note]


def _provenance(table: ExportTable) -> Iterable[Iterable[Any]]:
    yield ["what", "value"]
    for key, value in {**table.about, "n_rows": table.n_rows}.items():
        yield [key, value]


def _letters(place: int) -> str:
    from openpyxl.utils import get_column_letter  # noqa: PLC0415  an extra

    return get_column_letter(place + 1)
