from __future__ import annotations

import math

import pytest

from sciflow.errors import WorkflowError
from sciflow.workflow.workflow import ExperimentalWorkflow


def square(a):
    return {"energy": a * a}


def workflow() -> ExperimentalWorkflow:
    made = ExperimentalWorkflow("squares")
    made.add_task("square", square)
    made.add_parameter_space({"a": [1, 2]})
    return made


def test_a_tolerance_is_part_of_the_definition_and_of_nothing_else() -> None:
    plain, tolerant = workflow(), workflow()
    tolerant.set_tolerance("energy", rtol=1e-6)
    tolerant.set_tolerance("energy", rtol=1e-3, atol=1)

    stored = tolerant.validate().to_dict()

    assert stored.pop("tolerances") == {"energy": {"rtol": 1e-3, "atol": 1.0}}
    assert stored == plain.validate().to_dict()


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, "1e-3", True, None])
def test_what_is_no_tolerance_is_refused(wrong) -> None:
    with pytest.raises(WorkflowError, match="rtol of the tolerance of 'energy'"):
        workflow().set_tolerance("energy", rtol=wrong)
    with pytest.raises(WorkflowError, match="named by a text"):
        workflow().set_tolerance(3, rtol=1e-3)


def test_a_tolerance_that_is_set_later_makes_no_result_stale(tmp_path) -> None:
    import sciflow

    engine = sciflow.Engine("inline", directory=tmp_path, progress=False, policy="immediate")
    made = workflow()
    engine.execute_parameter_sweep(made)
    made.set_tolerance("energy", rtol=1e-3)

    plan = engine.plan(made)

    assert (plan.n_todo, len(plan.progress.stale)) == (0, 0)


def test_only_takes_ids_as_well_as_a_condition(tmp_path) -> None:
    import sciflow

    engine = sciflow.Engine("inline", directory=tmp_path, progress=False, policy="immediate")
    made = workflow()
    chosen = made.space[1]

    results = engine.execute_parameter_sweep(made, only=f"{chosen.id}, v{'0' * 20}")

    assert results.status() == {"done": 1, "failed": 0, "missing": 1}
    assert results.get_metric(chosen, "energy") == 4
