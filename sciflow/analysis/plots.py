"""Figures of results, drawn with matplotlib's objects alone: no pyplot, no window, no global state."""

from __future__ import annotations

import io
import math
import textwrap
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sciflow.analysis.cells import Panel, Panels, label_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from sciflow.figures.spec import Heatmap

MOST_NUMBERS: Final = 64
"""Panels of so many cells or fewer have the numbers written into them."""

_COLOURS: Final = "viridis"
_NO_RESULT: Final = "#e4e4e4"
_MOST_TICKS: Final = 16
_MANY_ORDERS: Final = 1e3  # positive values that span so much get a logarithmic scale of colours


class NotebookFigure(Figure):
    """A matplotlib figure that notebooks show by itself, although no window system knows it."""

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        self.savefig(image, format="png", dpi=100)
        return image.getvalue()


def draw_heatmap(spec: Heatmap, panels: Panels, units: Mapping[str, str]) -> Figure:
    """Draw one panel per facet, on one colour scale.

    Cells without a result are hatched, combinations that are not in the space stay empty, and a dot marks a
    mean that some variants of the cell do not take part in.
    """
    n_rows = math.ceil(len(panels.panels) / panels.n_columns)
    width, height = _panel_size(panels)
    figure = NotebookFigure(
        figsize=(width * panels.n_columns + 1.9, height * n_rows + 1.5), layout="constrained", dpi=100
    )
    grid = figure.subplots(n_rows, panels.n_columns, squeeze=False, sharex=True, sharey=True)
    axes = cast("list[Axes]", grid.ravel().tolist())
    norm = _common_scale(panels)
    image: AxesImage | None = None
    for one, panel in zip(axes, panels.panels, strict=False):
        image = _draw_panel(one, panel, panels, norm)
        one.set_title(", ".join(f"{name} = {label_values([value])[0]}" for name, value in panel.facet), fontsize=10)
    for at, one in enumerate(axes):
        if at >= len(panels.panels):
            one.set_visible(False)
            continue
        if at % panels.n_columns == 0:
            one.set_ylabel(_with_unit(spec.y_axis, units))
        if at + panels.n_columns >= len(panels.panels):  # nothing below it
            one.set_xlabel(_with_unit(spec.x_axis, units))
            one.tick_params(axis="x", labelbottom=True)
    assert image is not None
    bar = figure.colorbar(image, ax=axes, label=_with_unit(spec.value, units), pad=0.02, aspect=30)
    if not any(np.isfinite(panel.mean).any() for panel in panels.panels):
        bar.set_ticks([])
    figure.suptitle(_title(spec, panels, width=round(9 * figure.get_figwidth())), fontsize=12)
    _add_key(figure, panels)
    return figure


def _panel_size(panels: Panels) -> tuple[float, float]:
    """Inches of a panel: room for the numbers where they are written, less where they are not."""
    n_x, n_y = len(panels.x_values), len(panels.y_values)
    longest = max(map(len, label_values(panels.x_values)))
    least = 0.62 if n_x * n_y <= MOST_NUMBERS else 0.12
    cell = max(least, min(0.095 * longest, 1.4) if n_x <= _MOST_TICKS else 0.0)
    most = 9.0 if len(panels.panels) == 1 else 5.0
    return min(max(cell * n_x, 2.4), most), min(max(0.5 * n_y if n_y <= _MOST_TICKS else 0.12 * n_y, 1.9), most)


def _common_scale(panels: Panels) -> Normalize:
    means = np.array([panel.mean for panel in panels.panels])
    found = means[np.isfinite(means)]
    if not found.size:
        return Normalize(0.0, 1.0)
    low, high = float(found.min()), float(found.max())
    if low > 0 and high / low >= _MANY_ORDERS:
        return LogNorm(low, high)
    if low == high:  # one colour; a scale of no length has no ticks
        margin = abs(low) * 0.05 or 0.5
        return Normalize(low - margin, high + margin)
    return Normalize(low, high)


def _draw_panel(axes: Axes, panel: Panel, panels: Panels, norm: Normalize) -> AxesImage:
    colours = colormaps[_COLOURS].with_extremes(bad=(1.0, 1.0, 1.0, 0.0))
    image = axes.imshow(
        np.ma.masked_invalid(panel.mean), cmap=colours, norm=norm, origin="lower", aspect="auto", interpolation="none"
    )
    for y, x in np.argwhere((panel.n_variants > 0) & (panel.n_values == 0)).tolist():
        axes.add_patch(
            Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=_NO_RESULT, edgecolor="#9a9a9a", hatch="////", linewidth=0)
        )
    partial = np.argwhere((panel.n_values > 0) & (panel.n_values < panel.n_variants))
    if partial.size:
        axes.plot(
            partial[:, 1] + 0.36, partial[:, 0] + 0.32, "o", color="white", markeredgecolor="black", markersize=4.5
        )
    if panel.mean.size <= MOST_NUMBERS:
        _write_numbers(axes, panel, norm, _number_format(panels))
    _set_ticks(axes, panels)
    return image


def _number_format(panels: Panels) -> str:
    """As many decimals for all numbers as tell them apart, or three digits of each if they span orders."""
    found = np.concatenate([panel.mean[np.isfinite(panel.mean)] for panel in panels.panels])
    span = float(np.ptp(found)) if found.size else 0.0
    largest = float(np.abs(found).max(initial=0.0))
    if (
        span == 0.0
        or largest >= 1e5
        or (found.size and largest / max(float(np.abs(found).min()), 1e-300) >= _MANY_ORDERS)
    ):
        return ".3g"
    decimals = 2 - math.floor(math.log10(span))
    return f".{max(decimals, 0)}f" if decimals <= 4 else ".3g"


def _write_numbers(axes: Axes, panel: Panel, norm: Normalize, number_format: str) -> None:
    for y, x in np.argwhere(np.isfinite(panel.mean)).tolist():
        value = float(panel.mean[y, x])
        red, green, blue, _ = colormaps[_COLOURS](norm(value))
        # relative luminance, ITU-R BT.709
        dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5
        axes.text(
            x,
            y,
            format(value, number_format),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else "black",
            clip_on=True,
        )


def _set_ticks(axes: Axes, panels: Panels) -> None:
    for axis, values in ((axes.xaxis, panels.x_values), (axes.yaxis, panels.y_values)):
        step = math.ceil(len(values) / _MOST_TICKS)
        places = range(0, len(values), step)
        axis.set_ticks(list(places), labels=[label_values(values)[at] for at in places], fontsize=8)
    axes.tick_params(length=0)
    if sum(map(len, label_values(panels.x_values)[:_MOST_TICKS])) > 60:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xticks(np.arange(0.5, len(panels.x_values) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(panels.y_values) - 1), minor=True)
    axes.tick_params(which="minor", length=0)
    if len(panels.x_values) * len(panels.y_values) <= MOST_NUMBERS:
        axes.grid(which="minor", color="white", linewidth=1.0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _title(spec: Heatmap, panels: Panels, width: int) -> str:
    """What is shown, and over what it is averaged, in lines of at most *width* characters."""
    lines = [spec.title or f"{spec.value} by {spec.x_axis} and {spec.y_axis}"]
    if panels.averaged:
        lines.append(f"mean over {', '.join(panels.averaged)}")
    return "\n".join(part for line in lines for part in textwrap.wrap(line, width))


def _add_key(figure: Figure, panels: Panels) -> None:
    """Say under the figure what the marks in it mean, if there are any."""
    words: list[str] = []
    if any(((panel.n_variants > 0) & (panel.n_values == 0)).any() for panel in panels.panels):
        words.append("hatched: no result")
    if any(((panel.n_values > 0) & (panel.n_values < panel.n_variants)).any() for panel in panels.panels):
        words.append("dot: some variants of the mean have no result")
    if any((panel.n_variants == 0).any() for panel in panels.panels):
        words.append("empty: not in the space")
    if panels.n_left_out:
        words.append(f"{panels.n_left_out:,} variants without these parameters are not shown")
    if words:
        figure.supxlabel(" · ".join(words), fontsize=7.5, color="#555555", x=0.01, ha="left")


def _with_unit(name: str, units: Mapping[str, Any]) -> str:
    unit = units.get(name)
    return name if unit in {None, "", "1"} else f"{name} [{unit}]"
