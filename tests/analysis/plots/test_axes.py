from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from sciflow import plots
from sciflow.analysis.plots.axes import is_logarithmic, set_ticks
from sciflow.space import Axis, Grid


@pytest.mark.parametrize(
    "values",
    [
        [1e-4, 1e-3, 1e-2],
        [1, 2, 4],
        [8, 16, 32, 64],
        [1, 3, 10, 30, 100],
        np.geomspace(1e-3, 10, 500),
        *(
            np.union1d(series := np.geomspace(0.01, 1, 5), np.geomspace(*series[[at, at + 1]], 9))  # refined there
            for at in range(4)
        ),
    ],
)
def test_values_over_orders_and_geometric_series_are_logarithmic(values) -> None:
    assert is_logarithmic(values, series=True)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        [1, 2, 3],
        [0, 1, 1000],
        [-1, 1, 100],
        [0.1, 10, 20, 30],
        np.linspace(1, 1000, 6),
        np.linspace(0.01, 1000, 500),
        [5, 5, 5],
        [np.nan],
        [],
    ],
)
def test_others_are_linear(values) -> None:
    assert not is_logarithmic(values, series=True)


def line_over(flat, values, **more):
    figure = plots.line(flat(Axis("a", values), np.arange(float(len(values))), **more), "a", "value")
    figure.draw_without_rendering()
    return figure.axes[0]


def shown(axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels() if label.get_text()]


def test_few_values_of_a_parameter_are_the_ticks(flat) -> None:
    axes = line_over(flat, [0.001, 0.01, 0.1], units={"a": "1/s", "value": "J"})

    assert axes.get_xscale() == "log"
    assert shown(axes) == ["0.001", "0.01", "0.1"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a [1/s]", "value [J]")


def test_values_that_lie_too_close_for_labels_are_not_all_ticks(flat) -> None:
    assert shown(line_over(flat, [0, 1, 2, 100])) != ["0", "1", "2", "100"]


def test_whole_numbers_have_no_ticks_between_them(flat) -> None:
    axes = line_over(flat, list(range(10, 21)))

    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_texts_are_categories_in_their_order(flat) -> None:
    axes = line_over(flat, ["small", "large", "huge"])

    assert shown(axes) == ["small", "large", "huge"]
    assert axes.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert axes.get_xlim() == (-0.5, 2.5)


def test_of_many_categories_every_few_have_a_label() -> None:
    axes = Figure().add_subplot()

    set_ticks(axes.xaxis, [f"case {at}" for at in range(100)])

    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert len(labels) <= 16
    assert labels[:2] == ["case 0", "case 7"]
    assert axes.get_xticklabels()[0].get_rotation() == 40


def test_a_metric_over_orders_has_a_logarithmic_axis(flat) -> None:
    figure = plots.scatter(flat(Grid(a=range(20)), np.geomspace(1e-6, 1, 20)), "a", "value")

    assert figure.axes[0].get_yscale() == "log"


def test_one_value_of_a_parameter_has_an_axis_with_a_length(flat) -> None:
    low, high = line_over(flat, [5]).get_xlim()

    assert low < 5 < high
