"""`sciflow retry` runs again what failed: by its script or by the sweep, by cause, or only some of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Sciflow

BROKEN = """
import pathlib, sciflow

def f(a):
    with open("calls", "a") as file:
        file.write(f"{a} ")
    if a in (2, 3) and not pathlib.Path("mended").exists():
        raise OSError("not mounted")
    if a == 4 and not pathlib.Path("mended").exists():
        raise SystemExit("no licence")
    return {"y": a}

for name in ("one", "two"):
    workflow = sciflow.ExperimentalWorkflow(name)
    workflow.add_task("f", f)
    workflow.add_parameter_space({"a": [1, 2, 3, 4]})
    sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
"""


@pytest.fixture
def broken(script: Callable[..., str], sciflow: Sciflow, folder: Path) -> str:
    """A script with two sweeps, in each of which three of four variants failed; then the reason goes away."""
    name = script(BROKEN)
    sciflow("run", name, expect=3)
    (folder / "mended").touch()
    (folder / "calls").unlink()
    return name


def calls() -> list[str]:
    return Path("calls").read_text().split() if Path("calls").exists() else []


def failed(sciflow: Sciflow, sweep: str) -> int:
    return json.loads(sciflow("status", sweep, "--json").stdout)["n_failed"]


def test_a_script_runs_again_what_failed_in_all_its_sweeps(broken: str, sciflow: Sciflow) -> None:
    sciflow("retry", broken, "--failed")

    assert calls() == ["2", "3", "4"] * 2


def test_a_sweep_stands_for_its_script_and_only_it_runs_again(broken: str, sciflow: Sciflow) -> None:
    sciflow("retry", "two", expect=3)

    assert calls() == ["2", "3", "4"]
    assert (failed(sciflow, "one"), failed(sciflow, "two")) == (3, 0)


def test_only_what_failed_so_runs_again(broken: str, sciflow: Sciflow) -> None:
    sciflow("retry", "sweeps/one", "--failed", "--cause", "exit", expect=3)
    assert calls() == ["4"]

    sciflow("retry", "sweeps/one", "--cause", "exit", "--cause", "exception", "--only", "a < 3", expect=3)
    assert calls() == ["4", "2"]


def test_only_what_failed_so_runs_again_after_the_code_was_mended_too(broken: str, sciflow: Sciflow) -> None:
    code = Path(broken).read_text()
    mended = code.replace('raise SystemExit("no licence")', "a = -4").replace('("one", "two")', '("one",)')
    Path(broken).write_text(mended)

    sciflow("retry", "one", "--failed", "--cause", "exit", "--on-stale", "keep", expect=3)
    assert calls() == ["4"]

    sciflow("retry", "one", "--failed", "--on-stale", "keep")
    assert calls() == ["4", "2", "3"]


def test_a_dry_run_says_what_would_run_again(broken: str, sciflow: Sciflow) -> None:
    assert "to run: 3 failed" in sciflow("retry", broken, "--dry-run").stdout
    assert "to run: 1 failed" in sciflow("retry", broken, "--cause", "exit", "--dry-run").stdout
    assert "to run: 3 failed" in sciflow("retry", "one", "--dry-run").stdout
    assert calls() == []


def test_a_sweep_behind_another_one_is_not_run_to_plan_it(broken: str, sciflow: Sciflow) -> None:
    assert "read up to its first sweep, which is of 'one'" in sciflow("retry", "two", "--dry-run", expect=1).stderr
    assert calls() == []


def test_a_sweep_whose_script_is_gone_says_so(broken: str, sciflow: Sciflow) -> None:
    Path(broken).rename("renamed.py")

    assert "give the script" in sciflow("retry", "one", expect=2).stderr
    sciflow("retry", "renamed.py")


def test_an_unknown_cause_lists_the_known_ones(broken: str, sciflow: Sciflow) -> None:
    assert "out_of_memory" in sciflow("retry", broken, "--cause", "bad_luck", expect=2).stderr
