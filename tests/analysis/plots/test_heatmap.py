from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_rgba

from sciflow.analysis.plots import heatmap
from sciflow.analysis.plots.style import CROSS, FAILED, NO_RESULT
from sciflow.space import Axis, Grid, Zip


@pytest.fixture
def drawn(flat):
    def draw(space, values, *facets: str, units=None, status=None, **more):
        figure = heatmap(flat(space, values, status=status, units=units), "a", "b", "value", facet_by=facets, **more)
        figure.draw_without_rendering()
        return figure

    return draw


def panels_of(figure):
    return [axes for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]


def hatched_in(axes):
    return [one for one in axes.collections if one.get_gid() == "no result"]


def test_facets_share_one_scale_of_colours(drawn) -> None:
    figure = drawn(Grid(a=[1, 2], b=[1, 2], c=[1, 2, 3]), np.arange(12.0), "c")
    panels = panels_of(figure)

    assert [axes.get_title() for axes in panels] == ["c = 1", "c = 2", "c = 3"]
    assert len({(axes.images[0].norm.vmin, axes.images[0].norm.vmax) for axes in panels}) == 1
    assert panels[0].images[0].norm.vmax == 11.0


def test_the_title_says_what_the_cells_are_means_over(drawn) -> None:
    space = Grid(a=[1, 2], b=[1, 2], c=[1, 2], d=[1, 2])

    assert drawn(space, np.arange(16.0), "d").get_suptitle() == "value by a and b\nmean over c"
    assert drawn(space, np.arange(16.0), "c", "d", title="Losses").get_suptitle() == "Losses"


def test_ticks_are_the_values_and_labels_have_units(drawn) -> None:
    figure = drawn(Grid(a=[0.001, 0.1], b=["x", "y"]), np.arange(4.0), units={"a": "1/s", "b": "1", "value": "J"})
    axes = panels_of(figure)[0]

    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.001", "0.1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "y"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a [1/s]", "b")
    assert any(axes.get_ylabel() == "value [J]" for axes in figure.axes)


def test_only_outer_panels_bear_labels_also_where_a_row_is_not_full(drawn) -> None:
    figure = drawn(Grid(a=[1, 2], b=[1, 2], c=range(5)), np.arange(20.0), "c")
    panels = panels_of(figure)

    assert [bool(axes.get_xlabel()) for axes in panels] == [False, False, True, True, True]
    assert [bool(axes.get_ylabel()) for axes in panels] == [True, False, False, True, False]
    assert [axes.get_visible() for axes in panels] == [True] * 5


def test_missing_cells_are_hatched_and_partial_means_are_marked(drawn) -> None:
    values = [1.0, 2.0, np.nan, 3.0, np.nan, np.nan, 4.0, 5.0]
    figure = drawn(Grid(a=[1, 2], b=[1, 2], c=[1, 2]), values)
    axes = panels_of(figure)[0]

    (hatched,) = hatched_in(axes)
    assert hatched.get_hatch()
    assert hatched.get_facecolor().tolist() == [list(to_rgba(NO_RESULT))]
    assert [path.vertices[0].tolist() for path in hatched.get_paths()] == [[0.5, -0.5]]
    (dots,) = axes.lines
    assert np.round(dots.get_xydata()).tolist() == [[0, 1]]
    assert figure.get_supxlabel() == "hatched: no result · dot: some variants of the mean have no result"


def test_cells_that_are_not_in_the_space_stay_empty_and_this_is_said(drawn) -> None:
    figure = drawn(Zip(a=[1, 2], b=[1, 2]), [1.0, 2.0])

    assert not hatched_in(panels_of(figure)[0])
    assert figure.get_supxlabel() == "empty: not in the space"


def test_failures_are_crossed_or_in_a_large_panel_coloured(drawn) -> None:
    small = drawn(Grid(a=[1, 2], b=[1, 2]), [1.0, 2.0, np.nan, np.nan], status=["done", "done", "failed", "missing"])
    (cross,) = [one for one in panels_of(small)[0].lines if one.get_gid() == "failed"]
    assert cross.get_xydata().tolist() == [[1, 0]]
    assert small.get_supxlabel() == f"hatched: no result · {CROSS}: failed"

    values = np.arange(2500.0)
    values[7] = np.nan
    status = np.where(np.isnan(values), "failed", "done")
    large = drawn(Axis("b", range(50)) * Axis("a", range(50)), values, status=status)
    (cells,) = [one for one in panels_of(large)[0].collections if one.get_gid() == "failed"]
    assert cells.get_paths()[0].vertices[0].tolist() == [6.5, -0.5]
    assert cells.get_facecolor().tolist() == [list(to_rgba(FAILED))]
    assert large.get_supxlabel() == "hatched: no result · orange: failed"


def test_variants_that_are_left_out_are_told(drawn) -> None:
    space = Grid(a=[1, 2], b=[1, 2]) | Grid(z=[1, 2, 3])

    assert "3 variants without these parameters are not shown" in drawn(space, np.arange(7.0)).get_supxlabel()


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ([0.5, 0.51, 0.52, 0.53], ["0.5000", "0.5100", "0.5200", "0.5300"]),
        ([0.9, 0.8, 0.75, 0.6], ["0.900", "0.800", "0.750", "0.600"]),
        ([10.0, 20.0, 30.0, 250.0], ["10", "20", "30", "250"]),
        ([1e-7, 1.0, 1e3, 5.0], ["1e-07", "1", "1e+03", "5"]),
        ([2.0, 2.0, 2.0, 2.0], ["2"] * 4),
        ([1.0, 1.0000001, 1.0, 1.0], ["1"] * 4),
    ],
)
def test_numbers_stand_in_the_cells_of_a_small_panel(values, numbers, drawn) -> None:
    axes = panels_of(drawn(Grid(b=[1, 2], a=[1, 2]), values))[0]

    assert [text.get_text() for text in axes.texts] == numbers


def test_numbers_can_be_read_on_dark_and_on_light_cells(drawn) -> None:
    axes = panels_of(drawn(Grid(b=[1], a=[1, 2]), [0.0, 1.0]))[0]

    assert [text.get_color() for text in axes.texts] == ["white", "black"]


def test_a_large_panel_has_fewer_ticks_and_no_numbers(drawn) -> None:
    figure = drawn(Axis("a", np.linspace(0, 1, 40)) * Axis("b", range(10)), np.arange(400.0))
    axes = panels_of(figure)[0]

    assert not axes.texts
    assert len(axes.get_xticks()) <= 16
    assert axes.get_xticklabels()[0].get_rotation() == 40


def test_positive_values_over_orders_of_magnitude_have_a_logarithmic_scale(drawn) -> None:
    space = Grid(a=[1, 2], b=[1, 2])

    assert isinstance(panels_of(drawn(space, [1e-6, 1.0, 2.0, 3.0]))[0].images[0].norm, LogNorm)
    assert not isinstance(panels_of(drawn(space, [0.0, 1.0, 2.0, 3e6]))[0].images[0].norm, LogNorm)


@pytest.mark.parametrize("values", [[np.nan] * 4, [0.0] * 4, [-3.0] * 4])
def test_a_figure_of_nothing_or_of_one_value_can_be_drawn(values, drawn) -> None:
    figure = drawn(Grid(a=[1, 2], b=[1, 2]), values)

    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_long_title_is_broken_into_lines(drawn) -> None:
    figure = drawn(Grid(a=[1], b=[1]), [1.0], title="a title that goes on and on " * 6)

    assert figure.get_suptitle().count("\n") >= 2
