"""What tasks print and warn of in a worker process goes to a file of that process, which does not grow without end.

It costs nothing while nothing is said: the streams and the warnings module tell when something was.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from sciflow.running.evidence import MOST_WARNINGS, TAIL_CHARACTERS, Evidence, Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_BYTES: Final = 10 << 20
"""A log longer than this is cut: its last part stays."""

SAID: Final = "said"
"""The word for `_Run.odd`: the variant printed something or warned."""

_KEPT_BYTES = 1 << 20
_CUT = b"(what was printed before is gone: a log keeps 1 of each 10 MiB)\n"
_MOST_SHOWN = 1000  # warnings that are printed once and not again
_LONGEST_WARNING = 500  # characters


class WorkerOutput:
    """What this process says, variant after variant.

    Parameters
    ----------
    odd : told `SAID` when something was said
    """

    def __init__(self, odd: list[str]) -> None:
        self._odd = odd
        self._begun = 0  # where in the file the output of the running variant begins
        self._warned: dict[tuple[str, str, str], Warned] = {}
        self._shown: set[tuple[str, str, str]] = set()
        self._listens = False
        self.name = ""
        """The file, beside its folder; empty when there is none."""
        self.on_begin: Callable[[int], object] = _nobody_asks
        """Told where in the file the output of a variant begins."""

    def capture(self, folder: Path, worker: str, *, listens: bool = True) -> None:
        """Send standard output and error to ``worker-<host>-<pid>.log`` in *folder*, and listen to what is said.

        The terminal of a sweep with thousands of variants is no place for what each of them prints.
        """
        name = f"worker-{re.sub(r'[^A-Za-z0-9_.]', '-', worker)}.log"
        with contextlib.suppress(OSError):  # without a log what is printed goes where it went before
            folder.mkdir(exist_ok=True)
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            redirected = [self._redirected(sys.stdout, descriptor, 1), self._redirected(sys.stderr, descriptor, 2)]
            os.close(descriptor)
            self.name = f"{folder.name}/{name}"
            if listens:
                sys.stdout, sys.stderr = redirected
        self._listens = listens
        if listens:
            self._listen_to_warnings()
        self.begin()

    def heard(self) -> contextlib.AbstractContextManager[None]:
        """What surrounds a batch: here nothing, for the process says what it says to us alone."""
        return contextlib.nullcontext()

    def _listen_to_warnings(self) -> None:
        show = warnings.showwarning

        def hear(
            message: Warning | str, category: type[Warning], filename: str, lineno: int, *others: Any, **named: Any
        ) -> None:
            if self._hear(message, category, f"{Path(filename).name}:{lineno}"):
                show(message, category, filename, lineno, *others, **named)

        warnings.showwarning = hear

    def _redirected(self, stream: TextIO, descriptor: int, number: int) -> TextIO:
        """A stream into the log; who holds the old one writes there too."""
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
        os.dup2(descriptor, number)
        if not isinstance(stream, io.TextIOWrapper):
            return stream
        stream.reconfigure(line_buffering=True)
        return _Heard(stream, number, self._odd)

    def _hear(self, message: Warning | str, category: type[Warning], where: str) -> bool:
        """Keep a warning; whether it is to be shown too."""
        warned = Warned(category.__name__, str(message)[:_LONGEST_WARNING], where)
        key = (warned.category, warned.message, where)
        if len(self._warned) < MOST_WARNINGS:
            self._warned.setdefault(key, warned)
        if SAID not in self._odd:
            self._odd.append(SAID)
        is_new = key not in self._shown and len(self._shown) < _MOST_SHOWN
        if is_new:
            self._shown.add(key)
        return is_new

    def begin(self) -> None:
        """A variant begins: what was printed before is not its own."""
        if self._listens and self.name:
            self._begun = os.lseek(1, 0, os.SEEK_END)
            self.on_begin(self._begun)

    def over(self) -> None:
        """The variant that said something is over."""
        if self._warned:
            self._warned = {}
            with warnings.catch_warnings():  # has Python forget what was warned of once: the next variant is heard too
                pass
        self._flush()
        self.begin()

    def evidence(self) -> Evidence:
        """What the running variant has said."""
        self._flush()
        return Evidence(tuple(self._warned.values()), self._said(4 * TAIL_CHARACTERS)[-TAIL_CHARACTERS:])

    def _said(self, most_bytes: int) -> str:
        if not (self._listens and self.name):
            return ""
        with contextlib.suppress(OSError):
            end = os.fstat(1).st_size
            begun = max(self._begun, end - most_bytes)
            return os.pread(1, end - begun, begun).decode(errors="replace") if end > begun else ""
        return ""

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()

    def kept(self, iterator: Iterator[Any], keep: Callable[[int, str], None]) -> Iterator[Any]:
        """The iterator; of each variant that says something *keep* gets its place and all of that."""
        return _Keeping(iterator, self, keep)

    def printed(self) -> str:
        """All that the running variant has printed."""
        self._flush()
        return self._said(MOST_BYTES)

    def cut(self) -> None:
        """Keep the last part of the log if it is too long."""
        if not self.name:
            return
        with contextlib.suppress(OSError):
            n_bytes = os.fstat(1).st_size
            if n_bytes > MOST_BYTES:
                last = os.pread(1, _KEPT_BYTES, n_bytes - _KEPT_BYTES)
                os.ftruncate(1, 0)
                os.write(1, _CUT + last)
                self.begin()


class _Heard(io.TextIOWrapper):
    """A stream that tells when it is written to."""

    def __init__(self, like: io.TextIOWrapper, number: int, odd: list[str]) -> None:
        buffer = open(number, "wb", closefd=False)  # noqa: SIM115  a descriptor, as long as the process lives
        super().__init__(buffer, like.encoding, like.errors, line_buffering=True)
        self._odd = odd

    def write(self, text: str, /) -> int:
        if SAID not in self._odd:
            self._odd.append(SAID)
        return super().write(text)


class _Keeping:
    """An iterator that hands over what was printed while each item was made."""

    def __init__(self, iterator: Iterator[Any], output: WorkerOutput, keep: Callable[[int, str], None]) -> None:
        self._iterator, self._output, self._keep, self._n = iterator, output, keep, 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._output.begin()
        try:
            return next(self._iterator)
        finally:
            if said := self._output.printed():
                self._keep(self._n, said)
            self._n += 1


def tail_of_log(path: Path, begin: int) -> str:
    """The end of what was printed to a log from *begin* on; of one that was cut since, the end of what is there."""
    with contextlib.suppress(OSError), path.open("rb") as log:
        end = os.fstat(log.fileno()).st_size
        begin = begin if begin <= end else 0
        log.seek(max(begin, end - 4 * TAIL_CHARACTERS))
        return log.read().decode(errors="replace")[-TAIL_CHARACTERS:]
    return ""


def _nobody_asks(_: int) -> None:
    pass


def remove_empty(folder: Path) -> None:
    """Remove the logs of workers that printed nothing."""
    for path in folder.glob("worker-*.log"):
        with contextlib.suppress(OSError):
            if path.stat().st_size == 0:
                path.unlink()
