"""What a figure asks for, as values; plotting is done where results are read."""

from __future__ import annotations

from sciflow.figures.spec import Figure, Heatmap, parse_figure

__all__ = ["Figure", "Heatmap", "parse_figure"]
