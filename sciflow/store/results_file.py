"""The consolidated dataset of a sweep: ``results.h5``, derived from the segments and replaced as a whole."""

from __future__ import annotations

import contextlib
import json
import math
import os
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from sciflow.store.arrays import ArrayOutput
from sciflow.store.assemble import assemble
from sciflow.store.assembled import FLAGS, STATUS_MEANINGS
from sciflow.store.atomic import sync_directory, write_error
from sciflow.store.commits import RESULTS_NAME, Commits, write_state
from sciflow.store.description import describe_sweep
from sciflow.store.netcdf import Blocks, NetcdfFile
from sciflow.store.origins import origins_of
from sciflow.store.process import ProcessName, is_tag_of_the_dead

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from sciflow.store.assembled import Assembled, Coordinate, Output
    from sciflow.store.directory import SweepDirectory

MOST_ARRAY_BYTES: Final = 1 << 30
"""More than this in arrays is consolidated only when asked for."""

_MOST_METADATA_CHARACTERS = 8 << 20
_MOST_MESSAGES = 1000
_FACTS = frozenset({"status", "attempt", "runtime_s", "failure"})


def write_results(
    directory: SweepDirectory,
    layout: Literal["auto", "dense", "flat"] = "auto",
    *,
    all_arrays: bool = False,
    ending: Mapping[str, object] | None = None,
) -> Path:
    """Write ``results.h5`` of all that is committed now, and return its path.

    Call it in a process of its own (``python -m sciflow.store.consolidate``): on a full disk the HDF5
    library may end the process.

    Parameters
    ----------
    layout
        As for `assemble`.
    all_arrays
        Include the arrays also when they are more than a gigabyte.
    ending
        What the newest session's end will say, if it has only that left to do.

    Raises
    ------
    StoreWriteError
        The file cannot be written; an older one stays.
    """
    path = directory.path / RESULTS_NAME
    remove_leftovers(directory)
    assembled = assemble(directory, layout)
    temporary = directory.path / f".{RESULTS_NAME}.{ProcessName.of_this_process().tag}.tmp"
    commits = Commits.of(directory, assembled.snapshot)
    metadata = describe_sweep(directory, ending)
    origins = origins_of(directory.definitions(), metadata["sessions"], assembled)
    metadata["origins"] = [one.to_dict() for one in origins]
    try:
        with NetcdfFile(temporary) as file:
            left_out = _Writer(file, assembled).write(all_arrays=all_arrays)
            _describe(file, assembled, commits, left_out, metadata)
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        os.replace(temporary, path)  # noqa: PTH105  os.* calls are what fault tests count
        sync_directory(directory.path)
    except OSError as error:
        with contextlib.suppress(OSError):  # a read-only file system refuses this too
            temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error
    write_state(directory, commits, size, left_out)
    return path


def remove_leftovers(directory: SweepDirectory) -> None:
    """Remove the unfinished files of consolidations on this host that died."""
    for path in directory.path.glob(f".{RESULTS_NAME}.*.tmp"):
        tag = path.name.removeprefix(f".{RESULTS_NAME}.").removesuffix(".tmp")
        with contextlib.suppress(ValueError, OSError):
            if is_tag_of_the_dead(tag):
                path.unlink()


def _describe(
    file: NetcdfFile, assembled: Assembled, commits: Commits, left_out: list[str], metadata: dict[str, Any]
) -> None:
    file.attribute("Conventions", "CF-1.11")
    file.attribute("title", metadata["sweep"]["workflow"])
    file.attribute("sciflow_format", 1)
    file.attribute("sciflow_commits", commits.to_dict())
    if left_out:
        file.attribute("sciflow_left_out", left_out)
    text = json.dumps(metadata)
    if len(text) > _MOST_METADATA_CHARACTERS and "space" in assembled.definition:
        # a space of millions of listed points is in the coordinates anyway
        metadata["definition"] = {**assembled.definition, "space": {"left_out": "see the coordinates"}}
        text = json.dumps(metadata)
    file.attribute("sciflow_metadata", text)


class _Writer:
    """Writes an assembled dataset into a netCDF file."""

    def __init__(self, file: NetcdfFile, assembled: Assembled) -> None:
        self._file, self._assembled = file, assembled
        listed = assembled.layout == "flat" and assembled.coords
        self._common = {"coordinates": " ".join(assembled.coords)} if listed else {}
        self._names = _file_names(assembled)
        self._taken = {*assembled.dims, *assembled.coords, *_facts(assembled)}
        for output in assembled.outputs.values():
            self._taken |= _variables_of(output, self._names[output.name])
        self._dim_values: dict[str, Any] = {}

    def write(self, *, all_arrays: bool) -> list[str]:
        """Write everything, and return the names of the outputs that were left out."""
        for dim, length in zip(self._assembled.dims, self._assembled.shape, strict=True):
            self._file.dimension(dim, length)
        for coordinate in self._assembled.coords.values():
            self._write_coordinate(coordinate)
        self._write_facts()
        arrays: list[ArrayOutput] = []
        for output in self._assembled.outputs.values():
            if isinstance(output, ArrayOutput):
                arrays.append(output)
            else:
                self._put(output.name, output.values, output.attributes)
        n_bytes = sum(self._assembled.n_cells * math.prod(one.extent) * one.dtype.itemsize for one in arrays)
        left_out: list[str] = []
        for output in arrays:
            if output.dtype == object or (n_bytes > MOST_ARRAY_BYTES and not all_arrays):
                left_out.append(output.name)
            else:
                self._write_output(output)
        return left_out

    def _write_coordinate(self, coordinate: Coordinate) -> None:
        attributes: dict[str, Any] = {} if coordinate.unit is None else {"units": coordinate.unit}
        if coordinate.plain is not None:
            # the labels are for people; here is what each stands for
            attributes["values"] = json.dumps(dict(zip(coordinate.pool.tolist(), coordinate.plain, strict=True)))
        if coordinate.codes is None:
            self._file.axis(coordinate.name, coordinate.pool, attributes)
        elif coordinate.pool.dtype.kind in "OUS":
            self._file.coded(coordinate.name, self._assembled.dims, coordinate, attributes)
        else:
            self._file.variable(coordinate.name, self._assembled.dims, coordinate.values, attributes)

    def _write_facts(self) -> None:
        assembled = self._assembled
        meanings = {
            "flag_values": np.arange(len(STATUS_MEANINGS), dtype=np.uint8),
            "flag_meanings": " ".join(STATUS_MEANINGS),
        }
        self._put("status", assembled.status, meanings)
        self._put("attempt", assembled.attempt, {})
        self._put("runtime_s", assembled.runtime_s, {"units": "s", "long_name": "wall time"})
        messages: list[Any] = list(assembled.messages)
        failure = assembled.failure
        if len(messages) > _MOST_MESSAGES:
            messages = [*messages[:_MOST_MESSAGES], {"message": "one of many others, which the segments hold"}]
            failure = np.minimum(failure, len(messages))
        self._put("failure", failure, {"long_name": "0, or the number of the message", "messages": messages})
        for name, values in assembled.flags.items():
            self._put(name, values, {"long_name": FLAGS[name]})

    def _write_output(self, output: ArrayOutput) -> None:
        name, inner = self._names[output.name], self._inner_dims(output)
        labels = {dim: self._label_name(name, dim) for dim in output.labels}
        attributes = self._attributes(output.name, output.attributes)
        if labels:
            known = attributes.get("coordinates", "").split()
            attributes["coordinates"] = " ".join([*known, *labels.values()])
        self._write_array(name, output, inner, attributes)
        for dim, values in output.labels.items():
            self._write_array(labels[dim], values, [inner[output.dims.index(dim)]], dict(values.attributes))
        if output.shape is None:
            cells = np.arange(self._assembled.n_cells)
            sizes = output.sizes(cells).reshape(*self._assembled.shape, len(inner))
            about = {"long_name": f"the shape of each {output.name}, -1 where there is none", **self._common}
            rank = f"{name}_rank"
            self._file.dimension(rank, len(inner))
            self._file.variable(f"{name}_size", (*self._assembled.dims, rank), sizes, about)

    def _write_array(self, name: str, output: ArrayOutput, inner: list[str], attributes: Mapping[str, Any]) -> None:
        def read(start: int, stop: int) -> NDArray[Any]:
            return output.padded(np.arange(start, stop))

        blocks = Blocks(output.padded_dtype, output.extent, read)
        self._file.streamed(name, (*self._assembled.dims, *inner), blocks, attributes)

    def _label_name(self, name: str, dim: str) -> str:
        """A name for the labels along *dim* that no variable or dimension has."""
        label = _file_name(f"{name}_{dim}")
        while label in self._taken or self._file.length(label) is not None:
            label += "_labels"
        self._taken.add(label)
        return label

    def _inner_dims(self, output: ArrayOutput) -> list[str]:
        """The names of the output's own dimensions; other ones where a name already means something else."""
        dims: list[str] = []
        for dim, length in zip(output.dims, output.extent, strict=True):
            values = output.coords.get(dim)
            name = _file_name(dim)
            while (
                name in self._taken
                or name in dims
                or self._file.length(name) not in {None, length}
                or self._dim_values.get(name, values) != values
            ):
                name = f"{self._names[output.name]}_{name}"
            if self._file.length(name) is None:
                self._file.dimension(name, length)
                self._dim_values[name] = values
                if values is not None:
                    self._file.axis(name, np.array(values), output.coord_attributes.get(dim, {}))
            dims.append(name)
        return dims

    def _put(self, name: str, values: NDArray[Any], attributes: Mapping[str, Any]) -> None:
        file_name = self._names.get(name, name)
        self._file.variable(file_name, self._assembled.dims, values, self._attributes(name, attributes))

    def _attributes(self, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
        original = {"long_name": name} if name != self._names.get(name, name) else {}
        return {**original, **attributes, **self._common}


def _facts(assembled: Assembled) -> frozenset[str]:
    """The names of what is written of every variant besides its outputs."""
    return _FACTS | assembled.flags.keys()


def _file_name(name: str) -> str:
    """The name as HDF5 can have it: a slash would make a group, a zero byte end it, a dot is the group itself."""
    readable = name.translate({ord("/"): "_", 0: "_"}).encode("utf-8", "replace").decode()
    return "_" if readable == "." else readable


def _file_names(assembled: Assembled) -> dict[str, str]:
    """The name of each output in the file, where one variable may not hide another."""
    taken = {*assembled.dims, *assembled.coords, *_facts(assembled)}
    names: dict[str, str] = {}
    # first those whose name can stay what it is
    for output in sorted(assembled.outputs.values(), key=lambda one: one.name != _file_name(one.name)):
        name = _file_name(output.name)
        # an output of the name itself keeps it; another one's parts (y_real of a complex y) give way
        others = {other for other in assembled.outputs if other != output.name}
        while _variables_of(output, name) & (taken | others):
            name += "_"
        names[output.name] = name
        taken |= _variables_of(output, name)
    return names


def _variables_of(output: Output, name: str) -> set[str]:
    """The names of variables and dimensions that an output has in the file if it is called *name* there."""
    if isinstance(output, ArrayOutput) and output.shape is None:
        ragged = {f"{name}_size", f"{name}_rank"}
    else:
        ragged = set[str]()
    dtype = output.dtype if isinstance(output, ArrayOutput) else output.values.dtype
    return {name, *ragged, *([f"{name}_real", f"{name}_imag"] if dtype.kind == "c" else [])}
