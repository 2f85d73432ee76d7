"""Spaces as short texts and as small HTML tables for notebooks."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from sciflow.space.variant import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sciflow.space.axis import Axis
    from sciflow.space.table import Table
    from sciflow.space.variant import Parameter

_MOST = 6


def short_list(items: Iterable[object]) -> str:
    """The first items, and how many more there are."""
    listed = list(items)
    shown = ", ".join(map(str, listed[:_MOST]))
    return shown if len(listed) <= _MOST else f"{shown}, … {len(listed) - _MOST} more"


def short_text(value: object, width: int = 24) -> str:
    """The value's repr, cut to *width* characters."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def html_table(
    title: str,
    count: str,
    parameters: Sequence[Parameter],
    first: Table | None,
    axes: Sequence[Axis] | None,
) -> str:
    """A small table: parameters, how many values each has (on axes), and the first of them."""
    sizes = {axis.name: axis for axis in axes or ()}
    columns = {} if first is None else dict(zip([known.name for known in parameters], first.lists(), strict=True))
    rows: list[str] = []
    for known in parameters:
        axis = sizes.get(known.name)
        shown: list[object] = list(axis.values[:5]) if axis is not None else _distinct(columns.get(known.name, ()))
        cells = (
            known.name + ("" if known.unit is None else f" ({known.unit})"),
            "derived" if known.derived else "" if axis is None else f"{axis.n_variants:,}",
            ", ".join(map(short_text, shown)) + (", …" if axis is None or axis.n_variants > len(shown) else ""),
        )
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "<tr><th>parameter</th><th>values</th><th>first</th></tr>"
    caption = f"<caption>{html.escape(title)}: {html.escape(count)}</caption>"
    return f"<table>{caption}<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _distinct(values: Iterable[object]) -> list[object]:
    shown: list[object] = []
    for value in values:
        if value is not ABSENT and not any(value is other for other in shown):
            shown.append(value)
    return shown
