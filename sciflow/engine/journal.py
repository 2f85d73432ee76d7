"""Journal: the events of one session, one JSON line each, and the user's own callback."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Self

from sciflow.events import Event, EventName

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TextIO


class Journal:
    """Tells events to a file and to a function.

    Parameters
    ----------
    path : the file, ``events/<session>.jsonl`` of a sweep
    on_event : called with each event
    """

    def __init__(self, path: Path, on_event: Callable[[Event], None] | None = None) -> None:
        self._path, self._on_event = path, on_event
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):  # events are for people; a full disk must not end the sweep here
            self._path.parent.mkdir(exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8", buffering=1)
        return self

    def __exit__(self, *_: object) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def tell(self, name: EventName, **facts: Any) -> None:
        """Report one thing that happened."""
        event = Event(name, time.time(), facts)
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write(json.dumps(event.to_dict()) + "\n")
        if self._on_event is not None:
            self._on_event(event)
