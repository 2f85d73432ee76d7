"""Filters and derivations, as texts and as functions."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given

from sciflow.errors import PredicateError, SpaceError
from sciflow.space import Axis, Filtered, Grid, Points, Product, Space
from sciflow.space.selection import CHUNK, MOST_CANDIDATES
from sciflow.testing.strategies import leaves, predicates

CONDITIONAL = Grid(opt=["sgd"], momentum=[0.8, 0.9]) | Grid(opt=["adam"], beta=[0.99])


def rows(space: Space) -> list[dict]:
    return list(map(dict, space))


@given(leaves("abc"), predicates("abc"))
def test_a_text_and_the_function_that_means_it_filter_alike(space, text):
    if not set("abc") <= space.always_present:
        return
    function = eval(f"lambda a, b, c: {text}")

    assert list(space.where(text)) == list(space.where(function)) == [v for v in space if function(**v)]


def test_functions_take_their_parameters_by_name():
    space = Grid(a=[1, 2], b=[10, 20])

    assert rows(space.where(lambda b: b > 10)) == [{"a": 1, "b": 20}, {"a": 2, "b": 20}]
    assert rows(space.where(lambda *, a: a == 1)[:1]) == [{"a": 1, "b": 10}]
    assert len(space.where(lambda **values: values["a"] * 10 == values["b"])) == 2
    assert len(space.where(lambda a, factor=10: a * factor == 10)) == 2
    assert len(space.where(functools.partial(lambda a, limit: a < limit, limit=2))) == 2
    assert rows(space.where(lambda: True)) == rows(space.where("True")) == rows(space)
    assert rows(space.where("a")) == rows(space)


def test_a_variant_without_a_parameter_that_a_function_needs_does_not_pass():
    assert rows(CONDITIONAL.where(lambda momentum: momentum > 0)) == rows(CONDITIONAL[:2])
    assert rows(CONDITIONAL.where(lambda momentum=None: momentum is None)) == rows(CONDITIONAL[2:])
    assert rows(CONDITIONAL.where(lambda **values: "beta" in values)) == rows(CONDITIONAL[2:])
    assert rows(CONDITIONAL.where("momentum > 0.85 or beta > 0")) == rows(CONDITIONAL[1:])


def test_a_variant_without_a_parameter_lacks_what_is_derived_from_it():
    space = CONDITIONAL.derive(doubled="momentum * 2", tripled=lambda beta: beta * 3)

    assert [sorted(set(variant) - {"opt"}) for variant in space] == [
        ["doubled", "momentum"],
        ["doubled", "momentum"],
        ["beta", "tripled"],
    ]
    assert space.where("doubled > 1.7")[0]["momentum"] == 0.9


@pytest.mark.parametrize(
    ("predicate", "told"),
    [
        ("c > 1", r"where\('c > 1'\) names 'c', which this space does not have; it has a, b"),
        (lambda c: c, "names 'c'.*it has a, b"),
        ("a.b", "reads an attribute"),
        (lambda a, /: a, "by position"),
        (lambda *a: a, "by position"),
        (3, "takes a text"),
        (max, "by position|no signature"),
        (int, "by position|no signature"),
    ],
)
def test_a_filter_that_cannot_work_is_refused_when_it_is_made(predicate, told):
    with pytest.raises(PredicateError, match=told):
        Grid(a=[1], b=[2]).where(predicate)
    with pytest.raises(PredicateError, match=told.replace(r"where\(", r"derive\(d=")):
        Grid(a=[1], b=[2]).derive(d=predicate)


def test_an_empty_space_of_names_says_so():
    with pytest.raises(PredicateError, match="it has no parameters"):
        Grid().where("a")


@pytest.mark.parametrize("predicate", ["b / (a - 2) > 0", lambda a, b: b / (a - 2) > 0])
def test_an_error_names_the_variant(predicate):
    space = Grid(a=[1, 2, 3], b=[5]).where(predicate)

    with pytest.raises(PredicateError, match=r"failed on Variant\(a=2, b=5\): ZeroDivisionError") as caught:
        len(space)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_derived_value_that_is_not_allowed_names_the_variant():
    with pytest.raises(PredicateError, match=r"Variant\(a=1\): NaN"):
        list(Grid(a=[1]).derive(b=lambda a: a * float("nan")))
    with pytest.raises(PredicateError, match=r"Variant\(a=inf\): NaN"):
        list(Grid(a=[float("inf")]).derive(b="a - a"))


def test_a_filter_goes_into_the_part_of_a_product_that_has_its_names():
    space = Grid(a=[1, 2, 3], b=[1, 2], c=[1, 2], d=range(10**6)).where("b < c")

    assert isinstance(space, Product)
    assert len(space) == 3 * 1 * 10**6
    assert space[0] == {"a": 1, "b": 1, "c": 2, "d": 0}
    derived = Grid(a=[1, 2], b=range(10**6)).derive(c="a + b").where("a > 1")
    assert (len(derived), derived[0]["c"]) == (10**6, 2)


def test_filters_of_a_filter_are_tried_in_order():
    space = Axis("a", [0, 1, 2, 4]).where("a != 0").where("4 / a > 1").where(lambda a: a > 1)

    assert isinstance(space, Filtered)
    assert [variant["a"] for variant in space] == [2]
    assert len(space.rules) == 3
    assert isinstance(space.of, Axis)


def test_a_filter_of_many_candidates_is_lazy():
    space = Filtered(Grid(a=range(10**9), b=range(10**9)), *Axis("a", [1]).where("a % 3 == 0").rules)

    assert space[0]["a"] == 0
    assert len(space[5:10]) == 5
    assert bool(space)
    assert {"a": 9, "b": 10**8} in space
    assert {"a": 10, "b": 10**8} not in space
    assert next(iter(space)) == {"a": 0, "b": 0}
    assert space.sample is not None


def test_a_filter_over_several_chunks_finds_its_variants():
    space = Axis("a", range(5 * CHUNK)).where("a % 1000 == 7")
    numbers = np.arange(7, 5 * CHUNK, 1000)

    assert len(space) == len(numbers)
    assert space.columns()["a"].tolist() == numbers.tolist()
    assert space.take(np.array([300, 0, 200, 100])).lists() == [numbers[[300, 0, 200, 100]].tolist()]
    assert space.find(space.take(np.array([300, 1]))).tolist() == [300, 1]
    fresh = Axis("a", range(5 * CHUNK)).where("a % 1000 == 7")
    assert fresh.find(space.take(np.array([300, 1]))).tolist() == [300, 1]
    assert space.take(np.zeros(0, np.int64)).n_rows == 0


def test_counting_without_end_is_refused():
    space = Axis("a", range(10**18)).where("a < 0")
    space._selection._ends = [0] * (MOST_CANDIDATES // CHUNK)

    with pytest.raises(SpaceError, match="filter a smaller space before multiplying"):
        len(space)


def test_functions_are_refused_as_data_and_described_by_their_source():
    space = Grid(a=[1, 2]).where(lambda a: a > 1).derive(b=lambda a: a + 1)

    with pytest.raises(SpaceError, match=r"write it as a text"):
        space.to_dict()
    described = space.describe()
    assert "lambda a: a + 1" in described["rules"]["b"]["source"]
    with pytest.raises(SpaceError, match="was a function"):
        Space.from_dict(described)
    partial = functools.partial(lambda a, limit: a < limit, limit=2)
    assert "functools.partial" in Grid(a=[1]).where(partial).describe()["rules"][0]["source"]
    assert Filtered(Grid(a=[1]), *Axis("a", [1]).where("a == 1").rules).rules[0].source == "a == 1"
    same = Grid(a=[1, 2])
    test = lambda a: a > 1  # noqa: E731  the same object twice
    assert same.where(test) == same.where(test)
    assert same.where(test) != same.where(lambda a: a > 1)


def test_rows_of_points_may_be_filtered_by_names_they_lack():
    space = Points([{"a": 1}, {"b": 1}, {"a": 2, "b": 2}])

    assert rows(space.where("a == b")) == [{"a": 2, "b": 2}]
    assert space.derive(c="a + b").columns()["c"].filled(0).tolist() == [0, 0, 4]
    assert Points([{"a": 1}, {"b": 1}]).derive(c="a + b").columns()["c"].mask.all()
