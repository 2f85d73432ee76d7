"""Secrets in texts that are about to be given away: found by what tokens and keys look like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from sciflow.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

KINDS: Final[dict[str, re.Pattern[str]]] = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "access token": re.compile(
        r"(?<![\w-])(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{20,}"
        r"|pypi-[\w-]{40,}|npm_[A-Za-z0-9]{30,}|sk-(?=[\w-]*\d)[\w-]{20,}|[rs]k_live_\w{20,}|xox[abprs]-[\w-]{10,}"
        r"|AIza[\w-]{35,})"
    ),
    "AWS access key": re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Z0-9])"),
    "web token": re.compile(r"(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*"),
    "address with a password": re.compile(r"(?<!\w)[a-z][a-z0-9+.-]*://[^/\s:@'\"{}<>$]*:[^/\s@'\"{}<>$*…]+@[\w.-]"),
    "address with a token": re.compile(r"(?<!\w)https?://[\w-]{16,}@[\w.-]"),
    "address of an authorised request": re.compile(
        r"(?i)authorization\\?[\"']?\s*[:=,]\s*\\?[\"']?(?:bearer|token|basic)\s+(?=[^\s\"']*\d)[\w.~+/=-]{16,}"
    ),
}
"""What is looked for, by what it is called in messages."""

ASSIGNED: Final = "password in the code"

_NAME: Final = (
    r"(?:(?P<chosen>passw(?:or)?d|passphrase|pwd)|token|secret(?:[_-]?key)?"
    r"|(?:access|account|api|auth|encryption|private|signing)[_-]?key)"
)
_QUOTED: Final = re.compile(  # name = "…", name: str = "…", "name": "…", environ["NAME"] = "…", also inside JSON
    rf"""(?ix){_NAME}\d{{0,2}} \\?["']? \]? \s* (?: : \s* [\w.\[\]| ]{{1,40}} = | [:=] ) \s*
    [bru]{{0,2}} \\?["'] (?P<value>[^"'\s{{}}<>$*\\]{{8,}}) \\?["']"""
)
_BARE: Final = re.compile(  # NAME=…, name: …
    rf"""(?imx)^ [\t ]* (?:export[ ]|set[ ]|-[ ])? [\w.-]*{_NAME}\d{{0,2}} [\t ]*[:=][\t ]*
    (?P<value>[^\s"'`#,;(){{}}<>$*\[\]\\]{{12,}}) [\t ]*(?:\#.*)?$"""
)
_CONFIGURATION: Final = re.compile(
    r"(?i)(?:.*\.(?:cfg|conf|env|ini|json|properties|sh|toml|ya?ml)|\.env(?:[._-].*)?|dockerfile)"
)
"""Names of files in which texts need no quotes; in code what has none is a name or a call."""

_PLACE: Final = re.compile(r"[a-zA-Z]:\\|~?\.{0,2}/[\w.-]+(?:/|$)|.*://")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_IDENTIFIER: Final = re.compile(r"\W*[a-zA-Z]+(?:[_.\-:/][a-zA-Z]+)*[_.\-:]?\d{0,3}\W*")

_MOST_TOLD: Final = 20
_MOST_FOUND: Final = 100
"""What is not allowed; whoever has more has nothing to gain from a longer search."""

_MOST_BYTES: Final = 64 << 20
_MOST_AROUND: Final = 1000  # characters of a line that are kept: a page may be one line
_SAMPLE_BYTES: Final = 8 << 10


@dataclass(frozen=True, slots=True)
class Finding:
    """A line that seems to hold a secret."""

    file: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}"

    def is_allowed(self, allowed: Collection[str]) -> bool:
        """Whether somebody said that it is none: by file and line, by file, or by what the line says."""
        place = f"{self.file}:{self.line}"
        return any(
            place == one or place.endswith(f"/{one}") or fnmatchcase(self.file, one) or one in self.text
            for one in allowed
        )


def is_text(content: bytes) -> bool:
    """Whether people could read it."""
    return b"\0" not in content[:_SAMPLE_BYTES]


def find_secrets(file: str, content: bytes, words: Iterable[str] = ()) -> Iterator[Finding]:
    """The lines of a text that seem to hold a secret, or one of some *words*.

    Parameters
    ----------
    words
        Names of people and machines that must not be told.
    """
    if not is_text(content):
        return
    text = content[:_MOST_BYTES].decode("utf-8", "replace")
    named = {f"the name {word!r}": re.compile(rf"(?<!\w){re.escape(word)}(?!\w)") for word in words}
    for kind, pattern in {**KINDS, **named}.items():
        yield from _located(file, text, kind, pattern.finditer(text))
    yield from _located(file, text, ASSIGNED, filter(_is_secret, _QUOTED.finditer(text)))
    if _CONFIGURATION.fullmatch(PurePosixPath(file).name):
        yield from _located(file, text, ASSIGNED, filter(_is_secret, _BARE.finditer(text)))


def _is_secret(match: re.Match[str]) -> bool:
    """Whether a value that is called one looks like it."""
    value = match["value"]
    if not any(character.isdigit() for character in value) or _PLACE.match(value) or _UUID.fullmatch(value):
        return False
    if match["chosen"]:  # by people, who take words
        return match.re is _QUOTED or not value.isdigit()
    return not value.isdigit() and not _IDENTIFIER.fullmatch(value)


def _located(file: str, text: str, kind: str, matches: Iterable[re.Match[str]]) -> Iterator[Finding]:
    """The lines of *matches*, which come in the order of the text: each part of it is looked at once."""
    number, start, seen = 1, 0, 0
    for match in matches:
        if breaks := text.count("\n", seen, match.start()):
            number += breaks
            start = text.rfind("\n", seen, match.start()) + 1
        seen = match.start()
        most = match.end() + _MOST_AROUND
        end = text.find("\n", match.end(), most)
        yield Finding(file, number, kind, text[max(start, seen - _MOST_AROUND) : end if end >= 0 else most])


def refuse_secrets(findings: Iterable[Finding], allowed: Collection[str] = ()) -> None:
    """Return when nothing was found that is not allowed.

    Raises
    ------
    PackageError
        Something was; what it says is not repeated.
    """
    refused = (str(one) for one in findings if not one.is_allowed(allowed))
    found = sorted(set(islice(refused, _MOST_FOUND)))
    if not found:
        return
    more = "\n  and more" if len(found) > _MOST_TOLD else ""
    places = "".join(f"\n  {one}" for one in found[:_MOST_TOLD])
    raise PackageError(
        f"nothing was written, for the package would give away what looks like a secret:{places}{more}\n"
        "Take it out of the code and run the sweep again; or, where it is none, say so: --allow-secret FILE:LINE, or "
        "--allow-secret TEXT for lines with that text (in Python: allow_secrets=[...])"
    )
