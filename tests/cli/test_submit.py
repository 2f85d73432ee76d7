"""Submitting sweeps from the command line: the daemons are real."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from sciflow.store.directory import SweepDirectory
from sciflow.store.submissions import Submission, newest_submission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Sciflow

SLOW = """
import time
import sciflow

def slow(a):
    import beside
    time.sleep(0.1)
    return {"y": a + beside.MORE}

workflow = sciflow.ExperimentalWorkflow("slow")
workflow.add_task("slow", slow)
workflow.add_parameter_space({"a": range(500)})
sciflow.Engine(sciflow.LocalCluster(workers=1)).submit(workflow)
print("after submitting")
"""


@pytest.fixture(autouse=True)
def no_daemon_is_left(folder: Path) -> Iterator[None]:
    """End what a test that failed left running."""
    yield
    for marker in folder.glob("sweeps/*/sweep.json"):
        submission = newest_submission(SweepDirectory.open(marker.parent))
        process = None if submission is None or submission.process_is_gone else submission.process
        if process is not None and psutil.pid_exists(process.pid):
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            for one in family:
                one.kill()
            psutil.wait_procs(family, timeout=20)


def test_a_plain_script_is_submitted_at_its_first_sweep_and_nothing_after_it_executes(
    script: Callable[..., str], sciflow: Sciflow
) -> None:
    said = sciflow("submit", script())

    assert "before the sweep" in said.stderr
    assert "after the sweep" not in said.output
    assert "its controller" in said.stdout
    assert "sciflow cancel" in said.stdout
    assert "6 done" in sciflow("wait", "squares", "--timeout", "60s").stdout
    assert "its controller finished" in sciflow("status", "squares").stdout.replace("\n            ", " ")
    assert "nothing to run" in sciflow("submit", "study.py").stdout


def test_failed_variants_of_a_submitted_sweep_are_in_the_exit_code_of_wait(
    script: Callable[..., str], sciflow: Sciflow
) -> None:
    state = json.loads(sciflow("submit", script(failing=2), "--json").stdout)

    assert state["controller"]["kind"] == "process"
    assert state["n_variants"] == 6
    assert "2 failed" in sciflow("wait", "squares", "--timeout", "60s", expect=3).stdout
    assert "2 failed" in sciflow("attach", "squares", expect=3).stdout


def test_a_sweep_is_submitted_once_looked_at_and_cancelled(folder: Path, sciflow: Sciflow) -> None:
    (folder / "study.py").write_text(SLOW)
    (folder / "beside.py").write_text("MORE = 10\n")

    first = sciflow("submit", "study.py", "--workers", "2")
    second = sciflow("submit", "study.py", expect=1)
    cancelled = sciflow("cancel", "slow", "--wait")

    assert "after submitting" not in first.output
    assert "another driver works on" in second.stderr
    assert "Traceback" not in second.output
    assert "was asked to stop" in cancelled.stdout
    assert "was cancelled" in cancelled.stdout
    sciflow("submit", "study.py", "--only", "a < 4")
    sciflow("wait", "slow", "--timeout", "60s", expect=1)  # the others are missing
    best = json.loads(sciflow("best", "slow", "y", "--json").stdout)
    assert "a" in str(best)
    assert json.loads(sciflow("status", "slow", "--json").stdout)["n_failed"] == 0


def test_what_cannot_be_meant_is_refused(script: Callable[..., str], sciflow: Sciflow, folder: Path) -> None:
    (folder / "wrong.py").write_text(SLOW.replace("def slow(a)", "def slow(a, nowhere)"))

    usage = sciflow("submit", script(), "--walltime", "2h", expect=2)
    wrong = sciflow("submit", "wrong.py", expect=1)

    assert "--walltime is for a controller in a job" in usage.stderr
    assert "nowhere" in wrong.stderr
    assert "Traceback" not in wrong.output
    assert not (folder / "sweeps").exists()


def test_what_is_not_documented_as_required_is_refused_before_anything_is_submitted(
    script: Callable[..., str], study: str, sciflow: Sciflow, folder: Path
) -> None:
    subprocess.run(["git", "init", "--quiet", "."], cwd=folder, check=True)
    name = script(study.replace("print(", "workflow.set_metadata_requirements({'git_clean': True})\nprint(", 1))
    missing = "git_clean: repository"

    submitted = sciflow("submit", name, expect=1)

    assert missing in submitted.stderr
    assert not (folder / "sweeps").exists()
    assert f"metadata missing: {missing}" in sciflow("plan", name).stdout
    assert f"metadata missing: {missing}" in sciflow("submit", name, "--dry-run").stdout
    assert _message(sciflow("run", name, expect=1).stderr) == _message(submitted.stderr)


def _message(stderr: str) -> str:
    return stderr[stderr.index("nothing was run") :]


def test_a_controller_that_failed_is_in_the_headline_and_the_exit_codes_until_nothing_is_left_to_run(
    script: Callable[..., str], sciflow: Sciflow, folder: Path
) -> None:
    sciflow("run", script())
    sciflow("wait", "squares")
    submission = Submission.create(SweepDirectory.open(folder / "sweeps/squares"), {}, b"")
    assert submission is not None
    submission.tell_end("failed", "the disk is on fire")

    assert "controller failed" in sciflow("status", "squares").stdout.splitlines()[0]
    for command in ("wait", "attach"):
        assert "the disk is on fire" in sciflow(command, "squares", expect=1).stderr
    sciflow("run", "study.py", "--only", "a == 1")
    sciflow("wait", "squares", expect=1)  # of all the others this said nothing
    time.sleep(1.1)  # a session knows the second in which it began

    sciflow("run", "study.py")

    assert "complete" in sciflow("status", "squares").stdout.splitlines()[0]
    sciflow("wait", "squares")


def test_results_of_other_code_that_are_kept_leave_nothing_to_submit(
    script: Callable[..., str], study: str, sciflow: Sciflow, folder: Path
) -> None:
    sciflow("run", script())
    script(study.replace("a * a + b", "a * a - b"))

    said = sciflow("submit", "study.py", "--on-stale", "keep").stdout

    assert "nothing to run: 0 of 6 variants done, 6 results of other code kept" in said
    assert newest_submission(SweepDirectory.open(folder / "sweeps/squares")) is None
    assert "nothing to run" in sciflow("submit", script()).stdout  # as it was


def test_a_submission_without_anything_to_run_says_what_failed_and_what_to_do(
    script: Callable[..., str], sciflow: Sciflow
) -> None:
    sciflow("run", script(failing=2), expect=3)

    said = sciflow("submit", "study.py").stdout

    assert "nothing to run: 4 of 6 variants done, 2 failed" in said
    assert "sciflow retry" in said
