"""What the kernel says of the memory of this process's control group, in which jobs of many sites run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")


def n_oom_kills(root: Path = _ROOT, groups: Path = Path("/proc/self/cgroup")) -> int:
    """How many processes were killed in this process's control group for lack of memory; 0 where nobody says."""
    try:
        return parse_oom_kills((root / counter_of(groups.read_text("utf-8"))).read_text("utf-8"))
    except (OSError, ValueError):
        return 0


def counter_of(groups: str) -> str:
    """The file that counts kills, from lines of ``/proc/self/cgroup``; source: cgroups(7).

    Version 1 has a hierarchy for memory, version 2 one for all, whose line has no controllers.
    """
    lines = [line.split(":", 2) for line in groups.splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return f"memory{path}/memory.oom_control"
    return next(
        f"{path.lstrip('/')}/memory.events" for _, controllers, path in [*lines, ["", "", ""]] if not controllers
    )


def parse_oom_kills(text: str) -> int:
    """The number in the line ``oom_kill 2``."""
    match = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return 0 if match is None else int(match[1])
