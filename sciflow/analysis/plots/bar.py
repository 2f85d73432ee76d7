"""Means of a metric side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import matplotlib as mpl
import numpy as np

from sciflow.analysis.plots.axes import add_grid
from sciflow.analysis.plots.canvas import add_note, drawing
from sciflow.analysis.plots.hue import add_legend
from sciflow.analysis.plots.marks import headed, words_on_mean
from sciflow.analysis.plots.points import draw_faint, spread
from sciflow.analysis.plots.slots import label_slots, mark_lacks, slots_of
from sciflow.analysis.plots.statistics import BAND_WORDS, summarise
from sciflow.analysis.plots.values import read_rows

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_DOTS: Final = 400


def bar(
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
    """Draw the mean of a metric as a bar from zero for each value of a parameter, with an interval.

    Where there are few variants each is a dot, too. Slots without a value are hatched.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x : str
        A parameter.
    y : str
        A metric.
    hue : str, optional
        A parameter with bars of its own for each of its values.
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
        There is no such parameter or metric, no variant has a value, or there are too many bars.
    """
    band = band or "ci"
    rows = read_rows(dataset, parameters=(x, hue), metrics=(y,))
    value = rows[y]
    slots = slots_of(rows, rows[x], value, None if hue is None else rows[hue])
    summary = summarise(slots.groups, slots.places.size, value.numbers, band)
    differing = rows.averaged(slots.groups, (slots.groups >= 0) & np.isfinite(value.numbers))
    averaged = words_on_mean(differing)
    has_band = bool(averaged) and summary.has_band
    means = averaged + (f"; bars: {BAND_WORDS[band]}" if has_band else "")
    heading, unsaid = headed(title, "", means)
    with drawing(dataset, ax, style, title=heading) as axes:
        label_slots(axes, slots, value)
        shape = slots.places.shape
        mean, low, high = (part.reshape(shape) for part in (summary.mean, summary.low, summary.high))
        for at in range(len(slots.hue)):
            axes.bar(
                slots.places[at],
                mean[at],
                0.9 * slots.width,
                color=slots.hue.colours[at],
                label=slots.hue.labels[at] or "_bars",
                zorder=2,
            )
        if has_band:
            sure = np.isfinite(low)
            axes.vlines(
                slots.places[sure],
                low[sure],
                high[sure],
                color="black",
                linewidth=0.9 * mpl.rcParams["lines.linewidth"],
                zorder=4,
                gid="band",
            )
        used = (slots.groups >= 0) & np.isfinite(value.numbers)
        if averaged and int(used.sum()) <= _MOST_DOTS:
            places = spread(slots.places.ravel()[slots.groups[used]], 0.5 * slots.width)
            draw_faint(axes, places, value.numbers[used], zorder=3)
        axes.axhline(0.0, color="#333333", linewidth=mpl.rcParams["axes.linewidth"], zorder=3)
        add_grid(axes)
        words = mark_lacks(axes, slots, rows, summary.n)
        add_legend(axes, slots.hue)
        add_note(axes, [*unsaid, *words])
    return cast("Figure", axes.get_figure(root=True))
