from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.errors import WorkflowError
from sciflow.workflow import ExperimentalWorkflow, StopAfter

counts = st.integers(0, 10**6)


def test_a_sweep_stops_when_as_many_variants_as_allowed_failed_in_the_same_way():
    stop = StopAfter(same_failure=3)

    assert stop.decide(0, 4, {"a1": 2, "b2": 2}) is None
    assert stop.decide(1000, 5, {"a1": 2, "b2": 3}) == (
        "3 variants failed in the same way (b2), and stop_after allows less than 3"
    )


def test_a_sweep_stops_when_the_part_that_failed_is_too_large():
    stop = StopAfter(failure_rate=0.5, min_variants=10)

    assert stop.decide(6, 5, {}) is None
    assert stop.decide(5, 5, {}) == "5 of 10 variants failed (50 %), and stop_after allows less than 50 %"


def test_a_rate_says_nothing_before_enough_variants_have_finished():
    assert StopAfter(failure_rate=0.1, min_variants=20).decide(0, 19, {"a1": 19}) is None


def test_a_failure_that_many_share_stops_a_sweep_before_the_rate_counts():
    assert StopAfter(same_failure=5, failure_rate=0.1).decide(0, 5, {"a1": 5}) is not None


@given(counts, st.floats(0, 1, exclude_min=True), st.integers(1, 100))
def test_a_sweep_without_failures_never_stops(n_done, rate, least):
    assert StopAfter(same_failure=1, failure_rate=rate, min_variants=least).decide(n_done, 0, {}) is None


@given(counts, counts, counts, st.floats(0, 1, exclude_min=True))
def test_more_failures_never_turn_a_stop_into_going_on(n_done, n_failed, more, rate):
    stop = StopAfter(failure_rate=rate)

    assert stop.decide(n_done, n_failed, {}) is None or stop.decide(n_done, n_failed + more, {}) is not None


def test_a_stop_travels_and_belongs_to_the_definition():
    stop = StopAfter(same_failure=20, failure_rate=0.5)
    workflow = ExperimentalWorkflow("study", stop_after=stop)
    workflow.add_task("run", lambda: 1)

    definition = workflow.validate()

    assert pickle.loads(pickle.dumps(stop)) == stop == workflow.stop_after == definition.stop_after
    assert json.loads(json.dumps(definition.to_dict()))["stop_after"] == {
        "same_failure": 20,
        "failure_rate": 0.5,
        "min_variants": 20,
    }


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({}, "StopAfter needs same_failure=20, failure_rate=0.5, or both"),
        ({"same_failure": 0}, "same_failure must be a whole number of at least 1, not 0"),
        ({"same_failure": 2.5}, "same_failure must be a whole number"),
        ({"same_failure": True}, "same_failure must be a whole number"),
        ({"failure_rate": 0}, "failure_rate must be above 0 and at most 1, such as 0.5, not 0"),
        ({"failure_rate": 50}, "not 50"),
        ({"failure_rate": float("nan")}, "not nan"),
        ({"failure_rate": "half"}, "not 'half'"),
        ({"failure_rate": True}, "not True"),
        ({"failure_rate": 0.5, "min_variants": 0}, "min_variants must be a whole number of at least 1, not 0"),
        ({"failure_rate": 0.5, "min_variants": None}, "min_variants must be a whole number of at least 1, not None"),
    ],
)
def test_a_stop_that_means_nothing_is_refused(given_, told):
    with pytest.raises(WorkflowError, match=told):
        StopAfter(**given_)


def test_a_workflow_stops_after_a_stop_after_alone():
    with pytest.raises(WorkflowError, match=r"stop_after of 'study' is a sciflow.StopAfter\(same_failure=20\), not 20"):
        ExperimentalWorkflow("study", stop_after=20)
