from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.engine.journal import Journal
from sciflow.engine.thinning import Thinning
from sciflow.events import Event
from sciflow.store.eventlog import EventLog


def lines_of(events, start=0.0):
    thinning = Thinning(start)
    written = [line for event in events for line in thinning.add(event)]
    return [*written, *thinning.rest()]


def committed(time, **facts):
    return Event("batch.committed", time, {"done": 1, "failed": 0, "busy_s": 0.5, **facts})


def test_a_million_batches_of_one_variant_in_nine_days_are_a_few_megabytes():
    nine_days_s = 9 * 86400.0
    n = 1_000_000

    lines = lines_of(committed(k * nine_days_s / n, batch=k) for k in range(n))

    assert len(lines) < 30_000
    assert sum(line.facts["done"] for line in lines) == n


@given(
    st.lists(
        st.builds(
            lambda time, done, failed, kind: committed(time, done=done, failed=failed, failures={kind: failed}),
            st.floats(0, 1e5),
            st.integers(0, 9),
            st.integers(0, 9),
            st.sampled_from("ab"),
        ),
        max_size=50,
    )
)
def test_what_is_put_together_loses_no_count(events):
    lines = lines_of(events)

    for name in ("done", "failed", "busy_s"):
        assert sum(line.facts[name] for line in lines) == pytest.approx(sum(event.facts[name] for event in events))
    kinds = sum((Counter(line.facts["failures"]) for line in lines), Counter())
    assert kinds == sum((Counter(event.facts["failures"]) for event in events), Counter())
    assert sum(line.facts.get("merged", 1) for line in lines) == len(events)


def test_what_is_held_back_is_written_before_the_sweep_ends_and_after_a_while():
    events = [committed(0.0), committed(0.1), Event("sweep.finished", 0.2)]
    assert [line.name for line in lines_of(events)] == ["batch.committed"] * 2 + ["sweep.finished"]

    thinning = Thinning(0.0)
    thinning.add(committed(0.0))
    assert thinning.add(committed(0.1)) == []
    assert thinning.due(0.2) == []
    assert [line.facts["done"] for line in thinning.due(0.7)] == [1]


def test_the_first_failure_of_each_kind_is_told_with_its_example_however_fast_they_come():
    failures = [Event("variant.failed", 0.0, {"fingerprint": str(k), "variant": f"v{k}"}) for k in range(50)]

    assert lines_of(failures) == failures


def test_thousands_of_dead_workers_do_not_fill_the_disk():
    deaths = [Event("worker.lost", 0.1 * k, {"variants": 3, "done": 1}) for k in range(20_000)]

    lines = lines_of(deaths)

    assert len(lines) < 4000
    assert sum(line.facts["variants"] for line in lines) == 3 * len(deaths)


@pytest.mark.parametrize("step", [-1e9, 1e9])
def test_a_clock_that_jumps_holds_nothing_back_for_long(step):
    thinning = Thinning(0.0)
    thinning.add(committed(0.0))
    thinning.add(committed(0.1))

    assert thinning.due(step) == [committed(0.1)]


def test_the_log_is_read_while_it_is_written_and_only_what_is_new(tmp_path):
    log = EventLog(tmp_path, 7)
    assert log.read() == []

    with Journal(log.path) as journal:
        journal.tell("sweep.started", todo=4, variants=4)
        assert [event.name for event in log.read()] == ["sweep.started"]
        journal.tell("batch.committed", done=1, failed=0, busy_s=1.0)
        journal.tell("batch.committed", done=2, failed=1, busy_s=1.0)
        journal.tell("sweep.finished", done=3, failed=1)
        events = log.read()

    assert [event.name for event in events] == ["batch.committed", "batch.committed", "sweep.finished"]
    assert sum(event.facts.get("failed", 0) for event in events[:-1]) == 1
    assert log.read() == []


def test_lines_that_are_cut_damaged_or_of_a_later_release_harm_no_reader(tmp_path):
    log = EventLog(tmp_path, 1)
    log.path.parent.mkdir()
    good = json.dumps({"name": "sweep.teleported", "time": 5, "where": "Mars"})
    log.path.write_text(f'{good}\nnonsense\n[1]\n{{"time": 1}}\n{good[:20]}')

    assert log.read() == [Event("sweep.teleported", 5.0, {"where": "Mars"})]

    with log.path.open("a") as file:
        file.write(good[20:] + "\n")
    assert [event.name for event in log.read()] == ["sweep.teleported"]


def test_every_event_reaches_the_users_function_whatever_the_file_keeps(tmp_path):
    heard = []
    with Journal(tmp_path / "events/1.jsonl", heard.append) as journal:
        for k in range(20):
            journal.tell("batch.committed", batch=k, done=1)

    assert [event.facts["batch"] for event in heard] == list(range(20))


def test_a_mistake_in_the_users_function_is_told_once_and_the_sweep_goes_on(tmp_path, capsys):
    def broken(event):
        raise ZeroDivisionError(event.name)

    with Journal(tmp_path / "events/1.jsonl", broken) as journal:
        journal.tell("sweep.started")
        journal.tell("sweep.finished")

    said = capsys.readouterr().err
    assert said.count("on_event raised") == 1
    assert "ZeroDivisionError: sweep.started" in said
    assert (tmp_path / "events/1.jsonl").read_text().count("\n") == 2
