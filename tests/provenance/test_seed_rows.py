"""What metadata has to hold, asked of what a small real sweep on two workers has recorded."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
import textwrap
from datetime import datetime
from pathlib import Path

import pytest

import sciflow
from sciflow.analysis.metadata import provenance_text

ROOT = Path(__file__).parents[2]

STEPS = """
    import time
    from pathlib import Path

    import numpy as np

    HERE = Path(__file__).parent


    def load(scale):
        return np.loadtxt(HERE / "data.csv") * scale


    def simulate(load, rate, context):
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        noise = context.rng.normal()
        return {"loss": float(load.sum() * rate + noise), "curve": load * rate}


    def draw(loss, curve, rate, context):
        path = context.artifact("figure.txt")
        path.write_text(f"{loss}")
        if rate > 2:
            raise ValueError("too fast")
        return {"loss": loss, "curve": curve, "figure": str(path)}
"""

RUN = """
    import sciflow
    import steps

    workflow = sciflow.ExperimentalWorkflow("seed_rows", seed=11)
    workflow.add_input("data.csv")
    workflow.add_task("load", steps.load)
    workflow.add_task("simulate", steps.simulate, depends_on=["load"])
    workflow.add_task("draw", steps.draw, depends_on=["simulate"])
    workflow.add_parameter_space({"scale": [1.0, 2.0], "rate": [0.5, 1.5, 2.5]})
    sciflow.Engine(sciflow.LocalCluster(workers=2), progress=False).execute_parameter_sweep(workflow)
"""


def git(folder, *words):
    who = {f"GIT_{role}_{what}": "a@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A repository with one uncommitted edit, in which the sweep has run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "steps.py").write_text(textwrap.dedent(STEPS))
    (folder / "data.csv").write_text("1\n2\n3\n")
    (folder / "run.py").write_text("")
    (folder / ".gitignore").write_text("sweeps/\n__pycache__/\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "begin")
    (folder / "run.py").write_text(textwrap.dedent(RUN))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def results(project):
    return sciflow.open_results(project / "sweeps" / "seed_rows")


DONE = {"scale": 1.0, "rate": 0.5}
FAILED = {"scale": 1.0, "rate": 2.5}


def test_captures_all_environmental_factors_libraries_and_versions(results):
    record = results.provenance(DONE).to_dict()["environment"]

    assert record["python"]["version"] == platform.python_version()
    for package in ("numpy", "xarray", "dask"):
        assert record["packages"][package] == importlib.metadata.version(package)
    assert record["system"]["os"]
    assert record["machine"]["cpu"]
    assert record["machine"]["memory_bytes"] > 1 << 28
    assert record["numeric"]["libraries"][0]["num_threads"] == 1
    assert record["variables"]["OMP_NUM_THREADS"] == "1"
    # the very record that the description of the whole sweep has, once for all variants
    known = dict(results.metadata["environments"])
    digest = record.pop("digest")
    assert known[digest] == record
    assert results.environment_counts() == {digest: 6}


def test_records_all_input_parameters_and_data_sources(project, results):
    metadata, trace = results.metadata, results.provenance(DONE).to_dict()

    assert trace["parameters"] == DONE
    variants = [results.provenance(one).to_dict()["parameters"] for one in results.to_dataframe().index]
    assert sorted((one["scale"], one["rate"]) for one in variants) == [
        (scale, rate) for scale in (1.0, 2.0) for rate in (0.5, 1.5, 2.5)
    ]
    sha256 = hashlib.sha256((project / "data.csv").read_bytes()).hexdigest()
    (entry,) = metadata["inputs"]
    assert (entry["name"], entry["sha256"], entry["size_bytes"]) == ("data.csv", sha256, 6)
    assert [one["sha256"] for one in trace["inputs"]] == [sha256]
    assert metadata["seeds"]["sweep"] == 11
    assert isinstance(next(one["seed"] for one in trace["tasks"] if one["name"] == "simulate"), int)
    space = repr(metadata["definition"]["space"])
    assert "scale" in space
    assert "rate" in space


def test_tracks_execution_timing_and_resource_utilization(results):
    run = results.provenance(DONE).to_dict()["run"]

    begun, ended = datetime.fromisoformat(run["start"]), datetime.fromisoformat(run["end"])
    (session,) = results.metadata["sessions"]
    assert datetime.fromisoformat(session["since"]).replace(microsecond=0) <= begun <= ended
    assert (ended - begun).total_seconds() == pytest.approx(run["wall_s"], abs=2e-3)
    assert run["cpu_s"] >= 0.04  # the task uses 0.05 s
    assert run["system_s"] >= 0
    assert run["peak_bytes"] > 10 << 20
    assert run["read_bytes"] >= 0
    assert run["written_bytes"] > 0  # the artifact
    assert run["attempt"] == 1
    assert run["worker"].startswith(socket.gethostname())
    assert run["n_cores"] >= 1
    seconds = {one["name"]: one["seconds"] for one in results.provenance(DONE).to_dict()["tasks"]}
    assert seconds["simulate"] >= 0.04
    assert results.metadata["core_hours"] > 6 * 0.05 / 3600


def test_documents_all_generated_outputs_and_artifacts(project, results):
    trace = results.provenance(DONE).to_dict()

    assert trace["outputs"]["loss"] == results.get_metric(DONE, "loss")
    assert trace["outputs"]["curve"] == {"shape": [3], "dtype": "float64"}
    (made,) = trace["artifacts"]["generated"]
    file = project / "sweeps" / "seed_rows" / "artifacts" / made["artifact"]
    assert made["task"] == "draw"
    assert made["artifact"] == f"{trace['variant']}/figure.txt"
    assert made["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert made["size_bytes"] == file.stat().st_size
    # what failed is documented too: why, and what it had written by then
    failed = results.provenance(FAILED).to_dict()
    assert (failed["failure"]["task"], failed["failure"]["message"]) == ("draw", "too fast")
    assert [one["task"] for one in failed["artifacts"]["generated"]] == ["draw"]


def test_maintains_execution_provenance_and_dependencies(project, results):
    trace = results.provenance(DONE).to_dict()

    tasks = {one["name"]: one for one in trace["tasks"]}
    assert {name: one["depends_on"] for name, one in tasks.items()} == {
        "load": [],
        "simulate": ["load"],
        "draw": ["simulate"],
    }
    assert {one["status"] for one in tasks.values()} <= {"done", "shared"}
    assert len({one["fingerprint"] for one in tasks.values()}) == 3
    repository = trace["code"]["repository"]
    assert repository["commit"] == git(project, "rev-parse", "HEAD")
    assert repository["branch"] == "main"
    assert repository["dirty"]
    # the tree that ran is the commit with the edit
    git(project, "add", "run.py")
    assert repository["tree"] == git(project, "write-tree")
    frozen = project / "sweeps" / "seed_rows" / "code" / trace["code"]["tree"]
    assert (frozen / "steps.py").read_text() == textwrap.dedent(STEPS)
    words = str(results.provenance(DONE))
    for known in (repository["commit"][:12], "data.csv", "after load", "sha256", "figure.txt"):
        assert known in words
    summary = provenance_text(
        results.metadata, results.environment_counts(), results.environment_differences(), results.origins()
    )
    assert repository["commit"][:12] in summary
    (origin,) = results.metadata["origins"]
    assert (origin["session"], origin["n_variants"]) == (trace["session"]["session"], 6)
