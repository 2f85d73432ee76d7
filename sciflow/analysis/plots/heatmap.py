"""A metric over two parameters, one panel for each combination of others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, cast

import matplotlib as mpl
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, Normalize

from sciflow.analysis.labels import label_values
from sciflow.analysis.plots.axes import set_ticks, spans_orders
from sciflow.analysis.plots.canvas import add_colour_bar, add_note, drawing, no_axes, panels, wrapped
from sciflow.analysis.plots.cells import sort_into_cells
from sciflow.analysis.plots.marks import headed, words_on_infinite, words_on_mean
from sciflow.analysis.plots.style import CROSS, FAILED, GREY, NO_RESULT, colour_map, is_dark
from sciflow.analysis.plots.values import read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from sciflow.analysis.plots.cells import Panel, Panels
    from sciflow.analysis.plots.style import Style
    from sciflow.analysis.plots.values import Column

MOST_NUMBERS: Final = 64
"""Panels of so many cells or fewer have the numbers written into them, if there is room."""
_MOST_TICKS: Final = 16
_MOST_CROSSES: Final = 1000  # cells of a panel; of more, each is smaller than a cross
_MOST_HATCHED: Final = 4000  # more are too small for a pattern to be seen, and slow
_LETTER: Final = 0.62  # width of a digit relative to the size of the font
_MARGINS: Final = (1.9, 1.5)  # inches beside and above the panels of a notebook's figure: labels, colours, title


def heatmap(
    dataset: xr.Dataset,
    x: str,
    y: str,
    value: str,
    *,
    facet_by: str | Sequence[str] = (),
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the mean of a metric in each cell of two parameters.

    Cells without a result are hatched and those with failures crossed, combinations that are not in the space stay
    empty, and a dot marks a mean that some variants of the cell do not take part in. Several variants per cell
    are averaged, and the title says over what. Numbers that hardly ever repeat, as in a random design, go into bins.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x, y : str
        Parameters.
    value : str
        A metric.
    facet_by : str or sequence of str, optional
        Parameters with a panel for each combination of their values.
    title : str, optional
        Instead of one that says what is shown.
    style : {"paper", "notebook", "talk"}, optional
        Sizes of the figure and its letters.
    ax : matplotlib.axes.Axes, optional
        Where to draw, without facets.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ResultsError
        There is no such parameter or metric, or there are too many cells or panels.
    """
    names = (facet_by,) if isinstance(facet_by, str) else tuple(facet_by)
    if names:
        no_axes(ax, "a heatmap with facets", "leave out facet_by, and select one value of it first")
    rows = read_rows(dataset, parameters=(x, y, *names), metrics=(value,))
    found = sort_into_cells(rows, rows[x], rows[y], rows[value], [rows[name] for name in names])
    across, up, metric = rows[x], rows[y], rows[value]
    heading, unsaid = headed(title, f"{value} by {x} and {y}", words_on_mean(found.averaged))
    notes = [*unsaid, *_words(found, metric, rows.n_infinite.get(value, 0))]
    if ax is not None:
        with drawing(dataset, ax, style, title=heading):
            digits = _number_format(found) if found.panels[0].mean.size <= MOST_NUMBERS else None
            image = _draw_panel(ax, found.panels[0], found, _common_scale(found), digits)
            ax.set(xlabel=across.label, ylabel=up.label)
            _add_bar([ax], image, metric, found)
            add_note(ax, notes)
        return cast("Figure", ax.get_figure(root=True))
    with panels(dataset, style) as (figure, chosen):
        _draw_panels(figure, chosen, found, (across, up, metric))
        if heading is not None:
            figure.suptitle(wrapped(heading, figure.get_figwidth(), chosen))
        words = " · ".join(notes)
        if words:
            text = wrapped(words, figure.get_figwidth(), chosen, ratio=0.72)
            figure.supxlabel(text, fontsize="x-small", color=GREY, x=0.01, ha="left")
    return figure


def _draw_panels(figure: Figure, style: Style, found: Panels, columns: tuple[Column, Column, Column]) -> None:
    x, y, value = columns
    n_rows = math.ceil(len(found.panels) / found.n_columns)
    width, height = _panel_size(found, style)
    full = style.full_width if found.n_columns > 1 or style.name != "paper" else style.width
    wide = min(width * found.n_columns + _MARGINS[0] * style.scale, full)
    figure.set_size_inches(wide, height * n_rows + _MARGINS[1] * style.scale)
    grid = figure.subplots(n_rows, found.n_columns, squeeze=False, sharex=True, sharey=True)
    axes = cast("list[Axes]", grid.ravel().tolist())
    norm = _common_scale(found)
    cell = (wide - _MARGINS[0] * style.scale) / found.n_columns / len(found.x_values)
    digits = _number_format(found) if _numbers_fit(found, cell, style) else None
    image: AxesImage | None = None
    for one, panel in zip(axes, found.panels, strict=False):
        image = _draw_panel(one, panel, found, norm, digits)
        one.set_title(", ".join(f"{name} = {label}" for name, label in panel.facet))
    for at, one in enumerate(axes):
        if at >= len(found.panels):
            one.set_visible(False)
            continue
        if at % found.n_columns == 0:
            one.set_ylabel(y.label)
        if at + found.n_columns >= len(found.panels):  # nothing below it
            one.set_xlabel(x.label)
            one.tick_params(axis="x", labelbottom=True)
    assert image is not None
    _add_bar(axes, image, value, found)


def _panel_size(found: Panels, style: Style) -> tuple[float, float]:
    """Inches of a panel: room for the numbers where they are written, less where they are not."""
    n_x, n_y = len(found.x_values), len(found.y_values)
    longest = max(map(len, label_values(found.x_values)))
    least = 0.62 if n_x * n_y <= MOST_NUMBERS else 0.12
    cell = max(least, min(0.095 * longest, 1.4) if n_x <= _MOST_TICKS else 0.0)
    most = 9.0 if len(found.panels) == 1 else 5.0
    width = min(max(cell * n_x, 2.4), most)
    height = min(max(0.5 * n_y if n_y <= _MOST_TICKS else 0.12 * n_y, 1.9), most)
    if style.name == "paper" and len(found.panels) == 1:  # the width of the column is what there is
        return width * style.scale, min(height * style.scale, style.width)
    return width * style.scale, height * style.scale


def _numbers_fit(found: Panels, cell_in: float, style: Style) -> bool:
    if found.panels[0].mean.size > MOST_NUMBERS:
        return False
    longest = max((len(format(one, _number_format(found))) for one in found.means.tolist()), default=1)
    return longest * _LETTER * 0.8 * style.rc["font.size"] / 72 <= cell_in


def _common_scale(found: Panels) -> Normalize:
    means = found.means
    if not means.size:
        return Normalize(0.0, 1.0)
    low, high = float(means.min()), float(means.max())
    if spans_orders(low, high):
        return LogNorm(low, high)
    if low == high:  # one colour; a scale of no length has no ticks
        margin = abs(low) * 0.05 or 0.5
        return Normalize(low - margin, high + margin)
    return Normalize(low, high)


def _draw_panel(axes: Axes, panel: Panel, found: Panels, norm: Normalize, digits: str | None) -> AxesImage:
    image = axes.imshow(
        np.ma.masked_invalid(panel.mean),
        cmap=colour_map(),
        norm=norm,
        origin="lower",
        aspect="auto",
        interpolation="none",
    )
    failed = np.argwhere(panel.is_lacking & (panel.n_failed > 0))
    hatch_cells(axes, np.argwhere(panel.is_lacking)[:, ::-1])
    if panel.mean.size <= _MOST_CROSSES:
        _mark(axes, failed, "x", "failed", color=FAILED, **_size(1.0))
    else:
        _fill(axes, failed[:, ::-1], facecolor=FAILED, linewidth=0, gid="failed")
    corners = np.argwhere(panel.is_partial) + np.array([0.32, 0.36])
    _mark(axes, corners, "o", "partial", color="white", markeredgecolor="black", **_size(0.8))
    if digits is not None:
        _write_numbers(axes, panel, norm, digits)
    _set_ticks(axes, found)
    return image


def hatch_cells(axes: Axes, cells: NDArray[np.int64]) -> None:
    """Grey, hatched squares of side 1 around the places (x, y)."""
    if not len(cells):
        return
    few = len(cells) <= _MOST_HATCHED
    edge, hatch = ("#9a9a9a", "////") if few else ("none", None)
    _fill(axes, cells, facecolor=NO_RESULT, edgecolor=edge, hatch=hatch, linewidth=0, gid="no result")


def _fill(axes: Axes, cells: NDArray[np.int64], **look: Any) -> None:
    """Squares of side 1 around places (x, y)."""
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    axes.add_collection(PolyCollection(cast("Any", cells[:, None, :] + corners), **look), autolim=False)


def _mark(axes: Axes, cells: NDArray[Any], marker: str, gid: str, **look: Any) -> None:
    if len(cells):
        axes.plot(cells[:, 1], cells[:, 0], marker, gid=gid, scalex=False, scaley=False, **look)


def _size(of: float) -> dict[str, float]:
    size = of * mpl.rcParams["lines.markersize"]
    return {"markersize": size, "markeredgewidth": 0.16 * size}


def _number_format(found: Panels) -> str:
    """As many decimals for all numbers as tell them apart, or three digits of each if they span orders."""
    means = found.means
    span = float(np.ptp(means)) if means.size else 0.0
    largest = float(np.abs(means).max(initial=0.0))
    smallest = float(np.abs(means).min(initial=np.inf))
    if span == 0.0 or largest >= 1e5 or spans_orders(smallest, largest):
        return ".3g"
    decimals = 2 - math.floor(math.log10(span))
    return f".{max(decimals, 0)}f" if decimals <= 4 else ".3g"


def _write_numbers(axes: Axes, panel: Panel, norm: Normalize, digits: str) -> None:
    colours = colour_map()
    for y, x in np.argwhere(np.isfinite(panel.mean)).tolist():  # at most MOST_NUMBERS
        number = float(panel.mean[y, x])
        axes.text(
            x,
            y,
            format(number, digits),
            ha="center",
            va="center",
            fontsize=0.8 * mpl.rcParams["font.size"],
            color="white" if is_dark(cast("Any", colours(norm(number)))) else "black",
            clip_on=True,
        )


def _set_ticks(axes: Axes, found: Panels) -> None:
    # a number takes more room along x than along y
    longest = max(map(len, label_values(found.x_values)), default=1)
    set_ticks(axes.xaxis, found.x_values, _MOST_TICKS if longest <= 6 else 12)
    set_ticks(axes.yaxis, found.y_values, _MOST_TICKS)
    axes.set_xticks(np.arange(0.5, len(found.x_values) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(found.y_values) - 1), minor=True)
    axes.tick_params(which="both", length=0)
    if len(found.x_values) * len(found.y_values) <= MOST_NUMBERS:
        axes.grid(which="minor", color="white", linewidth=1.0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _add_bar(axes: list[Axes], image: AxesImage, value: Column, found: Panels) -> None:
    bar = add_colour_bar(axes, image, value.label)
    if not found.means.size:
        bar.set_ticks([])


def _words(found: Panels, value: Column, n_infinite: int) -> list[str]:
    """What the marks mean, if there are any."""
    shown = found.panels
    words: list[str] = []
    lacking = any(panel.is_lacking.any() for panel in shown)
    if lacking:
        words.append("hatched: no result")
    if any((panel.is_lacking & (panel.n_failed > 0)).any() for panel in shown):
        few = shown[0].mean.size <= _MOST_CROSSES
        words.append(f"{CROSS}: failed" if few else "orange: failed")
    if any(panel.is_partial.any() for panel in shown):
        words.append("dot: some variants of the mean have no result")
    if any((panel.n_variants == 0).any() for panel in shown):
        words.append("empty: no variant" if found.binned else "empty: not in the space")
    if found.binned:
        words.append(f"values of {' and '.join(found.binned)} in bins")
    if n_infinite:
        words.append(words_on_infinite(value.name, n_infinite))
    if found.n_left_out:
        words.append(f"{found.n_left_out:,} variants without these parameters are not shown")
    return words
