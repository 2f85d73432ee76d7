"""When jobs that are queued beforehand begin, and how large they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.batch.nodes import Node
from sciflow.engine.turns import CONTROLLER_BYTES, WORKER_BYTES, Size, begins_of_turns, size_of_job
from sciflow.scheduling import Immediate, parse_policy
from sciflow.workflow import Resources

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)  # a Monday
HOUR = 3600
NIGHTS = parse_policy("off_peak", {"preferred_hours": "22:00-08:00", "timezone": "UTC"})


def nights(begins, now):
    return [None if one is None else (one - now) / timedelta(hours=1) for one in begins]


def test_without_a_window_each_job_follows_the_one_before():
    assert begins_of_turns(Immediate(), NOON, HOUR, 3) == [None] * 3


@pytest.mark.parametrize(
    ("hour", "walltime_h", "expected"),
    [
        (12, 24, [10, 10, 34, 34, 58]),  # one to work, one in case that is lost
        (12, 6, [10, 10, 10, 34, 34]),
        (23, 24, [None, None, 23, 23, 47]),
    ],
)
def test_jobs_fill_one_window_after_another_with_one_to_spare_in_each(hour, walltime_h, expected):
    now = NOON.replace(hour=hour)

    assert nights(begins_of_turns(NIGHTS, now, walltime_h * HOUR, 5), now) == expected


def test_when_it_has_waited_long_enough_a_sweep_starts_and_goes_on_whatever_the_hour():
    policy = parse_policy("off_peak", {"preferred_hours": "22:00-08:00", "timezone": "UTC", "max_wait_hours": 5})

    assert nights(begins_of_turns(policy, NOON, HOUR, 3), NOON) == [5, 5, 5]


@given(
    minutes=st.integers(0, 7 * 24 * 60),
    walltime_s=st.integers(60, 3 * 24 * HOUR),
    most=st.integers(1, 30),
    hours=st.sampled_from(["22:00-08:00", "00:00-01:00", "12:30-12:45"]),
)
def test_no_job_begins_while_a_window_is_shut_nor_before_an_earlier_one(minutes, walltime_s, most, hours):
    from sciflow.scheduling.opening import Conditions

    policy = parse_policy("off_peak", {"preferred_hours": hours, "timezone": "UTC"})
    now = NOON + timedelta(minutes=minutes)

    begins = begins_of_turns(policy, now, walltime_s, most)

    assert len(begins) == most
    told = [one for one in begins if one is not None]
    assert told == sorted(told)
    assert begins[: most - len(told)] == [None] * (most - len(told))
    assert all(policy.opening(Conditions(one)).may_start for one in told)


GB = 2**30
NODE = Node(cores=32, memory_bytes=128 * GB)


@pytest.mark.parametrize(
    ("asked", "nodes", "options", "size"),
    [
        ({}, [NODE], {"workers": 16}, Size(16, 16, CONTROLLER_BYTES + 16 * WORKER_BYTES)),
        ({"cores": 4}, [NODE], {"workers": 16}, Size(8, 32, CONTROLLER_BYTES + 8 * WORKER_BYTES)),
        ({"cores": 4}, [NODE], {"workers": 16, "cores": 9}, Size(2, 9, CONTROLLER_BYTES + 2 * WORKER_BYTES)),
        ({"memory_bytes": 60 * GB}, [NODE], {"workers": 16}, Size(2, 2, CONTROLLER_BYTES + 120 * GB)),
        ({"gpus": 1}, [NODE, Node(8, 64 * GB, 4)], {"workers": 16}, Size(1, 1, CONTROLLER_BYTES + WORKER_BYTES, 1)),
        ({"memory_bytes": 500 * GB}, [NODE], {"workers": 16}, Size(1, 1, 128 * GB)),
        ({}, [], {"workers": 3, "worker_bytes": GB // 2}, Size(3, 3, CONTROLLER_BYTES + 3 * GB // 2)),
    ],
)
def test_a_job_that_does_the_work_has_as_many_workers_as_a_node_has_room_for(asked, nodes, options, size):
    assert size_of_job({"task": Resources(**asked)}, nodes, **options) == size
