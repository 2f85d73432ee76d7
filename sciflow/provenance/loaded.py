"""Whether a module in memory is what its file says today: a file may have been edited since it was imported."""

from __future__ import annotations

import ast
import itertools
import os
import sys
from collections import Counter
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

import psutil

from sciflow.provenance.rewriting import is_rewritten, may_come_from
from sciflow.provenance.syntax import parse_source

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARGIN_S: Final = 5.0  # clocks of file servers differ from ours by about this much
_checked: dict[str, tuple[int, ...]] = {}  # compiling a large package again takes seconds
_IMMUTABLE: Final = (bool, int, float, complex, str, bytes, tuple, type(None))


def is_as_loaded(module: ModuleType, filename: str) -> bool:
    """Whether *filename* still holds what *module* was loaded from.

    A file that was last touched before this process began does. A younger one may have been edited before the
    import or after it, which Python does not note: it counts as edited when the compiled file beside it is of
    another version, or when a function or a plain constant of the module is not what the source says. Functions of a
    module that was changed as it was loaded, as pytest does, are compared as far as that allows.
    """
    try:
        facts = os.stat(filename)  # noqa: PTH116  text only, and often
    except OSError:
        return True  # gone: there is nothing else than what is in memory, and nobody edits it
    if max(facts.st_mtime, facts.st_ctime) < _process_began() - _MARGIN_S:
        return True
    version = (id(module), facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size)
    if _checked.get(filename) == version:
        return True
    if _compiled_from_another_version(module, facts) or not _says_the_same(module, filename, facts.st_size):
        return False
    _checked[filename] = version
    return True


def _says_the_same(module: ModuleType, filename: str, size: int) -> bool:
    own_code = [*_own_code(module, filename)]
    parsed = parse_source(filename)
    if parsed is None:
        return size == 0 and not own_code
    written, is_compiled_from = parsed
    others = [one for one in own_code if not is_compiled_from(one)]
    if others and is_rewritten(module):
        others = [*itertools.filterfalse(may_come_from(written, filename), others)]
    return not others and not _differing(module, written)


@cache
def _process_began() -> float:
    return psutil.Process().create_time()


def _compiled_from_another_version(module: ModuleType, facts: os.stat_result) -> bool:
    """Whether the .pyc that an import leaves is of another source file than the one with these *facts* (PEP 552)."""
    cached: str | None = getattr(module, "__cached__", None)
    if cached is None or sys.dont_write_bytecode or is_rewritten(module):  # rewritten ones are kept elsewhere
        return False
    try:
        with open(cached, "rb") as file:  # noqa: PTH123  text only
            head = file.read(16)
    except OSError:
        return False
    is_of_a_time = len(head) == 16 and head[4:8] == bytes(4)  # hash-based ones say nothing of times
    if not is_of_a_time or not os.access(cached, os.W_OK):  # an import could not have renewed it
        return False
    mtime, size = int.from_bytes(head[8:12], "little"), int.from_bytes(head[12:16], "little")
    return (mtime, size) != (int(facts.st_mtime) & 0xFFFFFFFF, facts.st_size & 0xFFFFFFFF)


def _own_code(module: ModuleType, filename: str) -> Iterator[CodeType]:
    """The code of functions and methods that were compiled from the module's file."""
    for value in [*vars(module).values()]:
        members: list[Any] = [*vars(value).values()] if isinstance(value, type) else [value]
        if isinstance(value, type) and value.__module__ != module.__name__:
            continue
        for member in members:
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if not isinstance(function, FunctionType) or function.__globals__ is not vars(module):
                continue  # of another module, even if a decorator there says that it is of this file
            if function.__code__.co_filename == filename:
                yield function.__code__


def _differing(module: ModuleType, written: ast.Module) -> list[str]:
    """Names that the source binds once to a plain constant which the module does not have."""
    bound = [
        (node.targets[0].id, node.value)
        for node in written.body
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    ]
    times_bound = Counter(
        node.id for node in ast.walk(written) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    )
    differing: list[str] = []
    for name, node in bound:
        if times_bound[name] > 1:  # in a branch, or by a function that says `global`
            continue
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, _IMMUTABLE) and repr(vars(module).get(name)) != repr(value):
            differing.append(name)
    return differing
