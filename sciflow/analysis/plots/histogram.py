"""How often values occur: histograms and cumulative distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import MaxNLocator

from sciflow.analysis.plots.axes import add_grid, set_axis
from sciflow.analysis.plots.canvas import add_note, drawing
from sciflow.analysis.plots.hue import add_legend, hue_of
from sciflow.analysis.plots.marks import need_values, words_on_lacks
from sciflow.analysis.plots.values import read_rows

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sciflow.analysis.plots.values import Column

_LEAST_BINS: Final = 5
_MOST_BINS: Final = 80
_MOST_STEPS: Final = 2_000


def histogram(
    dataset: xr.Dataset,
    x: str,
    *,
    hue: str | None = None,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how many variants have which value.

    Bins are chosen by the data (Freedman and Diaconis, or Sturges), whole numbers have bins of their own, and values
    over orders of magnitude have bins of one ratio.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x : str
        A metric or a parameter.
    hue : str, optional
        A parameter with an outline for each of its values, on common bins.
    title : str, optional
        Of the figure.
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
        There is no such parameter or metric, or no variant has a value.
    """
    rows = read_rows(dataset, columns=(x,), parameters=(hue,))
    column = rows[x]
    need_values(rows, column)
    hues = hue_of(None if hue is None else rows[hue])
    codes = hues.codes(rows.n)
    with drawing(dataset, ax, style, title=title) as axes:
        places = set_axis(axes.xaxis, column)
        edges = bin_edges(places, column, logarithmic=axes.get_xscale() == "log")
        counts = np.zeros(len(edges) - 1, dtype=np.int64)
        for at, colour in enumerate(hues.colours):
            counts, _ = np.histogram(places[(codes == at) & np.isfinite(places)], edges)
            label = hues.labels[at] or "_values"
            axes.stairs(counts, edges, fill=True, color=colour, alpha=0.85 if len(hues) == 1 else 0.12, zorder=2)
            axes.stairs(
                counts,
                edges,
                color="white" if len(hues) == 1 else colour,
                linewidth=0.6 if len(hues) == 1 else mpl.rcParams["lines.linewidth"],
                linestyle=hues.line(at),
                label=label,
                zorder=3,
            )
        if len(hues) == 1:
            axes.vlines(edges[1:-1], 0, _lower(counts), color="white", linewidth=0.6, zorder=3)
        axes.yaxis.set_label_text("variants")
        axes.yaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
        axes.set_ylim(bottom=0)
        add_grid(axes)
        add_legend(axes, hues)
        add_note(axes, words_on_lacks(rows))
    return cast("Figure", axes.get_figure(root=True))


def ecdf(
    dataset: xr.Dataset,
    x: str,
    *,
    hue: str | None = None,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw which fraction of the variants has at most which value: no bins, so nothing depends on their choice.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x : str
        A metric or a parameter that is a number.
    hue : str, optional
        A parameter with a line for each of its values.
    title : str, optional
        Of the figure.
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
        There is no such parameter or metric, it is no number, or no variant has a value.
    """
    rows = read_rows(dataset, columns=(x,), parameters=(hue,))
    column = rows[x]
    numbers = column.numbers
    need_values(rows, column)
    hues = hue_of(None if hue is None else rows[hue])
    codes = hues.codes(rows.n)
    with drawing(dataset, ax, style, title=title) as axes:
        set_axis(axes.xaxis, column)
        for at, colour in enumerate(hues.colours):
            found = np.sort(numbers[(codes == at) & np.isfinite(numbers)])
            if not len(found):
                continue
            kept = np.unique(np.linspace(0, len(found) - 1, min(len(found), _MOST_STEPS)).astype(np.int64))
            axes.step(
                found[[0, *kept]],
                np.array([0, *(kept + 1)]) / len(found),
                where="post",
                color=colour,
                linestyle=hues.line(at),
                label=hues.labels[at] or "_values",
            )
        axes.yaxis.set_label_text("fraction of variants")
        axes.set_ylim(0, 1.02)
        add_grid(axes, "both")
        add_legend(axes, hues)
        add_note(axes, words_on_lacks(rows))
    return cast("Figure", axes.get_figure(root=True))


def bin_edges(values: NDArray[np.float64], column: Column, *, logarithmic: bool) -> NDArray[np.float64]:
    """The edges of the bins of a histogram."""
    found = values[np.isfinite(values)]
    low, high = float(found.min()), float(found.max())
    if not column.is_numeric and column.is_parameter:
        return np.arange(-0.5, len(column.levels))
    if low == high:
        margin = abs(low) * 0.05 or 0.5
        return np.array([low - margin, low + margin])
    if high - low < _MOST_BINS and (found == np.round(found)).all():
        return np.arange(low - 0.5, high + 1.0)
    scaled = np.log10(found) if logarithmic else found
    edges = np.histogram_bin_edges(scaled, bins=_n_bins(scaled))
    return 10**edges if logarithmic else edges


def _n_bins(values: NDArray[np.float64]) -> int:
    """The larger of the numbers of Sturges and of Freedman and Diaconis, within reason, for outliers make many."""
    low, high = np.percentile(values, [25, 75])
    width = 2 * (high - low) / len(values) ** (1 / 3)
    fine = np.ptp(values) / width if width > 0 else 0.0
    return int(np.clip(max(fine, np.log2(len(values)) + 1), _LEAST_BINS, _MOST_BINS))


def _lower(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lower of neighbouring bars."""
    return np.minimum(counts[:-1], counts[1:])
