"""A metric over two numbers: contours, and a surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from matplotlib.tri import Triangulation

from sciflow.analysis.plots.axes import is_logarithmic, set_scale, spans_orders
from sciflow.analysis.plots.canvas import add_colour_bar, add_note, drawing, wrapped
from sciflow.analysis.plots.cells import bin_numbers
from sciflow.analysis.plots.marks import headed, need_values, words_on_lacks, words_on_mean
from sciflow.analysis.plots.statistics import summarise
from sciflow.analysis.plots.style import CROSS, FAILED, GREY, NO_RESULT, SEQUENTIAL
from sciflow.analysis.plots.values import combine, read_rows
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sciflow.analysis.plots.values import Column, Levels, Rows

_MOST_POINTS: Final = 5_000  # of a triangulation; more go into bins first
_MOST_DOTS: Final = 1_000
_N_BINS: Final = 60
_N_LEVELS: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """The mean of a metric at points of a plane.

    Attributes
    ----------
    x, y, mean
        Of each point with a value.
    grid
        (n_y, n_x) means at all combinations of `x_values` and `y_values`, NaN where there is none; None if the points
        are no grid.
    lacks
        (n, 2) points of the grid without a value.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    mean: NDArray[np.float64]
    x_values: NDArray[np.float64]
    y_values: NDArray[np.float64]
    grid: NDArray[np.float64] | None
    lacks: NDArray[np.float64]
    averaged: tuple[str, ...]


def contour(
    dataset: xr.Dataset,
    x: str,
    y: str,
    value: str,
    *,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw contours of a metric over two parameters that are numbers.

    Between the points of a grid, or of the triangles between scattered ones (Delaunay), it is interpolated linearly;
    dots are where there are results. Where there are none it is hatched, and crosses are failures.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x, y : str
        Parameters that are numbers.
    value : str
        A metric.
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
        There is no such parameter or metric, a parameter is no number, or the points span no area.
    """
    rows = read_rows(dataset, parameters=(x, y), metrics=(value,))
    field = _field(rows, rows[x], rows[y], rows[value], "contours")
    with drawing(dataset, ax, style, title=_title(title, field)[0], size=(1.0, 1.0)) as axes:
        axes.set(xlabel=rows[x].label, ylabel=rows[y].label)
        set_scale(axes.xaxis, field.x_values, _if_few(rows[x]))
        set_scale(axes.yaxis, field.y_values, _if_few(rows[y]))
        words = _hatch_background(axes, field, rows)
        norm, levels = _levels(field.mean)
        shown = _filled(axes, field, norm, levels)
        if len(field.mean) <= _MOST_DOTS:
            size = (0.35 * mpl.rcParams["lines.markersize"]) ** 2
            axes.scatter(
                field.x, field.y, s=size, color="black", alpha=0.6, linewidths=0, zorder=3, gid="results", clip_on=False
            )
            words.append("dots: results")
        _fit(axes, field)
        bar = add_colour_bar(axes, shown, rows[value].label)
        if isinstance(norm, LogNorm):
            bar.set_ticks(levels[1:-1].tolist(), labels=[f"{one:g}" for one in levels[1:-1]])
        add_note(axes, [*_title(title, field)[1], *words, *words_on_lacks(rows)])
    return cast("Figure", axes.get_figure(root=True))


def surface(
    dataset: xr.Dataset,
    x: str,
    y: str,
    value: str,
    *,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a metric as a surface over two parameters that are numbers.

    Its height hides what is behind it: for a paper, `contour` or `heatmap` says more.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x, y : str
        Parameters that are numbers.
    value : str
        A metric.
    title : str, optional
        Instead of one that says what is shown.
    style : {"paper", "notebook", "talk"}, optional
        Sizes of the figure and its letters.
    ax : mpl_toolkits.mplot3d.axes3d.Axes3D, optional
        Where to draw, such as ``figure.add_subplot(projection="3d")``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ResultsError
        There is no such parameter or metric, a parameter is no number, the points span no area, or `ax` is flat.
    """
    if ax is not None and ax.name != "3d":
        raise ResultsError('a surface needs axes with three dimensions: figure.add_subplot(projection="3d")')
    rows = read_rows(dataset, parameters=(x, y), metrics=(value,))
    field = _field(rows, rows[x], rows[y], rows[value], "a surface")
    with drawing(dataset, ax, style, title=_title(title, field)[0], projection="3d") as flat:
        axes = cast("Any", flat)
        # axes in three dimensions have no logarithmic scale of their own
        across, along = (_straight(axis, values) for axis, values in _three(axes, field))
        norm, _ = _levels(field.mean)
        look = {"cmap": SEQUENTIAL, "norm": norm, "linewidth": 0.2, "edgecolor": "#ffffff60", "antialiased": True}
        if field.grid is not None:
            grid = np.meshgrid(across(field.x_values), along(field.y_values))
            shown = axes.plot_surface(*grid, field.grid, rcount=80, ccount=80, **look)
        else:
            triangles = _triangulate(across(field.x), along(field.y)).triangles
            shown = axes.plot_trisurf(across(field.x), along(field.y), field.mean, triangles=triangles, **look)
        axes.set(xlabel=rows[x].label, ylabel=rows[y].label, zlabel=rows[value].label)
        axes.view_init(elev=28, azim=-55)
        axes.set_box_aspect(None, zoom=0.8)
        bar = axes.figure.colorbar(shown, ax=axes, shrink=0.7, pad=0.12, aspect=24)
        bar.outline.set_visible(False)
        lacks = [*_title(title, field)[1], *words_on_lacks(rows)]
        if lacks:
            look = {"fontsize": "x-small", "color": GREY, "transform": axes.transAxes, "gid": "note"}
            axes.text2D(0.0, 1.0, wrapped(" · ".join(lacks), axes.figure.get_figwidth(), ratio=0.72), va="top", **look)
    return cast("Figure", axes.get_figure(root=True))


def _field(rows: Rows, x: Column, y: Column, value: Column, what: str) -> Field:
    for one in (x, y):
        if not one.is_numeric:
            raise ResultsError(
                f"{one.name} is no number ({', '.join(one.levels.labels[:3])}), and {what} are drawn between "
                "numbers; a heatmap takes it"
            )
    there = need_values(rows, x, y, value)
    across, up = x.levels, y.levels
    is_grid = len(across) * len(up) <= 2 * len(np.unique(combine(across, up)[0][there]))
    if not is_grid and int(there.sum()) > _MOST_POINTS:
        across, up, is_grid = _coarse(x), _coarse(y), True
    if len(across) < 2 or len(up) < 2:
        flat = x.name if len(across) < 2 else y.name
        raise ResultsError(f"{flat} has one value, so there is no area to draw {what} over; a line shows the other")
    groups, n = combine(across, up)  # y varies fastest
    codes, size = (groups, n) if is_grid else _compact(groups)
    summary = summarise(codes, size, value.numbers, "none")
    x_values, y_values = (np.array(one.values, dtype=np.float64) for one in (across, up))
    places = np.arange(n) if is_grid else np.unique(groups[groups >= 0])
    px, py = x_values[places // len(up)], y_values[places % len(up)]
    known = np.isfinite(summary.mean)
    grid = summary.mean.reshape(len(across), len(up)).T if is_grid else None
    lacking = ~known & (summary.n_variants > 0)
    return Field(
        px[known],
        py[known],
        summary.mean[known],
        x_values,
        y_values,
        grid,
        np.stack([px[lacking], py[lacking]], axis=1),
        rows.averaged(codes, there),
    )


def _coarse(column: Column) -> Levels:
    return bin_numbers(column.numbers, _N_BINS) if len(column.levels) > _N_BINS else column.levels


def _compact(groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Renumber the groups that occur, in their order; -1 stays."""
    found, codes = np.unique(groups, return_inverse=True)
    lacking = int((found < 0).any())
    return codes.ravel() - lacking, len(found) - lacking


def _title(title: str | None, field: Field) -> tuple[str | None, list[str]]:
    return headed(title, "", words_on_mean(field.averaged))


def _if_few(column: Column) -> Levels | None:
    return column.levels if len(column.levels) <= 8 else None


def _levels(mean: NDArray[np.float64]) -> tuple[Normalize, NDArray[np.float64]]:
    low, high = float(mean.min()), float(mean.max())
    if low == high:
        margin = abs(low) * 0.05 or 0.5
        low, high = low - margin, high + margin
    if spans_orders(low, high):
        round_ones = np.outer(
            10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1), (1, 2, 5)
        ).ravel()
        between = round_ones[(round_ones > low * 1.01) & (round_ones < high / 1.01)]
        return LogNorm(low, high), np.array([low, *between, high])
    ticks = np.asarray(MaxNLocator(_N_LEVELS).tick_values(low, high))
    return Normalize(ticks[0], ticks[-1]), ticks


def _filled(axes: Axes, field: Field, norm: Normalize, levels: NDArray[np.float64]) -> Any:
    lines: dict[str, Any] = {"levels": levels, "colors": "white", "linewidths": 0.4, "alpha": 0.7}
    look: dict[str, Any] = {"levels": levels, "cmap": SEQUENTIAL, "norm": norm}
    if field.grid is not None:
        masked = np.ma.masked_invalid(field.grid)
        shown = axes.contourf(field.x_values, field.y_values, masked, **look)
        axes.contour(field.x_values, field.y_values, masked, **lines)
        return shown
    # triangles of the plane as it is seen, so that none is thin only because of the units
    seen = _triangulate(_as_seen(field.x), _as_seen(field.y))
    triangles = Triangulation(field.x, field.y, seen.triangles)
    shown = axes.tricontourf(triangles, field.mean, **look)
    axes.tricontour(triangles, field.mean, **lines)
    return shown


def _as_seen(values: NDArray[np.float64]) -> NDArray[np.float64]:
    places = np.log(values) if is_logarithmic(values, series=True) else values
    return (places - places.min()) / (np.ptp(places) or 1.0)


def _triangulate(x: NDArray[np.float64], y: NDArray[np.float64]) -> Triangulation:
    try:
        return Triangulation(x, y)
    except (RuntimeError, ValueError) as error:
        raise ResultsError(
            f"the {len(x)} points with results lie on a line or are fewer than three, so they span no area; "
            "a scatter shows them"
        ) from error


def _hatch_background(axes: Axes, field: Field, rows: Rows) -> list[str]:
    """Hatch what no contour will cover, and cross the failures; gives the words that explain it."""
    axes.add_patch(
        Rectangle(
            (0, 0),
            1,
            1,
            transform=axes.transAxes,
            facecolor=NO_RESULT,
            edgecolor="#b5b5b5",
            hatch="////",
            linewidth=0,
            zorder=0,
            gid="no result",
        )
    )
    words = ["hatched: no result"] if len(field.lacks) or field.grid is None else []
    if len(field.lacks) and rows.failed.any():
        size = mpl.rcParams["lines.markersize"] * float(np.clip((50 / len(field.lacks)) ** 0.5, 0.2, 1.0))
        axes.plot(
            field.lacks[:, 0],
            field.lacks[:, 1],
            "x",
            color=FAILED,
            markersize=size,
            zorder=4,
            gid="failed",
            clip_on=False,
        )
        words.append(f"{CROSS}: failed or not run")
    return words


def _fit(axes: Axes, field: Field) -> None:
    for low_high, values in ((axes.set_xlim, field.x_values), (axes.set_ylim, field.y_values)):
        low_high(float(values.min()), float(values.max()))


def _three(axes: Any, field: Field) -> list[tuple[Any, NDArray[np.float64]]]:
    return [(axes.xaxis, field.x_values), (axes.yaxis, field.y_values)]


def _straight(axis: Any, values: NDArray[np.float64]) -> Any:
    """What turns values into places along an axis of a surface: logarithms are drawn, and their powers written."""
    if not is_logarithmic(values, series=True):
        apart = len(values) <= 6 and float(np.diff(np.sort(values)).min()) >= 0.15 * float(np.ptp(values))
        axis.set_major_locator(FixedLocator(values.tolist()) if apart else MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(_number))
        return _unchanged
    if len(values) <= 6:
        axis.set_major_locator(FixedLocator(np.log10(values).tolist()))
    else:
        axis.set_major_locator(MaxNLocator(4, integer=bool(np.ptp(np.log10(values)) >= 2)))
    axis.set_major_formatter(FuncFormatter(_power))
    return np.log10


def _unchanged(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values


def _number(value: float, _at: int | None = None) -> str:
    return f"{value:.4g}"


def _power(exponent: float, _at: int | None = None) -> str:
    return f"{10**exponent:.3g}"
