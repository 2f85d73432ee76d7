"""How means settle as replicates are added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import numpy as np
from matplotlib.ticker import MaxNLocator

from sciflow.analysis.convergence import measure_convergence
from sciflow.analysis.grouping import REPLICATE
from sciflow.analysis.labels import label_values
from sciflow.analysis.plots.axes import add_grid
from sciflow.analysis.plots.canvas import add_note, drawing
from sciflow.analysis.plots.sampled import CONFIDENCE, sample_of
from sciflow.analysis.plots.style import OKABE_ITO
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sciflow.analysis.convergence import Convergence

_MOST_LINES: Final = 6


def convergence(
    dataset: xr.Dataset,
    value: str,
    *,
    over: str | None = None,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the mean of each variant over the first, the first two, … replicates with its interval.

    Of more than six variants how wide the intervals are is drawn instead: the median, and where most are.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    value : str
        A metric.
    over : str, optional
        The parameter that counts, ``replicate`` unless given.
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
        There is no such metric or parameter, or there is a single value of each variant.
    """
    over = over or REPLICATE
    sample, label = sample_of(dataset, value)
    found = measure_convergence(sample, over, target=None, confidence=CONFIDENCE)
    if found.variants["n"].to_numpy().max() < 2:
        raise ResultsError(f"there is one value of {over} for each variant, so no mean settles; add replicates")
    with drawing(dataset, ax, style, title=title) as axes:
        if len(found.variants) <= _MOST_LINES:
            axes.yaxis.set_label_text(f"mean of {label}")
            words = _draw_means(axes, found)
        else:
            axes.yaxis.set_label_text(f"± of the mean of {label}")
            words = _draw_widths(axes, found)
        axes.xaxis.set_label_text(f"values of {over}")
        axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
        add_grid(axes)
        add_note(axes, [words])
    return cast("Figure", axes.get_figure(root=True))


def _draw_means(axes: Axes, found: Convergence) -> str:
    names = [name for name in found.running if name not in {"n", "mean", "half_width", "ci_low", "ci_high"}]
    differing = [name for name in names if len(set(found.variants[name].tolist())) > 1]
    for at, identity in enumerate(found.variants.index):
        part = found.running.loc[[identity]]
        texts = [f"{name} = {label_values([part[name].iloc[0]])[0]}" for name in differing]
        colour = OKABE_ITO[at]
        n, mean, low, high = (part[column].to_numpy() for column in ("n", "mean", "ci_low", "ci_high"))
        axes.plot(n, mean, "o-", color=colour, label=", ".join(texts) or "_mean", zorder=3)
        sure = n > min(2, n.max() - 1)  # the interval of two values is so wide that it would hide all others
        axes.fill_between(n[sure], low[sure], high[sure], color=colour, alpha=0.15, linewidth=0, zorder=2, gid="band")
        axes.axhline(mean[-1], color=colour, linewidth=0.5, linestyle=":", zorder=1)
    if differing:
        axes.legend(loc="best")
    return f"band: {found.confidence:.0%} interval of the mean"


def _draw_widths(axes: Axes, found: Convergence) -> str:
    by_n = found.running.dropna(subset=["half_width"]).groupby("n")["half_width"]
    low, middle, high = (by_n.quantile(q) for q in (0.1, 0.5, 0.9))
    n = np.asarray(middle.index)
    axes.fill_between(n, low.to_numpy(), high.to_numpy(), color=OKABE_ITO[0], alpha=0.2, linewidth=0, gid="band")
    axes.plot(n, middle.to_numpy(), "o-", color=OKABE_ITO[0], zorder=3)
    axes.set_yscale("log") if (low.to_numpy() > 0).all() else axes.set_ylim(bottom=0)
    return (
        f"half of the {found.confidence:.0%} interval; line: median of {len(found.variants):,} variants; "
        "band: 80 % of them"
    )
