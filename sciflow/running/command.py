"""Command: a program with names in braces, run with the values of a variant."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from sciflow.errors import CommandError, OutputError, WorkflowError
from sciflow.running.process import Finished, run_process
from sciflow.running.template import Field, Template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.running.context import TaskContext
    from sciflow.running.log import RunLog

Reader: TypeAlias = "Callable[[Any], object]"

SH: Final = "/bin/sh"
OUTPUT: Final = "output"
DIRECTORY: Final = "directory"
STDOUT_BYTES: Final = 64 << 20
"""How much standard output is read as a result; more goes through ``{output}``."""

_SHOWN: Final = 500  # characters of a command line in a message
_LAST_WORDS: Final = 1000


@dataclass(frozen=True)
class Command:
    """A program to run with the values of a variant; made by `sciflow.shell`, and called like a function.

    Parameters
    ----------
    command : text for the shell, or the program and its arguments
    reader : makes the result of the output
    cwd : where it runs, from *base*
    env : environment variables to set
    stdin : what it reads
    ok : exit statuses that mean success
    base : the folder in which it was defined; it holds for all workers, and is no part of the identity
    """

    command: str | tuple[str, ...]
    reader: Reader | None
    cwd: str | None
    env: tuple[tuple[str, str], ...]
    stdin: str | None
    ok: tuple[int, ...]
    base: Path

    gets_context: ClassVar = True
    """Tells who calls it as a task to pass ``context``, which is none of its arguments: see `__call__`."""

    def __repr__(self) -> str:
        shown = self.command if isinstance(self.command, str) else list(self.command)
        return f"sciflow.shell({shown!r})"

    def __getattr__(self, name: str) -> str:
        if name in {"__name__", "__qualname__"}:  # what it is called where functions have names
            return repr(self)
        raise AttributeError(f"a command has no attribute {name!r}")

    def __sciflow_fingerprint__(self) -> Mapping[str, object]:
        """What makes it another command; the folder it was defined in does not."""
        return {
            "kind": "command",
            "command": self.command,
            "reader": self.reader,
            "cwd": self.cwd,
            "env": self.env,
            "stdin": self.stdin,
            "ok": self.ok,
        }

    # ------------------------------------------------------------------------------------ definition

    @cached_property
    def words(self) -> tuple[Template, ...]:
        """The command; one template where it is a text for the shell."""
        return tuple(map(Template.parse, (self.command,) if isinstance(self.command, str) else self.command))

    @cached_property
    def folder(self) -> Template | None:
        """Where it runs, from *base*."""
        return None if self.cwd is None else Template.parse(self.cwd)

    @cached_property
    def _variables(self) -> dict[str, Template]:
        return {name: Template.parse(text) for name, text in self.env}

    @cached_property
    def _input(self) -> Template | None:
        return None if self.stdin is None else Template.parse(self.stdin)

    @cached_property
    def _fields(self) -> tuple[Field, ...]:
        optional = [one for one in (self.folder, self._input) if one is not None]
        templates = [*self.words, *optional, *self._variables.values()]
        return tuple(field for template in templates for field in template.fields)

    @cached_property
    def suffix(self) -> str | None:
        """The suffix of ``{output}``; None where nothing is written there."""
        suffixes = {field.spec for field in self._fields if field.name == OUTPUT}
        if len(suffixes) > 1:
            raise WorkflowError(f"{self!r} has {{output}} with the suffixes {sorted(suffixes)}; there is one output")
        return suffixes.pop() if suffixes else None

    @cached_property
    def _needs_scratch(self) -> bool:
        return self._input is not None or any(field.name in {OUTPUT, DIRECTORY} for field in self._fields)

    @cached_property
    def __signature__(self) -> inspect.Signature:
        names = dict.fromkeys(field.name for field in self._fields if field.name not in {OUTPUT, DIRECTORY})
        return inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names])

    # --------------------------------------------------------------------------------------- running

    def __call__(self, *, context: TaskContext | None = None, **values: object) -> object:
        """Run it with these values and return its result.

        Parameters
        ----------
        context : TaskContext, optional
            The run that it is part of, for its scratch folder and its log. It is no argument of the task: a command is
            shared by the variants that agree on the names in braces.
        **values : object
            A value for each name in braces.

        Raises
        ------
        CommandError
            It cannot be started, or ends with an exit status that is not ok.
        OutputError
            It wrote no output, or one that is no JSON.
        """
        self.__signature__.bind(**values)
        with ExitStack() as stack:
            scratch: Path | None = None
            if self._needs_scratch and context is not None:
                scratch = context.directory
            elif self._needs_scratch:
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sciflow-command-")))
            return self._run(values, scratch, None if context is None else context.run_log)

    def _run(self, values: Mapping[str, object], scratch: Path | None, log: RunLog | None) -> object:
        output = None
        if scratch is not None:
            output = None if self.suffix is None else scratch / f"output{self.suffix}"
            values = {**values, DIRECTORY: scratch, OUTPUT: output}
        call = self._call(values, scratch)
        if log is not None:
            log.line(f"$ {call.shown}")
        begun = time.perf_counter()
        try:
            finished = run_process(
                call.arguments,
                cwd=call.cwd,
                environment=call.environment,
                stdin=call.stdin,
                log=log,
                keep_bytes=STDOUT_BYTES if output is None else 0,
            )
        except OSError as error:
            raise CommandError(f"cannot be started: {error.strerror}", None, call.details(log, str(error))) from error
        if log is not None:
            log.line(f"{_ending(finished.status)} after {time.perf_counter() - begun:.3g} s")
        if finished.status not in self.ok:
            raise CommandError(_ending(finished.status), finished.status, call.details(log, finished.last_words))
        return self._read_file(output, call, log) if output is not None else self._read_stdout(finished, call, log)

    def _call(self, values: Mapping[str, object], scratch: Path | None) -> _Call:
        words = [_without_spec(word) for word in self.words]
        if isinstance(self.command, str):
            shown = words[0].fill(values, shlex.quote)
            arguments = [SH, "-c", shown]
        else:
            arguments = [word.fill(values) for word in words]
            shown = shlex.join(arguments)
        stdin = None
        if self._input is not None and scratch is not None:
            stdin = scratch / ".stdin"
            stdin.write_text(_without_spec(self._input).fill(values), "utf-8")
        variables = {name: _without_spec(text).fill(values) for name, text in self._variables.items()}
        folder = "" if self.folder is None else _without_spec(self.folder).fill(values)
        return _Call(shown, arguments, self.base / folder, {**os.environ, **variables}, stdin)

    def _read_file(self, output: Path, call: _Call, log: RunLog | None) -> object:
        if not output.exists():
            raise OutputError(f"the command did not write its {{output}}\n{call.details(log)}")
        return self.reader(output) if self.reader else _parse_json(output.read_bytes(), "wrote", call, log)

    def _read_stdout(self, finished: Finished, call: _Call, log: RunLog | None) -> object:
        if not finished.is_whole:
            raise OutputError(
                f"the command printed more than {STDOUT_BYTES >> 20} MiB; let it write to {{output}}\n"
                f"{call.details(log)}"
            )
        if self.reader is not None:
            return self.reader(finished.stdout.decode(errors="replace"))
        return _parse_json(finished.stdout, "printed", call, log)


@dataclass(frozen=True, slots=True)
class _Call:
    """A command with everything filled in."""

    shown: str
    arguments: list[str]
    cwd: Path
    environment: dict[str, str]
    stdin: Path | None

    def details(self, log: RunLog | None, last_words: str = "") -> str:
        """What a message says besides the reason."""
        lines = [f"command: {_shortened(self.shown)}", f"in: {self.cwd}"]
        if log is not None and log.path is not None:
            lines.append(f"log: {log.path}")
        if last_words:
            lines.append(f"its last words:\n{last_words[-_LAST_WORDS:]}")
        return "\n".join(lines)


def _without_spec(template: Template) -> Template:
    """The same, with the suffix of ``{output:.npy}`` taken off: the path that is filled in has it."""
    return Template(
        tuple(Field(OUTPUT) if isinstance(part, Field) and part.name == OUTPUT else part for part in template.parts)
    )


def _ending(status: int) -> str:
    """What an exit status means, in words; shells add 128 to the number of a signal."""
    number = -status if status < 0 else status - 128
    known = {one.value: one.name for one in signal.Signals}
    hint = " (perhaps for lack of memory)" if number == signal.SIGKILL else ""
    if status < 0:
        return f"killed by {known.get(number, f'signal {number}')}{hint}"
    if number in known:
        return f"exit status {status}: killed by {known[number]}{hint}, as shells say it"
    meanings = {126: ": it cannot be executed", 127: ": program not found"}
    return f"exit status {status}{meanings.get(status, '')}"


def _parse_json(data: bytes, did: str, call: _Call, log: RunLog | None) -> object:
    """All of the text as JSON, or its last line when other words stand before; nothing at all is None."""
    text = data.decode(errors="replace").strip()
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        try:
            return json.loads(text.splitlines()[-1])
        except ValueError:
            raise OutputError(
                f"what the command {did} is no JSON ({error}); let it write a JSON object, or give shell() a reader\n"
                f"{call.details(log)}\nit {did}: {_shortened(text)}"
            ) from None


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
