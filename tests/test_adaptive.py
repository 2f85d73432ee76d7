"""Optuna on top of a sweep: what it asks for is run, recorded, told, and asked for again after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sciflow.adaptive import optimize
from sciflow.analysis.results import open_results
from sciflow.engine.engine import Engine
from sciflow.errors import ResultsError, SpaceError
from sciflow.space import Range, Replicates
from sciflow.workflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from collections.abc import Callable

optuna = pytest.importorskip("optuna", reason="adaptive sweeps are an extra")

ROOT = Path(__file__).parents[1]
SPACE = {"x": (0.0, 1.0), "rate": Range(1e-4, 1.0, scale="log"), "n": Range(1, 9, integer=True), "kind": [None, "b"]}

ran: list[tuple[Any, ...]] = []


def score(x: float, rate: float, n: int, kind: str | None) -> dict[str, float]:
    ran.append((x, rate, n, kind))
    if kind is None and n == 9:
        raise ArithmeticError("not defined here")
    return {"score": -((x - 0.3) ** 2) - (n - 4) ** 2 / 100 - (kind is None) / 2 - abs(rate - 0.01)}


def workflow_of(function: Callable[..., Any] = score, name: str = "adaptive") -> ExperimentalWorkflow:
    workflow = ExperimentalWorkflow(name)
    workflow.add_task("score", function)
    return workflow


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    ran.clear()
    return Engine("inline", directory=tmp_path, progress=False)


def test_an_adaptive_sweep_finds_more_than_the_same_number_of_random_points(engine: Engine) -> None:
    found = optimize(workflow_of(), metric="score", space=SPACE, n_variants=60, engine=engine)
    random = optimize(
        workflow_of(name="random"),
        metric="score",
        space=SPACE,
        n_variants=60,
        engine=engine,
        sampler=lambda seed: optuna.samplers.RandomSampler(seed=seed),
    )

    best, best_of_random = (one.get_metric(one.find_optimal_parameters("score"), "score") for one in (found, random))
    assert best > best_of_random
    assert best > -0.05
    assert sum(found.status().values()) == 60


def test_values_are_of_the_types_that_were_asked_for_and_no_point_runs_twice(engine: Engine) -> None:
    workflow = workflow_of()
    results = optimize(workflow, metric="score", space=SPACE, n_variants=24, batch=5, engine=engine)

    assert len(ran) == len(set(ran)) == 24 == sum(results.status().values())
    assert {(type(x), type(rate), type(n)) for x, rate, n, _ in ran} == {(float, float, int)}
    assert {kind for *_, kind in ran} == {None, "b"}
    assert all(0 <= x <= 1 and 1e-4 <= rate <= 1 and 1 <= n <= 9 for x, rate, n, _ in ran)
    assert engine.plan(workflow).n_todo == 0  # the workflow has the points now


def test_the_same_seed_asks_for_the_same_points_and_a_later_call_goes_on_where_it_was(engine: Engine) -> None:
    optimize(workflow_of(name="one"), metric="score", space=SPACE, n_variants=24, engine=engine)
    whole = list(ran)
    ran.clear()
    optimize(workflow_of(name="two"), metric="score", space=SPACE, n_variants=8, engine=engine)
    optimize(workflow_of(name="two"), metric="score", space=SPACE, n_variants=24, engine=engine)

    assert ran == whole
    optimize(workflow_of(name="two"), metric="score", space=SPACE, n_variants=24, engine=engine)
    assert ran == whole


def test_failed_variants_are_told_as_failed_and_the_sweep_goes_on(engine: Engine) -> None:
    def fails_left(x: float) -> float:
        if x < 0.5:
            raise ValueError("too small")
        return x if x < 0.9 else float("nan")

    results = optimize(
        workflow_of(fails_left), metric="score", space={"x": (0.0, 1.0)}, n_variants=30, maximize=False, engine=engine
    )
    counts = results.status()

    assert counts["failed"] > 0
    assert counts["done"] + counts["failed"] == 30
    assert results.get_metric(results.find_optimal_parameters("score", maximize=False), "score") < 0.6


def test_the_optimiser_is_told_the_mean_over_other_parameters(engine: Engine) -> None:
    def noisy(x: float, replicate: int) -> dict[str, float]:
        return {"y": x + [-10.0, 10.0][replicate]}

    workflow = workflow_of(noisy)
    workflow.add_parameter_space(Replicates(2))
    results = optimize(workflow, metric="y", space={"x": (0.0, 1.0)}, n_variants=20, engine=engine)

    assert sum(results.status().values()) == 40
    assert results.find_optimal_parameters("y")["x"] > 0.8


def test_what_a_grid_has_found_is_known_to_the_optimiser(engine: Engine) -> None:
    def parabola(x: float) -> dict[str, float]:
        ran.append((x,))
        return {"y": -((x - 0.5) ** 2)}

    coarse = workflow_of(parabola)
    coarse.add_parameter_space({"x": [0.0, 0.25, 0.5, 0.75, 1.0, 7.0]})
    engine.execute_parameter_sweep(coarse)
    optimize(workflow_of(parabola), metric="y", space={"x": (0.0, 1.0)}, n_variants=8, engine=engine)

    assert len(ran) == 6 + 3  # 7.0 is not in the space


def test_a_space_that_is_used_up_ends_the_sweep(engine: Engine) -> None:
    def square(a: int) -> dict[str, int]:
        return {"y": a * a}

    results = optimize(workflow_of(square), metric="y", space={"a": [1, 2, 3]}, n_variants=10, engine=engine)

    assert results.status() == {"done": 3, "failed": 0, "missing": 0}


def test_a_sampler_of_ones_own_is_asked_and_told(engine: Engine) -> None:
    sampler = optuna.samplers.TPESampler(seed=1, n_startup_trials=5)
    optimize(workflow_of(), metric="score", space=SPACE, n_variants=20, batch=1, engine=engine, sampler=sampler)

    assert len(set(ran)) == 20


def test_a_metric_that_nobody_records_lists_those_there_are(engine: Engine) -> None:
    with pytest.raises(ResultsError, match=r"no metric 'scor'.*score.*did you mean"):
        optimize(workflow_of(), metric="scor", space=SPACE, n_variants=10, engine=engine)


@pytest.mark.parametrize(
    ("more", "words"),
    [({"n_variants": 0}, "n_variants=0"), ({"batch": 1.5}, "batch=1.5"), ({"space": {}}, "a parameter at least")],
)
def test_arguments_that_are_not_understood_are_told(engine: Engine, more, words) -> None:
    with pytest.raises(SpaceError, match=words):
        optimize(workflow_of(), **{"metric": "score", "space": SPACE, "n_variants": 3, "engine": engine, **more})
    assert not (engine.directory / "adaptive").exists()


def test_a_direction_that_is_no_bool_is_refused_before_anything_runs(engine: Engine) -> None:
    with pytest.raises(ResultsError, match="write maximize=False"):
        optimize(workflow_of(), metric="score", space=SPACE, n_variants=3, engine=engine, maximize="min")
    assert not (engine.directory / "adaptive").exists()


def test_without_optuna_the_extra_is_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(ResultsError, match=r'pip install "sciflow\[adaptive\]"'):
        optimize(workflow_of(), metric="score", space=SPACE, n_variants=3, engine=engine)


SCRIPT = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from sciflow.adaptive import optimize
    from sciflow import Engine, ExperimentalWorkflow

    def score(x, y):
        marks = Path(sys.argv[1]) / "runs"
        with marks.open("a") as file:
            file.write(f"{x!r} {y!r}\\n")
        if len(sys.argv) > 2 and len(marks.read_text().splitlines()) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"s": -(x - 0.2) ** 2 - (y - 0.7) ** 2}

    workflow = ExperimentalWorkflow("killed")
    workflow.add_task("score", score)
    engine = Engine("inline", directory=sys.argv[1], progress=False)
    optimize(workflow, metric="s", space={"x": (0.0, 1.0), "y": (0.0, 1.0)}, n_variants=40, batch=4, engine=engine)
""")


def test_a_sweep_killed_within_a_batch_goes_on_to_the_same_points(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(folder: str, *more: str) -> int:
        (tmp_path / folder).mkdir(exist_ok=True)
        command = [sys.executable, "study.py", folder, *more]
        return subprocess.run(command, cwd=tmp_path, env=environment, timeout=200).returncode

    assert run("whole") == 0
    assert run("killed", "22") == -signal.SIGKILL
    assert run("killed") == 0
    points = [
        {tuple(variant) for variant in open_results(tmp_path / folder / "killed").to_dataframe()[["x", "y"]].to_numpy()}
        for folder in ("whole", "killed")
    ]

    assert points[0] == points[1]
    assert len(points[0]) == 40
    again = (tmp_path / "killed" / "runs").read_text().splitlines()
    assert len(again) - len(set(again)) <= 4  # of the batch in which it was killed
