"""What parameters do to a metric: each alone, and two together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, cast

import matplotlib as mpl
import numpy as np

from sciflow.analysis import effects
from sciflow.analysis.labels import label_values
from sciflow.analysis.plots.axes import add_grid, set_limits, tilt
from sciflow.analysis.plots.canvas import add_note, drawing
from sciflow.analysis.plots.line import line
from sciflow.analysis.plots.sampled import CONFIDENCE, sample_of
from sciflow.analysis.plots.style import GREY, OKABE_ITO
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


_MOST_PARAMETERS: Final = 8
_MOST_TICKS: Final = 16
_GAP: Final = 1.0


def main_effects(
    dataset: xr.Dataset,
    value: str,
    *,
    parameters: Sequence[str] | None = None,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the mean of a metric at each value of each parameter, the parameter that matters most first.

    Above each parameter stands its share of the sum of squares (η²); the dashed line is the mean of all.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    value : str
        A metric.
    parameters : sequence of str, optional
        Which ones, in this order.
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
        There is no such metric or parameter, or none differs.
    """
    sample, label = sample_of(dataset, value)
    table = effects.main_effects(sample, confidence=CONFIDENCE)
    known: list[str] = list(dict.fromkeys(table.index.get_level_values("parameter")))
    wanted = known if parameters is None else [parameters] if isinstance(parameters, str) else list(parameters)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ResultsError(
            f"{unknown[0]!r} does not differ between variants; parameters that do are {', '.join(known)}"
        )
    shown = wanted[:_MOST_PARAMETERS]
    parts: dict[str, pd.DataFrame] = {name: table.loc[name] for name in shown}
    ends = np.cumsum([len(part) + _GAP for part in parts.values()])
    n_labelled = _ticks_of_each([len(part) for part in parts.values()])
    with drawing(dataset, ax, style, title=title, size=(1.25 if len(shown) > 3 else 1.0, 1.0)) as axes:
        axes.axhline(
            table.attrs["mean"], color=GREY, linestyle="--", linewidth=mpl.rcParams["axes.linewidth"], zorder=1
        )
        ticks: list[float] = []
        texts: list[str] = []
        for at, (name, part) in enumerate(parts.items()):
            start = float(ends[at]) - len(part) - _GAP
            places = start + np.arange(len(part))
            _draw_one(axes, places, part, OKABE_ITO[at % len(OKABE_ITO)])
            axes.annotate(
                f"{name}\n{float(part['share'].iloc[0]):.0%}",
                xy=(float(places.mean()), 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize="small",
            )
            for place, text in _ticks(places, part.index.tolist(), n_labelled[at]):
                ticks.append(place)
                texts.append(text)
            if at:
                axes.axvline(
                    start - (1 + _GAP) / 2, color="#e0e0e0", linewidth=mpl.rcParams["axes.linewidth"], zorder=0
                )
        axes.xaxis.set_ticks(ticks, labels=texts)
        if sum(map(len, texts)) + 2 * len(texts) > 50:
            tilt(axes, 60)  # several parameters share the width
        set_limits(axes.xaxis, -0.5 - _GAP / 2, float(ends[-1]) - _GAP / 2 - 0.5)
        axes.yaxis.set_label_text(label)
        add_grid(axes)
        left_out = f"{len(wanted) - len(shown)} more parameters are not shown" if len(wanted) > len(shown) else ""
        binned = [name for name, part in parts.items() if any(map(_is_bin, part.index))]
        bins = f"{' and '.join(binned)} in bins between the ticks" if binned else ""
        add_note(axes, [f"mean of {table.attrs['n']:,} values dashed; share: η²", bins, left_out, _unbalanced(table)])
    return cast("Figure", axes.get_figure(root=True))


def _unbalanced(table: pd.DataFrame) -> str:
    return "design not balanced: means differ for other parameters' sake too" if table.attrs["note"] else ""


def _ticks_of_each(sizes: Sequence[int]) -> list[int]:
    """How many ticks each parameter gets: those with few values all of theirs, the others equal parts of the rest."""
    given = [0] * len(sizes)
    left = _MOST_TICKS
    for n_after, at in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        given[at] = max(2, min(sizes[at], left // (len(sizes) - n_after)))
        left -= given[at]
    return given


def _ticks(places: NDArray[Any], values: list[Any], most: int) -> list[tuple[float, str]]:
    """Where labels stand, and what they say: values below their points, of bins the edges between the points."""
    if all(map(_is_bin, values)):
        edges = [values[0].left, *(one.right for one in values)]
        at = np.unique(np.linspace(0, len(values), most).round().astype(np.int64)).tolist()
        texts = _short_numbers([edges[k] for k in at])
        return [(float(places[0]) - 0.5 + k, text) for k, text in zip(at, texts, strict=True)]
    step = max(1, math.ceil(len(values) / most))
    return list(zip(places[::step].tolist(), label_values(values)[::step], strict=True))


def _short_numbers(numbers: Sequence[float]) -> list[str]:
    """As few digits as tell them apart."""
    for digits in (2, 3, 4):
        texts = [f"{one:.{digits}g}" for one in numbers]
        if len(set(texts)) == len(texts):
            return [text.replace("e-0", "e-").replace("e+0", "e") for text in texts]
    return [str(one) for one in numbers]


def _is_bin(value: Any) -> bool:
    return hasattr(value, "mid")


def _draw_one(axes: Axes, places: Any, part: pd.DataFrame, colour: str) -> None:
    mean, low, high = (part[name].to_numpy() for name in ("mean", "ci_low", "ci_high"))
    ordered = all(not isinstance(value, str | bool) for value in part.index)
    axes.plot(places, mean, "o-" if ordered else "o:", color=colour, zorder=3)
    sure = np.isfinite(low)
    axes.vlines(places[sure], low[sure], high[sure], color=colour, zorder=2, gid="band")


def interaction(
    dataset: xr.Dataset,
    x: str,
    hue: str,
    value: str,
    *,
    title: str | None = None,
    style: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the mean of a metric along one parameter for each value of another; lines in parallel mean no interaction.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `Results.dataset` gives it.
    x, hue : str
        Two parameters.
    value : str
        A metric.
    title : str, optional
        Instead of one that says how strong the interaction is.
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
        There is no such metric or parameter, or one of them does not differ.
    """
    table = effects.interactions(sample_of(dataset, value)[0])
    pair = next((pair for pair in ((x, hue), (hue, x)) if pair in table.index), None)
    if pair is None:
        known = ", ".join(dict.fromkeys(name for names in table.index for name in names))
        raise ResultsError(f"{x!r} and {hue!r} do not both differ between variants; parameters that do are {known}")
    strength = f"interaction: {float(cast('Any', table['share'][pair])):.1%} of the sum of squares"
    return line(dataset, x, value, hue=hue, title=strength if title is None else title, style=style, ax=ax)
