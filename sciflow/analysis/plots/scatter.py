"""Every variant as a point in the plane of two columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sciflow.analysis.plots.axes import add_grid, set_axis
from sciflow.analysis.plots.canvas import add_colour_bar, add_note, drawing
from sciflow.analysis.plots.hue import add_legend
from sciflow.analysis.plots.marks import mark_failures, need_values, words_on_lacks
from sciflow.analysis.plots.points import MOST_POINTS, draw_hexagons, draw_points, spread
from sciflow.analysis.plots.values import read_rows

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sciflow.analysis.plots.values import Column


def scatter(
    dataset: xr.Dataset,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw each variant as a point.

    More points than can be told apart are counted in hexagons instead. Crosses at the bottom mark where variants
    failed.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x, y : str
        Parameters or metrics.
    hue : str, optional
        A parameter or a metric shown by colour.
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
        There is no such parameter or metric, or no variant has values of both.
    """
    rows = read_rows(dataset, columns=(x, y, hue))
    across, up = rows[x], rows[y]
    there = need_values(rows, across, up)
    colour = None if hue is None else rows[hue]
    with drawing(dataset, ax, style, title=title) as axes:
        places = _places(axes.xaxis, across), _places(axes.yaxis, up)
        words: list[str] = []
        if int(there.sum()) > MOST_POINTS and colour is None:
            counts = draw_hexagons(axes, *places)
            add_colour_bar(axes, counts, "variants per hexagon")
        else:
            points, hues = draw_points(axes, *places, colour)
            if points is not None and colour is not None:
                add_colour_bar(axes, points, colour.label)
            add_legend(axes, hues)
        add_grid(axes, "both")
        words += mark_failures(axes, rows, places[0]) if across.is_parameter else words_on_lacks(rows)
        add_note(axes, words)
    return cast("Figure", axes.get_figure(root=True))


def _places(axis: Any, column: Column) -> NDArray[np.float64]:
    """Where the points are along an axis; those of one category are moved beside each other."""
    places = set_axis(axis, column)
    return places if column.is_numeric or not column.is_parameter else spread(places)
