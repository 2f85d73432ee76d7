from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import sciflow
from sciflow.running.context import RunSite
from sciflow.running.run import VariantRunner
from sciflow.running.shared import Intermediates


def train(size, context):
    path = context.artifact("model.bin")
    path.write_bytes(b"m" * size)
    context.artifact("never written")
    folder = context.artifact("plots")
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text("a")
    return {"model": str(path), "note": "no path"}


def evaluate(model, note):
    return {"n": len(Path(model).read_bytes())}


@pytest.mark.parametrize("cluster", ["inline", "local"])
def test_artifacts_have_digests_in_the_record_and_a_link_to_the_task_that_was_given_them(tmp_path, cluster):
    workflow = sciflow.ExperimentalWorkflow("made")
    workflow.add_task("train", train)
    workflow.add_task("evaluate", evaluate, depends_on=["train"])
    workflow.add_parameter_space({"size": [1000, 2000]})
    results = sciflow.Engine(cluster, directory=tmp_path, progress=False).execute_parameter_sweep(workflow)

    trace = results.provenance({"size": 2000})
    variant = trace.variant
    model, plots = trace.to_dict()["artifacts"]["generated"]
    assert model == {
        "task": "train",
        "artifact": f"{variant}/model.bin",
        "sha256": hashlib.sha256(b"m" * 2000).hexdigest(),
        "size_bytes": 2000,
    }
    assert (results.directory / "artifacts" / model["artifact"]).stat().st_size == 2000
    listed = f"{hashlib.sha256(b'a').hexdigest()}  a.txt\n".encode()
    assert (plots["n_files"], plots["sha256"]) == (1, hashlib.sha256(listed).hexdigest())
    assert trace.to_dict()["artifacts"]["used"] == [{"task": "evaluate", "artifact": f"{variant}/model.bin"}]
    assert f"{variant}/model.bin, given to evaluate" in str(trace)


def test_variants_without_artifacts_have_no_words_about_them(tmp_path):
    workflow = sciflow.ExperimentalWorkflow("plain")
    workflow.add_task("f", lambda a: a)
    workflow.add_parameter_space({"a": [1]})
    results = sciflow.Engine("inline", directory=tmp_path, progress=False).execute_parameter_sweep(workflow)

    assert results.provenance({"a": 1}).to_dict()["artifacts"] == {}


def shared_workflow():
    workflow = sciflow.ExperimentalWorkflow("shared")
    workflow.add_task("load", lambda dataset: [dataset] * 3)
    workflow.add_task("use", lambda load, k: k, depends_on=["load"])
    workflow.add_parameter_space({"dataset": ["a", "b"], "k": [1, 2, 3]})
    return workflow.validate()


def runner_of(definition, folder, worker):
    site = RunSite(place=lambda: {"worker": worker, "session": 1})
    runner = VariantRunner(definition, site, shared={"load"}, files=Intermediates(folder, {}))
    runner.shared["load"].kept = True
    return runner


def origins(runner, definition, rows):
    iterator = runner.outcomes(definition.space.take(rows), rows, 1, careful=False)
    n = sum(1 for _ in iterator)
    found = runner.take_origins(n)
    runner.take_seconds(n)
    if not found:
        return [None] * n
    runs, codes = found["load"]
    return [None if code < 0 else runs[code] for code in codes.tolist()]


def test_what_a_value_from_another_worker_took_where_and_when_goes_with_it(tmp_path):
    definition = shared_workflow()
    other, here = runner_of(definition, tmp_path, "other:1"), runner_of(definition, tmp_path, "here:2")
    other.keep(definition.space.take(np.array([3])), "load")  # dataset b

    first = origins(here, definition, np.array([0, 3, 4, 1, 5]))
    again = origins(here, definition, np.array([4, 2]))

    assert [one and one["worker"] for one in first] == [None, "other:1", "other:1", None, "other:1"]
    assert [one and one["worker"] for one in again] == ["other:1", None]
    (ran,) = {one["start"]: one for one in first if one}.values()
    assert ran["wall_s"] > 0
    assert {"start", "wall_s", "cpu_s", "worker", "session"} == set(ran)


def test_a_value_kept_by_an_earlier_release_has_no_origin(tmp_path):
    import cloudpickle

    definition = shared_workflow()
    here = runner_of(definition, tmp_path, "here:2")
    table = definition.space.take(np.array([0]))
    path = Intermediates(tmp_path, {}).path("load", here.key(table, "load"))
    path.write_bytes(cloudpickle.dumps(["old"] * 3))

    assert origins(here, definition, np.array([0, 1])) == [None, None]


def test_a_cached_value_says_in_which_sweep_s_session_it_was_computed(tmp_path):
    def run(values):
        workflow = sciflow.ExperimentalWorkflow("cached")
        workflow.add_task("load", lambda dataset: [dataset], cache=True)
        workflow.add_task("use", lambda load, k: k, depends_on=["load"])
        workflow.add_parameter_space({"dataset": ["a"], "k": values})
        return sciflow.Engine("inline", directory=tmp_path, progress=False).execute_parameter_sweep(workflow)

    run([1, 2])
    results = run([1, 2, 3])

    load, _ = results.provenance({"k": 3}).to_dict()["tasks"]
    assert load["ran"]["session"] == 1
    assert load["seconds"] is None, "it is another variant's time"
    assert load["ran"]["wall_s"] > 0
    words = " ".join(str(results.provenance({"k": 3})).split())
    assert "shared with other variants, took" in words


def test_an_artifact_that_another_sweep_reads_is_linked_to_the_variant_that_made_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = sciflow.ExperimentalWorkflow("first")
    first.add_task("train", train)
    first.add_parameter_space({"size": [10]})
    results = sciflow.Engine("inline", progress=False).execute_parameter_sweep(first)
    artifact = results.provenance({"size": 10}).to_dict()["artifacts"]["generated"][0]

    second = sciflow.ExperimentalWorkflow("second")
    second.add_task("f", lambda a: a)
    second.add_parameter_space({"a": [1]})
    second.add_input(results.directory / "artifacts" / artifact["artifact"])
    trace = sciflow.Engine("inline", progress=False).execute_parameter_sweep(second).provenance({"a": 1})

    (entry,) = trace.to_dict()["inputs"]
    assert entry["sha256"] == artifact["sha256"]
    assert entry["made_by"]["artifact"] == artifact["artifact"]
    assert f"artifact {artifact['artifact']} of sweep first" in str(trace)
