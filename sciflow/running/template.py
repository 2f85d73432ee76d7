"""Template: text with names in braces that are filled in with the values of a variant; nothing is evaluated."""

from __future__ import annotations

import datetime as dt
import json
import keyword
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from string import Formatter
from typing import Any, Final, Self, TypeAlias, cast

from sciflow.canonical import Named
from sciflow.errors import BindingError, WorkflowError

Quote: TypeAlias = Callable[[str], str]

_BRACES: Final = "; braces that are meant as such are written {{ and }}"


@dataclass(frozen=True, slots=True)
class Field:
    """A name in braces, with the format that follows a colon."""

    name: str
    spec: str = ""

    def __str__(self) -> str:
        return f"{{{self.name}:{self.spec}}}" if self.spec else f"{{{self.name}}}"


@dataclass(frozen=True, slots=True)
class Template:
    """Text and fields in turn.

    Examples
    --------
    >>> template = Template.parse("--lr {learning_rate:.2e} --layers {layers}")
    >>> template.names
    ('learning_rate', 'layers')
    >>> template.fill({"learning_rate": 0.001, "layers": [64, 32]})
    '--lr 1.00e-03 --layers [64, 32]'
    """

    parts: tuple[str | Field, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template.

        Raises
        ------
        WorkflowError
            For braces that hold anything but a name and a format.
        """
        parts: list[str | Field] = []
        try:
            pieces = list(Formatter().parse(text))
        except ValueError as error:
            raise WorkflowError(f"the command {text!r} is not understood: {error}{_BRACES}") from error
        for literal, name, spec, conversion in pieces:
            if literal:
                parts.append(literal)
            if name is not None:
                parts.append(_field(text, name, spec or "", conversion))
        return cls(tuple(parts))

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields, in order."""
        return tuple(part for part in self.parts if isinstance(part, Field))

    @property
    def names(self) -> tuple[str, ...]:
        """The names in braces, each once, in order."""
        return tuple(dict.fromkeys(field.name for field in self.fields))

    def fill(self, values: Mapping[str, Any], quote: Quote = str) -> str:
        """Put *values* in place of the names, each through *quote*.

        Raises
        ------
        BindingError
            For a value that has no text, or to which the format does not apply.
        """
        return "".join(
            part if isinstance(part, str) else quote(as_text(part, values[part.name])) for part in self.parts
        )


def as_text(field: Field, value: object) -> str:
    """Write a value as an argument of a command: text as it is, numbers as Python does, containers as JSON."""
    if field.spec:
        try:
            text = format(cast("Any", value), field.spec)
        except (ValueError, TypeError) as error:
            raise BindingError(f"{field} cannot write {value!r}: {error}; choose another format") from error
    else:
        text = _plain_text(field, value)
    if "\0" in text:
        raise BindingError(f"{field} is {text!r}, and a command line cannot hold the character NUL")
    return text


def _plain_text(field: Field, value: object) -> str:
    match value:
        case str() | bool() | int() | float() | None:
            return str(value)
        case PurePath():
            return os.fspath(value)
        case dt.date():
            return value.isoformat()
        case Named():
            return value.name
        case list() | tuple() | Mapping():
            try:
                return json.dumps(value, default=_as_json)
            except (TypeError, ValueError) as error:
                raise BindingError(f"{field} cannot be written on a command line: {error}; {_INSTEAD}") from error
        case _:
            item = _numpy_scalar(value)
            if item is None:
                raise BindingError(f"{field} is a {type(value).__name__}, which a command line cannot hold; {_INSTEAD}")
            return str(item)


_INSTEAD: Final = "write it to a file in a Python task before, and pass the path"


def _as_json(value: object) -> object:
    """What json does not know."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))
    if isinstance(value, PurePath | dt.date | Named):
        return _plain_text(Field("value"), value)
    item = _numpy_scalar(value)
    if item is None:
        raise TypeError(f"a {type(value).__name__} has no JSON")
    return item


def _numpy_scalar(value: object) -> object:
    """The Python number of a NumPy scalar; None for anything else."""
    if hasattr(value, "dtype") and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return cast("Any", value).item()
    return None


def _field(text: str, name: str, spec: str, conversion: str | None) -> Field:
    if not name.isidentifier() or keyword.iskeyword(name):
        what = "nothing" if not name else repr(name)
        raise WorkflowError(
            f"the command {text!r} has {what} in braces, where the name of a parameter, task or output is wanted "
            f"(no attributes, no indices){_BRACES}"
        )
    if conversion is not None:
        raise WorkflowError(f"the command {text!r} has {{{name}!{conversion}}}; write {{{name}}}, or {{{name}:FORMAT}}")
    if "{" in spec:
        raise WorkflowError(f"the command {text!r} has braces within the format of {{{name}}}; a format is fixed")
    return Field(name, spec)
