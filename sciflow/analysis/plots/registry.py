"""Which function draws each type of figure, and of what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sciflow.analysis.plots.heatmap import heatmap
from sciflow.analysis.plots.line import line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.figure import Figure

    from sciflow.analysis.results import Results


def _dataset(results: Results) -> Any:
    return results.dataset


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
}
"""Type → how it is drawn. The options of each type are in `sciflow.figures.types`."""
