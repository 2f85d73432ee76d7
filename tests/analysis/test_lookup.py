from __future__ import annotations

import numpy as np
import pytest

from sciflow.errors import ResultsError
from sciflow.space import Axis, Grid, Replicates, Variant


def test_a_metric_is_found_by_variant_mapping_and_id(results, known) -> None:
    by_variant = results.get_metric(known.best, "accuracy")

    assert by_variant == results.get_metric({"layers": 2.0, "learning_rate": 0.01}, "accuracy")
    assert by_variant == results.get_metric(known.best.id, "accuracy")
    assert by_variant == pytest.approx(0.905)


def test_one_replicate_is_meant_where_it_is_named(results, known) -> None:
    assert results.get_metric({**known.best, "replicate": 1}, "accuracy") == pytest.approx(0.91)
    one = Variant({**known.best, "replicate": 1})
    assert results.get_metric(one.id, "accuracy") == pytest.approx(0.91)


def test_any_output_can_be_looked_up(results, known) -> None:
    assert results.get_metric({**known.best, "replicate": 0}, "device") == "gpu"
    assert results.get_metric(known.best, "runtime_s") == 0.25
    assert results.get_metric(known.best, "loss_curve").tolist() == pytest.approx([2.0, 2.01, 2.02, 2.03])
    one = results.get_metric({**known.best, "replicate": 0}, "loss_curve")
    assert isinstance(one, np.ndarray)
    with pytest.raises(ResultsError, match="no mean over replicates"):
        results.get_metric(known.best, "device")


def test_parameters_that_fit_several_variants_are_an_error_that_says_how_many(results) -> None:
    with pytest.raises(ResultsError, match=r"6 variants have layers=2; they differ in learning_rate:"):
        results.get_metric({"layers": 2}, "accuracy")
    with pytest.raises(ResultsError, match=r"18 variants are in this sweep; they differ in learning_rate, layers:"):
        results.get_metric({}, "accuracy")


def test_parameters_at_their_default_may_be_left_out(recorded) -> None:
    space = Grid(a=[1, 2]) * Axis("m", [0.0, 0.5], default=0.0)
    results = recorded(space, lambda v: {"y": v["a"] + v["m"]})

    assert results.get_metric({"a": 2}, "y") == 2.0
    assert results.get_metric({"a": 2, "m": 0.5}, "y") == 2.5
    with pytest.raises(ResultsError, match=r"2 variants have m=0\.5"):
        results.get_metric({"m": 0.5}, "y")


def test_a_default_that_is_not_in_the_space_narrows_nothing(recorded) -> None:
    results = recorded(Grid(a=[1, 2]) * Axis("m", [0.5], default=0.0), lambda v: {"y": v["a"] + v["m"]})

    assert results.get_metric({"a": 2}, "y") == 2.5


def test_what_does_not_exist_is_an_error_that_says_so(results) -> None:
    with pytest.raises(ResultsError, match="no variant of this sweep has layers=9"):
        results.get_metric({"layers": 9}, "accuracy")
    with pytest.raises(ResultsError, match=r"no parameter 'layer'; .*did you mean 'layers'\?"):
        results.get_metric({"layer": 2}, "accuracy")
    with pytest.raises(ResultsError, match="NaN"):
        results.get_metric({"layers": float("nan")}, "accuracy")
    with pytest.raises(ResultsError, match="no variant of this sweep has id v00000000000000000000"):
        results.get_metric("v" + 20 * "0", "accuracy")
    with pytest.raises(ResultsError, match="is no id of a variant"):
        results.get_metric("best", "accuracy")
    with pytest.raises(ResultsError, match="no metric 'loss'"):
        results.get_metric({"learning_rate": 0.1, "layers": 3}, "loss")


def test_a_variant_without_results_says_why(results, known) -> None:
    with pytest.raises(ResultsError, match=r"it failed \(train: FloatingPointError: the loss is not finite\)"):
        results.get_metric({"learning_rate": 0.1, "layers": 3}, "accuracy")
    with pytest.raises(ResultsError, match="it has not run yet"):
        results.get_metric({**known.unfinished, "replicate": 1}, "accuracy")


def test_a_mean_of_some_replicates_is_told(results, known) -> None:
    with pytest.warns(UserWarning, match="1 of 2 replicates .* have no result"):
        assert results.get_metric(known.unfinished, "accuracy") == 0.99


def test_a_sweep_of_one_variant_needs_no_parameters(recorded) -> None:
    results = recorded(Grid(a=[1]) * Replicates(2), lambda v: {"y": v["replicate"] * 2.0})

    assert results.get_metric({}, "y") == 1.0


def test_an_id_of_a_sweep_without_replicates_is_one_variant(recorded) -> None:
    results = recorded({"a": [1, 2]}, lambda v: {"y": float(v["a"])})

    assert results.get_metric(Variant(a=2).id, "y") == 2.0


def test_a_number_with_fewer_digits_than_the_recorded_one_is_told_what_that_is(recorded) -> None:
    results = recorded({"dt": [0.1, 0.31622776601683794]}, lambda variant: {"y": variant["dt"]})

    with pytest.raises(ResultsError, match=r"has dt=0\.3162; the nearest is dt=0\.31622776601683794$"):
        results.get_metric({"dt": 0.3162}, "y")
    with pytest.raises(ResultsError, match=r"has dt=0\.2$"):
        results.get_metric({"dt": 0.2}, "y")
