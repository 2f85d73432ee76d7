from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.planning.cost import MOST_SAMPLES, PEAK_BYTES, WALL_S, CostModel, task_measure
from sciflow.space import Grid, Points, Random, Range, Replicates
from sciflow.space.variant import Parameter

SPACE = Grid(
    size=[16, 32, 64, 128, 256, 512], epochs=[1, 2, 5, 10, 20], optimizer=["sgd", "adam", "lbfgs"], lr=[0.1, 1]
)


def seconds(table, *, noise=0.0, stalls=0.0, seed=0):
    """1e-5 size^2 epochs, four times that for one optimizer, with errors and with stalls of 3 to 30 times."""
    rng = np.random.default_rng(seed)
    values = table.arrays()
    exact = 1e-5 * values["size"] ** 2.0 * values["epochs"] * np.where(values["optimizer"] == "lbfgs", 4, 1)
    noisy = exact * np.exp(noise * rng.standard_normal(table.n_rows))
    return np.where(rng.random(table.n_rows) < stalls, noisy * rng.uniform(3, 30, table.n_rows), noisy)


def some(space, n, seed=0):
    return space.take(np.sort(np.random.default_rng(seed).choice(space.n_variants, n, replace=False)))


def learnt(table, costs, space=SPACE, measure=WALL_S):
    model = CostModel(space.parameters)
    model.observe(table, {measure: costs})
    return model


def test_a_power_law_with_a_choice_is_learnt_from_a_few_dozen_noisy_variants():
    table = some(SPACE, 60)
    fit = learnt(table, seconds(table, noise=0.2)).fit()
    rest = some(SPACE, 180, seed=1)

    errors = np.log(fit.predict(rest) / seconds(rest))
    effects = {effect.parameter: effect for effect in fit.effects}

    assert fit.is_predictive
    assert np.abs(errors).max() < 0.5
    assert effects["size"].exponent == pytest.approx(2.0, abs=0.15)
    assert effects["epochs"].exponent == pytest.approx(1.0, abs=0.15)
    assert effects["optimizer"].exponent is None
    assert effects["optimizer"].factor == pytest.approx(4.0, rel=0.3)
    assert fit.effects[0].parameter == "size"


def test_a_power_law_goes_on_beyond_the_sizes_that_ran():
    table = some(SPACE, 60)
    fit = learnt(table, seconds(table, noise=0.1)).fit()
    larger = Grid(size=[2048], epochs=[20], optimizer=["sgd"], lr=[1]).take(np.arange(1))

    low, high = fit.interval(larger)

    assert fit.predict(larger)[0] == pytest.approx(seconds(larger)[0], rel=0.6)
    assert low[0] < seconds(larger)[0] < high[0]
    assert high[0] / low[0] > 1.5 * np.divide(*fit.interval(table)[::-1]).min(), "farther away is less sure"


def test_stalls_do_not_bend_the_model():
    table = some(SPACE, 150)
    fit = learnt(table, seconds(table, noise=0.1, stalls=0.05)).fit()

    errors = np.log(fit.predict(table) / seconds(table))

    assert np.abs(errors).max() < 0.4
    assert fit.explained > 0.9


def test_two_parameters_that_act_together_are_seen():
    space = Grid(solver=["direct", "iterative"], n=[2**k for k in range(4, 12)], seed=range(6))

    def cost(table):
        values = table.arrays()
        return 1e-6 * np.where(values["solver"] == "direct", values["n"] ** 3.0, 1e3 * values["n"] ** 1.0)

    table = some(space, 60)
    fit = learnt(table, cost(table), space).fit()
    everything = space.take(np.arange(space.n_variants))

    assert np.abs(np.log(fit.predict(everything) / cost(everything))).max() < 0.3


@pytest.mark.parametrize("n", [4, 8, 16, 64, 512])
def test_costs_that_do_not_depend_on_parameters_are_said_not_to(n):
    predictive = [
        learnt(some(SPACE, min(n, 180), seed), np.random.default_rng(seed).lognormal(0, 0.5, min(n, 180)))
        .fit()
        .is_predictive
        for seed in range(40)
    ]

    assert np.mean(predictive) <= 0.15


def test_an_interval_holds_as_often_as_it_says():
    hits = []
    for seed in range(30):
        table = some(SPACE, 24, seed)
        fit = learnt(table, seconds(table, noise=0.3, seed=seed)).fit()
        rest = some(SPACE, 150, seed + 100)
        low, high = fit.interval(rest, 0.9)
        truth = seconds(rest, noise=0.3, seed=seed + 100)
        hits.append(((low <= truth) & (truth <= high)).mean())

    assert np.mean(hits) > 0.88


def test_variants_alike_in_cost_need_no_parameters():
    fit = learnt(some(SPACE, 20), np.full(20, 3.0)).fit()

    assert fit.predict(some(SPACE, 5)).tolist() == pytest.approx([3.0] * 5)
    assert not fit.is_predictive
    assert fit.effects == ()


def test_nothing_is_said_of_fewer_than_four_variants():
    model = learnt(some(SPACE, 3), [1.0, 2.0, 3.0])

    assert model.fit() is None
    assert model.n_seen() == 3


def test_a_value_of_a_kind_that_never_ran_makes_the_interval_wide():
    known = Points([{"size": size, "dataset": "small"} for size in range(1, 13)])
    unknown = Points([{"size": 6, "dataset": "huge"}]).take(np.arange(1))
    table = known.take(np.arange(12))
    fit = learnt(table, [float(size) for size in range(1, 13)], known).fit()

    assert fit.n_new(unknown).tolist() == [1]
    assert fit.n_new(table).tolist() == [0] * 12
    assert np.divide(*fit.interval(unknown)[::-1])[0] > 3


def test_parameters_that_some_variants_lack_and_values_of_all_types_are_read():
    space = Grid(opt=["sgd"], momentum=[0.1, 0.9], n=[1, 2, 4, 8]) | Grid(
        opt=["adam"], beta=[(1, 2), None], n=[1, 2, 4]
    )
    table = space.take(np.arange(space.n_variants))
    n = np.array([variant["n"] for variant in table.variants()], dtype=float)
    slow = np.array(["beta" in variant for variant in table.variants()])
    fit = learnt(table, n * np.where(slow, 10, 1), space).fit()

    assert fit.is_predictive
    assert np.abs(np.log(fit.predict(table) / (n * np.where(slow, 10, 1)))).max() < 0.5


def test_a_derived_parameter_has_no_effect_of_its_own():
    space = Grid(a=[1, 2, 4, 8], b=[1, 2, 4, 8]).derive(cells="a * b")
    table = space.take(np.arange(16))
    fit = learnt(table, [v["cells"] for v in table.variants()], space).fit()

    assert {effect.parameter for effect in fit.effects} == {"a", "b"}


def test_numbers_at_zero_below_it_and_beyond_floats_do_no_harm():
    space = Points([{"x": x, "y": y} for x in (-5, 0, 0.5, 10, float("inf"), 10**400) for y in (True, False)])
    table = space.take(np.arange(12))
    fit = learnt(table, np.arange(1.0, 13.0), space).fit()

    assert np.isfinite(fit.predict(table)).all()
    assert np.isfinite(fit.interval(table)).all()


def test_what_was_not_measured_is_left_out():
    model = learnt(some(SPACE, 6), [1.0, np.nan, 2.0, 0.0, np.inf, -1.0])

    assert model.n_seen() == 2
    assert sorted(model.costs()) == [1.0, 2.0]


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=6))
def test_the_model_keeps_no_more_than_a_fixed_number_of_variants(sizes):
    model = CostModel(SPACE.parameters)

    for size in sizes:
        model.observe(SPACE.take(np.arange(size) % SPACE.n_variants), {WALL_S: np.full(size, 1.0)})

    assert model.n_seen() == sum(sizes)
    assert len(model.costs()) == min(sum(sizes), MOST_SAMPLES)


def test_late_variants_are_kept_as_likely_as_early_ones():
    model = CostModel(SPACE.parameters, most=100)
    for k in range(100):
        model.observe(SPACE.take(np.arange(100)), {WALL_S: np.full(100, k + 1.0)})

    assert 40 < np.median(model.costs()) < 61


def test_a_task_is_modelled_by_its_footprint_alone():
    table = some(SPACE, 60)
    model = CostModel(SPACE.parameters, {"load": ["size"]})
    model.observe(table, {task_measure("load"): seconds(table), WALL_S: seconds(table)})

    assert {effect.parameter for effect in model.fit(task_measure("load")).effects} == {"size"}
    assert len(model.fit(WALL_S).effects) > 1


def test_memory_is_learnt_like_time():
    table = some(SPACE, 40)
    fit = learnt(table, 2**20 * table.arrays()["size"], measure=PEAK_BYTES).fit(PEAK_BYTES)

    assert fit.effects[0].exponent == pytest.approx(1.0, abs=0.1)


def test_a_variant_recorded_before_a_parameter_was_added_counts_at_its_default():
    old = Grid(n=[1, 2, 4, 8])
    space = old * Grid(k=[1, 2])
    parameters = (*old.parameters, Parameter("k", default=1))
    model = CostModel(parameters)
    model.observe(old.take(np.arange(4)), {WALL_S: [1.0, 2.0, 4.0, 8.0]})
    model.observe(space.take(np.arange(8)), {WALL_S: [1.0, 10, 2, 20, 4, 40, 8, 80]})

    fit = model.fit()

    assert fit.predict(space.take(np.arange(8))) == pytest.approx([1, 10, 2, 20, 4, 40, 8, 80], rel=0.3)


def test_a_model_survives_as_plain_data():
    space = Random({"x": Range(1, 1000, scale="log"), "kind": ["a", "b"]}, n=200, seed=1) * Replicates(1)
    table = space.take(np.arange(200))
    model = learnt(table, [v["x"] * (3 if v["kind"] == "a" else 1) for v in table.variants()], space)

    model.observe_total("s.load", 3, 60.0)

    again = CostModel(space.parameters).restore(json.loads(json.dumps(model.to_dict())))

    assert again.mean("s.load") == (3, 20.0)
    assert again.n_seen() == model.n_seen()
    assert again.fit().predict(table).tolist() == model.fit().predict(table).tolist()


def test_predicting_part_by_part_is_predicting_at_once():
    table = some(SPACE, 80)
    fit = learnt(table, seconds(table, noise=0.2)).fit()
    everything = SPACE.take(np.arange(SPACE.n_variants))

    parts = [fit.predict(everything.take(np.arange(k, k + 20))) for k in range(0, 180, 20)]

    assert np.concatenate(parts).tolist() == pytest.approx(fit.predict(everything).tolist())


def test_the_model_is_fitted_again_only_when_a_quarter_more_is_known():
    model = learnt(some(SPACE, 100), np.ones(100))
    first = model.fit()
    model.observe(some(SPACE, 20), {WALL_S: np.ones(20)})
    same = model.fit()
    model.observe(some(SPACE, 20), {WALL_S: np.ones(20)})

    assert same is first
    assert model.fit() is not first
