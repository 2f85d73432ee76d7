"""A package that is read where it lies: the analysis of its results, its record and its files."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import struct
import tempfile
import threading
import weakref
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, Self

import numpy as np

from sciflow.analysis.results import Results
from sciflow.errors import PackageError
from sciflow.packaging import layout as names
from sciflow.packaging.records import FiledArrays, read_cells
from sciflow.store.arrays import ArrayOutput
from sciflow.store.directory import SweepDirectory
from sciflow.store.outputs import plan_outputs
from sciflow.store.segment import FrameRef

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from numpy.typing import NDArray

    from sciflow.store.assembled import Assembled

_LOCAL_HEAD: Final = struct.Struct("<4s5H3L2H")  # of a member of a zip, before its name
_MOST_RECORD_BYTES: Final = 64 << 20


def open_package(path: Path | str) -> OpenedPackage:
    """Open a package, a zip or the folder that it was unpacked to; its code is neither imported nor run.

    Nothing is checked but what is read: `sciflow.verify_package` does that.

    Raises
    ------
    PackageError
        There is no package, or a newer release of sciflow wrote it.
    """
    path = Path(path)
    members = Members.open(path)
    try:
        record: dict[str, Any] = json.loads(members.read(names.RECORD, _MOST_RECORD_BYTES))
        schema = int(record["schema"])
    except PackageError as error:
        raise PackageError(f"{path} is no package of sciflow: it has no {names.RECORD}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PackageError(f"{names.RECORD} of {path} is damaged; get the package again") from error
    if schema > names.PACKAGE_SCHEMA:
        raise PackageError(
            f"{path} has format {schema}, this release of sciflow reads up to format {names.PACKAGE_SCHEMA}; "
            "upgrade sciflow to open it"
        )
    return OpenedPackage(path, record, members)


@dataclass(frozen=True)
class OpenedPackage:
    """A package that is open for reading.

    Attributes
    ----------
    path
        The zip, or the folder.
    record
        The content of ``sciflow-package.json``: who made it, what it has, how complete it is.
    """

    path: Path
    record: Mapping[str, Any] = field(repr=False)
    members: Members = field(repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files inside."""
        return tuple(sorted(self.members.sizes))

    def read(self, name: str) -> bytes:
        """The content of a file inside.

        Raises
        ------
        PackageError
            There is none of that name.
        """
        return self.members.read(name)

    @cached_property
    def results(self) -> Results:
        """The results with all of the analysis.

        Of a zip the records, which are small, are copied to a temporary folder, and arrays are read from inside it.

        Raises
        ------
        PackageError
            The package has no results.
        """
        if f"{names.RECORDS}/sweep.json" not in self.members.sizes:
            raise PackageError(f"{self.path} was made without results; ask its authors for one with them")
        return PackedResults(SweepDirectory.open(self.members.folder(names.RECORDS)), self.members)


# ------------------------------------------------------------------------------------------------------------ members


@dataclass(frozen=True)
class Members:
    """The files of a package, by name, wherever they are.

    Attributes
    ----------
    sizes
        Name → bytes.
    """

    path: Path
    sizes: Mapping[str, int]

    @classmethod
    def open(cls, path: Path) -> Members:
        """Those of a zip, or of a folder.

        Raises
        ------
        PackageError
            It is neither.
        """
        if path.is_dir():
            files = (one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
            return Folder(path, {one.relative_to(path).as_posix(): one.stat().st_size for one in files})
        try:
            with zipfile.ZipFile(path) as archive:
                sizes = {one.filename: one.file_size for one in archive.infolist() if not one.is_dir()}
        except FileNotFoundError as error:
            raise PackageError(f"there is no package {path}") from error
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise PackageError(f"{path} is not a whole zip ({error}); get the package again") from error
        return Archive(path, sizes)

    def read(self, name: str, most_bytes: int | None = None) -> bytes:
        """The content of a member."""
        if name not in self.sizes:
            raise PackageError(f"{self.path} has no file {name!r}")
        if most_bytes is not None and self.sizes[name] > most_bytes:
            raise PackageError(f"{name} of {self.path} has {self.sizes[name]:,} bytes, which no package needs")
        return self._read(name)

    def _read(self, name: str) -> bytes:
        raise NotImplementedError

    def folder(self, prefix: str) -> Path:
        """A folder with the members below *prefix*, there for as long as this object is."""
        raise NotImplementedError

    @contextlib.contextmanager
    def opened(self, name: str) -> Generator[BinaryIO]:
        """A member as a file that can be read in any order."""
        raise NotImplementedError(name)
        yield

    def copy(self, prefix: str, folder: Path) -> None:
        """Write the members below *prefix* into *folder*, and nowhere else."""
        for name in sorted(self.sizes):
            if name.startswith(f"{prefix}/"):
                parts = name[len(prefix) + 1 :].split("/")
                if any(part in {"", ".", ".."} or "\\" in part or ":" in part or "\0" in part for part in parts):
                    raise PackageError(f"{self.path} names a file {name!r}, which may lie elsewhere; do not use it")
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with self.opened(name) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)


class Folder(Members):
    """The files of a package that was unpacked."""

    def _read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def folder(self, prefix: str) -> Path:
        """The folder itself."""
        return self.path / prefix

    @contextlib.contextmanager
    def opened(self, name: str) -> Generator[BinaryIO]:
        """The file itself."""
        with (self.path / name).open("rb") as file:
            yield file


class Archive(Members):
    """The members of a zip."""

    def _read(self, name: str) -> bytes:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(name)
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise PackageError(f"{name} of {self.path} is damaged ({error}); get the package again") from error

    def folder(self, prefix: str) -> Path:
        """A temporary copy."""
        folder = Path(tempfile.mkdtemp(prefix="sciflow-package-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.copy(prefix, folder)
        return folder

    @contextlib.contextmanager
    def opened(self, name: str) -> Generator[BinaryIO]:
        """The member where it lies if it is stored as it is, else unpacked piece by piece."""
        with zipfile.ZipFile(self.path) as archive:
            entry = archive.getinfo(name)
            if entry.compress_type != zipfile.ZIP_STORED:
                with archive.open(entry) as file:
                    yield file  # pyright: ignore[reportReturnType]  reads like one
                return
        with MemberFile(self.path, entry) as member, io.BufferedReader(member) as file:
            yield file


class MemberFile(io.RawIOBase):
    """A member that is stored as it is, read in any order with ``pread``."""

    def __init__(self, path: Path, entry: zipfile.ZipInfo) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        head = os.pread(self._descriptor, _LOCAL_HEAD.size, entry.header_offset)
        magic, *_, n_name, n_extra = _LOCAL_HEAD.unpack(head)
        if magic != b"PK\3\4":
            raise PackageError(f"{entry.filename} of {path} is damaged; get the package again")
        self._start = entry.header_offset + _LOCAL_HEAD.size + n_name + n_extra
        self._size, self._position = entry.file_size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read as many bytes as there are and fit."""
        target = memoryview(buffer).cast("B")
        n = max(0, min(len(target), self._size - self._position))
        data = os.pread(self._descriptor, n, self._start + self._position)
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def __enter__(self) -> Self:
        return self


# ------------------------------------------------------------------------------------------------------------ results


class PackedResults(Results):
    """The results in a package, whose plain arrays are in its ``results.h5``."""

    def __init__(self, directory: SweepDirectory, members: Members) -> None:
        super().__init__(directory)
        self._members = members
        self._filed = FiledArrays.read(directory.path)

    def _assemble(self, layout: Literal["auto", "dense", "flat"]) -> Assembled:
        assembled = super()._assemble(layout)
        if not self._filed.arrays:
            return assembled
        auto = assembled if layout == "auto" else super()._assemble("auto")
        places = None if assembled.layout == auto.layout else _places(assembled, auto)
        return _with_arrays(assembled, self._filed, _File(self._members), len(auto.shape), places)


def _places(assembled: Assembled, auto: Assembled) -> NDArray[np.int64]:
    """For each place of the flattened dataset that of the one in another layout, -1 where that has none."""
    space = assembled.space
    assert space is not None  # else there is one layout only
    rows = np.arange(assembled.n_cells) if assembled.rows is None else assembled.rows
    place_of_row = np.full(int(space.n_variants), -1, dtype=np.int64)
    rows_there = np.arange(auto.n_cells) if auto.rows is None else auto.rows
    known = rows_there >= 0
    place_of_row[rows_there[known]] = np.flatnonzero(known)
    return np.where(rows >= 0, place_of_row[np.maximum(rows, 0)], -1)


def _with_arrays(
    assembled: Assembled, filed: FiledArrays, file: _File, n_outer: int, places: NDArray[np.int64] | None
) -> Assembled:
    """The dataset with the outputs that are in a file, in the order in which they were recorded."""
    from dataclasses import replace  # noqa: PLC0415  one use

    outputs = dict(assembled.outputs)
    for name, entry in filed.arrays.items():
        column = entry["column"]
        frame = FrameRef(Path(), 0, 0, 0, {"columns": [column]}, 0)
        plan = plan_outputs([frame])[name]
        outputs[name] = FiledOutput(
            name,
            np.dtype(column["dtype"]),
            plan.shape,
            plan.dims,
            plan.coords,
            plan.attributes,
            assembled.source,
            coord_attributes=plan.coord_attributes,
            file=file,
            variable=str(entry["variable"]),
            n_outer=n_outer,
            places=places,
        )
    ordered = {name: outputs[name] for name in (*filed.order, *outputs) if name in outputs}
    return replace(assembled, outputs=ordered)


@dataclass(frozen=True, eq=False)
class FiledOutput(ArrayOutput):
    """An array output that is read from a consolidated file.

    Attributes
    ----------
    places
        For each place of the flattened dataset that in the file; None if it is the same.
    """

    file: _File = field(kw_only=True)
    variable: str = field(kw_only=True)
    n_outer: int = field(kw_only=True)
    places: NDArray[np.int64] | None = field(kw_only=True)

    def gather(self, cells: NDArray[np.int64]) -> NDArray[Any]:
        """The arrays of some variants."""
        places = cells if self.places is None else self.places[cells]
        values = self.file.read(self.variable, np.maximum(places, 0), self.n_outer)
        if (places < 0).any():
            values[places < 0] = np.nan if self.dtype.kind == "f" else 0
        return values

    def sizes(self, cells: NDArray[np.int64]) -> NDArray[np.int32]:
        """The shape of each variant's array, as if all had one."""
        return np.tile(np.array(self.extent, dtype=np.int32), (len(cells), 1))


class _File:
    """The consolidated file of a package, opened when it is read first; also in other processes."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._open()

    def _open(self) -> None:
        self._stack, self._file = contextlib.ExitStack(), None
        self._lock = threading.Lock()

    def __getstate__(self) -> Members:
        return self._members

    def __setstate__(self, members: Members) -> None:
        self._members = members
        self._open()

    def read(self, variable: str, cells: NDArray[np.int64], n_outer: int) -> NDArray[Any]:
        """The arrays of some cells."""
        with self._lock:  # the HDF5 library is not to be entered twice
            if self._file is None:
                import h5py  # noqa: PLC0415  brings the HDF5 library

                raw = self._stack.enter_context(self._members.opened(names.RESULTS_FILE))
                self._file: Any = self._stack.enter_context(h5py.File(raw, "r"))
                weakref.finalize(self, self._stack.close)
            return read_cells(self._file[variable], cells, n_outer)
