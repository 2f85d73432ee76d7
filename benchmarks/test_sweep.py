"""Whole sweeps of a task that does nothing: durable, labelled, consolidated.

Run and resume should be O(variants) in time and O(1) in memory of the driver: N = 10^3, 10^4, 10^5; the slope between
the last two is the cost per variant (`peers.py` sets it against the bare pool and against other libraries).
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from itertools import count

import pytest

import sciflow

SHAPES = {10**3: (10, 10, 10, 1), 10**4: (10, 10, 10, 10), 10**5: (20, 10, 50, 10), 10**6: (25, 40, 25, 40)}
RAW_BYTES = 48  # four parameters and two floats


def noop(a, b, c, d):
    return {"u": a * b + c, "v": c - a}


def workflow_of(n):
    n_a, n_b, n_c, n_d = SHAPES[n]
    workflow = sciflow.ExperimentalWorkflow("noop")
    workflow.add_task("noop", noop)
    workflow.add_parameter_space(
        {
            "a": [0.25 * (i + 1) for i in range(n_a)],
            "b": range(n_b),
            "c": [1.5 * i for i in range(n_c)],
            "d": [f"m{i:03d}" for i in range(n_d)],
        }
    )
    return workflow


@pytest.fixture
def engines(tmp_path):
    """An engine with a new directory each time it is asked for one."""
    numbers = count()
    return lambda: sciflow.Engine(
        sciflow.LocalCluster(workers=2), directory=tmp_path / str(next(numbers)), progress=False
    )


@pytest.mark.parametrize("n", [10**3, 10**4, 10**5])
def test_a_durable_sweep_of_no_ops(benchmark, engines, n):
    benchmark.group = "durable no-op sweep, 2 workers"

    results = benchmark.pedantic(
        lambda engine, workflow: engine.execute_parameter_sweep(workflow),
        setup=lambda: ((engines(), workflow_of(n)), {}),
        rounds=5,
    )

    assert results.status() == {"done": n, "failed": 0, "missing": 0}


def test_a_resume_with_nothing_to_do(benchmark, engines):
    engine = engines()
    engine.execute_parameter_sweep(workflow_of(10**5))
    benchmark.group = "resume of a finished sweep of 100,000"

    results = benchmark.pedantic(lambda: engine.execute_parameter_sweep(workflow_of(10**5)), rounds=5)

    assert results.status()["done"] == 10**5


@pytest.mark.parametrize("n", [10**4, 10**6])
def test_the_memory_of_the_driver_is_flat(benchmark, tmp_path, n):
    script = f"""
        import re, sys
        from pathlib import Path
        sys.path.insert(0, {str(__file__.rpartition("/")[0])!r})
        import sciflow
        from test_sweep import workflow_of
        engine = sciflow.Engine(sciflow.LocalCluster(workers=2), directory="sweeps", progress=False)
        status = engine.execute_parameter_sweep(workflow_of({n})).status()
        # not ru_maxrss: a child inherits that of the process which started it
        peak_kb = re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]
        print(status["done"], int(peak_kb) // 1024)
    """

    def run():
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    n_done, peak_mb = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["peak_mb"] = peak_mb

    assert int(n_done) == n
    assert int(peak_mb) < 400  # an O(variants) driver would need more at 10^6: 1 kB each is a gigabyte


def test_bytes_per_variant(benchmark, engines):
    engine = engines()
    results = benchmark.pedantic(lambda: engine.execute_parameter_sweep(workflow_of(10**5)), rounds=1)

    segments = sum(path.stat().st_size for path in (results.directory / "segments").iterdir()) / 10**5
    consolidated = results.results_file.stat().st_size / 10**5
    benchmark.extra_info |= {"segments": segments, "results.h5": consolidated, "raw": RAW_BYTES}
    print(f"bytes per variant: {segments:.1f} in the segments, {consolidated:.1f} in results.h5, {RAW_BYTES} raw")

    assert segments <= 3 * RAW_BYTES
    assert consolidated <= 2 * RAW_BYTES
