from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sciflow.planning.batching import PILOT, batch_size

counts = st.integers(1, 10**7)
slots = st.integers(1, 200)
seconds = st.none() | st.floats(1e-7, 1e4)


@given(counts, slots, seconds)
def test_a_batch_has_at_least_one_variant_and_at_most_those_that_wait(n_waiting, n_slots, variant_s):
    assert 1 <= batch_size(n_waiting, n_slots, variant_s) <= max(n_waiting, 1)


@given(counts, slots)
def test_before_the_first_answer_a_batch_is_a_pilot(n_waiting, n_slots):
    assert batch_size(n_waiting, n_slots, None) <= PILOT


@given(counts, slots, st.floats(1e-3, 1e4))
def test_a_batch_is_not_longer_than_the_target_unless_one_variant_is(n_waiting, n_slots, variant_s):
    assert batch_size(n_waiting, n_slots, variant_s, target_s=2.0) * variant_s <= max(2.0, variant_s)


def test_variants_longer_than_the_target_travel_alone():
    assert batch_size(1000, 2, 30.0) == 1


def test_toward_the_end_the_rest_is_shared_between_the_slots():
    assert batch_size(12, 4, 0.3) == 2


def test_no_ops_are_not_sent_in_crumbs():
    assert batch_size(5000, 2, 1e-6) == 5000


def test_a_batch_of_no_ops_keeps_a_bound_on_memory():
    assert batch_size(10**9, 2, 1e-6) == 100_000
