"""The operations behind the methods and operators of every space: each makes the node that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sciflow.errors import SpaceError
from sciflow.space.chosen import Sampled, Sliced
from sciflow.space.derived import Derived
from sciflow.space.expression import Expression
from sciflow.space.filtered import Filtered
from sciflow.space.product import Product
from sciflow.space.rule import Rule
from sciflow.space.sets import Difference, Intersection, Union
from sciflow.space.spec import from_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.space.algebra import Space

__all__ = [
    "derived",
    "difference",
    "encode_by_object",
    "encode_for_people",
    "encode_strictly",
    "from_dict",
    "intersection",
    "product",
    "sampled",
    "sliced",
    "union",
    "where",
]


def product(*parts: Space) -> Space:
    """Every combination; one part alone is itself."""
    return parts[0] if len(parts) == 1 else Product(*parts)


def union(left: Space, right: Space) -> Space:
    """Those of *left*, then those of *right* that are not in it."""
    return Union(left, right)


def difference(left: Space, right: Space) -> Space:
    """Those of *left* that are not in *right*."""
    return Difference(left, right)


def intersection(left: Space, right: Space) -> Space:
    """Those of *left* that are in *right*."""
    return Intersection(left, right)


def derived(of: Space, rules: Mapping[str, Any]) -> Space:
    """The variants of *of* with further parameters."""
    return Derived(of, rules)


def where(of: Space, predicate: str | Callable[..., object]) -> Space:
    """The variants of *of* for which *predicate* holds, filtered as deep inside as keeps the order."""
    return _filtered(of, Rule(predicate, of.names, "where({})"))


def _filtered(of: Space, rule: Rule) -> Space:
    if isinstance(of, Derived) and set(rule.names) <= set(of.of.names):
        return Derived(_filtered(of.of, rule), {name: known.given for name, known in of.rules.items()})
    if isinstance(of, Product) and rule.names:
        holders = [place for place, part in enumerate(of.parts) if set(part.names) & set(rule.names)]
        first, beyond = holders[0], holders[-1] + 1
        if beyond - first < len(of.parts):
            inner = _filtered(product(*of.parts[first:beyond]), rule)
            return Product(*of.parts[:first], inner, *of.parts[beyond:])
    return Filtered(of, rule)


def sliced(of: Space, rows: range) -> Space:
    """The variants of *of* at these rows."""
    if isinstance(of, Sliced):
        start, step = of.rows.start, of.rows.step
        rows = range(start + rows.start * step, start + rows.stop * step, rows.step * step)
        of = of.of
    return Sliced(of, rows)


def sampled(of: Space, k: int, seed: int) -> Space:
    """*k* distinct variants of *of*."""
    return Sampled.draw(of, k, seed)


def encode_strictly(rule: Rule) -> object:
    """A rule as data that can be read back."""
    if isinstance(rule.given, Expression):
        return rule.given.text
    raise SpaceError(
        f"{rule} is a function, which cannot be stored as data; write it as a text, such as where('a < b')"
    )


def encode_for_people(rule: Rule) -> object:
    """A rule as data; of a function the source."""
    return rule.given.text if isinstance(rule.given, Expression) else {"source": rule.source}


def encode_by_object(rule: Rule) -> object:
    """A rule for comparison; a function by the object it is."""
    return rule.given.text if isinstance(rule.given, Expression) else {"function": id(rule.given)}
