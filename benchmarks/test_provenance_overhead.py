"""What it costs to record where numbers come from: CPU time against a sweep that records none of it, and bytes.

``python benchmarks/test_provenance_overhead.py`` runs the whole of it: sweeps of 1,000 variants of 50 ms with full and
with minimal capture, in turns, and the CPU seconds of all their processes. ``--quick`` runs less; the ordinary test run
executes one small round, so that this cannot rot.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

import sciflow

TASK_CPU_S = 0.05
_SWEEP = """
import sys, time
import sciflow

def work(k):
    until = time.process_time() + {cpu_s}
    while time.process_time() < until:
        pass
    return k

workflow = sciflow.ExperimentalWorkflow("overhead")
workflow.add_task("work", work)
workflow.add_parameter_space({{"k": range({n})}})
engine = sciflow.Engine(sciflow.LocalCluster(workers=2), directory=sys.argv[1], progress=False, capture=sys.argv[2])
assert engine.execute_parameter_sweep(workflow).status()["done"] == {n}
"""


def cpu_s_of(capture: str, n: int, cpu_s: float) -> float:
    """CPU seconds of a whole sweep, interpreter and workers included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "sweep.py"
        script.write_text(_SWEEP.format(n=n, cpu_s=cpu_s))
        subprocess.run([sys.executable, str(script), f"{folder}/sweeps", capture], check=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def overhead(n: int, rounds: int, cpu_s: float = TASK_CPU_S) -> tuple[float, float, float]:
    """Mean of the relative differences of *rounds* pairs, in turns, and its 95 % confidence interval."""
    pairs = []
    for k in range(rounds):
        order = ("full", "minimal") if k % 2 else ("minimal", "full")
        took = {capture: cpu_s_of(capture, n, cpu_s) for capture in order}
        pairs.append(took["full"] / took["minimal"] - 1)
        print(
            f"round {k + 1}: full {took['full']:.2f} s, minimal {took['minimal']:.2f} s: {pairs[-1]:+.2%}", flush=True
        )
    mean = float(np.mean(pairs))
    half = float(stats.t.ppf(0.975, rounds - 1) * np.std(pairs, ddof=1) / np.sqrt(rounds)) if rounds > 1 else np.inf
    return mean, mean - half, mean + half


def record_bytes(folder: Path, n: int, n_floats: int) -> dict[str, float]:
    """Bytes per variant of a sweep that records *n_floats* numbers for each: results, and all else on the disk.

    Apart from these the copy of the code is told: it is kept once, however many variants there are.
    """

    def work(a, b):
        return {"curve": np.full(n_floats, float(a))} if n_floats else {"x": a * 0.5, "y": b * 0.5}

    workflow = sciflow.ExperimentalWorkflow("bytes")
    workflow.add_task("work", work)
    workflow.add_parameter_space({"a": range(n // 100), "b": range(100)})
    engine = sciflow.Engine(sciflow.LocalCluster(workers=2), directory=folder, progress=False)
    root = engine.execute_parameter_sweep(workflow).directory
    data = 8 * (n_floats or 2)
    sizes = {path: path.stat().st_size for path in root.rglob("*") if path.is_file()}
    segments = sum(size for path, size in sizes.items() if path.parent.name == "segments")
    results = (root / "results.h5").stat().st_size
    code = sum(size for path, size in sizes.items() if root / "code" in path.parents)
    around = sum(sizes.values()) - segments - results - code
    return {
        "data": data,
        "segments": round(segments / n, 1),
        "results.h5": round(results / n, 1),
        "around": round(around / n, 1),
        "code, once": code,
    }


def test_the_figures_of_capture_can_be_taken():
    mean, low, high = overhead(20, 2, cpu_s=0.001)

    assert low <= mean <= high


def test_metadata_is_less_than_a_twentieth_of_arrays_and_scalars_stay_small(tmp_path):
    arrays, scalars = record_bytes(tmp_path / "arrays", 10_000, 1250), record_bytes(tmp_path / "scalars", 10_000, 0)
    print(f"10,000 variants of 10 kB, bytes each: {arrays}")
    print(f"10,000 variants of two numbers, bytes each: {scalars}")

    assert arrays["segments"] + arrays["around"] - arrays["data"] < 0.05 * arrays["data"]
    assert arrays["results.h5"] - arrays["data"] < 0.05 * arrays["data"]
    assert scalars["segments"] + scalars["around"] + scalars["results.h5"] - scalars["data"] <= 150


def main() -> None:
    """The figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 variants, three rounds")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    n, rounds = (200, 3) if options.quick else (1000, options.rounds)
    mean, low, high = overhead(n, rounds)
    print(
        f"{n:,} variants of {TASK_CPU_S * 1000:.0f} ms, {rounds} pairs, CPU seconds: full capture costs {mean:+.2%}, ",
        end="",
    )
    print(f"95 % confidence {low:+.2%} to {high:+.2%}")
    with tempfile.TemporaryDirectory() as folder:
        print("bytes per variant, 10 kB each:", record_bytes(Path(folder) / "arrays", 10_000, 1250))
        print("bytes per variant, two numbers each:", record_bytes(Path(folder) / "scalars", 10_000, 0))


if __name__ == "__main__":
    main()
