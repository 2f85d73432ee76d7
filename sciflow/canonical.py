"""Which parameter values are one value: canonical text, identities of variants, and plain data that keeps types.

This is the only place that decides it. Equal numbers are one value (``1``, ``1.0``, ``np.int64(1)``; ``-0.0`` is
``0``), a bool is not a number, a list equals a tuple, a path is not a string, arrays go by shape and values, aware
datetimes by the instant. The text is JSON in ASCII; objects with one key that starts with a single ``$`` are tags,
and such keys of a user's mapping are written with a second ``$``.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import json
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn, cast

from sciflow.errors import SpaceError

ID_BYTES: Final = 10
"""Bytes in a variant's identity; its text is ``v`` and twice as many hexadecimal digits."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_LONG_INT_BITS = 8192  # Python refuses to write longer integers (above 4,300 digits) in decimal
_REMEDY = 'wrap it as sciflow.Named("a name", value), which goes by its name'
_quote = json.JSONEncoder(ensure_ascii=True).encode


class Named:
    """A value of any type that stands for itself by a name: ``Named("relu", torch.nn.ReLU)``.

    Two of one name are one value; the tasks get the ``Named`` and take ``.value`` from it. What is read back from a
    file has the name only (``value`` is None).
    """

    __slots__ = ("_name", "_value")

    def __init__(self, name: str, value: object = None) -> None:
        if type(name) is not str or not name:
            raise SpaceError(f"the name of a Named value is a text that is not empty, not {name!r}")
        self._name, self._value = name, value

    @property
    def name(self) -> str:
        """What the value is called, in identities and files."""
        return self._name

    @property
    def value(self) -> Any:
        """The object itself; None when it was read from a file."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return self._name == other._name if isinstance(other, Named) else NotImplemented

    def __hash__(self) -> int:
        return hash((Named, self._name))

    def __repr__(self) -> str:
        return f"Named({self._name!r})"

    def __reduce__(self) -> tuple[type[Named], tuple[str, object]]:
        return Named, (self._name, self._value)


class FrozenDict(dict[str, Any]):
    """A mapping among the values of a parameter: it reads like a dict and refuses changes."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the values of a parameter do not change; copy this one with dict(...)")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse  # type: ignore[assignment]  # refuses every way in

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none, a frozen one may
        return hash(canonical_text(self))

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


# ---------------------------------------------------------------------------------------------------------------------
# Values as users give them → values as the library keeps them


def normalize(value: object, *, name: str | None = None) -> Any:
    """*value* as plain, immutable Python: NumPy scalars become Python's, lists tuples, mappings read-only.

    Parameters
    ----------
    value
        Any of the allowed types; arrays are copied and made read-only.
    name
        The parameter, for the message.

    Raises
    ------
    SpaceError
        If a NaN or a value of another type is in it.
    """
    kind = type(value)
    if kind is int or kind is str or kind is bool or value is None:
        return value
    if kind is float and value - value == 0.0:  # type: ignore[operator]  # finite
        return value + 0.0  # type: ignore[operator]  # -0.0 + 0.0 is 0.0
    try:
        return _normalize(value)
    except _RefusedError as refused:
        raise SpaceError(f"{_of(name)}{refused}") from None
    except RecursionError:
        raise SpaceError(f"{_of(name)}a value contains itself or is nested too deeply; {_REMEDY}") from None


def _of(name: str | None) -> str:
    return "" if name is None else f"parameter {name!r}: "


class _RefusedError(Exception):
    """Why a value is refused, before the parameter's name is known."""


def _normalize(value: Any) -> Any:
    for known, convert in _NORMALIZERS:
        if isinstance(value, known):
            return convert(value)
    if _is_numpy(value):
        return _normalize_scalar(value) if value.shape == () else _normalize_array(value)
    if isinstance(value, Mapping):
        return _normalize_mapping(cast("Mapping[object, object]", value))
    raise _RefusedError(f"a value of type {_type_name(value)} has no identity of its own ({_short(value)}); {_REMEDY}")


def _normalize_int(value: int) -> int:
    return value if isinstance(value, bool) else int(value)


def _normalize_float(value: float) -> float:
    if math.isnan(value):
        raise _RefusedError("NaN is not a value (it never equals itself); leave it out, or use None")
    return float(value) + 0.0


def _normalize_datetime(value: dt.datetime) -> dt.datetime:
    if value != value:  # noqa: PLR0124  pandas.NaT is a datetime that, like NaN, differs from itself
        raise _RefusedError("NaT is not a value (it never equals itself); leave it out, or use None")
    if getattr(value, "nanosecond", 0):
        raise _RefusedError(f"{value!r} has nanoseconds, which Python's datetime has not; round it to microseconds")
    return dt.datetime.combine(
        dt.date(value.year, value.month, value.day),
        dt.time(value.hour, value.minute, value.second, value.microsecond, fold=value.fold),
        value.tzinfo,
    )


def _normalize_date(value: dt.date) -> dt.date:
    return dt.date(value.year, value.month, value.day)


def _normalize_sequence(values: Iterable[object]) -> tuple[Any, ...]:
    return tuple(_normalize(value) for value in values)


def _normalize_mapping(values: Mapping[object, object]) -> FrozenDict:
    for key in values:
        if not isinstance(key, str):
            raise _RefusedError(f"a mapping among the values has the key {key!r}; keys are texts")
    return FrozenDict({str.__str__(cast("str", key)): _normalize(value) for key, value in values.items()})


def _is_numpy(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "dtype") and hasattr(value, "tolist")


def _normalize_scalar(value: Any) -> Any:
    kind = value.dtype.kind
    if kind == "M":
        value = _without_nanoseconds(value)
    plain_value = value.tolist()
    if kind not in "biufSUMO":
        raise _RefusedError(f"a value of type {_type_name(value)} has no identity of its own ({value!r}); {_REMEDY}")
    if _is_numpy(plain_value):  # longdouble stays what it is
        if value == value and float(value) != value:  # noqa: PLR0124  NaN, which differs from itself, is refused below
            raise _RefusedError(f"{value!r} has more digits than a float keeps; convert it with float(...)")
        plain_value = float(value)
    return _normalize(plain_value)


def _without_nanoseconds(value: Any) -> Any:
    if (value != value).any():  # noqa: PLR0124  NaT differs from itself
        raise _RefusedError("NaT is not a value (it never equals itself); leave it out, or use None")
    if value.dtype.str[1:] in {"M8[D]", "M8[W]", "M8[M]", "M8[Y]"}:
        return value.astype("datetime64[D]")
    coarse = value.astype("datetime64[us]")
    if (coarse != value).any():
        raise _RefusedError(f"{value!r} has nanoseconds, which Python's datetime has not; round it to microseconds")
    return coarse


def _normalize_array(value: Any) -> Any:
    kind = value.dtype.kind
    if kind not in "biufSUMO":
        raise _RefusedError(f"arrays of dtype {value.dtype} are not compared by value here; {_REMEDY}")
    if kind == "f" and (value != value).any():  # noqa: PLR0124  NaN differs from itself
        raise _RefusedError("an array with NaN is not a value (it never equals itself)")
    if kind == "M":
        value = _without_nanoseconds(value)
    copied = value.copy()
    if kind == "O":
        for place, item in enumerate(copied.flat):
            copied.flat[place] = _normalize(item)
    copied.setflags(write=False)
    return copied


_NORMALIZERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (type(None), lambda value: value),
    (int, _normalize_int),
    (float, _normalize_float),
    (str, str.__str__),
    ((bytes, bytearray), bytes),
    (Named, lambda value: value),
    ((list, tuple), _normalize_sequence),
    (dt.datetime, _normalize_datetime),
    (dt.date, _normalize_date),
    (pathlib.PurePath, lambda value: pathlib.Path(value.as_posix())),
)


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# ---------------------------------------------------------------------------------------------------------------------
# Identity


def canonical_text(value: object) -> str:
    """The text that two values share if and only if they are one value.

    Raises
    ------
    SpaceError
        If *value* is NaN or of a type that has no identity.
    """
    write = _WRITERS.get(type(value))
    if write is None:
        value = normalize(value)
        write = _WRITERS.get(type(value)) or _write_other
    return write(value)


def identity_key(value: object) -> Any:
    """A hashable stand-in of a normalized *value*: equal if and only if the values are one value.

    Numbers and texts stand for themselves, which makes it several times cheaper than the text.
    """
    kind = type(value)
    if kind is int or kind is str or kind is float:
        return value
    return (canonical_text(value),)


def _write_int(value: int) -> str:
    return str(value) if value.bit_length() <= _LONG_INT_BITS else f'{{"$int":"{value:x}"}}'


def _write_float(value: float) -> str:
    if value.is_integer():
        return str(int(value))
    if math.isfinite(value):
        return repr(value)
    if math.isnan(value):
        raise SpaceError("NaN is not a value (it never equals itself); leave it out, or use None")
    return '{"$float":"inf"}' if value > 0 else '{"$float":"-inf"}'


def _write_datetime(value: dt.datetime) -> str:
    if value.tzinfo is None or value.utcoffset() is None:
        return f'{{"$datetime":"{value.replace(tzinfo=None, fold=0).isoformat()}"}}'
    return f'{{"$instant":{(value - _EPOCH) // _MICROSECOND}}}'


def _write_sequence(values: Iterable[object]) -> str:
    return f"[{','.join(map(canonical_text, values))}]"


def _write_mapping(values: Mapping[str, object]) -> str:
    return f"{{{','.join(f'{_quote(_escaped(key))}:{canonical_text(values[key])}' for key in sorted(values))}}}"


def _write_other(value: Any) -> str:
    """Paths, whose classes are many, and arrays, whose class is not imported here."""
    if isinstance(value, pathlib.PurePath):
        return f'{{"$path":{_quote(value.as_posix())}}}'
    shape = ",".join(map(str, value.shape))
    return f'{{"$array":[[{shape}],{_write_sequence(value.ravel().tolist())}]}}'


_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: _write_int,
    float: _write_float,
    str: _quote,
    bytes: lambda value: f'{{"$bytes":"{base64.b64encode(value).decode()}"}}',
    dt.date: lambda value: f'{{"$date":"{value.isoformat()}"}}',
    dt.datetime: _write_datetime,
    tuple: _write_sequence,
    FrozenDict: _write_mapping,
    Named: lambda value: f'{{"$named":{_quote(value.name)}}}',
}


def _escaped(key: str) -> str:
    return "$" + key if key.startswith("$") else key


def fragment(name: str, value: object) -> str:
    """One parameter's part of an identity text: ``"name":value``."""
    return f"{_quote(name)}:{canonical_text(value)}"


def identity_text(parameters: Mapping[str, object]) -> str:
    """The text that a variant's identity is the hash of: ``{"a":1,"b":"x"}``, names sorted."""
    return f"{{{','.join(fragment(name, parameters[name]) for name in sorted(parameters))}}}"


def digests_of_identities(texts: Iterable[bytes]) -> bytes:
    """The ten bytes of each variant's identity, one after the other, from the identity texts."""
    digests: list[bytes] = []
    empty = hashlib.blake2b(digest_size=ID_BYTES)
    for text in texts:
        state = empty.copy()  # a third cheaper than a new one with its keyword
        state.update(text)
        digests.append(state.digest())
    return b"".join(digests)


def variant_id(parameters: Mapping[str, object]) -> str:
    """Name a variant by its content: ``v`` and 20 hexadecimal digits, the same on any machine, in any release.

    Which parameters count (not the derived ones, not those at their default) is the caller's to say.
    """
    return "v" + digests_of_identities((identity_text(parameters).encode("ascii"),)).hex()


def content_digest(data: object) -> str:
    """SHA-256, in hexadecimal, of JSON *data* written in one way: names sorted, no spaces, ASCII."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# Plain data that keeps types


def plain(value: object) -> Any:
    """*value* as JSON data from which :func:`from_plain` makes it again, of the same type.

    Lists come back as tuples, and a ``Named`` without its object.
    """
    value = normalize(value)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, object]", value)
        return {_escaped(key): plain(item) for key, item in mapping.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in cast("tuple[object, ...]", value)]
    if isinstance(value, int) and value.bit_length() > _LONG_INT_BITS:
        return {"$int": f"{value:x}"}
    if isinstance(value, float) and math.isinf(value):
        return {"$float": "inf" if value > 0 else "-inf"}
    for kind, tag, write in _PLAIN_WRITERS:
        if isinstance(value, kind):
            return {tag: write(value)}
    return _plain_array(value) if _is_numpy(value) else value


def _plain_array(value: Any) -> dict[str, Any]:
    little = value.dtype.newbyteorder("<")
    facts: dict[str, Any] = {"dtype": little.str, "shape": list(value.shape)}
    if value.dtype.kind == "O":
        facts["values"] = [plain(item) for item in value.ravel().tolist()]
    else:
        facts["data"] = base64.b64encode(value.astype(little).tobytes()).decode()
    return {"$array": facts}


_PLAIN_WRITERS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (bytes, "$bytes", lambda value: base64.b64encode(value).decode()),
    (dt.datetime, "$datetime", dt.datetime.isoformat),
    (dt.date, "$date", dt.date.isoformat),
    (pathlib.PurePath, "$path", pathlib.PurePath.as_posix),
    (Named, "$named", lambda value: value.name),
)


def from_plain(data: object) -> Any:
    """The value that :func:`plain` wrote as *data*.

    Raises
    ------
    SpaceError
        If *data* has a tag that this release does not know.
    """
    if isinstance(data, list):
        return tuple(from_plain(item) for item in cast("list[object]", data))
    if not isinstance(data, dict):
        return data
    items = cast("dict[str, Any]", data)
    if len(items) == 1:
        (key, content) = next(iter(items.items()))
        if key.startswith("$") and not key.startswith("$$"):
            return _from_tag(key, content)
    return FrozenDict({key.removeprefix("$"): from_plain(item) for key, item in items.items()})


def _from_tag(tag: str, content: Any) -> Any:
    read = _PLAIN_READERS.get(tag)
    if read is None:
        raise SpaceError(f"a stored value has the tag {tag!r}, which this release of sciflow does not know")
    return read(content)


def _read_array(facts: dict[str, Any]) -> Any:
    import numpy as np  # noqa: PLC0415  this module is for everybody; only arrays need NumPy

    if "values" in facts:
        array = np.empty(math.prod(facts["shape"]), dtype=object)
        for place, item in enumerate(facts["values"]):
            array[place] = from_plain(item)
    else:
        array = np.frombuffer(base64.b64decode(facts["data"]), dtype=facts["dtype"]).copy()
    array = array.reshape(facts["shape"])
    array.setflags(write=False)
    return array


_PLAIN_READERS: dict[str, Callable[[Any], Any]] = {
    "$int": functools.partial(int, base=16),
    "$float": float,
    "$bytes": base64.b64decode,
    "$datetime": dt.datetime.fromisoformat,
    "$date": dt.date.fromisoformat,
    "$path": pathlib.Path,
    "$named": Named,
    "$array": _read_array,
}
