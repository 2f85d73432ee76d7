"""Texts as predicates: Python's meaning, for one variant and for many, and nothing else."""

from __future__ import annotations

import operator
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.errors import PredicateError
from sciflow.space import ABSENT, Expression
from sciflow.space.table import objects

FAILED = "failed"

numbers = st.sampled_from([-3, -1, 0, 1, 2, 7, 2**70, -(2**65), 0.5, -2.5, True, False, float("inf")])
texts = st.sampled_from(["", "x", "xy"])
operands = st.one_of(
    st.sampled_from(["a", "b", "c"]),
    numbers.filter(lambda number: number != float("inf")).map(repr),
    texts.map(repr),
    st.sampled_from(["None", "(1, 'x')", "[0, a]", "(a, b)", "()"]),
)


def longer(inner):
    binary = st.sampled_from(["+", "-", "*", "/", "//", "%", "and", "or", "<", "<=", ">", ">=", "==", "!="])
    return st.one_of(
        st.builds("({} {} {})".format, inner, binary, inner),
        st.builds("({} {} {} {} {})".format, inner, st.sampled_from(["<", "==", ">="]), inner, binary, inner),
        st.builds("({} in {})".format, inner, st.sampled_from(["(1, 'x', b)", "[0, 2]", "'xyz'", "a"])),
        st.builds("({} not in (1, 'x', b))".format, inner),
        st.builds("({} ** {})".format, inner, st.sampled_from(["2", "0", "-1", "3"])),
        st.builds("({}{})".format, st.sampled_from(["not ", "-", "+"]), inner),
    )


expressions = st.recursive(operands, longer, max_leaves=6)


def outcome(compute):
    try:
        return compute()
    except Exception as error:  # noqa: BLE001  which exception is what is compared
        return (FAILED, type(error))


@given(expressions, numbers, numbers | texts, numbers | st.none())
def test_a_text_means_what_python_means_by_it(text, a, b, c):
    as_tuples = text.replace("[", "(").replace("]", ")")  # values are tuples, so lists are read as tuples
    expected = outcome(lambda: eval(as_tuples, {}, {"a": a, "b": b, "c": c}))
    got = outcome(lambda: Expression(text)({"a": a, "b": b, "c": c}))

    # two things are refused that Python does: numbers and sequences of absurd length, and % as formatting
    if got != (FAILED, OverflowError) and not ("%" in text and got == (FAILED, TypeError)):
        assert repr(got) == repr(expected)


@given(expressions, st.lists(st.tuples(*[numbers | texts | st.none() | st.just(ABSENT)] * 3), max_size=6))
def test_many_variants_at_once_mean_what_each_means_alone(text, rows):
    expression = Expression(text)
    each = [outcome(lambda row=row: expression(dict(zip("abc", row, strict=True)))) for row in rows]
    columns = {name: objects(row[place] for row in rows) for place, name in enumerate("abc")}
    together = outcome(lambda: expression.many(columns, len(rows)).tolist())

    if any(isinstance(one, tuple) and one[:1] == (FAILED,) for one in each):
        assert together[0] == FAILED
    else:
        assert list(map(repr, together)) == list(map(repr, each))


@given(expressions)
def test_only_the_names_that_appear_are_asked_for(text):
    expression = Expression(text)

    assert set(expression.names) <= set("abc")
    assert pickle.loads(pickle.dumps(expression)) == expression
    assert hash(expression) == hash(Expression(text))
    assert repr(expression) == f"Expression({text!r})"
    assert expression != text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("__import__('os').system('true')", r"the piece \"__import__\('os'\).system\('true'\)\" calls a function"),
        ("a.real > 1", "the piece 'a.real' reads an attribute"),
        ("1 < len(a)", r"the piece 'len\(a\)' calls a function"),
        ("a[0] == 1", r"'a\[0\]' reads an item"),
        ("(lambda: 1)", "defines a function"),
        ("[x for x in (1, 2)]", "uses ListComp"),
        ("a if b else c", "uses IfExp"),
        ("a is None", "write == or !="),
        ("a & b", "uses BinOp"),
        ("a << 2", "uses BinOp"),
        ("~a", "uses UnaryOp"),
        ("{1, 2}", "uses Set"),
        ("f'{a}'", "uses JoinedStr"),
        ("b'x' == a", "uses Constant"),
        ("1j", "uses Constant"),
        ("(a := 1)", "uses NamedExpr"),
        ("a <", "is not an expression"),
        ("", "is not an expression"),
        ("a = 1", "is not an expression"),
        ("a\0b", "is not an expression"),
        ("(" * 150 + "a" + ")" * 150 + " + " * 0 + "+ 1" * 3000, "nested too deeply|is not an expression"),
        ("not " * 2400 + "a", "nested too deeply|is not an expression"),
        ("a" * 10_001, "longer than the 10000 allowed"),
    ],
)
def test_anything_else_is_refused_and_pointed_at(text, told):
    with pytest.raises(PredicateError, match=told):
        Expression(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [("a ** b", {"a": 10, "b": 10**9}), ("a * b", {"a": "x", "b": 10**9}), ("b * a", {"a": (1,), "b": 10**9})],
)
def test_a_short_text_cannot_ask_for_endless_work(text, values):
    with pytest.raises(OverflowError):
        Expression(text)(values)


def test_percent_formats_no_text():
    with pytest.raises(TypeError, match="formats no text"):
        Expression("a % 3")({"a": "%1000000000d"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m < 1", False),
        ("m > 1", False),
        ("m != 1", False),
        ("not m < 1", True),
        ("0 < m < 1", False),
        ("m * 2 < 1", False),
        ("-m < 1", False),
        ("m in (1, 2)", False),
        ("m not in (1, 2)", False),
        ("1 in (m, 1)", False),
        ("m < 1 or a == 1", True),
        ("m + 1", ABSENT),
        ("m and a", ABSENT),
        ("m or a", 1),
        ("(a, m)", ABSENT),
    ],
)
def test_a_comparison_with_a_parameter_that_is_lacking_is_false(text, expected):
    expression = Expression(text)
    columns = {"a": objects([1, 1]), "m": objects([ABSENT, 1])}

    assert expression({"a": 1}) is expected or expression({"a": 1}) == expected
    assert expression.many(columns, 2).tolist()[0] is expected or expression.many(columns, 2).tolist()[0] == expected


def test_what_python_would_not_evaluate_is_not_evaluated():
    expression = Expression("b != 0 and a / b > 1")
    columns = {"a": objects([1, 4]), "b": objects([0, 2])}

    assert expression.many(columns, 2).tolist() == [False, True]
    assert Expression("b == 0 or a // b == 2").many(columns, 2).tolist() == [True, True]
    assert Expression("1 < b < a / b").many(columns, 2).tolist() == [False, False]


def test_values_that_are_arrays_or_sequences_pass_through():
    columns = {"a": objects([np.array([1, 2]), np.array([3, 4])]), "b": objects([(1,), (2,)])}

    assert [list(value) for value in Expression("a * 2").many(columns, 2)] == [[2, 4], [6, 8]]
    assert Expression("b + (3,)").many(columns, 2).tolist() == [(1, 3), (2, 3)]
    assert operator.is_(Expression("a")({"a": columns}), columns)
