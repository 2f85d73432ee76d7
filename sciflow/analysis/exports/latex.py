r"""LaTeX: a ``tabular`` with booktabs rules, numbers aligned by siunitx; a ``longtable`` beyond a page.

The file is read with ``\input`` within a ``table`` of one's own; a comment at its top names the packages that it needs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from sciflow.analysis.exports.texts import NOT_NUMBERS, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    from sciflow.analysis.exports.table import ExportTable, Field

LINES_OF_A_PAGE: Final = 40
MISSING: Final = "--"

_SPECIAL: Final = {
    **{one: "\\" + one for one in "{}$&#_%"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}
_SPECIALS: Final = str.maketrans(_SPECIAL)
_LITERAL_UNIT: Final = re.compile(r"[A-Za-z0-9./*()^+ -]+")  # what \unit prints as it is
_NUMBER: Final = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:e([+-]?)0*(\d+))?")


def write_latex(table: ExportTable, path: Path, digits: int | None = None) -> None:
    """Write the table; numbers have as many digits as it takes to read the same ones, or *digits* significant ones."""
    is_long = table.n_rows > LINES_OF_A_PAGE
    environment = "longtable" if is_long else "tabular"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        _write_comment(file, table, is_long=is_long)
        columns = "".join(_column(table, one, digits) for one in table.fields)
        file.write(f"\\begin{{{environment}}}{{{columns}}}\n\\toprule\n")
        file.write(" & ".join(map(_heading, table.fields)) + " \\\\\n\\midrule\n")
        if is_long:
            file.write("\\endhead\n\\bottomrule\n\\endfoot\n")
        for row in _rows(table, digits):
            file.write(" & ".join(row) + " \\\\\n")
        file.write("" if is_long else "\\bottomrule\n")
        file.write(f"\\end{{{environment}}}\n")


def _write_comment(file: TextIO, table: ExportTable, *, is_long: bool) -> None:
    packages = "booktabs, siunitx" + (", longtable" if is_long else "")
    about = ", ".join(f"{key} {value}" for key, value in table.about.items() if key not in {"created", "seed"})
    lines = [f"needs \\usepackage{{{packages}}}, and \\usepackage[T1]{{fontenc}} unless LuaLaTeX or XeLaTeX runs it"]
    lines.append(f"results of {about}")
    if table.left_out:
        lines.append(f"left out, for they are arrays for each variant: {', '.join(table.left_out)}")
    file.writelines(f"% {' '.join(line.split())}\n" for line in lines)


def _heading(one: Field) -> str:
    unit = "" if one.unit in {None, "", "1"} else f" ({_unit(one.unit or '')})"
    return f"{{{escape(one.name)}{unit}}}"


def _unit(unit: str) -> str:
    return f"\\unit{{{unit}}}" if _LITERAL_UNIT.fullmatch(unit) else escape(unit)


def _is_number(one: Field) -> bool:
    return one.type in {"integer", "number"}


def _column(table: ExportTable, one: Field, digits: int | None) -> str:
    if not _is_number(one):
        return "l"
    written = (text for values in table.column(one) for text in texts(values, "", digits))
    return f"S[table-format={table_format(written)}]"


def table_format(written: Iterable[str]) -> str:
    """The ``table-format`` of siunitx in which all these numbers have their places."""
    sign = exponent_sign = ""
    whole, decimals, exponent = 1, 0, 0
    for text in written:
        found = _NUMBER.fullmatch(text)
        if found is None:  # no value, or no finite one
            continue
        minus, before, after, power_sign, power = found.groups()
        sign = minus or sign
        whole, decimals = max(whole, len(before)), max(decimals, len(after or ""))
        exponent = max(exponent, len(power or ""))
        exponent_sign = "-" if power_sign == "-" else exponent_sign
    mantissa = f"{sign}{whole}" + (f".{decimals}" if decimals else "")
    return mantissa + (f"e{exponent_sign}{exponent}" if exponent else "")


def _rows(table: ExportTable, digits: int | None) -> Iterator[tuple[str, ...]]:
    for piece in table.pieces():
        columns: list[list[str]] = []
        for one, values in zip(table.fields, piece, strict=True):
            written = texts(values, MISSING, digits)
            if _is_number(one):
                written = [_braced(text) for text in written]
            else:
                # a text may be "--" itself
                absent = np.ma.getmaskarray(values).tolist()
                written = [t if gone else escape(t) for t, gone in zip(written, absent, strict=True)]
            columns.append(written)
        yield from zip(*columns, strict=True)


def _braced(text: str) -> str:
    """What is no number stands in braces in a column of numbers."""
    if text in NOT_NUMBERS.values():
        return {"NaN": "{NaN}", "INF": "{$\\infty$}", "-INF": "{$-\\infty$}"}[text]
    return f"{{{text}}}" if text == MISSING else text


def escape(text: str) -> str:
    """A text that LaTeX prints as it is; its lines are stacked."""
    lines = [line.translate(_SPECIALS) for line in text.splitlines()]
    escaped = "\\shortstack[l]{" + "\\\\".join(lines) + "}" if len(lines) > 1 else "".join(lines)
    # after the end of a row, brackets and stars would belong to it; two dashes are a dash in print
    return re.sub("-(?=-)", "-{}", "{}" + escaped if escaped.startswith(("[", "*")) else escaped)
