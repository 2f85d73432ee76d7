"""What the steps of a workflow are, and what they took."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Sciflow

STUDY = """
import sciflow

def load(source):
    return {"data": source}

def fit(data, size):
    return {"loss": size / 2}

def plot(loss):
    return {"picture": "drawn"}

def mean(loss):
    return {"mean_loss": float(loss.mean())}

workflow = sciflow.ExperimentalWorkflow("steps")
workflow.add_task("load", load, cache=True)
workflow.add_task("fit", fit, depends_on=["load"], retry=3, timeout="2h", fallback=0.5)
workflow.add_task("plot", plot, depends_on=["fit"], condition="loss < 1", critical=False)
workflow.add_task("gather", mean, depends_on=["fit"], over="size")
workflow.add_parameter_space({"source": [1, 2], "size": [1, 2, 3]})
workflow.set_resource_requirements({"fit": {"cpu_cores": 2, "memory_gb": 0.5}})
results = sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
"""


def test_tasks_of_a_script_say_how_often_they_run_and_what_they_ask_for(
    script: Callable[..., str], sciflow: Sciflow
) -> None:
    told = sciflow("tasks", script(STUDY)).stdout.splitlines()

    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in told]
    assert rows == [
        ["steps: 4 tasks"],
        ["task", "after", "one run for each", "asks for"],
        ["load", "-", "source (2)", "1 core; what it returns is kept"],
        [
            "fit",
            "load",
            "source, size (6)",
            "2 cores, 476.8 MiB; at most 2 h 0 min an attempt; 3 attempts; if it fails 0.5",
        ],
        ["plot", "fit", "source, size (6)", "1 core; only if loss < 1; a variant goes on without it"],
        ["gather", "fit", "source (2)", "1 core; once for all of size"],
    ]


def test_tasks_of_a_sweep_say_what_they_took(script: Callable[..., str], sciflow: Sciflow) -> None:
    name = script(STUDY)
    sciflow("run", name, "--quiet")
    before = json.loads(sciflow("tasks", name, "--json").stdout)
    after = json.loads(sciflow("tasks", "steps", "--json").stdout)

    assert [one["evaluations"] for one in before["tasks"]] == [2, 6, 6, 2]
    assert [(one["name"], one["took"]["runs"]) for one in after["tasks"]][:2] == [("load", 2), ("fit", 6)]
    assert (
        after["tasks"][1]["resources"]
        == before["tasks"][1]["resources"]
        == {
            "cores": 2,
            "memory_bytes": 500_000_000,
            "gpus": 0,
            "max_runtime_s": None,
        }
    )
    text = sciflow("tasks", "steps").stdout
    assert text.splitlines()[3].split()[:3] == ["fit", "load", "source,"]
    assert "steps: 6 variants took" in text


def test_a_sweep_that_is_not_there_lists_those_that_are(sciflow: Sciflow) -> None:
    assert "sweeps in sweeps: none" in sciflow("tasks", "nothing", expect=2).stderr
