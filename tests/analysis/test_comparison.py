from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sciflow.analysis.comparison import _Permuted
from sciflow.errors import ResultsError
from sciflow.space import Grid, Replicates

NOISE = np.random.default_rng(7).normal(size=(2, 12, 3))


def optimizers(recorded, gain: float = 0.5, **more):
    """The optimizer adds little to what the rate does."""
    return recorded(
        Grid(opt=["adam", "sgd"], rate=range(12)) * Replicates(3),
        lambda v: {
            "y": 10.0 * v["rate"]
            + gain * (v["opt"] == "adam")
            + 0.1 * float(NOISE[int(v["opt"] == "sgd"), v["rate"], v["replicate"]]),
            "same": float(v["rate"]),
        },
        **more,
    )


def test_conditions_are_compared_in_pairs_of_what_else_is_equal(recorded) -> None:
    results = optimizers(recorded)

    table = results.compare(a="opt == 'adam'", b="opt == 'sgd'")

    row = table.loc["y"]
    means = NOISE.mean(axis=2) * 0.1
    differences = 0.5 + means[0] - means[1]
    assert (row["n_a"], row["n_b"], row["n_pairs"]) == (12, 12, 12)
    assert row["difference"] == pytest.approx(differences.mean())
    assert row["effect_size"] == pytest.approx(differences.mean() / differences.std(ddof=1))
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    of_t = results.compare(a="opt == 'adam'", b="opt == 'sgd'", test="t").loc["y"]
    assert (of_t["ci_low"], of_t["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected.low, expected.high), rel=0.05)
    assert row["p_value"] < 0.001
    # pairing is what makes it visible: between rates y differs by 100
    assert table.loc["same", ["difference", "effect_size", "p_value"]].tolist() == [0, 0, 1]
    assert row["p_adjusted"] == pytest.approx(2 * row["p_value"])


@pytest.mark.parametrize(
    ("test", "name"), [("t", "paired t"), ("wilcoxon", "Wilcoxon"), ("permutation", "permutation")]
)
def test_the_test_can_be_chosen(recorded, test, name) -> None:
    results = optimizers(recorded)

    row = results.compare(a="opt == 'adam'", b="opt == 'sgd'", metric="y", test=test).loc["y"]

    assert row["test"] == name
    assert row["p_value"] < 0.001


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_the_interval_of_permutations_holds_zero_where_they_do_not_tell_the_sides_apart(paired, seed) -> None:
    random = np.random.default_rng(seed)
    n = 6 + 6 * (seed % 2)  # all permutations, or some
    x, y = random.exponential(1.0, n) + 0.7, random.exponential(1.0, n)

    permuted = _Permuted.of(x, y, paired=paired)
    low, high = permuted.interval(0.95)

    expected = stats.permutation_test(
        (x, y), lambda x, y, axis: x.mean(axis) - y.mean(axis), permutation_type="samples" if paired else "independent"
    )
    assert permuted.p_value(0.0) == pytest.approx(expected.pvalue, abs=0.02)
    assert low < permuted.observed < high
    assert (low <= 0 <= high) == (permuted.p_value(0.0) > 0.05)


def test_sweeps_are_compared_by_the_values_of_their_parameters(recorded) -> None:
    old = recorded({"a": [1, 2, 3, 4], "b": [0, 1]}, lambda v: {"y": v["a"] * 1.0}, name="old")
    new = recorded({"b": [0, 1], "a": [4.0, 3.0, 2.0, 9.0]}, lambda v: {"y": v["a"] + 1.0 + 0.1 * v["b"]}, name="new")

    with pytest.warns(UserWarning, match="4 settings of y have no counterpart"):
        table = new.compare(old)

    assert table.loc["y", "n_pairs"] == 6
    assert table.loc["y", "difference"] == pytest.approx(1.05)
    assert table.attrs == {"a": "new", "b": "old"}


def test_without_pairs_sets_are_compared_as_they_are(recorded) -> None:
    y = {"adam": [3.0, 4.0, 5.0, 4.5], "sgd": [1.0, 2.0, 1.5, 2.5]}
    results = recorded(Grid(opt=["adam", "sgd"]) * Replicates(4), lambda v: {"y": y[v["opt"]][v["replicate"]]})

    row = results.compare(a="opt == 'adam'", b="opt == 'sgd'", test="t").loc["y"]

    expected = stats.ttest_ind(y["adam"], y["sgd"], equal_var=False)
    assert (row["test"], row["n_pairs"]) == ("Welch", 0)
    assert row["p_value"] == pytest.approx(expected.pvalue)
    pooled = math.sqrt((np.var(y["adam"], ddof=1) + np.var(y["sgd"], ddof=1)) / 2)
    assert row["effect_size"] == pytest.approx((4.125 - 1.75) / pooled)


def test_that_one_pair_is_too_few_to_compare_pairs_is_told(recorded) -> None:
    missing = {("adam", 3), ("adam", 4), ("sgd", 1), ("sgd", 2)}
    results = recorded(
        Grid(opt=["adam", "sgd"], rate=range(5)),
        lambda v: {"y": 100.0 * v["rate"]} if (v["opt"], v["rate"]) not in missing else None,
    )

    with pytest.warns(UserWarning, match="one setting of y alone is on both sides.*4 settings have no counterpart"):
        row = results.compare(a="opt == 'adam'", b="opt == 'sgd'", metric="y").loc["y"]

    assert row["n_pairs"] == 0
    assert row["difference"] == pytest.approx(100.0 - 700.0 / 3)


def test_conditions_on_facts_and_flags_say_which_parameters_they_are_about(recorded) -> None:
    results = optimizers(recorded)

    conditions = ("opt == 'adam' and not inputs_changed and runtime_s < 1", "opt == 'sgd' and status == 'done'")
    row = results.compare(a=conditions[0], b=conditions[1], metric="y").loc["y"]

    assert row["n_pairs"] == 12


def test_a_parameter_of_one_side_alone_does_not_keep_pairs_apart(recorded) -> None:
    results = recorded(
        Grid(opt=["sgd"], rate=[1, 2, 3], momentum=[0.0, 0.9]) | Grid(opt=["adam"], rate=[1, 2, 3]),
        lambda v: {"y": v["rate"] + v.get("momentum", 2.0)},
    )

    row = results.compare(a="opt == 'adam'", b="opt == 'sgd'").loc["y"]

    assert row["n_pairs"] == 3
    assert row["difference"] == pytest.approx(2.0 - 0.45)


def test_one_value_on_each_side_has_a_difference_and_nothing_made_up(recorded) -> None:
    results = recorded({"a": [1, 2]}, lambda v: {"y": float(v["a"])})

    row = results.compare(a="a == 2", b="a == 1").loc["y"]

    assert row["difference"] == 1.0
    assert np.isnan(row[["ci_low", "ci_high", "effect_size", "p_value", "p_adjusted"]].astype(float)).all()


def test_what_cannot_be_compared_says_why(recorded) -> None:
    results = optimizers(recorded)

    for wrong in ({}, {"a": "opt == 'adam'"}, {"other": results, "a": "opt == 'adam'", "b": "opt == 'sgd'"}):
        with pytest.raises(ResultsError, match="results of another sweep, or two conditions"):
            results.compare(**wrong)
    with pytest.raises(ResultsError, match="satisfy both"):
        results.compare(a="rate > 1", b="rate > 2")
    with pytest.raises(ResultsError, match="no metric 'yy'"):
        results.compare(a="rate > 1", b="rate <= 1", metric="yy")
    with pytest.raises(ResultsError, match="no variant of 'rate > 99'"):
        results.compare(a="rate > 99", b="rate <= 1", metric="y")
    with pytest.raises(ResultsError, match="test 'z' is unknown"):
        results.compare(a="rate > 1", b="rate <= 1", test="z")
