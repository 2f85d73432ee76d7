"""Every variant as a line through all its parameters and a metric."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator

from sciflow.analysis.grouping import REPLICATE
from sciflow.analysis.plots.axes import is_logarithmic
from sciflow.analysis.plots.canvas import add_note, drawing
from sciflow.analysis.plots.marks import headed, need_values, words_on_lacks, words_on_mean
from sciflow.analysis.plots.statistics import summarise
from sciflow.analysis.plots.style import SEQUENTIAL
from sciflow.analysis.plots.values import parameter_names, read_rows
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sciflow.analysis.plots.values import Column

MOST_LINES: Final = 3_000
MOST_AXES: Final = 12
_MOST_LABELS: Final = 9
_FEW: Final = 30


def parallel(
    dataset: xr.Dataset,
    value: str,
    *,
    columns: str | Sequence[str] | None = None,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw each variant as a line through its parameters to a metric, which also gives its colour.

    Variants that agree on all that is shown are averaged. Lines of one value are spread a little, by the metric, so
    that they do not hide each other; of very many lines a part is drawn, evenly chosen by the metric.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    value : str
        A metric: the last axis.
    columns : sequence of str, optional
        Parameters and metrics of the other axes; by default all parameters that vary, apart from ``replicate``.
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
        There is no such parameter or metric, no variant has a value, or there are too many axes.
    """
    names = _names(dataset, value, columns)
    rows = read_rows(dataset, columns=names, metrics=(value,))
    shown = [rows[name] for name in names]
    there = need_values(rows, *shown, rows[value])
    groups = _combinations(shown, there)
    size = int(groups.max()) + 1
    means = [summarise(groups, size, _positions(one), "none").mean for one in shown]
    metric = summarise(groups, size, np.where(there, rows[value].numbers, np.nan), "none").mean
    order = np.argsort(metric, kind="stable")
    if size > MOST_LINES:
        order = order[np.linspace(0, size - 1, MOST_LINES).astype(np.int64)]
    heading, unsaid = headed(title, "", words_on_mean(rows.averaged(groups, there)))
    with drawing(dataset, ax, style, title=heading, size=(max(1.0, 0.22 * (len(names) + 1)), 1.0)) as axes:
        ranks = np.linspace(-0.5, 0.5, len(order))
        pairs = enumerate(zip(shown, means, strict=True))
        places = [_draw_axis(axes, at, one, mean, ranks, order) for at, (one, mean) in pairs]
        places.append(_draw_axis(axes, len(names), rows[value], metric, ranks, order))
        _draw_lines(axes, np.stack(places, axis=1), metric[order])
        axes.set_xlim(-0.25, len(names) + 0.25)
        axes.set_ylim(-0.06, 1.06)
        axes.set_xticks(range(len(names) + 1), _in_two_rows(axes, [one.label for one in [*shown, rows[value]]]))
        axes.tick_params(axis="x", length=0)
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        words = [f"{MOST_LINES:,} of {size:,} lines"] if size > MOST_LINES else []
        add_note(axes, [f"coloured by {value}", *unsaid, *words, *words_on_lacks(rows)])
    return cast("Figure", axes.get_figure(root=True))


def _in_two_rows(axes: Axes, labels: list[str]) -> list[str]:
    """Every second label lower, if neighbours would run into each other."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    letter = 0.6 * FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size_in_points() / 72
    room = 0.9 * figure.get_figwidth() * axes.get_position().width / 0.775 / (len(labels) - 0.5)
    widest = max((len(one) + len(other)) / 2 for one, other in itertools.pairwise(labels))
    if (widest + 1) * letter <= room:
        return labels
    return [f"\n{label}" if at % 2 else label for at, label in enumerate(labels)]


def _names(dataset: xr.Dataset, value: str, columns: str | Sequence[str] | None) -> list[str]:
    if columns:
        names = [columns] if isinstance(columns, str) else list(dict.fromkeys(columns))
    else:
        known = [name for name in parameter_names(dataset) if name != REPLICATE]
        names = [name for name in known if len(pd.unique(np.ravel(dataset[name]))) > 1]
    names = [name for name in names if name != value]
    if not names or len(names) >= MOST_AXES:
        raise ResultsError(
            f"parallel coordinates need 1 to {MOST_AXES - 1} parameters beside the metric, not {len(names)}; "
            "name some with columns=[...]"
        )
    return names


def _combinations(shown: list[Column], there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A number for each combination of values, -1 where one lacks."""
    groups = np.zeros(len(there), dtype=np.int64)
    for one in shown:
        codes = one.levels.codes
        groups = pd.factorize(groups * (len(one.levels) + 1) + codes)[0].astype(np.int64)
    groups[~there] = -1
    kept = pd.factorize(groups[there])[0]
    groups[there] = kept
    return groups


def _positions(column: Column) -> NDArray[np.float64]:
    if column.is_numeric or not column.is_parameter:
        return column.numbers
    return np.where(column.levels.codes < 0, np.nan, column.levels.codes.astype(np.float64))


def _draw_axis(  # noqa: PLR0917  what stands on an axis, and where
    axes: Axes,
    at: int,
    column: Column,
    values: NDArray[np.float64],
    ranks: NDArray[np.float64],
    order: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Draw one vertical axis with its ticks; gives the height of each line on it, between 0 and 1."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    numeric = column.is_numeric or not column.is_parameter
    logarithmic = numeric and _is_logarithmic(column, values)
    ticks, labels = _ticks(column, low, high, numeric=numeric, logarithmic=logarithmic)

    def height(value: NDArray[np.float64]) -> NDArray[np.float64]:
        if low == high:
            return np.full(np.shape(value), 0.5)
        if logarithmic:
            return np.log(value / low) / np.log(high / low)
        return (value - low) / (high - low)

    axes.axvline(at, 0.06 / 1.12, 1.06 / 1.12, color="#333333", linewidth=mpl.rcParams["axes.linewidth"], zorder=4)
    outline = [withStroke(linewidth=3.0, foreground="white", alpha=0.9)]
    for tick, label in zip(height(np.array(ticks)).tolist(), labels, strict=True):
        axes.annotate(
            label,
            (at, tick),
            xytext=(-2.5, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize="x-small",
            zorder=6,
            path_effects=outline,
        )
        axes.plot([at - 0.012, at + 0.012], [tick, tick], color="#333333", linewidth=0.8, zorder=5)
    heights = height(values[order])
    distinct = len(column.levels) if column.is_parameter else _FEW + 1
    room = 0.0 if distinct > _FEW else min(0.06, 0.5 / max(distinct - 1, 1))
    return heights + ranks * room


def _is_logarithmic(column: Column, values: NDArray[np.float64]) -> bool:
    if column.is_parameter:
        return is_logarithmic(column.levels.values, series=True)
    return is_logarithmic(values)


def _ticks(
    column: Column, low: float, high: float, *, numeric: bool, logarithmic: bool
) -> tuple[list[float], list[str]]:
    levels = column.levels if column.is_parameter else None
    if levels is not None and (not numeric or len(levels) <= _MOST_LABELS):
        step = -(-len(levels) // 16)
        places = levels.values if numeric else range(len(levels))  # noqa: PD011  a tuple
        return [float(one) for one in places][::step], levels.labels[::step]
    locator = LogLocator(numticks=8) if logarithmic else MaxNLocator(6)
    found = np.asarray(locator.tick_values(low, high)).tolist()
    ticks = [one for one in found if low - 1e-9 * abs(low) <= one <= high + 1e-9 * abs(high)]
    return ticks, [f"{one:.4g}" for one in ticks]


def _draw_lines(axes: Axes, places: NDArray[np.float64], metric: NDArray[np.float64]) -> None:
    n, n_axes = places.shape
    segments = np.empty((n, n_axes, 2))
    segments[:, :, 0] = np.arange(n_axes)
    segments[:, :, 1] = places
    low, high = float(metric.min()), float(metric.max())
    norm: Any = LogNorm(low, high) if is_logarithmic(metric) else Normalize(low, high if high > low else low + 1.0)
    lines = LineCollection(
        cast("Any", segments),
        array=metric,
        cmap=SEQUENTIAL,
        norm=norm,
        linewidths=mpl.rcParams["lines.linewidth"] * float(np.clip((60 / n) ** 0.4, 0.2, 1.0)),
        alpha=float(np.clip((200 / n) ** 0.5, 0.3, 0.9)),
        rasterized=n > 1000,
        zorder=2,
        gid="variants",
    )
    axes.add_collection(lines)
