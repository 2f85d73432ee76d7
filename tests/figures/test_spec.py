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
