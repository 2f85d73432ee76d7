"""Where one result comes from, and what is known of the sweep it is in."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr

import sciflow
from sciflow.analysis.metadata import differences, provenance_text
from sciflow.analysis.results import open_results
from sciflow.errors import ResultsError
from sciflow.running.failure import Failure
from sciflow.store.compact import compact
from sciflow.testing.sweeps import CODE, ENVIRONMENT, known_outcome_workflow, record_outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.analysis.results import Results
    from sciflow.testing.sweeps import KnownSweep

FAILURE = Failure("exception", "train", "ValueError", "no", "", "ValueError at train")
LAYERS_2 = {**ENVIRONMENT, "packages": {"numpy": "2.2.0", "tool": "0.3"}}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A sweep that was really run, one of whose tasks draws random numbers and one of which is shared."""

    def load(size):
        return np.arange(size)

    def draw(load, scale, context):
        return {"sum": float(load.sum() * scale), "seed": context.seed, "curve": np.zeros(3)}

    workflow = sciflow.ExperimentalWorkflow("real", seed=7)
    workflow.add_task("load", load)
    workflow.add_task("draw", draw, ["load"])
    workflow.add_parameter_space({"size": [3, 4], "scale": [1.0, 2.0]})
    folder = tmp_path_factory.mktemp("real")
    return sciflow.Engine("inline", directory=str(folder), progress=False).execute_parameter_sweep(workflow)


def test_a_trace_leads_from_the_value_to_run_task_code_and_environment(real: Results) -> None:
    variant = {"size": 4, "scale": 2.0}
    facts = real.provenance(variant).to_dict()

    assert facts["outputs"]["sum"] == 12.0
    assert facts["outputs"]["curve"] == {"shape": [3], "dtype": "float64"}
    assert facts["parameters"] == variant
    assert facts["run"]["attempt"] == 1
    assert facts["run"]["start"] <= facts["run"]["end"]
    assert [task["name"] for task in facts["tasks"]] == ["load", "draw"]
    assert facts["tasks"][0]["fingerprint"] == real.metadata["definition"]["fingerprints"]["load"]
    assert facts["environment"]["packages"] == real.environment["packages"]
    assert facts["definition"]["is_current"]
    assert facts["session"]["session"] == 1
    assert json.loads(json.dumps(facts)) == facts


def test_a_trace_gives_the_seed_that_the_task_had(real: Results) -> None:
    for identity, row in real.to_dataframe().iterrows():
        (draw,) = [task for task in real.provenance(str(identity)).to_dict()["tasks"] if task["name"] == "draw"]

        assert draw["seed"] == row["seed"]


def test_a_shared_run_has_its_time_with_one_variant_at_most(real: Results) -> None:
    traces = [real.provenance(identity).to_dict() for identity in real.to_dataframe().index]
    seconds = [trace["tasks"][0]["seconds"] for trace in traces]

    assert sum(one is not None for one in seconds) <= 2
    assert "shared with other variants" in str(real.provenance(traces[seconds.index(None)]["variant"]))


def test_printed_a_trace_reads_from_the_value_to_the_machine(results: Results) -> None:
    identity = results.find_optimal_parameters("accuracy").id
    text = str(results.provenance(identity))

    assert text.splitlines()[0].startswith(f"known_outcome {identity}: ")
    assert "accuracy = " in text
    assert "project at 0123abcd (main)" in text
    assert "numpy" not in text
    assert "2 packages" in text
    assert f"<pre>{text.splitlines()[0]}" in results.provenance(identity)._repr_html_()


def test_a_failed_variant_has_its_failure_in_the_trace(results: Results, known: KnownSweep) -> None:
    failed = results.query("status == 'failed'").index[0]
    trace = results.provenance(failed)

    assert trace.to_dict()["failure"]["type"] in str(trace)
    assert trace.to_dict()["status"] == "failed"


def test_a_variant_that_nobody_ran_has_no_run(recorded) -> None:
    results = recorded({"a": [1, 2]}, lambda variant: {"x": 1.0} if variant["a"] == 1 else None)
    trace = results.provenance({"a": 2})

    assert "run" not in trace.to_dict()
    assert str(trace).endswith("it has not run yet")


@pytest.mark.parametrize("is_compacted", [False, True])
def test_runs_that_count_no_longer_are_listed_oldest_first(tmp_path: Path, *, is_compacted: bool) -> None:
    workflow = known_outcome_workflow()
    record_outcomes(tmp_path, workflow, lambda _: FAILURE)
    directory = record_outcomes(tmp_path, workflow, lambda _: {"x": 1.0}, attempt=2)
    if is_compacted:
        compact(directory, session=3)
    results = open_results(tmp_path)
    facts = results.provenance(results.to_dataframe().index[0]).to_dict()

    assert facts["run"]["attempt"] == 2
    assert facts["session"]["session"] == 2
    assert [(one["attempt"], one["status"], one["cause"]) for one in facts["earlier"]] == [(1, "failed", None)]
    assert "counts no longer" in str(results.provenance(facts["variant"]))


def test_a_replicate_is_named_by_its_id_or_its_number(recorded) -> None:
    space = sciflow.Grid(a=[1]) * sciflow.Replicates(2)
    results = recorded(space, lambda variant: {"x": float(variant["replicate"])})
    first, second = results.to_dataframe().index

    assert results.provenance(first).to_dict()["outputs"]["x"] == 0.0
    assert results.provenance(second).to_dict()["outputs"]["x"] == 1.0
    assert results.provenance({"a": 1, "replicate": 1}).variant == second
    with pytest.raises(ResultsError, match="2 replicates fit; name one with replicate=0"):
        results.provenance({"a": 1})


def test_an_unknown_variant_is_refused(results: Results) -> None:
    with pytest.raises(ResultsError, match="no variant of this sweep has id"):
        results.provenance("v00000000000000000000")


# ----------------------------------------------------------------------------------------------------------- metadata


def test_differences_name_what_is_not_the_same_everywhere() -> None:
    other = {**ENVIRONMENT, "packages": {"numpy": "2.2.0"}}

    assert differences({"one": ENVIRONMENT}) == {}
    assert differences({"one": ENVIRONMENT, "two": other}) == {
        "packages.numpy": {"one": "2.1.0", "two": "2.2.0"},
        "packages.tool": {"one": "0.3", "two": None},
    }


def test_only_environments_that_results_come_from_are_compared(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    record_outcomes(tmp_path, workflow, lambda _: None, environment={"python": {"version": "2.7"}})
    record_outcomes(tmp_path, workflow, lambda v: {"x": 1.0} if v["layers"] == 1 else None)
    record_outcomes(tmp_path, workflow, lambda v: {"x": 1.0} if v["layers"] == 2 else None, environment=LAYERS_2)
    results = open_results(tmp_path)

    assert list(results.environment_differences()) == ["packages.numpy"]
    assert sorted(results.environment_counts().values()) == [6, 6]
    text = provenance_text(results.metadata, results.environment_counts(), results.environment_differences())
    assert "packages.numpy: " in text
    assert "2.2.0" in text
    assert text.count("6 variants") == 2


def test_jobs_of_a_sweep_are_in_its_metadata(tmp_path: Path) -> None:
    directory = record_outcomes(tmp_path, known_outcome_workflow(), lambda _: {"x": 1.0})
    events = directory.path / "events"
    events.mkdir()
    lines = [
        {"name": "job.submitted", "time": 1.0, "job": "17", "resource_class": "", "log": "logs/job-worker-17.log"},
        {"name": "batch.committed", "time": 1.0, "done": 1},
        {"name": "job.started", "time": 2.0, "job": "17", "node": "n1"},
        {"name": "job.ended", "time": 3.0, "job": "17", "how": "preempted", "words": "PREEMPTED", "node": "n1"},
    ]
    torn = b'{"name": "job.ended", "jo'
    (events / "000001.jsonl").write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines) + torn)
    metadata = open_results(tmp_path).metadata

    (job,) = metadata["jobs"]
    log = "logs/job-worker-17.log"
    assert job == {"session": 1, "job": "17", "node": "n1", "how": "preempted", "words": "PREEMPTED", "log": log}
    assert "jobs         1: 17" in provenance_text(metadata, {}, {})


def test_metadata_is_plain_data_with_a_version(results: Results) -> None:
    metadata = results.metadata

    assert metadata["schema"] == 1
    assert json.loads(json.dumps(metadata)) == metadata
    assert metadata["code"] == CODE
    assert metadata["seeds"]["sweep"] == metadata["sweep"]["seed"]


def test_core_hours_count_each_core_of_a_worker(tmp_path: Path) -> None:
    def rest(a):
        time.sleep(0.1)
        return {"x": a}

    workflow = sciflow.ExperimentalWorkflow("cores")
    workflow.add_task("rest", rest)
    workflow.add_parameter_space({"a": range(4)})
    workflow.set_resource_requirements({"rest": {"cpu_cores": 2}})
    cluster = sciflow.LocalCluster(workers=1)
    results = sciflow.Engine(cluster, directory=str(tmp_path), progress=False).execute_parameter_sweep(workflow)
    (session,) = results.metadata["sessions"]

    assert session["core_s"] == pytest.approx(2 * session["worker_s"], abs=0.01)
    assert results.metadata["core_hours"] == session["core_s"] / 3600 > 0
    with xr.open_dataset(results.results_file, engine="h5netcdf") as dataset:
        assert json.loads(dataset.attrs["sciflow_metadata"])["core_hours"] == session["core_s"] / 3600


# --------------------------------------------------------------------------------------------------------------- PROV


def test_the_prov_document_can_be_read_back_and_says_what_generated_what(results: Results, known: KnownSweep) -> None:
    from prov.model import ProvDocument, ProvEntity, ProvGeneration

    document = ProvDocument.deserialize(content=results.to_prov().serialize(format="json"), format="json")
    entities = {str(one.identifier): one for one in document.get_records(ProvEntity)}
    generated = {str(one.args[0]): str(one.args[1]) for one in document.get_records(ProvGeneration)}

    identity = results.find_optimal_parameters("accuracy").id
    assert f"sweep:{identity}" in entities
    assert generated[f"sweep:{identity}"] == "sweep:session-1"
    assert generated["sweep:results"] == "sweep:session-1"
    assert sum(name.startswith("sweep:v") for name in entities) == known.n_done + known.n_failed
    assert "0123abcd" in str(entities["sweep:code"].get_attribute("sciflow:commit"))


def test_a_large_sweep_is_told_by_its_sessions(recorded) -> None:
    from prov.model import ProvActivity, ProvEntity

    document = recorded({"a": range(501)}, lambda _: {"x": 1.0}).to_prov()

    assert not any("sweep:v" in str(one.identifier) for one in document.get_records(ProvEntity))
    assert len(list(document.get_records(ProvActivity))) == 1


def test_without_the_package_prov_it_is_said_how_to_get_it(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prov.model", None)

    with pytest.raises(ResultsError, match=r"pip install 'sciflow\[provenance\]'"):
        results.to_prov()


def test_what_short_variants_took_together_is_told_as_the_share_of_each(tmp_path: Path) -> None:
    workflow = sciflow.ExperimentalWorkflow("short")
    workflow.add_task("f", lambda a: a)
    workflow.add_parameter_space({"a": range(30_000)})
    results = sciflow.Engine("inline", directory=tmp_path, progress=False).execute_parameter_sweep(workflow)

    run = results.provenance({"a": 29_999}).to_dict()["run"]
    assert run["is_share"]
    assert run["cpu_s"] < 0.01
    assert "in the mean of its neighbours" in str(results.provenance({"a": 29_999}))
