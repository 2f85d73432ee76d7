"""Tables: rows as columns of codes."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from sciflow.space import ABSENT, Axis, Column, Grid, Parameter, Points, Table, Variant
from sciflow.space.rowindex import RowIndex
from sciflow.space.table import assemble, objects

NOON = dt.datetime.fromisoformat("2024-01-01T12:00")


def test_rows_can_be_taken_and_selected():
    table = Grid(a=[1, 2], b=["x", "y"]).take(np.arange(4))

    assert table.take(np.array([3, 0])).lists() == [[2, 1], ["y", "x"]]
    assert table.select(np.array([True, False, False, True])).lists() == [[1, 2], ["x", "y"]]
    assert table.only(["b"]).lists() == [["x", "y", "x", "y"]]
    assert [variant["a"] for variant in table.variants()] == [1, 1, 2, 2]
    assert len(table.id_bytes()) == 40


def test_a_table_of_one_variant_has_its_identity():
    variant = Variant(a=1, b="x")

    assert Table.of_variant(variant).ids() == [variant.id]
    assert Table.of_mapping({}).ids() == [Variant({}).id]
    assert list(Table((), {}, 2).variants()) == [Variant({}), Variant({})]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([True, False], "bool"),
        ([1, -(2**63)], "int64"),
        ([1, 2**63], "object"),
        ([1.0, 0.5], "float64"),
        ([1, 0.5], "float64"),
        ([2**60 + 1, 0.5], "object"),
        (["x", "yy"], "<U2"),
        (["x", "y\0"], "object"),
        ([dt.date(2024, 1, 1), dt.date(2024, 1, 2)], "datetime64[D]"),
        ([NOON, NOON + dt.timedelta(days=1)], "datetime64[us]"),
        ([NOON.replace(tzinfo=dt.UTC), NOON], "object"),
        ([1, "x"], "object"),
        ([1, True], "object"),
        ([None, 1], "object"),
        ([(1, 2), (3, 4)], "object"),
    ],
)
def test_columns_are_typed_where_that_keeps_every_value(values, dtype):
    column = Grid(a=values).columns()["a"]

    assert column.dtype == np.dtype(dtype)
    assert column.tolist() == values


def test_columns_of_a_part_of_a_space():
    space = Grid(a=range(10))

    assert space.columns(3, 5)["a"].tolist() == [3, 4]
    assert space.columns(-2)["a"].tolist() == [8, 9]
    assert space.columns(5, 3)["a"].tolist() == []
    assert space.columns(8, 99)["a"].tolist() == [8, 9]


def test_tables_of_different_names_are_put_together():
    left, right = Points([{"a": 1}, {"a": 2}]).take(np.arange(2)), Points([{"b": 3}]).take(np.arange(1))
    again = left.take(np.array([1]))
    table = assemble(
        (Parameter("a"), Parameter("b")), 4, [(np.array([0, 2]), left), (np.array([1]), right), (np.array([3]), again)]
    )

    assert table.lists() == [[1, ABSENT, 2, 2], [ABSENT, 3, ABSENT, ABSENT]]
    twice = assemble((Parameter("a"),), 3, [(np.array([0, 1]), left), (np.array([2]), again)])
    assert twice.columns["a"].pool is left.columns["a"].pool


def test_a_column_without_any_value_is_all_masked():
    column = Table((Parameter("a"),), {"a": Column(objects([]), np.array([-1, -1]))}, 2)

    assert column.arrays()["a"].mask.all()
    assert column.ids() == [Variant({}).id] * 2


def test_an_index_over_more_combinations_than_fit_an_integer_finds_its_rows():
    generator = np.random.default_rng(0)
    columns = [generator.integers(2**20, size=50) for _ in range(5)]
    index = RowIndex(columns, [2**20] * 5, 50)

    assert index.n_distinct == 50
    assert index.find(columns, 50).tolist() == list(range(50))
    others = [(column + 1) % 2**20 for column in columns]
    assert set(index.find(others, 50).tolist()) == {-1}
    assert index.find([np.full(1, -1), *(column[:1] for column in columns[1:])], 1).tolist() == [-1]


def test_rules_over_more_combinations_than_fit_an_integer_are_evaluated():
    names = [f"p{n}" for n in range(8)]
    space = Points([{name: (n * 7 + k) % 300 for k, name in enumerate(names)} for n in range(300)])

    assert len(space.where(" + ".join(names) + " >= 0")) == 300
    assert space.derive(total=" + ".join(names)).columns()["total"].tolist() == [sum(v.values()) for v in space]


def test_ids_of_a_few_rows_of_long_axes_encode_only_the_values_used():
    space = Grid(a=list(range(1000)), b=[n / 7 for n in range(1000)])
    rows = np.array([5, 999_999, 5])

    assert space.take(rows).ids() == [space[int(row)].id for row in rows]


@pytest.mark.parametrize(
    "space",
    [
        Grid(a=range(3), b=range(3), c=range(40), d=range(40)),
        Grid(a=range(3), b=range(3)),
        Grid(a=range(30), b=range(30)),
        Grid(a=range(10)),
        Grid(z=range(10)) * (Grid(a=[1], m=range(20)) | Grid(b=[1], m=range(20))),
        Grid(z=range(10)) * Axis("a", range(20), default=3),
        Axis("a", range(20), default=3),
    ],
    ids=repr,
)
def test_ids_of_many_rows_are_those_of_each(space):
    assert space.take(np.arange(len(space))).ids() == [space[k].id for k in range(len(space))]
    assert space.take(np.arange(2)).ids() == [space[k].id for k in range(2)]
