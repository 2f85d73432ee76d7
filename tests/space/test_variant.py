"""A variant is an immutable mapping with an identity."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given

from sciflow.space import ABSENT, NO_DEFAULT, Axis, Grid, Parameter, Replicates, Variant
from sciflow.testing.strategies import variants


def test_a_variant_reads_like_a_mapping_and_cannot_be_changed():
    variant = Variant({"a": 1}, b=[1, 2])

    assert dict(variant) == {"a": 1, "b": (1, 2)}
    assert (len(variant), "a" in variant, "z" in variant, list(variant)) == (2, True, False, ["a", "b"])
    assert repr(variant) == "Variant(a=1, b=(1, 2))"
    with pytest.raises(KeyError):
        variant["z"]
    with pytest.raises(TypeError):
        variant["a"] = 2


def test_variants_are_equal_by_content():
    assert Variant(a=1, b=2) == Variant(b=2.0, a=np.int64(1))
    assert len({Variant(a=1), Variant(a=1.0), Variant(a=True)}) == 2
    assert Variant(a=1) == {"a": 1.0}
    assert Variant(a=1) != {"a": 2}
    assert Variant(a=1) != {"status": 1}
    assert Variant(a=1) != {"a": object()}
    assert Variant(a=1) != 1
    itself = Variant(a=1)
    assert itself == itself  # noqa: PLR0124  not even hashed
    assert Variant(a=1).id.startswith("v")
    assert len(Variant(a=1).id) == 21


def test_a_parameter_at_its_default_and_a_derived_one_do_not_count():
    space = (Grid(a=[1]) * Replicates(2)).derive(b="a + replicate")
    first, second = space

    assert first.id == Variant(a=1).id
    assert first == Variant(a=1)
    assert first == {"a": 1, "replicate": 0}
    assert first == {"a": 1, "b": 5}
    assert second == {"a": 1, "replicate": 1}
    assert second != Variant(a=1)
    assert second.without("replicate", "b") == Variant(a=1)
    assert dict(second.without("b")) == {"a": 1, "replicate": 1}
    assert second.without("replicate").id == first.id


@given(variants())
def test_a_variant_survives_a_pickle(given):
    variant = Variant(given)
    back = pickle.loads(pickle.dumps(variant))

    assert back == variant
    assert back.id == variant.id
    assert back.parameters == variant.parameters


def test_having_no_value_survives_a_pickle_as_the_same_thing():
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT
    assert pickle.loads(pickle.dumps(Parameter("a"))).default is NO_DEFAULT
    assert not ABSENT
    assert repr(NO_DEFAULT) == "NO_DEFAULT"


def test_a_space_survives_a_pickle():
    space = (Grid(a=[1, 2, 3], b=["x", "y"]).where("a > 1") | Axis("a", [1])).derive(c="a * 2")[1:]
    back = pickle.loads(pickle.dumps(space))

    assert back == space
    assert list(back) == list(space)
