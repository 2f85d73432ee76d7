"""Sweeps as the command line names them: a directory, a name under ``sweeps/``, or the script that makes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from sciflow.cli.load import Loaded

DEFAULT_DIRECTORY = "sweeps"
"""Where an engine keeps sweeps unless told otherwise."""

_MARKER = "sweep.json"


def find_sweep(text: str, directory: str | None = None) -> Path:
    """The sweep directory that *text* means.

    Raises
    ------
    click.UsageError
        There is none; the sweeps that are there are listed.
    ResultsError
        *text* is a script whose sweep has not been run.
    """
    home = Path(directory or DEFAULT_DIRECTORY)
    for path in (Path(text), home / text):
        if (path / _MARKER).is_file():
            return path
    from sciflow.cli.load import Source, laid_over, load_workflow  # noqa: PLC0415  needed for scripts only

    if Path(text.rpartition(":")[0] or text).is_file() or Path(text).is_file():
        with laid_over({} if directory is None else {"directory": directory}):
            path = sweep_of(load_workflow(Source.parse(text)))
        if not (path / _MARKER).is_file():
            raise ResultsError(f"the sweep of {text} has not been run ({path} is not there); run: sciflow run {text}")
        return path
    there = sorted(path.parent.name for path in home.glob(f"*/{_MARKER}"))
    raise click.UsageError(
        f"{text!r} is no sweep and no script; sweeps in {home}: {', '.join(there) or 'none'}"
        + ("" if directory else " (--directory looks elsewhere)")
    )


def sweep_of(loaded: Loaded) -> Path:
    """Where the sweep of a loaded workflow is, or would be."""
    if loaded.engine is None:
        from sciflow.engine.engine import Engine  # noqa: PLC0415  `sciflow --help` does without NumPy

        return Path(Engine().directory) / loaded.workflow.name
    return Path(loaded.engine.directory) / loaded.workflow.name
