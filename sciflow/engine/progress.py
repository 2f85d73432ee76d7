"""Display: one line of progress with rate and time left; a bar in terminals and notebooks, plain lines elsewhere."""

from __future__ import annotations

import importlib.util
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from sciflow.quantities import render_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

PLAIN_EVERY_S = 10.0
"""Seconds between two lines where there is no terminal (a log file, a batch job)."""


class Display(Protocol):
    """Where progress is shown."""

    def advance(self, n_done: int, n_failed: int) -> None:
        """Count settled variants."""
        ...

    def say(self, text: str) -> None:
        """Write one line that stays."""
        ...

    def close(self) -> None:
        """End the display."""
        ...


class Silent:
    """Shows nothing but what must be said."""

    def advance(self, n_done: int, n_failed: int) -> None:
        """Count nothing."""

    def say(self, text: str) -> None:
        """Write one line that stays."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201  the only way to tell the user why nothing runs yet

    def close(self) -> None:
        """Nothing to end."""


class Bar:
    """A tqdm bar, in a terminal or a notebook."""

    def __init__(self, name: str, n_variants: int, n_before: int) -> None:
        if _in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
            from tqdm.notebook import tqdm  # noqa: PLC0415  only where it can be shown
        else:
            from tqdm import tqdm  # noqa: PLC0415  a sweep with nothing to do shows no bar
        self._n_failed = 0
        self._bar: Any = tqdm(
            total=n_variants, initial=n_before, desc=name, unit=" variants", dynamic_ncols=True, smoothing=0.1
        )

    def advance(self, n_done: int, n_failed: int) -> None:
        """Move the bar."""
        if n_failed:
            self._n_failed += n_failed
            self._bar.set_postfix_str(f"{self._n_failed:,} failed", refresh=False)
        self._bar.update(n_done + n_failed)

    def say(self, text: str) -> None:
        """Write one line above the bar."""
        self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


class Lines:
    """A plain line every few seconds, for log files."""

    def __init__(
        self, name: str, n_variants: int, n_before: int, stream: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._total, self._stream, self._clock = name, n_variants, stream, clock
        self._settled = self._before = n_before
        self._n_failed = 0
        self._started = self._last = clock()

    def advance(self, n_done: int, n_failed: int) -> None:
        """Count, and write a line when it is time."""
        self._settled += n_done + n_failed
        self._n_failed += n_failed
        if self._clock() - self._last >= PLAIN_EVERY_S:
            self._last = self._clock()
            self.say(self._line())

    def _line(self) -> str:
        elapsed = max(self._clock() - self._started, 1e-9)
        rate = (self._settled - self._before) / elapsed
        failed = f", {self._n_failed:,} failed" if self._n_failed else ""
        n_left = self._total - self._settled
        left = f", about {render_seconds(n_left / rate)} left" if rate and n_left else ""
        return f"{self._name}: {self._settled:,} of {self._total:,} variants{failed}, {rate:.3g} variants/s{left}"

    def say(self, text: str) -> None:
        """Write one line."""
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Write the last line."""
        if self._settled > self._before:
            self.say(self._line())


def open_display(name: str, n_variants: int, n_before: int, *, wanted: bool) -> Display:
    """Choose the display for where we are."""
    if not wanted:
        return Silent()
    if _in_notebook() or sys.stderr.isatty():
        return Bar(name, n_variants, n_before)
    return Lines(name, n_variants, n_before, sys.stderr)


def _in_notebook() -> bool:
    kernel = sys.modules.get("ipykernel")
    return kernel is not None and "IPython" in sys.modules
