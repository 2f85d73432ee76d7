from __future__ import annotations

import itertools

import numpy as np
import pytest

from sciflow.analysis.plots import cells
from sciflow.analysis.plots.values import read_rows
from sciflow.errors import ResultsError
from sciflow.space import Axis, Grid, Zip


def sort_into_cells(dataset, x: str, y: str, *facets: str):
    rows = read_rows(dataset, parameters=(x, y, *facets), metrics=("value",))
    return cells.sort_into_cells(rows, rows[x], rows[y], rows["value"], [rows[name] for name in facets])


def test_each_cell_is_the_mean_over_what_is_not_shown(flat) -> None:
    space = Grid(a=[1, 2], b=[10, 20, 30], c=[0.0, 1.0])
    values = np.array([v["a"] + v["b"] + v["c"] for v in space])

    panels = sort_into_cells(flat(space, values), "a", "b")

    assert (panels.x_values, panels.y_values) == ((1, 2), (10, 20, 30))
    assert panels.panels[0].mean.tolist() == [[11.5, 12.5], [21.5, 22.5], [31.5, 32.5]]
    assert panels.averaged == ("c",)


def test_there_is_a_panel_for_each_combination_of_facets(flat) -> None:
    space = Grid(a=[1, 2], b=[1, 2], c=["x", "y", "z"], d=[1, 2])
    values = np.array([100 * "xyz".index(v["c"]) + 10 * v["d"] + v["a"] * v["b"] for v in space])

    panels = sort_into_cells(flat(space, values), "a", "b", "c", "d")

    assert panels.n_columns == 3
    assert [dict(panel.facet) for panel in panels.panels] == [
        {"c": c, "d": d} for d, c in itertools.product("12", "xyz")
    ]
    for panel in panels.panels:
        facet = dict(panel.facet)
        offset = 100 * "xyz".index(facet["c"]) + 10 * int(facet["d"])
        assert panel.mean.tolist() == [[offset + 1, offset + 2], [offset + 2, offset + 4]]


def test_numbers_ascend_and_other_values_keep_their_order(flat) -> None:
    space = Grid(a=[3, 1, 2.5], b=["low", "high"])

    panels = sort_into_cells(flat(space, np.arange(6.0)), "a", "b")

    assert panels.x_values == (1, 2.5, 3)
    assert panels.y_values == ("low", "high")
    assert panels.panels[0].mean.tolist() == [[2, 4, 0], [3, 5, 1]]


def test_cells_without_results_and_cells_that_do_not_exist_differ(flat) -> None:
    space = Zip(a=[1, 2, 3], b=[1, 2, 3])
    values = np.array([1.0, np.nan, np.inf])

    panel = sort_into_cells(flat(space, values), "a", "b").panels[0]

    assert panel.n_variants.tolist() == np.eye(3, dtype=int).tolist()
    assert panel.n_values.sum() == 1
    assert np.isnan(panel.mean).sum() == 8


def test_a_parameter_that_goes_along_with_an_axis_is_not_averaged_over(flat) -> None:
    space = Zip(a=[1, 2], same=["x", "y"]) * Grid(b=[1, 2])

    assert sort_into_cells(flat(space, np.ones(4)), "a", "b").averaged == ()


def test_variants_that_lack_a_parameter_of_the_figure_are_left_out_and_counted(flat) -> None:
    space = Grid(opt=["sgd"], momentum=[0.1, 0.9], lr=[1, 2]) | Grid(opt=["adam"], beta=[1], lr=[1, 2])
    values = np.arange(6.0)

    panels = sort_into_cells(flat(space, values), "momentum", "lr")

    assert panels.n_left_out == 2
    assert panels.panels[0].mean.tolist() == [[0, 2], [1, 3]]
    with pytest.raises(ResultsError, match="no variant has all of momentum, beta"):
        sort_into_cells(flat(space, values), "momentum", "beta")


def test_equal_values_of_other_types_share_a_cell(flat) -> None:
    space = Grid(a=[1, 2], b=[0], c=[0]) | Grid(a=[1.0, 2.0], b=[0], c=[1])

    panels = sort_into_cells(flat(space, np.array([1.0, 2.0, 3.0, 4.0])), "a", "b")

    assert panels.panels[0].mean.tolist() == [[2.0, 3.0]]


def test_too_much_to_see_is_an_error(flat) -> None:
    space = Axis("a", [f"case {at}" for at in range(500)]) * Axis("b", [1])
    with pytest.raises(ResultsError, match="a has 500 values; a heatmap shows at most 400"):
        sort_into_cells(flat(space, np.ones(500)), "a", "b")
    space = Grid(a=[1], b=[1], c=range(20), d=range(20))
    with pytest.raises(ResultsError, match="400 panels, one per combination of c, d"):
        sort_into_cells(flat(space, np.ones(400)), "a", "b", "c", "d")


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (3, 3), (4, 4), (5, 3), (6, 3), (8, 4), (9, 3), (10, 4)])
def test_panels_fill_rows(n: int, columns: int, flat) -> None:
    space = Grid(a=[1], b=[1], c=range(n))

    assert sort_into_cells(flat(space, np.ones(n)), "a", "b", "c").n_columns == columns
