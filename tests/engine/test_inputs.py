from __future__ import annotations

import hashlib
import os
import time

import pytest

import sciflow


def sweep(tmp_path, task, **options):
    data = tmp_path / "data.csv"
    if not data.exists():
        data.write_text("1")
        os.utime(data, (time.time() - 100, time.time() - 100))
    workflow = sciflow.ExperimentalWorkflow("inputs")
    workflow.add_task("read", task)
    workflow.add_parameter_space({"a": [1, 2, 3]})
    workflow.add_input("data.csv", **options)
    return workflow


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_input_that_changes_while_the_sweep_runs_is_told_and_recorded(tmp_path, capsys):
    def task(a):
        if a == 2:
            (tmp_path / "data.csv").write_text("2")
        return a

    events = []
    engine = sciflow.Engine("inline", on_event=events.append)
    results = engine.execute_parameter_sweep(sweep(tmp_path, task))

    (event,) = [one for one in events if one.name == "input.changed"]
    assert event.facts["inputs"] == ["data.csv"]
    assert "inputs changed while the sweep ran: data.csv" in capsys.readouterr().err
    assert results.metadata["sessions"][-1]["changed_inputs"] == ["data.csv"]
    assert "while it ran, inputs changed: data.csv" in str(results.provenance({"a": 1}))


@pytest.mark.parametrize("known_by", ["content", "size-mtime"])
def test_an_input_that_stays_as_it_is_is_not_told(tmp_path, known_by):
    events = []
    engine = sciflow.Engine("inline", on_event=events.append, progress=False)
    results = engine.execute_parameter_sweep(sweep(tmp_path, lambda a: a, hash=known_by))

    assert not [one for one in events if one.name == "input.changed"]
    assert "changed_inputs" not in results.metadata["sessions"][-1]
    said = {"content": hashlib.sha256(b"1").hexdigest()[:16], "size-mtime": "known by its size and time"}[known_by]
    assert said in str(results.provenance({"a": 1}))


def test_an_input_known_by_its_time_makes_results_stale_when_that_changes(tmp_path):
    def run():
        engine = sciflow.Engine("inline", progress=False, on_stale="error")
        return engine.execute_parameter_sweep(sweep(tmp_path, lambda a: a, hash="size-mtime"))

    run()
    run()
    os.utime(tmp_path / "data.csv", (1, 1))
    with pytest.raises(sciflow.errors.StaleError, match=r"changed: input data\.csv"):
        run()
