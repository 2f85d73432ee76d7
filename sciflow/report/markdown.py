"""A page as Markdown (CommonMark with GitHub's tables), for a repository or a lab notebook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, assert_never

from sciflow.report.blocks import Bullets, Code, Facts, Flow, Folded, Heading, Paragraph, Picture, Shares, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sciflow.report.blocks import Block, Page

_MARKS: Final = re.compile(r"([\\`*\[\]<>|#~$]|(?<!\w)_|_(?!\w))")
_LIST_MARK: Final = re.compile(r"^(\d*)([-+.)])(?=\s|$)")


def render_markdown(page: Page, images: str) -> str:
    """The page as Markdown, which looks for its figures in the folder *images* beside it."""
    lines = [f"# {escaped(page.title)}", escaped(page.lead)]
    lines += [
        "\n".join(
            f"- {escaped(name)}: **{escaped(value)}** {escaped(more)}".rstrip() for name, value, more in page.cards
        )
    ]
    for section in page.sections:
        lines.append(f"## {escaped(section.title)}")
        for block in section.blocks:
            lines += _written(block, images)
    lines.append(f"*{escaped(page.made)}*")
    return "\n\n".join(line for line in lines if line) + "\n"


def escaped(text: str) -> str:
    """A text in which nothing is Markdown or HTML, on one line."""
    return _LIST_MARK.sub(r"\1\\\2", _MARKS.sub(r"\\\1", " ".join(text.split()))).replace("&", "&amp;")


def pictures_of(page: Page) -> dict[str, bytes]:
    """The images of a page by their names."""
    return {one.file_name: one.image for section in page.sections for one in _pictures(section.blocks)}


def _pictures(blocks: tuple[Block, ...]) -> Iterator[Picture]:
    for block in blocks:
        if isinstance(block, Picture):
            yield block
        elif isinstance(block, Folded):
            yield from _pictures(block.blocks)


def _written(block: Block, images: str) -> list[str]:  # noqa: C901, PLR0911  a case for each kind of block
    match block:
        case Paragraph():
            before = {"plain": "", "note": "*", "warning": "> **Beware:** "}[block.tone]
            return [f"{before}{escaped(block.text)}{'*' if block.tone == 'note' else ''}"]
        case Heading():
            return [f"### {escaped(block.text)}"]
        case Facts():
            return ["\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in block.rows)]
        case Table():
            return [f"**{escaped(block.caption)}**", _table(block), f"*{escaped(block.note)}*" if block.note else ""]
        case Picture():
            return [f"![{escaped(block.alternative)}](<{images}/{block.file_name}>)", f"*{escaped(block.caption)}*"]
        case Flow():
            return [" → ".join(", ".join(map(escaped, stage)) for stage in block.stages)]
        case Shares():
            return [", ".join(f"{n:,} {escaped(name)}" for _, name, n in block.parts)]
        case Code():
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block.text)), default=0))
            return [f"{fence}{block.language}\n{block.text}\n{fence}"]
        case Bullets():
            return ["\n".join(f"- {escaped(item)}" for item in block.items)]
        case Folded():
            return [f"**{escaped(block.summary)}**", *(line for one in block.blocks for line in _written(one, images))]
        case _:
            assert_never(block)


def _table(table: Table) -> str:
    rule = ["--:" if k in table.numeric else ":--" for k in range(len(table.head))]
    rows = [table.head, rule, *table.rows]
    escape = [map(escaped, row) if row is not rule else row for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escape)
