"""Which parameters a metric is sensitive to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import matplotlib as mpl
import numpy as np

from sciflow.analysis.plots.axes import add_grid
from sciflow.analysis.plots.canvas import add_note, drawing
from sciflow.analysis.plots.sampled import CONFIDENCE, sample_of
from sciflow.analysis.plots.style import OKABE_ITO
from sciflow.analysis.sensitivity import measure_sensitivity

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_BARS: Final = 20


def tornado(
    dataset: xr.Dataset,
    value: str,
    *,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how sensitive a metric is to each parameter as bars, the longest on top.

    What bars are long by depends on the design, as `Results.sensitivity` says: total Sobol' indices with the part that
    a parameter has alone in a darker shade, elementary effects, or importance by permutation.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    value : str
        A metric.
    title : str, optional
        Above the figure.
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
        There is no such metric, nothing differs, or a package is not installed.
    """
    sample, _ = sample_of(dataset, value)
    found = measure_sensitivity(sample, method="auto", confidence=CONFIDENCE)
    bars = found.bars.head(_MOST_BARS)
    places = np.arange(len(bars))
    low, high, length = (bars[name].to_numpy() for name in ("low", "high", "value"))
    height = 0.35 + 0.12 * len(bars)
    with drawing(dataset, ax, style, title=title, size=(1.0, min(2.0, max(0.6, height)))) as axes:
        has_first = "first" in found.table
        axes.barh(places, length, 0.7, color=OKABE_ITO[5], label="with interactions" if has_first else None, zorder=2)
        if has_first:
            first = np.maximum(found.table["first"].to_numpy()[: len(bars)], 0.0)
            axes.barh(places, first, 0.7, color=OKABE_ITO[0], label="alone", zorder=3)
            axes.legend(loc="lower right")
        sure = np.isfinite(low)
        axes.hlines(
            places[sure],
            low[sure],
            high[sure],
            color="black",
            linewidth=0.9 * mpl.rcParams["lines.linewidth"],
            zorder=4,
            gid="band",
        )
        axes.yaxis.set_ticks(places.tolist(), labels=[str(name) for name in bars.index])
        axes.invert_yaxis()
        axes.xaxis.set_label_text(f"{value}: {found.measure}")
        axes.axvline(0.0, color="#333333", linewidth=mpl.rcParams["axes.linewidth"], zorder=5)
        add_grid(axes, "x")
        more = f"{len(found.table) - len(bars)} more are not shown" if len(found.table) > len(bars) else ""
        interval = f"black: {found.confidence:.0%} interval" if sure.any() else ""
        add_note(axes, [found.brief, interval, more])
    return cast("Figure", axes.get_figure(root=True))
