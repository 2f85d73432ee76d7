from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sciflow.running.failure import Failure
from sciflow.space import Axis, Grid, Points

if TYPE_CHECKING:
    from collections.abc import Callable

    from sciflow.analysis.results import Results


class Text(HTMLParser):
    """The text of a page; refuses tags that are not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def text_of(results: Results) -> str:
    return re.sub(r"\s+", " ", " ".join(Text(results._repr_html_()).words))


def test_the_card_says_how_far_what_varies_what_came_out_and_what_next(results) -> None:
    text = text_of(results)

    assert "Results of known_outcome" in text
    assert str(results.directory) in text
    assert re.search(r"18 variants · 78%: ■ 14 done .*■ 3 failed .*□ 1 missing", text)
    assert "learning_rate 0.001, 0.01, 0.1 1/s" in text
    assert "accuracy 0.5 … 0.99 (1 not finite) 1" in text
    assert "converged true in 71%" in text
    assert "device cpu, gpu" in text
    assert "loss_curve arrays" in text
    assert "results.failures()" in text
    assert "results.find_optimal_parameters('accuracy')" in text


def test_names_and_values_are_escaped(recorded: Callable[..., Results]) -> None:
    results = recorded(
        Axis("a", ["<script>alert(1)</script>", "b & c"]), lambda v: {"out": "<b>"}, units={"out": "<u>"}
    )
    page = results._repr_html_()

    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;u&gt;" in page
    assert "<script>alert(1)</script>" in text_of(results)


@pytest.mark.parametrize(
    "outcome", [None, Failure.of(ValueError("no"), "work"), {"y": float("nan")}], ids=["missing", "failed", "nan"]
)
def test_a_card_without_a_result_is_a_card(recorded: Callable[..., Results], outcome) -> None:
    text = text_of(recorded(Axis("a", [1, 2]), lambda v: outcome))

    assert "2 variants" in text
    assert "a 1, 2" in text


def test_many_values_and_many_parameters_are_cut_short(recorded: Callable[..., Results]) -> None:
    many = recorded(
        Grid({f"p{i}": [i] for i in range(20)}) * Axis("n", np.linspace(0, 1, 100)), lambda v: {"y": v["n"]}
    )
    assert "and 9 more" in text_of(many)

    few = recorded(Axis("n", range(1000)), lambda v: {"y": 1j, "word": f"w{v['n']}"}, name="few")
    assert "n 0 … 999 (1,000 values)" in text_of(few)
    assert "word w0, w1, w2, … (1,000 values)" in text_of(few)


def test_a_parameter_that_only_some_variants_have_is_marked(recorded: Callable[..., Results]) -> None:
    text = text_of(recorded(Points([{"a": 1}, {"a": 2, "b": None}]), lambda v: {"y": True}))

    assert "b None (not in all variants)" in text
    assert "y true in 100%" in text
