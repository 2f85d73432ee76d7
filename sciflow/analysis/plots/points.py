"""Points in a plane, of which there may be a hundred thousand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm, Normalize

from sciflow.analysis.plots.axes import is_logarithmic
from sciflow.analysis.plots.hue import MOST_HUES, hue_of
from sciflow.analysis.plots.style import OKABE_ITO, SEQUENTIAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection, PolyCollection
    from numpy.typing import NDArray

    from sciflow.analysis.plots.hue import Hue
    from sciflow.analysis.plots.values import Column

MOST_POINTS: Final = 20_000
"""More points hide each other: they are counted in hexagons."""
_VECTOR: Final = 5_000  # more points are pixels in PDF and SVG, or viewers choke
_GOLDEN: Final = 0.6180339887498949


def is_continuous(column: Column) -> bool:
    """Whether a column is shown by a scale of colours rather than by a colour for each value."""
    return column.is_numeric and (not column.is_parameter or len(column.levels) > MOST_HUES)


def spread(places: NDArray[np.float64], width: float = 0.5) -> NDArray[np.float64]:
    """Move points of one category beside each other, the same way each time."""
    # multiples of the golden ratio are spread evenly however many there are
    return places + ((np.arange(len(places)) * _GOLDEN) % 1.0 - 0.5) * width


def draw_points(
    axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], hue: Column | None
) -> tuple[PathCollection | None, Hue]:
    """Draw points in the colours of a column; where it is continuous, what a scale of colours is made of comes back."""
    n = int((np.isfinite(x) & np.isfinite(y)).sum())
    size = (mpl.rcParams["lines.markersize"] * float(np.clip((400 / max(n, 1)) ** 0.25, 0.35, 1.0))) ** 2
    look: dict[str, Any] = {
        "s": size,
        "alpha": float(np.clip((2000 / max(n, 1)) ** 0.5, 0.25, 0.9)),
        "linewidths": 0.0 if n > 500 else 0.08 * size**0.5,
        "edgecolors": "white",
        "rasterized": n > _VECTOR,
        "zorder": 3,
    }
    if hue is not None and is_continuous(hue):
        numbers = hue.numbers
        shown = numbers[np.isfinite(x) & np.isfinite(y) & np.isfinite(numbers)]
        low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
        norm = LogNorm(low, high) if is_logarithmic(shown) else Normalize(low, high)
        return axes.scatter(x, y, c=numbers, cmap=SEQUENTIAL, norm=norm, **look), hue_of(None)
    hues = hue_of(hue)
    codes = hues.codes(len(x))
    for at in range(len(hues)):
        mine = codes == at
        label = hues.labels[at] or "_points"
        axes.scatter(x[mine], y[mine], color=hues.colours[at], marker=cast("Any", hues.marker(at)), label=label, **look)
    return None, hues


def draw_hexagons(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], gridsize: int = 45) -> PolyCollection:
    """Count points in hexagons; the scale of colours is logarithmic."""
    there = np.isfinite(x) & np.isfinite(y)
    return axes.hexbin(
        x[there],
        y[there],
        gridsize=gridsize,
        mincnt=1,
        norm=LogNorm(),
        cmap=SEQUENTIAL,
        linewidths=0.1,
        xscale=cast("Any", axes.get_xscale()),
        yscale=cast("Any", axes.get_yscale()),
    )


def draw_faint(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], **more: Any) -> None:
    """Draw single values behind what summarises them."""
    axes.scatter(
        x,
        y,
        s=(0.55 * mpl.rcParams["lines.markersize"]) ** 2,
        color=more.pop("color", OKABE_ITO[6]),
        alpha=0.55,
        linewidths=0,
        rasterized=len(x) > _VECTOR,
        gid="values",
        **more,
    )
