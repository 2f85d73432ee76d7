"""What variants took, against their parameters: a panel for each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from sciflow.analysis.grouping import REPLICATE
from sciflow.analysis.plots.axes import add_grid, is_logarithmic, set_axis
from sciflow.analysis.plots.canvas import no_axes, panels, wrapped
from sciflow.analysis.plots.points import draw_faint, spread
from sciflow.analysis.plots.style import GREY, OKABE_ITO
from sciflow.analysis.plots.values import Column, check_name, parameter_names, read_rows
from sciflow.analysis.runs import PEAK_BYTES
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_PANELS: Final = 9
_MOST_POINTS: Final = 300
_MOST_LEVELS: Final = 40
_N_COLUMNS: Final = 3
_BYTES: Final = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))


def runtime(
    dataset: xr.Dataset,
    parameters: str | Sequence[str] = (),
    *,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how long variants took against each parameter: medians, and the range of the middle 90 %.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    parameters : str or sequence of str, optional
        By default those that vary, replicates apart, the one that tells most of the time first.
    title : str, optional
        Instead of one that says what is shown.
    style : {"paper", "notebook", "talk"}, optional
        Sizes of the figure and its letters.
    ax : None
        It has a panel for each parameter, so it takes no axes.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ResultsError
        No variant is done, no parameter varies, or there is no such parameter.
    """
    no_axes(ax, "a figure of costs", "it has one for each parameter")
    return _costs(dataset, parameters, "runtime_s", "Time of a variant" if title is None else title, style)


def memory(
    dataset: xr.Dataset,
    parameters: str | Sequence[str] = (),
    *,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how much memory variants took against each parameter: medians, and the range of the middle 90 %.

    It is the most that the process of a variant had; one that ran several says it of them together.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.costs` gives it.
    parameters, title, style, ax
        As in `runtime`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ResultsError
        Memory was not measured, no parameter varies, or there is no such parameter.
    """
    no_axes(ax, "a figure of costs", "it has one for each parameter")
    return _costs(
        dataset, parameters, PEAK_BYTES, "Most memory of a variant's process" if title is None else title, style
    )


def _costs(
    dataset: xr.Dataset,
    parameters: str | Sequence[str],
    measure: str,
    title: str,
    style: str | None,
) -> Figure:
    if measure not in dataset:
        raise ResultsError(f"there is nothing to draw: the dataset has no {measure}; take results.costs()")
    given = (parameters,) if isinstance(parameters, str) else tuple(parameters)
    for name in given:
        check_name(dataset, name, "parameter")
    rows = read_rows(dataset, parameters=given or parameter_names(dataset), columns=(measure,))
    values, unit = _in_unit(rows[measure].numbers, measure)
    if not np.isfinite(values).any():
        raise ResultsError(f"there is nothing to draw: no variant that is done has a {measure}")
    varied = [name for name in rows.columns if name != measure and (given or _may_matter(rows[name]))]
    if not varied:
        raise ResultsError("there is nothing to draw: all variants have the same parameters")
    ranked = varied if given else sorted(varied, key=lambda name: -_explained(rows[name], values))
    shown = ranked[:MOST_PANELS]
    with panels(dataset, style) as (figure, chosen):
        n_columns = 2 if len(shown) == 4 else min(_N_COLUMNS, len(shown))
        n_rows = math.ceil(len(shown) / n_columns)
        width = min(chosen.width * (1.0 if n_columns == 1 else 0.62 * n_columns), chosen.full_width)
        figure.set_size_inches(width, chosen.height * (0.68 * n_rows + 0.16))
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel().tolist()
        for axes, name in zip(grid, shown, strict=False):
            _draw_panel(axes, rows[name], values)
        for axes in grid[len(shown) :]:
            axes.set_visible(False)
        for axes in grid[::n_columns]:
            axes.yaxis.set_label_text(f"{'time' if measure == 'runtime_s' else 'memory'} [{unit}]")
        if title:
            figure.suptitle(wrapped(title, width, chosen))
        notes = ["line: median; band: 5 % to 95 %"]
        notes += [f"left out: {', '.join(ranked[MOST_PANELS:])}"] if len(ranked) > MOST_PANELS else []
        figure.supxlabel(
            wrapped(" · ".join(notes), width, chosen, ratio=0.72), fontsize="x-small", color=GREY, x=0.01, ha="left"
        )
    return figure


def _may_matter(column: Column) -> bool:
    return column.name != REPLICATE and len(column.levels) > 1


def _in_unit(values: Floats, measure: str) -> tuple[Floats, str]:
    if measure != PEAK_BYTES:
        largest = np.nanmax(values, initial=0.0)
        return (values / 3600, "h") if largest >= 7200 else (values * 1000, "ms") if largest < 0.1 else (values, "s")
    factor, unit = next((one for one in _BYTES if np.nanmax(values, initial=0.0) >= one[0]), _BYTES[-1])
    return values / factor, unit


def _explained(column: Column, values: Floats) -> float:
    """The share of the variance of logarithms that lies between the values of a parameter, less what chance makes."""
    used = np.isfinite(values) & (values > 0) & (column.levels.codes >= 0)
    logs, groups = np.log(values[used]), column.levels.codes[used]
    n = np.bincount(groups)
    if len(logs) < 3:
        return 0.0
    means = np.bincount(groups, logs) / np.maximum(n, 1)
    total = float(((logs - logs.mean()) ** 2).sum())
    between = float((n * (means - logs.mean()) ** 2).sum())
    return (between - (int((n > 0).sum()) - 1) * total / (len(logs) - 1)) / total if total > 0 else 0.0


def _draw_panel(axes: Axes, column: Column, values: Floats) -> None:
    places = set_axis(axes.xaxis, column)
    used = np.flatnonzero(np.isfinite(values) & np.isfinite(places))
    step = max(1, len(used) // _MOST_POINTS)
    few = used[::step]
    is_scale = column.is_numeric
    x = places[few] if is_scale else spread(places[few])
    draw_faint(axes, x, values[few], color=GREY, zorder=1)
    at, quantiles = _quantiles(places[used], values[used])
    low, middle, high = quantiles
    if is_scale:
        axes.fill_between(at, low, high, color=OKABE_ITO[0], alpha=0.2, linewidth=0, zorder=2)
        axes.plot(at, middle, "o-", color=OKABE_ITO[0], zorder=3, gid="median")
    else:
        axes.errorbar(at, middle, [middle - low, high - middle], fmt="o", color=OKABE_ITO[0], zorder=3, gid="median")
    if is_logarithmic(values[used]):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0.0, 1.06 * float(values[used].max()) or 1.0)
    add_grid(axes)


def _quantiles(places: Floats, values: Floats) -> tuple[Floats, Floats]:
    """5 %, 50 % and 95 % of the values at each place, or of many places in intervals with as many values each."""
    distinct = np.unique(places)
    if len(distinct) <= _MOST_LEVELS:
        groups = np.searchsorted(distinct, places)
        middles = distinct
    else:
        edges = np.unique(np.quantile(places, np.linspace(0, 1, _MOST_LEVELS // 2 + 1)))
        groups = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, len(edges) - 2)
        middles = np.bincount(groups, places) / np.maximum(np.bincount(groups), 1)
    order = np.argsort(groups, kind="stable")
    parts = np.split(values[order], np.cumsum(np.bincount(groups, minlength=len(middles)))[:-1])
    found = [np.quantile(part, [0.05, 0.5, 0.95]) if len(part) else np.full(3, np.nan) for part in parts]
    return middles, np.array(found).T
