from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.errors import WorkflowError
from sciflow.workflow import Retry

seconds = st.floats(0.001, 1e6)
backoffs = st.sampled_from(["exponential", "linear", "fixed"])
attempts = st.integers(1, 5000)


def delays(n: int, **policy) -> list[float]:
    retry = Retry(jitter=False, **policy)
    return [retry.delay(attempt) for attempt in range(1, n + 1)]


def test_an_exponential_delay_doubles_up_to_the_longest():
    assert delays(5, backoff="exponential", delay_s=2, max_delay_s=20) == [2, 4, 8, 16, 20]


def test_a_linear_delay_grows_by_itself_up_to_the_longest():
    assert delays(5, backoff="linear", delay_s=2, max_delay_s=7) == [2, 4, 6, 7, 7]


def test_a_fixed_delay_stays():
    assert delays(3, backoff="fixed", delay_s=2) == [2, 2, 2]


@given(backoffs, seconds, st.floats(1, 1e4), attempts)
def test_without_jitter_delays_never_shrink_and_never_exceed_the_longest(backoff, delay_s, factor, attempt):
    retry = Retry(backoff=backoff, delay_s=delay_s, max_delay_s=delay_s * factor, jitter=False)

    assert retry.delay(attempt) <= retry.delay(attempt + 1) <= retry.max_delay_s
    assert retry.delay(1) == pytest.approx(delay_s)


@given(backoffs, seconds, st.floats(1, 1e4), attempts, st.integers(0, 2**32))
def test_jitter_keeps_a_delay_between_half_of_it_and_all_of_it(backoff, delay_s, factor, attempt, seed):
    policy = {"backoff": backoff, "delay_s": delay_s, "max_delay_s": delay_s * factor}
    whole = Retry(jitter=False, **policy).delay(attempt)

    drawn = Retry(**policy).delay(attempt, random.Random(seed))

    assert whole / 2 <= drawn <= whole


def test_jitter_comes_from_the_generator_that_is_given():
    retry = Retry(delay_s=10)

    assert retry.delay(1, np.random.default_rng(7)) == retry.delay(1, np.random.default_rng(7))
    assert retry.delay(1, np.random.default_rng(7)) != retry.delay(1, np.random.default_rng(8))
    assert len({retry.delay(1) for _ in range(5)}) > 1


def test_no_delay_is_none_however_often_it_is_doubled():
    assert Retry(delay_s=0, jitter=False).delay(100_000) == 0


def test_delays_are_read_as_people_write_them():
    retry = Retry(delay_s="500 ms", max_delay_s="2 min")

    assert (retry.delay_s, retry.max_delay_s) == (0.5, 120)


def test_a_retry_covers_the_exceptions_it_names_and_those_derived_from_them():
    assert Retry().covers(ValueError())
    assert Retry(on=OSError).covers(FileNotFoundError())
    assert not Retry(on=[OSError, TimeoutError]).covers(ValueError())
    assert not Retry().covers(KeyboardInterrupt())


def test_equal_policies_are_one_value_that_travels():
    retry = Retry(5, "linear", "2 s", on=[OSError])

    assert retry == Retry(5, "linear", 2.0, on=(OSError,))
    assert hash(retry) == hash(Retry(5, "linear", 2.0, on=(OSError,)))
    assert pickle.loads(pickle.dumps(retry)) == retry


def test_a_policy_is_plain_data():
    data = Retry(attempts=2, delay_s=3, on=(OSError,)).to_dict()

    assert json.loads(json.dumps(data)) == {
        "attempts": 2,
        "backoff": "exponential",
        "delay_s": 3.0,
        "max_delay_s": 60.0,
        "jitter": True,
        "on": ["OSError"],
    }


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"attempts": 0}, "attempts must be a whole number of at least 1, not 0"),
        ({"attempts": True}, "attempts must be a whole number of at least 1, not True"),
        ({"attempts": 2.5}, "attempts must be a whole number of at least 1, not 2.5"),
        ({"backoff": "exponentail"}, "did you mean 'exponential'"),
        ({"backoff": None}, "one of 'exponential', 'linear', 'fixed', not None"),
        ({"delay_s": -1}, "delay_s: a duration must be a finite number of at least 0, or a text, not -1"),
        ({"delay_s": "soon"}, "delay_s: duration 'soon' is not understood; write it as '2h'"),
        ({"max_delay_s": float("inf")}, "max_delay_s: a duration must be a finite number"),
        ({"delay_s": "5 min"}, "delay_s is 300 s, longer than max_delay_s of 60 s; raise max_delay_s too"),
        ({"jitter": "no"}, "jitter is True or False, not 'no'"),
        ({"on": "OSError"}, "such as .OSError, TimeoutError., not 'OSError'"),
        ({"on": OSError("disk")}, "classes of exceptions .*, not OSError"),
        ({"on": (OSError, int)}, "not <class 'int'>"),
        ({"on": KeyboardInterrupt}, "not <class 'KeyboardInterrupt'>"),
        ({"on": ()}, "classes of exceptions .*, not nothing"),
    ],
)
def test_a_policy_that_means_nothing_is_refused_with_what_to_write(policy, told):
    with pytest.raises(WorkflowError, match=told):
        Retry(**policy)


def test_declaring_a_retry_loads_no_library_for_it():
    code = "import sys, sciflow; sciflow.Retry(attempts=5); print('tenacity' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
