"""What a figure asks for, as a value: no plotting here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import WorkflowError
from sciflow.figures.keys import GOALS, read_options
from sciflow.figures.types import ALIASES, COMMON, TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sciflow.figures.keys import Key

_HINTS: Final[Mapping[str, str]] = MappingProxyType({"color": "hue", "colour": "hue", "c": "hue", "group": "hue"})
"""What people may mean by keys of other libraries."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that somebody asked for; `parse_figure` makes and checks one.

    Attributes
    ----------
    type
        One of `sciflow.figures.types.TYPES`, such as ``"line"``.
    given
        The options, as values that hash.
    """

    name: str
    type: str
    given: tuple[tuple[str, Any], ...]

    @property
    def options(self) -> dict[str, Any]:
        """The keywords of the function that draws it."""
        keys = _keys(self.type)
        return {key: dict(value) if keys[key].read is GOALS.read else value for key, value in self.given}

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that the figure names; what may be a parameter or a metric is not among them."""
        return self._names("parameter")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the figure names."""
        return self._names("metric")

    @property
    def columns(self) -> tuple[str, ...]:
        """What the figure names that may be a parameter or a metric."""
        return self._names("column")

    def _names(self, kind: str) -> tuple[str, ...]:
        keys = _keys(self.type)
        return tuple(name for key, value in self.given if keys[key].names == kind for name in keys[key].names_in(value))

    def to_dict(self) -> dict[str, object]:
        """Plain data, for the stored definition."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in self.options.items()}
        return {"name": self.name, "type": self.type, **plain}


def parse_figure(name: str, options: Mapping[str, object]) -> Figure:
    """Read the options of one figure.

    Parameters
    ----------
    options
        ``type``, such as ``"heatmap"`` or ``"line"``, and the keys of the type: the parameters ``x`` and ``y``
        and the metric ``value`` of a heatmap, for example. Every type takes a ``title``.

    Raises
    ------
    WorkflowError
        For an unknown type or key, a missing one, or a parameter named twice.
    """
    label = f"figure {name!r}"
    # what users write, also those without a type checker
    if not isinstance(options, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WorkflowError(f'{label} is told by a mapping such as {{"type": "line", "x": …, "y": …}}, not {options!r}')
    kind = options.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise WorkflowError(
            f"{label}: type {kind!r} is unknown; the type is one of {', '.join(map(repr, TYPES))}"
            + _closest(kind, TYPES)
        )
    keys = _keys(kind)
    renamed = {
        ALIASES[key] if key in ALIASES and ALIASES[key] in keys else key: value
        for key, value in options.items()
        if key != "type"
    }
    unknown = [key for key in renamed if key not in keys]
    if unknown:
        raise WorkflowError(
            f"{label} has unknown keys {unknown}; a figure of type {kind!r} has type, {', '.join(keys)}"
            + next(filter(None, (_closest(one, keys) for one in unknown)), "")
        )
    read = read_options(label, kind, keys, renamed)
    figure = Figure(name, kind, tuple((key, read[key]) for key in keys if key in read))
    named = figure.parameters
    repeated = sorted({one for one in named if named.count(one) > 1})
    if repeated:
        raise WorkflowError(f"{label} uses {repeated} more than once; a parameter shows only one way at a time")
    return figure


def _keys(kind: str) -> dict[str, Key]:
    return {**TYPES[kind], **COMMON}


def _closest(name: object, known: Iterable[str]) -> str:
    if not isinstance(name, str):
        return ""
    known = list(known)
    close = [_HINTS[name]] if _HINTS.get(name) in known else difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
