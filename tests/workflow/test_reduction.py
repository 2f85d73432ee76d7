from __future__ import annotations

import json

import pytest

from sciflow.errors import WorkflowError
from sciflow.space import Grid, Replicates, Zip
from sciflow.workflow import ExperimentalWorkflow, FromParameter, FromTask, FromUpstream
from sciflow.workflow.reduction import derived_along

SPACE = Grid(rate=[0.1, 0.2], size=[1, 2]) * Replicates(3)


def simulate(rate, size):
    return {"energy": rate * size}


def curve(energy):
    return {"mean": energy.mean()}


def workflow_of(function=curve, over="replicate", *, space=SPACE, depends_on=("simulate",), **others):
    workflow = ExperimentalWorkflow("study")
    workflow.add_task("simulate", simulate)
    workflow.add_task("curve", function, depends_on, over=over, **others)
    workflow.add_parameter_space(space)
    return workflow


def reduction(*args, **others):
    return workflow_of(*args, **others).validate().steps[-1]


def test_a_reduction_runs_once_for_all_values_of_what_it_is_over():
    assert reduction().footprint == ("rate", "size")
    assert reduction(over=["size", "replicate"]).footprint == ("rate",)
    assert reduction(over=["rate", "size", "replicate"]).footprint == ()


def test_a_reduction_over_another_parameter_belongs_to_each_replicate():
    assert reduction(over="size").footprint == ("rate", "replicate")


def test_a_reduction_is_bound_as_any_task_and_may_take_the_axis_itself():
    step = reduction(lambda simulate, size: None, over=("size",))

    assert step.over == ("size",)
    assert {one.name: one.source for one in step.arguments} == {
        "simulate": FromTask("simulate"),
        "size": FromParameter("size"),
    }
    assert reduction().arguments[0].source == FromUpstream(("simulate",), "simulate")


def test_what_stands_in_for_a_reduction_does_not_split_it():
    step = reduction(over=["size", "replicate"], fallback=lambda size: {"mean": 0.0})

    assert step.footprint == ("rate",)
    assert step.fallback.over == ("size", "replicate")


def test_a_reduction_is_part_of_the_definition():
    told = workflow_of(over="replicate").validate().to_dict()["tasks"]

    assert json.loads(json.dumps(told))[1]["over"] == ["replicate"]
    assert "over" not in told[0]


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"over": "replicat"}, r"over 'replicat', which is no parameter; parameters are .*did you mean 'replicate'"),
        ({"over": "simulate"}, "over 'simulate', which is no parameter"),
        ({"depends_on": ()}, "reduction over replicate of what other tasks returned; name those in depends_on"),
        ({"over": ["size", "size"]}, "over lists .'size'. more than once"),
        ({"over": 3}, "over lists names as text, not 3"),
        ({"condition": "size > 1"}, "a reduction over replicate and cannot have a condition"),
        ({"undo": lambda: None}, "a reduction over replicate and cannot have an undo"),
        ({"function": lambda context, energy: None}, "takes the context, but it has no variant of its own"),
        ({"fallback": lambda context: None}, "takes the context, but it has no variant of its own"),
    ],
)
def test_a_reduction_that_means_nothing_is_refused(others, told):
    with pytest.raises(WorkflowError, match=told):
        workflow_of(**others).validate()


def test_nothing_follows_a_reduction_for_now():
    workflow = workflow_of()
    workflow.add_task("report", lambda mean: mean, "curve")

    with pytest.raises(WorkflowError, match="'report' depends on 'curve', a reduction over replicate; for now nothing"):
        workflow.validate()


def test_a_reduction_along_which_a_derived_parameter_may_change_is_refused():
    space = Grid(rate=[0.1], size=[1, 2]).derive(area="size * size") * Replicates(3)

    assert reduction(lambda energy, area: None, over="replicate", space=space).footprint == ("rate", "size", "area")
    with pytest.raises(WorkflowError, match="along which the derived parameter 'area' may change"):
        reduction(lambda energy, area: None, over="size", space=space)
    with pytest.raises(WorkflowError, match=r"but 'area' is derived from other parameters; name those"):
        reduction(over="area", space=space)


def test_a_derived_parameter_changes_along_what_it_is_computed_from():
    space = Grid(a=[1, 2], b=[1], c=[0]).derive(d="a + b").derive(e="d * 2", f="c")

    assert derived_along(space, ["a"]) == {"d", "e"}
    assert derived_along(space, ["c"]) == {"f"}
    assert derived_along(space * Zip(x=[1]), ["x"]) == set()
    assert derived_along(space.where("d > 0"), ["c"]) == {"d", "e", "f"}, "what cannot be told counts"
