from __future__ import annotations

import pickle

import pytest

from sciflow.errors import WorkflowError
from sciflow.figures import Heatmap, parse_figure

SEED_OPTIONS = {
    "type": "heatmap",
    "x_axis": "learning_rate",
    "y_axis": "hidden_layers",
    "value": "validation_accuracy",
    "facet_by": ["dropout_rate"],
}


def test_the_figure_of_the_seed_example_is_a_heatmap():
    figure = parse_figure("accuracy", SEED_OPTIONS)

    assert figure == Heatmap("accuracy", "learning_rate", "hidden_layers", "validation_accuracy", ("dropout_rate",))
    assert figure.parameters == ("learning_rate", "hidden_layers", "dropout_rate")


def test_a_figure_hashes_pickles_and_returns_from_plain_data():
    figure = parse_figure("accuracy", SEED_OPTIONS | {"title": "Accuracy"})
    data = figure.to_dict()

    assert parse_figure(data.pop("name"), data) == figure
    assert hash(pickle.loads(pickle.dumps(figure))) == hash(figure)


@pytest.mark.parametrize(("given", "facets"), [("c", ("c",)), (None, ()), ((), ()), (("c", "d"), ("c", "d"))])
def test_facets_are_one_name_or_several(given, facets):
    options = {"type": "heatmap", "x_axis": "a", "y_axis": "b", "value": "loss", "facet_by": given}

    assert parse_figure("figure", options).facet_by == facets


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "pie"}, "type 'pie' is unknown"),
        ({"type": None}, "the type is one of 'heatmap'"),
        ({"xaxis": "a"}, "unknown keys ['xaxis']; a heatmap has type, x_axis"),
        ({"value": None}, "lacks 'value'"),
        ({"x_axis": 3}, "x_axis must be a name as text, not 3"),
        ({"facet_by": 3}, "facet_by must be a name"),
        ({"facet_by": ["learning_rate"]}, "['learning_rate'] more than once"),
    ],
)
def test_what_a_figure_cannot_be_is_an_error_that_names_it(change, says):
    with pytest.raises(WorkflowError) as caught:
        parse_figure("accuracy", SEED_OPTIONS | change)

    assert says in str(caught.value)
    assert "'accuracy'" in str(caught.value)
