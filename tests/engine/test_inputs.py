from __future__ import annotations

import hashlib
import os
import time

import pandas as pd
import pytest
import xarray as xr

import sciflow
from sciflow.provenance import inputs
from sciflow.store import doubt
from sciflow.store.directory import SweepDirectory
from sciflow.store.results_file import write_results


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


# ------------------------------------------------------------------------------------- which variants are in doubt


def marked(results, expected):
    """Whether exactly these are marked, wherever variants are told of."""
    table = results.to_dataframe()
    assert table[table["inputs_changed"]]["a"].tolist() == expected
    exported = pd.read_csv(results.export(results.directory.parent / "all.csv"))
    assert exported[exported["inputs_changed"].astype(bool)]["a"].tolist() == expected
    assert results.query("inputs_changed")["a"].tolist() == expected
    assert results.dataset["inputs_changed"].to_numpy().tolist() == [a in expected for a in table["a"]]
    write_results(SweepDirectory.open(results.directory))  # in this process, whose clock is exact
    with xr.open_dataset(results.directory / "results.h5", engine="h5netcdf") as file:
        assert file["inputs_changed"].to_numpy().astype(bool).tolist() == [a in expected for a in table["a"]]
    return True


@pytest.fixture
def exact(monkeypatch):
    """Clocks that agree, and a driver that looks at the inputs whenever it can."""
    monkeypatch.setattr(inputs, "_WATCH_S", 0.0)
    monkeypatch.setattr(inputs, "_PATIENCE", 0)
    monkeypatch.setattr(doubt, "MARGIN_S", 0.0)


def changing(tmp_path, at):
    """A task that finds another number in the data file from some variant on."""

    def task(a):
        time.sleep(0.05)
        if a == at:
            (tmp_path / "data.csv").write_text("2")
        return int((tmp_path / "data.csv").read_text())

    return task


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("at", [1, 9])
def test_variants_that_may_have_read_an_input_that_changed_are_marked_and_others_are_not(tmp_path, at):
    workflow = sweep(tmp_path, changing(tmp_path, at))
    workflow.add_parameter_space({"a": range(1, 10)})
    results = sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)

    table = results.to_dataframe()
    expected = table[table["inputs_changed"]]["a"].tolist()
    # those of one batch begin after the same look
    assert expected == list(range(expected[0], 10))
    assert expected[0] == 1 if at == 1 else 1 < expected[0] <= at
    assert marked(results, expected)
    for a in (1, at):
        trace = results.provenance({"a": a})
        assert trace.facts["inputs_changed"] == (a in expected)
        assert ("CHANGED while this was made" in str(trace)) == (a in expected)


def test_without_a_good_look_all_that_a_session_ran_is_in_doubt_and_what_it_did_not_run_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("sciflow.provenance.inputs._RECENT_S", 60)  # however long it takes until it is looked at
    workflow = sweep(tmp_path, changing(tmp_path, 3))
    sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow, only="a == 1")
    young = tmp_path / "young.csv"  # its times do not tell whether it was written again
    engine = sciflow.Engine("inline", progress=False, on_stale="keep")
    young.write_text("1")
    workflow.add_input("young.csv")
    results = engine.execute_parameter_sweep(workflow)

    assert "inputs_unchanged_until" not in results.metadata["sessions"][-1]
    assert marked(results, [2, 3])


def test_the_condition_is_understood_also_when_nothing_is_marked(tmp_path):
    results = sciflow.Engine("inline", progress=False).execute_parameter_sweep(sweep(tmp_path, lambda a: a))

    assert len(results.query("not inputs_changed")) == 3
    assert "inputs_changed" not in results.to_dataframe()


@pytest.mark.usefixtures("exact")
def test_who_is_given_a_kept_value_from_the_time_of_doubt_is_marked_too(tmp_path):
    def read(kind):
        time.sleep(0.05)
        data = tmp_path / "data.csv"
        if kind == "b":
            data.write_text("2")
        return {"value": int(data.read_text())}

    def use(value, a):
        return {"used": value + a}

    data = tmp_path / "data.csv"
    data.write_text("1")
    os.utime(data, (time.time() - 100, time.time() - 100))
    workflow = sciflow.ExperimentalWorkflow("kept")
    workflow.add_task("read", read, cache=True)
    workflow.add_task("use", use, depends_on=["read"])
    workflow.add_parameter_space({"kind": ["a", "b"], "a": [1, 2]})
    workflow.add_input("data.csv")
    engine = sciflow.Engine("inline", progress=False, on_stale="keep")
    engine.execute_parameter_sweep(workflow, only="a == 1")
    data.write_text("1")  # put back: the next session has the same inputs, and the kept values are of before
    os.utime(data, (time.time() - 100, time.time() - 100))
    results = engine.execute_parameter_sweep(workflow)

    table = results.to_dataframe()
    told = {(one.kind, one.a): one.inputs_changed for one in table.itertuples()}
    assert table["used"].tolist() == [2, 3, 3, 4]
    assert told[("b", 1)]
    assert told[("b", 2)]
    assert not told[("a", 1)]
    assert not told[("a", 2)]
