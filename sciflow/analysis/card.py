"""Results as a card for notebooks: how far the sweep is, what varies, what came out, and what to do next."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.quantities import render_count
from sciflow.store.arrays import ArrayOutput
from sciflow.store.assembled import DONE, FAILED
from sciflow.store.outputs import plan_outputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants
    from sciflow.space.table import Column
    from sciflow.store.assembled import Assembled

_MOST_ROWS: Final = 12  # of a table
_MOST_VALUES: Final = 5  # that are listed one by one
_MOST_CHARACTERS: Final = 60
_COLOURS: Final = {"done": "#2e8b57", "stale": "#b8a13a", "failed": "#c0392b"}

# colours are the notebook's own, or half transparent, so that they suit a dark page too
_CELL: Final = "text-align:left;vertical-align:top;padding:1px 14px 1px 0;background:transparent;border:0"
_MUTED: Final = "opacity:.7"


def results_card(name: str, path: str, variants: Variants, assembled: Assembled, older: str) -> str:
    """HTML of the results; *older* says by what stale ones were made."""
    counts = variants.counts()
    parts = [
        f"<div><b>Results of {escape(name)}</b> <code style='background:transparent'>{escape(path)}</code></div>",
        _progress(counts, _stale_counts(variants), older),
        _table("parameter", "values", _parameters(variants)),
        _table("output", "range", _outputs(variants, assembled)),
        _next(variants, counts),
    ]
    return f"<div style='max-width:52em;line-height:1.45'>{''.join(parts)}</div>"


def _stale_counts(variants: Variants) -> dict[str, int]:
    stale = variants.status[variants.stale]
    return {"done": int((stale == DONE).sum()), "failed": int((stale == FAILED).sum())}


def _progress(counts: Mapping[str, int], stale: Mapping[str, int], older: str) -> str:
    n = sum(counts.values())
    shares = {"done": counts["done"] - stale["done"], "stale": stale["done"], "failed": counts["failed"]}
    bar = "".join(
        f"<span style='background:{_COLOURS[what]};width:{100 * share / max(n, 1):.4f}%'></span>"
        for what, share in shares.items()
        if share
    )
    words: list[str] = []
    for status, count in counts.items():
        mark = f"<span style='color:{_COLOURS[status]}'>■</span> " if status in _COLOURS else "□ "
        by = f" ({stale[status]:,} by older {escape(older)})" if stale.get(status) else ""
        words.append(f"<span style='white-space:nowrap'>{mark}{count:,} {status}{by}</span>")
    share = f" · {counts['done'] / n:.0%}" if n else ""
    return (
        f"<div role='img' aria-label='{counts['done']:,} of {n:,} done' style='display:flex;height:8px;max-width:32em;"
        f"border-radius:4px;overflow:hidden;background:#8884;margin:5px 0'>{bar}</div>"
        f"<div>{render_count(n, 'variant')}{share}: {' &nbsp; '.join(words)}</div>"
    )


def _table(what: str, values: str, rows: Sequence[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th style='{_CELL};{_MUTED};font-weight:normal'>{title}</th>" for title in (what, values, "unit"))
    lines = [
        "<tr style='background:transparent'>"
        + "".join(f"<td style='{_CELL}'>{cell}</td>" for cell in (f"<b>{escape(name)}</b>", shown, escape(unit)))
        + "</tr>"
        for name, shown, unit in rows[:_MOST_ROWS]
    ]
    if len(rows) > _MOST_ROWS:
        lines.append(f"<tr><td style='{_CELL}' colspan='3'>and {len(rows) - _MOST_ROWS:,} more</td></tr>")
    style = "border-collapse:collapse;margin:8px 0 0 0;border:0;color:inherit;font:inherit"
    return f"<table style='{style}'><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


# --------------------------------------------------------------------------------------------------------------- rows


def _parameters(variants: Variants) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for one in variants.table.parameters:
        shown = _values(variants.table.columns[one.name])
        derived = f" <span style='{_MUTED}'>computed from others</span>" if one.derived else ""
        rows.append((one.name, shown + derived, one.unit or ""))
    return rows


def _values(column: Column) -> str:
    used = np.bincount(column.codes + 1, minlength=len(column.pool) + 1)
    values: list[Any] = column.pool[used[1:] > 0].tolist()
    lacking = f" <span style='{_MUTED}'>(not in all variants)</span>" if used[0] else ""
    if set(map(type, values)) <= {int, float}:
        values = sorted(values)
    if len(values) <= _MOST_VALUES:
        return _listed(values) + lacking
    ends = (
        f"{_short(values[0])} … {_short(values[-1])}"
        if set(map(type, values)) <= {int, float}
        else f"{_listed(values[:3])}, …"
    )
    return f"{ends} <span style='{_MUTED}'>({len(values):,} values)</span>{lacking}"


def _outputs(variants: Variants, assembled: Assembled) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    plans = plan_outputs(assembled.snapshot.frames)
    for name, output in assembled.outputs.items():
        unit = str(output.attributes.get("units", ""))
        if isinstance(output, ArrayOutput):
            lengths = ", ".join(f"{dim}: {n:,}" for dim, n in zip(output.dims, output.extent, strict=True))
            rows.append((name, f"arrays ({escape(lengths)})", unit))
        else:
            values, recorded = np.ravel(output.values)[variants.done], plans[name].dtype
            if recorded is not None and recorded.kind == "b":  # numbers only where some are missing
                values = values[~np.isnan(values)].astype(np.bool_)
            rows.append((name, _range(values), unit))
    return rows


def _range(values: NDArray[Any]) -> str:  # noqa: PLR0911  one return for each type
    if not len(values):
        return "none yet"
    match values.dtype.kind:
        case "b":
            return f"true in {values.mean():.0%}"
        case "i" | "u" | "f":
            finite = values[np.isfinite(values)]
            n_odd = len(values) - len(finite)
            odd = f" <span style='{_MUTED}'>({n_odd:,} not finite)</span>" if n_odd else ""
            if not len(finite):
                return f"no finite value{odd}"
            low, high = finite.min(), finite.max()
            return (_short(low) if low == high else f"{_short(low)} … {_short(high)}") + odd
        case "O" | "U":
            different = list(dict.fromkeys(value for value in values.tolist() if value is not None))
            more = f", … <span style='{_MUTED}'>({len(different):,} values)</span>" if len(different) > 3 else ""
            return _listed(different[:3]) + more
        case "M":
            return f"{values.min()} … {values.max()}"
        case _:
            return escape(str(values.dtype))


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(_short, values))


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
    return escape(text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…")


def _next(variants: Variants, counts: Mapping[str, int]) -> str:
    numeric = [name for name in variants.metrics if variants.scalar(name).dtype.kind in "iuf"]
    hints: list[str] = []
    if counts["failed"]:
        hints.append("results.failures()")
    if counts["done"]:
        hints.append("results.dataset")
        hints += [f"results.find_optimal_parameters({numeric[0]!r})"] if numeric else []
        hints += ["results.visualize()", "results.report('report.html')", "results.export('table.csv')"]
    elif counts["missing"]:
        hints.append("results.watch()")
    shown = " · ".join(f"<code style='background:transparent'>{escape(hint)}</code>" for hint in hints)
    return f"<div style='margin-top:8px;{_MUTED};font-size:90%'>next: {shown}</div>" if hints else ""
