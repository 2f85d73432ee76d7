"""The variants of a space for which predicates hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.space.algebra import Space, row_numbers
from sciflow.space.selection import Selection

if TYPE_CHECKING:
    from sciflow.space.algebra import Encode
    from sciflow.space.rule import Rule
    from sciflow.space.table import Mask, Rows, Table
    from sciflow.space.variant import Parameter


class Filtered(Space):
    """The variants of another space for which all rules hold, in its order.

    Counting tests every candidate once, when the count is first asked for; positions near the start need no count.
    """

    __slots__ = ("_of", "_rules", "_selection")

    def __init__(self, of: Space, *rules: Rule) -> None:
        if isinstance(of, Filtered):
            of, rules = of.of, (*of.rules, *rules)
        self._of, self._rules = of, rules
        self._selection = Selection(of, self._choose)

    def _choose(self, rows: range) -> Mask:
        return self._mask(self._of.take(row_numbers(rows)))

    def _mask(self, table: Table) -> Mask:
        mask = self._rules[0].mask(table)
        for rule in self._rules[1:]:
            passed = np.flatnonzero(mask)
            mask[passed] = rule.mask(table.take(passed))
        return mask

    @property
    def of(self) -> Space:
        """The space filtered."""
        return self._of

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The predicates, in the order in which they are tried."""
        return self._rules

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The other space's parameters."""
        return self._of.parameters

    @property
    def n_variants(self) -> int:
        """How many candidates pass; tests them all, the first time."""
        return self._selection.count()

    @property
    def always_present(self) -> frozenset[str]:
        """Names that every variant has."""
        return self._of.always_present

    def keys_of(self, name: str) -> frozenset[Any] | None:
        """The other space's keys, which include this one's."""
        return self._of.keys_of(name)

    def n_up_to(self, limit: int) -> int:
        """``min(n_variants, limit)``, testing no more candidates than needed."""
        return self._selection.up_to(limit)

    def take(self, rows: Rows) -> Table:
        """The table of these variants."""
        return self._of.take(self._selection.rows(rows))

    def contains(self, table: Table) -> Mask:
        """Which rows are candidates that pass; needs no count."""
        return self.candidates(table) >= 0

    def candidates(self, table: Table) -> Rows:
        """The position among the candidates of each row that passes, else -1."""
        rows = self._of.find(table)
        known = np.flatnonzero(rows >= 0)
        passes = self._mask(self._of.take(rows[known])) if len(known) else np.zeros(0, dtype=np.bool_)
        rows = rows.copy()
        rows[known[~passes]] = -1
        return rows

    def _find(self, table: Table) -> Rows:
        rows = self.candidates(table)
        here = np.flatnonzero(rows >= 0)
        found = np.full(len(rows), -1, np.int64)
        found[here] = self._selection.positions(rows[here])
        return found

    def _data(self, encode: Encode) -> dict[str, Any]:
        return {"kind": "where", "of": self._of._data(encode), "rules": [encode(rule) for rule in self._rules]}  # noqa: SLF001  a node's node

    def _n_text(self) -> str:
        return "counted when asked"
