"""The engine in one process: what runs, what is refused, what is kept."""

from __future__ import annotations

import numpy as np
import pytest

import sciflow
from sciflow.engine.engine import Engine
from sciflow.errors import (
    BindingError,
    OutputError,
    PolicyError,
    SpaceError,
    StaleError,
    SweepBusyError,
    SweepError,
    SweepMismatchError,
    UnmetRequirementError,
    WorkflowError,
)
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session

pytestmark = pytest.mark.measured

CALLS: list[tuple] = []


@pytest.fixture(autouse=True)
def no_calls():
    CALLS.clear()


def area(a, b):
    CALLS.append((a, b))
    return {"area": a * b, "flat": a > b}


def area_in(a, b, c=1):
    CALLS.append((a, b, c))
    return {"area": a * b * c}


def workflow_of(function=area, space=None, name="areas"):
    workflow = sciflow.ExperimentalWorkflow(name)
    workflow.add_task("area", function)
    workflow.add_parameter_space(space if space is not None else {"a": [1, 2, 3], "b": [10, 20]})
    return workflow


@pytest.fixture
def engine(tmp_path):
    return Engine("inline", directory=tmp_path, progress=False)


def test_a_sweep_runs_every_variant_once_and_labels_each_result(engine):
    results = engine.execute_parameter_sweep(workflow_of())

    assert sorted(CALLS) == [(a, b) for a in (1, 2, 3) for b in (10, 20)]
    assert results.dataset["area"].dims == ("a", "b")
    assert results.dataset["area"].sel(a=3, b=20).item() == 60
    assert results.dataset["area"].dtype == np.int64
    assert results.dataset["flat"].dtype == np.bool_


def test_a_second_call_runs_nothing(engine):
    engine.execute_parameter_sweep(workflow_of())
    CALLS.clear()
    results = engine.execute_parameter_sweep(workflow_of())

    assert CALLS == []
    assert results.status()["done"] == 6


def test_added_values_run_alone_and_old_results_keep_their_labels(engine):
    engine.execute_parameter_sweep(workflow_of())
    CALLS.clear()
    results = engine.execute_parameter_sweep(workflow_of(space={"a": [0, 1, 2, 3], "b": [20, 10, 30]}))

    assert sorted(CALLS) == [(0, 10), (0, 20), (0, 30), (1, 30), (2, 30), (3, 30)]
    for a in (0, 1, 2, 3):
        for b in (10, 20, 30):
            assert results.dataset["area"].sel(a=a, b=b).item() == a * b


def test_a_new_parameter_with_a_default_runs_only_its_other_values(engine):
    engine.execute_parameter_sweep(workflow_of(area_in))
    CALLS.clear()
    extended = workflow_of(area_in)
    extended.add_parameter("c", [1, 2], default=1)
    results = engine.execute_parameter_sweep(extended)

    assert sorted(CALLS) == [(a, b, 2) for a in (1, 2, 3) for b in (10, 20)]
    assert results.dataset["area"].sel(a=3, b=20, c=1).item() == 60
    assert results.dataset["area"].sel(a=3, b=20, c=2).item() == 120


def test_replicates_can_be_added_to_a_finished_sweep(engine):
    def draw(a, context):
        CALLS.append((a, context.variant_id))
        return {"x": context.rng.random()}

    first = engine.execute_parameter_sweep(workflow_of(draw, {"a": [1, 2]})).dataset["x"].sel(a=1).item()
    CALLS.clear()
    workflow = workflow_of(draw, {"a": [1, 2]})
    workflow.add_parameter_space(sciflow.Replicates(3))
    results = engine.execute_parameter_sweep(workflow)

    assert len(CALLS) == 4
    assert results.dataset["x"].sel(a=1, replicate=0).item() == first
    assert len(np.unique(results.dataset["x"])) == 6


def test_removed_values_leave_the_dataset_and_stay_on_disk(engine):
    engine.execute_parameter_sweep(workflow_of())
    fewer = engine.execute_parameter_sweep(workflow_of(space={"a": [1, 2], "b": [10]}))
    assert fewer.dataset["area"].shape == (2, 1)

    CALLS.clear()
    engine.execute_parameter_sweep(workflow_of())
    assert CALLS == []


def test_a_filtered_space_may_grow_to_the_whole_one(engine):
    grid = sciflow.Grid(a=[1, 2, 3], b=[10, 20])
    engine.execute_parameter_sweep(workflow_of(space=grid.where("a * b < 40")))
    assert len(CALLS) == 4
    CALLS.clear()
    results = engine.execute_parameter_sweep(workflow_of(space=grid))

    assert sorted(CALLS) == [(2, 20), (3, 20)]
    assert results.dataset["area"].sel(a=2, b=10).item() == 20


def test_a_frozen_default_cannot_be_changed(engine):
    first = workflow_of(area_in)
    first.add_parameter("c", [1, 2], default=1)
    engine.execute_parameter_sweep(first)
    second = workflow_of(area_in)
    second.add_parameter("c", [1, 2], default=2)

    with pytest.raises(SweepMismatchError, match="'c' was added with the default 1"):
        engine.execute_parameter_sweep(second)


def test_a_value_next_to_a_recorded_one_is_refused_with_both_shown(tmp_path):
    engine = Engine("inline", directory=tmp_path, progress=False)
    engine.execute_parameter_sweep(workflow_of(space={"a": [0.1, 0.3], "b": [1]}))
    close = workflow_of(space={"a": [0.1, 0.1 + 0.2], "b": [1]})

    with pytest.raises(SweepMismatchError, match=r"0\.30000000000000004 is next to 0\.3"):
        engine.execute_parameter_sweep(close)
    Engine("inline", directory=tmp_path, progress=False, allow_close=True).execute_parameter_sweep(close)


def test_failures_are_recorded_named_and_never_win(engine, capsys):
    def picky(a, b):
        if a == 3:
            raise ValueError(f"a={a} is too much")
        return {"area": a * b}

    engine.progress = True
    results = engine.execute_parameter_sweep(workflow_of(picky))

    assert results.status()["failed"] == 2
    assert dict(results.find_optimal_parameters("area")) == {"a": 2, "b": 20}
    assert results.dataset["status"].sel(a=3, b=10).item() == "failed"
    assert "2 of 6 variants failed" in capsys.readouterr().err
    (group,) = results.failures().to_dict("records")
    assert group["count"] == 2


def test_failed_variants_run_again_only_when_asked(engine):
    def picky(a, b):
        CALLS.append((a, b))
        if len(CALLS) <= 6 and a == 3:
            raise ValueError("not now")
        return {"area": a * b}

    engine.execute_parameter_sweep(workflow_of(picky))
    n_before = len(CALLS)
    assert engine.execute_parameter_sweep(workflow_of(picky), retry_failed=False).status()["failed"] == 2
    assert len(CALLS) == n_before

    results = engine.execute_parameter_sweep(workflow_of(picky), retry_failed=True)

    assert CALLS[n_before:] == [(3, 10), (3, 20)]
    assert results.status() == {"done": 6, "failed": 0, "missing": 0}
    assert results.dataset["attempt"].sel(a=3, b=10).item() == 2
    assert results.dataset["attempt"].sel(a=1, b=10).item() == 1


def test_force_runs_everything_again_and_only_a_part(engine):
    engine.execute_parameter_sweep(workflow_of())
    CALLS.clear()
    engine.execute_parameter_sweep(workflow_of(), force=True, only="a >= 2 and b == 10")

    assert sorted(CALLS) == [(2, 10), (3, 10)]


def test_results_of_other_code_are_never_mixed_silently(tmp_path):
    def make(factor):
        def scaled(a, b):
            CALLS.append((a, b))
            return {"area": a * b * factor}

        return scaled

    def run(factor, **options):
        return Engine("inline", directory=tmp_path, progress=False, **options).execute_parameter_sweep(
            workflow_of(make(factor))
        )

    run(1)
    CALLS.clear()
    with pytest.raises(StaleError, match=r"6 results .* other code .*changed: area.*on_stale='keep'"):
        run(2)
    with pytest.raises(StaleError):
        run(2, on_stale="error")
    assert run(2, on_stale="keep").dataset["area"].sel(a=3, b=20).item() == 60
    assert CALLS == []
    assert run(2, on_stale="rerun").dataset["area"].sel(a=3, b=20).item() == 120
    assert len(CALLS) == 6


def test_a_failure_of_todays_code_is_not_hidden_by_a_result_of_older_code(tmp_path):
    def run(function, **options):
        return Engine("inline", directory=tmp_path, progress=False, **options).execute_parameter_sweep(
            workflow_of(function)
        )

    def broken(a, b):
        if a == 3:
            raise ValueError("no")
        return {"area": a * b}

    run(area)
    results = run(broken, on_stale="rerun")

    assert results.status() == {"done": 4, "failed": 2, "missing": 0}


def test_a_parameter_that_goes_leaves_the_variants_at_its_default(engine):
    extended = workflow_of(area_in)
    extended.add_parameter("c", [1, 2], default=1)
    engine.execute_parameter_sweep(extended)
    CALLS.clear()
    results = engine.execute_parameter_sweep(workflow_of(area_in))

    assert CALLS == []
    assert results.status()["done"] == 6
    assert results.dataset["area"].sel(a=3, b=20).item() == 60


def test_a_derived_parameter_may_come_and_go(engine):
    grid = sciflow.Grid(a=[1, 2], b=[10])
    with_product = grid.derive(volume="a * b")
    engine.execute_parameter_sweep(workflow_of(space=with_product))
    CALLS.clear()
    without = engine.execute_parameter_sweep(workflow_of(space=grid))

    assert CALLS == []
    assert without.status()["done"] == 2
    assert engine.execute_parameter_sweep(workflow_of(space=with_product)).status()["done"] == 2


def test_the_plan_says_what_would_run_and_why_and_writes_nothing(engine, tmp_path):
    plan = engine.plan(workflow_of())

    assert plan.to_dict()["todo"] == {"missing": 6}
    assert plan.n_evaluations == {"area": 6}
    assert not list(tmp_path.iterdir())
    engine.execute_parameter_sweep(workflow_of())
    planned = engine.plan(workflow_of(space={"a": [1, 5], "b": [10, 20]})).to_dict()
    assert planned.pop("forecast")["variants"] == 2
    assert planned == {
        "workflow": "areas",
        "variants": 4,
        "done": 2,
        "failed": 0,
        "stale": 0,
        "not_in_space": 4,
        "todo": {"missing": 2},
        "evaluations": {"area": 2},
    }
    assert "2 missing" in str(engine.plan(workflow_of(space={"a": [1, 5], "b": [10, 20]})))


def test_a_definition_that_cannot_work_is_an_error_at_the_first_variant_and_nothing_is_lost(engine):
    with pytest.raises(OutputError, match=r"output 'area' of task 'area' is of type object"):
        engine.execute_parameter_sweep(workflow_of(lambda a, b: object()))
    results = engine.execute_parameter_sweep(workflow_of())

    assert results.status()["done"] == 6


def test_a_missing_key_of_a_dependency_is_told_with_what_was_returned(engine):
    workflow = workflow_of(lambda a, b: {"x": a, "y": b})
    workflow.add_task("mean", lambda x, z: x + z, depends_on=["area"])

    with pytest.raises(BindingError, match="nothing provides argument 'z'"):
        engine.execute_parameter_sweep(workflow)


def test_a_second_driver_is_refused_with_host_pid_and_since(engine, tmp_path):
    directory = SweepDirectory.create_or_open(tmp_path / "areas", "areas", 0)
    with Session.acquire(directory), pytest.raises(SweepBusyError, match=r"host .*, pid .*, since 20"):
        engine.execute_parameter_sweep(workflow_of())
    assert CALLS == []
    assert engine.execute_parameter_sweep(workflow_of()).status()["done"] == 6


def test_the_directory_of_another_workflow_is_refused(engine, tmp_path):
    engine.execute_parameter_sweep(workflow_of())
    (tmp_path / "areas").rename(tmp_path / "volumes")

    with pytest.raises(SweepMismatchError, match="'areas', not of 'volumes'"):
        engine.execute_parameter_sweep(workflow_of(name="volumes"))


def test_a_newer_format_is_refused(engine, tmp_path):
    engine.execute_parameter_sweep(workflow_of())
    marker = tmp_path / "areas" / "sweep.json"
    marker.write_text(marker.read_text().replace('"format": 1', '"format": 99'))

    with pytest.raises(sciflow.SciflowError, match="format 99"):
        engine.execute_parameter_sweep(workflow_of())


def test_unmet_requirements_are_said_and_degrade_or_refuse(tmp_path, capsys):
    workflow = workflow_of()
    workflow.set_resource_requirements({"area": {"cpu_cores": 4096, "memory_gb": 10**7}})

    with pytest.raises(UnmetRequirementError, match="4096 cores"):
        Engine("inline", directory=tmp_path, on_unmet="error").execute_parameter_sweep(workflow)
    Engine("inline", directory=tmp_path).execute_parameter_sweep(workflow)
    assert "asks for 4096 cores" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"cluster": "slrum"}, SweepError),
        ({"policy": "of_peak"}, PolicyError),
        ({"on_stale": "maybe"}, SweepError),
        ({"on_unmet": "maybe"}, SweepError),
    ],
)
def test_arguments_that_are_not_understood_are_refused_at_once(arguments, error):
    with pytest.raises(error):
        Engine(**arguments)


def test_a_space_too_large_to_run_says_so(engine):
    with pytest.raises(SweepError, match="sample it"):
        engine.execute_parameter_sweep(workflow_of(space={"a": range(2**40), "b": range(2**40)}))


def test_an_unknown_name_in_only_is_refused_before_anything_runs(engine):
    with pytest.raises(SpaceError, match=r"colour.*it has a, b"):
        engine.execute_parameter_sweep(workflow_of(), only="colour == 1")
    assert CALLS == []


@pytest.mark.parametrize("only", [[{"a": 1}], ["a == 1"], 3])
def test_only_that_is_no_text_says_what_to_write(engine, only):
    with pytest.raises(SpaceError, match="is no text; write a condition"):
        engine.execute_parameter_sweep(workflow_of(), only=only)
    assert CALLS == []


def test_events_reach_the_callback_and_the_log(tmp_path):
    events = []
    Engine("inline", directory=tmp_path, progress=False, on_event=events.append).execute_parameter_sweep(workflow_of())

    names = [event.name for event in events]
    assert names[0] == "sweep.started"
    assert names[-1] == "sweep.finished"
    assert sum(event.facts["done"] for event in events if event.name == "batch.committed") == 6
    lines = (tmp_path / "areas" / "events" / "000001.jsonl").read_text().splitlines()
    assert '"sweep.started"' in lines[0]
    assert '"sweep.finished"' in lines[-1]
    assert len(lines) <= len(events), "batches that follow each other quickly share a line"


def test_the_policy_of_the_environment_holds_unless_the_engine_has_its_own(tmp_path, monkeypatch):
    workflow = workflow_of()
    workflow.set_scheduling_policy("off_peak", {"preferred_hours": "00:00-00:01", "timezone": "UTC"})
    monkeypatch.setenv("SCIFLOW_POLICY", "immediate")
    assert Engine("inline", directory=tmp_path, progress=False).execute_parameter_sweep(workflow).status()["done"] == 6
    monkeypatch.setenv("SCIFLOW_POLICY", "whenever")
    with pytest.raises(PolicyError, match="a policy is a name, or an object such as"):
        Engine("inline", policy=sciflow.OffPeak)
    with pytest.raises(PolicyError, match="SCIFLOW_POLICY"):
        Engine("inline", directory=tmp_path / "2", progress=False).execute_parameter_sweep(workflow)


def test_an_array_output_keeps_its_shape_and_a_sweep_of_one_variant_is_a_sweep(engine):
    results = engine.execute_parameter_sweep(workflow_of(lambda a, b: {"v": np.arange(3) * a}, {"a": [2], "b": [1]}))

    assert results.dataset["v"].shape == (1, 1, 3)
    assert results.dataset["v"].values.ravel().tolist() == [0, 2, 4]


def test_a_workflow_without_parameters_has_one_variant(engine):
    workflow = sciflow.ExperimentalWorkflow("alone")
    workflow.add_task("f", lambda: 42)

    assert engine.execute_parameter_sweep(workflow).status()["done"] == 1


def test_what_is_no_workflow_is_refused(engine):
    with pytest.raises(WorkflowError, match="runs an ExperimentalWorkflow, not 'x'"):
        engine.execute_parameter_sweep("x")
