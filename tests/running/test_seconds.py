from __future__ import annotations

import numpy as np

from sciflow.running.run import VariantRunner
from sciflow.workflow.workflow import ExperimentalWorkflow


def runner_of(load, use):
    workflow = ExperimentalWorkflow("w")
    workflow.add_task("load", load)
    workflow.add_task("use", use, depends_on=["load"])
    workflow.add_parameter_space({"dataset": ["a", "b"], "k": [1, 2, 3]})
    definition = workflow.validate()
    return VariantRunner(definition, shared={"load"}), definition.space


def test_a_shared_run_has_seconds_in_the_variant_that_did_it_alone():
    runner, space = runner_of(lambda dataset: dataset, lambda load, k: k)
    rows = np.arange(6)

    list(runner.outcomes(space.take(rows), rows, 1, careful=False))
    seconds = runner.take_seconds(6)

    assert np.isfinite(seconds["load"]).tolist() == [True, False, False, True, False, False]
    assert np.isfinite(seconds["use"]).all()


def test_seconds_of_a_later_stretch_do_not_know_the_runs_of_an_earlier_one():
    runner, space = runner_of(lambda dataset: dataset, lambda load, k: k)
    rows = np.arange(6)
    iterator = runner.outcomes(space.take(rows), rows, 1, careful=False)

    stretches = []
    for n in (2, 4):
        for _ in range(n):
            next(iterator)
        stretches.append(np.isfinite(runner.take_seconds(n)["load"]).tolist())

    assert stretches == [[True, False], [False, True, False, False]]


def test_a_value_kept_for_others_is_no_variant_s_run():
    runner, space = runner_of(lambda dataset: dataset, lambda load, k: k)
    runner.keep(space.take(np.array([0])), "load")
    rows = np.arange(3, 6)

    list(runner.outcomes(space.take(rows), rows, 1, careful=False))

    assert np.isfinite(runner.take_seconds(3)["load"]).tolist() == [True, False, False]
