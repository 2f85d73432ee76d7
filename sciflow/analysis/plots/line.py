"""A metric along a parameter, with a band that says how sure each mean is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import matplotlib as mpl
import numpy as np
import pandas as pd

from sciflow.analysis.plots.axes import add_grid, set_axis, set_scale
from sciflow.analysis.plots.canvas import add_note, drawing
from sciflow.analysis.plots.cells import bin_numbers
from sciflow.analysis.plots.hue import add_legend, hue_of
from sciflow.analysis.plots.marks import headed, mark_failures, need_values, words_on_mean
from sciflow.analysis.plots.statistics import BAND_WORDS, summarise
from sciflow.analysis.plots.values import Levels, combine, read_rows

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sciflow.analysis.plots.hue import Hue
    from sciflow.analysis.plots.statistics import Summary
    from sciflow.analysis.plots.values import Column

_MOST_MARKERS: Final = 30
_MOST_MEANS: Final = 200  # more values of a parameter than that, each with hardly a replicate, go into bins
_FEW_PER_MEAN: Final = 2
_MOST_BARS: Final = 15


def line(
    dataset: xr.Dataset,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    band: str | None = None,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the mean of a metric along a parameter, with a band.

    Variants that agree on `x` and `hue` are averaged; the title says over which parameters, and the band is of all the
    values that are averaged, replicates and other parameters alike. Crosses at the bottom mark where variants failed.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x : str
        A parameter, or a dimension of `y` if that is an array for each variant, or a metric (put into bins).
    y : str
        A metric.
    hue : str, optional
        A parameter with a line for each of its values.
    band : {"ci", "sd", "range", "none"}, optional
        The 95 % confidence interval of the mean (by default), one standard deviation, or smallest to largest.
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
        There is no such parameter or metric, no variant has a value, or `hue` has more values than can be told apart.
    """
    band = band or "ci"
    rows = read_rows(dataset, columns=(x,), parameters=(hue,), metrics=(y,))
    along, value = rows[x], rows[y]
    there = need_values(rows, along, value)
    hues = hue_of(None if hue is None else rows[hue])
    alone = not any(_differ(one[there]) for one in rows.others.values())
    levels, binned = _levels(along, hues, int(there.sum()), alone=alone)
    hue_levels = () if hues.levels is None else (hues.levels,)
    groups, n_groups = combine(*hue_levels, levels)
    summary = summarise(groups, n_groups, value.numbers, band)
    averaged = rows.averaged(groups, there & (groups >= 0)) if not binned else ()
    has_band = bool(averaged) and summary.has_band and band != "none"
    means = words_on_mean(averaged) + (f"; band: {BAND_WORDS[band]}" if has_band else "")
    heading, unsaid = headed(title, "", means)
    with drawing(dataset, ax, style, title=heading) as axes:
        places = _set_x(axes, along, levels, binned=binned)
        axes.yaxis.set_label_text(value.label)
        for at in range(len(hues)):
            _draw_one(axes, places, summary, hues, at, joined=along.is_numeric or binned)
        set_scale(axes.yaxis, summary.mean)
        add_grid(axes)
        words = mark_failures(axes, rows, places[levels.codes] if along.is_parameter else np.full(rows.n, np.nan))
        if summary.is_partial.any():
            words.append("open: some variants of the mean have no result")
        if binned:
            words.append(f"{x} in {len(levels)} bins; {BAND_WORDS[band]}")
        add_legend(axes, hues)
        add_note(axes, [*unsaid, *words])
    return cast("Figure", axes.get_figure(root=True))


def _differ(values: NDArray[Any]) -> bool:
    return len(pd.unique(values)) > 1


def _levels(along: Column, hues: Hue, n: int, *, alone: bool) -> tuple[Levels, bool]:
    """The places along x, and whether they are bins.

    Where other parameters change as well, numbers that hardly ever come twice go into bins, for a line from each to the
    next would be a tangle.
    """
    if along.is_parameter and not along.is_numeric:
        return along.levels, False
    levels = along.levels if along.is_parameter else None
    if levels is not None and (alone or len(levels) <= _MOST_MEANS or n / len(levels) / len(hues) >= _FEW_PER_MEAN):
        return levels, False
    if float(np.nanmax(along.numbers)) == float(np.nanmin(along.numbers)):
        return along.levels, False
    return bin_numbers(along.numbers, max(8, min(30, round(np.sqrt(n / len(hues)))))), True


def _set_x(axes: Axes, along: Column, levels: Levels, *, binned: bool) -> NDArray[np.float64]:
    """Label the axis and give the place of each level."""
    if not along.is_numeric and not binned:
        set_axis(axes.xaxis, along)
        return np.arange(len(levels), dtype=np.float64)
    axes.xaxis.set_label_text(along.label)
    numbers = np.array(levels.values, dtype=np.float64)
    set_scale(axes.xaxis, numbers, levels=None if binned else levels)
    return numbers


def _draw_one(axes: Axes, places: NDArray[np.float64], summary: Summary, hues: Hue, at: int, *, joined: bool) -> None:
    part = slice(at * len(places), (at + 1) * len(places))
    mean, low, high = summary.mean[part], summary.low[part], summary.high[part]
    known = np.isfinite(mean)
    colour = hues.colours[at]
    label = hues.labels[at] or "_line"
    few = int(known.sum()) <= _MOST_MARKERS
    markers = hues.marker(at) if few or not joined else ""
    size = mpl.rcParams["lines.markersize"] * (1.0 if int(known.sum()) <= _MOST_BARS else 0.7)
    # a lack interrupts neither line nor band: what is between two known values is drawn as joined, and marked below
    axes.plot(
        places[known],
        mean[known],
        hues.line(at) if joined else ":",
        color=colour,
        marker=markers,
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=0.15 * size,
        label=label,
        zorder=3,
    )
    partial = summary.is_partial[part] & known
    if partial.any():
        axes.plot(
            places[partial],
            mean[partial],
            hues.marker(at),
            color="white",
            markeredgecolor=colour,
            markeredgewidth=0.25 * size,
            markersize=size,
            label="_partial",
            zorder=4,
            gid="partial",
        )
    sure = np.isfinite(low)
    if not sure.any():
        return
    if joined and int(sure.sum()) > 1:
        axes.fill_between(
            places[sure], low[sure], high[sure], color=colour, alpha=0.2, linewidth=0, zorder=2, gid="band"
        )
    else:
        axes.vlines(places[sure], low[sure], high[sure], color=colour, zorder=2, gid="band")
