"""How the values of a metric spread: boxes and violins side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import matplotlib as mpl
import numpy as np
from matplotlib.cbook import boxplot_stats
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from sciflow.analysis.plots.axes import add_grid, set_scale
from sciflow.analysis.plots.canvas import add_note, drawing
from sciflow.analysis.plots.hue import add_legend
from sciflow.analysis.plots.points import draw_faint, spread
from sciflow.analysis.plots.slots import label_slots, mark_lacks, slots_of
from sciflow.analysis.plots.style import is_dark
from sciflow.analysis.plots.values import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sciflow.analysis.plots.slots import Slots

_FEW: Final = 10  # so few values are shown one by one: a box of them hides more than it tells
_MOST_IN_VIOLIN: Final = 2_000  # a density is smooth long before


def box(
    dataset: xr.Dataset,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a box for each value of a parameter: quartiles, whiskers to 1.5 times their distance, outliers as dots.

    Groups of at most ten values are shown as dots, too.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x : str
        A parameter.
    y : str
        A metric.
    hue : str, optional
        A parameter with boxes of its own for each of its values.
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
        There is no such parameter or metric, no variant has a value, or there are too many boxes.
    """
    what = "box: quartiles, line: median, whiskers: to 1.5 × the box"  # noqa: RUF001  a product
    return _draw(dataset, (x, y, hue), _draw_boxes, what, (title, style, ax))


def violin(
    dataset: xr.Dataset,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the density of a metric for each value of a parameter, with its quartiles.

    Densities are of a Gaussian kernel by Scott's rule and end at the smallest and the largest value. Groups of at
    most ten values are shown as dots, too.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x : str
        A parameter.
    y : str
        A metric.
    hue : str, optional
        A parameter with violins of its own for each of its values.
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
        There is no such parameter or metric, no variant has a value, or there are too many violins.
    """
    return _draw(dataset, (x, y, hue), _draw_violins, "bar: quartiles, point: median", (title, style, ax))


def _draw(
    dataset: xr.Dataset,
    names: tuple[str, str, str | None],
    draw: Callable[[Axes, Slots, list[NDArray[np.float64]]], None],
    what: str,
    where: tuple[str | None, str | None, Axes | None],
) -> Figure:
    x, y, hue = names
    title, style, ax = where
    rows = read_rows(dataset, parameters=(x, hue), metrics=(y,))
    value = rows[y]
    slots = slots_of(rows, rows[x], value, None if hue is None else rows[hue])
    members = slots.members(value.numbers)
    with drawing(dataset, ax, style, title=title) as axes:
        set_scale(axes.yaxis, value.numbers)
        draw(axes, slots, members)
        label_slots(axes, slots, value)
        _draw_single(axes, slots, members)
        add_grid(axes)
        words = mark_lacks(axes, slots, rows, np.array([len(one) for one in members]))
        patches = [Patch(color=_light(colour), ec=colour) for colour in slots.hue.colours]
        add_legend(axes, slots.hue, patches)
        add_note(axes, [what, *words])
    return cast("Figure", axes.get_figure(root=True))


def _draw_boxes(axes: Axes, slots: Slots, members: list[NDArray[np.float64]]) -> None:
    n_x = slots.places.shape[1]
    for at, colour in enumerate(slots.hue.colours):
        mine = [(place, one) for place, one in zip(slots.places[at], members[at * n_x :], strict=False) if len(one)]
        if mine:
            _draw_boxes_of(axes, [place for place, _ in mine], [one for _, one in mine], slots.width, colour)


def _draw_boxes_of(
    axes: Axes, places: list[float], members: list[NDArray[np.float64]], slot: float, colour: str
) -> None:
    # not Axes.bxp, which goes through all settings of matplotlib and so loads pyplot
    stats = [boxplot_stats(one)[0] for one in members]
    at = np.array(places)
    q1, middle, q3, low, high = (
        np.array([float(one[key]) for one in stats]) for key in ("q1", "med", "q3", "whislo", "whishi")
    )
    line = 0.8 * mpl.rcParams["lines.linewidth"]
    axes.vlines([*at, *at], [*q3, *low], [*high, *q1], color=colour, linewidth=line, gid="whiskers")
    ends = at - 0.12 * slot, at + 0.12 * slot
    axes.hlines([*low, *high], [*ends[0], *ends[0]], [*ends[1], *ends[1]], color=colour, linewidth=line)
    axes.bar(at, q3 - q1, 0.75 * slot, bottom=q1, facecolor=_light(colour), edgecolor=colour, linewidth=line, zorder=3)
    sides = at - 0.375 * slot, at + 0.375 * slot
    axes.hlines(middle, *sides, color=_dark(colour), linewidth=1.6 * line, zorder=4, gid="medians")
    outliers = [np.asarray(one["fliers"]) for one in stats]
    axes.plot(
        np.repeat(at, [len(one) for one in outliers]),
        np.concatenate(outliers),
        ".",
        color=colour,
        markersize=0.7 * mpl.rcParams["lines.markersize"],
        markeredgewidth=0,
        rasterized=sum(map(len, outliers)) > 2000,
        gid="outliers",
    )


def _draw_violins(axes: Axes, slots: Slots, members: list[NDArray[np.float64]]) -> None:
    n_x = slots.places.shape[1]
    thick = mpl.rcParams["lines.linewidth"]
    for at, colour in enumerate(slots.hue.colours):
        mine = [(place, one) for place, one in zip(slots.places[at], members[at * n_x :], strict=False) if len(one)]
        wide = [(place, _thinned(one)) for place, one in mine if len(one) > _FEW and np.ptp(one) > 0]
        if wide:
            drawn = axes.violinplot(
                [one for _, one in wide], [place for place, _ in wide], widths=0.9 * slots.width, showextrema=False
            )
            for body in cast("list[Any]", drawn["bodies"]):
                body.set(facecolor=_light(colour), edgecolor=colour, alpha=1.0, linewidth=0.7 * thick, zorder=2)
        for place, one in mine:
            low, middle, high = np.percentile(one, [25, 50, 75])
            axes.plot([place, place], [low, high], color=_dark(colour), linewidth=2.2 * thick, zorder=3)
            axes.plot(
                [place],
                [middle],
                "o",
                color="white",
                markeredgecolor=_dark(colour),
                markersize=0.8 * mpl.rcParams["lines.markersize"],
                zorder=4,
                gid="median",
            )


def _draw_single(axes: Axes, slots: Slots, members: list[NDArray[np.float64]]) -> None:
    """The values of small groups, one by one."""
    few = [(place, one) for place, one in zip(slots.places.ravel(), members, strict=True) if 0 < len(one) <= _FEW]
    if few:
        places = np.concatenate([spread(np.full(len(one), place), 0.4 * slots.width) for place, one in few])
        draw_faint(axes, places, np.concatenate([one for _, one in few]), zorder=5)


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most so many order statistics, evenly spaced: the same distribution."""
    if len(values) <= _MOST_IN_VIOLIN:
        return values
    return np.sort(values)[np.linspace(0, len(values) - 1, _MOST_IN_VIOLIN).astype(np.int64)]


def _light(colour: str) -> tuple[float, float, float]:
    red, green, blue = to_rgb(colour)
    return 0.55 + 0.45 * red, 0.55 + 0.45 * green, 0.55 + 0.45 * blue


def _dark(colour: str) -> Any:
    """The colour itself if it stands out on its light version, else a darker one."""
    rgb = to_rgb(colour)
    return rgb if is_dark(rgb) else tuple(0.6 * part for part in rgb)
