"""An assembled sweep as a labelled dataset of xarray."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import xarray as xr

from sciflow.analysis.variants import Variants
from sciflow.store.arrays import ArrayOutput
from sciflow.store.assembled import FLAGS, STATUS_MEANINGS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from numpy.typing import NDArray

    from sciflow.store.assembled import Assembled

_CHUNK_BYTES: Final = 64 * 2**20
_RAGGED_CELL_BYTES: Final = 8


def to_dataset(assembled: Assembled, variants: Variants | None = None) -> xr.Dataset:
    """Label the arrays of *assembled*.

    Returns
    -------
    xarray.Dataset
        One dimension per parameter, or one called ``variant`` with the ids along it. ``status`` holds
        words, ``failure`` one line or nothing, ``attempt`` and ``runtime_s`` numbers, ``stale`` (only if some
        are) whether other code or inputs than the newest made it, ``inputs_changed`` (likewise) whether an input
        changed while it was made; outputs that are arrays are read when they are
        computed (dask).
    """
    dims = assembled.dims
    variables: dict[str, Any] = {
        "status": (dims, np.array(STATUS_MEANINGS)[assembled.status], {"long_name": "what became of the variant"}),
        "attempt": (dims, assembled.attempt, {"long_name": "number of the attempt that counts, 0 for none"}),
        "runtime_s": (dims, assembled.runtime_s, {"long_name": "wall time", "units": "s"}),
    }
    variants = variants or Variants(assembled)
    failures = variants.failure_headlines.astype(np.str_)[assembled.failure]
    variables["failure"] = (dims, failures, {"long_name": "why the variant failed"})
    for name, values in assembled.flags.items():
        variables[name] = (dims, values, {"long_name": FLAGS[name]})
    coords: dict[str, Any] = {}
    if assembled.layout == "flat":
        coords["variant"] = (dims, np.array(variants.ids, dtype="<U21"), {"long_name": "identity of the variant"})
    for name, coordinate in assembled.coords.items():
        along = dims if assembled.layout == "flat" else (name,)
        attributes = {} if coordinate.unit is None else {"units": coordinate.unit}
        coords[name] = (along, _text_as_text(coordinate.values), attributes)
    for name, output in assembled.outputs.items():
        if isinstance(output, ArrayOutput):
            inner, labels = _inner_dims(output, {**coords, **variables})
            variables[name] = ((*dims, *inner), lazy_array(output, assembled.shape), dict(output.attributes))
            for dim, values in labels.items():
                coords.setdefault(dim, values)
            for dim, differing in output.labels.items():
                label = _free_name(differing.name, {*coords, *variables, *assembled.outputs, *inner})
                along = (*dims, inner[output.dims.index(dim)])
                coords[label] = (along, lazy_array(differing, assembled.shape), dict(differing.attributes))
            if "comment" in output.attributes:
                warnings.warn(f"output {name!r}: {output.attributes['comment']}", UserWarning, stacklevel=2)
        else:
            variables[name] = (dims, _text_as_text(output.values), dict(output.attributes))
    attributes = {"workflow": assembled.definition.get("name", "")}
    return xr.Dataset(variables, coords=cast("Mapping[Hashable, Any]", coords), attrs=attributes)


def _text_as_text(values: NDArray[Any]) -> NDArray[Any]:
    """Texts as NumPy's text where all of them are, which prints and stores better than objects."""
    if values.dtype == object and values.size and all(type(value) is str for value in values.flat):
        return values.astype(np.str_)
    return values


def _inner_dims(output: ArrayOutput, taken: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names of the dimensions of one variant's array, and labels along them.

    A dimension that another output, or a parameter, uses with other labels or another length gets the
    output's name in front, so that unrelated arrays are not aligned with each other.
    """
    lengths = dict(zip(output.dims, output.extent, strict=True))
    clashes = {
        dim
        for dim, length in lengths.items()
        if any(_contradicts(entry, dim, length, output.coords.get(dim)) for entry in taken.items())
    }
    names = {dim: f"{output.name}_{dim}" if dim in clashes else dim for dim in output.dims}
    labels = {
        names[dim]: ((names[dim],), np.asarray(values), dict(output.coord_attributes.get(dim, {})))
        for dim, values in output.coords.items()
        if dim in names
    }
    return tuple(names.values()), labels


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_labels"
    return name


def _contradicts(entry: tuple[str, Any], dim: str, length: int, labels: object) -> bool:
    name, (dims, values, *_) = entry
    if dim not in dims:
        return name == dim
    if np.shape(values)[dims.index(dim)] != length:
        return True
    return name == dim and (labels is None or not np.array_equal(values, np.asarray(labels)))


class LazyArrays:
    """The arrays of one output for all variants, read when they are sliced; what dask wants of an array."""

    def __init__(self, output: ArrayOutput, outer: tuple[int, ...]) -> None:
        self._output, self._outer = output, outer
        self.shape = (*outer, *output.extent)
        self.ndim = len(self.shape)
        self.dtype = output.padded_dtype

    def __getitem__(self, key: tuple[int | slice | None, ...]) -> NDArray[Any]:
        """A part of the whole; dask merges what users slice into the key, numbers and new axes too."""
        parts = [part for part in key if part is not None]
        parts += [slice(None)] * (self.ndim - len(parts))
        n_outer = len(self._outer)
        spans = [
            range(length)[part] if isinstance(part, slice) else (range(length)[part],)
            for length, part in zip(self._outer, parts[:n_outer], strict=True)
        ]
        cells = np.ravel_multi_index(np.ix_(*spans), self._outer).ravel().astype(np.int64)
        arrays = self._output.padded(cells)
        part = arrays.reshape(*map(len, spans), *arrays.shape[1:])
        # numbers take their axis away, None puts one in; the outer slices are done
        axes = iter([*(0 if isinstance(p, int) else slice(None) for p in parts[:n_outer]), *parts[n_outer:]])
        full = (*key, *[slice(None)] * (self.ndim - sum(one is not None for one in key)))
        return part[tuple(None if one is None else next(axes) for one in full)]


def lazy_array(output: ArrayOutput, outer: tuple[int, ...]) -> Any:
    """A dask array over the arrays of one output, in pieces of about 64 MiB."""
    import dask.array as da  # noqa: PLC0415  only sweeps that record arrays pay for it

    arrays = LazyArrays(output, outer)
    inner = output.extent
    cell_bytes = max(1, math.prod(inner)) * max(arrays.dtype.itemsize, _RAGGED_CELL_BYTES)
    chunks = (*_outer_chunks(outer, max(1, _CHUNK_BYTES // cell_bytes)), *inner)
    meta = np.empty((0,) * arrays.ndim, dtype=arrays.dtype)
    # name=False: a name at random, for hashing the content would read it
    from_array: Any = da.from_array  # its annotation leaves out most forms of chunks
    return from_array(arrays, chunks=chunks, name=False, asarray=False, fancy=False, meta=meta)


def _outer_chunks(shape: tuple[int, ...], n_cells: int) -> tuple[int, ...]:
    """Lengths of chunks of at most *n_cells* cells that are as contiguous as can be."""
    chunks: list[int] = []
    for length in reversed(shape):
        chunks.append(max(1, min(length, n_cells)))
        n_cells //= chunks[-1]
    return tuple(reversed(chunks))
