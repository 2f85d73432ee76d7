"""Hypothesis strategies for parameter values and spaces of every kind, for our tests and yours.

The spaces are small, so that a test may list them, and built over few values, so that unions and differences overlap.

Examples
--------
::

    @given(spaces(names="ab"), spaces(names="cd"))
    def test_a_product_has_every_combination(left, right):
        assert len(left * right) == len(left) * len(right)
"""

from __future__ import annotations

import datetime as dt
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from sciflow.canonical import Named, identity_key, normalize
from sciflow.space import (
    NO_DEFAULT,
    Axis,
    Design,
    Grid,
    LatinHypercube,
    Points,
    Random,
    Range,
    Sobol,
    Space,
    Zip,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hypothesis.strategies import SearchStrategy

FEW_VALUES = (0, 1, 2, 0.5, "x", "y", True, None, (1, 2), float("inf"))
"""What the axes of :func:`spaces` choose from."""


def numbers() -> SearchStrategy[Any]:
    """Integers and floats that a parameter may have, also as NumPy scalars; no NaN."""
    plain_floats = st.floats(allow_nan=False)
    return st.one_of(
        st.integers(),
        plain_floats,
        st.integers(-(2**63), 2**63 - 1).map(np.int64),
        plain_floats.map(np.float64),
        st.integers(-100, 100).map(float),
    )


def scalars() -> SearchStrategy[Any]:
    """Allowed values that hold no other values."""
    zones = st.none() | st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-5, minutes=-30))])
    return st.one_of(
        st.none(),
        st.booleans(),
        numbers(),
        st.text(max_size=8),
        st.binary(max_size=8),
        st.dates(),
        st.datetimes(timezones=zones),
        st.sampled_from(["data/a.csv", "/tmp", ".", "a b"]).map(pathlib.PurePosixPath),  # noqa: S108  only a value
        st.sampled_from(["relu", "tanh"]).map(lambda name: Named(name, len)),
    )


def arrays() -> SearchStrategy[Any]:
    """Small NumPy arrays of the dtypes that a parameter may have."""
    whole = st.lists(st.integers(-5, 5), max_size=4)
    return st.one_of(
        whole.map(lambda items: np.array(items, dtype=np.int64)),
        whole.map(lambda items: np.array(items, dtype=np.float32)),
        whole.map(lambda items: np.array([items, items], dtype=np.float64)),
        st.lists(st.booleans(), max_size=3).map(lambda items: np.array(items, dtype=bool)),
        st.lists(st.text("ab", max_size=2), min_size=1, max_size=3).map(np.array),
    )


def values() -> SearchStrategy[Any]:
    """Any value that a parameter may have: scalars, arrays, and sequences and mappings of them."""
    return st.recursive(
        scalars() | arrays(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(st.text("ab$", max_size=3), inner, max_size=3)
        ),
        max_leaves=5,
    )


def distinct(elements: SearchStrategy[Any], min_size: int = 1, max_size: int = 4) -> SearchStrategy[list[Any]]:
    """Lists of values no two of which are one value."""
    return st.lists(
        elements, min_size=min_size, max_size=max_size, unique_by=lambda value: identity_key(normalize(value))
    )


def variants(names: str = "abc") -> SearchStrategy[dict[str, Any]]:
    """Mappings from some of the names to any values, as users write them."""
    return st.dictionaries(st.sampled_from(names), values())


def axes(
    name: str = "a", elements: SearchStrategy[Any] | None = None, default: object = NO_DEFAULT
) -> SearchStrategy[Axis]:
    """Axes of one to four values, some of them ranges."""
    listed = distinct(st.sampled_from(FEW_VALUES) if elements is None else elements)
    chosen = listed if elements is not None else listed | st.sampled_from([range(1, 4), range(2, 0, -1)])
    return chosen.map(lambda given: Axis(name, given, default=default))


def designs(names: Iterable[str]) -> SearchStrategy[Space]:
    """Random, Latin hypercube and Sobol designs of a few points."""
    ranges = st.sampled_from([(0.0, 1.0), Range(1e-3, 1.0, "log"), Range(0, 2, integer=True), [0, "x", True]])
    return st.builds(
        _design,
        st.sampled_from([Random, LatinHypercube, Sobol]),
        st.fixed_dictionaries(dict.fromkeys(names, ranges)),
        st.integers(1, 6),
        st.integers(0, 3),
    )


def _design(kind: type[Design], ranges: dict[str, Any], n: int, seed: int) -> Space:
    return kind(ranges, n, seed)


def leaves(names: Iterable[str], defaults: Mapping[str, object] | None = None) -> SearchStrategy[Space]:
    """Grids, zips, and, without defaults, points and designs over the names."""
    names = tuple(names)
    known = defaults or {}
    mine = {name: axes(name, default=known.get(name, NO_DEFAULT)) for name in names}
    grids: SearchStrategy[Space] = st.tuples(*mine.values()).map(lambda made: Grid(*made))
    zips: SearchStrategy[Space] = st.tuples(*mine.values()).map(_zipped)
    if known:
        return grids | zips
    rows = st.lists(st.dictionaries(st.sampled_from(names), st.sampled_from(FEW_VALUES)), min_size=1, max_size=5)
    points: SearchStrategy[Space] = rows.map(_points)
    return grids | zips | points | designs(names)


def _zipped(made: tuple[Axis, ...]) -> Space:
    shortest = min(axis.n_variants for axis in made)
    return Zip(*(Axis(axis.name, axis.values[:shortest], default=axis.default) for axis in made))


def _points(rows: list[dict[str, Any]]) -> Space:
    kept = {tuple(sorted((name, identity_key(value)) for name, value in row.items())): row for row in rows}
    return Points(kept.values())


def spaces(names: Iterable[str] = "ab", defaults: Mapping[str, object] | None = None) -> SearchStrategy[Space]:
    """Small spaces of every kind of node over some parameters (and derived ones called ``<name>_text``).

    Parameters
    ----------
    names
        The parameters; spaces of disjoint names may be multiplied.
    defaults
        Declared defaults, by name; spaces that share them may be united.
    """
    names = tuple(names)
    known = defaults or {}

    def nodes(inner: SearchStrategy[Space]) -> SearchStrategy[Space]:
        pairs = st.tuples(inner, inner)
        cuts = st.builds(
            slice, st.none() | st.integers(-3, 5), st.none() | st.integers(-3, 9), st.sampled_from([1, 2, -1, None])
        )
        return st.one_of(
            pairs.map(lambda pair: pair[0] | pair[1]),
            pairs.map(lambda pair: pair[0] - pair[1]),
            pairs.map(lambda pair: pair[0] & pair[1]),
            st.tuples(inner, predicates(names)).map(_where),
            st.tuples(inner, st.sampled_from(names)).map(_derived),
            st.tuples(inner, cuts).map(lambda pair: pair[0][pair[1]]),
            st.tuples(inner, st.integers(1, 4), st.integers(0, 3)).map(_sampled),
        )

    whole = leaves(names, known)
    if len(names) > 1:
        parts = (spaces_of_one(names[0], known), leaves(names[1:], known))
        whole |= st.tuples(*parts).map(lambda pair: pair[0] * pair[1])
    return st.recursive(whole, nodes, max_leaves=4)


def spaces_of_one(name: str, defaults: Mapping[str, object]) -> SearchStrategy[Space]:
    """Spaces of one parameter that are, partly, set operations: factors of products."""
    mine: SearchStrategy[Space] = axes(name, default=defaults.get(name, NO_DEFAULT)).map(lambda axis: axis)
    return mine | st.tuples(mine, mine).map(lambda pair: pair[0] | pair[1]) | mine.map(lambda axis: axis[:2])


def predicates(names: Iterable[str]) -> SearchStrategy[str]:
    """Texts for ``where`` that are true or false of any of the values in :data:`FEW_VALUES`."""
    simple = st.builds(
        "{} {} {!r}".format,
        st.sampled_from(tuple(names)),
        st.sampled_from(["==", "!="]),
        st.sampled_from([value for value in FEW_VALUES if value != float("inf")]),
    )
    listed = st.builds("{} {} (1, 'x', None)".format, st.sampled_from(tuple(names)), st.sampled_from(["in", "not in"]))
    return st.recursive(
        simple | listed,
        lambda inner: st.one_of(
            inner.map("not ({})".format),
            st.builds("({}) {} ({})".format, inner, st.sampled_from(["and", "or"]), inner),
        ),
        max_leaves=3,
    )


def _where(made: tuple[Space, str]) -> Space:
    space, predicate = made
    try:
        return space.where(predicate)
    except ValueError:  # points may lack a name altogether
        return space


def _derived(made: tuple[Space, str]) -> Space:
    space, name = made
    derived = f"{name}_text"
    if derived in space.names or name not in space.names:
        return space
    return space.derive({derived: f"{name} == 1 or {name}"})


def _sampled(made: tuple[Space, int, int]) -> Space:
    space, k, seed = made
    return space.sample(k, seed) if space.n_up_to(k) == k else space
