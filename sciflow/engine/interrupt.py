"""Ctrl-C in a script: the driver has said what is kept and how to go on, and a traceback below would hide it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType


@contextlib.contextmanager
def quiet_interrupt() -> Generator[None]:
    """Let a KeyboardInterrupt out of the block end a script without a traceback.

    Who catches it sees no difference, a shell sees that the script was interrupted, and notebooks and interactive
    sessions show it as ever.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if not hasattr(sys, "ps1"):
            _hush(stop)
        raise


def _hush(stop: KeyboardInterrupt) -> None:
    before = sys.excepthook

    def hook(kind: type[BaseException], value: BaseException, stack: TracebackType | None) -> None:
        if value is not stop:
            before(kind, value, stack)

    sys.excepthook = hook
