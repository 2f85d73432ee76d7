"""Workflows from Python files: a script runs as ``python FILE`` would run it, up to its first sweep or to its end."""

from __future__ import annotations

import contextlib
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from sciflow.engine.intercept import intercept, overrides
from sciflow.errors import SciflowError, WorkflowError
from sciflow.provenance.local import is_local_file

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from sciflow.engine.engine import Engine
    from sciflow.workflow.workflow import ExperimentalWorkflow

_REQUESTS = frozenset({"retry_failed", "causes", "only", "force", "pilot"})
_DATA_SUFFIXES = frozenset({".yaml", ".yml", ".json", ".toml"})


@dataclass(frozen=True, slots=True)
class Loaded:
    """A workflow out of a script.

    Attributes
    ----------
    engine
        The engine that the script was about to run it with; None when the script asked for no sweep.
    """

    workflow: ExperimentalWorkflow
    engine: Engine | None


@dataclass(frozen=True, slots=True)
class Source:
    """What ``FILE`` or ``FILE:name`` on a command line means."""

    path: Path
    name: str | None

    @classmethod
    def parse(cls, text: str) -> Source:
        """Take the argument of a command apart.

        Raises
        ------
        click.UsageError
            There is no such file, or it is no Python file.
        """
        before, colon, after = text.rpartition(":")
        path, name = (before, after) if colon and after.isidentifier() and not Path(text).exists() else (text, None)
        file = Path(path)
        if not file.is_file():
            what = "is a directory, not a Python file" if file.is_dir() else "does not exist"
            raise click.UsageError(f"{path!r} {what}; give a Python file, as FILE.py or FILE.py:name_of_workflow")
        if file.suffix in _DATA_SUFFIXES:
            raise click.UsageError(f"{path!r}: definitions in {file.suffix} are not read yet; give a Python file")
        return cls(file, name)


class ScriptError(click.ClickException):
    """The user's script raised: where in it, and what; no traceback of ours."""

    def __init__(self, script: Path, error: BaseException) -> None:
        super().__init__(_describe(script, error))


class _Reached(BaseException):
    """The script came to its first sweep."""


def load_workflow(source: Source, only_for: str | None = None) -> Loaded:
    """Run the script up to its first sweep and take that workflow; nothing after it executes.

    A script that asks for no sweep runs to its end; then its one workflow is taken, or the named one. What the
    script prints meanwhile goes to stderr: stdout belongs to the command.

    Parameters
    ----------
    only_for
        The name that the workflow must have.

    Raises
    ------
    ScriptError
        The script raised before it came to a sweep.
    WorkflowError
        It has no workflow, or several and no name was given, or none of that name.
    """
    with loaded_workflow(source, only_for) as loaded:
        return loaded


@contextlib.contextmanager
def loaded_workflow(source: Source, only_for: str | None = None) -> Generator[Loaded]:
    """As `load_workflow`; while the block runs, modules are found where the script finds them."""
    reached: list[Loaded] = []

    def stop(engine: Engine, workflow: ExperimentalWorkflow) -> None:
        reached.append(Loaded(workflow, engine))
        raise _Reached

    with _as_main(source.path) as module, contextlib.redirect_stdout(sys.stderr):
        token = intercept.set(stop)
        try:
            _execute(source.path, module)
        except _Reached:
            pass
        finally:
            intercept.reset(token)
        if only_for is not None:
            yield _called(source, module, only_for, reached[0] if reached else None)
        else:
            yield _choose(source, module, reached[0] if reached else None)


def run_script(source: Source, only_for: str | None = None) -> tuple[list[Loaded], Loaded | None]:
    """Run the whole script.

    Parameters
    ----------
    only_for
        The workflow that alone is to run again what `laid_over` asks for; sweeps of others run what is missing.

    Returns
    -------
    list of Loaded
        The sweeps that it ran.
    Loaded or None
        Without any, its one workflow, which is still to run.
    """
    ran: list[Loaded] = []

    asked = overrides.get()
    plain = {name: value for name, value in asked.items() if name not in _REQUESTS}

    def note(engine: Engine, workflow: ExperimentalWorkflow) -> None:
        ran.append(Loaded(workflow, engine))
        overrides.set(asked if only_for in {None, workflow.name} else plain)

    with _as_main(source.path) as module:
        token = intercept.set(note)
        try:
            _execute(source.path, module)
        finally:
            intercept.reset(token)
    overrides.set(asked)
    return ran, None if ran else _choose(source, module, None)


@contextlib.contextmanager
def laid_over(options: Mapping[str, Any]) -> Generator[None]:
    """Let *options* win over what the engines made in the block are given."""
    token = overrides.set(options)
    try:
        yield
    finally:
        overrides.reset(token)


def describe_error(script: Path, error: SciflowError) -> str:
    """The error's own words, after the line of the script that it comes from when that is known."""
    frames = _users_frames(error)
    return f"{_shorten(frames[-1].filename)}, line {frames[-1].lineno}: {error}" if frames else f"{script}: {error}"


def _choose(source: Source, module: ModuleType, reached: Loaded | None) -> Loaded:
    from sciflow.workflow.workflow import ExperimentalWorkflow  # noqa: PLC0415  `sciflow --help` does without NumPy

    found = {name: one for name, one in vars(module).items() if isinstance(one, ExperimentalWorkflow)}
    names = ", ".join(found) or "none"
    if source.name is not None:
        if source.name in found:
            workflow = found[source.name]
            return Loaded(workflow, reached.engine if reached else None)
        stopped = "; the script is read up to its first sweep" if reached else ""
        raise WorkflowError(f"{source.path} has no workflow {source.name!r}{stopped}; workflows there: {names}")
    if reached is not None:
        return reached
    distinct = list({id(one): one for one in found.values()}.values())
    if len(distinct) == 1:
        return Loaded(distinct[0], None)
    if not distinct:
        raise WorkflowError(
            f"{source.path} has no workflow: it neither runs a sweep nor has an ExperimentalWorkflow at its top level"
        )
    raise WorkflowError(
        f"{source.path} has {len(distinct)} workflows and runs none of them: {names}; "
        f"say which, as {source.path}:{next(iter(found))}"
    )


def _called(source: Source, module: ModuleType, name: str, reached: Loaded | None) -> Loaded:
    """The workflow that is called *name*."""
    from sciflow.workflow.workflow import ExperimentalWorkflow  # noqa: PLC0415  as above

    if reached is not None and reached.workflow.name == name:
        return reached
    for one in vars(module).values():
        if isinstance(one, ExperimentalWorkflow) and one.name == name:
            return Loaded(one, reached.engine if reached else None)
    if reached is not None:
        raise WorkflowError(
            f"{source.path} is read up to its first sweep, which is of {reached.workflow.name!r}, and has not made the "
            f"workflow {name!r} by then; run it to see"
        )
    raise WorkflowError(f"{source.path} does not make the workflow {name!r} any more")


@contextlib.contextmanager
def _as_main(path: Path) -> Generator[ModuleType]:
    """Make the world look to the script as ``python FILE`` would; and put it back."""
    module = ModuleType("__main__")
    module.__file__ = str(path)
    before = sys.modules["__main__"], sys.argv, sys.path[:]
    # functions of __main__ travel to the workers by value
    sys.modules["__main__"] = module
    sys.argv = [str(path)]
    sys.path.insert(0, str(path.absolute().parent))
    try:
        yield module
    finally:
        sys.modules["__main__"], sys.argv, sys.path[:] = before


def _execute(path: Path, module: ModuleType) -> None:
    try:
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102  running the user's script is what was asked for
    except (_Reached, KeyboardInterrupt, click.exceptions.Exit):
        raise
    except SystemExit as stop:
        if stop.code not in {None, 0}:
            raise
    except BaseException as error:
        raise ScriptError(path, error) from error


def _describe(script: Path, error: BaseException) -> str:
    if isinstance(error, SciflowError):
        return describe_error(script, error)
    if isinstance(error, SyntaxError) and error.filename == str(script):
        text = (error.text or "").rstrip("\n")
        caret = " " * ((error.offset or 1) - 1) + "^"
        return f"{script}, line {error.lineno}: {type(error).__name__}: {error.msg}\n    {text}\n    {caret}"
    said = "".join(traceback.format_exception_only(error)).strip()
    frames = _users_frames(error)
    where = [f"  {_shorten(one.filename)}, line {one.lineno}, in {one.name}: {one.line or ''}" for one in frames]
    return "\n".join([f"{script} stopped with {said}", *where])


def _users_frames(error: BaseException) -> list[traceback.FrameSummary]:
    frames = traceback.extract_tb(error.__traceback__)
    return [one for one in frames if not one.filename.startswith("<") and is_local_file(one.filename)]


def _shorten(filename: str) -> str:
    path, here = Path(filename), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else filename
