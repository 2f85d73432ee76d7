"""Modules that are compiled with something added: that is no edit, and an edit of them is still one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.measured

STUDY = '''
from pathlib import Path

from hypothesis import given, strategies

import sciflow
from sciflow.engine.preflight import freeze

RATE = 10

def task(a, *more, scale=2, **others):
    """Stays as it is."""
    assert a in {1, 2, 3}, f"no {a}"
    assert not more or (scale == 2 and len(more) > 1
                        and "b" in others)
    return [a * RATE for _ in range(3)]

def helper(a):
    return a + RATE

def computed(a):
    assert helper(a) > -1
    return a < 10**18

class Model:
    def predict(self, a):
        assert (b := helper(a)) > a, b
        return b

def test_sweeps():
    text = Path(__file__).read_text()
    workflow = sciflow.ExperimentalWorkflow("tested")
    workflow.add_task("task", task)
    workflow.add_parameter_space({"a": [1, 2, 3]})
    for old, new in EDITS:
        Path(__file__).write_text(text.replace(old, new, 1))
        print("edited:", *freeze(workflow.validate()).edited)
    Path(__file__).write_text(text)
    print("edited:", *freeze(workflow.validate()).edited)

@given(strategies.integers(0, 9))
def test_helper(a):
    assert helper(a) < 10**18
'''


def under_pytest(folder, edits=()):
    """Run the study, written just before, in a test session of its own; what it finds edited after each edit."""
    (folder / "test_study.py").write_text(STUDY.replace("EDITS", repr(edits)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_study.py"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("edited:")], done.stderr


def test_a_sweep_in_a_test_is_told_nothing_of_edits_that_nobody_made(tmp_path):
    (tmp_path / "test_study.py").write_text("# an older version, compiled as it is\n")
    subprocess.run([sys.executable, "-m", "py_compile", "test_study.py"], cwd=tmp_path, check=True)

    assert under_pytest(tmp_path) == ([[]], "")


def test_a_test_module_that_is_edited_meanwhile_is_told(tmp_path):
    edits = {
        "a function without assertions": ("a + RATE", "a - RATE"),
        "a constant of one with assertions": ("{1, 2, 3}", "{1, 2, 4}"),
        "a name": ("len(more)", "max(more)"),
        "a parameter": ("self, a", "self, c"),
        "a constant of the module": ("RATE = 10", "RATE = 20"),
        "where functions are": ("\nclass", "\n\nclass"),
    }

    found, said = under_pytest(tmp_path, [*edits.values()])

    assert dict(zip(edits, found, strict=False)) == {edit: ["test_study"] for edit in edits}
    assert found[len(edits) :] == [[]]  # put back
    assert said.count("test_study.py is not what this process imported as 'test_study'") == len(edits)
