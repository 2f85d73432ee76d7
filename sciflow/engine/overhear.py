"""What tasks print and warn of where they run in the user's own process: heard on its way, and left as it is."""

from __future__ import annotations

import contextlib
import sys
import warnings
from typing import TYPE_CHECKING, Any, TextIO, cast

from sciflow.engine.output import MOST_BYTES, SAID, WorkerOutput
from sciflow.running.evidence import TAIL_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class OverheardOutput(WorkerOutput):
    """What the process says while a batch runs in it; streams of C and of children go where they go, unheard.

    Parameters
    ----------
    odd : told `SAID` when something was said
    listens : whether to
    keeps_all : whether all that a variant says is wanted, not the end of it alone
    """

    def __init__(self, odd: list[str], *, listens: bool = True, keeps_all: bool = False) -> None:
        super().__init__(odd)
        self._listens, self._keeps_all = listens, keeps_all
        self._tail = ""

    @contextlib.contextmanager
    def heard(self) -> Generator[None]:
        """Listen; what was there before is there afterwards, unless a task put something else in its place."""
        if not self._listens:
            yield
            return
        show = warnings.showwarning
        ours = [_overheard(sys.stdout, self._note), _overheard(sys.stderr, self._note)]
        theirs = [sys.stdout, sys.stderr]
        self._listen_to_warnings()
        hears = warnings.showwarning
        sys.stdout, sys.stderr = ours
        try:
            yield
        finally:
            if sys.stdout is ours[0]:
                sys.stdout = theirs[0]
            if sys.stderr is ours[1]:
                sys.stderr = theirs[1]
            if warnings.showwarning is hears:
                warnings.showwarning = show

    def begin(self) -> None:
        """A variant begins: what was printed before is not its own."""
        self._tail = ""

    def _note(self, text: str) -> None:
        most = MOST_BYTES if self._keeps_all else TAIL_CHARACTERS
        self._tail = (self._tail + text)[-most:]
        if SAID not in self._odd:
            self._odd.append(SAID)

    def _said(self, most_bytes: int) -> str:
        return self._tail[-most_bytes:]


class _Overheard:
    """A stream that is all that another one is, and tells what is written to it."""

    def __init__(self, stream: TextIO, note: Callable[[str], object]) -> None:
        self._stream, self._note = stream, note

    def write(self, text: str, /) -> int:
        written = self._stream.write(text)
        self._note(text)
        return written

    def writelines(self, lines: Any, /) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _overheard(stream: TextIO | None, note: Callable[[str], object]) -> TextIO:
    """None where the process has no such stream."""
    return cast("TextIO", None if stream is None else _Overheard(stream, note))
