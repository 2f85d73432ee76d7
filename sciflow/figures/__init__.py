"""What a figure asks for, as values; plotting is done where results are read."""

from __future__ import annotations

from sciflow.figures.spec import Figure, parse_figure
from sciflow.figures.types import TYPES

__all__ = ["TYPES", "Figure", "parse_figure"]
