"""The physics and the learning in the examples, without the sweeps around them."""

import ast
import itertools
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import xarray as xr

EXAMPLES = Path(__file__).parent.parent / "examples"


def definitions_of(name):
    """Functions, classes and constants of an example; the sweep itself, and sciflow, stay out."""
    path = EXAMPLES / f"{name}.py"
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if is_definition(node)]
    module = ModuleType(f"example_{name}")
    exec(compile(tree, path, "exec"), module.__dict__)
    return module


def is_definition(node):
    if isinstance(node, ast.Import):
        return all(alias.name != "sciflow" for alias in node.names)
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name) and target.id[0].isupper() for target in node.targets)
    return isinstance(node, ast.ImportFrom | ast.FunctionDef | ast.ClassDef)


def context(*seed):
    return SimpleNamespace(rng=np.random.Generator(np.random.Philox(np.random.SeedSequence(seed))))


# --- the network


@pytest.fixture(scope="module")
def network():
    return definitions_of("neural_network")


@pytest.fixture(scope="module")
def digits(network):
    return network.preprocess_function()


def test_the_digits_are_split_evenly_and_the_same_way_every_time(network, digits):
    again = network.preprocess_function()

    assert all(np.array_equal(digits[key], again[key]) for key in digits)
    assert digits["train_images"].shape == (1257, 64)
    assert digits["validation_images"].shape == (540, 64)
    assert np.bincount(digits["validation_labels"]).min() >= 52


def test_each_pixel_that_varies_is_standardised_over_the_training_images(digits):
    images = digits["train_images"]
    varies = images.std(axis=0) > 0

    np.testing.assert_allclose(images.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(images.std(axis=0)[varies], 1, atol=1e-4)


def test_the_gradient_is_the_slope_that_finite_differences_give(network):
    rng = np.random.default_rng(1)
    sizes = [5, 7, 6, 4]
    layers = [(rng.standard_normal((a, b)), rng.standard_normal(b)) for a, b in itertools.pairwise(sizes)]
    images, labels = rng.standard_normal((8, 5)), rng.integers(4, size=8)
    masks = [(rng.random((8, n)) < 0.7) / 0.7 for n in sizes[1:-1]]

    _, gradients = network.loss_and_gradients(layers, images, labels, masks)

    for layer, gradient in zip(layers, gradients, strict=True):
        for array, slopes in zip(layer, gradient, strict=True):
            for index in np.ndindex(array.shape):
                slope = central_difference(
                    lambda: network.loss_and_gradients(layers, images, labels, masks)[0], array, index
                )
                assert slope == pytest.approx(slopes[index], rel=1e-5, abs=1e-8)


def central_difference(function, array, index, step=1e-6):
    """Slope of a function that reads `array`, by one of its elements."""
    kept = array[index]
    array[index] = kept + step
    above = function()
    array[index] = kept - step
    below = function()
    array[index] = kept
    return (above - below) / (2 * step)


def test_a_network_that_knows_nothing_has_the_loss_of_guessing(network, digits):
    layers = [(np.zeros((64, 10)), np.zeros(10))]
    model = {"layers": layers, **{k: v for k, v in digits.items() if k.startswith("validation")}}

    measured = network.evaluate_function(model)

    assert measured["validation_loss"] == pytest.approx(np.log(10))
    assert measured["validation_accuracy"] == np.mean(digits["validation_labels"] == 0)


def test_log_softmax_survives_logits_that_overflow(network):
    result = network.log_softmax(np.array([[1e4, 0.0], [-1e4, -1e4]]))

    np.testing.assert_allclose(result, [[0, -1e4], [-np.log(2), -np.log(2)]])


def test_dropout_silences_the_given_fraction_and_keeps_the_mean(network):
    (mask,) = network.dropout_masks(1, (1000, 200), 0.3, np.random.default_rng(2))

    assert set(np.unique(mask)) == {np.float32(0), 1 / np.float32(0.7)}
    # 200,000 draws: a standard deviation of 0.001
    assert np.mean(mask == 0) == pytest.approx(0.3, abs=0.005)
    assert mask.mean() == pytest.approx(1, abs=0.007)


def test_first_weights_keep_the_scale_of_the_activations(network):
    layers = network.initial_layers([256] * 6, np.random.default_rng(3))
    images = np.random.default_rng(4).standard_normal((500, 256), dtype=np.float32)

    inputs, _ = network.forward(layers, images)

    squares = [float(np.mean(activation**2)) for activation in inputs[1:]]
    # He's variance: E[relu(x)^2] = 1 at every depth when the images have variance 1
    np.testing.assert_allclose(squares, 1, rtol=0.25)


def test_a_long_gradient_is_shortened_to_the_limit_and_a_short_one_is_left(network):
    long, short = [(np.full((10, 10), 3.0), np.zeros(10))], [(np.full((2, 2), 0.1), np.zeros(2))]

    assert network.clipping_factor(long) * 30 == pytest.approx(network.MAX_GRADIENT_NORM)
    assert network.clipping_factor(short) == 1
    assert network.clipping_factor([(np.zeros((2, 2)), np.zeros(2))]) == 1


def test_training_repeats_with_its_seed_and_leaves_the_shared_data_alone(network, digits):
    before = {key: array.copy() for key, array in digits.items()}
    parameters = {"learning_rate": 0.01, "hidden_layers": 2, "neurons_per_layer": 64, "dropout_rate": 0.3}

    first, second, other = (
        network.evaluate_function(network.train_function(digits, **parameters, context=context(seed)))
        for seed in (1, 1, 2)
    )

    assert first == second
    assert first["validation_loss"] != other["validation_loss"]
    assert all(np.array_equal(digits[key], before[key]) for key in digits)


@pytest.mark.parametrize(
    ("parameters", "lowest", "highest"),
    [
        pytest.param((0.01, 2, 128, 0.1), 0.96, 0.99, id="well-chosen"),
        pytest.param((0.001, 3, 64, 0.5), 0.50, 0.92, id="too-slow"),
        pytest.param((0.1, 3, 64, 0.5), 0.05, 0.50, id="too-fast"),
    ],
)
def test_accuracy_depends_on_the_parameters(network, digits, parameters, lowest, highest):
    model = network.train_function(digits, *parameters, context=context(5))

    measured = network.evaluate_function(model)

    assert lowest <= measured["validation_accuracy"] <= highest
    assert np.isfinite(measured["validation_loss"])


# --- the magnet


@pytest.fixture(scope="module")
def ising():
    return definitions_of("ising")


def enumerated(temperature, size=4):
    """log Z, <E> and <|m|> per spin by the sum over all 2^16 states of the periodic 4 x 4 lattice."""
    states = np.arange(2 ** (size * size), dtype=np.uint32)
    bits = (states[:, None] >> np.arange(size * size, dtype=np.uint32)) & 1
    spins = (2 * bits.astype(np.int64) - 1).reshape(-1, size, size)
    energies = -(spins * (np.roll(spins, 1, 1) + np.roll(spins, 1, 2))).sum(axis=(1, 2))
    magnetisations = np.abs(spins.sum(axis=(1, 2)))
    exponents = -energies / temperature
    weights = np.exp(exponents - exponents.max())
    log_z = exponents.max() + np.log(weights.sum())
    weights /= weights.sum()
    return log_z, weights @ energies / size**2, weights @ magnetisations / size**2


@pytest.mark.parametrize("temperature", [1.0, 2.0, 2.3, 5.0])
def test_kaufmans_formula_is_the_sum_over_all_states(ising, temperature):
    log_z, energy, _ = enumerated(temperature)

    assert ising.log_partition(1 / temperature, 4) == pytest.approx(log_z, rel=1e-12)
    assert ising.kaufman_energy(temperature, 4) == pytest.approx(energy, rel=1e-8)


@pytest.mark.parametrize("temperature", [0.5, 1.5, 1.8, 3.0, 10.0])
def test_onsagers_energy_is_the_limit_of_large_lattices(ising, temperature):
    assert ising.kaufman_energy(temperature, 128) == pytest.approx(ising.onsager_energy(temperature), rel=1e-7)


def test_the_exact_values_have_their_known_limits(ising):
    tc = ising.CRITICAL_TEMPERATURE

    assert tc == pytest.approx(2.269185314213022)
    assert ising.onsager_energy(0.1) == pytest.approx(-2)
    assert ising.onsager_energy(tc) == pytest.approx(-np.sqrt(2))
    assert ising.onsager_energy(1000.0) == pytest.approx(-0.002, rel=1e-5)
    assert ising.spontaneous_magnetisation(0.1) == pytest.approx(1)
    assert ising.spontaneous_magnetisation(2.0) == pytest.approx(0.9113193778)
    assert ising.spontaneous_magnetisation(tc) == 0
    assert ising.spontaneous_magnetisation(3.0) == 0
    # the exponent 1/8: a distance 2^8 times as large doubles the magnetisation
    near, far = (ising.spontaneous_magnetisation(tc - distance) for distance in (1e-7, 256e-7))
    assert far / near == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("size", [4, 16])
def test_every_bond_joins_two_colours_and_is_seen_from_both(ising, size):
    (black, black_neighbours), (white, white_neighbours) = ising.checkerboard(size)

    seen = {(site, other) for column, site in enumerate(black) for other in black_neighbours[:, column]}
    back = {(other, site) for column, site in enumerate(white) for other in white_neighbours[:, column]}

    assert sorted([*black, *white]) == list(range(size**2))
    assert seen == back
    assert len(seen) == 2 * size**2


@pytest.mark.parametrize("temperature", [1.5, 2.5, 4.0])
def test_chains_sample_the_boltzmann_distribution(ising, temperature):
    _, energy, magnetisation = enumerated(temperature)

    chains = [ising.measure(**ising.simulate(temperature, 4, context(seed))) for seed in range(8)]

    limit = ising.z_threshold(n_checks=6, n_replicates=8)
    for name, exact in (("energy", energy), ("magnetisation", magnetisation)):
        values = np.array([chain[name] for chain in chains])
        assert abs(values.mean() - exact) <= limit * values.std(ddof=1) / np.sqrt(8)


@pytest.mark.parametrize("size", [2, 15])
def test_a_lattice_without_a_checkerboard_is_refused(ising, size):
    with pytest.raises(ValueError, match=f"{size}.*even number, at least 4"):
        ising.simulate(2.0, size, context(0))


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_binning_error_is_that_of_a_correlated_series(ising, memory):
    rng = np.random.default_rng(7)
    n_series, length = 200, 8000
    series = np.empty((length, n_series))
    # stationary from the start: x' = memory x + noise, variance 1
    series[0] = rng.standard_normal(n_series)
    noise = np.sqrt(1 - memory**2) * rng.standard_normal((length, n_series))
    for step in range(1, length):
        series[step] = memory * series[step - 1] + noise[step]

    estimated = np.mean([ising.binning_error(column) ** 2 for column in series.T])

    # variance of the mean of an autoregressive series, of order 1/length
    assert estimated == pytest.approx((1 + memory) / (1 - memory) / length, rel=0.12)


def chains(ising, temperatures, sizes, n_replicates, offset=0.0):
    """What the sweep records; `offset` runs the chains at another temperature than their label says."""
    grid = itertools.product(temperatures, sizes, range(n_replicates))
    rows = [ising.measure(**ising.simulate(t + offset, size, context(int(t * 10), size, r))) for t, size, r in grid]
    shape = (len(temperatures), len(sizes), n_replicates)
    dims = ("temperature", "lattice_size", "replicate")
    return xr.Dataset(
        {name: (dims, np.reshape([row[name] for row in rows], shape)) for name in rows[0]},
        coords={"temperature": temperatures, "lattice_size": sizes, "replicate": range(n_replicates)},
    )


@pytest.fixture(scope="module")
def good_chains(ising):
    return chains(ising, [1.8, 3.0], [16], 6)


def test_the_magnet_agrees_with_onsager_yang_and_kaufman(ising, good_chains):
    table = ising.compare(good_chains)

    checked = table[table["exact"].notna()]
    assert list(zip(checked["quantity"], checked["temperature"], strict=True)) == [
        ("magnetisation", 1.8),
        ("energy", 1.8),
        ("energy", 3.0),
    ]
    assert ising.disagreements(table, ising.z_threshold(3, 6)).empty
    # error bars that mean something: per mille of the values, and the same from within the chains
    assert (checked["error"] < 0.002).all()
    assert ((checked["binning"] / checked["error"]).between(1 / 3, 3)).all()


def test_chains_at_a_slightly_wrong_temperature_are_told(ising):
    table = ising.compare(chains(ising, [1.8], [16], 6, offset=0.05))

    assert len(ising.disagreements(table, ising.z_threshold(2, 6))) == 2


def test_a_chain_that_failed_does_not_pass_for_agreement(ising, good_chains):
    broken = good_chains.copy(deep=True)
    broken["energy"][0, 0, 3] = np.nan

    wrong = ising.disagreements(ising.compare(broken), ising.z_threshold(3, 6))

    assert list(wrong["quantity"]) == ["energy"]


def test_nothing_is_checked_near_the_critical_point(ising):
    near = ising.CRITICAL_TEMPERATURE + 0.2

    assert np.isnan(ising.exact_value("energy", near, 32))
    assert np.isnan(ising.exact_value("magnetisation", near - 0.4, 32))


def test_the_threshold_is_exceeded_as_seldom_as_it_says(ising):
    rng = np.random.default_rng(8)
    n_tables, n_checks, n_replicates = 20_000, 4, 6
    values = rng.standard_normal((n_tables, n_checks, n_replicates))
    z = values.mean(axis=2) / (values.std(axis=2, ddof=1) / np.sqrt(n_replicates))

    alarms = np.mean((np.abs(z) > ising.z_threshold(n_checks, n_replicates, 0.05)).any(axis=1))

    # Bonferroni is a bound, 0.049 for independent checks; 20,000 tables give it to 0.0015
    assert 0.043 < alarms <= 0.055
