"""A small project that is under version control, and the sweep that its script makes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import numpy as np
import sciflow
from helper import scaled


def prepare(n):
    return {"data": np.arange(n) * 1.0}


def simulate(data, rate, context):
    if rate == 3:
        raise ValueError("bad rate, see /home/somebody/notes/rates.txt")
    context.artifact("note.txt").write_text(f"rate {rate}")
    return {"energy": float(scaled(data).sum() * rate), "field": np.arange(5.0) * rate, "label": f"r{rate}"}


workflow = sciflow.ExperimentalWorkflow("study", seed=3)
workflow.add_task("prepare", prepare)
workflow.add_task("simulate", simulate, depends_on=["prepare"], units={"energy": "eV"})
workflow.add_input("input.csv")
workflow.add_parameter_space({"n": [4, 8], "rate": [1, 2, 3]})
results = sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
"""
HELPER = """
SCALE = 2.0


def scaled(x):
    return SCALE * x
"""


def run_script(folder: Path, script: str = "study.py") -> None:
    environ = {**os.environ, "SCIFLOW_POLICY": "immediate"}
    done = subprocess.run([sys.executable, script], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a change that was not committed, after its script has run."""
    folder = tmp_path_factory.mktemp("packed") / "project"
    folder.mkdir()
    (folder / "study.py").write_text(SCRIPT)
    (folder / "helper.py").write_text(textwrap.dedent(HELPER))
    (folder / "input.csv").write_text("a,b\n1,2\n")
    (folder / "LICENSE").write_text("Do as you like.\n")
    identity = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True, env={**os.environ, **identity})
    (folder / "helper.py").write_text(textwrap.dedent(HELPER) + "# changed\n")
    run_script(folder)
    return folder


@pytest.fixture(scope="session")
def study(project: Path) -> Path:
    """The sweep of the project: 4 variants are done and 2 failed."""
    return project / "sweeps" / "study"
