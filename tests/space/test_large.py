"""Spaces far too large to list: counted, indexed, sliced, searched and sampled all the same."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.space import Axis, Grid, Replicates, Variant
from sciflow.space.chosen import distinct_rows

TENS = Grid({f"p{n:02d}": range(10) for n in range(18)})
HUGE = Grid({f"p{n:02d}": list(range(10)) for n in range(30)})
WIDE = Grid(a=range(10**12), b=range(-(10**12), 0), c=range(10))


def digits(number: int, n: int) -> list[int]:
    return list(map(int, str(number).zfill(n)))


@given(st.integers(0, 10**18 - 1))
def test_a_variant_of_10_to_the_18_is_the_digits_of_its_position(position):
    assert list(TENS[position].values()) == digits(position, 18)
    assert TENS.find(TENS.take(np.array([position]))).tolist() == [position]
    assert TENS[position] in TENS


@given(st.integers(0, 10**30 - 1))
def test_a_variant_of_10_to_the_30_is_the_digits_of_its_position(position):
    rows = np.array([position], dtype=object)

    assert list(HUGE[position].values()) == digits(position, 30)
    assert list(next(HUGE.take(rows).variants()).values()) == digits(position, 30)
    assert HUGE.find(HUGE.take(rows)).tolist() == [position]
    assert HUGE[position] in HUGE
    assert list(HUGE[position - 10**30].values()) == digits(position, 30)


def test_the_number_of_variants_is_exact_also_where_len_cannot_say_it():
    assert len(TENS) == TENS.n_variants == 10**18
    assert HUGE.n_variants == 10**30 > sys.maxsize
    with pytest.raises(OverflowError, match=r"1000000000000000000000000000000 variants.*\.n_variants"):
        len(HUGE)


def test_slices_of_huge_spaces_are_spaces():
    part = HUGE[10**29 : 2 * 10**29]

    assert part.n_variants == 10**29
    assert list(part[5].values()) == digits(10**29 + 5, 30)
    assert list(part[-1].values()) == digits(2 * 10**29 - 1, 30)
    assert [v["p29"] for v in part[3:6]] == [3, 4, 5]
    assert part.find(part.take(np.array([10**28], dtype=object))).tolist() == [10**28]
    assert HUGE[0] not in part
    assert [v["p29"] for v in itertools.islice(HUGE[10**29 :], 2)] == [0, 1]
    assert list(TENS[:: -(10**17)].columns()["p00"]) == list(range(9, -1, -1))
    assert HUGE.columns(10**29, 10**29 + 2)["p29"].tolist() == [0, 1]
    assert HUGE[:: 10**29].n_variants == 10


def test_an_axis_may_be_a_huge_range():
    assert WIDE[10**24]["b"] == -(10**12)
    assert {"a": 5.0, "b": -1, "c": 9} in WIDE
    assert {"a": 5.5, "b": -1, "c": 9} not in WIDE
    assert {"a": 5, "b": 0, "c": 9} not in WIDE
    assert {"a": True, "b": -1, "c": 9} not in WIDE
    axis = Axis("a", range(10**30))
    assert axis[10**29]["a"] == 10**29
    assert axis.find(axis.take(np.array([10**29], dtype=object))).tolist() == [10**29]
    assert axis.keys_of("a") is None
    assert type(axis).from_dict(WIDE.to_dict()) == WIDE
    assert Grid(a=[1, 2], b=range(10**30)).columns(0, 2)["b"].tolist() == [0, 1]
    assert [v["b"] for v in Grid(a=[1, 2], b=range(10**5, 10**6))[::450_000]] == [10**5, 550_000] * 2
    assert (WIDE | WIDE).n_up_to(10) == 10


def test_unions_of_huge_disjoint_spaces_count_at_once():
    kinds = TENS * Grid(kind=["x"]) | TENS * Grid(kind=["y"], more=[1, 2])
    names = kinds | HUGE * Grid(other=[1])

    assert kinds.n_variants == 3 * 10**18
    assert kinds[10**18] == {**TENS[0], "kind": "y", "more": 1}
    assert names.n_variants == 3 * 10**18 + 10**30
    assert names[-1]["other"] == 1
    assert names[-1] in names
    assert names.find(names.take(np.array([10**29, 7], dtype=object))).tolist() == [10**29, 7]
    assert [v["p17"] for v in names[3 * 10**18 : 3 * 10**18 + 2]] == [0, 0]


def test_grids_that_overlap_are_counted_at_once_too():
    left, right = Grid(a=range(10**6), b=range(1000)), Grid(a=range(999, 10**6 + 1), b=[5, "x"])

    assert (left | right).n_variants == 10**9 + 2 * (10**6 - 998) - (10**6 - 999)
    assert (left & right).n_variants == 10**6 - 999
    assert (left - right).n_variants == 10**9 - (10**6 - 999)
    assert (left & right)[0] == {"a": 999, "b": 5}
    assert (left - Grid(b=[7], a=[0]))[7] == {"a": 0, "b": 8}
    assert repr(left | right).endswith("variants>")
    assert (Grid(a=range(2 * 10**6)) | Grid(a=range(10**6 + 1, 4 * 10**6))).n_up_to(5) == 5


def test_a_sample_of_a_huge_space_is_drawn_without_listing_it():
    sample = TENS.sample(1000, seed=3)
    columns = sample.columns()

    assert len(set(sample)) == 1000
    assert all(60 < np.count_nonzero(columns["p09"] == digit) < 150 for digit in range(10))
    assert sample.find(sample.take(np.arange(1000))).tolist() == list(range(1000))
    assert HUGE.sample(5, seed=3).n_variants == 5
    assert HUGE.sample(5, seed=3)[0] in HUGE
    assert type(HUGE).from_dict(HUGE.sample(5, seed=3).to_dict()) == HUGE.sample(5, seed=3)


@given(st.integers(1, 60), st.integers(0, 5), st.data())
def test_distinct_rows_are_distinct_sorted_and_in_range(n_rows, seed, data):
    k = data.draw(st.integers(1, n_rows))
    rows = distinct_rows(n_rows, k, seed)

    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == k
    assert set(rows.tolist()) <= set(range(n_rows))


def test_every_row_is_drawn_as_often_as_every_other():
    drawn = np.concatenate([distinct_rows(10, 3, seed) for seed in range(4000)])
    most = np.concatenate([distinct_rows(10, 7, seed) for seed in range(4000)])

    for sample, expected in ((drawn, 1200), (most, 2800)):
        assert np.abs(np.bincount(sample) - expected).max() < 5 * np.sqrt(expected)


def test_replicates_of_a_huge_space_find_what_lacks_them():
    space = HUGE * Replicates(3)

    assert space.find(HUGE.take(np.array([10**29], dtype=object))).tolist() == [3 * 10**29]
    assert space[3 * 10**29] == Variant(dict(HUGE[10**29]))
