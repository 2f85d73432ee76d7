"""A running sweep shown where one sits: a view that changes in a notebook, lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from sciflow.analysis.follow import Follower
from sciflow.analysis.words import status_html, status_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sciflow.analysis.status import Status

LINES_EVERY_S: Final = 10.0
"""Seconds between two lines where nothing can be drawn over."""

_SHARE: Final = 20  # looking may take this fraction of the time


def looks(look: Callable[[], Status], every_s: float) -> Iterator[Status]:
    """Look at a sweep now and then until nobody drives it; the end is seen within a second."""
    shown_at = -float("inf")
    while True:
        begun = time.monotonic()
        seen = look()
        if begun - shown_at >= every_s or not seen.is_driven:
            shown_at = begun
            yield seen
        if not seen.is_driven:
            return
        took = time.monotonic() - begun
        time.sleep(max(min(every_s, 1.0), _SHARE * took))


def watch_sweep(path: Path, every_s: float | None = None) -> None:
    """Show the sweep until nobody drives it; an interrupt ends the view and leaves the sweep alone."""
    is_notebook = in_notebook()
    show = _view() if is_notebook else print_line
    try:
        for status in looks(Follower(path).look, every_s or (1.0 if is_notebook else LINES_EVERY_S)):
            show(status)
    except KeyboardInterrupt:
        print("no longer watching; the sweep is left alone", file=sys.stderr)  # noqa: T201  the user asked for it


def print_line(status: Status) -> None:
    """Say in one line how the sweep is."""
    print(status_line(status), flush=True)  # noqa: T201  what a view is where there are lines alone


def _view() -> Callable[[Status], None]:
    """What shows a status in the output of a notebook's cell, in place of the one before."""
    from IPython.display import HTML, display  # noqa: PLC0415  only in notebooks  # pyright: ignore[reportUnknownVariableType]

    shown: list[Any] = []

    def show(status: Status) -> None:
        html = HTML(status_html(status))
        if shown:
            shown[0].update(html)
        else:
            shown.append(display(html, display_id=True))

    return show


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "ipykernel" in type(shell).__module__
