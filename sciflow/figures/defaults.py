"""Figures for those who asked for none, chosen by what the parameters and metrics are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sciflow.figures.spec import Figure, parse_figure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

MOST_FIGURES: Final = 6
_MOST_HUES: Final = 6
_MOST_BARS: Final = 24
_MOST_CELLS: Final = 400  # along one side of a heatmap
_MOST_PARALLEL: Final = 10
_MANY: Final = 40  # values of a parameter; more, and hardly two variants with the same one: drawn at random
_SPREAD: Final = 10  # so many replicates show how values spread


@dataclass(frozen=True, slots=True)
class ParameterFacts:
    """What the choice of figures depends on.

    Attributes
    ----------
    n_values
        How many distinct values it has.
    is_numeric
        Whether its values have a place on a scale.
    """

    name: str
    n_values: int
    is_numeric: bool


def default_figures(
    parameters: Sequence[ParameterFacts],
    metrics: Sequence[str],
    n_variants: int,
    n_replicates: int = 1,
    logarithmic: Collection[str] = (),
) -> tuple[Figure, ...]:
    """At most six figures that show how metrics depend on parameters.

    Parameters
    ----------
    parameters
        Without the one that tells replicates apart.
    metrics
        Those that are numbers, the most important first.
    n_variants
        Replicates included.
    n_replicates
        Variants with the same parameters.
    logarithmic
        Metrics that are seen on a logarithmic scale, on which no bar starts at zero.

    Returns
    -------
    tuple of Figure
        Nothing if there is no metric or a single variant.
    """
    varied = sorted(
        (one for one in parameters if one.n_values > 1), key=lambda one: (not one.is_numeric, -one.n_values)
    )
    if not metrics or n_variants < 2:
        return ()
    settings = max(n_variants // max(n_replicates, 1), 1)
    drawn_at_random = [one for one in varied if one.is_numeric and one.n_values > max(_MANY, settings // 2)]
    if not varied:
        chosen = _of_replicates(metrics)
    elif drawn_at_random:
        chosen = _of_a_random_design(varied, drawn_at_random, metrics)
    elif len(varied) == 1:
        chosen = _of_one(varied[0], metrics, n_replicates)
    else:
        chosen = _of_a_grid(varied, metrics, n_replicates)
    figures = {name: parse_figure(name, _without_bars(options, logarithmic)) for name, options in chosen}
    return tuple(figures.values())[:MOST_FIGURES]


def _without_bars(options: dict[str, Any], logarithmic: Collection[str]) -> dict[str, Any]:
    return {**options, "type": "line"} if options["type"] == "bar" and options["y"] in logarithmic else options


def _of_replicates(metrics: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for metric in metrics[:4]:
        yield f"distribution_of_{metric}", {"type": "histogram", "x": metric}


def _of_one(one: ParameterFacts, metrics: Sequence[str], n_replicates: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for metric in metrics[:4]:
        yield _along(one, metric, None, n_replicates)


def _of_a_grid(
    varied: Sequence[ParameterFacts], metrics: Sequence[str], n_replicates: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    x, y, *rest = varied
    first = metrics[0]
    facet = next((one for one in rest if one.n_values <= _MOST_HUES), None)
    if max(x.n_values, y.n_values) <= _MOST_CELLS:
        options: dict[str, Any] = {"type": "heatmap", "x": x.name, "y": y.name, "value": first}
        yield (
            f"{first}_by_{x.name}_and_{y.name}",
            {**options, **({} if facet is None else {"facet_by": [facet.name]})},
        )
    for one in varied[:3]:
        others = [other for other in varied if other is not one and other.n_values <= _MOST_HUES]
        yield _along(one, first, others[0].name if others else None, n_replicates)
    yield from _of_several(varied, metrics)
    hue = next((other.name for other in varied if other is not x and other.n_values <= _MOST_HUES), None)
    for metric in metrics[1:3]:
        yield _along(x, metric, hue, n_replicates)


def _of_a_random_design(
    varied: Sequence[ParameterFacts], drawn: Sequence[ParameterFacts], metrics: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    first = metrics[0]
    hue = next((one.name for one in varied if one.n_values <= _MOST_HUES), None)
    for one in drawn[:3]:
        yield f"{first}_by_{one.name}", _with_hue({"type": "scatter", "x": one.name, "y": first}, hue)
    if len(drawn) >= 2:
        x, y = drawn[0].name, drawn[1].name
        yield f"{first}_by_{x}_and_{y}", {"type": "contour", "x": x, "y": y, "value": first}
    yield from _of_several(varied, metrics)


def _of_several(varied: Sequence[ParameterFacts], metrics: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What shows many parameters, or several metrics, at once."""
    if 3 <= len(varied) <= _MOST_PARALLEL:
        yield f"{metrics[0]}_by_all", {"type": "parallel", "value": metrics[0]}
    if len(metrics) > 1:
        hue = next((one.name for one in varied if one.n_values <= _MOST_HUES), None)
        yield (
            f"{metrics[1]}_against_{metrics[0]}",
            _with_hue({"type": "scatter", "x": metrics[0], "y": metrics[1]}, hue),
        )


def _along(one: ParameterFacts, metric: str, hue: str | None, n_replicates: int) -> tuple[str, dict[str, Any]]:
    """A metric along one parameter: a line for numbers, boxes of many replicates, else bars; points of too many."""
    if one.is_numeric:
        kind = "line"
    elif one.n_values <= _MOST_BARS:
        kind = "box" if n_replicates >= _SPREAD else "bar"
    else:
        kind, hue = "scatter", None
    return f"{metric}_by_{one.name}", _with_hue({"type": kind, "x": one.name, "y": metric}, hue)


def _with_hue(options: dict[str, Any], hue: str | None) -> dict[str, Any]:
    return options if hue is None else {**options, "hue": hue}
