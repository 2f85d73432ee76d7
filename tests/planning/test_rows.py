from __future__ import annotations

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sciflow.planning.rows import RowSet

rows = st.lists(st.integers(0, 60), max_size=40)


def as_set(row_set: RowSet) -> set[int]:
    return {row for start, stop in row_set for row in range(start, stop)}


@given(rows)
def test_a_row_set_holds_exactly_the_rows_it_was_made_from(members):
    row_set = RowSet.from_rows(members)

    assert as_set(row_set) == set(members)
    assert len(row_set) == len(set(members))
    assert row_set.rows().tolist() == sorted(set(members))
    assert all((row in row_set) == (row in set(members)) for row in range(-1, 62))


@given(rows)
def test_intervals_are_sorted_and_do_not_touch(members):
    row_set = RowSet.from_rows(members)

    assert (row_set.starts < row_set.stops).all()
    assert (row_set.starts[1:] > row_set.stops[:-1]).all()


@given(rows, rows)
def test_union_difference_and_intersection_agree_with_sets_of_integers(left, right):
    a, b = RowSet.from_rows(left), RowSet.from_rows(right)

    assert as_set(a | b) == set(left) | set(right)
    assert as_set(a - b) == set(left) - set(right)
    assert as_set(a & b) == set(left) & set(right)


@given(rows, st.integers(0, 70))
def test_splitting_takes_the_first_rows_and_leaves_the_rest(members, n):
    row_set = RowSet.from_rows(members)

    head, tail = row_set.split(n)

    assert head.rows().tolist() == sorted(set(members))[:n]
    assert tail.rows().tolist() == sorted(set(members))[n:]


def test_a_row_set_costs_intervals_not_rows():
    row_set = RowSet.span(0, 10**15) - RowSet.span(10**9, 2 * 10**9)

    assert len(row_set) == 10**15 - 10**9
    assert len(row_set.starts) == 2


def test_equal_row_sets_hash_alike_and_pickle():
    a = RowSet.from_intervals([5, 0], [9, 5])

    assert a == RowSet.span(0, 9)
    assert hash(a) == hash(RowSet.span(0, 9))
    assert pickle.loads(pickle.dumps(a)) == a
    assert a != 3
    assert "x" not in a
    assert np.int64(3) in a
