"""Which function draws each type of figure, and of what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

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
from sciflow.analysis.plots.scatter import scatter
from sciflow.analysis.plots.tornado import tornado

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.figure import Figure

    from sciflow.analysis.results import Results


def _dataset(results: Results) -> Any:
    return results.dataset


def _costs(results: Results) -> Any:
    return results.costs()


def _runs(results: Results) -> Any:
    return results.runs()


@dataclass(frozen=True, slots=True)
class Plot:
    """How a type of figure is drawn.

    Attributes
    ----------
    draw
        Takes what `source` gives, the options of the type as keywords, ``title``, ``style`` and ``ax``.
    source
        What it draws, taken from the results of a sweep.
    """

    draw: Callable[..., Figure]
    source: Callable[[Results], Any] = _dataset


PLOTS: Final[Mapping[str, Plot]] = {
    "heatmap": Plot(heatmap),
    "line": Plot(line),
    "scatter": Plot(scatter),
    "bar": Plot(bar),
    "box": Plot(box),
    "violin": Plot(violin),
    "histogram": Plot(histogram),
    "ecdf": Plot(ecdf),
    "contour": Plot(contour),
    "surface": Plot(surface),
    "parallel": Plot(parallel),
    "pairs": Plot(pairs),
    "pareto": Plot(pareto),
    "main_effects": Plot(main_effects),
    "interaction": Plot(interaction),
    "tornado": Plot(tornado),
    "convergence": Plot(convergence),
    "failure_map": Plot(failure_map),
    "runtime": Plot(runtime),
    "memory": Plot(memory, _costs),
    "timeline": Plot(timeline, _runs),
    "utilisation": Plot(utilisation, _runs),
}
"""Type → how it is drawn. The options of each type are in `sciflow.figures.types`."""
