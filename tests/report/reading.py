"""Reads a page of a report strictly."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

# elements that are never closed
VOID = {"meta", "link", "img", "br", "input"}
MALICIOUS = "<script>alert('x')</script> & [link](http://evil.example) | \"quoted\""


class Element:
    """An element of a page: its attributes, its text, and what it holds."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Element] = []
        self.parts: list[str] = []

    @property
    def text(self) -> str:
        return " ".join("".join(self.parts).split())

    def all(self, *tags: str) -> list[Element]:
        """Elements of these tags below this one, in the order of the page."""
        found = [self] if self.tag in tags else []
        return found + [one for child in self.children for one in child.all(*tags)]


class Parser(HTMLParser):
    """Reads a page strictly: what is opened is closed, and in order."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.parts.append(data)


def parse(text: str) -> Element:
    parser = Parser()
    parser.feed(text)
    parser.close()
    assert parser.open == [parser.root], "something is not closed"
    return parser.root


def section(page: Element, anchor: str) -> Element:
    return next(one for one in page.all("section") if one.attributes["id"] == anchor)


def rows_of(table: Element) -> list[list[str]]:
    return [[cell.text for cell in row.all("th", "td")] for row in table.all("tr")]


def table_with(element: Element, caption: str) -> Element:
    return next(one for one in element.all("table") if caption in one.all("caption")[0].text)
