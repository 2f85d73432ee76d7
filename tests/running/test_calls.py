from __future__ import annotations

from itertools import permutations

import pytest

from sciflow.errors import BindingError
from sciflow.running.failure import TaskFailedError
from sciflow.running.run import VariantRunner
from sciflow.workflow import ExperimentalWorkflow


def runner(first, second, **policies) -> VariantRunner:
    workflow = ExperimentalWorkflow("w")
    workflow.add_task("first", first, **policies)
    workflow.add_task("second", second, "first")
    workflow.add_parameter_space({"a": [0, 1, 2]})
    return VariantRunner(workflow.validate())


def some_fail(a):
    if a == 0:
        raise ValueError(a)
    return {"loss": a}


def some_differ(a):
    return {"loss": a} if a else {"error": "diverged"}


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize(
    ("first", "policies", "at_0"),
    [(some_fail, {"fallback": -1.0}, -1.0), (some_differ, {}, {"error": "diverged"})],
)
def test_what_an_argument_is_bound_to_does_not_depend_on_which_variant_came_first(first, policies, at_0, order):
    run = runner(first, lambda loss: {"score": loss}, **policies).run

    assert {a: run((a,), 1)["score"] for a in order} == {0: at_0, 1: 1, 2: 2}


def test_an_argument_that_nothing_provides_for_one_variant_does_not_cost_the_others():
    run = runner(some_differ, lambda loss, first: {"score": loss}).run

    with pytest.raises(TaskFailedError) as caught:
        run((0,), 1)

    assert isinstance(caught.value.__cause__, BindingError)
    assert "nothing provides argument 'loss'; its dependencies returned first: a mapping with error" in str(
        caught.value.__cause__
    )
    assert run((1,), 1) == {"score": 1}
