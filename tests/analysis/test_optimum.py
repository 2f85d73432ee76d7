from __future__ import annotations

import math

import numpy as np
import pytest

from sciflow.errors import ResultsError
from sciflow.running.failure import Failure
from sciflow.space import Grid, Replicates, Variant


def test_the_best_variant_is_the_one_with_the_best_mean_over_replicates(results, known) -> None:
    best = results.find_optimal_parameters("accuracy", maximize=True)

    assert best == known.best
    assert "replicate" not in best
    assert results.get_metric(best, "accuracy") == pytest.approx(known.best_accuracy)


def test_the_smallest_is_the_best_where_that_is_wanted(results, known) -> None:
    assert results.find_optimal_parameters("accuracy", maximize=False) == known.worst


def test_a_variant_with_a_missing_failed_or_undefined_replicate_never_wins(results, known) -> None:
    ranked = results.find_optimal_parameters("accuracy", top=100)

    assert len(ranked) == 5
    assert known.unfinished not in ranked
    assert known.undefined not in ranked
    assert Variant(learning_rate=0.001, layers=3) not in ranked
    assert Variant(learning_rate=0.1, layers=3) not in ranked


def test_without_averaging_single_variants_are_ranked(results, known) -> None:
    best = results.find_optimal_parameters("accuracy", over=None)

    assert best == {**known.unfinished, "replicate": 0}
    assert results.get_metric(best, "accuracy") == 0.99


def test_several_are_given_best_first(results) -> None:
    first, second = results.find_optimal_parameters("accuracy", top=2, where="layers == 2")

    assert (first["learning_rate"], second["learning_rate"]) == (0.01, 0.1)


def test_a_condition_narrows_the_choice(results) -> None:
    assert results.find_optimal_parameters("accuracy", where="learning_rate > 0.05") == {
        "learning_rate": 0.1,
        "layers": 2,
    }
    with pytest.raises(ResultsError, match="no variant satisfies 'layers > 9'"):
        results.find_optimal_parameters("accuracy", where="layers > 9")


def test_a_condition_cannot_make_an_unfinished_group_look_finished(results, known) -> None:
    best = results.find_optimal_parameters("accuracy", where="status == 'done'")

    assert best == known.best


def test_other_parameters_can_be_averaged_over(recorded) -> None:
    results = recorded({"a": [1, 2], "seed": [0, 1, 2]}, lambda v: {"y": v["a"] * 10.0 + v["seed"]})

    assert results.find_optimal_parameters("y", over="seed") == {"a": 2}
    with pytest.raises(ResultsError, match="over names 'sed'"):
        results.find_optimal_parameters("y", over=["sed"])


def test_ties_are_told_and_the_first_in_the_order_of_the_space_is_given(recorded) -> None:
    results = recorded({"a": [3, 1, 2]}, lambda v: {"y": 0.0 if v["a"] == 2 else 1.0})

    with pytest.warns(UserWarning, match=r"2 variants share the best value of y, 1; .* top=2 gives them all"):
        best = results.find_optimal_parameters("y")
    assert best == {"a": 3}


def test_a_tie_within_the_list_that_is_given_is_nothing_to_tell(recorded) -> None:
    results = recorded({"a": [3, 1, 2]}, lambda v: {"y": 0.0 if v["a"] == 2 else 1.0})

    assert [one["a"] for one in results.find_optimal_parameters("y", top=2)] == [3, 1]


def test_a_tie_for_the_last_place_is_told(recorded) -> None:
    results = recorded({"a": [1, 2, 3]}, lambda v: {"y": 2.0 if v["a"] == 1 else 1.0})

    with pytest.warns(UserWarning, match="share the value of place 2"):
        results.find_optimal_parameters("y", top=2)


def test_an_unknown_metric_lists_the_known_ones(results) -> None:
    with pytest.raises(ResultsError, match=r"no metric 'acuracy'; there are accuracy, .*did you mean 'accuracy'\?"):
        results.find_optimal_parameters("acuracy")


def test_what_has_no_order_cannot_be_ranked(results) -> None:
    with pytest.raises(ResultsError, match="not numbers"):
        results.find_optimal_parameters("device")
    with pytest.raises(ResultsError, match="is an array for each variant"):
        results.find_optimal_parameters("loss_curve")
    with pytest.raises(ResultsError, match="top=0"):
        results.find_optimal_parameters("accuracy", top=0)


def test_bools_and_whole_numbers_and_times_can_be_ranked(recorded) -> None:
    results = recorded({"a": [1, 2]}, lambda v: {"ok": v["a"] == 2, "n": 5 - v["a"]})

    assert results.find_optimal_parameters("ok") == {"a": 2}
    assert results.find_optimal_parameters("n") == {"a": 1}
    with pytest.warns(UserWarning, match="share"):
        assert results.find_optimal_parameters("runtime_s") == {"a": 1}
    with pytest.warns(UserWarning, match="share"):
        assert results.find_optimal_parameters("attempt") == {"a": 1}


def test_where_nothing_can_win_it_is_said_why(recorded) -> None:
    def outcome(variant):
        return {"y": math.nan} if variant["a"] == 1 else Failure.of(ValueError("no"), "work")

    failed = recorded({"a": [1, 2]}, outcome, name="failed")
    with pytest.raises(ResultsError, match=r"no variant has a value of 'y' \(1 done, 1 failed, 0 missing\)"):
        failed.find_optimal_parameters("y")

    some = recorded({"a": [1, 2]}, lambda v: {"y": math.nan if v["a"] == 1 else 1.0}, name="some")
    with pytest.raises(ResultsError, match="no variant that satisfies 'a == 1'"):
        some.find_optimal_parameters("y", where="a == 1")

    halves = recorded(Grid(a=[1, 2]) * Replicates(2), lambda v: {"y": 1.0} if v["replicate"] else None, name="halves")
    with pytest.raises(ResultsError, match="no group of replicates"):
        halves.find_optimal_parameters("y")


def test_replicates_that_were_never_listed_make_a_group_incomplete(recorded) -> None:
    # the space cannot be rebuilt, so that variants which nobody ran are not known
    space = (Grid(a=[1, 2]) * Replicates(3)).where(lambda a: a > 0)
    results = recorded(space, lambda v: {"y": float(v["a"])} if v["a"] == 1 or v["replicate"] < 2 else None)

    assert results.find_optimal_parameters("y") == {"a": 1}


def test_equal_values_of_other_types_are_one_group(recorded) -> None:
    space = Grid(a=[1, 2], r=[0]) | Grid(a=[1.0, 2.0], r=[1])
    results = recorded(space, lambda v: {"y": v["a"] * 1.0})

    assert results.find_optimal_parameters("y", over="r") == {"a": 2}
    assert results.get_metric({"a": np.int64(2), "r": 1}, "y") == 2.0
