"""Long tasks and programs in a sweep: what is killed resumes, what is done leaves no checkpoint."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import sciflow


def workflow(name, function, space, **options):
    one = sciflow.ExperimentalWorkflow(name)
    one.add_task("train", function, **options)
    one.add_parameter_space(space)
    return one


def run(one, folder, cluster="inline"):
    engine = sciflow.Engine(cluster, directory=folder, progress=False)
    return engine.execute_parameter_sweep(one)


def notes(folder, line=None):
    """Lines that runs left in a file, whatever became of their processes."""
    path = Path(folder) / "notes"
    if line is not None:
        with path.open("a") as file:
            file.write(f"{line}\n")
    return path.read_text().split() if path.exists() else []


def test_a_worker_killed_in_the_middle_of_a_long_task_resumes_from_its_last_checkpoint(tmp_path):
    folder = str(tmp_path)

    def train(rate, context):
        state = context.checkpoint.load({"epoch": 0, "sum": 0.0})
        for epoch in range(state["epoch"], 10):
            notes(folder, epoch)
            if epoch in {3, 7} and notes(folder).count(str(epoch)) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            state = {"epoch": epoch + 1, "sum": state["sum"] + rate}
            context.checkpoint.save(state)
        return {"total": state["sum"]}

    results = run(workflow("w", train, {"rate": [0.5]}), tmp_path / "sweeps", sciflow.LocalCluster(workers=1))

    assert results.get_metric({"rate": 0.5}, "total") == pytest.approx(5.0)
    assert notes(folder) == [str(n) for n in (0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9)]
    assert not list((tmp_path / "sweeps" / "w" / "checkpoints").glob("v*"))


def test_what_failed_keeps_its_checkpoint_and_carries_on_when_it_is_run_again(tmp_path):
    folder = str(tmp_path)

    def train(rate, context):
        done = context.checkpoint.load(0)
        notes(folder, done)
        context.checkpoint.save(done + 1)
        if done < 2:
            raise OSError("the file server is away")
        return {"y": done}

    for _ in range(3):
        engine = sciflow.Engine("inline", directory=tmp_path / "sweeps", progress=False)
        results = engine.execute_parameter_sweep(workflow("w", train, {"rate": [1]}), retry_failed=True)

    assert notes(folder) == ["0", "1", "2"]
    assert results.get_metric({"rate": 1}, "y") == 2


@pytest.mark.parametrize("cluster", ["inline", "local"])
def test_a_task_that_defers_is_called_again_with_its_checkpoint_and_is_no_retry(tmp_path, cluster):
    def train(rate, context):
        done = context.checkpoint.load(0)
        if done < 2:
            context.checkpoint.save(done + 1)
            return context.defer()
        return {"y": rate * done, "attempt_seen": context.attempt}

    results = run(workflow("w", train, {"rate": [1, 2, 3]}), tmp_path, cluster)

    assert results.dataset["y"].values.tolist() == [2, 4, 6]
    assert results.dataset["attempt_seen"].values.tolist() == [1, 1, 1]
    assert not list((tmp_path / "w" / "checkpoints").glob("v*"))


def test_a_program_runs_once_for_the_variants_that_agree_on_the_names_in_braces(tmp_path):
    one = sciflow.ExperimentalWorkflow("w")
    one.add_task("prepare", sciflow.shell("echo {data} >> notes; echo '\"'{data}-prepared'\"'", cwd=tmp_path))
    one.add_task("score", sciflow.shell("printf '{{\"length\": %d}}' $(printf %s {prepare}{x} | wc -c)"), "prepare")
    one.add_parameter_space({"data": ["a", "bb"], "x": [1, 22, 333]})

    results = run(one, tmp_path / "sweeps", "inline")

    assert sorted(notes(tmp_path)) == ["a", "bb"]
    assert results.get_metric({"data": "bb", "x": 22}, "length") == len("bb-prepared22")


def test_a_program_that_fails_is_a_failure_with_cause_exit_that_names_the_log(tmp_path):
    one = workflow("w", sciflow.shell("test {x} = 1 || {{ echo not {x} >&2; exit 3; }}; echo {x}"), {"x": [1, 2, 3]})

    results = run(one, tmp_path, sciflow.LocalCluster(workers=1))

    (failure,) = results.failures().to_dict("records")
    assert failure["cause"] == "exit"
    assert failure["fingerprint"] == "CommandError at train: exit status 3"
    (log,) = [line for line in failure["message"].splitlines() if line.startswith("log: ")]
    assert "not " in Path(log.removeprefix("log: ")).read_text()
    assert results.get_metric({"x": 1}, "train") == 1
