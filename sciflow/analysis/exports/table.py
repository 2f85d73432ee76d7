"""The table that is exported: its columns with units and descriptions, and its rows a piece at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from sciflow.errors import ResultsError
from sciflow.space.table import objects
from sciflow.space.typed import typed_pool
from sciflow.store.arrays import ArrayOutput
from sciflow.store.assembled import FLAGS, STATUS_MEANINGS
from sciflow.store.cells import labels_of
from sciflow.store.outputs import plan_outputs
from sciflow.workflow.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from sciflow.analysis.variants import Variants
    from sciflow.space.table import Column
    from sciflow.store.assembled import Assembled, ScalarOutput

Type = Literal["string", "integer", "number", "boolean", "datetime", "date"]
"""Of a column, in the words of Frictionless Data."""
Role = Literal["id", "parameter", "fact", "output"]
Values: TypeAlias = "np.ma.MaskedArray[Any, Any]"
Rows: TypeAlias = "NDArray[np.int64]"

PIECE: Final = 2**16
"""Rows that are in memory as text at one time."""

_TYPES: Final[dict[str, Type]] = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "M": "datetime"}
_EXACT: Final = 2**53
_NOT_MISSING: Final = np.ma.nomask


@dataclass(frozen=True, slots=True)
class Field:
    """A column.

    Attributes
    ----------
    dtype
        Of its values; text is object.
    required
        Whether each row has a value.
    read
        Its values in some rows, masked where there are none.
    """

    name: str
    role: Role
    type: Type
    dtype: np.dtype[Any]
    description: str
    required: bool
    read: Callable[[Rows], Values] = field(repr=False, compare=False)
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class ExportTable:
    """Columns and rows that were chosen of a sweep.

    Attributes
    ----------
    rows
        Positions of the variants.
    left_out
        Outputs that are an array for each variant, and so are no columns.
    about
        What the table is of: plain data.
    """

    fields: tuple[Field, ...]
    rows: Rows = field(repr=False)
    left_out: tuple[str, ...]
    about: Mapping[str, Any]

    @property
    def n_rows(self) -> int:
        """How many variants there are."""
        return len(self.rows)

    def pieces(self, n_rows: int = PIECE) -> Iterator[list[Values]]:
        """The rows in order, at most *n_rows* at a time: one array per column."""
        for start in range(0, self.n_rows, n_rows):
            rows = self.rows[start : start + n_rows]
            yield [one.read(rows) for one in self.fields]

    def column(self, one: Field) -> Iterator[Values]:
        """The values of one column, a piece at a time."""
        for start in range(0, self.n_rows, PIECE):
            yield one.read(self.rows[start : start + PIECE])


def make_table(
    assembled: Assembled,
    variants: Variants,
    metadata: Mapping[str, Any],
    *,
    where: str | None = None,
    columns: Iterable[str] | None = None,
    for_paper: bool = False,
) -> ExportTable:
    """The table of a sweep.

    Parameters
    ----------
    where
        A condition that variants satisfy, as `Results.query` takes it.
    columns
        Names, in the order that is wanted; all unless given.
    for_paper
        Without *columns*, only what people print: parameters and outputs, and the status if that differs.

    Raises
    ------
    ResultsError
        There is no such column, or it is an array for each variant.
    """
    rows = np.arange(variants.n) if where is None else np.flatnonzero(variants.matching(where))
    arrays = tuple(name for name, output in assembled.outputs.items() if isinstance(output, ArrayOutput))
    known = _fields(assembled, variants)
    if columns is not None:
        chosen, arrays = _chosen(known, columns, arrays), ()
    elif for_paper:
        done = bool(variants.done[rows].all())
        wanted = {"parameter", "output"}
        chosen = [one for one in known.values() if one.role in wanted or (one.name == "status" and not done)]
    else:
        chosen = list(known.values())
    return ExportTable(tuple(chosen), rows, arrays, about_sweep(metadata, variants.n, where))


def _chosen(known: Mapping[str, Field], columns: Iterable[str], arrays: tuple[str, ...]) -> list[Field]:
    names: list[str] = []
    for name in dict.fromkeys([columns] if isinstance(columns, str) else columns):
        parts = [f"{name}_real", f"{name}_imag"]
        if name in known:
            names.append(name)
        elif name in arrays:
            raise ResultsError(
                f"output {name!r} is an array for each variant, which no cell of a table holds; export to a .nc file, "
                "or reduce it in the task"
            )
        elif all(part in known for part in parts):
            names += parts
        else:
            raise ResultsError(
                f"there is no column {name!r}; there are {', '.join(known)}{did_you_mean(name, list(known))}"
            )
    if not names:
        raise ResultsError(f"a table needs a column at least; there are {', '.join(known)}")
    return [known[name] for name in names]


def about_sweep(metadata: Mapping[str, Any], n_variants: int, where: str | None) -> dict[str, Any]:
    """What an exported file says of the sweep that it is of."""
    sweep: Mapping[str, Any] = metadata["sweep"]
    code: Mapping[str, Any] = metadata["code"].get("repository") or {}
    about = {
        "sweep": sweep["workflow"],
        "sweep_id": sweep["sweep"],
        "created": sweep["created"],
        "seed": sweep["seed"],
        "n_variants": n_variants,
        "where": where,
        "commit": code.get("commit"),
        "changed_since_commit": code.get("dirty") or None,
        "written_by": f"sciflow {_version()}",
    }
    return {key: value for key, value in about.items() if value is not None}


def _version() -> str:
    try:
        return version("sciflow")
    except PackageNotFoundError:  # a source tree on the path
        return "(source)"


# ----------------------------------------------------------------------------------------------------------- columns


def _fields(assembled: Assembled, variants: Variants) -> dict[str, Field]:
    """All columns by name, in the order of `Results.to_dataframe`."""
    found = [_id_field(variants)]
    for known in variants.table.parameters:
        what = "parameter, computed from others" if known.derived else "parameter"
        default = f", {known.default!r} unless said otherwise" if known.has_default else ""
        found.append(_parameter_field(known.name, variants.table.columns[known.name], what + default, known.unit))
    found += _facts(assembled, variants)
    plans = plan_outputs(assembled.snapshot.frames)
    taken = {*(one.name for one in found), *assembled.outputs}
    partial = _partial(assembled)
    for name, output in assembled.outputs.items():
        if not isinstance(output, ArrayOutput):
            present = variants.done
            if name in partial:  # where it is lacking it reads as NaN
                present = present & ~pd.isna(np.ravel(output.values))
            found += _output_fields(output, plans[name].dtype, present, _origin(name, assembled), taken)
    return {one.name: one for one in found}


def _id_field(variants: Variants) -> Field:
    def read(rows: Rows) -> Values:
        ids = variants.table.take(rows).ids() if variants.space_is_known else [variants.ids[row] for row in rows]
        return np.ma.MaskedArray(objects(ids))

    words = "identity of the variant: the same in every sweep that has a variant with these parameters"
    return Field("variant", "id", "string", np.dtype(object), words, required=True, read=read)


def _parameter_field(name: str, column: Column, words: str, unit: str | None) -> Field:
    pool = typed_pool(column.pool)
    if pool.dtype == object and not all(isinstance(value, str) for value in pool):
        pool, words = objects(labels_of(pool.tolist())), f"{words}; values of several types, as text"
    elif pool.dtype.kind == "U":
        pool = pool.astype(object)
    if not len(pool):
        pool = objects([None])

    def read(rows: Rows) -> Values:
        codes = column.codes[rows]
        return np.ma.MaskedArray(pool[np.maximum(codes, 0)], mask=codes < 0)

    required = not (column.codes < 0).any()
    return Field(name, "parameter", _type_of(pool.dtype), pool.dtype, words, required=required, read=read, unit=unit)


def _facts(assembled: Assembled, variants: Variants) -> list[Field]:
    missing = ~(variants.status > 0)
    status, headlines = objects(STATUS_MEANINGS)[variants.status], variants.failure_headlines
    failure = variants.failure
    facts = [
        _whole("status", status, "what became of the variant: done, failed, or missing (nobody ran it)"),
        _whole("attempt", variants.scalar("attempt"), "number of the attempt that counts, 0 for none"),
        _whole("runtime_s", variants.scalar("runtime_s"), "wall time", missing, unit="s"),
        Field(
            "failure",
            "fact",
            "string",
            np.dtype(object),
            "why the variant failed: task, exception, message",
            required=bool((failure > 0).all()),
            read=lambda rows: np.ma.MaskedArray(headlines[failure[rows]], mask=failure[rows] == 0),
        ),
    ]
    flags = assembled.flags.items()
    return facts + [_whole(name, values.ravel(), f"whether it was {FLAGS[name]}") for name, values in flags]


def _whole(
    name: str,
    values: NDArray[Any],
    words: str,
    missing: NDArray[np.bool_] | None = None,
    *,
    role: Role = "fact",
    unit: str | None = None,
) -> Field:
    """A column of which all values are there already."""

    def read(rows: Rows) -> Values:
        return np.ma.MaskedArray(values[rows], mask=_NOT_MISSING if missing is None else missing[rows])

    required = missing is None or not missing.any()
    return Field(name, role, _type_of(values.dtype), values.dtype, words, required=required, read=read, unit=unit)


def _output_fields(
    output: ScalarOutput, recorded: np.dtype[Any] | None, present: NDArray[np.bool_], words: str, taken: set[str]
) -> list[Field]:
    """The column of an output; two for complex numbers."""
    values, attributes = np.ravel(output.values), output.attributes
    unit = str(attributes["units"]) if "units" in attributes else None
    words = str(attributes.get("long_name") or words)
    match values.dtype.kind:
        case "c":
            parts = ((np.real(values), "real"), (np.imag(values), "imaginary"))
            return [
                _whole(
                    _free(f"{output.name}_{kind[:4]}", taken),
                    part,
                    f"{kind} part of {output.name}: {words}",
                    ~present,
                    role="output",
                    unit=unit,
                )
                for part, kind in parts
            ]
        case "f" if recorded is not None and recorded.kind in "biu":
            missing = np.isnan(values)
            values = _as_recorded(values, recorded)
        case "f":
            missing = ~present
        case "M":
            missing = np.isnat(values)
        case "b" | "i" | "u":
            missing = None
        case _:
            missing = np.array([value is None for value in values.tolist()], dtype=np.bool_)
            mixed = {type(value) for value in values.tolist()} - {str, type(None)}
            if mixed:
                values = objects(None if value is None else str(value) for value in values.tolist())
                words = f"{words}; values of several types, as text"
            values = values.astype(object)
    return [_whole(output.name, values, words, missing, role="output", unit=unit)]


def _partial(assembled: Assembled) -> set[str]:
    """Outputs that not all variants that are done have."""
    headers = [frame.header for frame in assembled.snapshot.frames]
    schemas = {id(one["columns"]): one["columns"] for one in headers if one["status"] == "done"}
    names = [{column["name"] for column in columns if column["kind"] == "output"} for columns in schemas.values()]
    return set().union(*names) - set.intersection(*names) if names else set()


def _as_recorded(values: NDArray[Any], recorded: np.dtype[Any]) -> NDArray[Any]:
    """Whole numbers and bools that are floats only because some are missing, as they were recorded."""
    present = np.nan_to_num(values)
    if recorded.kind == "b":
        return present != 0
    return values if (np.abs(present) > _EXACT).any() else present.astype(np.int64)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_part"
    return name


def _origin(name: str, assembled: Assembled) -> str:
    """Which task made an output, in words."""
    tasks: list[Mapping[str, Any]] = assembled.definition.get("tasks", [])
    makers = [task["name"] for task in tasks if name in task["outputs"]]
    makers = makers or [task["name"] for task in tasks if task.get("sink")]
    return f"output of the task {makers[0]}" if len(makers) == 1 else "output"


def _type_of(dtype: np.dtype[Any]) -> Type:
    return "date" if dtype == np.dtype("datetime64[D]") else _TYPES.get(dtype.kind, "string")
