from __future__ import annotations

import itertools
import re

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sciflow.cli.main import main
from sciflow.report.markdown import escaped

H2 = ("heading_open", "h2")
READER = MarkdownIt("commonmark", {"html": True}).enable("table")


def plain(text: str) -> str:
    """What a reader of Markdown sees, without any mark."""
    (line,) = [token for token in READER.parse(text) if token.type == "inline"]
    assert all(child.type in {"text", "text_special"} for child in line.children), [c.type for c in line.children]
    return "".join(child.content for child in line.children)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x17F), min_size=1).filter(str.strip))
def test_an_escaped_text_is_read_as_it_is(text: str) -> None:
    assert plain(escaped(text)) == " ".join(text.split())


BEGINNINGS = ["# title", "1. one", "- item", "+ item", "<b>", "a | b", "`x`", "&lt;", "> quote", "a_b_c", "_x_", "=="]


@pytest.mark.parametrize("text", BEGINNINGS)
def test_what_begins_like_a_mark_is_a_text(text: str) -> None:
    assert plain(escaped(text)) == text


def test_the_report_has_every_section_and_figures_beside_it(known, tmp_path):
    path = known.report(tmp_path / "notes.md")

    text = path.read_text("utf-8")
    tokens = READER.parse(text)
    headings = [title.content for mark, title in itertools.pairwise(tokens) if (mark.type, mark.tag) == H2]
    assert headings[:3] == ["Question", "Parameter space", "Outcome"]
    assert len(headings) == 10
    images = re.findall(r"!\[[^\n]+\]\(<([^>]+)>\)", text)
    assert images
    assert {tmp_path / one for one in images} == set((tmp_path / "notes_figures").iterdir())


def test_every_table_is_read_as_a_table(known, tmp_path):
    text = known.report(tmp_path / "notes.md").read_text("utf-8")

    tables = [token for token in READER.parse(text) if token.type == "table_open"]
    rules = [line for line in text.splitlines() if re.fullmatch(r"\|( :?--:? \|| :-- \|| --: \|)+", line)]

    assert len(tables) == len(rules) > 5


def test_what_looks_like_markdown_or_html_in_a_sweep_is_text(hostile, tmp_path, pages):
    text = hostile.report(tmp_path / "notes.md").read_text("utf-8")

    tokens = [child for token in READER.parse(text) for child in token.children or [token]]
    assert not [token for token in tokens if token.type in {"html_inline", "html_block", "link_open"}]
    assert any(pages.MALICIOUS in "".join(c.content for c in token.children or ()) for token in READER.parse(text))


def test_the_command_writes_a_page_named_after_the_sweep(known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    told = CliRunner().invoke(main, ["report", str(known.directory)])

    assert told.exit_code == 0, told.output
    assert told.output == "known_sweep-report.html\n"
    assert (tmp_path / "known_sweep-report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (["--format", "md"], "known_sweep-report.md"),
        (["-o", "page.md"], "page.md"),
        (["-o", "page", "--format", "md"], "page.md"),
        (["-o", "page.v2"], "page.v2.html"),
    ],
)
def test_the_form_follows_from_the_format_or_the_name(known, tmp_path, monkeypatch, options, written):
    monkeypatch.chdir(tmp_path)

    told = CliRunner().invoke(main, ["report", str(known.directory), *options])

    assert told.output == f"{written}\n"
    assert (tmp_path / written).read_text("utf-8").startswith("# known" if written.endswith(".md") else "<!doctype")


def test_a_format_that_does_not_go_with_the_name_is_a_usage_error(known):
    told = CliRunner().invoke(main, ["report", str(known.directory), "-o", "page.md", "--format", "html"])

    assert told.exit_code == 2
    assert "--format html does not go with page.md" in told.output
