"""The scalar columns of all records, each as one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sciflow.space.table import Column, Table
from sciflow.space.variant import Parameter
from sciflow.store.arrays import missing_value, with_gaps
from sciflow.store.column import FAILURE, ID, ID_BYTES, RUNTIME_S, Category
from sciflow.store.outputs import plan_outputs
from sciflow.store.records import PoolBuilder, Records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sciflow.store.segment import FrameRef


class RecordColumns:
    """The scalar columns of all records, each as one array; arrays of outputs stay where they are."""

    def __init__(self, records: Records, foreign: set[int] | None, defaults: Mapping[str, object]) -> None:
        self.records = records
        self.foreign = foreign
        self.defaults = defaults
        n = len(records)
        self.runtime_s = np.full(n, np.nan, dtype=np.float32)
        self.failure = np.zeros(n, dtype=np.int32)
        self.failures: dict[str, int] = {}
        self.parameters: dict[str, PoolBuilder] = {}
        self.derived: set[str] = set()
        self.ids = np.zeros((n if foreign is None else 0, ID_BYTES), dtype=np.uint8)
        self.plans = plan_outputs(records.frames)
        self.scalars: dict[str, Numbers | Objects] = {
            name: Numbers(n, plan.dtype) if plan.dtype is not None else Objects(n)
            for name, plan in self.plans.items()
            if not plan.is_array
        }

    def is_foreign(self, frame: FrameRef) -> bool:
        """Whether the frame's records are found by their parameters."""
        return self.foreign is None or frame.header["revision"] in self.foreign

    def read(self) -> None:
        """Go through all frames once."""
        for frame, where, table in self.records.tables(self._names):
            if RUNTIME_S in table:
                self.runtime_s[where] = table[RUNTIME_S]
            if FAILURE in table:
                known = self.failures
                self.failure[where] = [known.setdefault(text, len(known) + 1) for text in table[FAILURE]]
            if ID in table:
                self.ids[where] = table[ID]
            for column in frame.header["columns"]:
                name, kind = column["name"], column["kind"]
                if name not in table:
                    continue
                if kind == "output":
                    self.scalars[name].put(where, table[name])
                elif kind == "parameter":
                    builder = self.parameters.setdefault(name, PoolBuilder(len(self.records)))
                    builder.put(where, table[name])
                    if column.get("derived"):
                        self.derived.add(name)

    def table(self, records: NDArray[np.int64]) -> Table:
        """The parameters of some records, as they were stored."""
        columns = {name: Column(b.pool(), b.codes[records]) for name, b in self.parameters.items()}
        present = {name: column for name, column in columns.items() if (column.codes >= 0).any()}
        parameters = tuple(Parameter(name, derived=name in self.derived) for name in present)
        return Table(parameters, present, len(records))

    def _names(self, frame: FrameRef) -> list[str]:
        wanted = [RUNTIME_S, FAILURE]
        if self.foreign is None:
            wanted.append(ID)
        foreign = self.is_foreign(frame)
        return [
            column["name"]
            for column in frame.header["columns"]
            if column["name"] in wanted
            or (column["kind"] == "output" and column["name"] in self.scalars)
            or (column["kind"] == "parameter" and foreign)
        ]


class Numbers:
    """Numbers or moments of one output, and which records have one."""

    def __init__(self, n: int, dtype: np.dtype[Any]) -> None:
        self.values = np.zeros(n, dtype=dtype)
        self.valid = np.zeros(n, dtype=np.bool_)

    def put(self, where: slice, values: Any) -> None:
        """Take over the values of the records *where*."""
        if isinstance(values, Category):  # None for every variant of the frame
            return
        if isinstance(values, np.ma.MaskedArray):
            self.values[where] = np.ma.getdata(values)
            self.valid[where] = ~np.ma.getmaskarray(values)
        else:
            self.values[where] = values
            self.valid[where] = True

    def take(self, winners: NDArray[np.int64]) -> NDArray[Any]:
        """The values of some records; -1 stands for none."""
        valid = (winners >= 0) & self.valid[winners] if len(self.valid) else np.zeros(len(winners), np.bool_)
        if valid.all():
            return self.values[winners]
        dtype = with_gaps(self.values.dtype)
        taken = np.full(len(winners), missing_value(dtype), dtype=dtype)
        taken[valid] = self.values[winners[valid]]
        return taken


class Objects:
    """Texts, or values of several types, of one output."""

    def __init__(self, n: int) -> None:
        # one more: record -1 has no value
        self.values: NDArray[np.object_] = np.full(n + 1, None, dtype=object)

    def put(self, where: slice, values: Any) -> None:
        """Take over the values of the records *where*."""
        if isinstance(values, Category):
            pool = np.full(len(values.pool) + 1, None, dtype=object)
            for place, value in enumerate(values.pool):
                pool[place] = value
            self.values[where] = pool[values.codes]
        elif isinstance(values, np.ndarray):
            self.values[where] = cast("list[Any]", values.tolist())  # pyright: ignore[reportUnknownMemberType]  # its dtype is any
        else:
            self.values[where] = values

    def take(self, winners: NDArray[np.int64]) -> NDArray[Any]:
        """The values of some records; -1 stands for none."""
        return self.values[winners]
