from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from sciflow.analysis import effects
from sciflow.analysis.effects import decompose, is_balanced
from sciflow.analysis.sample import ABSENT, Factor
from sciflow.errors import ResultsError
from sciflow.space import Grid, Random, Replicates


@st.composite
def balanced_designs(draw):
    """All combinations of levels, some replicates, and a value for each."""
    sizes = draw(st.lists(st.integers(2, 4), min_size=1, max_size=3))
    n_replicates = draw(st.integers(1, 2))
    cells = np.array(list(itertools.product(*map(range, sizes), range(n_replicates))))
    values = np.array(draw(st.lists(st.integers(-20, 20), min_size=len(cells), max_size=len(cells))), dtype=float)
    factors = [Factor(f"p{k}", tuple(range(n)), cells[:, k]) for k, n in enumerate(sizes)]
    return factors, values


@given(balanced_designs())
def test_in_a_balanced_design_sums_of_squares_add_up(design) -> None:
    factors, values = design

    found = decompose(values, factors)

    assert is_balanced(factors)
    total = ((values - values.mean()) ** 2).sum()
    assert found.sums.sum() + found.residuals[0][0] == pytest.approx(total, abs=1e-8)
    assert (found.sums >= 0).all()


@given(balanced_designs())
def test_in_a_balanced_design_main_effects_average_to_the_mean_of_all(design) -> None:
    factors, values = design

    for factor in factors:
        means = np.bincount(factor.codes, values) / factor.counts
        assert means.mean() == pytest.approx(values.mean(), abs=1e-9)


def test_the_effects_of_an_additive_function_are_its_terms(recorded) -> None:
    results = recorded(
        Grid(a=[1, 2, 3], b=["x", "y"], idle=[0, 1]), lambda v: {"y": 10.0 * v["a"] + (1.0 if v["b"] == "y" else -1.0)}
    )

    table = results.main_effects("y")

    assert table.index.get_level_values("parameter").unique().tolist() == ["a", "b", "idle"]
    assert table.loc["a", "effect"].tolist() == pytest.approx([-10, 0, 10])
    assert table.loc["b", "effect"].tolist() == pytest.approx([-1, 1])
    assert table.loc["idle", "effect"].tolist() == pytest.approx([0, 0])
    assert table["share"].groupby("parameter").first().sum() == pytest.approx(1.0)
    assert table.loc[("a", 3), ["mean", "n"]].tolist() == [30, 4]
    assert table.attrs["mean"] == 20.0
    assert results.interactions("y")["share"].tolist() == pytest.approx([0, 0, 0], abs=1e-12)


def test_p_values_and_intervals_of_a_balanced_design_are_those_of_statsmodels(recorded) -> None:
    noise = np.random.default_rng(3).normal(size=(3, 2, 4))
    results = recorded(
        Grid(a=[0, 1, 2], b=[0, 1]) * Replicates(4),
        lambda v: {"y": 0.4 * v["a"] + float(noise[v["a"], v["b"], v["replicate"]])},
    )

    table = results.main_effects("y")

    fit = ols("y ~ C(a) + C(b)", results.to_dataframe()).fit()
    expected = anova_lm(fit, typ=2)
    assert table.loc["a", "p_value"].iloc[0] == pytest.approx(expected.loc["C(a)", "PR(>F)"])
    assert table.loc["b", "p_value"].iloc[0] == pytest.approx(expected.loc["C(b)", "PR(>F)"])
    assert table.attrs["method"].startswith("balanced")
    assert ((table["ci_low"] < table["mean"]) & (table["mean"] < table["ci_high"])).all()


def test_an_unbalanced_design_is_fitted_as_a_whole(recorded) -> None:
    # b is mostly large where a is large: alone it would seem to matter
    present = {(0, 0), (0, 1), (1, 1), (1, 2), (2, 1), (2, 2)}
    results = recorded(
        Grid(a=[0, 1, 2], b=[0, 1, 2]),
        lambda v: {"y": 10.0 * v["a"] + 0.01 * v["b"] ** 2} if (v["a"], v["b"]) in present else None,
    )

    table = results.main_effects("y")

    assert "type II" in table.attrs["method"]
    assert table.loc["b", "share"].iloc[0] < 1e-4
    assert table.loc["a", "share"].iloc[0] > 0.5


def test_adjusted_means_are_those_of_an_additive_function_though_variants_are_missing(recorded) -> None:
    missing = {(2, 0), (2, 1), (1, 0)}
    results = recorded(
        {"a": [0, 1, 2], "b": [0, 1, 2]},
        lambda v: None if tuple(v.values()) in missing else {"y": v["a"] + 10 * v["b"]},
    )

    table = results.main_effects("y")

    assert table.loc["a", "adjusted"].tolist() == pytest.approx([10, 11, 12])
    assert table.loc["b", "adjusted"].tolist() == pytest.approx([1, 11, 21])
    assert table.loc["a", "mean"].tolist() == pytest.approx([10, 16, 22])  # 15 + 1 and 20 + 2: for b's sake
    assert "compare the adjusted ones" in table.attrs["note"]


def test_interactions_say_that_other_parameters_mix_in_where_the_design_is_not_balanced(recorded) -> None:
    space = {"a": [0, 1], "b": [0, 1], "c": [0, 1]}
    whole = recorded(space, lambda v: {"y": v["c"]}, name="whole")
    part = recorded(space, lambda v: {"y": v["c"]} if any(v.values()) else None, name="part")

    assert "not balanced" not in whole.interactions("y").attrs["method"]
    assert "not balanced" in part.interactions("y").attrs["method"]


def test_without_statsmodels_an_unbalanced_design_says_that_shares_overlap(recorded, monkeypatch) -> None:
    monkeypatch.setattr(effects, "find_spec", lambda name: None)
    results = recorded(Grid(a=[0, 1], b=[0, 1]), lambda v: {"y": v["a"]} if v["a"] + v["b"] < 2 else None)

    method = results.main_effects("y").attrs["method"]

    assert "shares overlap" in method
    assert 'pip install "sciflow[statistics]"' in method


def test_a_parameter_without_effect_is_not_made_to_matter_by_a_strong_one_when_each_is_looked_at_alone(
    recorded, monkeypatch
) -> None:
    monkeypatch.setattr(effects, "find_spec", lambda name: None)
    rng = np.random.default_rng(0)
    values = {(a, b): 5.0 * a + float(rng.normal(0, 0.1)) for a in range(6) for b in range(6)}
    results = recorded(
        Grid(a=range(6), b=range(6)), lambda v: {"y": values[v["a"], v["b"]]} if v["a"] + v["b"] < 10 else None
    )

    table = results.main_effects("y")

    frame = results.to_dataframe().query("status == 'done'")
    for name in ("a", "b"):
        expected = stats.f_oneway(*[part["y"] for _, part in frame.groupby(name)])
        assert table.loc[name, "p_value"].iloc[0] == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-300)
    assert table.loc["b", "p_value"].iloc[0] > 0.05
    # the interval of a mean is made of the spread about the means of its own parameter
    widths = table["ci_high"] - table["ci_low"]
    assert widths.loc["b"].min() > 10 * widths.loc["a"].max()


def test_many_parameters_of_few_values_still_have_a_p_value_each_when_looked_at_alone(monkeypatch) -> None:
    monkeypatch.setattr(effects, "find_spec", lambda name: None)
    rng = np.random.default_rng(1)
    factors = [Factor(f"p{k}", tuple(range(8)), np.append(np.arange(8), rng.integers(0, 8, 32))) for k in range(7)]

    found = decompose(rng.normal(size=40), factors)

    assert [df for _, df in found.residuals] == [32] * 7
    assert (np.array([left for left, _ in found.residuals]) > 0).all()


def test_an_interaction_is_what_neither_parameter_does_alone(recorded) -> None:
    results = recorded(
        Grid(a=[-1, 1], b=[-1, 1], c=[0, 1, 2]) * Replicates(2),
        lambda v: {"y": 2.0 * v["a"] * v["b"] + v["c"] + 0.01 * v["replicate"]},
    )

    table = results.interactions("y")

    assert table.index[0] == ("a", "b")
    # 2ab has variance 4, c has 2/3, replicates next to nothing
    assert table["share"].tolist() == pytest.approx([4 / (4 + 2 / 3), 0, 0], abs=1e-3)
    assert abs(table["largest"].iloc[0]) == pytest.approx(2.0)
    assert table["p_value"].iloc[0] < 1e-4
    assert table["p_value"].iloc[1] > 0.99


def test_an_interaction_is_tested_as_in_a_two_way_analysis_of_variance(recorded) -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(5, 3, 3))
    results = recorded(
        Grid(a=range(5), b=range(3)) * Replicates(3),
        # some cells are empty, and others hold fewer values
        lambda v: (
            {"y": v["a"] + 0.5 * v["a"] * v["b"] + float(noise[v["a"], v["b"], v["replicate"]])}
            if (v["a"], v["b"]) != (4, 2) and v["a"] + v["replicate"] != 2
            else None
        ),
    )

    found = results.interactions("y").loc[("a", "b")]

    frame = results.to_dataframe().query("status == 'done'")
    frame = frame.assign(cell=frame["a"] * 10 + frame["b"])
    additive, full = ols("y ~ C(a) + C(b)", frame).fit(), ols("y ~ C(cell)", frame).fit()
    total = ((frame["y"] - frame["y"].mean()) ** 2).sum()
    assert found["share"] == pytest.approx((additive.ssr - full.ssr) / total)
    expected = anova_lm(additive, full)
    assert found["p_value"] == pytest.approx(expected["Pr(>F)"].iloc[1])


def test_texts_with_a_great_many_values_take_no_memory(recorded, monkeypatch) -> None:
    n = 60_000
    texts = tuple(map(str, range(n)))
    assert not is_balanced([Factor("a", texts, np.arange(n)), Factor("b", texts, np.arange(n)[::-1])])

    monkeypatch.setattr(effects, "_MOST_PAIRS", 50)
    results = recorded(Grid(a=[str(k) for k in range(30)], b=[0, 1], c=[0, 1]), lambda v: {"y": v["b"] * v["c"]})
    with pytest.warns(UserWarning, match="left out: a and b, a and c have more than 50 pairs"):
        assert results.interactions("y").index.tolist() == [("b", "c")]
    with pytest.raises(ResultsError, match="no interaction can be told: a and b have more than"):
        results.interactions("y", where="c == 1")


def test_parameters_of_some_variants_alone_and_drawn_ones_have_levels_too(recorded) -> None:
    conditional = recorded(
        Grid(opt=["sgd"], momentum=[0.1, 0.9]) | Grid(opt=["adam"]),
        lambda v: {"y": v.get("momentum", 5.0)},
        name="cond",
    )
    drawn = recorded(Random({"x": (0.0, 1.0)}, n=200, seed=1), lambda v: {"y": v["x"]}, name="drawn")

    assert set(conditional.main_effects("y").loc["momentum"].index) == {0.1, 0.9, ABSENT}
    table = drawn.main_effects("y")
    assert len(table) == 10
    assert table["n"].tolist() == [20] * 10
    assert table["share"].iloc[0] > 0.98


def test_what_has_no_effects_says_why(recorded, results) -> None:
    with pytest.raises(ResultsError, match="not numbers"):
        results.main_effects("device")
    with pytest.raises(ResultsError, match="did you mean 'accuracy'"):
        results.interactions("acuracy")
    with pytest.raises(ResultsError, match=r"no variant that satisfies 'layers > 9' has a finite value of 'accuracy'"):
        results.main_effects("accuracy", where="layers > 9")
    with pytest.raises(ResultsError, match="no parameter differs"):
        results.main_effects("accuracy", where="layers == 2 and learning_rate == 0.01")
    with pytest.raises(ResultsError, match="only layers differs"):
        results.interactions("accuracy", where="learning_rate == 0.01")
    nothing = recorded({"a": [1, 2]}, lambda v: None, name="nothing")
    with pytest.raises(ResultsError, match="there is no metric 'y'"):
        nothing.main_effects("y")


@pytest.mark.parametrize(("low", "high"), [(-4, -0.5), (2, 5)])
def test_bins_of_many_numbers_hold_equally_many_and_stay_among_the_values(recorded, low, high) -> None:
    rates = 10 ** np.random.default_rng(3).uniform(low, high, 60)
    results = recorded(Grid(rate=rates.tolist()), lambda v: {"y": math.log10(v["rate"])})

    found = results.main_effects("y").loc["rate"]

    assert found.n.tolist() == [6] * 10
    edges = [found.index[0].left, *(one.right for one in found.index)]
    assert edges == sorted(edges)
    assert rates.min() <= edges[0] <= 1.02 * rates.min()
    assert 0.98 * rates.max() <= edges[-1] <= rates.max()
    assert edges == [float(f"{edge:.3g}") for edge in edges]
