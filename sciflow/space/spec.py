"""Spaces from the plain data that ``to_dict`` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sciflow.canonical import from_plain
from sciflow.errors import SpaceError
from sciflow.space.axis import Axis
from sciflow.space.chosen import Sampled, Sliced
from sciflow.space.derived import Derived
from sciflow.space.design import LatinHypercube, Random, Sobol
from sciflow.space.filtered import Filtered
from sciflow.space.listed import Points, Zip
from sciflow.space.product import Product
from sciflow.space.rule import Rule
from sciflow.space.sets import Difference, Intersection, Union
from sciflow.space.variant import NO_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.space.algebra import Space


def from_dict(data: Mapping[str, Any]) -> Space:
    """The space that ``space.to_dict()`` wrote as *data*.

    Raises
    ------
    SpaceError
        If a part is of a kind that this release does not know, or was a function when it was written.
    """
    kind = data.get("kind")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise SpaceError(f"a stored space is of the kind {kind!r}; this release knows {', '.join(sorted(_READERS))}")
    return read(data)


def _parts(data: Mapping[str, Any]) -> list[Space]:
    return list(map(from_dict, data["parts"]))


def _axis(data: Mapping[str, Any]) -> Space:
    values: Any = range(*data["range"]) if "range" in data else [from_plain(value) for value in data["values"]]
    default = from_plain(data["default"]) if "default" in data else NO_DEFAULT
    return Axis(data["name"], values, unit=data.get("unit"), default=default)


def _filtered(data: Mapping[str, Any]) -> Space:
    of = from_dict(data["of"])
    return Filtered(of, *(Rule(_text(rule), of.names, "where({})") for rule in data["rules"]))


def _derived(data: Mapping[str, Any]) -> Space:
    return Derived(from_dict(data["of"]), {name: _text(rule) for name, rule in data["rules"].items()})


def _text(rule: object) -> str:
    if not isinstance(rule, str):
        raise SpaceError(f"a stored rule was a function, of which only the source was kept: {rule!r}")
    return rule


_READERS: dict[str, Callable[[Mapping[str, Any]], Space]] = {
    "axis": _axis,
    "product": lambda data: Product(*_parts(data)),
    "points": Points.from_data,
    "zip": Zip.from_data,
    "union": lambda data: Union(*_parts(data)),
    "difference": lambda data: Difference(*_parts(data)),
    "intersection": lambda data: Intersection(*_parts(data)),
    "where": _filtered,
    "derive": _derived,
    "random": Random.from_data,
    "latin_hypercube": LatinHypercube.from_data,
    "sobol": Sobol.from_data,
    "slice": lambda data: Sliced(from_dict(data["of"]), range(*data["rows"])),
    "sample": lambda data: Sampled.from_data(from_dict(data["of"]), data),
}
