"""Sweeps as the command line names them: a directory, a name under ``sweeps/``, or the script that makes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from sciflow.cli.load import Loaded, Source

DEFAULT_DIRECTORY = "sweeps"
"""Where an engine keeps sweeps unless told otherwise."""

_MARKER = "sweep.json"


def is_script(text: str) -> bool:
    """Whether *text* is a file, or ``FILE:name``."""
    return Path(text.rpartition(":")[0] or text).is_file() or Path(text).is_file()


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

    if is_script(text):
        with laid_over({} if directory is None else {"directory": directory}):
            path = sweep_of(load_workflow(Source.parse(text)))
        if not (path / _MARKER).is_file():
            raise ResultsError(f"the sweep of {text} has not been run ({path} is not there); run: sciflow run {text}")
        return path
    script = Path(f"{text}.py")
    if script.is_file():
        raise click.UsageError(f"there is no sweep {text!r} yet, but the script {script}; run: sciflow run {script}")
    there = sorted(path.parent.name for path in home.glob(f"*/{_MARKER}"))
    raise click.UsageError(
        f"{text!r} is no sweep and no script; sweeps in {home}: {', '.join(there) or 'none'}"
        + ("" if directory else " (--directory looks elsewhere)")
    )


def script_of(text: str, directory: str | None = None) -> tuple[Source, str | None, str | None]:
    """The script behind *text*, which is a script or a sweep.

    Returns
    -------
    Source
        The script.
    str or None
        For a sweep: the directory it is kept in.
    str or None
        For a sweep: the name of its workflow; the script may have others.

    Raises
    ------
    click.UsageError
        There is neither, or the script of the sweep is not where it was.
    """
    from sciflow.cli.load import Source  # noqa: PLC0415  `sciflow --help` does without it

    if is_script(text):
        return Source.parse(text), None, None
    path = find_sweep(text, directory)
    from sciflow.store.directory import SweepDirectory  # noqa: PLC0415  brings NumPy

    sweep = SweepDirectory.open(path)
    told = [session["argv"][0] for session in reversed(sweep.sessions()) if session.get("argv")]
    for name in dict.fromkeys(told):
        # a relative name is relative to where the sweeps folder is, unless the script was run from elsewhere
        for file in (Path(name), sweep.path.parent.parent / name):
            if file.suffix == ".py" and file.is_file():
                return Source(file, None), str(sweep.path.parent), sweep.workflow
    known = f" (it was run by {told[0]})" if told else ""
    raise click.UsageError(
        f"the script that makes {text!r} is not found from here{known}; give the script in place of the sweep"
    )


def sweep_of(loaded: Loaded) -> Path:
    """Where the sweep of a loaded workflow is, or would be."""
    if loaded.engine is None:
        from sciflow.engine.engine import Engine  # noqa: PLC0415  `sciflow --help` does without NumPy

        return Path(Engine().directory) / loaded.workflow.name
    return Path(loaded.engine.directory) / loaded.workflow.name
