"""Scripts such as users write, and the command line to run them with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from click.testing import CliRunner, Result

from sciflow.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sciflow

def square(a, b):
    if a == FAILING:
        raise ArithmeticError(f"a is {a}")
    return {"y": a * a + b}

workflow = sciflow.ExperimentalWorkflow("squares")
workflow.add_task("square", square)
workflow.add_parameter_space({"a": [1, 2, 3], "b": [0.0, 0.5]})
workflow.add_visualization("map", {"type": "heatmap", "x_axis": "a", "y_axis": "b", "value": "y"})
print("before the sweep")
results = sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
print("after the sweep:", dict(results.find_optimal_parameters("y")))
"""


class Sciflow(Protocol):
    def __call__(self, *arguments: str, expect: int = 0) -> Result: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def study() -> str:
    """The text of the usual script."""
    return SCRIPT


@pytest.fixture
def script(folder: Path) -> Callable[..., str]:
    """Write a script into the working directory and give its name."""

    def write(text: str = SCRIPT, name: str = "study.py", failing: int = -1) -> str:
        (folder / name).write_text(text.replace("FAILING", str(failing)))
        return name

    return write


@pytest.fixture
def sciflow(folder: Path) -> Sciflow:
    """The command line in this process."""

    def invoke(*arguments: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == expect, (result.output, result.exception)
        return result

    return invoke


@pytest.fixture
def sciflow_process(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line in a process of its own."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sciflow.cli.main", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
        )

    return start
