"""Frozen mappings, resources, criteria and the order of tasks."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.errors import CycleError, WorkflowError
from sciflow.workflow.criteria import Criterion, parse_criteria
from sciflow.workflow.frozen import FrozenMapping
from sciflow.workflow.graph import order_tasks
from sciflow.workflow.resources import Resources, parse_resources


def test_a_frozen_mapping_equals_hashes_and_pickles_by_its_items():
    mapping = FrozenMapping({"b": 2, "a": 1})
    copy = pickle.loads(pickle.dumps(mapping))

    assert mapping == {"a": 1, "b": 2} == copy
    assert list(mapping) == ["b", "a"]
    assert len(mapping) == 2
    assert hash(mapping) == hash(FrozenMapping({"a": 1, "b": 2})) == hash(copy)
    assert repr(mapping) == "FrozenMapping({'b': 2, 'a': 1})"


def test_a_frozen_mapping_does_not_change():
    mapping = FrozenMapping({"a": 1})

    with pytest.raises(AttributeError, match="make a new one"):
        mapping.a = 2
    with pytest.raises(TypeError):
        mapping["a"] = 2


def test_requirements_become_whole_cores_bytes_devices_and_seconds():
    needs = {"cpu_cores": 4, "memory_gb": 8, "gpu": True, "max_runtime_hours": 12}

    assert parse_resources("train", needs) == Resources(4, 8 * 10**9, 1, 43200)


def test_a_task_that_asks_for_little_gets_one_core_and_no_limits():
    assert parse_resources("train", {}) == Resources(cores=1, memory_bytes=None, gpus=0, max_runtime_s=None)
    assert parse_resources("train", {"gpu": 2, "memory_gb": 0.5}) == Resources(memory_bytes=500_000_000, gpus=2)


@pytest.mark.parametrize(
    ("needs", "says"),
    [
        ({"cores": 4}, "unknown resources 'cores'; known are cpu_cores, memory_gb, gpu, max_runtime_hours"),
        ({"memory": 4}, "did you mean 'memory_gb'?"),
        ({"cpu_cores": 0}, "cpu_cores must be a whole number of at least 1, not 0"),
        ({"cpu_cores": 1.5}, "cpu_cores"),
        ({"cpu_cores": True}, "cpu_cores"),
        ({"memory_gb": "8"}, "memory_gb must be a finite number above 0, not '8'"),
        ({"memory_gb": None}, "memory_gb"),
        ({"memory_gb": math.nan}, "memory_gb"),
        ({"gpu": "yes"}, "gpu must be True, False or a number of GPUs, not 'yes'"),
        ({"gpu": -1}, "gpu"),
        ({"max_runtime_hours": 0}, "max_runtime_hours"),
        ({"max_runtime_hours": math.inf}, "max_runtime_hours"),
        (4, "a mapping such as {'cpu_cores': 4}"),
    ],
)
def test_requirements_that_are_not_understood_name_the_task_and_the_value(needs, says):
    with pytest.raises(WorkflowError) as caught:
        parse_resources("train", needs)

    assert says in str(caught.value)
    assert "'train'" in str(caught.value)


def test_criteria_are_comparisons_or_bounds():
    assert parse_criteria({"accuracy": ">= 0.9", "loss": {"max": 1, "min": 0}}) == (
        Criterion("accuracy", ">=", 0.9),
        Criterion("loss", ">=", 0.0),
        Criterion("loss", "<=", 1.0),
    )


@pytest.mark.parametrize(
    ("relation", "passing", "failing"),
    [(">=", 1, 0.9), ("<=", 1, 1.1), ("==", 1, 2), ("!=", 2, 1), (">", 1.1, 1), ("<", 0.9, 1)],
)
def test_a_criterion_holds_when_its_comparison_does(relation, passing, failing):
    (criterion,) = parse_criteria({"x": f"{relation}1"})

    assert criterion.holds(passing)
    assert not criterion.holds(failing)
    assert not criterion.holds(math.nan)
    assert str(criterion) == f"x {relation} 1"
    assert criterion.to_dict() == {"metric": "x", "relation": relation, "limit": 1.0}


@pytest.mark.parametrize(
    "criterion",
    ["0.9", ">= good", "=> 0.9", ">= nan", {}, {"minimum": 1}, {"min": True}, {"min": None}, {"min": 2, "max": 1}, 3],
)
def test_a_criterion_that_is_not_understood_names_the_metric(criterion):
    with pytest.raises(WorkflowError, match="success criterion"):
        parse_criteria({"accuracy": criterion})


def test_criteria_must_be_a_mapping():
    with pytest.raises(WorkflowError, match="a mapping"):
        parse_criteria("accuracy >= 0.9")


def test_tasks_keep_their_order_unless_a_dependency_says_otherwise():
    assert order_tasks({"c": ["a"], "b": [], "a": ["b"], "d": []}) == ("b", "a", "c", "d")


@pytest.mark.parametrize(
    ("depends_on", "circle"),
    [
        ({"a": ["a"]}, "a → a"),
        ({"a": ["c"], "b": ["a"], "c": ["b"]}, "a → b → c → a"),
        ({"x": [], "late": ["b"], "a": ["b", "x"], "b": ["a"]}, "a → b → a"),
    ],
)
def test_a_circle_of_tasks_is_drawn_as_a_path(depends_on, circle):
    with pytest.raises(CycleError) as caught:
        order_tasks(depends_on)

    assert f": {circle};" in str(caught.value)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_in_every_order_dependencies_come_first_and_nothing_is_lost(edges):
    depends_on = {str(k): sorted({str(min(e)) for e in edges if max(e) == k and min(e) != k}) for k in range(10)}

    order = order_tasks(depends_on)

    assert sorted(order) == sorted(depends_on)
    assert all(order.index(before) < order.index(name) for name, befores in depends_on.items() for before in befores)
