from __future__ import annotations

import math

import numpy as np
import pytest

from sciflow.errors import ResultsError
from sciflow.running.failure import Failure
from sciflow.space import Grid, Replicates, Variant
from sciflow.store import cells


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


@pytest.mark.parametrize("outcomes", [{(1, 0): 1.0, (1, 1): 1.0, (1, 2): 1.0, (2, 0): 9.0}, {(1, 0): 1.0, (2, 0): 9.0}])
def test_in_a_space_too_large_to_list_a_group_with_fewer_replicates_does_not_win(
    recorded, monkeypatch, outcomes
) -> None:
    monkeypatch.setattr(cells, "MOST_CELLS", 10)  # then only what is recorded is listed
    space = Grid(a=range(20)) * Replicates(3)
    results = recorded(space, lambda v: {"y": y} if (y := outcomes.get((v["a"], v["replicate"]))) else None)

    assert len(results.to_dataframe()) == len(outcomes)
    if len(outcomes) == 4:
        assert results.find_optimal_parameters("y") == {"a": 1}
    else:
        with pytest.raises(ResultsError, match="no group of replicates"):
            results.find_optimal_parameters("y")


def test_equal_values_of_other_types_are_one_group(recorded) -> None:
    space = Grid(a=[1, 2], r=[0]) | Grid(a=[1.0, 2.0], r=[1])
    results = recorded(space, lambda v: {"y": v["a"] * 1.0})

    assert results.find_optimal_parameters("y", over="r") == {"a": 2}
    assert results.get_metric({"a": np.int64(2), "r": 1}, "y") == 2.0


def test_weights_are_of_metrics_that_are_scaled_to_their_extent(recorded) -> None:
    # y: 0, 1, 0.9 of its extent; cost: 0, 1, 0.2 of its extent
    outcome = {1: {"y": 100.0, "cost": 1.0}, 2: {"y": 200.0, "cost": 6.0}, 3: {"y": 190.0, "cost": 2.0}}
    results = recorded({"a": [1, 2, 3]}, lambda v: outcome[v["a"]])

    assert results.find_optimal_parameters({"y": 1, "cost": -0.01}) == {"a": 2}
    assert results.find_optimal_parameters({"y": 1, "cost": -0.5}) == {"a": 3}
    assert results.find_optimal_parameters({"y": 1, "cost": -5}) == {"a": 1}
    assert results.find_optimal_parameters({"y": -1, "cost": 0.5}, maximize=False) == {"a": 3}
    found = results.optimum({"y": 1, "cost": -0.5})
    assert found.value == pytest.approx(0.9 - 0.5 * 0.2)
    assert found.means == {"y": 190.0, "cost": 2.0}


def test_several_metrics_can_count_one_after_the_other(recorded) -> None:
    outcome = {1: (0.90, 5.0), 2: (0.91, 9.0), 3: (0.90, 4.0), 4: (0.80, 1.0)}
    results = recorded({"a": [1, 2, 3, 4]}, lambda v: dict(zip(["y", "cost"], outcome[v["a"]], strict=True)))

    assert results.find_optimal_parameters(["y", ("cost", "min")])["a"] == 2
    assert results.find_optimal_parameters([("y", "max", 0.02), ("cost", "min")])["a"] == 3
    ranked = results.find_optimal_parameters([("y", "max", 0.02), ("cost", "min")], top=4)
    assert [one["a"] for one in ranked] == [3, 1, 2, 4]
    with pytest.warns(UserWarning, match="3 variants share the best value of y"):
        results.find_optimal_parameters([("y", "max", 0.02)])


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ({"y": "max"}, r"weight of 'y' is a number other than 0, not 'max'; .*pareto_front takes directions"),
        ({"y": True}, "not True"),
        ({}, "empty"),
        ([("y", "up")], "'max' or 'min', not 'up'"),
        ([("y", "max", -1)], "tolerance of 'y'"),
        ([3], "3 is no goal"),
        ({"yy": 1.0}, r"no metric 'yy'; there are y, runtime_s, attempt; did you mean 'y'"),
    ],
)
def test_a_wish_that_is_not_understood_says_why(recorded, metric, words) -> None:
    results = recorded({"a": [1, 2]}, lambda v: {"y": v["a"]})

    with pytest.raises(ResultsError, match=words):
        results.find_optimal_parameters(metric)


def test_a_condition_on_a_metric_is_asked_of_the_mean_over_replicates(recorded) -> None:
    cost = {(1, 0): 1.0, (1, 1): 9.0, (2, 0): 4.0, (2, 1): 4.0}  # means 5 and 4
    results = recorded(
        Grid(a=[1, 2]) * Replicates(2),
        lambda v: {"y": 10.0 - v["a"] + v["replicate"], "cost": cost[v["a"], v["replicate"]]},
    )

    assert results.find_optimal_parameters("y") == {"a": 1}
    assert results.find_optimal_parameters("y", where="cost < 4.5") == {"a": 2}
    assert results.find_optimal_parameters("y", where="cost < 4.5 and replicate == 0", over=None)["a"] == 1
    assert results.find_optimal_parameters("y", where="`cost` < 6 and a > 0") == {"a": 1}


def test_an_optimum_has_the_interval_of_student_and_its_plateau(recorded) -> None:
    offsets = [-1.0, 0.0, 1.0, 0.0]
    centre = {1: 5.0, 2: 10.0, 3: 9.5, 4: 0.0}
    results = recorded(Grid(a=[1, 2, 3, 4]) * Replicates(4), lambda v: {"y": centre[v["a"]] + offsets[v["replicate"]]})

    found = results.optimum("y")

    half = 3.182446 * np.std(offsets, ddof=1) / 2  # t of 3 degrees of freedom, from a table
    assert (found.variant, found.value, found.n) == ({"a": 2}, 10.0, 4)
    assert found.ci == pytest.approx((10 - half, 10 + half), rel=1e-6)
    assert found.plateau["a"].tolist() == [2, 3]
    assert found.plateau["worse_by"].tolist() == [0.0, 0.5]
    assert found.ties == ()
    assert "2 of 4 are as good" in str(found)
    assert "2 to 3" in found._repr_html_()
    assert results.get_metric(found.plateau.index[1], "y") == 9.5
    assert results.optimum("y", tolerance=5).plateau["a"].tolist() == [2, 3, 1]


def test_a_single_value_is_not_as_good_as_the_best_because_it_cannot_be_tested(recorded) -> None:
    y = {1: [10.0, 11.0, 12.0], 2: [10.5, 10.0, 11.5], 3: [-500.0], 4: [11.0]}
    space = Grid(a=[1, 2]) * Replicates(3) | Grid(a=[3, 4]) * Replicates(1)
    results = recorded(space, lambda v: {"y": y[v["a"]][v["replicate"]]})

    found = results.optimum("y")

    assert found.plateau["a"].tolist() == [1, 4, 2]
    assert "1 with a single value were not tested" in found.criterion
    assert "were not tested" in str(found)


def test_without_replicates_there_is_no_interval_and_the_plateau_says_so(recorded) -> None:
    results = recorded({"a": [1, 2, 3]}, lambda v: {"y": {1: 0.0, 2: 100.0, 3: 99.5}[v["a"]]})

    found = results.optimum("y")

    assert np.isnan(found.ci).all()
    assert found.plateau["a"].tolist() == [2, 3]
    assert "no interval" in str(found)
    assert "replicates would allow a test" in found.criterion


def test_an_optimum_lists_its_ties(recorded) -> None:
    results = recorded({"a": [3, 1, 2]}, lambda v: {"y": 0.0 if v["a"] == 2 else 1.0})

    assert [dict(tie) for tie in results.optimum("y").ties] == [{"a": 1}]


def test_an_infinite_value_that_wins_or_is_averaged_is_told(recorded) -> None:
    values = {(1, 0): 1.0, (1, 1): 2.0, (2, 0): 3.0, (2, 1): math.inf}
    results = recorded(Grid(a=[1, 2]) * Replicates(2), lambda v: {"y": values[v["a"], v["replicate"]]})

    with pytest.warns(UserWarning, match="best variant's y is inf"):
        assert results.find_optimal_parameters("y") == {"a": 2}
    with pytest.warns(UserWarning, match="1 means of y are infinite because some"):
        assert results.find_optimal_parameters("y", maximize=False) == {"a": 1}
    with pytest.raises(ResultsError, match="'y' has infinite values, so it cannot be scaled"):
        results.find_optimal_parameters({"y": 1})


def test_where_nothing_has_finished_an_unknown_metric_says_so(recorded) -> None:
    results = recorded({"a": [1, 2]}, lambda v: Failure.of(ValueError("no"), "work") if v["a"] == 1 else None)

    with pytest.raises(ResultsError, match=r"no metric 'y'.*no variant has a result yet \(0 done, 1 failed"):
        results.find_optimal_parameters("y")


@pytest.mark.parametrize("direction", ["min", "minimize", 0, None])
def test_a_direction_that_is_no_bool_is_refused_rather_than_taken_for_true(recorded, direction) -> None:
    results = recorded({"a": [1, 2]}, lambda v: {"y": float(v["a"])})

    asked = [results.find_optimal_parameters, results.optimum, results.suggest_refinement]
    for ask in asked:
        with pytest.raises(ResultsError, match=f"maximize={direction!r} is neither True nor False"):
            ask("y", direction)
    assert results.find_optimal_parameters("y", np.False_) == {"a": 1}


def test_min_as_a_direction_says_what_to_write(results) -> None:
    with pytest.raises(ResultsError, match="write maximize=False"):
        results.find_optimal_parameters("accuracy", "min")
    with pytest.raises(ResultsError, match="write maximize=True"):
        results.optimum([("accuracy", "max")], maximize="max")


@pytest.mark.parametrize("top", ["3", 2.5, True, None])
def test_how_many_are_wanted_is_a_whole_number(results, top) -> None:
    with pytest.raises(ResultsError, match="whole number, 1 or more"):
        results.find_optimal_parameters("accuracy", top=top)
