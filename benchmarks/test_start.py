"""What starting costs: whole processes, from nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest


def run(*command, cwd=None):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("code", ["", "import numpy", "import sciflow"])
def test_an_import(benchmark, code):
    benchmark.group = "python -c ..."

    benchmark.pedantic(lambda: run(sys.executable, "-c", code), rounds=7, warmup_rounds=1)


def test_help(benchmark):
    benchmark.group = "python -c ..."

    text = benchmark.pedantic(
        lambda: run(sys.executable, "-m", "sciflow.cli.main", "--help"), rounds=7, warmup_rounds=1
    )

    assert "run" in text


FIRST = """
    import json, time
    import sciflow

    def noop(a):
        return {"u": 1.0, "v": 2.0}

    first = []
    def watch(event):
        if event.name == "batch.committed" and not first:
            first.append(time.perf_counter() - begun)

    workflow = sciflow.ExperimentalWorkflow("noop")
    workflow.add_task("noop", noop)
    workflow.add_parameter_space({"a": range(1000)})
    begun = time.perf_counter()
    sciflow.Engine(progress=False, on_event=watch).execute_parameter_sweep(workflow)
    print(json.dumps({"first_s": first[0], "all_s": time.perf_counter() - begun}))
"""


def test_the_first_variant_and_a_thousand_from_a_cold_start(benchmark, tmp_path):
    (tmp_path / "script.py").write_text(textwrap.dedent(FIRST))
    folders = iter(range(100))

    def sweep():
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        return json.loads(run(sys.executable, str(tmp_path / "script.py"), cwd=folder))

    took = benchmark.pedantic(sweep, rounds=5, warmup_rounds=1)
    benchmark.extra_info |= took
    print(f"first variant committed after {took['first_s']:.2f} s, 1,000 done after {took['all_s']:.2f} s")

    assert 0 < took["first_s"] <= took["all_s"]
