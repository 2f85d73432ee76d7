"""The commands as users type them: what they print, and how they exit."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sciflow.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Sciflow

NO_SUCH_TASK = """
import sciflow
workflow = sciflow.ExperimentalWorkflow("w")
workflow.add_task("f", lambda a: a, depends_on=["g"])
workflow.add_parameter_space({"a": [1]})
"""


@pytest.fixture
def finished(script: Callable[..., str], sciflow: Sciflow) -> str:
    """A sweep of six variants, of which the two with a == 2 failed."""
    sciflow("run", script(failing=2), "--quiet", expect=3)
    return "squares"


def test_run_executes_the_whole_script(script: Callable[..., str], sciflow: Sciflow, folder: Path) -> None:
    result = sciflow("run", script())

    assert result.stdout.splitlines() == ["before the sweep", "after the sweep: {'a': 3, 'b': 0.5}"]
    assert (folder / "sweeps/squares/results.h5").is_file()


def test_a_sweep_with_failed_variants_exits_with_3_also_when_nothing_is_left(
    script: Callable[..., str], sciflow: Sciflow
) -> None:
    name = script(failing=2)

    sciflow("run", name, expect=3)
    sciflow("run", name, expect=3)


def test_run_takes_a_workflow_by_name_and_runs_it(script: Callable[..., str], sciflow: Sciflow, folder: Path) -> None:
    text = """
import sciflow
def f(a): return {"y": a}
one, two = (sciflow.ExperimentalWorkflow(name) for name in ("one", "two"))
for workflow in (one, two):
    workflow.add_task("f", f)
    workflow.add_parameter_space({"a": [1, 2]})
del workflow
"""
    sciflow("run", script(text) + ":two", "--cluster", "inline", "--directory", "elsewhere", "--quiet")

    assert [path.name for path in (folder / "elsewhere").iterdir()] == ["two"]


def test_only_runs_a_part_and_the_next_call_the_rest(script: Callable[..., str], sciflow: Sciflow) -> None:
    name = script()

    sciflow("run", name, "--only", "a > 1")
    assert json.loads(sciflow("status", "squares", "--json").stdout)["n_done"] == 4
    sciflow("run", name)
    assert json.loads(sciflow("status", "squares", "--json").stdout)["n_done"] == 6


def test_failed_variants_run_again_when_asked(script: Callable[..., str], sciflow: Sciflow, folder: Path) -> None:
    text = """
import pathlib, sciflow
def f(a):
    if a == 2 and not pathlib.Path("mended").exists():
        raise OSError("not mounted")
    return {"y": a}
workflow = sciflow.ExperimentalWorkflow("w")
workflow.add_task("f", f)
workflow.add_parameter_space({"a": [1, 2]})
"""
    arguments = ("run", script(text), "--cluster", "inline", "--quiet")
    sciflow(*arguments, expect=3)
    (folder / "mended").touch()

    sciflow(*arguments, expect=3)
    sciflow(*arguments, "--retry-failed", expect=0)


def test_force_runs_everything_again(script: Callable[..., str], sciflow: Sciflow, folder: Path) -> None:
    text = """
import sciflow
def f(a):
    with open("calls", "a") as file:
        file.write("x")
    return {"y": a}
workflow = sciflow.ExperimentalWorkflow("w")
workflow.add_task("f", f)
workflow.add_parameter_space({"a": [1, 2]})
"""
    name = script(text)
    arguments = ("run", name, "--cluster", "inline", "--quiet")
    sciflow(*arguments)
    sciflow(*arguments)
    assert (folder / "calls").read_text() == "xx"

    assert "2 forced" in sciflow("plan", name, "--force").stdout
    sciflow(*arguments, "--force")
    assert (folder / "calls").read_text() == "xxxx"


def test_a_dry_run_and_a_plan_run_nothing(script: Callable[..., str], sciflow: Sciflow, folder: Path) -> None:
    name = script()

    planned = sciflow("plan", name).stdout
    assert planned == sciflow("run", name, "--dry-run").stdout
    assert "6 variants, 0 done, to run: 6 missing" in planned
    assert "after the sweep" not in planned
    assert not (folder / "sweeps").exists()


def test_plan_prints_json_and_nothing_else_on_stdout(script: Callable[..., str], sciflow: Sciflow) -> None:
    result = sciflow("plan", script(), "--only", "a == 1", "--json")

    assert json.loads(result.stdout)["todo"] == {"missing": 2}
    assert "before the sweep" in result.stderr


CLASSES = """
import sciflow
def prepare(dataset): return dataset
def train(prepare, size): return {"loss": size}
workflow = sciflow.ExperimentalWorkflow("classes")
workflow.add_task("prepare", prepare)
workflow.add_task("train", train, depends_on=["prepare"])
workflow.add_parameter_space({"dataset": ["a", "b"], "size": range(50)})
workflow.set_resource_requirements({
    "prepare": {"cpu_cores": 4, "memory_gb": 8},
    "train": {"cpu_cores": 1, "gpu": True, "max_runtime_hours": 2},
})
"""


def test_plan_for_a_cluster_says_which_workers_there_will_be(script: Callable[..., str], sciflow: Sciflow) -> None:
    name = script(CLASSES)

    said = sciflow("plan", name, "--cluster", "slurm").stdout
    assert "workers for prepare (cpu4): 2 evaluations, 4 cores, 7.5 GiB; at most 2 jobs\n" in said
    assert "workers for train (gpu1): 100 evaluations, 1 core, 1 GPU, up to 2 h 0 min a run; at most 16 jobs\n" in said
    gpu = json.loads(sciflow("plan", name, "--cluster", "slurm", "--workers", "3", "--json").stdout)["classes"][1]
    assert gpu == {
        "name": "gpu1",
        "tasks": ["train"],
        "evaluations": 100,
        "cores": 1,
        "memory_bytes": None,
        "gpus": 1,
        "max_runtime_s": 7200,
        "most_jobs": 3,
    }
    assert "classes" not in json.loads(sciflow("plan", name, "--json").stdout)
    assert "workers for" not in sciflow("plan", name).stdout


def test_validate_shows_where_arguments_come_from(script: Callable[..., str], sciflow: Sciflow) -> None:
    name = script()

    text = sciflow("validate", name).stdout
    assert "squares is valid: 6 variants of a, b" in text
    assert "a <- parameter a" in text
    assert json.loads(sciflow("validate", name, "--json").stdout)["name"] == "squares"


def test_validate_names_every_kind_of_source(script: Callable[..., str], sciflow: Sciflow) -> None:
    text = """
import sciflow
def load(a): return {"data": a}
def make(a, context): return a
def fit(load, size, data): return {"y": data}
def score(fit, y): return y
workflow = sciflow.ExperimentalWorkflow("w")
workflow.add_task("load", load)
workflow.add_task("make", make, outputs=["size"])
workflow.add_task("fit", fit, depends_on=["load", "make"])
workflow.add_task("score", score, depends_on=["fit"])
workflow.add_parameter_space({"a": [1]})
"""

    lines = [line.strip() for line in sciflow("validate", script(text)).stdout.splitlines()]

    assert "context <- the context of the run" in lines
    assert "load <- what load returns" in lines
    assert "size <- output size of make" in lines
    assert any(line.startswith("y <- ") and "first variant" in line for line in lines)


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_a_mistake_in_a_workflow_is_one_message_and_no_traceback(
    command: str, script: Callable[..., str], sciflow: Sciflow
) -> None:
    result = sciflow(command, script(NO_SUCH_TASK), expect=1)

    assert result.stderr.startswith("error: ")
    assert "unknown task 'g'" in result.stderr
    assert "Traceback" not in result.output


def test_a_script_that_raises_is_told_by_its_own_lines(script: Callable[..., str], sciflow: Sciflow) -> None:
    name = script("import sciflow\n1 / 0\n")

    terse = sciflow("run", name, expect=1).stderr
    whole = sciflow("run", name, "--verbose", expect=1).stderr

    assert "error: study.py stopped with ZeroDivisionError" in terse
    assert "study.py, line 2" in terse
    assert "Traceback" not in terse
    assert "Traceback" in whole


def test_wrong_usage_exits_with_2(script: Callable[..., str], sciflow: Sciflow) -> None:
    name = script()

    sciflow("run", "nothing.py", expect=2)
    sciflow("run", name, "--cluster", "slrum", expect=2)
    sciflow("run", name, "--cluster", "inline", "--workers", "2", expect=2)
    sciflow("run", name, "--workers", "0", expect=2)
    sciflow("status", "nothing", expect=2)


def test_status_says_how_far_it_is_who_worked_and_what_failed(finished: str, sciflow: Sciflow) -> None:
    text = sciflow("status", finished).stdout
    state = json.loads(sciflow("status", f"sweeps/{finished}", "--json").stdout)

    assert "6 variants: 4 done, 2 failed, 0 missing" in text
    assert "none; the last ended well" in text
    assert "2 exception in square (a = 2): ArithmeticError: a is 2" in text
    assert (state["n_variants"], state["n_done"], state["n_failed"], state["n_missing"]) == (6, 4, 2, 0)
    assert (state["state"], state["driver"]["life"]) == ("complete", "ended")
    assert state["failures"][0]["separated_by"] == "a = 2"
    assert 'raise ArithmeticError(f"a is {a}")' in state["failures"][0]["traceback"]


def test_a_script_stands_for_its_sweep(finished: str, sciflow: Sciflow) -> None:
    by_script, by_name = (json.loads(sciflow("status", name, "--json").stdout) for name in ("study.py", finished))

    assert by_script.pop("time") <= by_name.pop("time")
    assert by_script == by_name


def test_the_sweep_of_a_script_that_never_ran_is_an_error_that_says_how_to_run_it(
    script: Callable[..., str], sciflow: Sciflow
) -> None:
    assert "sciflow run study.py" in sciflow("status", script(), expect=1).stderr


def test_an_unknown_sweep_lists_those_that_are_there(finished: str, sciflow: Sciflow) -> None:
    assert finished in sciflow("results", "squash", expect=2).stderr


def test_results_are_a_table_json_or_csv(finished: str, sciflow: Sciflow) -> None:
    table = sciflow("results", finished).stdout
    rows = json.loads(sciflow("results", finished, "--query", "status == 'done'", "--json").stdout)
    csv = sciflow("results", finished, "--csv").stdout.splitlines()

    assert table.splitlines()[0].split()[:3] == ["variant", "a", "b"]
    assert [row["y"] for row in rows] == [1.0, 1.5, 9.0, 9.5]
    assert len(csv) == 1 + 6
    sciflow("results", finished, "--csv", "--json", expect=2)


def test_best_finds_the_optimum_among_what_succeeded(finished: str, sciflow: Sciflow) -> None:
    assert "y = 9.5  at  a=3, b=0.5" in sciflow("best", finished, "y").stdout
    lowest = json.loads(sciflow("best", finished, "y", "--minimize", "--top", "2", "--json").stdout)
    assert [one["parameters"] for one in lowest] == [{"a": 1, "b": 0.0}, {"a": 1, "b": 0.5}]
    assert [one["y"] for one in lowest] == [1.0, 1.5]
    assert "a=1" in sciflow("best", finished, "y", "--where", "a < 3").stdout


def test_an_unknown_metric_is_a_clean_error(finished: str, sciflow: Sciflow) -> None:
    result = sciflow("best", finished, "accuracy", expect=1)

    assert result.stderr.startswith("error: ")
    assert "y" in result.stderr


def test_plot_writes_the_figures_of_the_workflow(finished: str, sciflow: Sciflow, folder: Path) -> None:
    assert sciflow("plot", finished).stdout == "map.png\n"
    assert sciflow("plot", finished, "map", "-o", "named.svg").stdout == "named.svg\n"
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "named.svg").read_text()


def test_plot_draws_any_type_of_figure_in_a_style(finished: str, sciflow: Sciflow, folder: Path) -> None:
    drawn = sciflow("plot", finished, "line", "x=a", "y=y", "hue=b", "--style", "paper", "--format", "pdf")

    assert drawn.stdout == "line.pdf\n"
    assert (folder / "line.pdf").read_bytes().startswith(b"%PDF")
    assert "no option of a figure" in sciflow("plot", finished, "line", "x", expect=2).stderr
    assert "type 'lin' is unknown" in sciflow("plot", finished, "lin", "x=a", "y=y", expect=1).stderr
    assert sciflow("plot", finished, "failure_map").stdout == "failure_map.png\n"
    assert "needs x and y" in sciflow("plot", finished, "line", expect=1).stderr
    assert "did you mean 'timeline'?" in sciflow("plot", finished, "timelin", expect=1).stderr
    pareto = sciflow("plot", finished, "pareto", "objectives=y:max,runtime_s:min", "-o", "front.png")
    assert pareto.stdout == "front.png\n"


def test_plot_draws_what_suits_a_sweep_that_asks_for_nothing(
    script: Callable[..., str], study: str, sciflow: Sciflow, folder: Path
) -> None:
    asks = next(line for line in study.splitlines() if "add_visualization" in line)
    sciflow("run", script(study.replace(asks, "")), "--quiet")

    files = sciflow("plot", "squares").stdout.split()

    assert files == ["y_by_a_and_b.png", "y_by_a.png", "y_by_b.png"]
    assert all((folder / file).read_bytes().startswith(b"\x89PNG") for file in files)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_has_help_with_an_example(name: str, sciflow: Sciflow) -> None:
    text = sciflow(name, "--help").stdout

    assert "Example" in text
    assert f"sciflow {name} " in text


def test_version_and_help_load_nothing_heavy() -> None:
    code = (
        "import sys\nfrom sciflow.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print(*sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert not {"numpy", "xarray", "pandas", "dask", "distributed", "matplotlib", "h5py"} & set(printed.split())


def test_the_command_line_in_a_process_of_its_own(
    script: Callable[..., str], sciflow_process: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    name = script(failing=3)

    ran = sciflow_process("run", name, "--cluster", "local", "--workers", "1", "--now", "--quiet")
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (3, "after the sweep: {'a': 2, 'b': 0.5}"), ran.stderr

    refused = sciflow_process("best", "squares", "z")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert "Traceback" not in refused.stderr


def test_a_script_that_only_defines_a_workflow_stands_for_its_sweep_too(
    script: Callable[..., str], sciflow: Sciflow
) -> None:
    name = script("""
import sciflow
workflow = sciflow.ExperimentalWorkflow("defined")
workflow.add_task("f", lambda a: a)
workflow.add_parameter_space({"a": [1]})
""")
    sciflow("run", name, "--cluster", "inline", "--quiet", "--directory", "there")

    assert "1 done" in sciflow("status", name, "--directory", "there").stdout
    sciflow("plot", name, "--directory", "there", expect=2)


def test_one_output_file_is_for_one_figure(script: Callable[..., str], study: str, sciflow: Sciflow) -> None:
    other = 'workflow.add_visualization("other", {"type": "heatmap", "x_axis": "b", "y_axis": "a", "value": "y"})\n'
    sciflow("run", script(study.replace("print(", f"{other}print(", 1)), "--quiet")

    assert "say which: map, other" in sciflow("plot", "squares", "-o", "a.png", expect=2).stderr
    assert sciflow("plot", "squares").stdout.split() == ["map.png", "other.png"]


def test_a_plan_says_what_it_leaves_as_it_is(finished: str, script: Callable[..., str], sciflow: Sciflow) -> None:
    assert "2 failed before" in sciflow("plan", "study.py").stdout
    assert "2 failed before" not in sciflow("plan", "study.py", "--retry-failed").stdout

    script(failing=7)
    assert "6 variants, 0 done, 4 stale, to run: 2 failed" in sciflow("plan", "study.py").stdout
    assert "4 results were made by other code" in sciflow("plan", "study.py").stdout
    assert "other code" not in sciflow("plan", "study.py", "--on-stale", "rerun").stdout


def test_a_run_with_nothing_to_do_says_so(script: Callable[..., str], study: str, sciflow: Sciflow) -> None:
    name = script(study.replace(", progress=False", ""), failing=2)
    sciflow("run", name, expect=3)

    again = sciflow("run", name, expect=3).stderr
    none = sciflow("run", name, "--only", "a > 99", expect=3).stderr

    assert "squares: nothing to run: 4 of 6 variants done, 2 failed (to run them again: sciflow retry" in again
    assert "nothing to run (no variant has a > 99)" in none
    assert "nothing to run" not in sciflow("run", name, "--quiet", expect=3).output


def test_a_plan_says_what_keeps_it_from_being_run_now(script: Callable[..., str], study: str, sciflow: Sciflow) -> None:
    wanted = "workflow.set_resource_requirements({'square': {'cpu_cores': 100000}})\n"
    hour = datetime.now(UTC).hour
    closed = f"policy=sciflow.OffPeak('{(hour + 3) % 24:02}:00-{(hour + 4) % 24:02}:00', timezone='UTC')"
    name = script(study.replace("print(", wanted + "print(", 1).replace("progress=False", closed))

    said = sciflow("plan", name).stdout

    assert "not met: task 'square'" in said
    assert "not now: off-peak window opens" in said
    assert json.loads(sciflow("plan", name, "--json").stdout)["obstacles"]
    assert "not now" not in sciflow("plan", name, "--now").stdout


def test_a_variant_is_named_in_the_table_of_results_as_it_is_asked_for(finished: str, sciflow: Sciflow) -> None:
    _, row, *_ = sciflow("results", finished).stdout.splitlines()
    name = row.split()[0]

    assert name in sciflow("results", finished, "--variant", name).stdout
