"""What holds of a whole sweep, its conditions and derived parameters, for a space that is added to it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.errors import ResultsError, SpaceError
from sciflow.space import Points, from_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.analysis.variants import Variants
    from sciflow.space import Space


def _rules_of(node: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Conditions that hold of every variant of a stored space, and how parameters are derived."""
    match node.get("kind"):
        case "where":
            conditions, derived = _rules_of(node["of"])
            return [*conditions, *node["rules"]], derived
        case "derive":
            conditions, derived = _rules_of(node["of"])
            return conditions, derived | node["rules"]
        case "slice" | "sample":
            return _rules_of(node["of"])
        case "difference":
            return _rules_of(node["parts"][0])
        case "product" | "intersection" | "union":
            parts = [_rules_of(part) for part in node["parts"]]
            derived = {name: rule for _, rules in parts for name, rule in rules.items()}
            conditions = [rule for some, _ in parts for rule in some]
            if node["kind"] == "union":
                conditions = [rule for rule in parts[0][0] if all(rule in some for some, _ in parts)]
            return list({repr(rule): rule for rule in conditions}.values()), derived
        case _:
            return [], {}


def present_space(description: Mapping[str, Any]) -> Space | None:
    """The space that a sweep describes, each part of a union once; None if a function of it is not stored."""
    try:
        first, *others = dict.fromkeys(map(from_dict, _united(description)))
    except SpaceError:
        return None
    for one in others:
        first = first | one
    return first


def _united(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parts of a union of unions; a script that adds a suggestion to what it suggested before repeats them."""
    if node.get("kind") != "union":
        return [node]
    return [part for one in node["parts"] for part in _united(one)]


def ruled(space: Space, description: Mapping[str, Any]) -> Space:
    """The space with the sweep's own conditions and derived parameters."""
    conditions, derived = _rules_of(description)
    unknown = [name for name, rule in derived.items() if not isinstance(rule, str)]
    if unknown:
        raise ResultsError(
            f"parameter {unknown[0]!r} is derived by a function, which a sweep directory does not hold; derive it with "
            f'a text, such as derive({unknown[0]}="width * height")'
        )
    if derived:
        space = space.derive(derived)
    if any(not isinstance(rule, str) for rule in conditions):
        warnings.warn(
            "the sweep's space is filtered by a function, which a sweep directory does not hold, so the suggestion may "
            "have variants that it refuses: add suggestion.where(the_function)",
            UserWarning,
            stacklevel=4,
        )
    for rule in conditions:
        if isinstance(rule, str):
            space = space.where(rule)
    return space


def completed(space: Space, variants: Variants) -> Space:
    """The space with every parameter of the sweep: where the best has not all of them, a recorded variant that does."""
    table = variants.table
    known = set(space.names)
    for one in table.parameters:
        if one.name not in known and not one.derived:
            row = np.flatnonzero(table.columns[one.name].codes >= 0)[:1]
            (variant,) = table.take(row).variants()
            units = {p.name: p.unit for p in variant.parameters if p.unit is not None and not p.derived}
            space = space | Points([variant.without(*(p.name for p in variant.parameters if p.derived))], units=units)
            known |= set(variant)
    return space
