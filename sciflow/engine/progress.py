"""Display: one line of progress with rate, time left and failures; a bar in terminals, plain lines elsewhere."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from sciflow.analysis.live import in_notebook
from sciflow.analysis.words import render_rate
from sciflow.planning.rate import recent_rate
from sciflow.quantities import render_count, render_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from sciflow.planning.rate import Rate

PLAIN_EVERY_S = 10.0
"""Seconds between two lines where there is no terminal (a log file, a batch job)."""

_RECENT_STEPS = 500
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:,}/{total:,}{postfix}"  # it must fit 80 columns, what it counts too


class Display(Protocol):
    """Where progress is shown."""

    def advance(self, n_done: int, n_failed: int) -> None:
        """Count settled variants."""
        ...

    def say(self, text: str) -> None:
        """Write one line that stays."""
        ...

    def close(self, end: str = "") -> None:
        """End the display, once, with a last line if there is something to be said."""
        ...


class Meter:
    """Counts what is settled, and knows how fast that goes.

    Parameters
    ----------
    n_variants : size of the space
    n_before : variants that are not to be run: settled before, or left as they are
    clock : gives seconds
    """

    def __init__(self, n_variants: int, n_before: int, clock: Callable[[], float]) -> None:
        self.n_variants = n_variants
        self.n_settled = self.n_before = n_before
        self.n_failed = 0
        self._clock = clock
        self.started = clock()
        self._steps: deque[tuple[float, float, int]] = deque([(self.started, self.started, 0)], maxlen=_RECENT_STEPS)

    def advance(self, n_done: int, n_failed: int) -> None:
        """Count settled variants."""
        self.n_settled += n_done + n_failed
        self.n_failed += n_failed
        self._steps.append((self._steps[-1][1], self._clock(), n_done + n_failed))

    @property
    def rate(self) -> Rate | None:
        """How fast variants were settled of late; None when it is too early to say."""
        starts, ends, counts = zip(*self._steps, strict=True)
        return recent_rate(starts, ends, counts, self._clock())

    def words(self, *, short: bool = False, over: bool = False) -> str:
        """What is known besides the count: the failures, the rate, and, unless it is over, the time left."""
        words = [f"{self.n_failed:,} failed"] if self.n_failed else []
        recent, n_left = self.rate, self.n_variants - self.n_settled
        if recent is not None and recent.usual > 0:
            rate = render_rate(recent.usual)
            words.append(rate.replace(" variants/", "/") if short else rate)
            if n_left > 0 and not over:
                left = render_seconds(n_left / recent.usual)
                words.append(f"{left} left" if short else f"about {left} left")
        return ", ".join(words)


class Silent:
    """Shows nothing but what must be said."""

    def advance(self, n_done: int, n_failed: int) -> None:
        """Count nothing."""

    def say(self, text: str) -> None:
        """Write one line that stays."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201  the only way to tell the user why nothing runs yet

    def close(self, end: str = "") -> None:
        """Nothing to end."""


class Bar:
    """A tqdm bar, in a terminal or a notebook."""

    def __init__(self, name: str, n_variants: int, n_before: int, clock: Callable[[], float] = time.monotonic) -> None:
        if in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
            from tqdm.notebook import tqdm  # noqa: PLC0415  only where it can be shown
        else:
            from tqdm import tqdm  # noqa: PLC0415  a sweep with nothing to do shows no bar
        self._meter = Meter(n_variants, n_before, clock)
        self._closed = False
        self._bar: Any = tqdm(total=n_variants, initial=n_before, desc=name, dynamic_ncols=True, bar_format=_BAR)

    def advance(self, n_done: int, n_failed: int) -> None:
        """Move the bar."""
        self._meter.advance(n_done, n_failed)
        self._bar.set_postfix_str(self._meter.words(short=True), refresh=False)
        self._bar.update(n_done + n_failed)

    def say(self, text: str) -> None:
        """Write one line above the bar."""
        self._bar.write(text, file=sys.stderr)

    def close(self, end: str = "") -> None:
        """Leave the bar as it stands, and the last line below it."""
        if self._closed:
            return
        self._closed = True
        self._bar.set_postfix_str(self._meter.words(short=True, over=True))
        self._bar.close()
        if end:
            self.say(end)


class Lines:
    """A plain line every few seconds, for log files."""

    def __init__(
        self, name: str, n_variants: int, n_before: int, stream: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._stream, self._clock = name, stream, clock
        self._meter = Meter(n_variants, n_before, clock)
        self._last = clock()
        self._closed = False

    def advance(self, n_done: int, n_failed: int) -> None:
        """Count, and write a line when it is time."""
        self._meter.advance(n_done, n_failed)
        if self._clock() - self._last >= PLAIN_EVERY_S:
            self._last = self._clock()
            self.say(self._line())

    def _line(self, *, over: bool = False) -> str:
        meter = self._meter
        counted = f"{self._name}: {meter.n_settled:,} of {render_count(meter.n_variants, 'variant')}"
        known = meter.words(over=over)
        return f"{counted}, {known}" if known else counted

    def say(self, text: str) -> None:
        """Write one line."""
        print(text, file=self._stream, flush=True)

    def close(self, end: str = "") -> None:
        """Write the last line."""
        if self._closed:
            return
        self._closed = True
        if end or self._meter.n_settled > self._meter.n_before:
            self.say(end or self._line(over=True))


def open_display(name: str, n_variants: int, n_before: int, *, wanted: bool) -> Display:
    """Choose the display for where we are."""
    if not wanted:
        return Silent()
    if in_notebook() or sys.stderr.isatty():
        return Bar(name, n_variants, n_before)
    return Lines(name, n_variants, n_before, sys.stderr)


def end_line(name: str, n_done: int, n_failed: int, took_s: float, utilisation: float | None) -> str:
    """What a driver says last: what it ran, how long that took, and how busy its workers were."""
    n = n_done + n_failed
    failed = f" ({n_failed:,} failed)" if n_failed else ""
    rate = f", {render_rate(n / took_s)}" if took_s > 0 and n else ""
    busy = "" if utilisation is None else f"; workers were busy {utilisation:.0%} of the time"
    return f"{name}: {render_count(n, 'variant')}{failed} in {render_seconds(took_s)}{rate}{busy}"
