"""Tables from elsewhere, such as recorded variants of an earlier space."""

from __future__ import annotations

import numpy as np

from sciflow.space import Axis, Grid


def test_a_parameter_that_is_gone_does_not_count_at_its_earlier_default():
    earlier = Grid(a=[1, 2]) * Axis("c", [5, 6], default=5)
    table = earlier.take(np.arange(4)).known_as(Grid(a=[2, 1]).parameters, {"c": 5})

    assert Grid(a=[2, 1]).find(table).tolist() == [1, -1, 0, -1]


def test_a_column_that_is_at_its_earlier_default_in_every_row_is_gone():
    earlier = Grid(a=[1, 2]) * Axis("c", [5], default=5)
    table = earlier.take(np.arange(2)).known_as(Grid(a=[1]).parameters, {"c": 5})

    assert [parameter.name for parameter in table.parameters] == ["a"]
    assert Grid(a=[1]).find(table).tolist() == [0, -1]


def test_derived_columns_do_not_matter():
    table = Grid(a=[1, 2]).derive(d="a * 2").take(np.arange(2)).known_as(Grid(a=[2]).parameters)

    assert Grid(a=[2]).find(table).tolist() == [-1, 0]
