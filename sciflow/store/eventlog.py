"""The event log of a session, read while it is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sciflow.events import Event

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = "events"
SUFFIX: Final = ".jsonl"


class EventLog:
    """Follows the log of one session; lines that make no sense, and unknown names, harm nobody.

    Parameters
    ----------
    sweep : the sweep directory
    session : number of the driver's session
    """

    def __init__(self, sweep: Path, session: int) -> None:
        self.path = sweep / FOLDER / f"{session:06d}{SUFFIX}"
        self._offset = 0

    def read(self) -> list[Event]:
        """The events that were written since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:  # there is none yet, or the file system is away for a moment
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [event for line in whole.splitlines() if (event := _parse(line)) is not None]


def _parse(line: bytes) -> Event | None:
    try:
        return Event.from_dict(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
