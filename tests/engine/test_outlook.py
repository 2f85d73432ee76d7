from __future__ import annotations

import time

import numpy as np
import pytest

from sciflow.engine.engine import Engine
from sciflow.engine.outlook import learn, outlook
from sciflow.engine.sweep import Sweep
from sciflow.planning.cost import WALL_S, task_measure
from sciflow.planning.pilot import pilot_rows
from sciflow.planning.plan import Request
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session
from sciflow.workflow.workflow import ExperimentalWorkflow


def load(dataset):
    time.sleep(0.01)
    return dataset


def train(load, size, seed):
    time.sleep(0.001 * size)
    return {"loss": 1.0 / size}


@pytest.fixture
def workflow():
    workflow = ExperimentalWorkflow("outlook")
    workflow.add_task("load", load)
    workflow.add_task("train", train, depends_on=["load"])
    workflow.add_parameter_space({"dataset": ["a", "b"], "size": [1, 2, 4, 8, 16], "seed": range(20)})
    workflow.set_resource_requirements({"train": {"cpu_cores": 1}})
    return workflow


def look(workflow, tmp_path):
    directory = SweepDirectory.create_or_open(tmp_path / "outlook", "outlook", 0)
    sweep = Sweep.look(workflow.validate(), directory)
    return sweep, sweep.plan(Request()), directory


def test_without_records_the_outlook_is_that_a_pilot_would_tell(workflow, tmp_path):
    sweep, plan, directory = look(workflow, tmp_path)

    assert "unknown; to find out: sciflow plan --pilot 8" in str(outlook(sweep, plan, directory, n_slots=2))


def test_after_some_variants_the_outlook_is_of_the_others_task_by_task(workflow, tmp_path):
    Engine("inline", directory=tmp_path, progress=False).execute_parameter_sweep(workflow, only="seed < 2")

    sweep, plan, directory = look(workflow, tmp_path)
    found = outlook(sweep, plan, directory, n_slots=2)
    took = learn(sweep, directory).costs(task_measure("train")).sum()  # of a tenth of the variants

    assert found.n_variants == 180
    assert found.n_samples == 20
    assert list(found.tasks) == ["load", "train"]
    assert 0.5 < found.tasks["train"].value / (9 * took) < 2
    assert found.tasks["train"].value > 5 * found.tasks["load"].value
    assert found.wall_s.value == pytest.approx(found.busy_s.value / 2)


def test_a_driver_that_starts_again_knows_what_variants_cost(workflow, tmp_path):
    Engine("inline", directory=tmp_path, progress=False).execute_parameter_sweep(workflow, only="seed < 2")

    sweep, _, directory = look(workflow, tmp_path)
    model = learn(sweep, directory)

    assert model.n_seen(WALL_S) == 20
    assert model.mean(task_measure("load"))[0] == 2, "one was done before its variants, and has no record"
    assert model.mean(task_measure("load"))[1] > 0.009
    assert model.fit(task_measure("train")).effects[0].parameter == "size"
    assert set(model.fit(task_measure("train")).predict(workflow.space.take(np.arange(0, 100, 20))) > 0) == {True}


def test_how_busy_workers_were_counts_when_they_were_there_for_a_while(workflow, tmp_path):
    Engine("inline", directory=tmp_path, progress=False).execute_parameter_sweep(workflow, only="seed < 2")
    sweep, plan, directory = look(workflow, tmp_path)
    short = outlook(sweep, plan, directory, 2)
    with Session.acquire(directory) as session:
        session.end({"busy_s": 500.0, "worker_s": 1000.0})

    long = outlook(sweep, plan, directory, 2)

    assert short.utilisation == 1.0
    assert long.utilisation == pytest.approx(0.5, abs=0.01)
    assert long.wall_s.value == pytest.approx(2 * short.wall_s.value, rel=0.02)


def test_a_pilot_of_this_sweep_has_each_dataset_and_the_smallest_and_largest_size(workflow, tmp_path):
    sweep, plan, _ = look(workflow, tmp_path)

    chosen = workflow.space.take(pilot_rows(sweep.definition.space, plan.rows, 8).rows()).arrays()

    assert set(chosen["dataset"]) == {"a", "b"}
    assert (chosen["size"].min(), chosen["size"].max()) == (1, 16)
    assert len(chosen["size"]) == 8
