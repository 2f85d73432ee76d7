"""A sweep that was run again in part after its code changed: what it says of results of two codes."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

import h5py
import pandas as pd
import pytest
from prov.model import ProvEntity, ProvUsage

import sciflow
from sciflow.analysis.metadata import provenance_text
from sciflow.analysis.results import open_results
from sciflow.testing.sweeps import CODE, known_outcome_workflow, record_outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.analysis.results import Results


def old(k, u=0):
    return {"y": 1 * k}


def new(k, u=0):
    return {"y": 1000 + k}


def run(path: Path, function, *, space=None, only: str | None = None, on_stale: str = "rerun") -> Results:
    workflow = sciflow.ExperimentalWorkflow("mix")
    workflow.add_task("f", function)
    workflow.add_parameter_space({"k": range(10), "u": [0]} if space is None else space)
    engine = sciflow.Engine("inline", directory=path, progress=False, on_stale=on_stale)
    return engine.execute_parameter_sweep(workflow, only=only)


@pytest.fixture
def mixed(tmp_path: Path) -> Results:
    """Ten variants, of which three were run again by newer code."""
    run(tmp_path, old)
    return run(tmp_path, new, only="k < 3")


@pytest.fixture
def kept(tmp_path: Path) -> Results:
    """Ten variants of older code, which the user chose to keep."""
    run(tmp_path, old)
    return run(tmp_path, new, on_stale="keep")


def test_every_table_says_which_results_are_of_older_code(mixed: Results, tmp_path: Path) -> None:
    expected = [False] * 3 + [True] * 7

    assert mixed.to_dataframe().stale.tolist() == expected
    assert mixed.dataset.stale.to_numpy().ravel().tolist() == expected
    assert mixed.to_dataset("flat").stale.to_numpy().tolist() == expected
    assert pd.read_csv(mixed.export(tmp_path / "all.csv")).stale.tolist() == expected
    with h5py.File(mixed.results_file) as file:
        assert file["stale"][:].astype(bool).ravel().tolist() == expected
    assert "10 done (7 by older code)" in repr(mixed)
    assert "10 done (7 by older code)" in mixed._repr_html_()


def test_a_sweep_of_one_code_has_no_such_column_and_understands_the_condition(tmp_path: Path) -> None:
    results = run(tmp_path, old)

    assert "stale" not in results.to_dataframe()
    assert "stale" not in results.dataset
    with h5py.File(results.results_file) as file:
        assert "stale" not in file
    assert len(results.query("not stale")) == 10
    assert len(results.query("stale")) == 0
    assert results.mixture() == ""


def test_comparing_results_of_two_codes_warns_and_says_what_to_do(mixed: Results) -> None:
    words = r"3 by today's and 7 by older; where=\"not stale\" .*leaves .*--on-stale rerun"
    with pytest.warns(UserWarning, match=words) as told:
        best = mixed.find_optimal_parameters("y", maximize=False)
    assert best["k"] == 3
    assert len(told) == 1
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match=words):
        mixed.summary()
    with pytest.warns(UserWarning, match=words):
        mixed.plot({"type": "heatmap", "x_axis": "k", "y_axis": "u", "value": "y"})


def test_what_is_compared_may_be_of_one_code(mixed: Results) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mixed.find_optimal_parameters("y", maximize=False, where="not stale")["k"] == 0
        assert mixed.find_optimal_parameters("y", maximize=False, where="k > 5")["k"] == 6
        assert mixed.get_metric({"k": 1}, "y") == 1001
    assert mixed.query("not stale").y.tolist() == [1000, 1001, 1002]
    assert mixed.mixture("not stale") == ""
    assert "7 by older" in mixed.mixture()


def test_results_that_were_kept_as_older_code_made_them_do_not_warn(kept: Results) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kept.find_optimal_parameters("y")["k"] == 9
        kept.summary()
    assert "10 done (10 by older code)" in repr(kept)
    assert kept.query("stale").y.tolist() == list(range(10))
    with h5py.File(kept.results_file) as file:
        assert file["stale"][:].all()


def test_a_mean_over_replicates_of_two_codes_warns(tmp_path: Path) -> None:
    space = sciflow.Axis("k", [1, 2]) * sciflow.Replicates(2)
    run(tmp_path, old, space=space)
    results = run(tmp_path, new, space=space, only="k == 1 and replicate == 0")

    with pytest.warns(UserWarning, match="values of y that are averaged .*: 1 by today's and 1 by older"):
        assert results.get_metric({"k": 1}, "y") == 501


def test_results_of_two_older_codes_cannot_be_told_apart_by_stale(mixed: Results, tmp_path: Path) -> None:
    kept = run(tmp_path, lambda k, u: {"y": -k}, on_stale="keep")

    with pytest.warns(UserWarning, match=r"none of it today's \((3, 7|7, 3)\); Engine\(on_stale='rerun'\)"):
        kept.find_optimal_parameters("y")


def test_a_parameter_called_stale_stays_what_it_is(tmp_path: Path) -> None:
    run(tmp_path, lambda stale: {"y": stale}, space={"stale": [5, 6]})
    results = run(tmp_path, lambda stale: {"y": -stale}, space={"stale": [5, 6]}, only="stale == 5")

    assert results.to_dataframe().stale.tolist() == [5, 6]
    assert results.dataset.stale.to_numpy().tolist() == [5, 6]
    with pytest.warns(UserWarning, match="'stale' is a name of the workflow's own"):
        results.find_optimal_parameters("y")


def test_a_changed_input_makes_results_stale_too(tmp_path: Path) -> None:
    data = tmp_path / "data.txt"

    def run_with(text: str, **more) -> Results:
        data.write_text(text)
        workflow = sciflow.ExperimentalWorkflow("inputs")
        workflow.add_input(data)
        workflow.add_task("f", old)
        workflow.add_parameter_space({"k": range(3)})
        engine = sciflow.Engine("inline", directory=tmp_path / "s", progress=False, on_stale="rerun")
        return engine.execute_parameter_sweep(workflow, **more)

    run_with("one")
    assert "3 done (2 by older code or inputs)" in repr(run_with("two", only="k == 0"))


def test_where_results_of_two_codes_come_from_is_told_of_each(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    record_outcomes(tmp_path, workflow, lambda v: {"x": 1.0} if v["layers"] < 3 else None)
    code = {"repository": {**CODE["repository"], "commit": "feedbeef"}}
    record_outcomes(tmp_path, workflow, lambda v: {"x": 2.0} if v["layers"] == 1 else None, code=code)
    results = open_results(tmp_path)
    document = results.to_prov()
    commits = {
        str(one.identifier): str(*one.get_attribute("sciflow:commit"))
        for one in document.get_records(ProvEntity)
        if "code" in str(one.identifier)
    }
    used = {(str(one.args[0]), commits.get(str(one.args[1]))) for one in document.get_records(ProvUsage)}

    assert set(commits.values()) == {"0123abcd", "feedbeef"}
    assert {pair for pair in used if pair[1]} == {("sweep:session-1", "0123abcd"), ("sweep:session-2", "feedbeef")}
    lines = provenance_text(results.metadata, {}, {}, results.origins()).splitlines()
    assert lines[:2] == [
        "code         project at 0123abcd (main): 6 variants",
        "code         project at feedbeef (main): 6 variants",
    ]


def test_each_session_used_the_definition_and_inputs_of_its_time(tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    for text in ("one", "two"):
        data.write_text(text)
        workflow = sciflow.ExperimentalWorkflow("inputs")
        workflow.add_input(data)
        workflow.add_task("f", old)
        workflow.add_parameter_space({"k": range(3)})
        engine = sciflow.Engine("inline", directory=tmp_path / "s", progress=False, on_stale="rerun")
        results = engine.execute_parameter_sweep(workflow, only="k < 2" if text == "two" else None)
    document = results.to_prov()
    used = {(str(one.args[0]), str(one.args[1])) for one in document.get_records(ProvUsage)}

    for session, definition, name in ((1, "definition", "input-0"), (2, "definition-1", "input-1")):
        mine = {one for of, one in used if of == f"sweep:session-{session}"}
        assert {one for one in mine if "input" in one} == {f"sweep:{name}"}
        assert {one for one in mine if "definition" in one} == {f"sweep:{definition}"}
    text = provenance_text(results.metadata, {}, {}, results.origins())
    assert [line.rpartition(": ")[2] for line in text.splitlines() if line.startswith("input")] == [
        "1 variants",
        "2 variants",
    ]


def test_the_consolidated_file_says_what_made_its_results_although_several_codes_did(mixed: Results) -> None:
    with h5py.File(mixed.directory / "results.h5") as file:
        metadata = json.loads(file.attrs["sciflow_metadata"])

    older, newer = metadata["origins"]
    assert [(one["n_variants"], one["is_current"]) for one in (older, newer)] == [(7, False), (3, True)]
    assert older["fingerprints"]["f"] != metadata["definition"]["fingerprints"]["f"]
    assert "fingerprints" not in newer  # those of the newest definition
    trees = {one["session"]: one["code"]["tree"] for one in metadata["sessions"]}
    assert all((mixed.directory / "code" / trees[one["session"]]).is_dir() for one in (older, newer))
    assert metadata["origins"] == mixed.metadata["origins"]
