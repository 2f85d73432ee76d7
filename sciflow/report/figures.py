"""Figures as pictures of a page: drawn, described in words, and with the data behind them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from PIL import Image

from sciflow.analysis.plots.choice import choose_figures
from sciflow.analysis.plots.registry import PLOTS
from sciflow.analysis.plots.values import is_number, metric_names, parameter_names, read_rows
from sciflow.errors import ResultsError, SciflowError
from sciflow.figures.spec import parse_figure
from sciflow.report.blocks import Paragraph, Picture
from sciflow.report.material import file_name_of
from sciflow.report.tables import csv_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import xarray as xr
    from matplotlib.figure import Figure

    from sciflow.figures.spec import Figure as FigureSpec
    from sciflow.report.blocks import Block
    from sciflow.report.material import Material

MOST_FIGURES: Final = 24
_MOST_SVG_BYTES: Final = 200_000
_MOST_PNG_BYTES: Final = 250_000
_DPI: Final = 150  # of pictures that are too large as SVG
_CSS_PIXELS: Final = 96  # of an inch
_OF_MEANS: Final = {"heatmap", "line", "bar", "contour", "surface"}
"""Types that show means of variants that agree in what the figure names."""


def figures(material: Material) -> Iterator[Block]:
    """What the workflow asked for, or what suits its results."""
    declared: Sequence[Mapping[str, Any]] = material.definition.get("figures", ())
    specs: list[FigureSpec] = []
    for data in declared:
        try:
            specs.append(read_spec(data))
        except SciflowError as error:
            yield Paragraph(f"The figure {data['name']} is not known to this release: {error}", "note")
    if not declared:
        yield Paragraph("The workflow asks for no figures; these suit what it recorded.", "note")
        first = [str(one["metric"]) for one in material.definition.get("criteria", ())]
        specs += choose_figures(material.dataset, first)
    for spec in specs[:MOST_FIGURES]:
        yield drawn(material, spec)
    if len(specs) > MOST_FIGURES:
        names = ", ".join(spec.name for spec in specs[MOST_FIGURES:])
        yield Paragraph(f"Left out after {MOST_FIGURES} figures: {names}; results.plot draws them.", "note")


def read_spec(data: Mapping[str, Any]) -> FigureSpec:
    """A figure of a stored definition.

    Raises
    ------
    WorkflowError
        This release does not know such figures.
    """
    return parse_figure(str(data["name"]), {key: value for key, value in data.items() if key != "name"})


def drawn(
    material: Material, spec: FigureSpec, dataset: xr.Dataset | None = None, data: pd.DataFrame | None = None
) -> Block:
    """A figure as a picture, or why there is none.

    Parameters
    ----------
    dataset : what it is drawn of; by default the results
    data : what is offered as its data; by default the columns that it names
    """
    dataset = material.dataset if dataset is None else dataset
    try:
        figure = PLOTS[spec.type].draw(dataset, **spec.options)
        shown = data_of(dataset, spec) if data is None else data
    except ResultsError as error:
        return Paragraph(f"No figure {spec.name}: {error}", "note")
    image, media = image_of(figure)
    width, height = (round(_CSS_PIXELS * inches) for inches in figure.get_size_inches().tolist())
    return Picture(
        file_name_of(spec.name),
        _titled(spec.name.replace("_", " ")),
        alternative(spec, shown),
        image,
        media,
        width,
        height,
        csv_of(spec.name, shown) if len(shown) else None,
    )


def _titled(text: str) -> str:
    return text[:1].upper() + text[1:]


def image_of(figure: Figure) -> tuple[bytes, Any]:
    """A figure as a file for pages and its media type: SVG, or PNG where that is smaller."""
    vector = io.BytesIO()
    # letters as outlines: a reader's machine may lack the font, and another is wider
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "sciflow"}):
        figure.savefig(vector, format="svg")
    if len(vector.getvalue()) <= _MOST_SVG_BYTES:
        return vector.getvalue(), "image/svg+xml"
    pixels, fewer = io.BytesIO(), io.BytesIO()
    figure.savefig(pixels, format="png", dpi=_DPI)
    if len(pixels.getvalue()) <= _MOST_PNG_BYTES:
        return pixels.getvalue(), "image/png"
    # a cloud of points in all its shades takes megabytes, in 256 of them a third
    Image.open(pixels).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(fewer, format="png")
    return fewer.getvalue(), "image/png"


def data_of(dataset: xr.Dataset, spec: FigureSpec) -> pd.DataFrame:
    """The columns that a figure names; those of a figure of means averaged as it shows them."""
    named = list(dict.fromkeys([*spec.parameters, *spec.columns, *spec.metrics]))
    names = named or [*parameter_names(dataset), *(name for name in metric_names(dataset) if is_number(dataset, name))]
    rows = read_rows(dataset, columns=tuple(names))
    frame = pd.DataFrame({name: column.values for name, column in rows.columns.items()})  # noqa: PD011  ours, not pandas'
    metrics = [name for name in names if not rows[name].is_parameter]
    keys = [name for name in names if rows[name].is_parameter]
    if spec.type in _OF_MEANS and keys and metrics:
        means = frame.groupby(keys, sort=False, dropna=False)[metrics].agg(["mean", "count"])
        means.columns = [f"{how if how == 'mean' else 'n'}_{name}" for name, how in means.columns]
        return means.reset_index()
    return frame.dropna(subset=metrics, how="all") if metrics else frame


def alternative(spec: FigureSpec, data: pd.DataFrame) -> str:
    """What a figure shows, in words: its type, what of what, and how far the values go."""
    shown = ", ".join(dict.fromkeys([*spec.metrics, *spec.columns]))
    by = " and ".join(spec.parameters)
    words = (
        f"{spec.type.replace('_', ' ').capitalize()}" + (f" of {shown}" if shown else "") + (f" by {by}" if by else "")
    )
    spans: list[str] = []
    for name in data.columns:
        column = data[name]
        if column.dtype.kind in "iuf" and str(name) not in spec.parameters and not str(name).startswith("n_"):
            values = column.to_numpy(dtype=np.float64)
            values = values[np.isfinite(values)]
            if len(values):
                label = str(name).removeprefix("mean_")
                spans.append(f"{label} from {text_of(values.min())} to {text_of(values.max())}")
    return f"{words}. {'; '.join(spans[:4]).capitalize()}.".replace("..", ".") if spans else f"{words}."
