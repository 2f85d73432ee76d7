"""The same no-op sweep by sciflow, by the bare pool that is its floor, and by its peers, interleaved in one run.

    python benchmarks/peers.py                                   sciflow and the pool, in this environment
    python benchmarks/peers.py --pipefunc PYTHON --xyzpy PYTHON  the peers too, each with its own interpreter

Each measurement is a process of its own: it imports its library, makes one small sweep that is not counted, and then
times one call, from the call until it returns (the pool stores nothing; sciflow, pipefunc and xyzpy end with all
results on disk). Rounds are interleaved, so that a drift of the machine's speed meets everybody. N grows by 10; the
slope between the two largest N is the cost per variant with start-up taken out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHAPES = {
    10: (1, 1, 1, 10),
    1_000: (10, 10, 10, 1),
    10_000: (10, 10, 10, 10),
    100_000: (20, 10, 50, 10),
    1_000_000: (25, 40, 25, 40),
}
WORKERS = 2
SIZES = {"pool": (1_000, 100_000), "sciflow": (1_000, 100_000), "pipefunc": (1_000, 10_000), "xyzpy": (1_000, 10_000)}


def noop(a, b, c, d):
    """Cost next to nothing; four parameters in, two floats out."""
    return {"u": a * b + c, "v": c - a}


def noop_of_tuple(values):
    return noop(*values)


def noop_pair(a, b, c, d):
    return a * b + c, c - a


def axes(n):
    n_a, n_b, n_c, n_d = SHAPES[n]
    return {
        "a": [0.25 * (i + 1) for i in range(n_a)],
        "b": list(range(n_b)),
        "c": [1.5 * i for i in range(n_c)],
        "d": [f"m{i:03d}" for i in range(n_d)],
    }


def run_pool(n, folder):
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        pool.map(noop_of_tuple, [(1.0, 1, 1.0, "m")] * 4)
        begun = time.perf_counter()
        for _ in pool.imap_unordered(noop_of_tuple, itertools.product(*axes(n).values()), chunksize=500):
            pass
        return time.perf_counter() - begun


def run_sciflow(n, folder):
    import sciflow

    workflow = sciflow.ExperimentalWorkflow(f"noop{n}")
    workflow.add_task("noop", noop)
    workflow.add_parameter_space(axes(n))
    engine = sciflow.Engine(sciflow.LocalCluster(workers=WORKERS), directory=folder, progress=False)
    begun = time.perf_counter()
    results = engine.execute_parameter_sweep(workflow)
    took = time.perf_counter() - begun
    assert results.status()["done"] == n
    return took


def run_pipefunc(n, folder):
    from concurrent.futures import ProcessPoolExecutor

    from pipefunc import Pipeline, pipefunc

    decorate = pipefunc(output_name=("u", "v"), mapspec="a[i], b[j], c[k], d[l] -> u[i, j, k, l], v[i, j, k, l]")
    pipeline = Pipeline([decorate(noop_pair)])
    with ProcessPoolExecutor(WORKERS) as executor:
        begun = time.perf_counter()
        pipeline.map(
            axes(n), run_folder=str(Path(folder) / f"run{n}"), storage="file_array", executor=executor, parallel=True
        )
        return time.perf_counter() - begun


def run_xyzpy(n, folder):
    import xyzpy

    runner = xyzpy.Runner(noop_pair, var_names=["u", "v"], fn_args=["a", "b", "c", "d"])
    harvester = xyzpy.Harvester(runner, data_name=str(Path(folder) / f"results{n}.h5"))
    begun = time.perf_counter()
    harvester.harvest_combos(axes(n), parallel=True, num_workers=WORKERS, verbosity=0)
    return time.perf_counter() - begun


RUNS = {"pool": run_pool, "sciflow": run_sciflow, "pipefunc": run_pipefunc, "xyzpy": run_xyzpy}


def measure(peer, n):
    """Run in the process of one measurement."""
    with tempfile.TemporaryDirectory() as folder:
        RUNS[peer](10, folder)
        print(json.dumps(RUNS[peer](n, folder)))


def measured(python, peer, n):
    done = subprocess.run(
        [python, __file__, "--measure", peer, str(n)], capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise SystemExit(f"{peer} failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def compare(pythons, rounds):
    """Seconds of every measurement: peer → N → list over rounds."""
    seconds = {peer: {n: [] for n in SIZES[peer]} for peer in pythons}
    for _ in range(rounds):
        for peer, python in pythons.items():
            for n in SIZES[peer]:
                seconds[peer][n].append(measured(python, peer, n))
    return seconds


def slope_us(seconds):
    (small, few), (large, many) = sorted((n, statistics.median(took)) for n, took in seconds.items())
    return (many - few) / (large - small) * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pipefunc", metavar="PYTHON")
    parser.add_argument("--xyzpy", metavar="PYTHON")
    parser.add_argument("--measure", nargs=2, metavar=("PEER", "N"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure[0], int(given.measure[1]))
        return
    pythons = {"pool": sys.executable, "sciflow": sys.executable, "pipefunc": given.pipefunc, "xyzpy": given.xyzpy}
    seconds = compare({peer: python for peer, python in pythons.items() if python}, given.rounds)
    floor = slope_us(seconds["pool"])
    print(f"{'':10}{'N':>9} {'median s':>9} {'min s':>7}   {'us/variant':>10}  (slope, against the pool's)")
    for peer, by_n in seconds.items():
        for n, took in by_n.items():
            print(f"{peer:10}{n:>9,} {statistics.median(took):>9.3f} {min(took):>7.3f}")
        cost = slope_us(by_n)
        print(f"{'':28}   {cost:>10.2f}  {cost / floor:.2f}x")


if __name__ == "__main__":
    main()
