"""The collector of cycles, paused where very many small objects are made that are in none."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextlib.contextmanager
def collector_paused() -> Generator[None]:
    """Search for no cycles meanwhile: it would look at all objects again and again, which doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
