"""From a finished sweep to a number or a labelled dataset.

Opening and ranking should be O(variants): N = 10^4, 10^6 scalar variants. At 10^4 the same dataset is made from one
file per run, as people do without a store: `pandas.concat` of CSV files, `xarray.concat` of netCDF files.

As a script it prints a table of wall and CPU seconds and of peak memory, each measured in a process of its own::

    python benchmarks/test_analysis.py

With ``--pipefunc PYTHON``, an interpreter that has pipefunc, its `load_xarray_dataset` is measured beside them, of a
``file_array`` of as many variants.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import sciflow

pytestmark = pytest.mark.filterwarnings("ignore:.*share the")  # d does not matter, so that the best are many

SHAPES = {10**4: (10, 10, 10, 10), 10**6: (25, 40, 25, 40)}


def noop(a, b, c, d):
    return {"u": a * b + c, "v": c - a}


def sweep_of(n, directory):
    """A finished sweep of *n* variants with two metrics."""
    n_a, n_b, n_c, n_d = SHAPES[n]
    workflow = sciflow.ExperimentalWorkflow(f"noop{n}")
    workflow.add_task("noop", noop)
    workflow.add_parameter_space(
        {
            "a": [0.25 * (i + 1) for i in range(n_a)],
            "b": range(n_b),
            "c": [1.5 * i for i in range(n_c)],
            "d": [f"m{i:03d}" for i in range(n_d)],
        }
    )
    engine = sciflow.Engine(sciflow.LocalCluster(workers=2), directory=directory, progress=False)
    return engine.execute_parameter_sweep(workflow).directory


def files_of(sweep, folder, n):
    """One CSV and one netCDF file for each of *n* variants, as runs without a store leave them.

    The netCDF files are copies of one: writing them takes minutes, and reading takes as long whatever is in them.
    """
    for number, (variant, record) in zip(range(n), sciflow.open_results(sweep).iter_variants(), strict=False):
        row = {**variant, "u": record["u"], "v": record["v"]}
        pd.DataFrame([row]).to_csv(folder / f"{number:06d}.csv", index=False)
        path = folder / f"{number:06d}.nc"
        if number:
            path.write_bytes((folder / "000000.nc").read_bytes())
        else:
            xr.Dataset.from_dataframe(pd.DataFrame([row])).to_netcdf(path, engine="h5netcdf")


def best(sweep):
    return sciflow.open_results(sweep).find_optimal_parameters("u")


def dataset(sweep):
    return sciflow.open_results(sweep).dataset.load()


def frames_of_files(folder):
    return pd.concat(map(pd.read_csv, sorted(folder.glob("*.csv"))))


def datasets_of_files(folder):
    return xr.concat(
        [xr.open_dataset(path, engine="h5netcdf").load() for path in sorted(folder.glob("*.nc"))], dim="index"
    )


STATISTICS = {
    "find_optimal_parameters": lambda results: results.find_optimal_parameters("u"),
    "… where": lambda results: results.find_optimal_parameters("u", where="v < 3 and d != 'm001'"),
    "… of two metrics by weights": lambda results: results.find_optimal_parameters({"u": 1, "v": -1}),
    "optimum": lambda results: results.optimum("u"),
    "pareto_front of two": lambda results: results.pareto_front({"u": "max", "v": "min"}),
    "pareto_front of three": lambda results: results.pareto_front({"u": "max", "v": "min", "runtime_s": "min"}),
    "summary": lambda results: results.summary(),
    "summary by a": lambda results: results.summary(by="a"),
    "main_effects": lambda results: results.main_effects("u"),
    "interactions": lambda results: results.interactions("u"),
    "sensitivity": lambda results: results.sensitivity("u"),
    "compare": lambda results: results.compare(a="d == 'm000'", b="d == 'm001'"),
    "success": lambda results: results.success({"u": "> 3"}),
    "dataset": lambda results: results.dataset,
    "iter_variants": lambda results: sum(1 for _ in results.iter_variants()),
}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps")
    made = {}
    return lambda n: made.setdefault(n, sweep_of(n, folder))


@pytest.mark.parametrize("n", [10**4, 10**6])
def test_open_and_find_the_best(benchmark, sweeps, n):
    benchmark.group = "open_results + find_optimal_parameters"
    sweep = sweeps(n)

    found = benchmark.pedantic(best, (sweep,), rounds=3)

    assert found["a"] == 0.25 * SHAPES[n][0]


@pytest.mark.parametrize("n", [10**4, 10**6])
def test_open_and_label(benchmark, sweeps, n):
    benchmark.group = "open_results + dataset"
    sweep = sweeps(n)

    found = benchmark.pedantic(dataset, (sweep,), rounds=3)

    assert found.u.size == n
    assert float(found.u.sel(a=0.5, b=2, c=3.0, d="m001")) == 4.0


@pytest.mark.parametrize("name", list(STATISTICS))
def test_statistics(benchmark, sweeps, name):
    benchmark.group = "statistics of 10,000 variants"
    results = sciflow.open_results(sweeps(10**4))

    assert benchmark.pedantic(STATISTICS[name], (results,), rounds=3) is not None


def test_files_of_runs_hold_the_same(sweeps, tmp_path):
    sweep = sweeps(10**4)
    some = 50
    files_of(sweep, tmp_path, some)

    read = frames_of_files(tmp_path)

    assert read["u"].tolist() == dataset(sweep).u.to_numpy().ravel()[:some].tolist()
    assert datasets_of_files(tmp_path).sizes == {"index": some}


# ---------------------------------------------------------------------------------------------------------- as a script


def _measured(work, path):
    """Wall seconds, CPU seconds and peak memory of a call in a process of its own, imports left out."""
    code = f"""
import json, re, sys, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_analysis as bench
import dask.array, matplotlib, pandas, scipy.stats, xarray
import sciflow.analysis.results
from pathlib import Path
wall, cpu = time.perf_counter(), time.process_time()
bench.{work}(Path({str(path)!r}))
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps([wall, cpu, peak]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


PIPEFUNC = """
import json, re, sys, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import xarray
from pipefunc import PipeFunc, Pipeline
from pipefunc.map import load_xarray_dataset

def noop(a, b, c, d):
    return a * b + c, c - a

def make(folder):
    spec = "a[i], b[j], c[k], d[l] -> u[i, j, k, l], v[i, j, k, l]"
    values = {"a": [0.25 * (i + 1) for i in range(10)], "b": list(range(10)), "c": [1.5 * i for i in range(10)]}
    values["d"] = [f"m{i:03d}" for i in range(10)]
    with ProcessPoolExecutor(2) as pool:
        Pipeline([PipeFunc(noop, ("u", "v"), mapspec=spec)]).map(
            values, run_folder=folder, executor=pool, storage="file_array", show_progress=False, return_results=False
        )

if __name__ == "__main__":
    if not Path(sys.argv[1]).exists():
        make(sys.argv[1])
    wall, cpu = time.perf_counter(), time.process_time()
    load_xarray_dataset("u", "v", run_folder=sys.argv[1]).load()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
    print(json.dumps([wall, cpu, peak]))
"""


def _measured_pipefunc(python, scratch):
    """The same of pipefunc's load_xarray_dataset, of 10,000 variants; a run of them is made at the first call."""
    script = Path(scratch) / "peer.py"  # a file, for processes of a pool import it
    script.write_text(PIPEFUNC)
    command = [python, str(script), str(Path(scratch) / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def statistics(sweep):
    """Print the time of each statistic of an opened sweep."""
    results = sciflow.open_results(sweep)
    for name, work in STATISTICS.items():
        wall, cpu = time.perf_counter(), time.process_time()
        work(results)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"  {name:30s} {wall:8.2f} s {cpu:8.2f} s CPU", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=10**4, help="of how many variants there are files at 10,000")
    parser.add_argument("--pipefunc", metavar="PYTHON", help="interpreter that has pipefunc, to compare with")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    with tempfile.TemporaryDirectory() as scratch:
        for n in options.sizes:
            sweep = sweep_of(n, scratch)
            works = {"open + best": ("best", sweep), "open + dataset": ("dataset", sweep)}
            if n == 10**4:
                files = Path(scratch) / "files"
                files.mkdir()
                files_of(sweep, files, options.files)
                works |= {
                    f"pandas.concat of {options.files:,} CSV": ("frames_of_files", files),
                    f"xarray.concat of {options.files:,} netCDF": ("datasets_of_files", files),
                }
            print(f"{n:,} variants (best of {options.rounds})")
            for name, (work, path) in works.items():
                wall, cpu, peak = np.min([_measured(work, path) for _ in range(options.rounds)], axis=0)
                print(f"  {name:30s} {wall:8.2f} s {cpu:8.2f} s CPU {peak:8.0f} MiB", flush=True)
            if n == 10**4 and options.pipefunc:
                _measured_pipefunc(options.pipefunc, scratch)  # the first one makes the run
                found = [_measured_pipefunc(options.pipefunc, scratch) for _ in range(options.rounds)]
                wall, cpu, peak = np.min(found, axis=0)
                print(f"  {'pipefunc load_xarray_dataset':30s} {wall:8.2f} s {cpu:8.2f} s CPU {peak:8.0f} MiB")
            statistics(sweep)


if __name__ == "__main__":
    main()
