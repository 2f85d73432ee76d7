"""How to start another Python that can import this very package."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def command(module: str, *arguments: str) -> list[str]:
    """Command line that runs a module of ours."""
    # -P: a file in the current folder must not stand in for a module of the library
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables under which the child finds this package, wherever it was imported from."""
    return {**os.environ, "PYTHONPATH": python_path(sys.executable), **(extra or {})}


def path_export(python_path: str) -> list[str]:
    """Lines of a shell that add folders to ``PYTHONPATH``, behind what a site's own lines have put there."""
    return [f'export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}"{shlex.quote(python_path)}'] if python_path else []


def python_path(executable: str) -> str:
    """``PYTHONPATH`` for an interpreter: ours finds this package, wherever it was imported from.

    Another one has packages of its own, and could not load what was compiled for ours.
    """
    root = str(Path(__file__).parent.parent) if executable == sys.executable else ""
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
