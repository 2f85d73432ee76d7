from __future__ import annotations

import copy

from sciflow.workflow.workflow import ExperimentalWorkflow


def test_what_is_added_to_a_copy_is_not_in_the_original() -> None:
    workflow = ExperimentalWorkflow("one", seed=3)
    workflow.add_task("work", lambda a: a)
    workflow.add_parameter_space({"a": [1]})
    before = workflow.validate().to_dict()
    twin = copy.copy(workflow)
    assert twin.validate().to_dict() == before

    twin.add_parameter_space({"a": [2]})
    twin.add_parameter_space({"b": [2]})
    twin.add_task("more", lambda b: b)
    twin.set_success_criteria({"a": "> 0"})
    twin.add_visualization("map", {"type": "heatmap", "x_axis": "a", "y_axis": "b", "value": "work"})

    assert workflow.validate().to_dict() == before
