"""Figures of results: functions of a dataset that return a matplotlib Figure.

``sciflow.plots.line(results.dataset, x="temperature", y="energy", hue="size")`` draws on a figure of its own, or on
the axes that ``ax=`` names. Nothing here knows of windows (no pyplot) or changes matplotlib's settings.

A new type of figure is

1. a module here with a function ``name(data, …options, *, title=None, style=None, ax=None) -> Figure``, which draws
   inside ``with drawing(dataset, ax, style, title=title) as axes:`` (`canvas`; several panels: ``with panels(…)``),
   reads its columns with `values.read_rows`, labels axes with `axes.set_axis`, takes colours from `style` and `hue`,
   and says with `marks.words_on_lacks` and `canvas.add_note` what is not shown;
2. a line in `registry.PLOTS`; ``Plot(function, source=lambda results: …)`` if it draws something else than the dataset;
3. an entry in `sciflow.figures.types.TYPES`, the same keywords as the function's, so that a workflow can ask for it;
4. an import below.

Tests go through all types by the registry, and so does ``examples/gallery.py``.
"""

from __future__ import annotations

from sciflow.analysis.plots.bar import bar
from sciflow.analysis.plots.box import box, violin
from sciflow.analysis.plots.contour import contour, surface
from sciflow.analysis.plots.convergence import convergence
from sciflow.analysis.plots.costs import memory, runtime
from sciflow.analysis.plots.effects import interaction, main_effects
from sciflow.analysis.plots.failure_map import failure_map
from sciflow.analysis.plots.heatmap import heatmap
from sciflow.analysis.plots.histogram import ecdf, histogram
from sciflow.analysis.plots.line import line
from sciflow.analysis.plots.pairs import pairs
from sciflow.analysis.plots.parallel import parallel
from sciflow.analysis.plots.pareto import pareto
from sciflow.analysis.plots.run import timeline, utilisation
from sciflow.analysis.plots.save import read_provenance, save_figure
from sciflow.analysis.plots.scatter import scatter
from sciflow.analysis.plots.tornado import tornado

__all__ = [
    "bar",
    "box",
    "contour",
    "convergence",
    "ecdf",
    "failure_map",
    "heatmap",
    "histogram",
    "interaction",
    "line",
    "main_effects",
    "memory",
    "pairs",
    "parallel",
    "pareto",
    "read_provenance",
    "runtime",
    "save_figure",
    "scatter",
    "surface",
    "timeline",
    "tornado",
    "utilisation",
    "violin",
]
