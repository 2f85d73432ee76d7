"""A driver's session as others see it, and how they ask its driver to stop; nothing here takes a lock."""

from __future__ import annotations

import contextlib
import getpass
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from sciflow.store.atomic import publish
from sciflow.store.lease import HEARTBEAT_SUFFIX, newest_session
from sciflow.store.process import ProcessName
from sciflow.store.snapshot import END_SUFFIX, SESSION_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sciflow.store.directory import SweepDirectory

CANCEL_SUFFIX: Final = ".cancel"

Life = Literal["alive", "silent", "died", "ended"]
"""``silent``: no sign of life for longer than the driver promised; it may be gone, or cut off."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What the files of a session say.

    Attributes
    ----------
    life
        As far as it can be told from here.
    facts
        What the driver wrote when it began and, if it ended well, when it ended (``ended`` is there then).
    """

    number: int
    life: Life
    facts: Mapping[str, Any]


class SessionWatch:
    """Looks at the newest session again and again, and reads what cannot change once."""

    def __init__(self, directory: SweepDirectory) -> None:
        self._files = directory.session_files
        self._facts: dict[str, Any] = {}
        self._number = 0
        self._beat: tuple[int, float] | None = None  # the last heartbeat, and when it was seen first, by our clock

    def look(self) -> SessionFacts | None:
        """The newest session; None when nobody has driven the sweep."""
        newest = newest_session(self._files)
        if newest == 0:
            return None
        if newest != self._number:
            self._number, self._beat = newest, None
            self._facts = _read(self._file(SESSION_SUFFIX)) or {}
        end = _read(self._file(END_SUFFIX))
        if end is not None:
            return SessionFacts(newest, "ended", {**self._facts, **end})
        return SessionFacts(newest, self._life(), self._facts)

    def _life(self) -> Life:
        if "boot" in self._facts and ProcessName.from_dict(self._facts).is_certainly_dead():
            return "died"
        lease_s = self._facts.get("lease_s", 10.0)
        try:
            changed_ns = self._file(HEARTBEAT_SUFFIX).stat().st_mtime_ns
        except OSError:
            return "alive"  # it is just beginning
        now = time.monotonic()
        if self._beat is None:
            # clocks of hosts may differ: what the first look says is a guess, later ones see the heart beat or not
            self._beat = changed_ns, now - max(0.0, time.time() - changed_ns / 1e9)
        elif changed_ns != self._beat[0]:
            self._beat = changed_ns, now
        return "silent" if now - self._beat[1] > lease_s else "alive"

    def _file(self, suffix: str) -> Path:
        return self._files / f"{self._number:06d}{suffix}"


# -------------------------------------------------------------------------------------------------------- cancel


def request_cancel(directory: SweepDirectory, session: int) -> bool:
    """Ask the driver of *session* to stop taking new work; False if somebody has asked already.

    Raises
    ------
    StoreWriteError
        The request cannot be written.
    """
    who: dict[str, Any] = {**ProcessName.of_this_process().to_dict(), "time": time.time()}
    with contextlib.suppress(OSError, KeyError):  # a user without a name
        who["user"] = getpass.getuser()
    return publish(_cancel_file(directory, session), json.dumps(who, indent=1).encode())


def cancel_requested(directory: SweepDirectory, session: int) -> bool:
    """Whether somebody asked the driver of *session* to stop; cheap enough to ask every second."""
    return _cancel_file(directory, session).exists()


def _cancel_file(directory: SweepDirectory, session: int) -> Path:
    return directory.session_files / f"{session:06d}{CANCEL_SUFFIX}"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return cast("dict[str, Any]", json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None
