"""Making spaces: what is accepted, and how the rest is refused."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from sciflow.canonical import Named
from sciflow.errors import SpaceError
from sciflow.space import Axis, Grid, Points, Replicates, Space, Variant, Zip


def rows(space: Space) -> list[dict]:
    return list(map(dict, space))


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        (1, 2, 3),
        range(1, 4),
        np.array([1, 2, 3]),
        np.linspace(1, 3, 3),
        (n for n in (1, 2, 3)),
        {1: "a", 2: "b", 3: "c"}.keys(),
        np.array([1, 2, 3], dtype=object),
    ],
)
def test_values_may_come_in_any_iterable(values):
    assert rows(Grid(a=values)) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_a_grid_takes_a_mapping_keywords_and_axes_alike():
    grid = Grid({"a": [1, 2], "b": ["x"]})

    assert grid == Grid(a=[1, 2], b=["x"]) == Grid({"a": [1, 2]}, b=["x"]) == Grid(Axis("a", [1, 2]), b=["x"])
    assert grid == Grid({"a": Axis("a", [1, 2])}, b=["x"]) == Axis("a", [1, 2]) * Axis("b", ["x"])
    assert Grid(a=range(1, 3)) == Grid(a=[1, 2]) == Grid(a=[1.0, 2.0])
    assert grid != Grid(b=["x"], a=[1, 2])
    assert grid != {"a": [1, 2]}
    assert [axis.name for axis in grid.axes] == ["a", "b"]
    assert Zip({"a": [1]}, b=[2]) == Zip(Axis("a", [1]), Axis("b", [2]))


def test_a_parameter_may_be_called_like_an_argument_of_the_constructors():
    assert rows(Grid(values=[1], parts=[2], name=[3])) == [{"values": 1, "parts": 2, "name": 3}]
    assert rows(Zip({"self": [1]}, parts=[2])) == [{"self": 1, "parts": 2}]
    assert Variant({"self": 1}, values=2)["values"] == 2


def test_values_may_be_sequences_and_arrays_when_they_are_listed():
    array = np.eye(2)
    space = Grid(size=[(1, 2), [3, 4]], matrix=[array], kernel=[Named("rbf", math.exp)])

    assert space[1]["size"] == (3, 4)
    assert space[0]["matrix"].tolist() == array.tolist()
    assert space[0]["kernel"].value is math.exp
    assert space.columns()["size"].tolist() == [(1, 2), (3, 4)]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Grid(a=[]), "'a' has no values"),
        (lambda: Grid(a=range(0)), "'a' has no values"),
        (lambda: Grid(a=[1, 2, 1.0]), r"'a' lists a value more than once \(1, 1.0\)"),
        (lambda: Grid(a=[(1, 2), [1, 2]]), r"more than once"),
        (lambda: Grid(a=np.array([0.5, 0.5])), "more than once"),
        (lambda: Grid(a=[0.0, -0.0]), "more than once"),
        (lambda: Grid(a=[1, math.nan]), "parameter 'a': NaN"),
        (lambda: Grid(a=np.array([1, math.nan])), "parameter 'a': NaN"),
        (lambda: Grid(a=[Fraction(1, 2)]), r"parameter 'a': .*Named"),
        (lambda: Grid(a="adam"), r"write \['adam'\]"),
        (lambda: Grid(a=b"adam"), r"write \[b'adam'\]"),
        (lambda: Grid(a=3), r"write \[3\]"),
        (lambda: Grid(a=None), r"write \[None\]"),
        (lambda: Grid(a={"b": 1}), r"write \[\{'b': 1\}\]"),
        (lambda: Grid(a=np.float64(3)), r"shape \(\).*\[array\]"),
        (lambda: Grid(a=np.eye(2)), r"shape \(2, 2\).*write \[array\].*ravel"),
        (lambda: Grid([1, 2]), "mappings from names"),
        (lambda: Grid({1: [2]}), "name is a text, not 1"),
        (lambda: Grid({"a b": [1]}), "'a b'.*identifier"),
        (lambda: Grid({"lambda": [1]}), "'lambda'.*keyword"),
        (lambda: Grid({"ﬁt": [1]}), "Python reads that name as 'fit'"),
        (lambda: Grid(status=[1]), "'status'.*has a variable of that name.*reserved"),
        (lambda: Grid(method=[1]), "'method'.*Dataset.sel.*such as 'scheme'.*reserved"),
        (lambda: Axis("drop", [1]), "'drop'.*reserved"),
        (lambda: Points([{"variant": 1}]), "'variant'.*reserved"),
        (lambda: Variant({"failure": 1}), "'failure'.*reserved"),
        (lambda: Grid({"a": Axis("b", [1])}), "axis 'b' was given under the name 'a'"),
        (lambda: Grid(Axis("a", [1]), a=[2]), "'a' by more than one"),
        (Zip, "no parameters"),
        (lambda: Zip(a=[], b=[]), "a: 0, b: 0"),
        (lambda: Zip(a=[1, 2], b=[1]), r"a: 2, b: 1\).*Grid"),
        (lambda: Zip({"a": [1]}, a=[2]), "'a' twice"),
        (lambda: Zip({"b": Axis("a", [1])}), "axis 'a' was given under the name 'b'"),
        (lambda: Zip(a=[1, 1.0], b=["x", "x"]), "variants number 0 and 1"),
        (lambda: Zip([1, 2]), "mappings from names"),
        (lambda: Points([]), "no variants"),
        (lambda: Points([1]), "mappings"),
        (lambda: Points([{"a": 1}, {"b": 1}, {"a": 1.0}]), r"number 0 and 2.*Variant\(a=1\)"),
        (lambda: Points([{"a": 1}], units={"b": "K"}), "units for b"),
        (lambda: Replicates(0), "at least 1, not 0"),
        (lambda: Replicates(True), "at least 1, not True"),
        (lambda: Axis("a", [1], default=math.nan), "parameter 'a': NaN"),
        (lambda: Grid(a=[1])[:: 0], "step"),
        (lambda: Grid(a=[1]).sample(2, 0), "sample of 2 .* has 1"),
        (lambda: Grid(a=[1]).sample(0, 0), "at least 1"),
        (lambda: Grid(a=[1]).sample(1, -1), "seed"),
        (lambda: Grid(a=[1]).derive(), "at least one name"),
        (lambda: Grid(a=[1]).derive(a="a"), "hide the parameter 'a'"),
        (lambda: Grid(a=[1]).derive(status="a"), "reserved"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused_with_what_to_do(make, told):
    with pytest.raises(SpaceError, match=told):
        make()


def test_spaces_combine_with_spaces_only():
    for operation in ("__mul__", "__or__", "__sub__", "__and__", "__eq__"):
        assert getattr(Grid(a=[1]), operation)({"a": [1]}) is NotImplemented


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        (Axis("a", [1], unit="K"), Axis("a", [2], unit="degC"), "unit 'K' in one space and 'degC'"),
        (Axis("a", [1], default=1), Axis("a", [2], default=2), "default 1 in one space and 2"),
        (Grid(a=[1]).derive(b="a"), Grid(b=[1]), "'b' is derived in one"),
        (Points([{"a": 1}, {"b": 1}]), Axis("a", [1], default=1), "'a' has a default in one.*both"),
    ],
)
def test_spaces_that_contradict_each_other_are_not_united(left, right, told):
    for operation in ("__or__", "__sub__", "__and__"):
        with pytest.raises(SpaceError, match=told):
            getattr(left, operation)(right)


def test_a_union_knows_what_either_space_says():
    joined = Axis("a", [1], unit="K") | Axis("a", [2], default=2)

    assert joined.parameters[0].unit == "K"
    assert joined.parameters[0].default == 2
    assert joined[1].id == Variant({}).id


def test_a_conditional_variant_has_only_its_own_names():
    space = Grid(opt=["sgd"], momentum=[0.8, 0.9]) | Grid(opt=["adam"], beta=[0.99])

    assert rows(space) == [
        {"opt": "sgd", "momentum": 0.8},
        {"opt": "sgd", "momentum": 0.9},
        {"opt": "adam", "beta": 0.99},
    ]
    columns = space.columns()
    assert columns["momentum"].mask.tolist() == [False, False, True]
    assert columns["beta"].filled(-1).tolist() == [-1, -1, 0.99]
    assert {"opt": "sgd", "momentum": 0.9} in space
    assert {"opt": "sgd", "beta": 0.99} not in space
    assert space.axes is None
    assert "beta" in space._repr_html_()


def test_units_and_defaults_stay_with_their_parameter():
    space = Grid(Axis("temperature", [1.0, 2.0], unit="K", default=1.0)) * Zip(Axis("size", [8, 16], unit="nm"))

    assert [(p.name, p.unit, p.has_default) for p in space.parameters] == [
        ("temperature", "K", True),
        ("size", "nm", False),
    ]
    assert space.axes is None
    assert space[0].parameters == space.parameters
    assert Points([{"a": 1}], units={"a": "m"}).parameters[0].unit == "m"
    assert "(K)" in space._repr_html_()


def test_anything_may_be_asked_whether_it_is_in_a_space():
    space = Grid(a=[1, 2], b=["x"])

    assert {"b": "x", "a": 1.0} in space
    assert {"a": 1} not in space
    assert {"a": 1, "b": "x", "c": 3} not in space
    assert {"a": math.nan, "b": "x"} not in space
    assert {"a b": 1} not in space
    assert 1 not in space
    assert Variant(a=2, b="x") in space


def test_texts_about_spaces_are_short():
    space = Grid({f"p{n}": range(10) for n in range(20)}) * Replicates(2)

    assert repr(space) == (
        "<Grid(p0=10, p1=10, p2=10, p3=10, p4=10, p5=10, … 15 more): 200,000,000,000,000,000,000 variants>"
    )
    assert repr(Axis("a", range(10**6))) == "<Axis a: 0, 1, 2, 3, … 999,996 more>"
    assert repr(Axis("a", ["x" * 100])) == "<Axis a: " + repr("x" * 100)[:23] + "…>"
    assert repr(Grid(a=[1, 2]).where("a > 1")) == "<Filtered(a): counted when asked>"
    assert repr(Zip(a=[1, 2]) * Grid(b=[1, 2])) == "<Product(a, b): 4 variants>"
    assert repr(Zip(a=[1, 2])) == "<Zip(a): 2 variants>"
    page = (Grid(a=range(100), b=["<b>"]) * Zip(c=[1, 1, 2], d=[1, 2, 3])).derive(e="a + c")._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<td>100</td>" in Grid(a=range(100))._repr_html_()
    assert "derived" in page
    assert Grid()._repr_html_().startswith("<table>")
