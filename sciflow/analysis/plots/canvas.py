"""Where a plot is drawn: a figure of its own in one of the styles, or the axes that a user hands over."""

from __future__ import annotations

import contextlib
import io
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from sciflow.analysis.plots.save import metadata_for, provenance_of
from sciflow.analysis.plots.style import GREY, find_style, use_style
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar

    from sciflow.analysis.plots.style import Style

_PREVIEW_DPI = 200  # a figure made for print would fill more than a screen


class NotebookFigure(Figure):
    """A matplotlib figure that notebooks show by itself, although no window system knows it.

    Saved as PNG, PDF or SVG it carries where it comes from in its metadata; see `sciflow.plots.read_provenance`.
    """

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        self.savefig(image, format="png", dpi=min(self.dpi, _PREVIEW_DPI))
        return image.getvalue()

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save as matplotlib does, with the provenance of the data in the metadata of the file."""
        suffix = Path(fname).suffix[1:].lower() if isinstance(fname, str | os.PathLike) else ""
        kind = options.get("format") or suffix or mpl.rcParams["savefig.format"]
        added = metadata_for(str(kind), getattr(self, "provenance", {}))
        if added:
            options["metadata"] = {**added, **(options.get("metadata") or {})}
        super().savefig(fname, **options)


@contextlib.contextmanager
def drawing(
    dataset: xr.Dataset | None = None,
    ax: Axes | None = None,
    style: str | None = None,
    *,
    title: str | None = None,
    size: tuple[float, float] = (1.0, 1.0),
    projection: str | None = None,
) -> Generator[Axes]:
    """The axes to draw on, in a style; ``axes.get_figure()`` is what a plot returns.

    Parameters
    ----------
    dataset
        Whose provenance the figure carries when it is saved.
    ax
        Axes of the user's; their style stays as it is unless one is named.
    size
        Width and height of a new figure relative to those of the style.
    """
    if ax is not None and style is None:
        yield ax
        finish(dataset, [ax], title=title)
        return
    chosen = find_style(style)
    with use_style(chosen):
        if ax is None:
            figure = new_figure(chosen, chosen.width * size[0], chosen.height * size[1])
            ax = figure.add_subplot(projection=projection)
        yield ax
        finish(dataset, [ax], title=title)
        keep_style([ax])


@contextlib.contextmanager
def panels(
    dataset: xr.Dataset | None, style: str | None, *, title: str | None = None
) -> Generator[tuple[Figure, Style]]:
    """A figure for several panels, in a style; who draws sets its size (inches, at most the style's full width)."""
    chosen = find_style(style)
    with use_style(chosen):
        figure = new_figure(chosen, chosen.width, chosen.height)
        yield figure, chosen
        if title:
            figure.suptitle(wrapped(title, figure.get_figwidth(), chosen))
        figure.provenance = provenance_of(dataset)  # pyright: ignore[reportAttributeAccessIssue]  # read when it is saved
        keep_style(figure.axes)


def no_axes(ax: Axes | None, what: str, instead: str) -> None:
    """Refuse a user's axes for a figure that needs several.

    Raises
    ------
    ResultsError
        They are given.
    """
    if ax is not None:
        raise ResultsError(f"{what} needs more than one panel, so it takes no ax=; {instead}")


def new_figure(style: Style, width: float, height: float) -> Figure:
    """An empty figure that no window system knows."""
    return NotebookFigure(figsize=(width, height), layout="constrained", dpi=style.rc["figure.dpi"])


def finish(dataset: xr.Dataset | None, axes: Iterable[Axes], *, title: str | None) -> None:
    """Title, and the provenance that is saved with the figure."""
    for one in axes:
        figure = one.figure
        if title:
            # over what a legend or a colour bar will leave of the width
            beside = one.get_legend() is not None or len(figure.axes) > 1
            one.set_title(_wrapped_over(one, title, ratio=1.2 if beside else 1.0))
        if not hasattr(figure, "provenance"):
            figure.provenance = provenance_of(dataset)  # pyright: ignore[reportAttributeAccessIssue]  # read when saved


def keep_style(axes: Iterable[Axes]) -> None:
    """Fix what matplotlib looks up only when it draws, after the style is over: ticks, grid, offsets."""
    settings = cast("dict[str, Any]", mpl.rcParams)
    for one in axes:
        for name in ("x", "y"):
            axis = getattr(one, f"{name}axis")
            size = FontProperties(size=settings[f"{name}tick.labelsize"]).get_size_in_points()
            one.tick_params(axis=cast("Any", name), which="both", labelsize=size)
            for which in ("major", "minor"):
                keys = ("size", "width", "pad")
                length, width, pad = (settings[f"{name}tick.{which}.{key}"] for key in keys)
                given = axis.get_tick_params(which=which)
                one.tick_params(
                    axis=cast("Any", name), which=which, length=given.get("length", length), width=width, pad=pad
                )
            axis.offsetText.set_fontsize(size)
        one.tick_params(grid_color=mpl.rcParams["grid.color"], grid_linewidth=mpl.rcParams["grid.linewidth"])


def add_colour_bar(axes: Axes | Sequence[Axes], shown: Any, label: str) -> Colorbar:
    """Say which colour is which number, beside the axes; opaque, however faint the points are."""
    first = axes[0] if isinstance(axes, Sequence) else axes
    bar = first.figure.colorbar(shown, ax=axes, label=label, pad=0.02, aspect=30)
    if bar.solids is not None:
        bar.solids.set_alpha(1.0)
    cast("Any", bar.outline).set_visible(False)
    return bar


def add_note(axes: Axes, words: Iterable[str]) -> None:
    """Say under the axes what the marks in them mean, and what is not shown."""
    text = " · ".join(word for word in words if word)
    if not text:
        return
    axes.annotate(
        _wrapped_over(axes, text, ratio=0.72),
        xy=(0, 0),
        xycoords=("axes fraction", axes.xaxis.label),
        xytext=(0, -2),
        textcoords="offset points",
        ha="left",
        va="top",
        fontsize="x-small",
        color=GREY,
        annotation_clip=False,
        gid="note",
    )


def wrapped(text: str, width_in: float, style: Style | None = None, *, ratio: float = 1.0) -> str:
    """Text in lines that fit into so many inches."""
    points = mpl.rcParams["font.size"] if style is None else style.rc["font.size"]
    n = max(16, round(width_in * 72 / (0.52 * points * ratio)))
    return "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, n) or [""])


def _wrapped_over(axes: Axes, text: str, ratio: float = 1.0) -> str:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return wrapped(text, 0.9 * figure.get_figwidth() * axes.get_position().width / 0.775, ratio=ratio)
