"""Read the numbers of a package and compare what its parts say of them; runs in a process of its own.

The HDF5 library may end a process that gives it a damaged file, and a file of somebody else's may be made to do worse:
so this reads within limits of time and memory, and whatever becomes of it is a finding of whoever started it. What it
finds it prints as JSON.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import resource
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from sciflow.analysis.results import Results
from sciflow.analysis.variants import Variants
from sciflow.errors import SciflowError
from sciflow.packaging import layout
from sciflow.packaging.safety import unpack
from sciflow.packaging.standalone import Container, Finding, opened, read_record
from sciflow.store.assemble import assemble
from sciflow.store.assembled import STATUS_MEANINGS
from sciflow.store.column import ID, ID_BYTES
from sciflow.store.directory import SweepDirectory

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from sciflow.store.assembled import Assembled

CPU_S: Final = 30.0
"""Of a small package: ten times what one of a few variants takes."""

CPU_S_PER_BYTE: Final = 3e-6
"""More for a large one; a table of a million variants has 100 MB and more."""

MEMORY_BYTES: Final = 64 << 30
"""Of addresses, of which a numeric library takes many and uses few."""

_IN_MEMORY_BYTES: Final = 1 << 30
_KNOWN_FILTERS: Final = frozenset({1, 2, 3})  # deflate, shuffle, fletcher32: those that the library itself has
_MOST_NAMED: Final = 5
_TEXT: Final = np.dtypes.StringDType()  # each as long as it is: an array of equal lengths takes the longest for all


def main(path: str, scratch: str) -> None:
    """Print what is found in the package at *path* as a JSON list; *scratch* is an empty folder."""
    with opened(path) as package:
        _limit_this_process(math.ceil(cpu_s(package)))
        findings = list(examine(package, Path(scratch)))
    print(json.dumps([one.to_dict() for one in findings]))  # noqa: T201  what the parent reads


def cpu_s(package: Container) -> float:
    """The processor time that a package of this size may take to be read."""
    examined = (name for folder in (layout.RECORDS, layout.RESULTS) for name in package.below(f"{folder}/"))
    return CPU_S + CPU_S_PER_BYTE * sum(package.sizes[name] for name in examined)


def _limit_this_process(most_cpu_s: int) -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, most_cpu_s),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # a system that knows no such limit
            resource.setrlimit(kind, (limit, hard))


def examine(package: Container, scratch: Path) -> Iterator[Finding]:
    """Compare records, ``results.h5`` and ``results.csv`` with each other, and ids with the values they stand for."""
    record, _ = read_record(package)
    files: Mapping[str, Any] = record.get("files") or {}
    try:
        table = _read_table(package, files.get("table"))
    except MemoryError as error:
        yield _too_large(layout.TABLE, error)
        return
    if layout.RECORDS in files.values() or package.below(f"{layout.RECORDS}/"):
        try:
            yield from _check_records(package, record, table, scratch)
        except MemoryError as error:
            yield _too_large(layout.RECORDS, error)
        except (SciflowError, ValueError, LookupError, TypeError, AttributeError, OSError) as error:
            yield _wrong(layout.RECORDS, f"cannot be read ({type(error).__name__}: {error})")
    results = files.get("results")
    if isinstance(results, str) and results in package:
        try:
            yield from _check_results(package, results, table, scratch)
        except MemoryError as error:
            yield _too_large(results, error)
        except (ValueError, LookupError, TypeError, AttributeError, OSError, RuntimeError) as error:
            yield _wrong(results, f"cannot be read as results ({type(error).__name__}: {error})")


def _too_large(name: str, error: MemoryError) -> Finding:
    what = f"cannot be compared in the memory of this machine ({str(error) or 'no more to be had'})"
    return Finding("error", "environment", name, what, "verify it where there is more memory")


def _wrong(name: str, what: str) -> Finding:
    return Finding("error", "consistency", name, what, "the package was edited, or made wrongly: ask its author")


def _read_table(package: Container, name: object, dictionary: str = layout.DICTIONARY) -> dict[str, NDArray[Any]]:
    """The columns of the table as texts; none if there is no table."""
    if not isinstance(name, str) or name not in package:
        return {}
    csv.field_size_limit(package.limits.text_bytes)  # a text may be an output
    with package.open(name) as file, io.TextIOWrapper(file, "utf-8", newline="") as lines:
        rows = list(csv.reader(lines))
    if not rows:
        return {}
    header, *body = rows
    columns = list(zip(*body, strict=True)) if body else [()] * len(header)
    mark = _missing_mark(package, dictionary)
    return {
        name: np.array(["" if one == mark else one for one in column], dtype=_TEXT)
        for name, column in zip(header, columns, strict=True)
    }


def _missing_mark(package: Container, name: str) -> str:
    """What stands in the table for no value, as its dictionary says."""
    try:
        dictionary = json.loads(package.read(name))
        return str(dictionary["resources"][0]["schema"]["missingValues"][0])
    except (KeyError, ValueError, IndexError, TypeError, OSError):
        return ""


# ------------------------------------------------------------------------------------------------------- records


def _check_records(
    package: Container, record: Mapping[str, Any], table: Mapping[str, NDArray[Any]], scratch: Path
) -> Iterator[Finding]:
    folder = scratch / "records"
    unpack(package, package.below(f"{layout.RECORDS}/"), folder, below=f"{layout.RECORDS}/")
    if not (folder / "sweep.json").exists():
        unpack(package, [layout.SWEEP], folder, below=f"{layout.WORKFLOW}/")
    directory = SweepDirectory.open(folder)
    yield from _check_definition(package, directory, record)
    assembled = assemble(directory)
    variants = Variants(assembled)
    counts = variants.counts()
    said = {status: record.get("counts", {}).get(status, 0) for status in counts}
    if counts != said:
        yield _wrong(layout.RECORDS, f"have {_words(counts)}; {layout.RECORD} says {_words(said)}")
    if variants.space_is_known:
        yield from _check_ids(assembled, variants)
    if not table:
        return
    if len(variants.ids) != len(table["variant"]) or (np.array(variants.ids) != table["variant"]).any():
        yield _wrong(layout.TABLE, f"lists {len(table['variant']):,} variants, and not those that records are of")
        return
    for name, texts in _exported(directory, scratch / "table").items():
        if name not in table:
            yield _wrong(layout.TABLE, f"has no column {name!r}, of which there are records")
        else:
            yield from _told(layout.TABLE, name, unlike(texts, table[name]), table["variant"])


def _exported(directory: SweepDirectory, folder: Path) -> dict[str, NDArray[Any]]:
    """The table that this sciflow makes of the records, read as that of the package is."""
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that arrays are left out of it
        path = Results(directory).export(folder / Path(layout.TABLE).name)
    with opened(folder) as made:
        return _read_table(made, path.name, Path(layout.DICTIONARY).name)


def _check_definition(package: Container, directory: SweepDirectory, record: Mapping[str, Any]) -> Iterator[Finding]:
    newest = directory.newest_definition() or {}
    definition = json.loads(package.read(layout.DEFINITION)) if layout.DEFINITION in package else newest
    for key in ("name", "seed", "space", "tasks", "fingerprints", "generation"):
        if definition.get(key, newest.get(key)) != newest.get(key):
            yield _wrong(layout.DEFINITION, f"is not the definition of the records ({key})")
    if "seed" in record and record["seed"] != directory.seed:
        yield _wrong(layout.RECORD, f"says seed {record['seed']}; the records are of seed {directory.seed}")
    digests = {one["name"]: one.get("sha256") for one in newest.get("inputs", ())}
    for one in record.get("inputs") or ():
        if one.get("sha256") and digests.get(one["name"], one["sha256"]) != one["sha256"]:
            yield _wrong(layout.RECORD, f"says of input {one['name']!r} another SHA-256 than the records do")


def _check_ids(assembled: Assembled, variants: Variants) -> Iterator[Finding]:
    """Each record bears the id that its parameters have."""
    ids = np.frombuffer(bytes.fromhex("".join(one[1:] for one in variants.ids)), dtype=f"V{ID_BYTES}")
    wrong = 0
    for frame, places, rows, reader in assembled.source.visit(ID, None):
        recorded = np.ascontiguousarray(frame.table([ID], reader)[ID][rows]).view(f"V{ID_BYTES}").ravel()
        wrong += int((recorded != ids[places]).sum())
    if wrong:
        yield _wrong(layout.RECORDS, f"{wrong:,} records are not of the variants that the space has in their place")


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {status}" for status, n in counts.items())


# ------------------------------------------------------------------------------------------------------- results


def _check_results(
    package: Container, name: str, table: Mapping[str, NDArray[Any]], scratch: Path
) -> Iterator[Finding]:
    with _results_file(package, name, scratch) as file:
        problems = list(_structure(file, name))
        yield from problems
        if problems:
            return
    if not table:
        return
    n_rows = len(table["variant"])
    with (
        _plain_file(package, name, scratch) as plain,
        xr.open_dataset(plain, engine="h5netcdf", cache=False, decode_timedelta=False) as dataset,
    ):
        outer = dataset["status"].dims
        if dataset["status"].size != n_rows:
            yield _wrong(name, f"is of {dataset['status'].size:,} variants; {layout.TABLE} has {n_rows:,}")
            return
        for column in table:
            if column not in dataset.variables or column in {"variant", "failure"}:
                continue
            variable = dataset[column]
            if variable.dims == outer:
                values = variable.to_numpy().ravel()
            elif variable.ndim == 1 and variable.dims[0] == column and column in outer:
                values = variable.broadcast_like(dataset["status"]).transpose(*outer).to_numpy().ravel()
            else:
                continue
            # labels stand for values of other kinds, which the table has as they are; durations are numbers here
            if "values" in variable.attrs or str(variable.attrs.get("dtype", "")).startswith("timedelta"):
                continue
            if column == "status":
                values = np.array(STATUS_MEANINGS)[values.astype(int)]
            # an output of a variant that has none is whatever fills the file there
            chosen = slice(None) if column in dataset.coords or column == "status" else table["status"] == "done"
            wrong = differing(values[chosen], table[column][chosen])
            yield from _told(name, column, wrong, table["variant"][chosen])


@contextlib.contextmanager
def _plain_file(package: Container, name: str, scratch: Path) -> Generator[Any]:
    """A file that can be read in any order: in memory, or in the folder if it is large."""
    if package.sizes[name] <= _IN_MEMORY_BYTES:
        yield io.BytesIO(b"".join(package.blocks(name)))
        return
    path = scratch / Path(name).name
    if not path.exists():
        unpack(package, [name], scratch, below=f"{Path(name).parent}/")
    with path.open("rb") as file:
        yield file


@contextlib.contextmanager
def _results_file(package: Container, name: str, scratch: Path) -> Generator[h5py.File]:
    with _plain_file(package, name, scratch) as plain, h5py.File(plain, "r") as file:
        yield file


def _structure(file: h5py.File, name: str) -> Iterator[Finding]:
    """Refuse what leads out of the file, and what is no plain array of numbers or texts."""
    for key in file:
        link = file.get(key, getlink=True)
        if not isinstance(link, h5py.HardLink):
            yield Finding("error", "safety", name, f"{key!r} is a link", "do not open it")
            continue
        item = file[key]
        if not isinstance(item, h5py.Dataset):
            yield _wrong(name, f"{key!r} is no array")
        elif item.is_virtual or item.external:
            yield Finding("error", "safety", name, f"{key!r} is read from another file", "do not open it")
        elif item.dtype.kind not in "iufSO" or (item.dtype.kind == "O" and h5py.check_string_dtype(item.dtype) is None):
            yield _wrong(name, f"{key!r} holds neither numbers nor texts ({item.dtype})")
        elif _filters(item) - _KNOWN_FILTERS:
            yield Finding("error", "safety", name, f"{key!r} needs a plug-in to be read", "do not open it")


def _filters(dataset: h5py.Dataset) -> set[int]:
    properties: Any = dataset.id.get_create_plist()
    return {properties.get_filter(k)[0] for k in range(properties.get_nfilters())}


# --------------------------------------------------------------------------------------------------------- cells


def _told(name: str, column: str, wrong: NDArray[np.bool_], ids: NDArray[Any]) -> Iterator[Finding]:
    places = np.flatnonzero(wrong)
    if len(places):
        of = ", ".join(ids[places[:_MOST_NAMED]])
        more = f" and {len(places) - _MOST_NAMED:,} more" if len(places) > _MOST_NAMED else ""
        against = "the records" if name == layout.TABLE else layout.TABLE
        yield _wrong(name, f"has other values of {column!r} than {against}, of {of}{more}")


def unlike(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two cells of a table say different things; another release may write a number in other words."""
    wrong = ours != theirs
    for place in np.flatnonzero(wrong).tolist():
        wrong[place] = _number(ours[place]) != _number(theirs[place])
    return wrong


def _number(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text.lower() if text.lower() in {"true", "false"} else text
    return "" if math.isnan(value) else value


def differing(values: NDArray[Any], texts: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a cell of a table, as text, does not say what the value is; no text is no value."""
    match values.dtype.kind:
        case "f" | "i" | "u":
            return _differing_numbers(values, texts)
        case "M":
            return _differing_times(np.asarray(pd.to_datetime(texts.astype(object))), values)
        case "m":
            return _differing_times(np.asarray(pd.to_timedelta(texts.astype(object))), values)
        case "b":
            return np.strings.lower(texts) != np.where(values, "true", "false")
        case _:
            listed = values.tolist()
            written = np.array([_text(value) for value in listed], dtype=_TEXT)
            is_bool = np.array([isinstance(value, bool) for value in listed], dtype=np.bool_)
            return np.where(is_bool, np.strings.lower(texts) != np.strings.lower(written), texts != written)


def _differing_numbers(values: NDArray[Any], texts: NDArray[Any]) -> NDArray[np.bool_]:
    kind = np.dtype(np.float64) if values.dtype.kind == "f" else values.dtype
    lowered = np.strings.lower(texts)
    plain = np.where(lowered == "true", "1", np.where(lowered == "false", "0", texts))
    try:
        read = np.where(plain == "", "nan" if kind.kind == "f" else "0", plain).astype(kind)
    except (ValueError, OverflowError):
        return np.array([_text(value) for value in values.tolist()], dtype=_TEXT) != texts
    same = read.astype(values.dtype) == values
    if kind.kind == "f":
        return ~(same | (np.isnan(read) & np.isnan(values)))
    return ~same | (plain == "")


def _differing_times(read: NDArray[Any], values: NDArray[Any]) -> NDArray[np.bool_]:
    return (read != values) & ~(np.isnat(read) & np.isnat(values))


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)  # noqa: PLR0124  NaN and NaT differ from themselves


if __name__ == "__main__":
    main(*sys.argv[1:])
