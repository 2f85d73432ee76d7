from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

from sciflow.analysis import live
from sciflow.analysis.results import open_results
from sciflow.interpreter import environment

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import sciflow, time

def work(n):
    time.sleep(0.2)
    return n

workflow = sciflow.ExperimentalWorkflow("slow")
workflow.add_task("work", work)
workflow.add_parameter_space({"n": range(20)})
sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A sweep in another process, of which something is on disk."""
    (folder / "study.py").write_text(SCRIPT)
    driver = subprocess.Popen([sys.executable, "study.py"], cwd=folder, env=environment())
    while not list((folder / "sweeps/slow/segments").glob("*")):
        assert driver.poll() is None
    return driver


def test_a_sweep_is_watched_to_its_end_in_lines(tmp_path: Path, capsys) -> None:
    driver = start(tmp_path)
    results = open_results(tmp_path / "sweeps/slow")
    assert results.status()["done"] < 20

    results.watch(every_s=0.1)
    assert driver.wait() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2
    assert lines[0].startswith("slow: 20 variants: ")
    assert "20 done, 0 failed, 0 missing" in lines[-1]
    assert results.status() == {"done": 20, "failed": 0, "missing": 0}


def test_a_sweep_that_nobody_drives_is_shown_once(results, capsys) -> None:
    results.watch()

    assert len(capsys.readouterr().out.splitlines()) == 1


def test_an_interrupt_ends_the_view_and_leaves_the_sweep_alone(results, capsys, monkeypatch) -> None:
    def interrupted(status: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(live, "print_line", interrupted)
    results.watch()

    assert capsys.readouterr().err == "no longer watching; the sweep is left alone\n"
