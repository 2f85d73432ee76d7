"""What a task asks for beyond being called: retries, limits, what stands in, when it runs, and how it is undone."""

from __future__ import annotations

import copy
import functools
import json
import math
import pickle

import numpy as np
import pytest

from sciflow.errors import BindingError, OutputError, WorkflowError
from sciflow.provenance.fingerprint import fingerprint
from sciflow.space import Grid, Replicates
from sciflow.workflow import (
    SKIP,
    ExperimentalWorkflow,
    FromContext,
    FromOutput,
    FromParameter,
    FromTask,
    FromUpstream,
    Retry,
    Value,
    settle_upstream,
)

SPACE = Grid(rate=[0.1, 0.2], size=[1, 2])


def prepare(rate):
    return {"path": f"run-{rate}"}


def train(rate):
    return {"loss": rate}


def workflow_of(
    function, *, depends_on=(), space=SPACE, outputs=(), before=prepare, **policies
) -> ExperimentalWorkflow:
    """A workflow in which *function* is the task ``last``, after tasks that all are *before*."""
    workflow = ExperimentalWorkflow("study")
    for name in depends_on:
        workflow.add_task(name, before)
    workflow.add_task("last", function, depends_on, outputs=outputs, **policies)
    workflow.add_parameter_space(space)
    return workflow


def step_of(function, **others):
    return workflow_of(function, **others).validate().steps[-1]


def sources(step):
    return {argument.name: argument.source for argument in step.arguments}


# ---------------------------------------------------------------------------------------------- definitions

RATE = [{"name": "rate", "keyword": False, "source": {"from": "parameter", "name": "rate", "optional": False}}]


def test_a_task_that_asks_for_nothing_is_described_as_ever():
    workflow = workflow_of(train)
    workflow.set_resource_requirements({"last": {"max_runtime_hours": 1}})

    description = workflow.validate().to_dict()

    assert description["tasks"] == [
        {
            "name": "last",
            "function": "train",
            "depends_on": [],
            "outputs": [],
            "units": {},
            "deterministic": False,
            "sink": True,
            "footprint": ["rate"],
            "arguments": RATE,
        }
    ]
    assert "stop_after" not in description


def test_what_a_task_asks_for_is_part_of_the_definition():
    workflow = workflow_of(
        train,
        retry=2,
        timeout="2h",
        fallback={"loss": math.nan},
        condition="size > 1",
        undo=lambda rate: None,
        cache=True,
    )
    definition = workflow.validate()

    told = definition.to_dict()["tasks"][0]

    assert json.loads(json.dumps(told)) == told
    assert told["retry"]["attempts"] == 2
    assert told["timeout_s"] == 7200
    assert told["fallback"] == {"value": "{'loss': nan}"}
    assert told["condition"]["text"] == "size > 1"
    assert told["undo"]["function"].endswith("<lambda>")
    assert told["cache"] is True


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ({"critical": False}, {"skip": True}),
        ({"fallback": SKIP}, {"skip": True}),
        ({"fallback": 0.5}, {"value": "0.5"}),
        ({"fallback": object()}, {"value": "object"}),
        ({"fallback": prepare}, {"function": "prepare", "arguments": RATE}),
    ],
)
def test_what_stands_in_is_described_the_same_in_every_process(policies, told):
    assert step_of(train, **policies).to_dict()["fallback"] == told


def test_a_definition_with_policies_hashes_and_travels():
    workflow = workflow_of(
        train, retry=Retry(on=OSError), fallback={"loss": [1.0]}, condition="rate > 0", undo=prepare, timeout=3
    )
    definition = workflow.validate()

    returned = pickle.loads(pickle.dumps(definition))

    assert returned == definition
    assert hash(returned) == hash(definition)


def test_skip_is_one_thing_in_every_process():
    assert pickle.loads(pickle.dumps(SKIP)) is SKIP
    assert copy.deepcopy(SKIP) is SKIP
    assert repr(SKIP) == "SKIP"


# ---------------------------------------------------------------------------------------- retry, timeout, fallback


def test_a_number_of_attempts_is_a_retry():
    assert step_of(train, retry=4).task.retry == Retry(attempts=4)


def test_of_a_timeout_and_the_runtime_of_the_resources_the_smaller_holds():
    limits = {"2h": 3600, "10 min": 600, None: 3600}
    found = {}
    for timeout in limits:
        workflow = workflow_of(train, timeout=timeout)
        workflow.set_resource_requirements({"last": {"max_runtime_hours": 1}})
        found[timeout] = workflow.validate().steps[-1].timeout_s

    assert found == limits
    assert step_of(train, timeout=2.5).timeout_s == 2.5
    assert step_of(train).timeout_s is None


def test_a_task_that_is_not_critical_has_skip_to_stand_in():
    assert step_of(train, critical=False) == step_of(train, fallback=SKIP)
    assert step_of(train, critical=False).fallback is SKIP
    assert step_of(train).task.critical
    assert not step_of(train, critical=False).task.critical


def test_a_value_stands_in_as_it_is():
    array = np.zeros(3)

    assert step_of(train, fallback={"loss": array}).fallback.value["loss"] is array
    assert step_of(train, fallback=False).fallback == Value(value=False)


def test_a_function_that_stands_in_is_bound_like_the_task():
    step = step_of(train, depends_on=["first"], fallback=lambda path, size, context: 0)

    assert sources(step.fallback) == {
        "path": FromUpstream(("first",), "first"),
        "size": FromParameter("size"),
        "context": FromContext(),
    }


def test_the_explicit_sources_of_a_task_hold_for_the_functions_beside_it():
    step = step_of(
        lambda lr, other: None,
        arguments={"lr": "rate", "other": "size"},
        fallback=lambda lr: lr,
        condition=lambda other: other > 1,
        undo=lambda lr, other: None,
    )

    assert sources(step.fallback) == {"lr": FromParameter("rate")}
    assert sources(step.condition) == {"other": FromParameter("size")}
    assert sources(step.undo) == {"lr": FromParameter("rate"), "other": FromParameter("size")}


def test_an_explicit_source_may_be_meant_for_a_function_beside_the_task_alone():
    step = step_of(train, undo=lambda made, why: None, arguments={"why": "size"})

    assert sources(step) == {"rate": FromParameter("rate")}
    assert sources(step.undo)["why"] == FromParameter("size")


# ---------------------------------------------------------------------------------------------------- condition


def test_a_condition_is_bound_like_the_task():
    step = step_of(train, depends_on=["first"], condition=lambda size, first: size > 1)

    assert sources(step.condition) == {"size": FromParameter("size"), "first": FromTask("first")}


def test_a_condition_as_text_takes_its_names_from_parameters_and_dependencies():
    step = step_of(train, depends_on=["first"], before=train, condition="size > 1 and loss < 0.15")

    settled = settle_upstream(step.condition, {"first": {"loss": 0.1}})

    assert sources(settled) == {"size": FromParameter("size"), "loss": FromOutput("first", "loss")}
    assert step.condition.task.function(size=2, loss=0.1) is True
    assert step.condition.task.function(size=2, loss=0.2) is False


def test_a_name_in_a_text_does_not_take_a_whole_value_that_has_another_name():
    step = step_of(train, depends_on=["first"], condition="los < 1")

    with pytest.raises(BindingError, match=r"condition 'los < 1' names 'los', .*first: a mapping with loss.*'loss'"):
        settle_upstream(step.condition, {"first": {"loss": 0.1}})


def test_a_text_may_compare_what_a_dependency_returned_by_the_name_of_the_task():
    step = step_of(train, depends_on=["first"], condition="first > 1")

    assert sources(step.condition) == {"first": FromTask("first")}


def test_a_comparison_with_a_parameter_that_a_variant_lacks_does_not_hold():
    space = Grid(kind=["a"], depth=[1]) | Grid(kind=["b"])
    condition = step_of(lambda kind: kind, space=space, condition="depth > 0").condition

    assert sources(condition) == {"depth": FromParameter("depth", optional=True)}
    assert condition.task.function(depth=1) is True
    assert condition.task.function() is False


# --------------------------------------------------------------------------------------------------------- undo


def test_an_undo_takes_what_the_task_returned_by_the_name_of_the_task():
    assert sources(step_of(train, undo=lambda last: None).undo) == {"last": FromTask("last")}


def test_an_undo_takes_a_declared_output_of_the_task():
    step = step_of(train, outputs=["loss"], undo=lambda loss: None)

    assert sources(step.undo) == {"loss": FromOutput("last", "loss")}


def test_an_undo_takes_a_key_of_what_the_task_returned():
    undo = step_of(train, undo=lambda loss, rate, context: None).undo

    assert sources(settle_upstream(undo, {"last": {"loss": 1.0}})) == {
        "loss": FromOutput("last", "loss"),
        "rate": FromParameter("rate"),
        "context": FromContext(),
    }


def test_the_one_argument_left_over_of_an_undo_is_what_the_task_returned_whatever_came_before():
    undo = step_of(train, depends_on=["first", "second"], undo=lambda made: None).undo

    assert undo.task.depends_on == ("first", "second", "last")
    settled = settle_upstream(undo, {"first": 1, "second": 2, "last": 3})
    assert sources(settled) == {"made": FromTask("last")}


def test_an_undo_without_arguments_is_called_without():
    assert step_of(train, undo=lambda: None).undo.arguments == ()


# ---------------------------------------------------------------------------------------------------- footprint


def test_what_a_condition_or_a_fallback_needs_belongs_to_the_footprint():
    assert step_of(train).footprint == ("rate",)
    assert step_of(train, condition="size > 1").footprint == ("rate", "size")
    assert step_of(train, fallback=lambda size: size).footprint == ("rate", "size")
    assert step_of(train, condition=lambda context: True).footprint == ("rate", "size")


def test_a_task_that_can_be_undone_runs_for_each_variant():
    assert step_of(train, undo=lambda size: None).footprint == ("rate", "size")


def test_the_footprint_of_a_condition_is_inherited_by_dependents():
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("first", train, condition="size > 1")
    workflow.add_task("second", lambda first: first, "first")
    workflow.add_parameter_space(SPACE)

    assert [step.footprint for step in workflow.validate().steps] == [("rate", "size")] * 2


def test_functions_beside_a_deterministic_task_leave_replicates_together():
    space = SPACE * Replicates(3)

    assert step_of(train, space=space, condition="size > 1", deterministic=True).footprint == ("rate", "size")
    assert step_of(train, space=space, condition="size > 1").footprint == ("rate", "size", "replicate")


# ------------------------------------------------------------------------------------------------- fingerprints


def test_the_code_of_a_task_is_all_that_may_be_called_for_it():
    condition, fallback, undo = (lambda: True), (lambda: 0), (lambda: None)

    step = step_of(train, condition=condition, fallback=fallback, undo=undo, retry=3, timeout=1)

    assert step.functions() == (train, condition, fallback, undo)
    assert step_of(train, retry=3, timeout=1, fallback=0.5, cache=True).functions() == (train,)
    assert fingerprint(*step_of(train).functions()) == fingerprint(train)


def test_another_condition_is_other_code():
    def code(condition):
        return fingerprint(*step_of(train, condition=condition).functions())

    assert code("size > 1") == code("size > 1")
    assert len({code(None), code("size > 1"), code("size > 2"), code(lambda size: size > 1)}) == 4


# ---------------------------------------------------------------------------------------------------- bad input


async def coroutine(rate):
    return rate


async def async_generator(rate):
    yield rate


def generator(rate):
    yield rate


class CallableGenerator:
    def __call__(self, rate):
        yield rate


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (coroutine, r"coroutine is a coroutine function, .*asyncio.run\(coroutine"),
        (functools.partial(coroutine, 1), "coroutine is a coroutine function"),
        (generator, "generator is a generator function, .*return all values at once"),
        (async_generator, "async_generator is a generator function"),
        (CallableGenerator(), "CallableGenerator is a generator function"),
    ],
)
@pytest.mark.parametrize("role", ["", "condition", "undo", "fallback"])
def test_functions_that_return_before_they_ran_are_refused_with_a_remedy(function, told, role):
    role_told = f"task 'last': {role}: {told}" if role else f"task 'last': {told}"
    with pytest.raises(WorkflowError, match=role_told):
        workflow_of(train if role else function, **({role: function} if role else {}))


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ({"retry": 0}, "task 'last': Retry: attempts must be a whole number of at least 1, not 0"),
        ({"retry": True}, "retry is a sciflow.Retry or a number of attempts, not True"),
        ({"retry": "often"}, "retry is a sciflow.Retry or a number of attempts, not 'often'"),
        ({"timeout": -1}, "timeout: a duration must be a finite number of at least 0"),
        ({"timeout": True}, "timeout: a duration must be a finite number"),
        ({"timeout": "long"}, "timeout: duration 'long' is not understood; write it as '2h'"),
        ({"timeout": 0}, "a timeout of 0 s lets nothing run; leave it out for no limit"),
        ({"timeout": float("inf")}, "timeout: a duration must be a finite number"),
        ({"critical": False, "fallback": 0.0}, "has a fallback and critical=False, .*choose one"),
        ({"critical": None}, "critical is True or False, not None"),
        ({"cache": "yes"}, "cache is True or False, not 'yes'"),
        ({"undo": "rm -r"}, "task 'last': undo needs a function, not 'rm -r'"),
        ({"condition": True}, "condition is a function or a text such as 'size > 8', not True"),
        ({"condition": "size >"}, "task 'last': condition: 'size >' is not an expression"),
        ({"condition": "print(size)"}, "condition: in 'print.size.' the piece .* calls a function"),
        ({"condition": "last.loss < 1"}, "condition: .*reads an attribute"),
        ({"condition": "1 < 2"}, "the condition '1 < 2' names no parameter and no output"),
        ({"condition": "context > 1"}, "a condition that needs the context is a function"),
    ],
)
def test_a_policy_that_means_nothing_is_refused_when_the_task_is_added(policies, told):
    with pytest.raises(WorkflowError, match=told):
        workflow_of(train, **policies)


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        (
            {"fallback": {"accuracy": 0.0}, "outputs": ["loss"]},
            "declares the output 'loss', which its fallback .* lacks",
        ),
        ({"fallback": 0.0, "outputs": ["loss"]}, "declares the output 'loss', which its fallback 0.0 lacks"),
        ({"fallback": {"status": 0.0}}, "cannot have an output named 'status'"),
        ({"fallback": {1: 0.0}}, "the fallback names its outputs by texts, not 1"),
    ],
)
def test_a_value_that_cannot_stand_in_is_refused_when_the_task_is_added(policies, told):
    with pytest.raises(OutputError, match=told):
        workflow_of(train, **policies)


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        (
            {"condition": "sise > 1"},
            r"condition 'sise > 1' names 'sise', .*parameters rate, size; .*did you mean 'size'",
        ),
        ({"condition": lambda sise: True}, "the condition of task 'last': nothing provides argument 'sise'"),
        ({"fallback": lambda sise: 0}, "the fallback of task 'last': nothing provides argument 'sise'.*'size'"),
        ({"undo": lambda a: None, "arguments": {"b": "rate"}}, "arguments= names 'b', which train does not take"),
        ({"undo": lambda a: 0, "arguments": {"a": "sise"}, "depends_on": ["first"]}, "undo of .* come from 'sise'"),
    ],
)
def test_a_function_beside_a_task_that_asks_for_what_nothing_provides_is_refused(policies, told):
    with pytest.raises(BindingError, match=told):
        workflow_of(train, **policies).validate()


def test_an_undo_that_asks_for_two_things_that_nothing_provides_is_refused_once_the_task_returned():
    undo = step_of(train, undo=lambda made, other: None).undo

    with pytest.raises(BindingError, match="nothing provides argument 'other'; its dependencies returned last: int"):
        settle_upstream(undo, {"last": 1})
