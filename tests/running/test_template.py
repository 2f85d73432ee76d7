from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.canonical import Named
from sciflow.errors import BindingError, WorkflowError
from sciflow.running.template import Template


def fill(text, **values):
    return Template.parse(text).fill(values)


@given(st.text())
def test_text_with_its_braces_doubled_is_itself(text):
    template = Template.parse(text.replace("{", "{{").replace("}", "}}"))

    assert template.fill({}) == text
    assert template.names == ()


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans()))
def test_a_number_is_written_so_that_nothing_of_it_is_lost(value):
    assert type(value)(eval(fill("{x}", x=value), {"inf": float("inf")})) == value


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("{x}", "a text", "a text"),
        ("{x}", None, "None"),
        ("{x}", Path("/data/a b"), "/data/a b"),
        ("{x}", dt.date(2026, 8, 1), "2026-08-01"),
        ("{x}", dt.datetime(2026, 8, 1, 12, tzinfo=dt.UTC), "2026-08-01T12:00:00+00:00"),
        ("{x}", [64, (32, "a")], '[64, [32, "a"]]'),
        ("{x}", {"p": Path("a"), "n": np.int64(3)}, '{"p": "a", "n": 3}'),
        ("{x}", Named("relu", max), "relu"),
        ("{x}", np.float64(0.1), "0.1"),
        ("{x}", np.int32(7), "7"),
        ("{x}", np.array(2.5), "2.5"),
        ("{x:.3e}", 0.001, "1.000e-03"),
        ("{x:04d}", 7, "0007"),
        ("{x:%Y}", dt.date(2026, 8, 1), "2026"),
        ("{x:>3}|{x}", "a", "  a|a"),
        ('{{"x": {x}}}', 1, '{"x": 1}'),
    ],
)
def test_values_are_written_as_a_command_line_expects_them(text, value, written):
    assert fill(text, x=value) == written


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda some: st.lists(some, max_size=4)))
def test_containers_are_json(value):
    assert json.loads(fill("{x}", x=[value])) == [value]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.zeros(3), "ndarray"),
        (b"raw", "bytes"),
        (object(), "object"),
        ([object()], "object has no JSON"),
        ("a\0b", "NUL"),
    ],
)
def test_what_has_no_text_is_refused_and_named(value, says):
    with pytest.raises(BindingError, match=says) as caught:
        fill("{x}", x=value)
    assert "{x}" in str(caught.value)


def test_a_format_that_does_not_apply_names_the_value():
    with pytest.raises(BindingError, match="cannot write 'fast'"):
        fill("{x:.3f}", x="fast")


@pytest.mark.parametrize(
    "text",
    ["{x.__class__}", "{x[0]}", "{}", "{0}", "{x!r}", "{x:{y}}", "{x y}", "{lambda}", "{", "}", "{x", '{"lr": {x}}'],
)
def test_braces_hold_a_name_and_a_format_and_nothing_else(text):
    with pytest.raises(WorkflowError) as caught:
        Template.parse(text)
    assert text in str(caught.value)


def test_names_are_listed_once_in_order():
    assert Template.parse("{b} {a:.2f} {b}").names == ("b", "a")
