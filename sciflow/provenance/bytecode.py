"""What compiled code shows of itself: the names it takes from its module, what it imports, its instructions."""

from __future__ import annotations

import dis
from types import CodeType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ATTRIBUTE_LOADS = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


def all_code(code: CodeType) -> Iterator[CodeType]:
    """A code object and those of the functions and classes inside."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from all_code(constant)


def global_chains(code: CodeType) -> Iterator[tuple[str, ...]]:
    """Global names with the attributes that are read from them: ``helpers.energy`` as two parts."""
    for inner in all_code(code):
        chain: tuple[str, ...] = ()
        for instruction in dis.get_instructions(inner):
            if chain and instruction.opname in _ATTRIBUTE_LOADS:
                chain = (*chain, str(instruction.argval))
                continue
            if chain:
                yield chain
            takes_global = instruction.opname == "LOAD_NAME" or instruction.opname.endswith("_GLOBAL")
            takes_global = takes_global or instruction.opname.endswith("_OR_GLOBALS")
            chain = (str(instruction.argval),) if takes_global and instruction.opname.startswith("LOAD") else ()


def imports_within(code: CodeType) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Imports inside a function: module, level, and the members that are taken from it."""
    for inner in all_code(code):
        level_and_names: list[object] = []
        for instruction in dis.get_instructions(inner):
            if instruction.opname == "IMPORT_NAME":
                level, names = level_and_names[-2:]
                yield str(instruction.argval), cast("int", level), tuple(cast("Iterable[str]", names or ()))
            elif instruction.opname in {"LOAD_CONST", "LOAD_SMALL_INT"}:
                level_and_names.append(instruction.argval)


def constant_text(constant: object) -> str:
    """The repr of a constant of a code object (it tells 1 from True and 1.0), with sets in order."""
    if isinstance(constant, frozenset):
        return f"frozenset {sorted(map(constant_text, constant))}"
    return repr(constant)


def code_text(code: CodeType, docstring: str | None) -> str:
    """The compiled code, for functions whose source is not at hand."""
    constants: list[str] = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            constants.append(code_text(constant, None))
        elif constant != docstring or docstring is None:
            constants.append(constant_text(constant))
    names = [*code.co_names, "|", *code.co_varnames, "|", *code.co_freevars]
    return f"code {code.co_code.hex()} {names} {constants}"
