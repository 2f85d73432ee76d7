from __future__ import annotations

import math
import pickle
import subprocess
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.running.context import DEFERRED, Deferred, RunSite, TaskContext
from sciflow.running.log import LOG_BYTES, RunLog
from sciflow.space import Variant


def context(site=None, *, task="train", attempt=1, **parameters):
    return TaskContext(
        Variant(parameters or {"a": 1, "b": "x"}), task=task, attempt=attempt, sweep_seed=7, site=site or RunSite()
    )


def test_random_numbers_are_those_of_every_earlier_release():
    one = context()

    assert one.variant_id == "v1e731c514b762b86058d"
    assert [one.rng.random() for _ in range(2)] == [0.8199177229882167, 0.8082357254517427]
    assert one.seed == 2645393057701085157


def test_outside_a_sweep_a_long_task_works_and_leaves_nothing_behind(capsys):
    one = context()
    assert one.checkpoint.load(0) == 0
    one.checkpoint.save(5)
    with one.checkpoint.writing() as path:
        path.write_text("own")
    one.progress(0.5)
    one.log("half", 1, None)

    assert one.checkpoint.load(0) == 5
    assert not one.should_stop()
    assert "train[1] half 1 None\n" in capsys.readouterr().err

    scratch = one.directory
    one.close()
    assert not scratch.exists()


def test_checkpoints_are_kept_by_variant_and_task_for_the_next_attempt(tmp_path):
    site = RunSite(checkpoints=tmp_path, generation="g")
    context(site).checkpoint.save("state")

    assert context(site, attempt=2).checkpoint.load() == "state"
    assert context(site, task="score").checkpoint.load() is None
    assert context(site, a=2).checkpoint.load() is None
    assert [path.name for path in tmp_path.iterdir()] == [context().variant_id]


def test_a_checkpoint_of_other_code_is_not_loaded_and_the_log_says_so(tmp_path):
    old = RunSite(checkpoints=tmp_path / "c", logs=tmp_path / "l", generation="old")
    new = RunSite(checkpoints=tmp_path / "c", logs=tmp_path / "l", generation="new")
    context(old).checkpoint.save("state")

    assert context(new).checkpoint.load() is None
    assert "written by other code" in (tmp_path / "l" / f"{context().variant_id}.log").read_text()


def test_a_task_that_only_asks_for_its_context_makes_no_file(tmp_path):
    one = context(RunSite(artifacts=tmp_path / "a", checkpoints=tmp_path / "c", logs=tmp_path / "l"))
    assert one.checkpoint.load() is None
    assert not one.checkpoint.exists
    one.close()

    assert not list(tmp_path.iterdir())


def test_should_stop_asks_each_time():
    answers = iter([False, True])
    one = context(RunSite(should_stop=lambda: next(answers)))

    assert [one.should_stop(), one.should_stop()] == [False, True]


def test_what_defer_returns_is_one_value_in_every_process():
    deferred = context().defer()

    assert deferred is DEFERRED
    assert isinstance(deferred, Deferred)
    assert pickle.loads(pickle.dumps(deferred)) is DEFERRED
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer))"
    there = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(deferred), capture_output=True, check=True)
    assert there.stdout == b"DEFERRED\n"


@given(st.floats(allow_nan=False))
def test_progress_is_a_fraction(given_fraction):
    said = []
    context(RunSite(progress=said.append)).progress(given_fraction)

    assert said == [min(max(given_fraction, 0.0), 1.0)]


def test_progress_that_is_nan_is_refused():
    said = []
    with pytest.raises(ValueError, match="'train' says that its progress is NaN"):
        context(RunSite(progress=said.append)).progress(math.nan)
    assert not said


def test_a_log_has_the_time_the_task_and_the_attempt(tmp_path):
    context(RunSite(logs=tmp_path / "logs")).log("loss", 0.5)
    context(RunSite(logs=tmp_path / "logs"), task="score", attempt=2).log("ünï\nsecond line")

    first, second, third = (tmp_path / "logs" / f"{context().variant_id}.log").read_text("utf-8").splitlines()
    time, text = first.split(" ", 1)
    assert datetime.fromisoformat(time).utcoffset() is not None
    assert text == "train[1] loss 0.5"
    assert second.endswith("score[2] ünï")
    assert third == "second line"


def test_a_log_stops_at_its_bound_and_says_so_once(tmp_path):
    log = RunLog(tmp_path / "v1.log", "train[1]")
    line = "x" * 100_000
    for _ in range(2 * LOG_BYTES // len(line)):
        log.line(line)

    text = log.path.read_text()
    assert LOG_BYTES < len(text) < LOG_BYTES + 200
    assert text.count("the log is full (1 MiB)") == 1
    assert text.endswith("is not kept\n")


def test_a_log_that_cannot_be_written_costs_nothing_but_itself(tmp_path):
    (tmp_path / "logs").write_text("a file, where a folder should be")

    context(RunSite(logs=tmp_path / "logs")).log("hello")

    assert (tmp_path / "logs").read_text() == "a file, where a folder should be"


def test_what_surrounds_a_run_travels_to_workers():
    site = pickle.loads(pickle.dumps(RunSite(generation="g")))

    assert site == RunSite(generation="g")
    assert not site.should_stop()
