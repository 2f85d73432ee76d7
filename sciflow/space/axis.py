"""One parameter and the values it takes."""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sciflow.canonical import identity_key, normalize, plain
from sciflow.errors import SpaceError
from sciflow.space.algebra import Space
from sciflow.space.page import short_list, short_text
from sciflow.space.rowindex import factorized
from sciflow.space.table import Codes, Column, Objects, Rows, Table, objects
from sciflow.space.variant import NO_DEFAULT, Parameter, Schema, Variant, check_name

if TYPE_CHECKING:
    from sciflow.space.algebra import Encode

_PLAIN_TYPES = frozenset({int, float, str})  # equal in Python exactly if one value
_MOST_KEYS = 10**6
_LISTED_RANGE = 10**4  # longer ranges stay ranges


def listed_values(name: str, values: object) -> list[Any] | range:
    """The values that a user gave for a parameter, normalized; a range stays one.

    Raises
    ------
    SpaceError
        If *values* is a single value, an array of several dimensions, or has a value that is not allowed.
    """
    if isinstance(values, range):
        return values
    if isinstance(values, str | bytes | Mapping) or not (
        isinstance(values, Iterable) or getattr(values, "shape", None) == ()
    ):
        raise SpaceError(
            f"parameter {name!r} was given {short_text(values)} where its values are expected; "
            f"for this single value write [{short_text(values)}]"
        )
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and len(cast("tuple[int, ...]", shape)) != 1:
        raise SpaceError(
            f"parameter {name!r} was given an array of shape {shape} where a list of values is expected; "
            "for this one array as the value write [array], for its elements array.ravel()"
        )
    if getattr(values, "dtype", None) is not None and cast("Any", values).dtype.kind in "biuf":
        values = cast("Any", values).tolist()
    given = list(cast("Iterable[object]", values))
    if set(map(type, given)) <= _PLAIN_TYPES and 0 not in given and not any(map(operator.ne, given, given)):
        return given  # no -0.0 to turn into 0.0, no NaN (which differs from itself) to refuse
    return [normalize(value, name=name) for value in given]


def refuse_repeated(name: str, values: Sequence[Any]) -> None:
    """Raise a SpaceError if a value stands in *values* more than once."""
    keys = values if set(map(type, values)) <= _PLAIN_TYPES else list(map(identity_key, values))
    if len(set(keys)) == len(keys):
        return
    repeated = {key for key, n in Counter(keys).items() if n > 1}
    shown = short_list(short_text(value) for key, value in zip(keys, values, strict=True) if key in repeated)
    raise SpaceError(f"parameter {name!r} lists a value more than once ({shown}); equal values are one, keep one")


class Axis(Space):
    """One parameter and the values it takes, in order.

    Parameters
    ----------
    name
        A Python identifier.
    values
        Any iterable of allowed values, without repeats: a list, range, generator, 1-d NumPy array.
    unit
        Ends up as the ``units`` attribute in xarray.
    default
        Variants at this value leave the parameter out of their identity. It need not be among the values.
    """

    __slots__ = ("_keys", "_parameter", "_pool", "_positions", "_range")

    _pool: Objects
    _range: range | None
    _keys: frozenset[Any]
    _positions: dict[Any, int]

    def __init__(
        self, name: str, values: Iterable[object], *, unit: str | None = None, default: object = NO_DEFAULT
    ) -> None:
        check_name(name)
        if default is not NO_DEFAULT:
            default = normalize(default, name=name)
        self._parameter = Parameter(name, unit, default)
        listed = listed_values(name, values)
        if isinstance(listed, range) and range_size(listed) <= _LISTED_RANGE:
            listed = list(listed)
        self._range = listed if isinstance(listed, range) else None
        if not listed:
            raise SpaceError(f"parameter {name!r} has no values; give at least one, or leave the parameter out")
        if self._range is None:
            refuse_repeated(name, cast("list[Any]", listed))
            self._pool = objects(listed)

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self._parameter.name

    @property
    def unit(self) -> str | None:
        """The parameter's unit."""
        return self._parameter.unit

    @property
    def default(self) -> Any:
        """The declared default, or ``NO_DEFAULT``."""
        return self._parameter.default

    @property
    def values(self) -> Sequence[Any]:
        """The values, in order."""
        return self._range if self._range is not None else tuple(self._pool.tolist())

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The one parameter."""
        return (self._parameter,)

    @property
    def n_variants(self) -> int:
        """The number of values."""
        if self._range is None:
            return len(self._pool)
        return range_size(self._range)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axis itself."""
        return (self,)

    def value(self, position: int) -> Any:
        """The value at a position."""
        return self._pool[position] if self._range is None else self._range[position]

    def take(self, rows: Rows) -> Table:
        """The table of the values at these positions."""
        return Table(self.parameters, {self.name: self.column(rows)}, len(rows))

    def column(self, rows: Rows) -> Column:
        """The values at these positions."""
        if self._range is None:
            return Column(self._pool, rows)
        used, codes = factorized(rows)
        return Column(objects(map(self._range.__getitem__, used.tolist())), codes)

    def row(self, position: int) -> Variant:
        """The variant of the value at a position."""
        return Variant.of(Schema(self.parameters), (self.value(position),))

    def position(self, value: object) -> int:
        """Where a normalized value stands, or -1."""
        if self._range is not None:
            return self._position_in_range(self._range, value)
        try:
            return self._positions.get(identity_key(value), -1)
        except AttributeError:
            self._positions = {identity_key(known): place for place, known in enumerate(self._pool.tolist())}
            return self._positions.get(identity_key(value), -1)

    @staticmethod
    def _position_in_range(values: range, value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        return values.index(value) if type(value) is int and value in values else -1

    def _find(self, table: Table) -> Rows:
        column = table.columns.get(self.name)
        lacking = self.position(self.default) if self._parameter.has_default else -1
        if column is None:
            return np.full(table.n_rows, lacking, dtype=np.int64)
        if self._range is None and column.pool is self._pool:
            found: Codes = column.codes
            return np.where(found < 0, lacking, found) if found.size and found.min() < 0 else found
        places: list[int] = [*map(self.position, column.pool.tolist()), lacking]
        dtype = np.int64 if self.n_variants < 2**63 else object
        return np.array(places, dtype=dtype)[column.codes]

    def keys_of(self, name: str) -> frozenset[Any] | None:
        """Identity keys of the values; None for a very long axis."""
        if name != self.name or self.n_variants > _MOST_KEYS:
            return None
        try:
            return self._keys
        except AttributeError:
            self._keys = frozenset(map(identity_key, self.values))
            return self._keys

    def _data(self, encode: Encode) -> dict[str, Any]:
        del encode
        data: dict[str, Any] = {"kind": "axis", "name": self.name}
        if self._range is not None:
            data["range"] = [self._range.start, self._range.stop, self._range.step]
        else:
            data["values"] = [plain(value) for value in self._pool.tolist()]
        return data | parameter_data(self._parameter)

    def __repr__(self) -> str:
        shown = ", ".join(map(short_text, itertools.islice(self.values, 4)))
        more = f", … {self.n_variants - 4:,} more" if self.n_variants > 4 else ""
        return f"<Axis {self.name}: {shown}{more}>"


def range_size(rows: range) -> int:
    """``len(rows)``, also where that is more than ``len()`` can say."""
    return max(0, -((rows.start - rows.stop) // rows.step))


def axis_named(name: object, values: Any) -> Axis:
    """*values* as an axis of that name; an axis is itself.

    Raises
    ------
    SpaceError
        If it is an axis of another name.
    """
    if not isinstance(values, Axis):
        return Axis(check_name(name), values)
    if values.name != name:
        raise SpaceError(f"the axis {values.name!r} was given under the name {name!r}; give it under its own")
    return values


def parameter_data(parameter: Parameter) -> dict[str, Any]:
    """Unit and default as plain data, where there are any."""
    data: dict[str, Any] = {} if parameter.unit is None else {"unit": parameter.unit}
    return data | {"default": plain(parameter.default)} if parameter.has_default else data


def check_count(n: object, where: str) -> int:
    """*n*, if it is a whole number of at least 1."""
    if isinstance(n, bool | np.bool_) or not isinstance(n, int | np.integer) or n < 1:
        raise SpaceError(f"{where} takes a whole number of at least 1, not {n!r}")
    return int(n)


def Replicates(n: int) -> Axis:  # noqa: N802  reads like the other spaces it is multiplied with
    """*n* independent repetitions: an axis ``replicate`` of 0 … n-1 with default 0.

    The default lets replicates be added to a finished sweep: what is recorded is replicate 0.
    """
    return Axis("replicate", range(check_count(n, "Replicates(n)")), default=0)
