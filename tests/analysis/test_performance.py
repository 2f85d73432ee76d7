from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sciflow.analysis.results import open_results
from sciflow.planning.cost import PEAK_BYTES, WALL_S, task_measure
from sciflow.running.failure import Failure
from sciflow.space import Grid
from sciflow.store import column, timings
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import Frame
from sciflow.store.lease import Session
from sciflow.workflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from sciflow.analysis.results import Results

SPACE = Grid(size=[1, 2, 4, 8, 16, 32], dataset=["a", "b", "c"], seed=range(4))
FIRST = 1_700_000_000.0


class Recorded:
    """A sweep whose frames, and the times in them, are written by hand."""

    def __init__(self, path, space=SPACE, tasks=("load", "train")) -> None:
        workflow = ExperimentalWorkflow("sweep")
        if "load" in tasks:
            workflow.add_task("load", lambda dataset: dataset)
            workflow.add_task("train", lambda load, size, seed: {"loss": 0.0}, depends_on=["load"])
        else:
            workflow.add_task("train", lambda **parameters: {"loss": 0.0})
        workflow.add_parameter_space(space)
        definition = workflow.validate()
        self.space = definition.space
        self.directory = SweepDirectory.create_or_open(path, "sweep", 0)
        self.revision = self.directory.add_definition({**definition.to_dict(), "generation": "today"})
        self.rows = np.arange(self.space.n_variants)

    def session(self, frames, end=None) -> None:
        """Write frames: (worker, rows, start, seconds, tasks, more facts of the header)."""
        with Session.acquire(self.directory) as session:
            with self.directory.segment_writer(session.number) as writer:
                for frame in frames:
                    writer.commit([self._frame(session.number, *frame)])
            session.end(end or {})

    def _frame(self, session, *told):
        worker, rows, start, seconds, tasks, more = told
        rows = np.asarray(rows)
        table = self.space.take(rows)
        header = {
            "revision": self.revision,
            "session": session,
            "generation": "today",
            "worker": f"host:{worker}",
            "attempt": 1,
            "status": "done",
            "t0": FIRST + start,
            **more,
        }
        failed = header["status"] == "failed"
        failure = json.dumps(Failure.of(ValueError("bad"), "train").to_dict())
        seconds = np.asarray(seconds, dtype=float)
        cells = {
            known.name: column.category(
                table.columns[known.name].pool, table.columns[known.name].codes, kind="parameter"
            )
            for known in table.parameters
        }
        starts = np.cumsum(seconds) - seconds
        cells |= column.variant_facts(
            table.id_bytes(), starts, seconds, rows=rows, failures=[failure] * len(rows) if failed else None
        )
        cells |= {f"@s.{name}": column.fixed(np.asarray(one, "<f4"), kind="fact") for name, one in tasks.items()}
        if not failed:
            cells["loss"] = column.fixed(np.zeros(len(rows)))
        return Frame(header, cells)

    def results(self) -> Results:
        return open_results(self.directory.path)


def dealt(rows, seconds, n_workers, **more):
    """Frames of one variant each: every worker takes the next when it is free."""
    free = np.zeros(n_workers)
    frames = []
    for row, one in zip(rows, seconds, strict=True):
        worker = int(free.argmin())
        frames.append((worker, [row], float(free[worker]), [one], {}, more))
        free[worker] += one
    return frames


@pytest.fixture
def two_tasks(tmp_path) -> Recorded:
    """Load takes 60 s for each of three datasets; train 0.5 size^2 s for each variant."""
    sweep = Recorded(tmp_path / "sweep")
    values = sweep.space.take(sweep.rows).arrays()
    train = 0.5 * values["size"] ** 2.0
    load = np.full(len(train), np.nan)
    for dataset in "abc":
        load[np.flatnonzero(values["dataset"] == dataset)[0]] = 60.0
    seconds = train + np.nan_to_num(load)
    facts = {"cpu_s": float(seconds.sum()), "peak_bytes": 3 << 30}
    sweep.session([(1, sweep.rows, 0.0, seconds, {"load": load, "train": train}, facts)])
    return sweep


def test_the_times_of_tasks_are_counted_from_the_records(two_tasks):
    found = two_tasks.results().performance()
    load, train = found.tasks

    assert (load.name, load.n, load.total_s, load.median_s) == ("load", 3, 180.0, 60.0)
    assert (train.name, train.n) == ("train", 72)
    assert train.total_s == pytest.approx(0.5 * (1 + 4 + 16 + 64 + 256 + 1024) * 12)
    assert train.share == pytest.approx(train.total_s / (train.total_s + 180))
    assert train.mean_s == pytest.approx(train.total_s / 72)
    assert train.p95_s == pytest.approx(512.0)
    assert found.bottleneck == "train"
    assert (found.n_variants, found.n_workers) == (72, 1)


def test_the_parameter_that_drives_the_time_is_named_with_its_power(two_tasks):
    found = two_tasks.results().performance()
    train = found.tasks[1]

    assert train.effects[0].parameter == "size"
    assert train.effects[0].exponent == pytest.approx(2.0, abs=0.1)
    assert train.explained > 0.95
    assert found.advice[0] == "train takes 98% of the time; its time goes with size^2"
    assert "load is evaluated 3 times for 72 variants" in found.advice
    assert "a worker takes up to 3 GiB of memory" in found.advice


def test_it_prints_a_table_and_sentences(two_tasks):
    found = two_tasks.results().performance()
    text, page = str(found), found._repr_html_()

    assert text.startswith(
        "sweep: 72 variants took 2 h 20 min of computing on 1 worker; workers busy 100%, grade A; "
        "1 core used by a variant while it ran; up to 3 GiB"
    )
    assert [line.split()[:2] for line in text.splitlines()[1:5]] == [
        ["task", "runs"],
        ["load", "3"],
        ["train", "72"],
        ["(variant)", "72"],
    ]
    assert "size^2" in text
    assert "- train takes 98% of the time" in text
    assert "<td>train</td>" in page
    assert "<li>train takes" in page
    data = json.loads(json.dumps(found.to_dict()))
    assert data["tasks"]["load"]["runs"] == 3
    assert data["bottleneck"] == "train"


def test_shared_runs_that_have_no_record_are_counted_from_the_events(two_tasks):
    events = two_tasks.directory.path / "events"
    events.mkdir()
    lines = [
        {"name": "batch.committed", "time": 1.0, "done": 3},
        {"name": "shared.computed", "time": 2.0, "task": "load", "evaluations": 4, "busy_s": 100.0},
    ]
    cut_short = '{"name": "shared.computed", "ti'
    (events / "000001.jsonl").write_text("\n".join([*map(json.dumps, lines), cut_short]))

    found = two_tasks.results().performance()

    assert found.tasks[0].n == 7
    assert found.tasks[0].total_s == pytest.approx(280.0)
    assert found.shared_s == 100.0


def test_a_workflow_of_one_task_needs_no_times_of_tasks(tmp_path):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    seconds = 2.0 * sweep.space.take(sweep.rows).arrays()["size"]
    sweep.session([(1, sweep.rows, 0.0, seconds, {}, {})])

    found = sweep.results().performance()

    (train,) = found.tasks
    assert (train.name, train.n, train.share) == ("train", 72, 1.0)
    assert train.total_s == pytest.approx(seconds.sum())
    assert found.advice == ("train: its time goes with size",)
    assert (found.cores_used, found.peak_bytes) == (None, None)
    assert len(str(found).splitlines()) == 4


def test_workers_that_wait_at_the_end_are_told_by_the_longest_variant(tmp_path):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    sweep.session(dealt(sweep.rows, np.r_[np.full(71, 1.0), 40.0], 4))

    found = sweep.results().performance()

    assert found.utilisation == pytest.approx((71 + 40) / (4 * (17 + 40)), abs=0.03)
    (told,) = [sentence for sentence in found.advice if "idle" in sentence]
    assert "mostly at the end, when the last variants still ran (the longest took 40 s)" in told


def test_workers_that_took_over_from_others_are_not_further_ones(tmp_path):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    half = len(sweep.rows) // 2
    first = dealt(sweep.rows[:half], np.full(half, 1.0), 2)
    later = dealt(sweep.rows[half:], np.full(half, 1.0), 2)
    sweep.session([*first, *((worker + 2, rows, start + half, *rest) for worker, rows, start, *rest in later)])

    found = sweep.results().performance()

    assert found.n_workers == 2
    assert found.worker_s == pytest.approx(2 * (half + half / 2))


def test_too_few_variants_for_the_workers_are_told(tmp_path):
    sweep = Recorded(tmp_path / "sweep", Grid(x=range(5)), tasks=("train",))
    sweep.session(dealt(sweep.rows, np.full(5, 10.0), 4))

    advice = sweep.results().performance().advice

    assert any("5 variants are too few for 4 workers" in sentence for sentence in advice)


def test_what_drivers_said_of_their_workers_counts_and_records_stand_in_for_drivers_that_died(tmp_path):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    half = len(sweep.rows) // 2
    sweep.session(dealt(sweep.rows[:half], np.full(half, 1.0), 2), {"done": half, "busy_s": 50.0, "worker_s": 100.0})
    sweep.session(dealt(sweep.rows[half:], np.full(half, 1.0), 2))

    found = sweep.results().performance()

    assert found.busy_s == pytest.approx(50.0 + half)
    assert found.worker_s == pytest.approx(100.0 + half)


@pytest.mark.parametrize(
    ("cores", "told"), [(0.1, "use 0.1 of a core: they wait"), (3.0, "'cpu_cores': 3"), (1.0, None)]
)
def test_cpu_time_tells_variants_that_wait_from_those_that_compete(tmp_path, cores, told):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    sweep.session([(1, sweep.rows, 0.0, np.full(72, 1.0), {}, {"cpu_s": 72 * cores})])

    found = sweep.results().performance()

    assert found.cores_used == pytest.approx(cores)
    about_cores = [sentence for sentence in found.advice if "core" in sentence]
    assert [told in sentence for sentence in about_cores] == ([True] if told else [])


def test_results_that_were_replaced_and_variants_that_failed_are_told_with_their_time(tmp_path):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    sweep.session([(1, sweep.rows, 0.0, np.full(72, 1.0), {}, {})])
    sweep.session([(2, sweep.rows[:36], 100.0, np.full(36, 2.0), {}, {})])
    sweep.session([(3, sweep.rows[:9], 300.0, np.full(9, 8.0), {}, {"status": "failed", "generation": "tomorrow"})])
    sweep.directory.add_definition({**sweep.directory.newest_definition(), "generation": "tomorrow"})

    found = sweep.results().performance()

    assert found.variants.n == 72 + 36 + 9
    assert found.n_superseded == 45
    assert found.superseded_s == pytest.approx(36 * 1.0 + 9 * 2.0)
    assert (found.n_failed, found.failed_s) == (9, 72.0)
    text = "\n".join(found.advice)
    assert "45 results that later ones replaced" in text
    assert "9 variants that failed" in text


def test_uneven_times_that_no_parameter_explains_are_told(tmp_path):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    seconds = np.where(np.random.default_rng(0).random(72) < 0.1, 20.0, 1.0)
    sweep.session([(1, sweep.rows, 0.0, seconds, {}, {})])

    advice = sweep.results().performance().advice

    assert any("20 times the median, and no parameter explains it" in sentence for sentence in advice)


def test_nothing_has_run_is_said_plainly(tmp_path):
    found = Recorded(tmp_path / "sweep").results().performance()

    assert str(found) == "sweep: nothing has run yet"
    assert (found.bottleneck, found.utilisation, found.advice) == (None, None, ())
    assert "nothing has run yet" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["variants"] == 0


def test_a_sweep_of_a_moment_is_given_no_advice_on_workers(tmp_path):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    sweep.session([(1, sweep.rows, 0.0, np.full(72, 0.02), {}, {"cpu_s": 0.01})])

    assert sweep.results().performance().advice == ()


def test_frames_that_were_merged_say_the_same(tmp_path):
    from sciflow.store.compact import compact

    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    sweep.session(dealt(sweep.rows, 1.0 + sweep.rows % 5, 3, cpu_s=1.0, peak_bytes=5000))
    before = sweep.results().performance()
    with Session.acquire(sweep.directory) as session:
        compact(sweep.directory, session.number)
    after = sweep.results().performance()

    assert len(sweep.directory.snapshot().frames) < 72
    assert (after.n_workers, after.peak_bytes) == (3, 5000)
    assert after.worker_s == pytest.approx(before.worker_s)
    assert after.cores_used == pytest.approx(before.cores_used)
    assert after.variants.total_s == pytest.approx(before.variants.total_s)


# ------------------------------------------------------------------------------------------------------------- timings


def test_a_model_is_learnt_from_what_the_store_holds(two_tasks):
    frames = two_tasks.directory.snapshot().frames
    footprints = {"load": ["dataset"], "train": ["size", "dataset", "seed"]}
    model = timings.model_of(frames, two_tasks.space.parameters, footprints, generation="today")

    assert model.n_seen(task_measure("load")) == 3
    assert model.n_seen(WALL_S) == 64
    assert model.fit(task_measure("train")).effects[0].parameter == "size"
    assert model.fit(PEAK_BYTES).predict(two_tasks.space.take(np.arange(2))).tolist() == pytest.approx([3 << 30] * 2)


def test_failures_and_other_code_do_not_count_for_the_model(tmp_path):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    sweep.session(
        [
            (1, sweep.rows[:30], 0.0, np.full(30, 1.0), {}, {}),
            (1, sweep.rows[30:50], 50.0, np.full(20, 100.0), {}, {"status": "failed"}),
            (1, sweep.rows[50:], 5000.0, np.full(22, 10.0), {}, {"generation": "yesterday"}),
        ]
    )
    frames = sweep.directory.snapshot().frames

    assert set(timings.model_of(frames, generation="today").costs()) == {1.0}
    assert set(timings.model_of(frames, generation="tomorrow").costs()) == {1.0, 10.0}, "better than nothing"


def test_of_many_frames_some_are_read_and_the_first_of_each_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(timings, "MOST_FRAMES", 16)
    sweep = Recorded(tmp_path / "sweep")
    nothing = [np.nan]
    sweep.session(
        [
            (1, [row], float(row), [1.0], {"load": [9.0] if row == 0 else nothing, "train": [1.0]}, {})
            for row in sweep.rows
        ]
    )
    frames = sweep.directory.snapshot().frames

    model = timings.model_of(frames, sweep.space.parameters)

    assert 12 <= model.n_seen(WALL_S) <= 16
    assert model.costs(task_measure("load")).tolist() == [9.0]


@pytest.mark.parametrize(("worker_s", "grade"), [(72.0, "A"), (90.0, "B"), (140.0, "C"), (280.0, "D"), (290.0, "E")])
def test_the_grade_is_the_share_of_the_workers_time_that_went_into_results(tmp_path, worker_s, grade):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    sweep.session(dealt(sweep.rows, np.ones(72), 1), end={"worker_s": worker_s, "busy_s": 72.0})

    found = sweep.results().performance()

    assert found.efficiency == pytest.approx(72 / worker_s)
    assert found.grade == grade
    assert f"grade {grade}" in str(found)


def test_failures_and_replaced_results_lower_the_grade_though_workers_were_busy(tmp_path):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    sweep.session(dealt(sweep.rows[:36], np.ones(36), 1, status="failed"), end={"worker_s": 36.0, "busy_s": 36.0})
    sweep.session(dealt(sweep.rows[36:], np.ones(36), 1), end={"worker_s": 36.0, "busy_s": 36.0})

    found = sweep.results().performance()

    assert (found.utilisation, found.efficiency, found.grade) == (1.0, 0.5, "C")


def test_a_sweep_of_seconds_has_no_grade(tmp_path):
    sweep = Recorded(tmp_path / "sweep", tasks=("train",))
    sweep.session(dealt(sweep.rows, np.full(72, 0.01), 1))

    assert sweep.results().performance().grade is None
