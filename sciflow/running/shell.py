"""A program as a task: ``sciflow.shell("./solver --lr {learning_rate} --out {output}")``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sciflow.errors import WorkflowError
from sciflow.running.command import SH, Command, Reader
from sciflow.running.quoting import check_quotable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# variables that are set for it, then the first word, up to a blank or an operator
_FIRST_WORD: Final = re.compile(r"\s*(?:\w+=[\w./:,+@%-]*\s+)*([\w./+@%:][\w./+@%:-]*)(?=[\s;&|<>]|$)")


def shell(
    command: str | Sequence[str | os.PathLike[str]],
    *,
    reader: Reader | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    ok: int | Iterable[int] = (0,),
) -> Command:
    """A task that runs a program: pass what this returns to ``add_task`` in place of a function.

    Names in braces are its arguments, bound like those of a function: parameters, dependencies and their outputs.
    ``{output}`` is a new path to write the result to, ``{directory}`` an empty scratch folder; ``{output:.npy}`` is a
    path that ends in ``.npy``. A format may follow a name, as in ``{learning_rate:.3e}``; braces that are meant as
    such are doubled. Variants that agree on the named parameters share one run.

    Parameters
    ----------
    command : str or sequence of str
        A text is run by ``/bin/sh``; each value is quoted, so that it is one word whatever it holds. A list is a
        program and its arguments, which no shell ever sees.
    reader : callable, optional
        Makes the result: is given the path of ``{output}`` if that is used, else what was printed on standard output,
        as text. Without one, either is read as JSON; of what was printed the last line will do. A mapping is a set of
        named outputs, as with functions.
    cwd : path, optional
        Where it runs; the folder in which Python is now unless given. ``"{directory}"`` is the scratch folder.
    env : mapping, optional
        Environment variables to set besides those of the worker.
    stdin : str, optional
        What it reads from standard input.
    ok : int or iterable of int
        Exit statuses that mean success.

    Raises
    ------
    WorkflowError
        For braces that are not understood, a name within quotes, or a program that is not there.

    Notes
    -----
    What it prints goes to the log of the variant (of one command the first 256 KiB and the end). Any other exit status
    is a failure with cause ``exit`` that tells the command line and its last words. The command is a process group of
    its own, which is ended with its run: also when the worker is killed, and also what it left running in the
    background. A change of the command's text or options makes earlier results stale; a change of the program itself
    does if the program is declared as an input.

    Examples
    --------
    >>> total = shell("expr {x} + {y}")
    >>> total(x=3, y=4)
    7
    >>> shell(["printf", '{{"name": "%s"}}', "{name}"])(name="it's")
    {'name': "it's"}
    >>> shell("seq {n} > {output}", reader=lambda path: len(path.read_text().split()))(n=5)
    5
    """
    made = Command(
        command=command if isinstance(command, str) else tuple(_word(command, word) for word in command),
        reader=reader,
        cwd=None if cwd is None else os.fspath(cwd),
        env=tuple(_variables(env or {})),
        stdin=stdin,
        ok=(ok,) if isinstance(ok, int) else tuple(ok),
        base=Path.cwd(),
    )
    _check_text(made)
    _check_program(made)
    return made


def _check_text(command: Command) -> None:
    if not command.command or not command.words[0].parts:
        raise WorkflowError("shell() needs a command, such as './solver --lr {learning_rate} --out {output}'")
    if "context" in command.__signature__.parameters:
        raise WorkflowError(f"{command!r} has {{context}}, which is no text; name what the command is to get")
    if "/" in (command.suffix or ""):
        raise WorkflowError(f"{command!r} has {{output:{command.suffix}}}; after ':' stands a suffix such as '.npy'")
    if isinstance(command.command, str):
        check_quotable(command.words[0])


def _check_program(command: Command) -> None:
    """Find a program that is missing now, rather than in the first variant."""
    program = _program(command)
    if program is None or (command.folder is not None and command.folder.fields):
        return
    folder = command.base / (command.cwd or "")
    if not folder.is_dir():
        raise WorkflowError(f"{command!r} is to run in {folder}, which is no folder")
    if "/" not in program:
        by_shell = isinstance(command.command, str) and _is_known_to_shell(program)
        if not by_shell and shutil.which(program, path=dict(command.env).get("PATH")) is None:
            raise WorkflowError(f"{command!r}: there is no program {program!r} on the PATH; give its path")
    elif not (folder / program).is_file():
        raise WorkflowError(f"{command!r}: there is no program {program!r} in {folder}; build it, or give its path")
    elif not os.access(folder / program, os.X_OK):
        raise WorkflowError(f"{command!r}: {program!r} in {folder} cannot be executed; try: chmod +x {program}")


def _program(command: Command) -> str | None:
    """The program, where it stands there without braces and without syntax of the shell."""
    parts = command.words[0].parts
    if not isinstance(parts[0], str):
        return None
    if not isinstance(command.command, str):
        return parts[0] if len(parts) == 1 else None
    found = _FIRST_WORD.match(parts[0] if len(parts) == 1 else f"{parts[0]}\0")  # a value may follow without a blank
    return found[1] if found else None


def _word(command: object, word: str | os.PathLike[str]) -> str:
    if not isinstance(word, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass numbers
        raise WorkflowError(f"the command {command!r} lists a program and its arguments as texts, not {word!r}")
    return os.fspath(word)


def _variables(env: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for name, value in sorted(env.items()):
        if not isinstance(value, str) or not name or "=" in name:  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise WorkflowError(f"env maps names of environment variables to texts, not {name!r} to {value!r}")
        yield name, value


def _is_known_to_shell(word: str) -> bool:
    """Whether the shell has this word itself, such as ``cd`` or ``for``."""
    return subprocess.run([SH, "-c", 'command -v "$1"', SH, word], check=False, capture_output=True).returncode == 0  # noqa: S603  a plain word
