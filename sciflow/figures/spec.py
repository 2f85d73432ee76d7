"""What a figure asks for, as a value: no plotting here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias, cast

from sciflow.errors import WorkflowError

HEATMAP_KEYS = ("type", "x_axis", "y_axis", "value", "facet_by", "title")


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A metric over two parameters, one panel per combination of the *facet_by* parameters."""

    name: str
    x_axis: str
    y_axis: str
    value: str
    facet_by: tuple[str, ...] = ()
    title: str | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that the figure names."""
        return (self.x_axis, self.y_axis, *self.facet_by)

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        return {"type": "heatmap", **asdict(self), "facet_by": list(self.facet_by)}


Figure: TypeAlias = Heatmap


def parse_figure(name: str, options: Mapping[str, object]) -> Figure:
    """Read the options of one figure.

    Parameters
    ----------
    options
        ``type`` (``"heatmap"``), the parameters ``x_axis`` and ``y_axis``, the metric ``value``, and if
        wanted ``facet_by`` (one name or several) and ``title``.

    Raises
    ------
    WorkflowError
        For an unknown type or key, a missing one, or a parameter named twice.
    """
    if options.get("type") != "heatmap":
        raise WorkflowError(f"figure {name!r}: type {options.get('type')!r} is unknown; the type is one of 'heatmap'")
    unknown = [key for key in options if key not in HEATMAP_KEYS]
    if unknown:
        raise WorkflowError(f"figure {name!r} has unknown keys {unknown}; a heatmap has {', '.join(HEATMAP_KEYS)}")
    title = options.get("title")
    figure = Heatmap(
        name=name,
        x_axis=_name(name, "x_axis", options.get("x_axis")),
        y_axis=_name(name, "y_axis", options.get("y_axis")),
        value=_name(name, "value", options.get("value")),
        facet_by=tuple(_name(name, "facet_by", one) for one in _facets(options.get("facet_by", ()))),
        title=None if title is None else _name(name, "title", title),
    )
    repeated = sorted({one for one in figure.parameters if figure.parameters.count(one) > 1})
    if repeated:
        raise WorkflowError(f"figure {name!r} uses {repeated} more than once; x_axis, y_axis and facet_by must differ")
    return figure


def _facets(given: object) -> tuple[object, ...]:
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Iterable):
        return (given,)
    return tuple(cast("Iterable[object]", given))


def _name(figure: str, key: str, value: object) -> str:
    if value is None:
        raise WorkflowError(f"figure {figure!r} lacks {key!r}; a heatmap needs x_axis, y_axis and value")
    if not isinstance(value, str) or not value:
        raise WorkflowError(f"figure {figure!r}: {key} must be a name as text, not {value!r}")
    return value
