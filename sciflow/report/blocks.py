"""What a page is made of, as values: HTML and Markdown are two ways to write them down."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence or a few; a ``note`` limits what is shown, a ``warning`` what may be concluded."""

    text: str
    tone: Literal["plain", "note", "warning"] = "plain"
    kind: str = field(default="paragraph", init=False)


@dataclass(frozen=True, slots=True)
class Heading:
    """Begins a part of a section."""

    text: str
    kind: str = field(default="heading", init=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """Short facts, each with its name."""

    rows: tuple[tuple[str, str], ...]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True, slots=True)
class Download:
    """A file that the reader may take along.

    Attributes
    ----------
    note : what it lacks; empty if it is complete
    """

    name: str
    text: str
    note: str = ""

    @property
    def uri(self) -> str:
        """The file as an address that holds it."""
        return _uri(self.text.encode(), "text/csv;charset=utf-8")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head.

    Attributes
    ----------
    numeric : which columns are numbers, and stand right
    note : what is left out; empty if nothing
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    note: str = ""
    download: Download | None = None
    kind: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure.

    Attributes
    ----------
    name : of its file, without suffix
    alternative : what it shows, for those who do not see it
    image : the file, of the type *media*
    width, height : in pixels of a screen
    """

    name: str
    caption: str
    alternative: str
    image: bytes
    media: Literal["image/svg+xml", "image/png"]
    width: int
    height: int
    download: Download | None = None
    kind: str = field(default="picture", init=False)

    @property
    def uri(self) -> str:
        """The image as an address that holds it."""
        return _uri(self.image, self.media)

    @property
    def file_name(self) -> str:
        """Of the image beside a Markdown file."""
        return f"{self.name}.{'png' if self.media == 'image/png' else 'svg'}"


@dataclass(frozen=True, slots=True)
class Flow:
    """Steps in the order in which they may go, those of one place beside each other."""

    label: str
    stages: tuple[tuple[str, ...], ...]
    kind: str = field(default="flow", init=False)


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of a whole, drawn as a bar: a tone, a name and a count of each."""

    label: str
    parts: tuple[tuple[str, str, int], ...]
    kind: str = field(default="shares", init=False)

    @property
    def total(self) -> int:
        """Of all parts; at least 1."""
        return max(1, sum(n for _, _, n in self.parts))

    @property
    def spans(self) -> tuple[tuple[str, float, float], ...]:
        """Tone, beginning and width of each part, in percent."""
        found: list[tuple[str, float, float]] = []
        before = 0
        for tone, _, n in self.parts:
            found.append((tone, 100 * before / self.total, 100 * n / self.total))
            before += n
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Code:
    """Lines for a terminal or an interpreter, or what one printed."""

    text: str
    language: str = ""
    kind: str = field(default="code", init=False)


@dataclass(frozen=True, slots=True)
class Bullets:
    """Sentences of a list."""

    items: tuple[str, ...]
    kind: str = field(default="bullets", init=False)


@dataclass(frozen=True, slots=True)
class Folded:
    """What only some readers open."""

    summary: str
    blocks: tuple[Block, ...]
    kind: str = field(default="folded", init=False)


Block: TypeAlias = Paragraph | Heading | Facts | Table | Picture | Flow | Shares | Code | Bullets | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page, with an anchor."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report.

    Attributes
    ----------
    lead : the outcome in a sentence
    cards : the few numbers that everybody wants, each with its name and what it means
    made : when and of what it was made
    """

    title: str
    lead: str
    cards: tuple[tuple[str, str, str], ...]
    sections: tuple[Section, ...]
    made: str


def _uri(content: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(content).decode()}"
