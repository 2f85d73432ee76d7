"""What no other variant beats in both of two metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import matplotlib as mpl
import numpy as np
import pandas as pd

from sciflow.analysis.grouping import REPLICATE
from sciflow.analysis.pareto import on_front
from sciflow.analysis.plots.axes import add_grid, set_scale
from sciflow.analysis.plots.canvas import add_note, drawing
from sciflow.analysis.plots.hue import add_legend, hue_of
from sciflow.analysis.plots.marks import headed, need_values, words_on_lacks, words_on_mean
from sciflow.analysis.plots.statistics import summarise
from sciflow.analysis.plots.style import GREY, OKABE_ITO
from sciflow.analysis.plots.values import levels_of, read_rows
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sciflow.analysis.plots.values import Column, Rows

_MOST_LABELS: Final = 12


def pareto(
    dataset: xr.Dataset,
    objectives: Mapping[str, str],
    *,
    hue: str | None = None,
    label: bool = False,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw variants by two metrics, and those that no other one beats in both.

    Variants that differ only in ``replicate`` are averaged; those of which a replicate lacks a value are left out, as
    `Results.pareto_front` does.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    objectives : mapping of str to {"min", "max"}
        Two metrics, such as ``{"accuracy": "max", "runtime_s": "min"}``; the first goes along x.
    hue : str, optional
        A parameter shown by the colour of the points on the front.
    label : bool, optional
        Whether to write the parameters beside the points of the front, if these are few.
    title : str, optional
        Instead of one that says what is shown.
    style : {"paper", "notebook", "talk"}, optional
        Sizes of the figure and its letters.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ResultsError
        There is no such metric, a goal is neither min nor max, or no variant has both values.
    """
    goals = dict(objectives)
    if len(goals) != 2 or not set(goals.values()) <= {"min", "max"}:
        raise ResultsError(
            f'a Pareto front is drawn of two metrics, as in {{"accuracy": "max", "runtime_s": "min"}}, not {goals!r}; '
            "results.pareto_front takes more"
        )
    (x, x_goal), (y, y_goal) = goals.items()
    rows = read_rows(dataset, metrics=(x, y), parameters=(hue,))
    need_values(rows, rows[x], rows[y])
    groups, size = _groups(rows, hue)
    across, up = (_means(groups, size, rows[name]) for name in (x, y))
    there = np.isfinite(across) & np.isfinite(up)
    if not there.any():
        raise ResultsError("no variant has values in all of its replicates; results.refresh() looks again")
    signs = np.array([1.0 if goal == "min" else -1.0 for goal in (x_goal, y_goal)])
    front = np.zeros(size, dtype=np.bool_)
    front[there] = on_front(np.stack([across[there], up[there]], axis=1) * signs)
    first = np.full(size, -1)
    first[groups[::-1]] = np.arange(rows.n)[::-1]
    averaged = words_on_mean((REPLICATE,) if size < rows.n else ())
    heading, unsaid = headed(title, "", averaged)
    with drawing(dataset, ax, style, title=heading) as axes:
        for axis, column, values, goal in (
            (axes.xaxis, rows[x], across, x_goal),
            (axes.yaxis, rows[y], up, y_goal),
        ):
            axis.set_label_text(f"{column.label}  ({_better(axis is axes.xaxis, goal)})")
            set_scale(axis, values[there])
        rest = there & ~front
        size_pt = mpl.rcParams["lines.markersize"]
        axes.scatter(
            across[rest],
            up[rest],
            s=(0.7 * size_pt) ** 2,
            color="#b0b0b0",
            linewidths=0,
            alpha=float(np.clip((2000 / max(int(rest.sum()), 1)) ** 0.5, 0.25, 0.9)),
            rasterized=int(rest.sum()) > 5000,
            gid="beaten",
        )
        order = np.flatnonzero(front)[np.argsort(across[front], kind="stable")]
        _draw_front(axes, (across[order], up[order]), None if hue is None else rows[hue], first[order], x_goal)
        if label:
            _write_labels(axes, (across[order], up[order]), rows, first[order])
        add_grid(axes, "both")
        add_note(axes, [*unsaid, f"{len(order):,} of {int(there.sum()):,} on the front", *words_on_lacks(rows)])
    return cast("Figure", axes.get_figure(root=True))


def _groups(rows: Rows, hue: str | None) -> tuple[NDArray[np.int64], int]:
    """Variants that differ in their replicate only."""
    groups = np.zeros(rows.n, dtype=np.int64)
    shown = {} if hue is None else {hue: rows[hue].values}  # noqa: PD011  an array
    known = {**rows.others, **shown}
    for name, values in known.items():
        if name != REPLICATE:
            codes = pd.factorize(values)[0] + 1
            groups = pd.factorize(groups * (int(codes.max(initial=0)) + 1) + codes)[0].astype(np.int64)
    if not known:
        return np.arange(rows.n), rows.n
    return groups, int(groups.max()) + 1


def _means(groups: NDArray[np.int64], size: int, column: Column) -> NDArray[np.float64]:
    summary = summarise(groups, size, column.numbers, "none")
    return np.where(summary.n == summary.n_variants, summary.mean, np.nan)


def _better(is_x: bool, goal: str) -> str:  # noqa: FBT001  one of two axes
    arrow = ("→" if goal == "max" else "←") if is_x else ("↑" if goal == "max" else "↓")
    return f"{arrow} better"


def _draw_front(
    axes: Axes,
    points: tuple[NDArray[np.float64], NDArray[np.float64]],
    hue: Column | None,
    first: NDArray[np.int64],
    x_goal: str,
) -> None:
    look: dict[str, Any] = {
        "s": (1.15 * mpl.rcParams["lines.markersize"]) ** 2,
        "edgecolors": "white",
        "linewidths": 0.6,
        "zorder": 4,
    }
    # the step encloses what the front beats
    axes.step(
        *points,
        where="post" if x_goal == "min" else "pre",
        color=OKABE_ITO[1] if hue is None else GREY,
        zorder=3,
        gid="front",
    )
    if hue is None:
        axes.scatter(*points, color=OKABE_ITO[1], gid="best", **look)
        return
    hues = hue_of(hue)
    assert hues.levels is not None
    codes = hues.levels.codes[first]
    for at, colour in enumerate(hues.colours):
        mine = codes == at
        if mine.any():
            x, y = points[0][mine], points[1][mine]
            axes.scatter(x, y, color=colour, marker=cast("Any", hues.marker(at)), label=hues.labels[at], **look)
    add_legend(axes, hues)


def _write_labels(
    axes: Axes, points: tuple[NDArray[np.float64], NDArray[np.float64]], rows: Rows, first: NDArray[np.int64]
) -> None:
    if len(first) > _MOST_LABELS:
        return
    varied = {name: levels_of(values[first]) for name, values in rows.others.items() if name != REPLICATE}
    texts = [
        ", ".join(f"{name}={one.labels[one.codes[at]]}" for name, one in varied.items() if len(one) > 1)
        for at in range(len(first))
    ]
    for x, y, text in zip(*points, texts, strict=True):
        axes.annotate(text, (x, y), xytext=(4, 4), textcoords="offset points", fontsize="xx-small")
