"""The identity of a function's code, with all the user's own code and values that it reaches."""

from __future__ import annotations

import enum
import functools
import hashlib
import importlib.util
import logging
import os
import random
import sys
import types
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from sciflow.canonical import canonical_text, content_digest
from sciflow.errors import SpaceError
from sciflow.provenance.bytecode import code_text, global_chains, imports_within
from sciflow.provenance.loaded import is_as_loaded
from sciflow.provenance.local import file_of, is_local_code, is_local_file, is_local_module
from sciflow.provenance.syntax import class_syntax, function_syntax, literal_syntax, module_syntax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Description: TypeAlias = list["Description"] | str

_METHOD_WRAPPERS = (staticmethod, classmethod)
# what they hold differs from process to process, and from call to call
_STATEFUL = (logging.Handler, logging.Logger, type(os.environ), random.Random)
_OWN_WORD = "__sciflow_fingerprint__"
"""A method by which an object says itself what makes it another one."""

# where functools.lru_cache, numba.jit, numpy.vectorize and functools.cached_property keep the user's function
_WRAPPED = ("__wrapped__", "py_func", "pyfunc", "func")
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})
_SLOT_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)


def fingerprint(function: Callable[..., object], *beside: Callable[..., object]) -> str:
    """A digest of the code of *function* and of what it uses, the same in every process; with others *beside* it.

    It covers the normalised syntax (comments, layout and docstrings don't matter) of the function and,
    transitively, of every function and class of the user's own modules that it uses, and the values of the
    constants, defaults and closure variables. What a library defines counts by its qualified name only.
    Where there is no source (an interactive session, a file edited since it was loaded), the compiled code counts.
    """
    digest = content_digest(_Reach().describe_all(function))
    return content_digest([digest, *map(fingerprint, beside)]) if beside else digest


class _Reach:
    """What a function reaches, each object described once and referred to by number."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._described: list[Description] = []
        self._open: set[int] = set()
        self._n_arrays = 0

    def describe_all(self, function: Callable[..., object]) -> list[Description]:
        root = self.value(function)
        return [root, *self._described]

    def value(self, value: object) -> Description:  # noqa: PLR0911  one return for each kind of value
        """What identifies a value: content, or the number of what defines it."""
        match value:
            case FunctionType():
                return self._function(value)
            case type():
                return self._class(value)
            case ModuleType():
                return self._module(value)
            case functools.partial():
                parts = cast("functools.partial[object]", value)
                return ["partial", self.value(parts.func), self.value(parts.args), self.value(parts.keywords)]
            case types.MethodType():
                return ["method", self.value(value.__func__), self.value(value.__self__)]
            case staticmethod() | classmethod():
                return [type(value).__name__, self.value(value.__func__)]
            case property():
                return ["property", *(self.value(one) for one in (value.fget, value.fset, value.fdel))]
            case enum.Enum():
                return ["member", self.value(type(value)), value.name]
            case _:
                return self._content(value)

    def _content(self, value: object) -> Description:
        if id(value) in self._open:
            return "itself"
        self._open.add(id(value))
        try:
            match value:
                case list() | tuple():
                    members = cast("Iterable[object]", value)
                    if all(type(one) in _PLAIN for one in members):  # perhaps a million numbers
                        return [_name(type(value)), *map(repr, members)]
                    return [_name(type(value)), *(self.value(one) for one in members)]
                case set() | frozenset():
                    members = sorted(cast("Iterable[object]", value), key=_stable_text)
                    return [_name(type(value)), *(self.value(one) for one in members)]
                case dict():
                    items = cast("dict[object, object]", value).items()
                    return [_name(type(value)), *([self.value(key), self.value(one)] for key, one in items)]
                case _:
                    return self._object(value)
        finally:
            self._open.discard(id(value))

    def _object(self, value: object) -> Description:  # noqa: PLR0911  same
        kind = type(value)
        tell = getattr(kind, "__sciflow_fingerprint__", None)
        if tell is not None:  # of ours, in place of a function: a command, say
            return ["told", self.value(tell(value))]
        attributes = cast("dict[str, object]", getattr(value, "__dict__", {}))
        wrapped = next((attributes[name] for name in _WRAPPED if callable(attributes.get(name))), None)
        if wrapped is not None and not is_local_module(kind.__module__):
            return [_name(kind), self.value(wrapped)]
        if hasattr(value, "dtype") and hasattr(value, "tobytes"):
            return self._array(cast("Any", value))
        if is_local_module(kind.__module__):
            return ["instance", self.value(kind), self.value(_state(value))]
        if kind in _PLAIN:
            return [_name(kind), repr(value)]
        if _is_stateful(value):
            return [_name(kind), getattr(value, "__qualname__", "")]
        data = self._data(value)
        if data is not None:
            return data
        text = _safe_repr(value)
        if " at 0x" in text:
            return [_name(kind), getattr(value, "__qualname__", "")]
        try:
            return ["value", canonical_text(value)]
        except SpaceError:
            return [_name(kind), text]

    def _array(self, array: Any) -> Description:
        self._n_arrays += 1
        # object arrays hold addresses
        content = self.value(array.tolist()) if array.dtype.hasobject else hashlib.sha256(array.tobytes()).hexdigest()
        return [_name(type(array)), str(array.dtype), str(array.shape), content]

    def _data(self, value: object) -> Description | None:
        """What an object of a library is pickled from, if there are arrays in it: a repr shows few of their numbers.

        Objects without arrays (a console, a session) may differ from process to process in all kinds of things.
        """
        numbers, n_described, n_arrays = dict(self._numbers), len(self._described), self._n_arrays
        try:
            parts = _parts(value)
            if parts is not None:
                described: Description = [_name(type(value)), *map(self.value, parts)]
                if self._n_arrays > n_arrays:
                    return described
        except Exception:  # noqa: BLE001, S110  somebody else's __reduce__ may raise anything
            pass
        self._numbers, self._n_arrays = numbers, n_arrays
        del self._described[n_described:]
        return None

    def _function(self, function: FunctionType) -> Description:
        if not is_local_code(function.__code__.co_filename, function.__module__ or ""):
            # a wrapper made by a library's decorator carries the user's function inside
            inner = [self.value(one) for one in _closure(function).values() if isinstance(one, FunctionType | type)]
            return ["library", f"{function.__globals__.get('__name__')}:{function.__code__.co_qualname}", *inner]
        return self._numbered(function, lambda: self._own_function(function))

    def _own_function(self, function: FunctionType) -> Description:
        code = function.__code__
        return [
            "function",
            function_syntax(code) or code_text(code, function.__doc__),
            ["defaults", self.value(function.__defaults__), self.value(function.__kwdefaults__)],
            ["closure", *([name, self.value(one)] for name, one in _closure(function).items())],
            ["names", *self._globals(function)],
        ]

    def _globals(self, function: FunctionType) -> Iterator[Description]:
        """What the names mean that a function and the functions inside it take from their module."""
        for chain in sorted(set(global_chains(function.__code__))):
            if isinstance(function.__globals__.get(chain[0]), list | dict | set):
                literal = literal_syntax(function.__code__.co_filename, chain[0])
                if literal is not None:
                    yield [chain[0], literal]
                    continue
            if chain[0] in function.__globals__:
                yield [".".join(chain), self._follow(function.__globals__[chain[0]], chain[1:])]
        for name, level, members in sorted(set(imports_within(function.__code__))):
            package: str = function.__globals__.get("__package__") or ""
            full = importlib.util.resolve_name("." * level + name, package) if level and package else name
            yield from self._imported(full, members)

    def _imported(self, name: str, members: tuple[str, ...]) -> Iterator[Description]:
        """What an import inside a function brings: whole modules, so that it is the same before and after it ran."""
        for one in (name, *(f"{name}.{member}" for member in members)):
            if _module_file(one) is not None:
                yield [one, self._module_named(one)]

    def _follow(self, value: object, attributes: tuple[str, ...]) -> Description:
        """Walk ``helpers.physics.energy`` through the user's own modules to what is used of them."""
        for k, attribute in enumerate(attributes):
            if not isinstance(value, ModuleType):
                break
            if not is_local_module(value.__name__):
                return ["library", ".".join([value.__name__, *attributes[k:]])]
            if not hasattr(value, attribute):
                return "missing"
            value = getattr(value, attribute)
        return self.value(value)

    def _module(self, module: ModuleType) -> Description:
        return self._module_named(module.__name__)

    def _module_named(self, name: str) -> Description:
        """A module as a whole: its source, and that of the user's modules which it imports."""
        filename = _module_file(name)
        if filename is None or not is_local_file(filename):
            return ["library", name]
        return self._numbered(filename, lambda: self._own_module(name, filename))

    def _own_module(self, name: str, filename: str) -> Description:
        module = sys.modules.get(name)
        if module is not None and not is_as_loaded(module, filename):
            return ["edited module", *([key, self.value(one)] for key, one in sorted(_contents(module).items()))]
        parsed = module_syntax(filename)
        if parsed is None:
            return ["module", name]
        syntax, imports = parsed
        package = name if os.path.basename(filename) == "__init__.py" else name.rpartition(".")[0]  # noqa: PTH119  text only
        return ["module", syntax, *(self._module_named(one) for one in _imported_names(imports, package))]

    def _class(self, kind: type) -> Description:
        if not is_local_module(kind.__module__):
            return ["library", _name(kind)]
        return self._numbered(kind, lambda: self._own_class(kind))

    def _own_class(self, kind: type) -> Description:
        filename = _class_file(kind)
        syntax = None if filename is None else class_syntax(filename, kind.__qualname__)
        return [
            "class",
            syntax or kind.__qualname__,
            ["bases", *(self.value(base) for base in kind.__bases__)],
            ["members", *([name, self.value(one)] for name, one in _members(kind))],
        ]

    def _numbered(self, key: object, describe: Callable[[], Description]) -> Description:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            self._described.append("")  # its place, so that a circle of functions ends here
            self._described[number] = describe()
        return f"#{number}"


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__


def _stable_text(value: object) -> str:
    return getattr(value, "__qualname__", "") or _safe_repr(value)


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  somebody else's repr may raise anything, and then says nothing
        return " at 0x"


def _state(value: object) -> dict[str, object]:
    """The attributes of an instance, from its dictionary and its slots."""
    slots = {
        name: getattr(value, name)
        for kind in type(value).__mro__
        for name, member in vars(kind).items()
        if isinstance(member, types.MemberDescriptorType) and hasattr(value, name)
    }
    own = cast("dict[str, object]", getattr(value, "__dict__", {}))
    return dict(sorted({**slots, **own}.items()))


def _is_stateful(value: object) -> bool:
    # numpy.random need not be loaded
    return isinstance(value, _STATEFUL) or type(value).__module__.startswith("numpy.random.")


def _parts(value: object) -> tuple[object, ...] | None:
    """What `pickle` takes of an object (PEP 307), or None for one that it knows by its name alone."""
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        # a tensor is pickled with the address of its memory
        return (cast("Any", value).detach().cpu().numpy(),)
    reduced = value.__reduce_ex__(4)
    if isinstance(reduced, str):
        return None
    _, arguments, *rest = reduced
    state, items, pairs = (*rest, None, None, None)[:3]
    return arguments, state, [*(items or ())], [*(pairs or ())]


def _members(kind: type) -> Iterator[tuple[str, object]]:
    """What a class body defines: functions, and values that are no machinery of Python's."""
    machinery = ("_",) if issubclass(kind, enum.Enum) else ("__", "_abc_")
    for name, member in sorted(vars(kind).items()):
        is_value = not name.startswith(machinery) and not isinstance(member, _SLOT_DESCRIPTORS)
        if is_value or any(map(_is_written, _functions_of(member))):
            yield name, member


def _is_written(function: FunctionType) -> bool:
    """Whether somebody wrote the function: dataclasses and their like make methods from the fields of a class."""
    code = function.__code__
    # both a dataclass and `python -c` compile text without a file; only what is written has its own name
    is_made = code.co_filename.startswith("<string>") and code.co_qualname != function.__qualname__
    return not is_made and is_local_code(code.co_filename, function.__module__ or "")


def _functions_of(member: object) -> Iterator[FunctionType]:
    if isinstance(member, property):
        candidates: tuple[object, ...] = (member.fget, member.fset, member.fdel)
    elif isinstance(member, _METHOD_WRAPPERS):
        candidates = (cast("object", member.__func__),)
    else:
        candidates = (member,)
    yield from (one for one in candidates if isinstance(one, FunctionType))


def _class_file(kind: type) -> str | None:
    for _, member in _members(kind):
        for function in _functions_of(member):
            if function.__module__ == kind.__module__ and function.__qualname__.startswith(kind.__qualname__):
                return function.__code__.co_filename
    return _module_file(kind.__module__)


def _module_file(name: str) -> str | None:
    module = sys.modules.get(name)
    if module is not None:
        return file_of(module)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    return None if spec is None or not spec.has_location else spec.origin


def _contents(module: ModuleType) -> dict[str, object]:
    return {name: one for name, one in vars(module).items() if not (name.startswith("__") and name.endswith("__"))}


def _closure(function: FunctionType) -> Mapping[str, object]:
    found: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not filled yet
            found[name] = None
    return found


def _imported_names(imports: Iterable[Any], package: str) -> list[str]:
    names: set[str] = set()
    for node in imports:
        if not hasattr(node, "module"):
            names |= {alias.name for alias in node.names}
            continue
        base: str = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return sorted(name for name in names if name and _module_file(name) is not None)
