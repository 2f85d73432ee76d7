from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.figures.defaults import MOST_FIGURES, ParameterFacts, default_figures


def number(name: str, n_values: int) -> ParameterFacts:
    return ParameterFacts(name, n_values, is_numeric=True)


def words(name: str, n_values: int) -> ParameterFacts:
    return ParameterFacts(name, n_values, is_numeric=False)


def told(figures) -> list[tuple[str, dict]]:
    return [(figure.type, figure.options) for figure in figures]


def test_one_number_makes_a_line_for_each_metric() -> None:
    figures = default_figures([number("t", 5)], ["energy", "heat"], 5)

    assert told(figures) == [("line", {"x": "t", "y": "energy"}), ("line", {"x": "t", "y": "heat"})]
    assert [figure.name for figure in figures] == ["energy_by_t", "heat_by_t"]


@pytest.mark.parametrize(("n_replicates", "kind"), [(1, "bar"), (9, "bar"), (10, "box")])
def test_one_category_makes_bars_and_with_many_replicates_boxes(n_replicates: int, kind: str) -> None:
    (figure,) = default_figures([words("optimiser", 3)], ["loss"], 3 * n_replicates, n_replicates)

    assert told([figure]) == [(kind, {"x": "optimiser", "y": "loss"})]


def test_more_categories_than_bars_can_be_read_make_points() -> None:
    (figure,) = default_figures([words("molecule", 500)], ["energy"], 500)

    assert told([figure]) == [("scatter", {"x": "molecule", "y": "energy"})]


def test_two_numbers_make_a_heatmap_and_a_line_along_each() -> None:
    figures = default_figures([number("size", 3), number("t", 20)], ["energy"], 60)

    assert told(figures) == [
        ("heatmap", {"x": "t", "y": "size", "value": "energy"}),
        ("line", {"x": "t", "y": "energy", "hue": "size"}),
        ("line", {"x": "size", "y": "energy"}),  # twenty lines would be too many
    ]


def test_a_third_parameter_of_few_values_makes_facets_and_parallel_coordinates() -> None:
    figures = default_figures([number("a", 4), number("b", 5), words("kind", 2)], ["loss"], 40)

    assert ("heatmap", {"x": "b", "y": "a", "value": "loss", "facet_by": ("kind",)}) in told(figures)
    assert ("parallel", {"value": "loss"}) in told(figures)


def test_parameters_drawn_at_random_make_points_and_contours_instead_of_cells() -> None:
    figures = default_figures([number("a", 200), number("b", 200), words("kind", 3)], ["loss"], 200)

    assert [figure.type for figure in figures] == ["scatter", "scatter", "contour", "parallel"]
    assert figures[0].options["hue"] == "kind"


def test_replicates_alone_make_distributions() -> None:
    assert told(default_figures([], ["energy"], 50, 50)) == [("histogram", {"x": "energy"})]


def test_a_parameter_with_one_value_is_no_axis() -> None:
    figures = default_figures([number("t", 5), words("kind", 1)], ["energy"], 5)

    assert [figure.parameters for figure in figures] == [()]
    assert told(figures) == [("line", {"x": "t", "y": "energy"})]


@pytest.mark.parametrize(("metrics", "n_variants"), [([], 10), (["energy"], 1), (["energy"], 0)])
def test_nothing_to_compare_makes_no_figure(metrics: list[str], n_variants: int) -> None:
    assert default_figures([number("t", max(n_variants, 1))], metrics, n_variants) == ()


facts = st.builds(ParameterFacts, st.sampled_from("abcdefghijklmno"), st.integers(0, 10**6), st.booleans())


@given(
    st.lists(facts, unique_by=lambda one: one.name),
    st.lists(st.sampled_from(["loss", "time", "heat", "mass", "size"]), unique=True),
    st.integers(0, 10**6),
    st.integers(1, 100),
)
def test_there_are_at_most_six_with_names_of_their_own_about_what_there_is(parameters, metrics, n, replicates) -> None:
    figures = default_figures(parameters, metrics, n, replicates)

    assert len({figure.name for figure in figures}) == len(figures) <= MOST_FIGURES
    for figure in figures:
        varied = {one.name for one in parameters if one.n_values > 1}
        assert set(figure.parameters) | set(figure.columns) <= varied | set(metrics)
        assert set(figure.metrics) <= set(metrics)


def test_a_metric_over_orders_gets_no_bars_which_would_start_at_zero() -> None:
    scheme = ParameterFacts("scheme", 3, is_numeric=False)

    (figure,) = default_figures([scheme], ["error"], 3, logarithmic=["error"])
    assert figure.type == "line"
    (figure,) = default_figures([scheme], ["error"], 3)
    assert figure.type == "bar"
