"""Whether this machine ends a user's processes at logout, as systemd-logind can be told to."""

from __future__ import annotations

import getpass
import os
import re
from pathlib import Path

_SETTING = re.compile(r"^[ \t]*KillUserProcesses[ \t]*=[ \t]*(\S+)", re.MULTILINE)
_FOLDERS = ("usr/lib/systemd", "run/systemd", "etc/systemd")  # the last word counts: logind.conf(5)


def ended_at_logout(root: Path = Path("/"), user: str | None = None) -> bool:
    """Whether a daemon of *user* (this one by default) would be ended when the last session of the user ends."""
    user = user or getpass.getuser()
    if user == "root" or (root / "var/lib/systemd/linger" / user).exists():
        return False
    said = [word for path in _files(root) for word in _SETTING.findall(_text(path))]
    return bool(said) and said[-1].lower() in {"yes", "true", "on", "1"}


def _files(root: Path) -> list[Path]:
    whole = [root / folder / "logind.conf" for folder in _FOLDERS]
    parts = [path for folder in _FOLDERS for path in (root / folder / "logind.conf.d").glob("*.conf")]
    return [*whole, *sorted(parts, key=lambda path: path.name)]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace") if os.access(path, os.R_OK) else ""
    except OSError:
        return ""
