"""How much memory jobs ask for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sciflow.batch.nodes import Node
from sciflow.clusters.memory import JobMemory
from sciflow.clusters.pool import MOST_GROWTH
from sciflow.engine.loop import more_memory
from sciflow.workflow.resources import Resources

GIB = 2**30
sizes = st.integers(1, 2**50)
nodes = st.lists(st.builds(Node, st.integers(1, 256), st.integers(0, 2**44), st.integers(0, 8)), max_size=4)


@given(st.none() | sizes, st.none() | sizes, nodes, st.integers(1, 8), st.integers(1, 4))
def test_a_larger_job_never_asks_for_less_than_the_one_before_nor_for_more_than_a_node_has(
    asked, told, there, cores, per_job
):
    memory = JobMemory.of(Resources(cores=cores), per_job, asked, told, there)
    had, multiple = memory.bytes_of(1.0), 1.0
    assert had == (None if asked is None else asked * per_job)

    for _ in range(100):
        following = more_memory(multiple, memory.most, alone=True)
        if following is None:
            break
        assert following > multiple
        wanted = memory.bytes_of(following)
        assert wanted >= (had or memory.first_bytes)
        assert memory.largest_bytes is None or wanted <= max(memory.largest_bytes, memory.first_bytes)
        had, multiple = wanted, following
    else:
        raise AssertionError("it grows for ever")
    assert multiple == memory.most


def test_the_last_step_is_the_whole_of_the_largest_node_to_the_byte():
    memory = JobMemory.of(Resources(cores=2), 1, 3 * GIB, None, [Node(64, 10 * GIB + 1), Node(1, 500 * GIB)])

    assert memory.bytes_of(memory.most) == 10 * GIB + 1


def test_what_the_site_gives_is_asked_for_by_nobody_and_known_from_the_batch_system():
    memory = JobMemory.of(Resources(), 2, None, 4 * GIB, [Node(8, 64 * GIB)])

    assert [memory.bytes_of(multiple) for multiple in (1.0, 2.0, memory.most)] == [None, 8 * GIB, 64 * GIB]


def test_where_the_batch_system_does_not_say_it_a_share_of_a_node_is_doubled():
    memory = JobMemory.of(Resources(cores=2), 2, None, None, [Node(8, 64 * GIB), Node(16, 64 * GIB)])

    assert memory.bytes_of(2.0) == 2 * 16 * GIB


def test_where_nobody_says_anything_nothing_is_asked_for():
    memory = JobMemory.of(Resources(), 1, None, None, [])

    assert (memory.most, memory.bytes_of(1.0)) == (1.0, None)


def test_where_nobody_says_how_large_nodes_are_growth_has_a_limit_of_its_own():
    assert JobMemory.of(Resources(), 1, GIB, None, []).most == MOST_GROWTH
