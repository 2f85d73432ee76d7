"""What names places and people in texts that leave the machine, replaced by what does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, cast

# not preceded by what makes it part of a URL, a relative path, or one that was shortened before
_ABSOLUTE: Final = re.compile(r"(?<![\w.~…/:\-])(?:/[\w.+@=,~\-]+){2,}/?")
_LIBRARIES: Final = re.compile(r".*/(?:site|dist)-packages/")
ELLIPSIS: Final = "…/"


@dataclass(frozen=True, slots=True)
class Scrubber:
    """Shortens absolute paths, and replaces further words.

    Attributes
    ----------
    roots
        Folders whose contents are told by their place in them; the longest first.
    words
        Whole words (of hosts, of people) and what stands for each.
    """

    roots: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict[str, str])

    def text(self, text: str) -> str:
        """The text without absolute paths and without the words."""
        if "/" in text:
            text = _ABSOLUTE.sub(self._shortened, text)
        for word, substitute in self.words.items():
            if word in text:
                text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", substitute, text)
        return text

    def data(self, data: Any) -> Any:
        """Plain data with every text in it scrubbed; keys stay."""
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, Mapping):
            return {key: self.data(value) for key, value in cast("Mapping[str, Any]", data).items()}
        if isinstance(data, list | tuple):
            return [self.data(one) for one in cast("list[Any]", data)]
        return data

    def _shortened(self, match: re.Match[str]) -> str:
        path = match[0]
        for root in self.roots:
            if path.startswith(f"{root}/"):
                return ELLIPSIS + path[len(root) + 1 :]
        if _LIBRARIES.match(path):
            return ELLIPSIS + _LIBRARIES.sub("", path, count=1)
        return ELLIPSIS + PurePosixPath(path).name


def has_absolute_path(text: str) -> bool:
    """Whether a text names a place on somebody's machine."""
    return _ABSOLUTE.search(text) is not None
