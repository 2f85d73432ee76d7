"""A magnet that melts: Monte Carlo of the two-dimensional Ising model, checked against its exact solution.

A sweep over temperature, lattice size and replicate. Replicates are independent chains, so their scatter
gives error bars that assume nothing about autocorrelation. Onsager's solution says what the answer has to be;
the script prints both, and exits with status 1 where they disagree. Energies and temperatures are in units of
the coupling (J = k_B = 1)::

    python examples/ising.py
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ellipkm1
from scipy.stats import t as student

import sciflow

CRITICAL_TEMPERATURE = 2 / np.log(1 + np.sqrt(2))

# Checked only this far from the critical point. There the correlation length is below 6 sites, and |m| of a cold
# 16 x 16 lattice is Yang's within 3e-4 (four million sweeps at 2.0 and at 2.02), half an error bar of this script.
CHECKED_DISTANCE = 0.25

# Chance that any check of the table fails although all is well. The threshold follows from it: 4.3 standard
# errors for 16 checks with 16 replicates.
FALSE_ALARM = 0.01

THERMALISATION_SWEEPS = 500
SWEEPS = 4000
BINS = 40


def simulate(temperature: float, lattice_size: int, context: sciflow.TaskContext) -> dict[str, np.ndarray]:
    """Magnetisation and energy per spin after each sweep of a Metropolis chain in equilibrium.

    Metropolis et al. 1953, on a square lattice with periodic boundaries and no field. The sites of one colour
    of a checkerboard do not interact, so all of them are updated at once. The start is ordered: from a random
    start, cold lattices get stuck in stripes.

    Parameters
    ----------
    temperature : float
        In units of the coupling, positive.
    lattice_size : int
        Sites along a side: even, at least 4.
    context : sciflow.TaskContext
        Its `rng` drives the chain.

    Returns
    -------
    dict
        `magnetisations`, the absolute values |m|, and `energies`, each of shape (SWEEPS,).
    """
    if lattice_size < 4 or lattice_size % 2:
        msg = f"lattice_size is {lattice_size}, but a periodic checkerboard needs an even number, at least 4"
        raise ValueError(msg)
    n_sites = lattice_size**2
    colours = checkerboard(lattice_size)
    spins = np.ones(n_sites, dtype=np.int8)
    # probability to flip, by spin * (sum of neighbours) + 4: min(1, exp(-dE / T)) with dE = 2 spin * sum
    acceptance = np.exp(-2 * np.arange(-4, 5) / temperature)

    magnetisations, energies = np.empty(SWEEPS), np.empty(SWEEPS)
    for sweep in range(-THERMALISATION_SWEEPS, SWEEPS):
        draws = context.rng.random((2, n_sites // 2))
        for draw, (sites, neighbours) in zip(draws, colours, strict=True):
            old = spins[sites]
            alignment = old * spins[neighbours].sum(axis=0, dtype=np.int8)
            spins[sites] = np.where(draw < acceptance[alignment + 4], -old, old)
        if sweep >= 0:
            # every bond joins the two colours, so one colour sees each bond once
            sites, neighbours = colours[0]
            fields = spins[neighbours].sum(axis=0, dtype=np.int8)
            energies[sweep] = -np.sum(spins[sites] * fields, dtype=np.int64)
            magnetisations[sweep] = abs(np.sum(spins, dtype=np.int64))
    return {"magnetisations": magnetisations / n_sites, "energies": energies / n_sites}


def measure(magnetisations: np.ndarray, energies: np.ndarray) -> dict[str, float]:
    """Means of one chain, each with its binning error."""
    return {
        "magnetisation": float(magnetisations.mean()),
        "magnetisation_error": binning_error(magnetisations),
        "energy": float(energies.mean()),
        "energy_error": binning_error(energies),
    }


def checkerboard(lattice_size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each of two colours: its sites, shape (n,), and their neighbours, shape (4, n), as flat indices."""
    grid = np.arange(lattice_size**2).reshape(lattice_size, lattice_size)
    neighbours = np.stack([np.roll(grid, step, axis).ravel() for step in (1, -1) for axis in (0, 1)])
    colour = np.indices(grid.shape).sum(axis=0).ravel() % 2
    return [(np.flatnonzero(colour == c), neighbours[:, colour == c]) for c in (0, 1)]


def binning_error(series: np.ndarray, bins: int = BINS) -> float:
    """Standard error of the mean of a correlated series (Flyvbjerg & Petersen 1989).

    Honest when a bin is much longer than the autocorrelation time. What does not fill a bin is left out.
    """
    means = series[: len(series) // bins * bins].reshape(bins, -1).mean(axis=1)
    return float(means.std(ddof=1) / np.sqrt(bins))


def spontaneous_magnetisation(temperature: float) -> float:
    """Magnetisation per spin of the infinite lattice: (1 - sinh(2/T)^-4)^(1/8), 0 above Tc (Yang 1952)."""
    if temperature >= CRITICAL_TEMPERATURE:
        return 0.0
    return float((1 - np.sinh(2 / temperature) ** -4) ** 0.125)


def onsager_energy(temperature: float) -> float:
    """Energy per spin of the infinite lattice, by a complete elliptic integral (Onsager 1944)."""
    coupling = 1 / temperature
    # 0 at the critical point, and the integral's complementary modulus: precise where the modulus is almost 1
    complement = 2 * np.tanh(2 * coupling) ** 2 - 1
    return float(-(1 + 2 / np.pi * complement * ellipkm1(complement**2)) / np.tanh(2 * coupling))


def kaufman_energy(temperature: float, lattice_size: int) -> float:
    """Energy per spin of the periodic L x L lattice, exactly: Onsager's, before L grows (Kaufman 1949)."""
    coupling, step = 1 / temperature, 1e-5
    rise = log_partition(coupling + step, lattice_size) - log_partition(coupling - step, lattice_size)
    return float(-rise / (2 * step * lattice_size**2))


def log_partition(coupling: float, lattice_size: int) -> float:
    """Logarithm of the partition function of the periodic L x L lattice at J / T (Kaufman 1949)."""
    angles = np.pi * np.arange(2 * lattice_size) / lattice_size
    # at angle 0 the arccosh has two branches: the right one changes sign at the critical point
    cosh_gamma = np.cosh(2 * coupling) / np.tanh(2 * coupling) - np.cos(angles)
    gamma = np.concatenate([[2 * coupling + np.log(np.tanh(coupling))], np.arccosh(cosh_gamma[1:])])
    exponents = lattice_size / 2 * gamma
    size = np.abs(exponents)
    # log |2 cosh x| and log |2 sinh x| without overflow
    log_cosh, log_sinh = size + np.log1p(np.exp(-2 * size)), size + np.log(-np.expm1(-2 * size))
    terms = [log_cosh[1::2].sum(), log_sinh[1::2].sum(), log_cosh[::2].sum(), log_sinh[::2].sum()]
    signs = [1, 1, 1, np.sign(exponents[0])]
    largest = max(terms)
    total = np.sum(signs * np.exp(np.array(terms) - largest))
    return float(lattice_size**2 / 2 * np.log(2 * np.sinh(2 * coupling)) + largest + np.log(total / 2))


def compare(dataset: xr.Dataset) -> pd.DataFrame:
    """Measured against exact, a row per quantity, temperature and lattice size.

    Parameters
    ----------
    dataset : xarray.Dataset
        What `measure` returns, along `temperature`, `lattice_size` and `replicate`.

    Returns
    -------
    pandas.DataFrame
        `measured` is the mean over replicates and `error` its standard error from their scatter; `binning` is
        the same error from within the chains (the two agree when bins are long enough). `exact` is NaN where
        there is nothing to compare with: near the critical point, and for |m| above it, where a finite
        lattice keeps a rest that no formula gives. `infinite` is the value of the infinite lattice, and `z`
        is (measured - exact) / error.
    """
    n_replicates = dataset.sizes["replicate"]
    parts: list[pd.DataFrame] = []
    for quantity in ("magnetisation", "energy"):
        values, bins = dataset[quantity], dataset[f"{quantity}_error"]
        statistics = xr.Dataset(
            {
                "measured": values.mean("replicate", skipna=False),
                "error": values.std("replicate", ddof=1, skipna=False) / np.sqrt(n_replicates),
                "binning": np.sqrt((bins**2).mean("replicate", skipna=False) / n_replicates),
            }
        )
        part = statistics.to_dataframe(["temperature", "lattice_size"]).reset_index()
        points = list(zip(part["temperature"], part["lattice_size"], strict=True))
        part["exact"] = [exact_value(quantity, *point) for point in points]
        part["infinite"] = [infinite_value(quantity, temperature) for temperature, _ in points]
        part["z"] = (part["measured"] - part["exact"]) / part["error"]
        parts.append(part.assign(quantity=quantity).set_index("quantity").reset_index())
    return pd.concat(parts, ignore_index=True)


def exact_value(quantity: str, temperature: float, lattice_size: int) -> float:
    """What the mean of `quantity` has to be, NaN where this script does not check it."""
    if abs(temperature - CRITICAL_TEMPERATURE) < CHECKED_DISTANCE:
        return np.nan
    if quantity == "energy":
        return kaufman_energy(temperature, lattice_size)
    return spontaneous_magnetisation(temperature) if temperature < CRITICAL_TEMPERATURE else np.nan


def infinite_value(quantity: str, temperature: float) -> float:
    """What `quantity` tends to as the lattice grows."""
    return onsager_energy(temperature) if quantity == "energy" else spontaneous_magnetisation(temperature)


def z_threshold(n_checks: int, n_replicates: int, false_alarm: float = FALSE_ALARM) -> float:
    """|z| that any of `n_checks` correct values exceeds with probability `false_alarm` at most.

    An error bar from n values makes z a Student t with n - 1 degrees of freedom; Bonferroni shares the risk.
    """
    return float(student.isf(false_alarm / (2 * max(n_checks, 1)), n_replicates - 1))


def disagreements(table: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Rows with an exact counterpart that is further away than `threshold`, or that have no value to compare."""
    # written so that the NaN of a failed chain does not pass
    return table[table["exact"].notna() & ~(table["z"].abs() <= threshold)]


workflow = sciflow.ExperimentalWorkflow("ising")
workflow.add_task("simulate", simulate)
workflow.add_task(
    "measure",
    measure,
    depends_on=["simulate"],
    units={"magnetisation": "1", "magnetisation_error": "1", "energy": "1", "energy_error": "1"},
)
workflow.add_parameter_space(
    sciflow.Grid(temperature=[1.5, 1.8, 2.0, 2.6, 3.0], lattice_size=[16, 32]) * sciflow.Replicates(16)
)

results = sciflow.Engine().execute_parameter_sweep(workflow)

table = compare(results.dataset)
n_checks = int(table["exact"].notna().sum())
threshold = z_threshold(n_checks, results.dataset.sizes["replicate"])
n_wrong = len(disagreements(table, threshold))

print(table.to_string(index=False, float_format="{:.5f}".format, na_rep="-"))
print(f"{n_checks - n_wrong} of {n_checks} values agree with the exact ones within {threshold:.1f} standard errors.")
if n_wrong:
    raise SystemExit(1)
