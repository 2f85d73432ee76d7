"""The types of figures and the options of each: all that is known of them before there are results.

A new type is one entry here, with the keywords of the function that draws it, which
`sciflow.analysis.plots` says how to add.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sciflow.figures.keys import COLUMN, COLUMNS, FLAG, GOALS, METRIC, PARAMETER, PARAMETERS, TITLE, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.figures.keys import Key

_BANDS = one_of("ci", "sd", "range", "none")
_BY_GROUP = {"x": PARAMETER.needed, "y": METRIC.needed, "hue": PARAMETER}
_SURFACE = {"x": PARAMETER.needed, "y": PARAMETER.needed, "value": METRIC.needed}

TYPES: Final[Mapping[str, Mapping[str, Key]]] = MappingProxyType(
    {
        "heatmap": {**_SURFACE, "facet_by": PARAMETERS},
        "line": {"x": COLUMN.needed, "y": METRIC.needed, "hue": PARAMETER, "band": _BANDS},
        "scatter": {"x": COLUMN.needed, "y": COLUMN.needed, "hue": COLUMN},
        "bar": {**_BY_GROUP, "band": _BANDS},
        "box": _BY_GROUP,
        "violin": _BY_GROUP,
        "histogram": {"x": COLUMN.needed, "hue": PARAMETER},
        "ecdf": {"x": COLUMN.needed, "hue": PARAMETER},
        "contour": _SURFACE,
        "surface": _SURFACE,
        "parallel": {"columns": COLUMNS, "value": METRIC.needed},
        "pairs": {"columns": COLUMNS, "hue": PARAMETER},
        "pareto": {"objectives": GOALS.needed, "hue": PARAMETER, "label": FLAG},
        "main_effects": {"value": METRIC.needed, "parameters": PARAMETERS},
        "interaction": {"x": PARAMETER.needed, "hue": PARAMETER.needed, "value": METRIC.needed},
        "tornado": {"value": METRIC.needed},
        "convergence": {"value": METRIC.needed, "over": PARAMETER},
        "failure_map": {"x": PARAMETER, "y": PARAMETER},
        "runtime": {"parameters": PARAMETERS},
        "memory": {"parameters": PARAMETERS},
        "timeline": {},
        "utilisation": {},
    }
)
"""Type → key → what it takes."""

COMMON: Final[Mapping[str, Key]] = MappingProxyType({"title": TITLE})
"""Keys of every type."""

ALIASES: Final[Mapping[str, str]] = MappingProxyType({"x_axis": "x", "y_axis": "y"})
"""Other spellings of keys."""
