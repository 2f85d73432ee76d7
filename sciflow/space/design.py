"""Designs: spaces whose variants a seeded rule draws once."""

from __future__ import annotations

import base64
import inspect
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from sciflow.errors import SpaceError
from sciflow.space.algebra import Space
from sciflow.space.axis import check_count
from sciflow.space.chosen import check_seed
from sciflow.space.ranges import Choices, Range, parse_range, range_from_dict
from sciflow.space.rowindex import RowIndex, factorized
from sciflow.space.table import Codes, Column, Rows, Table, objects
from sciflow.space.variant import Parameter, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sciflow.space.algebra import Encode

    Floats = NDArray[np.float64]

MOST_POINTS: Final = 10**7


class Design(Space):
    """Points drawn from ranges by a seeded rule; what was drawn is kept, and stored with the space.

    Whole numbers and choices may be drawn alike twice: the first is kept, so there may be fewer variants than *n*.

    Parameters
    ----------
    ranges
        For each parameter ``(low, high)`` of real numbers, a :class:`Range`, or a list of choices.
    n
        How many points to draw, at most 10**7.
    seed
        A whole number; the same seed draws the same points.
    """

    __slots__ = ("_index", "_n", "_parameters", "_points", "_ranges", "_seed", "_uniques")

    _kind: ClassVar[str]
    _index: RowIndex
    _uniques: list[Floats]

    def __init__(self, ranges: Mapping[str, Any] | None = None, /, n: int = 0, seed: int = 0, **more: Any) -> None:
        given = {**(ranges or {}), **more}
        if not given:
            raise SpaceError(f"{type(self).__name__} takes at least one parameter with its range")
        n = check_count(n, f"{type(self).__name__}(ranges, n, seed), n:")
        if n > MOST_POINTS:
            raise SpaceError(f"a design has at most {MOST_POINTS:,} points, not {n:,}; a Grid may be any size")
        known = {check_name(name): parse_range(name, value) for name, value in given.items()}
        seed = check_seed(seed)
        drawn = self._draw(len(known), n, seed)
        points = np.empty((len(known), n))
        for row, (mine, unit_interval) in enumerate(zip(known.values(), drawn.T, strict=True)):
            points[row] = mine.place(unit_interval)
        self._set(known, n, seed, self._distinct(points))

    def _set(self, ranges: dict[str, Range | Choices], n: int, seed: int, points: Floats) -> None:
        self._ranges, self._n, self._seed = ranges, n, seed
        points.setflags(write=False)
        self._points = points
        self._parameters = tuple(Parameter(name, mine.unit) for name, mine in ranges.items())

    @staticmethod
    @abstractmethod
    def _draw(n_parameters: int, n: int, seed: int) -> Floats:
        """Points of the unit cube, one per row."""

    def _distinct(self, points: Floats) -> Floats:
        uniques: list[Floats] = []
        for row in points:
            uniques.append(np.unique(row))
            if len(uniques[-1]) == points.shape[1]:  # one parameter tells all points apart, as real numbers do
                return points
        columns, sizes = _codes(points, uniques)
        index = RowIndex(columns, sizes, points.shape[1])
        if index.n_distinct == points.shape[1]:
            return points
        return np.ascontiguousarray(points[:, index.first_of_each()])

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in the order of the ranges."""
        return self._parameters

    @property
    def n_variants(self) -> int:
        """The number of distinct points."""
        return self._points.shape[1]

    @property
    def ranges(self) -> Mapping[str, Range | Choices]:
        """What each parameter was drawn from."""
        return dict(self._ranges)

    def take(self, rows: Rows) -> Table:
        """The table of these points."""
        rows = rows.astype(np.int64, copy=False)
        columns: dict[str, Column] = {}
        for (name, mine), numbers in zip(self._ranges.items(), self._points, strict=True):
            drawn = numbers[rows]
            if isinstance(mine, Range) and not mine.integer:
                columns[name] = Column(objects(drawn.tolist()), np.arange(len(rows), dtype=np.int64))
            else:
                used, codes = factorized(drawn.astype(np.int64))
                columns[name] = Column(objects(mine.values(used.astype(np.float64))), codes)
        return Table(self._parameters, columns, len(rows))

    def _find(self, table: Table) -> Rows:
        self._prepare()
        columns: list[Codes] = []
        for (name, mine), unique in zip(self._ranges.items(), self._uniques, strict=True):
            column = table.columns.get(name)
            if column is None:
                return np.full(table.n_rows, -1, np.int64)
            drawn = np.array(list(map(mine.drawn, column.pool.tolist())), dtype=np.float64)
            place = np.minimum(np.searchsorted(unique, drawn), len(unique) - 1)
            codes = np.append(np.where(unique[place] == drawn, place, -1), -1)
            columns.append(codes[column.codes])
        return self._index.find(columns, table.n_rows)

    def _prepare(self) -> None:
        if not hasattr(self, "_index"):
            self._uniques = [np.unique(row) for row in self._points]
            self._index = RowIndex(*_codes(self._points, self._uniques), self.n_variants)

    def _data(self, encode: Encode) -> dict[str, Any]:
        del encode
        parameters: list[dict[str, Any]] = []
        for (name, mine), numbers in zip(self._ranges.items(), self._points, strict=True):
            data = {"name": name, **mine.to_dict()} | ({} if mine.unit is None else {"unit": mine.unit})
            parameters.append(data | {"drawn": base64.b64encode(numbers.astype("<f8").tobytes()).decode()})
        return {"kind": self._kind, "n": self._n, "seed": self._seed, "parameters": parameters}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Design:
        """The design that :meth:`to_dict` wrote; its points are read, not drawn again."""
        design = cls.__new__(cls)
        ranges = {check_name(entry["name"]): range_from_dict(entry["name"], entry) for entry in data["parameters"]}
        drawn = [np.frombuffer(base64.b64decode(entry["drawn"]), dtype="<f8") for entry in data["parameters"]]
        design._set(  # noqa: SLF001  a constructor
            ranges, data["n"], data["seed"], np.array(drawn, dtype=np.float64)
        )
        return design

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({', '.join(self._ranges)}; seed {self._seed}): {self._n_text()}>"


def _codes(points: Floats, uniques: list[Floats]) -> tuple[list[Codes], list[int]]:
    columns = [np.searchsorted(unique, row) for unique, row in zip(uniques, points, strict=True)]
    return columns, [len(unique) for unique in uniques]


class Random(Design):
    """Independent uniform points; a longer one of the same seed contains the shorter."""

    __slots__ = ()

    _kind = "random"

    @staticmethod
    def _draw(n_parameters: int, n: int, seed: int) -> Floats:
        return np.random.Generator(np.random.Philox(seed)).random((n, n_parameters))


class LatinHypercube(Design):
    """Points that cover each parameter's range evenly (``scipy.stats.qmc.LatinHypercube``)."""

    __slots__ = ()

    _kind = "latin_hypercube"

    @staticmethod
    def _draw(n_parameters: int, n: int, seed: int) -> Floats:
        return _sampler("LatinHypercube", n_parameters, seed).random(n)


class Sobol(Design):
    """A scrambled Sobol' sequence (``scipy.stats.qmc.Sobol``); a longer one of the same seed contains the shorter.

    It covers the ranges most evenly if *n* is a power of two.
    """

    __slots__ = ()

    _kind = "sobol"

    @staticmethod
    def _draw(n_parameters: int, n: int, seed: int) -> Floats:
        # whole powers of two, cut to n: SciPy warns of any other number
        return _sampler("Sobol", n_parameters, seed).random_base2((n - 1).bit_length())[:n]


def _sampler(name: str, n_parameters: int, seed: int) -> Any:
    from scipy.stats import qmc  # noqa: PLC0415  SciPy is slow to import and seldom needed

    make = getattr(qmc, name)
    generator = "rng" if "rng" in inspect.signature(make.__init__).parameters else "seed"  # SciPy before 1.15: seed
    return make(n_parameters, **{generator: np.random.default_rng(seed)})
