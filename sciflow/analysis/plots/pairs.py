"""Each column against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from sciflow.analysis.grouping import REPLICATE
from sciflow.analysis.plots.axes import set_axis
from sciflow.analysis.plots.canvas import no_axes, panels, wrapped
from sciflow.analysis.plots.histogram import bin_edges
from sciflow.analysis.plots.hue import hue_of
from sciflow.analysis.plots.marks import need_values, words_on_lacks
from sciflow.analysis.plots.points import MOST_POINTS, draw_hexagons, draw_points, is_continuous, spread
from sciflow.analysis.plots.style import GREY
from sciflow.analysis.plots.values import is_number, metric_names, parameter_names, read_rows
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sciflow.analysis.plots.hue import Hue
    from sciflow.analysis.plots.values import Column, Rows

MOST_COLUMNS: Final = 8
_BY_ITSELF: Final = 5
_PANEL: Final = 1.9  # inches at the size of a notebook


def pairs(
    dataset: xr.Dataset,
    columns: str | Sequence[str] | None = None,
    *,
    hue: str | None = None,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw each column against each other, and how often the values of each occur.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    columns : sequence of str, optional
        Parameters and metrics; by default the metrics, and parameters as far as there is room.
    hue : str, optional
        A parameter shown by colour.
    title : str, optional
        Of the figure.
    style : {"paper", "notebook", "talk"}, optional
        Sizes of the figure and its letters.
    ax : None
        Several panels fit into no single axes.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ResultsError
        There is no such parameter or metric, no variant has values of all, or there are too many columns.
    """
    no_axes(ax, "a grid of pairs", "draw single pairs with scatter(..., ax=ax)")
    names = _names(dataset, columns, hue)
    rows = read_rows(dataset, columns=names, parameters=(hue,))
    shown = [rows[name] for name in names]
    need_values(rows, *shown)
    colour = None if hue is None else rows[hue]
    n = len(names)
    with panels(dataset, style, title=title) as (figure, chosen):
        side = min(_PANEL * chosen.scale, chosen.full_width / n, 2 * chosen.width / n)
        figure.set_size_inches(side * n, side * n * 0.92)
        grid: Any = figure.subplots(n, n, squeeze=False)
        hues: Hue | None = None
        for i in range(n):
            for j in range(n):
                axes: Axes = grid[i, j]
                if j > i:
                    axes.set_axis_off()
                elif i == j:
                    _draw_counts(axes, shown[i], colour)
                else:
                    hues = _draw_pair(axes, shown[j], shown[i], colour) or hues
                _label_edges(axes, (i, j), n)
        if hues is not None and hues.column is not None:
            handles, labels = grid[1, 0].get_legend_handles_labels()
            grid[0, n - 1].legend(handles, labels, title=hues.column.label, loc="upper right")
        _note(figure, rows, chosen)
    return figure


def _names(dataset: xr.Dataset, columns: str | Sequence[str] | None, hue: str | None) -> list[str]:
    if columns:
        names = [columns] if isinstance(columns, str) else list(dict.fromkeys(columns))
    else:
        metrics = [name for name in metric_names(dataset) if is_number(dataset, name)][: _BY_ITSELF - 1]
        known = [name for name in parameter_names(dataset) if name not in {REPLICATE, hue}]
        varied = [name for name in known if len(pd.unique(np.ravel(dataset[name]))) > 1]
        names = [*varied[: max(1, _BY_ITSELF - len(metrics))], *metrics]
    if not 2 <= len(names) <= MOST_COLUMNS:
        raise ResultsError(
            f"a grid of pairs needs 2 to {MOST_COLUMNS} columns, not {len(names)}; name some with columns=[...]"
        )
    return names


def _draw_counts(axes: Axes, column: Column, hue: Column | None) -> None:
    places = set_axis(axes.xaxis, column)
    edges = bin_edges(places, column, logarithmic=axes.get_xscale() == "log")
    hues = hue_of(None if hue is None or is_continuous(hue) else hue)
    codes = hues.codes(len(places))
    for at, colour in enumerate(hues.colours):
        counts, _ = np.histogram(places[(codes == at) & np.isfinite(places)], edges)
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.85 if len(hues) == 1 else 0.12)
        if len(hues) > 1:
            axes.stairs(counts, edges, color=colour, linestyle=hues.line(at))
    axes.set_yticks([])
    axes.set_ylim(bottom=0)
    axes.spines["left"].set_visible(False)


def _draw_pair(axes: Axes, x: Column, y: Column, hue: Column | None) -> Hue | None:
    places = _places(axes.xaxis, x), _places(axes.yaxis, y)
    if len(places[0]) > MOST_POINTS and hue is None:
        draw_hexagons(axes, *places, gridsize=25)
        return None
    return draw_points(axes, *places, hue)[1]


def _places(axis: Any, column: Column) -> NDArray[np.float64]:
    places = set_axis(axis, column)
    return places if column.is_numeric or not column.is_parameter else spread(places, 0.4)


def _label_edges(axes: Axes, at: tuple[int, int], n: int) -> None:
    """Labels at the left and at the bottom only; the panels share their axes."""
    i, j = at
    if i < n - 1:
        axes.set_xlabel("")
        axes.tick_params(axis="x", which="both", labelbottom=False)
    if j > 0 or i == 0:
        axes.set_ylabel("")
        axes.tick_params(axis="y", which="both", labelleft=False)


def _note(figure: Figure, rows: Rows, style: Any) -> None:
    words = " · ".join(words_on_lacks(rows))
    if words:
        text = wrapped(words, figure.get_figwidth(), style, ratio=0.72)
        figure.supxlabel(text, fontsize="x-small", color=GREY, x=0.01, ha="left")
