"""The variants of a sweep and what became of each, one after the other: what rankings, tables and figures read."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd

from sciflow.analysis.condition import holds, names_in
from sciflow.canonical import from_plain
from sciflow.errors import ResultsError
from sciflow.space.table import Column, Table, objects
from sciflow.space.variant import Parameter
from sciflow.store.assembled import DONE, INPUTS_CHANGED, STALE, STATUS_MEANINGS, ArrayOutput, ScalarOutput
from sciflow.store.column import ID, ID_BYTES
from sciflow.store.outputs import plan_outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sciflow.space.variant import Variant
    from sciflow.store.assembled import Assembled, Coordinate

_MOST_ROWS: Final = 4096
_BLOCK_BYTES: Final = 64 * 2**20

FACTS = ("status", "attempt", "runtime_s", "failure")
"""What is known of every variant besides its outputs."""


class Variants:
    """An assembled sweep as one row per variant, in the order of the space."""

    def __init__(self, assembled: Assembled) -> None:
        self._assembled = assembled
        self.n = assembled.n_cells

    @property
    def space_is_known(self) -> bool:
        """Whether variants that nobody ran are listed too; else only what is recorded."""
        return self._assembled.space is not None

    def n_combinations(self, names: Iterable[str]) -> int | None:
        """How many combinations some parameters have where not all variants are listed; None if all are.

        0 where the space does not say.
        """
        space = self._assembled.space
        if space is not None and self.n >= space.n_variants:
            return None
        if space is None or space.axes is None:
            return 0
        wanted = set(names)
        return math.prod(axis.n_variants for axis in space.axes if axis.name in wanted)

    @cached_property
    def table(self) -> Table:
        """The parameters of all variants."""
        known = self._assembled.table(np.arange(self.n))
        if known is not None:
            return known
        defaults, derived = _declared(self._assembled.definition.get("space"))
        columns: dict[str, Column] = {}
        parameters: list[Parameter] = []
        for name, coordinate in self._assembled.coords.items():
            assert coordinate.codes is not None  # without a space the layout is flat
            columns[name] = Column(_values(coordinate), coordinate.codes)
            default = {"default": defaults[name]} if name in defaults else {}
            parameters.append(Parameter(name, coordinate.unit, derived=name in derived, **default))
        return Table(tuple(parameters), columns, self.n)

    @cached_property
    def ids(self) -> list[str]:
        """The identity of each variant."""
        if self.space_is_known:
            return self.table.ids()
        found = np.zeros((self.n, ID_BYTES), dtype=np.uint8)
        for frame, places, rows, reader in self._assembled.source.visit(ID, None):
            found[places] = frame.table([ID], reader)[ID][rows]
        text = found.tobytes().hex()
        return ["v" + text[at : at + 2 * ID_BYTES] for at in range(0, len(text), 2 * ID_BYTES)]

    @property
    def status(self) -> NDArray[np.uint8]:
        """0 missing, 1 done, 2 failed."""
        return self._assembled.status.ravel()

    @property
    def done(self) -> NDArray[np.bool_]:
        """Which variants have results."""
        return self.status == DONE

    @property
    def stale(self) -> NDArray[np.bool_]:
        """Which variants were made by code or inputs other than those of the newest definition."""
        return self._assembled.stale.ravel()

    @property
    def shows_stale(self) -> bool:
        """Whether the table has a column ``stale``."""
        return self._assembled.shows_stale

    @property
    def inputs_changed(self) -> NDArray[np.bool_]:
        """Which variants may be of inputs that changed while they were made."""
        return self._assembled.inputs_changed.ravel()

    @property
    def has_inputs(self) -> bool:
        """Whether results also depend on declared inputs."""
        return bool(self._assembled.definition.get("inputs"))

    @cached_property
    def generations(self) -> NDArray[np.int32]:
        """A number for the code and inputs that made each variant's result; -1 where there is none."""
        return self._assembled.facts("generation")[0].ravel()

    @property
    def failure(self) -> NDArray[np.int32]:
        """0, or one more than the index of the variant's failure."""
        return self._assembled.failure.ravel()

    def counts(self) -> dict[str, int]:
        """How many variants have each status: done, failed and missing always, in this order."""
        found = np.bincount(self.status, minlength=len(STATUS_MEANINGS)).tolist()
        by_name = dict(zip(STATUS_MEANINGS, found, strict=True))
        counts = {name: by_name[name] for name in ("done", "failed", "missing")}
        space = self._assembled.space
        if space is not None:  # of a huge space only what is recorded is listed
            counts["missing"] += space.n_variants - self.n
        return counts

    @property
    def metrics(self) -> list[str]:
        """Names of the outputs with one value per variant, in the order in which they were recorded."""
        return [name for name, output in self._assembled.outputs.items() if isinstance(output, ScalarOutput)]

    @property
    def numeric_metrics(self) -> list[str]:
        """The metrics whose values are real numbers, or true and false."""
        return [name for name in self.metrics if self.scalar(name).dtype.kind in "biuf"]

    def scalar(self, name: str) -> NDArray[Any]:
        """One value per variant of an output, or of ``runtime_s`` or ``attempt``.

        Raises
        ------
        ResultsError
            There is no such output, or it has an array per variant.
        """
        if name == "runtime_s":
            return self._assembled.runtime_s.ravel()
        if name == "attempt":
            return self._assembled.attempt.ravel()
        output = self._assembled.outputs.get(name)
        if isinstance(output, ScalarOutput):
            return np.ravel(output.values)
        if output is not None:
            raise ResultsError(
                f"output {name!r} is an array for each variant; this needs one number: "
                f"reduce it in the task, or take it from results.dataset[{name!r}]"
            )
        error = unknown_metric(name, [*self._assembled.outputs, "runtime_s", "attempt"])
        if self.done.any():
            raise error
        counts = ", ".join(f"{n:,} {status}" for status, n in self.counts().items())
        raise ResultsError(f"{error}; no variant has a result yet ({counts}), and results.failures() says what failed")

    def array_output(self, name: str) -> ArrayOutput | None:
        """An output with an array per variant; None if there is none of that name."""
        output = self._assembled.outputs.get(name)
        return output if isinstance(output, ArrayOutput) else None

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A metric as numbers, NaN where a variant is not done or has none.

        Raises
        ------
        ResultsError
            There is no such metric, or its values are not real numbers.
        """
        values = self.scalar(name)
        if values.dtype.kind not in "biuf":
            raise ResultsError(f"the values of {name!r} are not numbers ({_example(values)}), so they have no order")
        return np.where(self.done, values.astype(np.float64), np.nan)

    def failure_of(self, row: int) -> dict[str, Any]:
        """Why a variant failed, as it was recorded."""
        return self._assembled.messages[int(self.failure[row]) - 1]

    @cached_property
    def failure_headlines(self) -> NDArray[np.object_]:
        """For code 0 and each failure one line."""
        return objects(["", *map(headline, self._assembled.messages)])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All variants as a table: parameters, facts, and the outputs with one value; ``variant`` is the index."""
        parameters = {name: _unmasked(array) for name, array in self.table.arrays().items()}
        outputs = {name: self.scalar(name) for name in self.metrics}
        columns: dict[str, Any] = {**parameters, **{name: self._fact(name) for name in self._facts}, **outputs}
        return pd.DataFrame(columns, index=pd.Index(self.ids, name="variant"), copy=False)

    @property
    def _facts(self) -> tuple[str, ...]:
        return (*FACTS, *self._assembled.flags)

    def _fact(self, name: str) -> NDArray[Any]:
        if name == "status":
            return objects(STATUS_MEANINGS)[self.status]
        if name == "failure":
            return self.failure_headlines[self.failure]
        return self._flag_or_scalar(name)

    def _flag_or_scalar(self, name: str) -> NDArray[Any]:
        flags = self._assembled.flags
        return flags[name].ravel() if name in flags else self.scalar(name)

    def columns(self, names: Iterable[str]) -> pd.DataFrame:
        """Some columns of `frame`, without the others and without ids, which take most of the time."""
        wanted = list(names)
        parameters = self.table.only(wanted).arrays()
        return pd.DataFrame(
            {
                name: _unmasked(parameters[name])
                if name in parameters
                else self._fact(name)
                if name in self._facts
                else self.scalar(name)
                for name in wanted
            },
            index=pd.RangeIndex(self.n),
            copy=False,
        )

    @cached_property
    def _truths(self) -> tuple[str, ...]:
        """Outputs that are true or false, but are numbers here because some variants have none."""
        floats = [name for name in self.metrics if self.scalar(name).dtype.kind == "f"]
        plans = plan_outputs(self._assembled.snapshot.frames) if floats else {}
        return tuple(name for name in floats if (dtype := plans[name].dtype) is not None and dtype.kind == "b")

    def each(self, rows: NDArray[np.int64]) -> Iterator[tuple[Variant, dict[str, Any]]]:
        """Some variants, each with what is recorded of it; a few at a time are read."""
        row_bytes = sum(one.dtype.itemsize * math.prod(one.extent) for one in self._arrays.values())
        n_rows = max(1, min(_MOST_ROWS, _BLOCK_BYTES // max(1, row_bytes)))
        for start in range(0, len(rows), n_rows):
            yield from self._records(rows[start : start + n_rows])

    @property
    def _arrays(self) -> dict[str, ArrayOutput]:
        outputs = self._assembled.outputs.items()
        return {name: output for name, output in outputs if isinstance(output, ArrayOutput)}

    def _records(self, rows: NDArray[np.int64]) -> Iterator[tuple[Variant, dict[str, Any]]]:
        table = self._assembled.table(rows)
        variants = (self.table.take(rows) if table is None else table).variants()
        facts = {name: self._fact_of(name, rows) for name in self._facts}
        outputs: dict[str, Iterable[Any]] = {name: self.scalar(name)[rows].tolist() for name in self.metrics}
        outputs |= {name: output.gather(rows) for name, output in self._arrays.items()}
        done = self.done[rows].tolist()
        known = zip(*facts.values(), strict=True)
        recorded = zip(*outputs.values(), strict=True) if outputs else (() for _ in done)
        for variant, is_done, fact, record in zip(variants, done, known, recorded, strict=True):
            mine = dict(zip(outputs, record, strict=True)) if is_done else {}
            yield variant, dict(zip(facts, fact, strict=True)) | mine

    def _fact_of(self, name: str, rows: NDArray[np.int64]) -> list[Any]:
        if name == "status":
            return [STATUS_MEANINGS[code] for code in self.status[rows].tolist()]
        if name == "failure":
            return self.failure_headlines[self.failure[rows]].tolist()
        return self._flag_or_scalar(name)[rows].tolist()

    def matching(self, query: str) -> NDArray[np.bool_]:
        """For which variants a condition on parameters, facts and outputs holds.

        Raises
        ------
        ResultsError
            It is not understood, or names something that is not there.
        """
        # "not stale" is understood also when nothing is
        also = {STALE: pd.Series(self.stale), INPUTS_CHANGED: pd.Series(self.inputs_changed)}
        taken = {*self.table.columns, *self._facts, *self.metrics}
        also = {name: column for name, column in also.items() if name not in taken}
        names = names_in(query, {*taken, *also})
        # a table of what is named alone is several times faster; what it cannot answer, or explain, the whole one can
        frame = self.frame if names is None else self.columns(name for name in sorted(names) if name in taken)
        also = {name: column.set_axis(frame.index) for name, column in also.items()}
        frame = frame.assign(**{name: frame[name].astype("boolean") for name in self._truths if name in frame})
        try:
            return holds(query, frame, also)
        except pd.errors.UndefinedVariableError as error:
            name = str(error).split("'")[1]
            raise _unknown(f"the query {query!r} names {name!r}, which is no column", name, self.frame) from None


def parameter_frame(table: Table) -> pd.DataFrame:
    """The parameters of variants as a table; their ids are its index."""
    columns = {name: _unmasked(array) for name, array in table.arrays().items()}
    return pd.DataFrame(columns, index=pd.Index(table.ids(), name="variant"), copy=False)


def headline(failure: Mapping[str, Any]) -> str:
    """One line: task, exception and the start of its message."""
    task, message = failure.get("task"), str(failure.get("message") or "")
    first = message.splitlines()[0] if message else ""
    parts = [part for part in (task, failure.get("type"), first) if part]
    return ": ".join(map(str, parts))[:300]


def unknown_metric(name: str, known: Iterable[str]) -> ResultsError:
    """The error for a metric that nobody recorded."""
    return _unknown(f"there is no metric {name!r}", name, known)


def unknown_parameter(name: str, known: Iterable[str]) -> ResultsError:
    """The error for a parameter that the sweep does not have."""
    return _unknown(f"there is no parameter {name!r}", name, known)


def _unknown(what: str, name: str, known: Iterable[str]) -> ResultsError:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return ResultsError(f"{what}; there are {', '.join(names) or '(none)'}{hint}")


def _declared(space: object) -> tuple[dict[str, Any], set[str]]:
    """Defaults, and the names of derived parameters, in the stored description of a space."""
    defaults: dict[str, Any] = {}
    derived: set[str] = set()
    if isinstance(space, Mapping):
        node = cast("Mapping[str, Any]", space)
        if node.get("kind") == "derive":
            derived |= set(node["rules"])
        if "default" in node and "name" in node:
            defaults[node["name"]] = from_plain(node["default"])
        inner: Iterable[Any] = node.values()
    else:
        inner = cast("list[Any]", space) if isinstance(space, list) else ()
    for part in inner:
        more_defaults, more_derived = _declared(part)
        defaults |= more_defaults
        derived |= more_derived
    return defaults, derived


def _values(coordinate: Coordinate) -> NDArray[np.object_]:
    """The values of a coordinate as Python objects."""
    if coordinate.plain is not None:
        return objects(map(from_plain, coordinate.plain))
    pool = coordinate.pool
    return objects((pool.astype("datetime64[us]") if pool.dtype.kind == "M" else pool).tolist())


def _unmasked(values: NDArray[Any]) -> NDArray[Any]:
    """Values with NaN, or None, where a variant lacks the parameter."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    mask = np.ma.getmaskarray(values)
    data = np.ma.getdata(values)
    if data.dtype.kind in "iuf":
        return np.where(mask, np.nan, data)
    if data.dtype.kind == "M":
        return np.where(mask, np.datetime64("NaT"), data)
    present = data.astype(object)
    present[mask] = None
    return present


def _example(values: NDArray[Any]) -> str:
    return next((repr(value) for value in values.tolist() if value is not None), "all of them are None")
