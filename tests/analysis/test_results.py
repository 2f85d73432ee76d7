from __future__ import annotations

import pickle
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sciflow.analysis.results import Results, open_results
from sciflow.errors import FormatError, ResultsError
from sciflow.figures.spec import parse_figure
from sciflow.running.failure import Failure
from sciflow.space import Grid
from sciflow.testing.sweeps import CODE, ENVIRONMENT, known_outcome_workflow, record_outcomes, train
from sciflow.workflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from pathlib import Path


def test_opening_reads_nothing_but_whose_sweep_it_is(known, tmp_path: Path) -> None:
    results = open_results(known.path)

    assert vars(results).get("_snapshot") is None
    assert not {"_assembled", "_variants", "dataset"} & vars(results).keys()
    with pytest.raises(FormatError, match="no sweep"):
        open_results(tmp_path)


def test_results_name_their_directory_and_file(results, known) -> None:
    assert results.directory == known.path
    assert results.results_file == known.path / "results.h5"


def test_counts_are_told_by_status(results, known) -> None:
    assert results.status() == {"done": known.n_done, "failed": known.n_failed, "missing": known.n_missing}


def test_the_table_has_one_row_per_variant_with_its_id(results) -> None:
    table = results.to_dataframe()

    assert len(table) == 18
    assert table.index.name == "variant"
    assert table.index.is_unique
    assert list(table.columns) == [
        *("learning_rate", "layers", "replicate"),
        *("status", "attempt", "runtime_s", "failure"),
        *("accuracy", "energy", "epochs", "converged", "device"),
    ]
    assert table.query("learning_rate == 0.01 and layers == 2").accuracy.tolist() == pytest.approx([0.9, 0.91])


def test_a_table_that_is_changed_does_not_change_the_results(results) -> None:
    table, part = results.to_dataframe(), results.query("layers == 1")
    table["accuracy"] = 0.0
    part["accuracy"] = 0.0

    assert results.to_dataframe().accuracy.max() == 0.99


def test_a_query_chooses_rows(results) -> None:
    found = results.query("learning_rate < 0.05 and status == 'done'")

    assert len(found) == 10
    assert set(found.status) == {"done"}
    assert found.equals(results.to_dataframe().loc[found.index])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("learning_rat < 1", r"names 'learning_rat', which is no column; .*did you mean 'learning_rate'\?"),
        ("learning_rate <", "is not understood"),
        ("learning_rate", "is not a condition"),
        ("layers.sum() == 3", "is not a condition"),
        ("@results == 3", "is not understood|names"),
        ("__import__('os')", "is not understood|names"),
        ("status", "is not a condition"),
        ("device", "is not a condition"),
        ("failure", "is not a condition"),
        ("accuracy.values", "is not a condition"),
        ("accuracy.map(len) == 1", "asks for 'map', which conditions must not"),
        ("accuracy._mgr == 1", "asks for '_mgr'"),
    ],
)
def test_a_query_that_is_not_understood_says_why(results, query: str, words: str) -> None:
    with pytest.raises(ResultsError, match=words):
        results.query(query)


@pytest.mark.parametrize(
    "call",
    [
        "accuracy.to_csv({!r})",
        "(accuracy + 1).to_csv({!r})",
        "accuracy.str._parent.to_csv({!r})",
        "[accuracy.to_csv][0]({!r})",
    ],
)
def test_a_condition_writes_no_files(results, tmp_path: Path, call: str) -> None:
    target = tmp_path / "written.csv"

    for ask in (results.query, lambda condition: results.find_optimal_parameters("accuracy", where=condition)):
        with pytest.raises(ResultsError, match="which conditions must not"):
            ask(f"{call.format(str(target))} == 1")

    assert not target.exists()


def test_conditions_may_call_what_computes(results) -> None:
    assert len(results.query("layers.isin([1, 2])")) == 12
    assert len(results.query(" abs(learning_rate - 0.01) < 1e-9 ")) == 6
    assert results.query("accuracy > accuracy.mean()").accuracy.min() > results.to_dataframe().accuracy.mean()
    assert set(results.query("status.str.startswith('fail')").status) == {"failed"}
    assert set(results.query("accuracy.notnull()").status) == {"done"}


def test_of_what_is_true_or_false_neither_it_nor_its_opposite_holds_where_it_is_missing(tmp_path: Path) -> None:
    workflow = ExperimentalWorkflow("truths")
    workflow.add_task("work", lambda **parameters: parameters)
    workflow.add_parameter_space(Grid(a=[1, 2, 3, 4], odd=["x"]) | Grid(a=[5], fast=[True]) | Grid(a=[6], fast=[False]))
    failed = Failure.of(ValueError("no"), "work")
    record_outcomes(tmp_path, workflow, lambda v: {"flag": v["a"] % 2 == 0, "y": 1.0} if v["a"] != 3 else failed)
    results = open_results(tmp_path)

    assert results.query("flag").a.tolist() == [2, 4, 6]
    assert results.query("not flag").a.tolist() == [1, 5]
    assert results.query("flag == False and y > 0").a.tolist() == [1, 5]
    assert results.query("flag or status == 'failed'").a.tolist() == [2, 3, 4, 6]
    assert results.query("fast").a.tolist() == [5]
    assert results.query("not fast").a.tolist() == [6]


def test_a_summary_describes_each_metric_of_the_variants_that_are_done(results) -> None:
    summary = results.summary()

    assert summary.index.tolist() == ["accuracy", "energy", "epochs", "converged", "runtime_s"]
    assert summary.loc["accuracy", "n"] == 13
    assert summary.loc["energy", "max"] == 30.0
    assert summary.loc["runtime_s", "mean"] == 0.25


def test_results_stay_as_they_were_until_they_are_refreshed(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    record_outcomes(tmp_path, workflow, lambda v: train(**v) if v["layers"] == 1 else None)
    results = open_results(tmp_path)
    before = results.dataset
    record_outcomes(tmp_path, workflow, lambda v: train(**v) if v["layers"] == 2 else None)

    assert results.dataset is before
    assert results.status()["done"] == 6
    results.refresh()
    assert results.status()["done"] == 12
    assert int((results.dataset.status == "done").sum()) == 12
    assert results.find_optimal_parameters("energy", where="learning_rate == 0.01")["layers"] == 2


def test_refreshing_before_anything_was_looked_at_is_fine(known) -> None:
    results = open_results(known.path)
    results.refresh()

    assert results.status()["done"] == known.n_done


def test_metadata_says_what_ran_where(results, known) -> None:
    metadata = results.metadata

    assert metadata["sweep"]["workflow"] == "known_outcome"
    assert metadata["definition"]["space"]["kind"] == "product"
    assert metadata["n_revisions"] == 1
    assert metadata["code"] == CODE
    assert [session["session"] for session in metadata["sessions"]] == [1]
    assert list(metadata["environments"].values()) == [ENVIRONMENT]


def test_the_environment_is_that_of_the_newest_results(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    newer = {**ENVIRONMENT, "packages": {"numpy": "2.2.0"}}
    record_outcomes(tmp_path, workflow, lambda v: train(**v) if v["layers"] == 1 else None)
    record_outcomes(tmp_path, workflow, lambda v: train(**v) if v["layers"] == 2 else None, environment=newer)
    results = open_results(tmp_path)

    assert results.environment == newer
    assert len(results.metadata["environments"]) == 2


def test_a_sweep_that_recorded_nothing_has_the_environment_it_was_started_in(recorded) -> None:
    results = recorded({"a": [1]}, lambda _: None)

    assert results.environment == ENVIRONMENT


def test_a_sweep_that_died_before_it_was_defined_can_be_opened(tmp_path: Path) -> None:
    from sciflow.store.directory import SweepDirectory

    SweepDirectory.create_or_open(tmp_path / "s", "early", 0)
    results = open_results(tmp_path / "s")

    assert results.status() == {"done": 0, "failed": 0, "missing": 0}
    assert results.metadata["definition"] == {}
    assert results.metadata["code"] == {"repository": None}
    assert results.environment == {}
    assert results.visualize() == {}
    assert "no variants" in repr(results)
    assert results.to_dataframe().empty


def test_a_repr_counts_and_an_html_repr_escapes(recorded) -> None:
    results = recorded({"a": [1, 2]}, lambda _: {"<y>": 1.0}, name="a<b")

    assert repr(results).startswith("<Results of 'a<b': 2 done; ")
    html = results._repr_html_()
    assert "&lt;y&gt;" in html
    assert "a&lt;b" in html
    assert "<y>" not in html


def test_results_pickle_without_what_they_read(results, known) -> None:
    results.status()
    copy = pickle.loads(pickle.dumps(results))

    assert isinstance(copy, Results)
    assert copy.status()["done"] == known.n_done


def test_figures_that_the_workflow_asked_for_are_drawn_by_name(results) -> None:
    from matplotlib.figure import Figure

    assert isinstance(results.plot("accuracy_map"), Figure)
    assert list(results.visualize()) == ["accuracy_map"]
    with pytest.raises(ResultsError, match=r"no figure 'acuracy_map'; .*did you mean 'accuracy_map'\?"):
        results.plot("acuracy_map")


def test_a_figure_can_be_drawn_that_nobody_asked_for(results) -> None:
    options = {"type": "heatmap", "x_axis": "layers", "y_axis": "learning_rate", "value": "runtime_s"}

    by_options, by_spec = results.plot(options), results.plot(parse_figure("mine", options))

    for figure in (by_options, by_spec):
        labels = {axes.get_ylabel() for axes in figure.axes}
        assert labels == {"learning_rate [1/s]", "runtime_s [s]"}


def test_a_figure_over_what_is_not_there_is_an_error_that_says_what_is(results) -> None:
    with pytest.raises(ResultsError, match="there is no parameter 'depth'; there are learning_rate"):
        results.plot({"type": "heatmap", "x_axis": "layers", "y_axis": "depth", "value": "accuracy"})
    with pytest.raises(ResultsError, match="no metric 'loss'"):
        results.plot({"type": "heatmap", "x_axis": "layers", "y_axis": "learning_rate", "value": "loss"})


def test_a_figure_of_a_newer_release_is_told(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    directory = record_outcomes(tmp_path, workflow, lambda _: train(0.01, 1, 0))
    definition = directory.definitions()[-1]
    directory.add_definition({**definition, "figures": [{"name": "new", "type": "hologram"}]})

    with pytest.raises(ResultsError, match="a figure that this release cannot draw: figure 'new'"):
        open_results(tmp_path).visualize()


def test_a_running_sweep_is_read_by_another_process_without_the_workflow(known) -> None:
    script = (
        "import sys; from sciflow.analysis.results import open_results\n"
        "results = open_results(sys.argv[1])\n"
        "print(results.find_optimal_parameters('accuracy')['layers'], results.status()['done'])\n"
        "assert not {'distributed', 'matplotlib', 'git', 'dask'} & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, known.path], capture_output=True, text=True, check=True)

    assert ran.stdout.split() == ["2", "14"]


def test_a_sweep_of_many_variants_is_opened_at_once_and_read_quickly(recorded) -> None:
    results = recorded({"a": list(range(200)), "b": list(range(100))}, lambda v: {"y": float(v["a"] * v["b"])})

    started = time.perf_counter()
    fresh = open_results(results.directory)
    opened = time.perf_counter() - started
    best = fresh.find_optimal_parameters("y")
    ranked = time.perf_counter() - started

    assert best == {"a": 199, "b": 99}
    assert opened < 0.05
    assert ranked < 2.0
    assert np.isfinite(fresh.dataset.y.values).all()
