"""What a workflow wants to be known before it runs."""

from __future__ import annotations

import pytest

import sciflow
from sciflow.errors import MetadataError, SweepError, WorkflowError
from sciflow.provenance.requirements import unmet_metadata
from sciflow.workflow.metadata import METADATA_REQUIREMENTS

CLEAN = {"repository": {"name": "p", "commit": "c" * 40, "dirty": False, "n_untracked": 0}}
INPUT = {"name": "a.csv", "sha256": "0" * 64}
LOCKED = {"locks": [{"name": "uv.lock", "agrees": True}], "origins": {}}


def changed(**facts) -> dict[str, object]:
    return {"repository": {**CLEAN["repository"], **facts}}


def test_everything_may_be_met() -> None:
    assert unmet_metadata(tuple(METADATA_REQUIREMENTS), CLEAN, [INPUT], LOCKED) == []


@pytest.mark.parametrize(
    ("name", "code", "inputs", "environment", "words"),
    [
        ("git", {"repository": None}, [], {}, "no Git repository"),
        ("git", {"repository": None, "problem": "too slow"}, [], {}, "that can be read (too slow)"),
        ("git", changed(commit=None), [], {}, "no commit yet"),
        ("git_clean", {"repository": None}, [], {}, "no Git repository"),
        ("git_clean", changed(dirty=True), [], {}, "have changed since commit cccccccccccc"),
        ("git_clean", changed(n_untracked=3), [], {}, "3 files of repository 'p' are not under version control"),
        ("git_clean", changed(problem="too slow"), [], {}, "files of repository 'p' cannot be compared: too slow"),
        ("inputs_declared", CLEAN, [], {}, "workflow.add_input"),
        ("inputs_hashed", CLEAN, [{"name": "big.h5", "sha256": None}], {}, "no digest of the content of big.h5"),
        ("lock_file", CLEAN, [], {}, "no lock file"),
        ("lock_file", CLEAN, [], {"locks": [{"name": "uv.lock", "agrees": False}]}, "uv.lock does not agree"),
        ("lock_file", CLEAN, [], {"locks": [{"name": "r.txt", "agrees": True, "exact": False}]}, "no lock file"),
        ("packages_released", CLEAN, [], {"origins": {name: {} for name in "abcdef"}}, "a, b, c, d, e and 1 more"),
    ],
)
def test_what_is_missing_is_said(name, code, inputs, environment, words) -> None:
    (sentence,) = unmet_metadata([name], code, inputs, environment)

    assert sentence.startswith(f"{name}: ")
    assert words in sentence


def test_a_sweep_that_lacks_what_it_requires_is_refused_before_anything_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = []
    workflow = sciflow.ExperimentalWorkflow("strict")
    workflow.add_task("work", lambda a: ran.append(a))  # noqa: PLW0108  tasks bind by the names of arguments
    workflow.add_parameter_space({"a": [1]})
    workflow.set_metadata_requirements({"inputs_declared": True, "git": False})

    with pytest.raises(MetadataError, match="inputs_declared: no input is declared"):
        sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
    assert ran == []

    (tmp_path / "data.csv").write_text("1")
    workflow.add_input("data.csv")
    sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
    assert ran == [1]


def test_what_minimal_capture_does_not_look_at_cannot_be_required_with_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("1")
    workflow = sciflow.ExperimentalWorkflow("strict")
    workflow.add_task("work", lambda a: a)
    workflow.add_parameter_space({"a": [1]})
    workflow.add_input("data.csv")
    workflow.set_metadata_requirements({"git_clean": True, "inputs_hashed": True, "lock_file": True})
    engine = sciflow.Engine("inline", progress=False, capture="minimal")

    for call in (engine.execute_parameter_sweep, engine.submit):
        with pytest.raises(MetadataError, match="requires git_clean, lock_file, and capture='minimal' looks neither"):
            call(workflow)
    assert not (tmp_path / "sweeps").exists()
    assert engine.plan(workflow).obstacles == (
        "metadata missing: git_clean: capture='minimal' does not look",
        "metadata missing: lock_file: capture='minimal' does not look",
    )

    workflow.set_metadata_requirements({"inputs_hashed": True, "inputs_declared": True})
    assert engine.execute_parameter_sweep(workflow).status()["done"] == 1


def test_an_engine_that_looks_at_no_environment_cannot_refuse_one() -> None:
    with pytest.raises(SweepError, match="capture='minimal' looks at no environment"):
        sciflow.Engine("inline", capture="minimal", on_environment_mismatch="error")


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        ({"git_claen": True}, "did you mean 'git_clean'"),
        ({"git": "yes"}, "True or False"),
        ("git", "a mapping such as"),
    ],
)
def test_a_requirement_that_is_not_understood_is_refused_at_definition(requirements, words) -> None:
    with pytest.raises(WorkflowError, match=words):
        sciflow.ExperimentalWorkflow("w").set_metadata_requirements(requirements)
