"""Secrets in texts that are about to be given away: found by what tokens and keys look like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from sciflow.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

KINDS: Final[dict[str, re.Pattern[str]]] = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "access token": re.compile(
        r"(?<![\w-])(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{20,}"
        r"|pypi-[\w-]{40,}|npm_[A-Za-z0-9]{30,}|sk-[\w-]{20,}|[rs]k_live_\w{20,}|xox[abprs]-[\w-]{10,})"
    ),
    "AWS access key": re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Z0-9])"),
    "web token": re.compile(r"(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*"),
    "address with a password": re.compile(r"(?<!\w)[a-z][a-z0-9+.-]*://[^/\s:@'\"{}<>$]*:[^/\s@'\"{}<>$*…]+@[\w.-]"),
    "address with a token": re.compile(r"(?<!\w)https?://[\w-]{16,}@[\w.-]"),
    "password in the code": re.compile(
        r"(?i)(?<![a-z])(?:password|passwd|secret|api_?key|auth_?token|access_?token)[\"']?\s*[:=]\s*"
        r"[\"'](?=[^\"'\s]*\d)[^\"'\s{}<>$*]{8,}[\"']"
    ),
}
"""What is looked for, by what it is called in messages."""

_MOST_TOLD: Final = 20
_MOST_BYTES: Final = 64 << 20
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
        for match in pattern.finditer(text):
            start = text.rfind("\n", 0, match.start()) + 1
            end = text.find("\n", match.end())
            line = text[start : end if end >= 0 else len(text)]
            yield Finding(file, text.count("\n", 0, match.start()) + 1, kind, line)


def refuse_secrets(findings: Iterable[Finding], allowed: Collection[str] = ()) -> None:
    """Return when nothing was found that is not allowed.

    Raises
    ------
    PackageError
        Something was; what it says is not repeated.
    """
    found = sorted({str(one) for one in findings if not one.is_allowed(allowed)})
    if not found:
        return
    more = f"\n  and {len(found) - _MOST_TOLD:,} more" if len(found) > _MOST_TOLD else ""
    places = "".join(f"\n  {one}" for one in found[:_MOST_TOLD])
    raise PackageError(
        f"nothing was written, for the package would give away what looks like a secret:{places}{more}\n"
        "Take it out of the code and run the sweep again; or, where it is none, say so: --allow-secret FILE:LINE, or "
        "--allow-secret TEXT for lines with that text (in Python: allow_secrets=[...])"
    )
