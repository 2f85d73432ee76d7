"""The algebra's laws, for spaces of every kind of node."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sciflow.errors import SpaceError
from sciflow.space import ABSENT, Axis, Grid, Product, Replicates, Space, Variant, Zip
from sciflow.testing.strategies import axes, leaves, predicates, spaces

if TYPE_CHECKING:
    from collections.abc import Iterable

ANY_SPACE = spaces(names="a") | spaces(names="ab") | spaces(names="abcd")


def ids(space: Iterable[Variant]) -> list[str]:
    return [variant.id for variant in space]


@given(ANY_SPACE)
def test_the_number_of_variants_is_how_many_are_enumerated_and_no_two_are_alike(space):
    listed = ids(space)

    assert space.n_variants == len(space) == len(listed) == len(set(listed))
    assert bool(space) == bool(listed)
    assert space.n_up_to(2) == min(2, len(listed))


@given(ANY_SPACE)
def test_the_kth_variant_is_the_kth_of_the_enumeration(space):
    listed = list(space)

    assert [dict(space[k]) for k in range(len(space))] == list(map(dict, listed))
    assert [dict(space[k - len(space)]) for k in range(len(space))] == list(map(dict, listed))
    assert list(reversed(space)) == listed[::-1]
    for beyond in (len(listed), -len(listed) - 1):
        with pytest.raises(IndexError, match="position"):
            space[beyond]


@given(ANY_SPACE, st.integers(0, 9))
def test_slices_concatenate(space, cut):
    assert ids(space[:cut]) + ids(space[cut:]) == ids(space)


@given(ANY_SPACE, st.slices(12), st.slices(12))
def test_a_slice_holds_what_a_slice_of_the_list_holds(space, first, second):
    assert ids(space[first]) == ids(space)[first]
    assert ids(space[first][second]) == ids(space)[first][second]


@given(ANY_SPACE)
def test_ids_of_many_variants_are_the_ids_of_each(space):
    table = space.take(np.arange(len(space)))

    assert table.ids() == ids(space) == [Variant.of(v._schema, v._values).id for v in table.variants()]


@given(ANY_SPACE)
def test_every_variant_is_found_where_it_stands(space):
    table = space.take(np.arange(len(space)))

    assert space.find(table).tolist() == list(range(len(space)))
    assert space.contains(table).all()
    assert all(variant in space for variant in space)


@given(ANY_SPACE, ANY_SPACE)
def test_variants_of_another_space_are_found_by_identity(space, other):
    places = {name: k for k, name in enumerate(ids(space))}
    table = other.take(np.arange(len(other)))

    assert space.find(table).tolist() == [places.get(name, -1) for name in ids(other)]
    assert space.contains(table).tolist() == [name in places for name in ids(other)]
    assert [variant in space for variant in other] == [name in places for name in ids(other)]


@given(ANY_SPACE)
def test_columns_hold_what_the_rows_hold(space):
    columns = space.columns()
    rows = list(space)

    assert tuple(columns) == space.names
    for name, column in columns.items():
        assert len(column) == len(rows)
        for value, row in zip(column.tolist(), rows, strict=True):
            assert value == row.get(name)
    tables = list(space.tables(3))
    assert [row for table in tables for row in zip(*table.lists(), strict=True)] == [
        tuple(row.get(name, ABSENT) for name in space.names) for row in rows
    ] or not space.names


@given(ANY_SPACE)
def test_a_space_survives_plain_data_and_equals_what_comes_back(space):
    back = Space.from_dict(json.loads(json.dumps(space.to_dict(), allow_nan=False)))

    assert back == space
    assert hash(back) == hash(space)
    assert list(map(dict, back)) == list(map(dict, space))
    assert back.parameters == space.parameters
    assert space.describe() == space.to_dict()


@given(ANY_SPACE)
def test_a_space_describes_itself_in_one_line_and_as_a_table(space):
    assert "\n" not in repr(space)
    assert len(repr(space)) < 200
    assert space._repr_html_().startswith("<table>")


@given(ANY_SPACE)
def test_what_a_space_says_of_its_names_and_values_is_true(space):
    for variant in space:
        assert space.always_present <= set(variant)
        for name in space.names:
            keys = space.keys_of(name)
            parameter = next(known for known in space.parameters if known.name == name)
            assert keys is None or name not in variant or parameter.derived or len(keys) > 0


# ------------------------------------------------------------------------------------------------------- products


@given(spaces(names="ab"), spaces(names="cd"))
def test_a_product_is_every_combination_and_its_left_part_varies_slowest(left, right):
    product = left * right

    assert len(product) == len(left) * len(right)
    assert [dict(v) for v in product] == [{**one, **other} for one, other in itertools.product(left, right)]


@given(spaces(names="ab"), spaces(names="cd"))
def test_a_product_does_not_depend_on_the_order_of_its_parts_as_a_set(left, right):
    assert set(left * right) == set(right * left)


@given(leaves("a"), leaves("bc"), leaves("d"))
def test_a_product_is_associative(one, two, three):
    left, right = (one * two) * three, one * (two * three)

    assert left == right
    assert ids(left) == ids(right)


@given(spaces(names="ab"), spaces(names="cd"), predicates("cd"))
def test_a_product_keeps_the_filters_of_its_parts(left, right, predicate):
    assume(set("cd") <= set(right.names))

    kept = right.where(predicate)

    assert len(left * kept) == len(left) * len(kept)
    assert ids((left * right).where(predicate)) == ids(left * kept)


@given(st.data())
def test_a_zip_multiplies_as_one_part_from_either_side(data):
    zipped = Zip(a=[1, 2], b=[3, 4])
    other = data.draw(leaves("cd"))

    assert len(zipped * other) == len(other * zipped) == 2 * len(other)


def test_a_product_of_spaces_that_share_a_parameter_is_refused_with_the_names_and_remedies():
    with pytest.raises(SpaceError, match=r"'b' by more than one space.*rename.*Zip"):
        Grid(a=[1], b=[2]) * Grid(b=[3])


def test_derivations_added_one_after_the_other_all_stay():
    space = Grid(a=[1, 2]).derive(b="a * 2").derive(c=lambda b: b + 1)

    assert [dict(v) for v in space] == [{"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 4, "c": 5}]


def test_a_ragged_zip_is_refused_with_the_lengths():
    with pytest.raises(SpaceError, match="a: 2, b: 3"):
        Zip(a=[1, 2], b=[1, 2, 3])


def test_a_product_with_nothing_is_the_space_itself_and_of_nothing_has_one_empty_variant():
    axis = Axis("a", [1, 2])

    assert ids(Product(axis)) == ids(axis)
    assert [dict(v) for v in Product()] == [{}]
    assert ids(axis * Grid()) == ids(axis)
    assert Product().take(np.arange(1)).ids() == [Variant({}).id]


# ----------------------------------------------------------------------------------------------------------- sets


@given(spaces(names="ab"), spaces(names="ab"))
def test_set_operations_are_those_of_the_sets_of_identities_in_order(left, right):
    ours, theirs = ids(left), ids(right)

    assert ids(left | right) == ours + [name for name in theirs if name not in set(ours)]
    assert ids(left - right) == [name for name in ours if name not in set(theirs)]
    assert ids(left & right) == [name for name in ours if name in set(theirs)]


@given(spaces(names="ab"), spaces(names="ac"))
def test_set_operations_of_spaces_with_other_names_go_by_identity_too(left, right):
    ours, theirs = ids(left), ids(right)

    assert ids(left | right) == ours + [name for name in theirs if name not in set(ours)]
    assert ids(left - right) == [name for name in ours if name not in set(theirs)]
    assert ids(left & right) == [name for name in ours if name in set(theirs)]


@given(spaces(names="ab", defaults={"b": 1}), spaces(names="ab", defaults={"b": 1}))
def test_set_operations_hold_with_a_declared_default(left, right):
    ours, theirs = ids(left), ids(right)

    assert ids(left | right) == ours + [name for name in theirs if name not in set(ours)]
    assert ids(left - right) == [name for name in ours if name not in set(theirs)]
    assert ids(left & right) == [name for name in ours if name in set(theirs)]


@given(spaces(names="ab", defaults={"b": 1}), spaces(names="a"))
def test_set_operations_hold_where_one_side_lacks_a_parameter_with_a_default(left, right):
    ours, theirs = ids(left), ids(right)

    assert ids(left | right) == ours + [name for name in theirs if name not in set(ours)]
    assert ids(left - right) == [name for name in ours if name not in set(theirs)]
    assert ids(right - left) == [name for name in theirs if name not in set(ours)]
    assert ids(left & right) == [name for name in ours if name in set(theirs)]


@given(leaves("ab"), leaves("ab"), predicates("ab"))
def test_a_filter_distributes_over_a_union(left, right, predicate):
    assume(set("ab") <= set(left.names) & set(right.names))

    assert ids((left | right).where(predicate)) == ids(left.where(predicate) | right.where(predicate))


@given(ANY_SPACE)
def test_a_union_with_itself_is_itself_and_a_difference_nothing(space):
    assert ids(space | space) == ids(space) == ids(space & space)
    assert not (space - space)


# -------------------------------------------------------------------------------------------- derivation, defaults


@given(spaces(names="ab"))
def test_a_derived_parameter_changes_neither_order_nor_identity(space):
    assume(space.names)
    derived = space.derive(more=f"{space.names[0]} == 1")

    assert ids(derived) == ids(space)
    assert set(derived) == set(space)
    assert ids(derived & space) == ids(space)


@given(spaces(names="ab"), axes("z"))
def test_a_parameter_at_its_default_leaves_every_identity_as_it_was(space, axis):
    default = axis.values[0]
    extended = space * Axis("z", axis.values, default=default)

    assert [name for name in ids(space) if name not in set(ids(extended))] == []
    assert ids(extended & space) == ids(space)
    assert extended.find(space.take(np.arange(len(space)))).tolist() == list(range(0, len(extended), axis.n_variants))


@given(spaces(names="ab"))
def test_replicates_extend_a_finished_sweep(space):
    assert set(space) <= set(space * Replicates(3))
    assert len((space * Replicates(3)) - space) == 2 * len(space)


@given(ANY_SPACE, st.integers(1, 5), st.integers(0, 9))
def test_a_sample_has_distinct_variants_of_the_space_in_its_order(space, k, seed):
    assume(len(space) >= k)

    sample = space.sample(k, seed)

    assert len(sample) == k
    assert [name for name in ids(space) if name in set(ids(sample))] == ids(sample)
    assert sample == space.sample(k, seed)


@pytest.mark.parametrize("data", [{}, {"kind": "sphere"}, {"kind": ["product"]}])
def test_data_of_another_kind_is_refused(data):
    with pytest.raises(SpaceError, match="this release knows axis, "):
        Space.from_dict(data)


def test_what_one_space_derives_is_not_looked_for_in_another():
    derived = Grid(a=[1, 2]).derive(b="a * 2")

    assert Grid(a=[1, 2], b=[2, 4]).find(derived.take(np.arange(2))).tolist() == [-1, -1]
    assert derived.find(Grid(a=[1, 2], b=[2, 5]).take(np.arange(4))).tolist() == [0, 0, 1, 1]
