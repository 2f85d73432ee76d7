from __future__ import annotations

import pickle

import pytest

from sciflow.errors import WorkflowError
from sciflow.figures import parse_figure

SEED_OPTIONS = {
    "type": "heatmap",
    "x_axis": "learning_rate",
    "y_axis": "hidden_layers",
    "value": "validation_accuracy",
    "facet_by": ["dropout_rate"],
}


def test_the_figure_of_the_seed_example_is_a_heatmap():
    figure = parse_figure("accuracy", SEED_OPTIONS)

    assert figure.type == "heatmap"
    assert figure.options == {
        "x": "learning_rate",
        "y": "hidden_layers",
        "value": "validation_accuracy",
        "facet_by": ("dropout_rate",),
    }
    assert figure.parameters == ("learning_rate", "hidden_layers", "dropout_rate")
    assert figure.metrics == ("validation_accuracy",)


def test_the_figure_of_a_sweep_that_an_earlier_release_stored_is_read() -> None:
    stored = {"type": "heatmap", "x_axis": "a", "y_axis": "b", "value": "loss", "facet_by": [], "title": None}

    assert parse_figure("map", stored).options == {"x": "a", "y": "b", "value": "loss", "facet_by": ()}


def test_a_figure_hashes_pickles_and_returns_from_plain_data():
    figure = parse_figure("accuracy", SEED_OPTIONS | {"title": "Accuracy"})
    data = figure.to_dict()

    assert parse_figure(data.pop("name"), data) == figure
    assert hash(pickle.loads(pickle.dumps(figure))) == hash(figure)


@pytest.mark.parametrize(("given", "facets"), [("c", ("c",)), (None, None), ((), ()), (("c", "d"), ("c", "d"))])
def test_facets_are_one_name_or_several(given, facets):
    options = {"type": "heatmap", "x_axis": "a", "y_axis": "b", "value": "loss", "facet_by": given}

    assert parse_figure("figure", options).options.get("facet_by") == facets


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "pie"}, "type 'pie' is unknown"),
        ({"type": None}, "the type is one of 'heatmap', 'line'"),
        ({"xaxis": "a"}, "unknown keys ['xaxis']; a figure of type 'heatmap' has type, x, y, value, facet_by, title"),
        ({"type": "line", "colour": "a"}, "did you mean 'hue'?"),
        ({"value": None}, "lacks 'value'"),
        ({"x_axis": 3}, "x must be a name as text, not 3"),
        ({"facet_by": 3}, "facet_by must be a name"),
        ({"facet_by": ["learning_rate"]}, "['learning_rate'] more than once"),
    ],
)
def test_what_a_figure_cannot_be_is_an_error_that_names_it(change, says):
    with pytest.raises(WorkflowError) as caught:
        parse_figure("accuracy", SEED_OPTIONS | change)

    assert says in str(caught.value)
    assert "'accuracy'" in str(caught.value)


def test_an_unknown_type_lists_the_types_and_the_closest() -> None:
    with pytest.raises(WorkflowError, match=r"type 'heat_map' is unknown; .*'pareto'.*; did you mean 'heatmap'\?"):
        parse_figure("map", {"type": "heat_map"})


def test_an_unknown_key_lists_the_keys_of_the_type_and_the_closest() -> None:
    with pytest.raises(WorkflowError, match=r"'line' has type, x, y, hue, band, title; did you mean 'hue'\?"):
        parse_figure("curve", {"type": "line", "x": "a", "y": "loss", "hues": "b"})


def test_a_key_that_is_missing_is_told_with_all_that_are_needed() -> None:
    with pytest.raises(WorkflowError, match="lacks 'y'; a figure of type 'line' needs x and y"):
        parse_figure("curve", {"type": "line", "x": "a"})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"type": "line", "x": "a", "y": "b", "band": "se"}, "band must be one of 'ci', 'sd', 'range', 'none'"),
        ({"type": "pareto", "objectives": {"loss": "down"}}, 'objectives must be like {"accuracy": "max"'),
        ({"type": "pareto", "objectives": {"loss": "min", "b": "max"}, "label": 1}, "label must be True or False"),
        ({"type": "line", "x": "a", "y": "b", "title": 3}, "title must be a text"),
        ("line", "is told by a mapping"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told(options, says) -> None:
    with pytest.raises(WorkflowError) as told:
        parse_figure("figure", options)

    assert says in str(told.value)


def test_what_a_figure_names_is_sorted_by_what_it_must_be() -> None:
    figure = parse_figure("f", {"type": "line", "x": "a", "y": "loss", "hue": "b"})

    assert (figure.parameters, figure.metrics, figure.columns) == (("b",), ("loss",), ("a",))
    goals = parse_figure("f", {"type": "pareto", "objectives": {"loss": "min", "runtime_s": "min"}})
    assert goals.metrics == ("loss", "runtime_s")
    assert goals.to_dict()["objectives"] == {"loss": "min", "runtime_s": "min"}
    assert parse_figure("f", {key: one for key, one in goals.to_dict().items() if key != "name"}) == goals
