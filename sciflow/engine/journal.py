"""Journal: the events of one session, as JSON lines and for the user's own callback."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, Self

from sciflow.engine.thinning import Thinning
from sciflow.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import TextIO

    from sciflow.events import EventName


class Journal:
    """Tells events to a file and to a function.

    Parameters
    ----------
    path : the file, ``events/<session>.jsonl`` of a sweep; what comes thick is put together there
    on_event : called with each event
    """

    def __init__(self, path: Path, on_event: Callable[[Event], None] | None = None) -> None:
        self._path, self._on_event = path, on_event
        self._file: TextIO | None = None
        self._thinning = Thinning(time.time())
        self._complained = False

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):  # events are for people; a full disk must not end the sweep here
            self._path.parent.mkdir(exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8", buffering=1)
        return self

    def __exit__(self, *_: object) -> None:
        self._write(self._thinning.rest())
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def tell(self, name: EventName, **facts: Any) -> None:
        """Report one thing that happened."""
        event = Event(name, time.time(), facts)
        self._write(self._thinning.add(event))
        if self._on_event is not None:
            self._call(self._on_event, event)

    def tick(self) -> None:
        """Write what was held back, when it is time; call it now and then."""
        self._write(self._thinning.due(time.time()))

    def _call(self, on_event: Callable[[Event], None], event: Event) -> None:
        """A mistake in the user's function is told once, and is no reason to end a sweep."""
        try:
            on_event(event)
        except Exception as error:  # noqa: BLE001  whatever the user's function raises
            if not self._complained:
                self._complained = True
                said = "".join(traceback.format_exception(error)).rstrip()
                print(f"sciflow: on_event raised at {event.name}; the sweep goes on\n{said}", file=sys.stderr)  # noqa: T201  must be seen

    def _write(self, events: Iterable[Event]) -> None:
        for event in events:
            if self._file is not None:
                with contextlib.suppress(OSError):
                    self._file.write(json.dumps(event.to_dict(), default=str) + "\n")
