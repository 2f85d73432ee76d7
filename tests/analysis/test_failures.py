from __future__ import annotations

import pytest

from sciflow.analysis.failures import shared_message
from sciflow.running.failure import Failure
from sciflow.space import Points


def failing(condition, message="boom"):
    def outcome(variant):
        if condition(variant):
            return Failure.of(ValueError(message), "work")
        return {"y": 1.0}

    return outcome


def test_failures_are_grouped_by_reason_the_most_frequent_first(results) -> None:
    table = results.failures()

    assert table["count"].tolist() == [2, 1]
    assert table.type.tolist() == ["FloatingPointError", "RuntimeError"]
    assert table.task.tolist() == ["train", "train"]
    assert table.message.tolist() == ["the loss is not finite", "no more memory"]
    assert 'raise FloatingPointError("the loss is not finite")' in table.traceback[0]
    first = results.to_dataframe().loc[table.example[0]]
    assert (first.status, first.learning_rate, first.layers) == ("failed", 0.1, 3)


def test_two_values_that_only_the_failed_have_together_are_told(results) -> None:
    assert results.failures().separated_by.tolist() == ["learning_rate = 0.1 and layers = 3", ""]


@pytest.mark.parametrize(
    ("space", "condition", "told"),
    [
        ({"a": [1, 2, 3, 4], "b": [0, 1]}, lambda v: v["a"] >= 3, "a >= 3"),
        ({"a": [1, 2, 3, 4], "b": [0, 1]}, lambda v: v["a"] < 3, "a <= 2"),
        ({"a": [1, 2, 3, 4], "b": [0, 1]}, lambda v: v["a"] == 2, "a = 2"),
        ({"a": [1, 2, 3, 4], "b": [0, 1]}, lambda v: v["a"] in {1, 3}, "a in {1, 3}"),
        ({"a": ["x", "y", "z"], "b": [0, 1]}, lambda v: v["a"] != "y", "a in {x, z}"),
        ({"a": ["x", "y"], "b": [0, 1]}, lambda v: v["a"] == "x" or v["b"] == 1, "a = x (2 of 3); b = 1 (2 of 3)"),
        ({"a": [True, False], "b": [0, 1]}, lambda v: v["a"], "a = True"),
        ({"a": [1, 2], "b": [0, 1]}, lambda _: True, ""),
        ({"a": [1, 2, 3], "b": [0, 1, 2]}, lambda v: v["a"] == 1 and v["b"] == 1, ""),
    ],
)
def test_values_that_only_failed_variants_have_are_told(recorded, space, condition, told) -> None:
    assert recorded(space, failing(condition)).failures().separated_by.tolist() == [told]


def test_a_bound_and_a_value_together_are_told(recorded) -> None:
    space = {"dt": [0.1, 0.2, 0.3, 0.4], "scheme": ["euler", "rk4"]}

    failures = recorded(space, failing(lambda v: v["scheme"] == "euler" and v["dt"] >= 0.3)).failures()

    assert failures.separated_by.tolist() == ["scheme = euler and dt >= 0.3"]
    assert failures.in_common.tolist() == [""]


def test_what_all_failures_have_in_common_is_told_with_the_done_ones_that_have_it_too(recorded) -> None:
    space = {"dt": [0.1, 0.2, 0.3, 0.4], "scheme": ["euler", "rk4"], "zeta": [1, 2, 3]}
    failing_ones = {(0.3, 1), (0.4, 2), (0.3, 3), (0.4, 1)}

    failures = recorded(
        space, failing(lambda v: v["scheme"] == "euler" and (v["dt"], v["zeta"]) in failing_ones)
    ).failures()

    assert failures.separated_by.tolist() == [""]
    assert failures.in_common.tolist() == [
        "all have scheme = euler and dt >= 0.3, which 2 variants that are done have too"
    ]


@pytest.mark.parametrize(
    ("messages", "shared"),
    [
        (["no", "no"], "no"),
        (["unstable at step 120", "unstable at step 133"], "unstable at step …"),
        (["x = 1.25e-3 is too large", "x = 1.25e-4 is too large"], "x = … is too large"),
        (["12 left", "7 left"], "… left"),
        (["one thing", "another matter"], "e.g. one thing"),
        (["aa", "a"], "e.g. aa"),
    ],
)
def test_of_messages_that_differ_what_they_share_is_told(messages, shared) -> None:
    assert shared_message(messages) == shared


def test_a_parameter_with_a_value_of_its_own_for_each_variant_tells_nothing(recorded) -> None:
    space = Points([{"x": k * 7.3 % 20} for k in range(40)])

    assert recorded(space, failing(lambda v: int(v["x"]) % 2)).failures().separated_by.tolist() == [""]


def test_parameters_that_some_variants_lack_do_not_confuse_it(recorded) -> None:
    space = Points([{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2}, {"a": 3}])

    assert recorded(space, failing(lambda v: "b" in v)).failures().separated_by.tolist() == ["a = 1; b in {1, 2}"]


def test_a_sweep_without_failures_has_an_empty_table(recorded) -> None:
    table = recorded({"a": [1]}, failing(lambda _: False)).failures()

    assert table.empty
    assert "count" in table.columns


def test_failures_that_a_later_attempt_mended_are_gone(tmp_path) -> None:
    from sciflow.analysis.results import open_results
    from sciflow.testing.sweeps import known_outcome_workflow, record_outcomes, train

    workflow = known_outcome_workflow()
    record_outcomes(tmp_path, workflow, failing(lambda v: v["layers"] == 1))
    record_outcomes(tmp_path, workflow, lambda v: train(**{**v, "layers": 1}) if v["layers"] == 1 else None, attempt=2)

    results = open_results(tmp_path)

    assert results.failures().empty
    assert results.status()["failed"] == 0
    assert results.dataset.attempt.sel(layers=1).values.tolist() == [[2, 2]] * 3


def test_a_long_list_of_values_is_not_listed(recorded) -> None:
    space = {"a": [f"s{k}" for k in range(20)], "b": [0, 1]}

    assert recorded(space, failing(lambda v: int(v["a"][1:]) % 2)).failures().separated_by.tolist() == [""]
