"""What can be said at once about the variants that two spaces have in common."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sciflow.space.algebra import Space
    from sciflow.space.axis import Axis
    from sciflow.space.variant import Parameter

_MOST_VALUES = 10**6


def are_disjoint(left: Space, right: Space, parameters: Iterable[Parameter]) -> bool:
    """Whether it is plain that no variant is in both; False where it would take a search to know.

    Parameters
    ----------
    parameters
        What both together say of the parameters.
    """
    for parameter in parameters:
        name = parameter.name
        if parameter.derived:
            continue
        in_left, in_right = name in left.always_present, name in right.always_present
        if in_left and in_right:
            ours, theirs = left.keys_of(name), right.keys_of(name)
            if ours is not None and theirs is not None and ours.isdisjoint(theirs):
                return True
        elif not parameter.has_default and (
            (in_left and name not in right.names) or (in_right and name not in left.names)
        ):
            return True
    return False


def n_common(left: Space, right: Space) -> int | None:
    """How many variants two grids over the same parameters have in common; None where that is not plain."""
    ours, theirs = _own_axes(left), _own_axes(right)
    if ours is None or theirs is None or ours.keys() != theirs.keys():
        return None
    counts = [_n_common_values(axis, theirs[name]) for name, axis in ours.items()]
    return None if None in counts else math.prod(count for count in counts if count is not None)


def _own_axes(space: Space) -> dict[str, Axis] | None:
    return None if space.axes is None else {axis.name: axis for axis in space.axes}


def _n_common_values(one: Axis, other: Axis) -> int | None:
    short, long = sorted((one, other), key=lambda axis: axis.n_variants)
    if short.n_variants > _MOST_VALUES:
        return None
    return sum(long.position(value) >= 0 for value in short.values)
