"""Parameters computed from others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sciflow.errors import SpaceError
from sciflow.space.algebra import Space
from sciflow.space.rule import Rule
from sciflow.space.table import Mask, Rows, Table
from sciflow.space.variant import Parameter, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.space.algebra import Encode
    from sciflow.space.axis import Axis


class Derived(Space):
    """Another space's variants with further parameters, which do not count for their identity.

    A rule may use the parameters derived before it.
    """

    __slots__ = ("_of", "_parameters", "_rules")

    def __init__(self, of: Space, rules: Mapping[str, Any]) -> None:
        self._of = of
        known = list(of.names)
        self._rules: dict[str, Rule] = {}
        for name, given in rules.items():
            if check_name(name) in known:
                raise SpaceError(
                    f"derive() would hide the parameter {name!r}, which the space has; choose another name"
                )
            self._rules[name] = Rule(given, known, f"derive({name}={{}})")
            known.append(name)
        if not self._rules:
            raise SpaceError("derive() takes at least one name with its rule, such as derive(area='width * height')")
        self._parameters = (*of.parameters, *(Parameter(name, derived=True) for name in self._rules))

    @property
    def of(self) -> Space:
        """The space without the derived parameters."""
        return self._of

    @property
    def rules(self) -> Mapping[str, Rule]:
        """How each is derived, by name."""
        return dict(self._rules)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The other space's parameters, then the derived ones."""
        return self._parameters

    @property
    def n_variants(self) -> int:
        """As many as in the other space."""
        return self._of.n_variants

    @property
    def axes(self) -> tuple[Axis, ...] | None:
        """The other space's axes."""
        return self._of.axes

    @property
    def always_present(self) -> frozenset[str]:
        """Names that every variant has, apart from derived ones."""
        return self._of.always_present

    def keys_of(self, name: str) -> frozenset[Any] | None:
        """The other space's keys."""
        return self._of.keys_of(name) if name in self._of.names else None

    def n_up_to(self, limit: int) -> int:
        """``min(n_variants, limit)``, as the other space counts it."""
        return self._of.n_up_to(limit)

    def take(self, rows: Rows) -> Table:
        """The table of these variants, derived columns computed."""
        table = self._of.take(rows)
        columns = dict(table.columns)
        for name, rule in self._rules.items():
            columns[name] = rule.column(Table(table.parameters, columns, table.n_rows))
        return Table(self._parameters, columns, table.n_rows)

    def contains(self, table: Table) -> Mask:
        """Which rows the other space contains."""
        own, foreign = self._own_part(table)
        return self._of.contains(own) & ~foreign

    def _find(self, table: Table) -> Rows:
        return self._of.find(table)

    def _data(self, encode: Encode) -> dict[str, Any]:
        rules = {name: encode(rule) for name, rule in self._rules.items()}
        return {"kind": "derive", "of": self._of._data(encode), "rules": rules}  # noqa: SLF001  a node's node

    def _n_text(self) -> str:
        return self._of._n_text()  # noqa: SLF001  a node's node
