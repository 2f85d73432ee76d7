"""A variant: one value per parameter, with an identity; and what is known of a parameter besides its values."""

from __future__ import annotations

import enum
import keyword
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, TypeAlias, cast

from sciflow import canonical
from sciflow.errors import SpaceError


class Missing(enum.Enum):
    """Two ways of having no value, apart from None, which is one."""

    NO_DEFAULT = "no default"
    ABSENT = "absent"

    def __repr__(self) -> str:
        return self.name

    def __bool__(self) -> bool:
        return False


NO_DEFAULT: Final = Missing.NO_DEFAULT
"""The default of a parameter that has none."""
ABSENT: Final = Missing.ABSENT
"""What a variant has for a parameter that it lacks."""

Absent: TypeAlias = Literal[Missing.ABSENT]

_KEYWORDS: Final = frozenset({"method", "tolerance", "drop"})  # of xarray.Dataset.sel, whose others are coordinates
RESERVED_NAMES: Final = frozenset({"variant", "status", "attempt", "runtime_s", "failure"}) | _KEYWORDS
"""Names that result variables, or keywords of ``xarray.Dataset.sel``, already have."""


def check_name(name: object) -> str:
    """*name*, if it can be a parameter: a Python identifier that nothing else uses.

    Raises
    ------
    SpaceError
        If it is not a text, not an identifier, a keyword or reserved.
    """
    if not isinstance(name, str):
        raise SpaceError(f"a parameter's name is a text, not {name!r}")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise SpaceError(
            f"a parameter cannot be called {name!r}: values reach tasks as arguments of that name, "
            "so it has to be a Python identifier and not a keyword"
        )
    written = unicodedata.normalize("NFKC", name)
    if written != name:
        raise SpaceError(f"a parameter cannot be called {name!r}: Python reads that name as {written!r}; call it so")
    if name in RESERVED_NAMES:
        why = "the dataset of results has a variable of that name"
        if name in _KEYWORDS:
            why = f"xarray's Dataset.sel({name}=…) means something else, so results could not be selected by it"
        example = ", such as 'scheme'" if name == "method" else ""
        raise SpaceError(
            f"a parameter cannot be called {name!r}: {why}; "
            f"choose another name{example} (reserved: {', '.join(sorted(RESERVED_NAMES))})"
        )
    return name


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter's name, unit, declared default, and whether it is computed from others."""

    name: str
    unit: str | None = None
    default: Any = NO_DEFAULT
    derived: bool = False

    @property
    def has_default(self) -> bool:
        """Whether variants at the default leave this parameter out of their identity."""
        return self.default is not NO_DEFAULT

    def counts_at(self, value: object) -> bool:
        """Whether this parameter, at *value*, is part of a variant's identity."""
        if self.derived:
            return False
        return not self.has_default or canonical.identity_key(value) != canonical.identity_key(self.default)

    def merged(self, other: Parameter) -> Parameter:
        """What two spaces say about one parameter, together.

        Raises
        ------
        SpaceError
            If they contradict each other.
        """
        if self is other:
            return self
        if self.derived != other.derived:
            raise SpaceError(f"parameter {self.name!r} is derived in one space and chosen in the other; rename one")
        if self.unit is not None and other.unit is not None and self.unit != other.unit:
            raise SpaceError(
                f"parameter {self.name!r} has the unit {self.unit!r} in one space and {other.unit!r} in the other"
            )
        if self.has_default and other.has_default and other.counts_at(self.default):
            raise SpaceError(
                f"parameter {self.name!r} has the default {self.default!r} in one space and {other.default!r} "
                "in the other; a default is part of the identity of variants, so keep one"
            )
        return Parameter(
            self.name,
            other.unit if self.unit is None else self.unit,
            self.default if self.has_default else other.default,
            self.derived,
        )


def merge_parameters(left: Iterable[Parameter], right: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """The parameters of both, in order of appearance; those of one name merged."""
    merged = {parameter.name: parameter for parameter in left}
    for parameter in right:
        known = merged.get(parameter.name)
        merged[parameter.name] = parameter if known is None else known.merged(parameter)
    return tuple(merged.values())


class Schema:
    """What the variants of one shape share: their parameters and where each value stands."""

    __slots__ = ("index", "names", "parameters")

    def __init__(self, parameters: tuple[Parameter, ...]) -> None:
        self.parameters = parameters
        self.names = tuple(parameter.name for parameter in parameters)
        self.index = {name: place for place, name in enumerate(self.names)}

    def __reduce__(self) -> tuple[type[Schema], tuple[tuple[Parameter, ...]]]:
        return Schema, (self.parameters,)


class Variant(Mapping[str, Any]):
    """One value per parameter: an immutable mapping with an identity.

    Variants are equal if their identities are: names are order-free, derived parameters and values at a declared
    default do not count.
    """

    __slots__ = ("_id", "_schema", "_values")

    _schema: Schema
    _values: tuple[Any, ...]
    _id: str

    def __init__(self, values: Mapping[str, object] | None = None, /, **more: object) -> None:
        given = {**(values or {}), **more}
        self._schema = Schema(tuple(Parameter(check_name(name)) for name in given))
        self._values = tuple(canonical.normalize(value, name=name) for name, value in given.items())

    @classmethod
    def of(cls, schema: Schema, values: tuple[Any, ...]) -> Self:
        """The variant with these values, already normalized, in the schema's order."""
        variant = cls.__new__(cls)
        variant._schema = schema  # noqa: SLF001  a constructor
        variant._values = values  # noqa: SLF001  a constructor
        return variant

    @property
    def id(self) -> str:
        """``v`` and 20 hexadecimal digits that name this variant anywhere."""
        try:
            return self._id
        except AttributeError:
            self._id = _variant_id(self._schema.parameters, self._values)
            return self._id

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is known of the parameters, in the order of the values."""
        return self._schema.parameters

    def without(self, *names: str) -> Variant:
        """The variant less some parameters, such as ``replicate``."""
        kept = [(parameter, self[parameter.name]) for parameter in self.parameters if parameter.name not in names]
        return Variant.of(Schema(tuple(parameter for parameter, _ in kept)), tuple(value for _, value in kept))

    def __getitem__(self, name: str) -> Any:
        return self._values[self._schema.index[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._schema.names)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._schema.index

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, Variant):
            return self.id == other.id
        if not isinstance(other, Mapping):
            return NotImplemented
        known = {parameter.name: parameter for parameter in self.parameters}
        given = cast("Mapping[str, object]", other)
        try:
            counted = tuple(known.get(check_name(name), Parameter(name)) for name in given)
            return self.id == _variant_id(counted, tuple(map(canonical.normalize, given.values())))
        except SpaceError:  # what cannot be a variant equals none
            return False

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Variant({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Variant.of, (self._schema, self._values)


def _variant_id(parameters: tuple[Parameter, ...], values: tuple[Any, ...]) -> str:
    pairs = zip(parameters, values, strict=True)
    return canonical.variant_id({known.name: value for known, value in pairs if known.counts_at(value)})
