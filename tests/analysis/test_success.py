from __future__ import annotations

import pytest

from sciflow.analysis.results import open_results
from sciflow.errors import ResultsError, WorkflowError
from sciflow.space import Grid, Replicates
from sciflow.store import cells
from sciflow.testing.sweeps import known_outcome, known_outcome_workflow, record_outcomes


def test_each_variant_is_held_against_the_criteria_of_the_workflow(tmp_path) -> None:
    workflow = known_outcome_workflow()
    workflow.set_success_criteria({"accuracy": ">= 0.8", "energy": {"min": 5, "max": 20}})
    record_outcomes(tmp_path, workflow, known_outcome)

    found = open_results(tmp_path).success()

    frame = found.variants
    judged = {(row.learning_rate, row.layers, row.replicate): row.success for row in frame.itertuples()}
    assert judged[0.01, 2, 0] == "passed"
    assert judged[0.001, 2, 0] == "not passed"  # accuracy 0.5
    assert judged[0.01, 3, 0] == "not passed"  # energy 30
    assert judged[0.001, 1, 1] == "no result"  # missing
    assert judged[0.1, 3, 0] == "no result"  # failed
    assert judged[0.1, 1, 1] == "no result"  # NaN
    assert sum(found.counts.values()) == 18
    assert found.criteria.index.tolist() == ["accuracy >= 0.8", "energy >= 5", "energy <= 20"]
    assert found.criteria.loc["energy >= 5", ["passed", "not passed", "no result", "share"]].tolist() == [14, 0, 4, 1.0]
    assert not found.passed
    assert str(found).startswith(f"{found.counts['passed']} of 18 variants meet all criteria")


def test_criteria_can_be_asked_of_means_over_replicates(recorded) -> None:
    results = recorded({"a": [1, 2], "replicate": [0, 1]}, lambda v: {"y": v["a"] * 1.0 + v["replicate"]})

    found = results.success({"y": "> 1.2"}, over="replicate")

    assert found.variants["success"].tolist() == ["passed", "passed"]
    assert found.passed
    assert not results.success({"y": "> 1.2"}).passed


def test_criteria_that_are_not_there_or_not_understood_are_told(results) -> None:
    with pytest.raises(ResultsError, match="no success criteria; set them with"):
        results.success()
    with pytest.raises(ResultsError, match="no metric 'precision'"):
        results.success({"precision": "> 0"})
    with pytest.raises(WorkflowError, match="is not understood"):
        results.success({"accuracy": "good"})


def test_criteria_can_be_asked_of_some_variants(recorded) -> None:
    results = recorded({"a": [1, 2, 3], "replicate": [0, 1]}, lambda v: {"y": v["a"] * 1.0 + v["replicate"]})

    assert results.success({"y": "> 1.5"}, where="a > 1").passed
    assert results.success({"y": "> 1.5"}, where="a == 1").counts == {"passed": 1, "not passed": 1, "no result": 0}
    # of means, a condition on a metric is asked of means
    assert results.success({"y": "> 2"}, where="y > 2", over="replicate").variants["a"].tolist() == [2, 3]
    with pytest.raises(ResultsError, match="no variant satisfies 'a > 9'"):
        results.success({"y": "> 1"}, where="a > 9")


def test_a_mean_over_replicates_that_nobody_ran_is_not_judged(recorded, monkeypatch) -> None:
    monkeypatch.setattr(cells, "MOST_CELLS", 10)  # then only what is recorded is listed
    outcomes = {(1, 0), (1, 1), (1, 2), (2, 0)}
    results = recorded(
        Grid(a=range(20)) * Replicates(3), lambda v: {"y": 1.0} if (v["a"], v["replicate"]) in outcomes else None
    )

    found = results.success({"y": "> 0"}, over="replicate")

    assert found.variants["success"].tolist() == ["passed", "no result"]
