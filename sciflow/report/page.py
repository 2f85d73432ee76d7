"""A report of a sweep: what is on it, and how it is written."""

from __future__ import annotations

import datetime as dt
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sciflow.errors import ResultsError, SciflowError
from sciflow.report.best import best
from sciflow.report.blocks import Page, Paragraph, Section
from sciflow.report.effort import effort
from sciflow.report.failed import failed
from sciflow.report.figures import figures
from sciflow.report.html import render_html
from sciflow.report.markdown import pictures_of, render_markdown
from sciflow.report.material import Material
from sciflow.report.origin import origin, reproduce
from sciflow.report.outcome import cards, headline, moment, outcome
from sciflow.report.question import question, space
from sciflow.report.statistics import statistics
from sciflow.store.atomic import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sciflow.analysis.results import Results
    from sciflow.report.blocks import Block

FORMATS: Final = {".html": "html", ".htm": "html", ".md": "md", ".markdown": "md"}
"""How a report is written, by the suffix of its file."""

_NEED_RESULTS: Final = {"best", "figures", "statistics"}

_SECTIONS: Final[tuple[tuple[str, str, Callable[[Material], Iterable[Block]]], ...]] = (
    ("question", "Question", question),
    ("space", "Parameter space", space),
    ("outcome", "Outcome", outcome),
    ("best", "Best parameters", best),
    ("figures", "Figures", figures),
    ("statistics", "Statistics", statistics),
    ("failures", "Failures", failed),
    ("performance", "Performance", effort),
    ("origin", "Code and environment", origin),
    ("reproduce", "How to reproduce", reproduce),
)


def write_report(results: Results, path: Path | str) -> Path:
    """Write a report of a sweep as it is now to *path*, and return that.

    Parameters
    ----------
    path
        ``.html``: one page that needs nothing else. ``.md``: Markdown, with its figures in a folder beside it that is
        named after the file, such as ``report_figures/``. A file that is there is replaced in one step.

    Raises
    ------
    ResultsError
        The name ends otherwise.
    """
    path = Path(path)
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise ResultsError(f"a report is written as {', '.join(FORMATS)}; {path.name!r} ends in {path.suffix!r}")
    page = make_page(results)
    if form == "html":
        replace(path, render_html(page).encode())
        return path
    folder = path.with_name(f"{path.stem}_figures")
    for name, image in pictures_of(page).items():
        folder.mkdir(exist_ok=True)
        replace(folder / name, image)
    replace(path, render_markdown(page, folder.name).encode())
    return path


def make_page(results: Results) -> Page:
    """Everything that the report says, not yet written down."""
    material = Material(results)
    now = moment(dt.datetime.now(dt.UTC))
    return Page(
        title=material.workflow,
        lead=headline(material),
        cards=cards(material),
        sections=tuple(_section(material, *one) for one in _SECTIONS),
        made=f"Made by sciflow {version('sciflow')} on {now} from the sweep {material.metadata['sweep']['sweep']}.",
    )


def _section(material: Material, anchor: str, title: str, make: Callable[[Material], Iterable[Block]]) -> Section:
    """A section, with what the library warned of; one that cannot be made says why."""
    if anchor in _NEED_RESULTS and not material.counts["done"]:
        return Section(anchor, title, (Paragraph("Not yet: no variant is done.", "note"),))
    blocks: list[Block] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            blocks += make(material)
        except SciflowError as error:
            blocks.append(Paragraph(f"This part could not be made: {error}", "note"))
    told = dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning)
    return Section(anchor, title, (*blocks, *(Paragraph(_sentence(words), "note") for words in told)))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words and words[-1] not in ".!?" else words
