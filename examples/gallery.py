"""Every type of figure that sciflow draws, as PNG files in a folder.

The results are made up here: a two-dimensional magnet near its critical temperature, with replicates, failures and what
has not run yet; small networks at random learning rates; and when runs happened on some workers. To see them as a paper
has them::

    python examples/gallery.py gallery --style paper
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

import sciflow
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACTS = ("attempt", "runtime_s")  # of each variant, beside its metrics
OF_RUNS = ("timeline", "utilisation")
CRITICAL_TEMPERATURE = 2 / np.log(1 + np.sqrt(2))


def magnet(seed: int = 1) -> xr.Dataset:
    """Magnetisation and energy over temperature, lattice size and start, eight replicates each; made up, but alike.

    A dataset as `Results.dataset` gives it: ``status`` says what failed and what has not run.
    """
    rng = np.random.default_rng(seed)
    temperatures = np.linspace(1.5, 3.0, 13).round(3)
    sizes, starts, replicates = [8, 16, 32], ["hot", "cold"], range(8)
    t, size, _, _ = np.meshgrid(temperatures, sizes, [0, 1], replicates, indexing="ij")
    width = 4 / size
    noise = 0.06 * np.exp(-(((t - CRITICAL_TEMPERATURE) / width) ** 2)) + 0.008
    magnetisation = np.clip(
        0.5 - 0.5 * np.tanh((t - CRITICAL_TEMPERATURE) / width) + noise * rng.normal(size=t.shape), 0, 1
    )
    energy = -2 + 1.35 / (1 + np.exp(-(t - CRITICAL_TEMPERATURE) / 0.22)) + noise * rng.normal(size=t.shape)
    runtime = 0.002 * size**2 * np.exp(0.15 * rng.normal(size=t.shape))
    status = np.full(t.shape, "done", dtype="<U7")
    status[-2:, 2, 0, :] = "failed"
    status[5, 1, 1, ::3] = "failed"
    status[9, 0, :, :] = "missing"
    dims = ("temperature", "lattice_size", "start", "replicate")
    done = status == "done"
    return xr.Dataset(
        {
            "status": (dims, status),
            "runtime_s": (dims, np.where(status == "missing", np.nan, runtime), {"units": "s"}),
            "magnetisation": (dims, np.where(done, magnetisation, np.nan), {"units": "1"}),
            "energy": (dims, np.where(done, energy, np.nan), {"units": "J"}),
        },
        coords={
            "temperature": ("temperature", temperatures, {"units": "K"}),
            "lattice_size": sizes,
            "start": starts,
            "replicate": list(replicates),
        },
        attrs={"workflow": "magnet"},
    )


def networks(n: int = 300, seed: int = 2) -> xr.Dataset:
    """Accuracy of small networks at random settings, one row per variant; made up, but alike."""
    rng = np.random.default_rng(seed)
    rate = 10 ** rng.uniform(-4, -0.5, n)
    dropout = rng.uniform(0, 0.6, n)
    layers = rng.integers(1, 5, n)
    optimiser = rng.choice(["sgd", "adam", "rmsprop"], n)
    best = np.where(optimiser == "sgd", -1.6, -2.6)
    accuracy = 0.97 - 0.09 * (np.log10(rate) - best) ** 2 - 0.35 * (dropout - 0.2) ** 2 + 0.01 * layers
    accuracy = np.clip(accuracy + 0.012 * rng.normal(size=n), 0.1, 0.995)
    runtime = 3 * layers * (1 + 0.5 * (optimiser == "adam")) * np.exp(0.2 * rng.normal(size=n))
    failed = (rate > 0.15) & (optimiser == "sgd")
    accuracy[failed] = np.nan
    return xr.Dataset(
        {
            "status": ("variant", np.where(failed, "failed", "done")),
            "runtime_s": ("variant", runtime, {"units": "s"}),
            "accuracy": ("variant", accuracy),
            "loss": ("variant", 3 * (1 - accuracy) ** 1.5, {"units": "1"}),
        },
        coords={
            "variant": [f"v{at:020x}" for at in range(n)],
            "learning_rate": ("variant", rate),
            "dropout": ("variant", dropout),
            "layers": ("variant", layers),
            "optimiser": ("variant", optimiser),
        },
        attrs={"workflow": "networks"},
    )


def adam() -> xr.Dataset:
    """The networks with one of the optimisers."""
    made = networks(600)
    return made.isel(variant=made.optimiser == "adam")


def complete() -> xr.Dataset:
    """The temperatures of the magnet at which nothing failed or is missing."""
    made = magnet()
    return made.isel(temperature=(made.status == "done").all(["lattice_size", "start", "replicate"]).to_numpy())


def critical() -> xr.Dataset:
    """The hot magnets near the critical temperature."""
    return magnet().sel(start="hot", temperature=[2.25])


def costly() -> xr.Dataset:
    """The magnet with the memory that each process took, which goes with the number of sites."""
    made = magnet()
    sites = made.lattice_size**2 * xr.ones_like(made.runtime_s)
    return made.assign(peak_bytes=(60e6 + 2e5 * sites).assign_attrs(units="B"))


def runs(seed: int = 3) -> xr.Dataset:
    """When and where runs of two sessions on four workers happened, half a day apart; made up."""
    rng = np.random.default_rng(seed)
    free = np.array([0.0, 1.5, 2.0, 2.5])
    parts = []
    for session in (1, 2):
        for _ in range(60):
            worker = int(free.argmin())
            took = float(rng.gamma(2.0, 3.0))
            parts.append((free[worker], took, f"node1:{4100 + 100 * session + worker}", session, rng.random() < 0.06))
            free[worker] += took + 0.3
        free += 43_200
    start, took, worker, sessions, failed = zip(*parts, strict=True)
    return xr.Dataset(
        {
            "start_s": ("run", 1.7e9 + np.array(start)),
            "runtime_s": ("run", np.array(took)),
            "worker": ("run", np.array(worker, dtype=object)),
            "session": ("run", np.array(sessions)),
            "status": ("run", np.where(failed, "failed", "done")),
        },
        attrs={"workflow": "magnet"},
    )


def many_runs() -> xr.Dataset:
    """The same many times over, on as many nodes."""
    made = [runs(seed).assign(worker=("run", [f"node{seed}:{k % 4}" for k in range(120)])) for seed in range(40)]
    return xr.concat(made, "run")


FIGURES = {
    "heatmap": (magnet, {"x": "temperature", "y": "lattice_size", "value": "magnetisation"}),
    "heatmap facets": (
        magnet,
        {"x": "temperature", "y": "lattice_size", "value": "magnetisation", "facet_by": ("start",)},
    ),
    "heatmap random": (adam, {"x": "learning_rate", "y": "dropout", "value": "accuracy"}),
    "line": (magnet, {"x": "temperature", "y": "magnetisation", "hue": "lattice_size"}),
    "line random": (networks, {"x": "learning_rate", "y": "accuracy", "hue": "optimiser"}),
    "scatter": (networks, {"x": "learning_rate", "y": "accuracy", "hue": "optimiser"}),
    "scatter scale": (networks, {"x": "learning_rate", "y": "runtime_s", "hue": "loss"}),
    "bar": (networks, {"x": "layers", "y": "runtime_s", "hue": "optimiser"}),
    "box": (networks, {"x": "optimiser", "y": "accuracy", "hue": "layers"}),
    "violin": (magnet, {"x": "lattice_size", "y": "energy", "hue": "start"}),
    "histogram": (networks, {"x": "accuracy"}),
    "histogram hue": (magnet, {"x": "magnetisation", "hue": "lattice_size"}),
    "ecdf": (networks, {"x": "accuracy", "hue": "optimiser"}),
    "contour": (magnet, {"x": "temperature", "y": "lattice_size", "value": "magnetisation"}),
    "contour random": (adam, {"x": "learning_rate", "y": "dropout", "value": "accuracy"}),
    "surface": (magnet, {"x": "temperature", "y": "lattice_size", "value": "magnetisation"}),
    "parallel": (networks, {"value": "accuracy"}),
    "pairs": (networks, {"columns": ("learning_rate", "dropout", "accuracy", "runtime_s"), "hue": "optimiser"}),
    "pareto": (networks, {"objectives": {"accuracy": "max", "runtime_s": "min"}, "hue": "optimiser"}),
    "main_effects": (magnet, {"value": "magnetisation"}),
    "main_effects random": (networks, {"value": "accuracy"}),
    "interaction": (magnet, {"x": "temperature", "hue": "lattice_size", "value": "magnetisation"}),
    "tornado": (complete, {"value": "magnetisation"}),
    "tornado random": (networks, {"value": "accuracy"}),
    "convergence": (magnet, {"value": "magnetisation"}),
    "convergence few": (critical, {"value": "magnetisation"}),
    "failure_map": (magnet, {}),
    "runtime": (magnet, {}),
    "memory": (costly, {}),
    "timeline": (runs, {}),
    "timeline many": (many_runs, {}),
    "utilisation": (runs, {}),
}
"""Name, which begins with the type, and what it is drawn of with which options."""


def figures_of(results: sciflow.Results) -> dict[str, dict[str, Any]]:
    """For each type of figure the options that suit a sweep; types that need more than it has are left out."""
    dataset = results.dataset
    numbers = [name for name in dataset.data_vars if name not in FACTS and dataset[name].dtype.kind in "iuf"]
    metrics = [name for name in numbers if dataset[name].dims == dataset.status.dims]
    names = [name for name in dataset.status.dims if dataset.sizes[name] > 1 and name != "replicate"]
    names.sort(key=lambda name: (dataset[name].dtype.kind not in "iuf", -dataset.sizes[name]))
    found: dict[str, dict[str, Any]] = {kind: {} for kind in ("failure_map", "runtime", "memory", *OF_RUNS)}
    if not metrics or not names:
        return found
    value, x = metrics[0], names[0]
    few = [name for name in names[1:] if dataset.sizes[name] <= 6]
    hue = {"hue": few[0]} if few else {}
    found |= {kind: {"x": x, "y": value, **hue} for kind in ("line", "scatter", "bar", "box", "violin")}
    found |= {kind: {"x": value, **hue} for kind in ("histogram", "ecdf")}
    found |= {kind: {"value": value} for kind in ("parallel", "main_effects", "tornado")}
    found["pairs"] = {"columns": (x, *metrics[:3]), **hue}
    if len(names) > 1:
        found["heatmap"] = {"x": x, "y": names[1], "value": value}
        found["interaction"] = {"x": x, "hue": names[1], "value": value}
    if len(few) > 1:
        found["heatmap facets"] = {**found["heatmap"], "facet_by": (few[1],)}
    if len(names) > 1 and all(dataset[name].dtype.kind in "iuf" for name in names[:2]):
        found |= dict.fromkeys(("contour", "surface"), found["heatmap"])
    if len(metrics) > 1:
        found["pareto"] = {"objectives": {value: "max", metrics[1]: "min"}, **hue}
    if "replicate" in dataset.dims:
        found["convergence"] = {"value": value}
    return found


def main() -> None:
    """Draw all figures, or those of some types."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="gallery", type=Path)
    parser.add_argument("--style", choices=["paper", "notebook", "talk"], default="notebook")
    parser.add_argument("--format", default="png", choices=["png", "pdf", "svg"])
    parser.add_argument(
        "--sweep", action="append", default=[], type=Path, help="folder of a sweep; may be given several times"
    )
    parser.add_argument("--only", nargs="*", help="types of figures")
    options = parser.parse_args()
    for folder in options.sweep:
        draw_sweep(folder, options)
    for name, (make, keywords) in ({} if options.sweep else FIGURES).items():
        kind = name.split()[0]
        if is_wanted(kind, options):
            save(getattr(sciflow.plots, kind)(make(), **keywords, style=options.style), name, options)


def draw_sweep(folder: Path, options: argparse.Namespace) -> None:
    """Draw what suits a sweep, and say why the rest cannot be drawn."""
    results = sciflow.open_results(folder)
    for name, keywords in figures_of(results).items():
        kind = name.split()[0]
        if is_wanted(kind, options):
            try:
                figure = results.plot({"type": kind, **keywords}, style=options.style)
            except ResultsError as error:  # a sweep without failures has no map of them
                print(f"left out: {name} of {folder.name}: {error}")
            else:
                save(figure, f"{folder.name} {name}", options)


def is_wanted(kind: str, options: argparse.Namespace) -> bool:
    """Whether figures of a type were asked for."""
    return not options.only or kind in options.only


def save(figure: Figure, name: str, options: argparse.Namespace) -> None:
    """Write one figure and say where."""
    options.folder.mkdir(parents=True, exist_ok=True)
    for path in sciflow.plots.save_figure(figure, options.folder / name.replace(" ", "_"), [options.format]):
        print(path)


if __name__ == "__main__":
    main()
