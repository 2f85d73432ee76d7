from __future__ import annotations

import base64
import csv
import hashlib
import io
import itertools
import re

import numpy as np
import pytest

from sciflow.errors import ResultsError
from sciflow.running.failure import Failure
from sciflow.space import Grid

SECTIONS = [
    "question",
    "space",
    "outcome",
    "best",
    "figures",
    "statistics",
    "failures",
    "performance",
    "origin",
    "reproduce",
]


@pytest.fixture
def read(pages):
    return lambda path: pages.parse(path.read_text("utf-8"))


def data_of(link) -> list[dict[str, str]]:
    """The rows of a table that a link holds."""
    head, _, coded = link.attributes["href"].partition(",")
    assert head == "data:text/csv;charset=utf-8;base64"
    return list(csv.DictReader(io.StringIO(base64.b64decode(coded).decode())))


def test_the_page_answers_what_was_asked_found_and_spent_in_this_order(known_page, read):
    page = read(known_page)

    assert [one.attributes["id"] for one in page.all("section")] == SECTIONS
    assert [one.attributes["href"] for one in page.all("nav")[0].all("a")] == [f"#{name}" for name in SECTIONS]
    assert "14 of 18 variants are done, 3 failed and 1 are still missing" in page.all("header")[0].text


def test_the_space_is_told_with_values_and_counts(known_page, pages, read):
    space = pages.section(read(known_page), "space")

    assert "every combination of the values: 3 \N{MULTIPLICATION SIGN} 3 \N{MULTIPLICATION SIGN} 2" in space.text
    rows = {row[0]: row for row in pages.rows_of(pages.table_with(space, "Parameters"))}
    assert rows["learning_rate"][2:] == ["3", "0.001, 0.01, 0.1"]
    assert rows["layers"][2:] == ["3", "1, 2, 3"]


def test_the_best_variant_stands_with_its_interval_and_what_is_as_good(known, known_page, pages, read):
    optimum = known.optimum("accuracy")

    head, *rows = pages.rows_of(pages.table_with(pages.section(read(known_page), "best"), "best variants"))
    best = dict(zip(head, next(row for row in rows if row[0].startswith("largest accuracy")), strict=True))

    assert float(best["value"]) == pytest.approx(optimum.value, rel=1e-4)
    assert best["95 % interval"] == f"{optimum.ci[0]:.5g} to {optimum.ci[1]:.5g}"
    best = {name.partition(" [")[0]: value for name, value in best.items()}
    assert (best["learning_rate"], best["layers"]) == ("0.01", "2")
    n_others = len(optimum.plateau) - 1
    assert best["as good"].startswith(f"{n_others} of") or not n_others
    told = [one.text for one in read(known_page).all("summary") if "as good as the largest accuracy" in one.text]
    counted = "1 other is" if n_others == 1 else f"{n_others} others are"
    assert told == ([f"{counted} as good as the largest accuracy"] if n_others else [])


def test_failures_are_told_with_their_reason_number_and_what_only_they_have(known, known_page, pages, read):
    failures = pages.section(read(known_page), "failures")
    reasons = known.failures()

    _, *rows = pages.rows_of(pages.table_with(failures, "Reasons"))

    assert [row[2] for row in rows] == [str(n) for n in reasons["count"]]
    assert [
        row[3] for row in rows if row[3] != "nothing simple tells them apart" and not row[3].startswith("all have")
    ] == [words for words in reasons["separated_by"] if words]
    assert failures.all("img"), "a map of where they failed"


def test_the_data_behind_a_figure_are_the_means_that_it_shows(known, known_page, pages, read):
    link = pages.section(read(known_page), "figures").all("a")[0]

    rows = {(float(row["learning_rate"]), int(row["layers"])): row for row in data_of(link)}

    frame = known.query("status == 'done'").groupby(["learning_rate", "layers"])
    metric = next(name.removeprefix("mean_") for name in next(iter(rows.values())) if name.startswith("mean_"))
    for key, mean in frame[metric].mean().items():
        assert rows[key][f"mean_{metric}"] == "" if np.isnan(mean) else float(rows[key][f"mean_{metric}"]) == mean
    assert len(rows) == 9


def test_the_page_can_be_read_by_those_who_do_not_see_it(known_page, read):
    page = read(known_page)

    assert page.all("html")[0].attributes["lang"] == "en"
    levels = [int(one.tag[1]) for one in page.all("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), levels
    pictures = [one for one in page.all("img") if "src" in one.attributes]
    assert pictures
    assert all(len(one.attributes["alt"]) > 10 for one in pictures)
    assert all(one.all("caption")[0].text and one.all("thead") for one in page.all("table"))
    assert all(one.attributes.get("scope") in {"row", "col"} for one in page.all("th"))
    assert all(one.text or one.attributes.get("aria-label") for one in page.all("button", "a", "summary"))
    ids = re.findall(r'\sid="([^"]+)"', known_page.read_text("utf-8"))
    assert len(ids) == len(set(ids))
    assert {one.attributes["href"][1:] for one in page.all("a") if one.attributes["href"][0] == "#"} <= set(ids)


def test_the_page_holds_all_that_it_shows_and_its_policy_lets_it_load_nothing_else(known_page, read):
    page = read(known_page)

    addresses = re.findall(r'\s(?:src|href|action|srcset|data)="([^"]*)"', known_page.read_text("utf-8"))
    assert {one.partition(":")[0] for one in addresses if not one.startswith("#")} == {"data"}
    policy = next(
        one.attributes["content"]
        for one in page.all("meta")
        if one.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    text = known_page.read_text("utf-8")
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
    assert not re.search(
        r"\sstyle=|\son\w+=", re.sub(r'"[^"]*"', '""', text.partition("<body>")[2].partition("<script>")[0])
    )


def test_what_looks_like_html_in_a_sweep_is_shown_and_does_nothing(hostile, tmp_path, pages, read):
    page = read(hostile.report(tmp_path / "page.html"))

    assert len(page.all("script")) == 1
    assert {one.attributes["href"].partition(":")[0] for one in page.all("a")} <= {
        "data",
        *(f"#{s}" for s in [*SECTIONS, "content"]),
    }
    assert pages.MALICIOUS in pages.section(page, "failures").text
    assert pages.MALICIOUS in pages.section(page, "space").text


def test_nothing_finished_yet_is_a_page_too(recorded, tmp_path, pages, read):
    results = recorded(Grid(x=[1, 2, 3]), lambda variant: None)

    page = read(results.report(tmp_path / "page.html"))

    assert "0 of 3 variants are done and 3 are still missing" in page.all("header")[0].text
    assert "No variant has run yet" in pages.section(page, "outcome").text
    assert "no variant is done" in pages.section(page, "best").text
    assert pages.section(page, "performance").text.endswith("Nothing has run yet.")


def test_all_failed_is_a_page_too(recorded, tmp_path, pages, read):
    results = recorded(Grid(x=[1, 2, 3]), lambda variant: Failure.of(ValueError("too bad"), "work"))

    page = read(results.report(tmp_path / "page.html"))

    assert "No variant succeeded" in pages.section(page, "outcome").text
    assert "ValueError: too bad" in pages.section(page, "failures").text
    assert "no variant is done" in pages.section(page, "statistics").text


@pytest.mark.parametrize(
    ("space", "outcome"),
    [
        (Grid({}), lambda variant: {"value": 1.0}),
        (Grid(x=[1]), lambda variant: {"value": 1.0}),
        (Grid(x=[1, 2]), lambda variant: {"text": "no number"}),
        (Grid(x=[1, 2]), lambda variant: {"series": np.arange(3.0)}),
        (Grid(x=[1, 2]), lambda variant: {}),
        (Grid(x=[1, 2, 3]), lambda variant: {"value": [np.nan, np.inf, -np.inf][variant["x"] - 1]}),
        (Grid(x=[1, "a", None, 2.5]), lambda variant: {"value": 1 if variant["x"] == 1 else 0.5}),
        (Grid(x=[1]) | Grid(y=[2, 3]), lambda variant: {"value": 1.0 * len(variant)}),
    ],
    ids=["no parameters", "one variant", "texts", "arrays", "no outputs", "not finite", "mixed types", "conditional"],
)
def test_odd_sweeps_are_pages_too(recorded, tmp_path, space, outcome, read):
    results = recorded(space, outcome)

    page = read(results.report(tmp_path / "page.html"))
    text = results.report(tmp_path / "page.md").read_text("utf-8")

    assert [one.attributes["id"] for one in page.all("section")] == SECTIONS
    assert "could not be made" not in page.text
    assert text.count("\n## ") == len(SECTIONS)


def test_success_criteria_are_judged(recorded, tmp_path, pages, read):
    results = recorded(Grid(x=[1, 2, 3, 4]), lambda variant: {"value": float(variant["x"])}, criteria={"value": ">= 3"})

    page = read(results.report(tmp_path / "page.html"))

    assert "2 of 4 variants meet all success criteria" in pages.section(page, "outcome").text
    _, *rows = pages.rows_of(pages.table_with(pages.section(page, "best"), "best variants"))
    assert [row[0] for row in rows] == ["largest value"], "the other end is not wanted"


def test_without_declared_figures_there_are_some_that_suit(recorded, tmp_path, pages, read):
    results = recorded(Grid(a=[1, 2, 3], b=[1, 2, 3]), lambda variant: {"value": float(variant["a"] * variant["b"])})

    figures = pages.section(read(results.report(tmp_path / "page.html")), "figures")

    assert "asks for no figures" in figures.text
    assert figures.all("img")


def test_a_page_of_very_many_variants_is_bounded(recorded, tmp_path, read):
    space = Grid(a=range(50), b=range(40), c=range(10))
    results = recorded(space, lambda variant: {"value": variant["a"] * 0.1 + variant["b"], "other": 1.0 * variant["c"]})

    path = results.report(tmp_path / "page.html")

    page = read(path)
    assert path.stat().st_size < 5_000_000
    assert max(len(one.all("tr")) for one in page.all("table")) <= 62
    links = [link for link in page.all("a") if "download" in link.attributes]
    assert links
    for link in links:
        assert len(data_of(link)) <= 2_500
    assert "every 8th of 20,000 rows" in page.text


def test_a_report_replaces_the_one_that_is_there(known, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")

    known.report(path)

    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


def test_a_name_that_ends_otherwise_is_refused_with_those_that_are_known(known, tmp_path):
    with pytest.raises(ResultsError, match=r"\.html.*\.md.*'\.pdf'"):
        known.report(tmp_path / "page.pdf")


def test_the_counts_on_the_page_are_those_of_the_results(known, known_page, pages, read):
    counts = known.status()

    told = pages.section(read(known_page), "outcome").all("figcaption")[0].all("span")

    assert [one.text for one in told] == [f"{counts[name]} {name}" for name in ("done", "failed", "missing")]
