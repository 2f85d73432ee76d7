"""Recorder: what the variants of a batch returned, as frames of typed columns."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sciflow.engine.meter import TIMES, Usage
from sciflow.errors import OutputError
from sciflow.running.failure import Failure
from sciflow.running.run import Outcome, Ran
from sciflow.space.variant import RESERVED_NAMES
from sciflow.store import column
from sciflow.store.column import FILES, RAN
from sciflow.store.frame import Frame
from sciflow.store.labels import labelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.space.table import Table

_SCALARS = frozenset({float, int, bool, str, type(None), complex})


@dataclass(frozen=True, slots=True)
class Runs:
    """Consecutive variants that were run and are not committed yet.

    Parameters
    ----------
    table, rows : the variants and their positions in the space, (n,)
    outcomes : what each ended with, (n,)
    start : when the first began, in seconds of ``time.perf_counter``
    ends : when each ended, (n,)
    attempt : which try this was
    seconds : task → how long its run took, (n,); empty for a workflow of one task
    usage : what they took of the machine
    origins : shared task → runs elsewhere whose values were given, and for each which of them, -1 for none, (n,)
    files : JSON texts about the artifacts that each made and used, (n,); None when none did
    """

    table: Table
    rows: NDArray[np.int64]
    outcomes: list[Outcome]
    start: float
    ends: list[float]
    attempt: int
    seconds: Mapping[str, NDArray[np.float32]] = field(default_factory=dict[str, "NDArray[np.float32]"])
    usage: Usage = field(default_factory=Usage)
    files: list[str | None] | None = None
    origins: Mapping[str, tuple[list[Mapping[str, Any]], NDArray[np.int64]]] = field(
        default_factory=dict[str, "tuple[list[Mapping[str, Any]], NDArray[np.int64]]"]
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """Outcomes that share columns; None for the members means all of them."""

    members: NDArray[np.int64] | None
    columns: dict[str, column.ColumnData]
    failures: list[Failure]
    n_retries: int = 0
    recovered: list[Failure] = field(default_factory=list[Failure])


class Recorder:
    """Builds the frames of one commit.

    Parameters
    ----------
    facts : what holds for all frames of this worker (revision, session, generation, environment, worker)
    units : output name → unit
    task_of : output name → the task that returned it, for messages
    parameters : names of the parameters, which outputs may not take
    """

    def __init__(
        self,
        facts: Mapping[str, Any],
        units: Mapping[str, str],
        task_of: Callable[[str], str],
        parameters: Sequence[str],
    ) -> None:
        self._facts = facts
        self._units = units
        self._task_of = task_of
        self._taken = RESERVED_NAMES | set(parameters)

    def frames(self, runs: Runs) -> tuple[list[Frame], list[Failure]]:
        """Turn runs into frames; give the failures among them too."""
        ends = np.asarray(runs.ends)
        starts = np.empty(len(ends))
        starts[0], starts[1:] = runs.start, ends[:-1]
        took = ends - starts
        facts = {**self._facts, "t0": time.time() - (time.perf_counter() - runs.start)}
        frames: list[Frame] = []
        failed: list[Failure] = []
        for group in self._group(runs.outcomes):
            members = np.arange(len(took)) if group.members is None else group.members
            at = slice(None) if group.members is None else group.members
            chosen = runs.table if group.members is None else runs.table.take(group.members)
            mine = runs.rows[at]
            failed += group.failures
            contiguous = int(mine[-1]) - int(mine[0]) == len(mine) - 1 and bool((np.diff(mine) == 1).all())
            told = group.failures or group.recovered
            cells = {
                known.name: column.category(
                    chosen.columns[known.name].pool,
                    chosen.columns[known.name].codes,
                    kind="parameter",
                    **({"derived": True} if known.derived else {}),
                )
                for known in chosen.parameters
            }
            cells |= column.variant_facts(
                chosen.id_bytes(),
                starts[at] - runs.start,
                took[at],
                rows=None if contiguous else mine,
                failures=[json.dumps(failure.to_dict()) for failure in told] if told else None,
            )
            cells |= {
                f"@s.{task}": column.fixed(seconds[at], kind="fact", units="s")
                for task, seconds in runs.seconds.items()
            }
            cells |= {
                RAN + task: column.category(list(map(json.dumps, known)), codes[at], kind="fact")
                for task, (known, codes) in runs.origins.items()
            }
            files = [runs.files[k] for k in members.tolist()] if runs.files else []
            if any(files):
                cells[FILES] = column.text(files, kind="fact")
            cells |= group.columns
            header = {**facts, "attempt": runs.attempt + group.n_retries}
            usage = runs.usage.take(members, float(took[at].sum()) / max(float(took.sum()), 1e-12))
            header |= {name: round(value, 6) if name in TIMES else round(value) for name, value in usage.total.items()}
            cells |= {
                f"@{name}": column.fixed(values, kind="fact", units="s" if name in TIMES else "bytes")
                for name, values in usage.each.items()
            }
            if contiguous:
                header["rows"] = [int(mine[0]), int(mine[-1]) + 1]
            if group.failures:
                header["cause"] = group.failures[0].cause
            frames.append(Frame({**header, "status": "failed" if group.failures else "done"}, cells))
        return frames, failed

    def _group(self, outcomes: list[Outcome]) -> list[_Group]:
        """Put outcomes that can share columns together."""
        columns = self._uniform(outcomes)
        if columns is not None:
            return [_Group(None, columns, [])]
        rans = [self._checked(outcome) for outcome in outcomes]
        try:
            return self._grouped(rans)
        except Exception:  # noqa: BLE001  what the store refuses, and whatever classes of the user's raise when read
            return self._grouped([self._encodable(ran) for ran in rans], apart=True)

    def _grouped(self, rans: list[Ran], *, apart: bool = False) -> list[_Group]:
        members: dict[Any, list[int]] = {}
        for k, ran in enumerate(rans):
            kind = k if apart and not isinstance(ran.result, Failure) else _signature(ran.result)
            signature = (kind, ran.n_retries, ran.recovered is None)
            members.setdefault(signature, []).append(k)
        grouped: list[_Group] = []
        for chosen in members.values():
            ours = [rans[k] for k in chosen]
            failures = [ran.result for ran in ours if isinstance(ran.result, Failure)]
            results = [ran.result for ran in ours if not isinstance(ran.result, Failure)]
            recovered = [ran.recovered for ran in ours if ran.recovered is not None]
            encoded = {} if failures else self._encode(results)
            grouped.append(_Group(np.array(chosen), encoded, failures, ours[0].n_retries, recovered))
        return grouped

    def _encodable(self, ran: Ran) -> Ran:
        """The outcome, or that it cannot be recorded if its variant alone cannot."""
        if isinstance(ran.result, Failure):
            return ran
        name: object = ""
        try:
            for name, value in ran.result.items():
                self._encode([{name: value}])
        except Exception as error:  # noqa: BLE001  as in `_group`
            task = self._task_of(str(name))
            refusal = OutputError(f"output {name!r} of task {task!r} cannot be recorded: {_words(error)}")
            return replace(ran, result=Failure.of(refusal, task))
        return ran

    def _uniform(self, outcomes: list[Outcome]) -> dict[str, column.ColumnData] | None:
        """Encode outcomes that all have the same outputs of plain scalar types, without looking at each; or None."""
        if set(map(type, outcomes)) != {dict}:
            return None
        results = cast("list[dict[str, Any]]", outcomes)
        first = results[0]
        if set(map(len, results)) != {len(first)} or not all(map(self._allowed, first)):
            return None
        columns: dict[str, column.ColumnData] = {}
        try:
            for name in first:
                values = list(map(itemgetter(name), results))
                if set(map(type, values)) not in ({float}, {int}, {bool}, {str}):
                    return None
                columns[name] = column.outputs(values, **self._unit(name))
        except (KeyError, OverflowError):
            return None
        return columns

    def _encode(self, results: list[Mapping[str, Any]]) -> dict[str, column.ColumnData]:
        encoded: dict[str, column.ColumnData] = {}
        for name, value in results[0].items():
            values = [result[name] for result in results]
            if _is_labelled(value):
                encoded |= labelled(name, values, **(_units_of(value) | self._unit(name)))
            else:
                encoded[name] = column.outputs(values, **self._unit(name))
        return encoded

    def _unit(self, name: str) -> dict[str, Any]:
        return {"units": self._units[name]} if name in self._units else {}

    def _allowed(self, name: object) -> bool:
        return isinstance(name, str) and name not in self._taken and name != "" and not name.startswith("@")

    def _checked(self, outcome: Outcome) -> Ran:
        """Give the outcome with labelled datasets spread out, or with the failure that it cannot be recorded."""
        ran = outcome if isinstance(outcome, Ran) else Ran(outcome, 0, None)
        if isinstance(ran.result, Failure):
            return ran
        record: dict[str, Any] = {}
        name: object = ""
        try:
            for name, value in ran.result.items():
                if _is_dataset(value):
                    for variable in value.data_vars:
                        self._check(str(variable), value[variable])
                        record[str(variable)] = value[variable]
                else:
                    kept = _without_mask(value)
                    self._check(name, kept)
                    record[name] = kept
                    for coordinate in _other_coordinates(value):
                        self._check(coordinate, value.coords[coordinate])
                        record.setdefault(coordinate, value.coords[coordinate].drop_vars(coordinate, errors="ignore"))
        except OutputError as error:
            return replace(ran, result=Failure.of(error, self._task_of(str(name))))
        except Exception as error:  # noqa: BLE001  a mapping or an array of a class of the user's, which raises when read
            refusal = OutputError(f"what task {self._task_of(str(name))!r} returned cannot be read: {_words(error)}")
            return replace(ran, result=Failure.of(refusal, self._task_of(str(name))))
        return replace(ran, result=record)

    def _check(self, name: Any, value: Any) -> None:
        task = self._task_of(str(name))
        if not self._allowed(name):
            raise OutputError(
                f"task {task!r} returned an output named {name!r}; names are non-empty strings other than the "
                f"parameters and {', '.join(sorted(RESERVED_NAMES))}"
            )
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise OutputError(
                f"output {name!r} of task {task!r} is an integer beyond what 64 bits with a sign hold ({value}); "
                "return a float or a string"
            )
        if not _recordable(value):
            dtype = getattr(value, "dtype", None)
            kind = type(value).__name__ + ("" if dtype is None else f" of {dtype}")
            raise OutputError(
                f"output {name!r} of task {task!r} is of type {kind}, which cannot be recorded; return "
                "a number, bool, string, None, NumPy array or xarray object, or write a file with context.artifact()"
            )


def _words(error: Exception) -> str:
    return str(error) if type(error) is TypeError else f"{type(error).__name__}: {error}"


def _recordable(value: Any) -> bool:
    if type(value) in _SCALARS or isinstance(value, float | int | str | complex | np.number | np.bool_ | np.str_):
        return True
    array = value.values if _is_labelled(value) else value
    return isinstance(array, np.ndarray) and array.dtype.kind in "biufcUSmM"


def _without_mask(value: Any) -> Any:
    """A masked array with NaN where it is masked: what lies under a mask is not data."""
    if not isinstance(value, np.ma.MaskedArray):
        return value
    masked = cast("np.ma.MaskedArray[Any, Any]", value)
    if not np.ma.is_masked(masked):
        return np.asarray(masked.data)
    wide: Any = masked if masked.dtype.kind in "fc" else masked.astype(np.float64)
    return wide.filled(np.nan)


def _other_coordinates(value: Any) -> list[str]:
    """Coordinates of an xarray.DataArray that are not the labels of a dim; they are recorded beside it."""
    return [str(name) for name in value.coords if name not in value.dims] if _is_labelled(value) else []


def _is_labelled(value: Any) -> bool:
    return type(value).__name__ == "DataArray" and type(value).__module__.startswith("xarray")


def _is_dataset(value: Any) -> bool:
    return type(value).__name__ == "Dataset" and type(value).__module__.startswith("xarray")


def _units_of(value: Any) -> dict[str, Any]:
    """The units that an xarray.DataArray names itself."""
    return {"units": str(value.attrs["units"])} if "units" in value.attrs else {}


def _signature(outcome: Mapping[str, Any] | Failure) -> Any:
    """What two outcomes must share to stand in the same columns."""
    if isinstance(outcome, Failure):
        return outcome.cause
    return tuple(zip(outcome, map(_kind, outcome.values()), strict=True))


def _kind(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return "bool"
    if isinstance(value, int | np.integer):
        return "int"
    if isinstance(value, float | np.floating):
        return "longdouble" if getattr(value, "itemsize", 8) > 8 else "float"
    if _is_labelled(value):
        return ("labelled", tuple(map(str, value.dims)), str(value.attrs.get("units")), value.dtype.str)
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str)
    return type(value).__name__
