"""The records of a sweep inside a package: one segment and what explains it, made and put back.

What lies below ``data/records`` is a sweep directory that anybody can continue. It has one difference: an array output
that ``results.h5`` holds bit by bit is not in the segment too; ``arrays.json`` says which outputs those are, and
`restore` puts them back.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from sciflow.canonical import content_digest
from sciflow.errors import PackageError
from sciflow.packaging.rewrite import chosen, scrubbed, with_column, without
from sciflow.store.arrays import ArrayOutput
from sciflow.store.assemble import assemble
from sciflow.store.collector import collector_paused
from sciflow.store.column import ID, ROW, fixed
from sciflow.store.directory import SweepDirectory
from sciflow.store.frame import Frame
from sciflow.store.merge import Loaded, merge, plan_merges
from sciflow.store.segment import COMPACTED_FIRST_LINE, REPLACES, BlockReader, write_buffers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sciflow.packaging.scrub import Scrubber
    from sciflow.store.assembled import Assembled
    from sciflow.store.segment import FrameRef
    from sciflow.store.snapshot import Snapshot

ARRAYS: Final = "arrays.json"
_ARRAYS_SCHEMA: Final = 1
_OF_PROCESSES: Final = frozenset({"pid", "boot", "start", "folder"})
"""Of session files: they tell one machine, and nothing else."""


_MOST_FILES: Final = 64
_BLOCK_BYTES: Final = 32 << 20
_TOLD_EVENTS: Final = (b'"name": "job.', b'"name": "sweep.')


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records a package has.

    Attributes
    ----------
    definitions
        The revisions of the definition; the last one says which variants there are.
    ids
        Of the variants, as `sciflow.packaging.rewrite.keys_of_ids` has them; None for all that is recorded.
    """

    definitions: Sequence[Mapping[str, Any]]
    ids: NDArray[np.void] | None = None


# ------------------------------------------------------------------------------------------------------------- making


def stage_records(
    source: SweepDirectory, snapshot: Snapshot, selection: Selection, folder: Path, scrub: Scrubber
) -> SweepDirectory:
    """Write what *snapshot* holds as a sweep directory of its own, without names of places.

    The same records give the same files.
    """
    for name in ("definition", "environment", "sessions", "segments"):
        (folder / name).mkdir(parents=True)
    write_json(folder / "sweep.json", source.identity)
    for definition in selection.definitions:
        write_json(folder / "definition" / f"{definition['revision']:06d}.json", _without_sightings(definition))
    renamed = _stage_environments(source, folder, scrub)
    _stage_sessions(source, folder, scrub)
    _stage_events(source, folder, scrub)
    with collector_paused():
        _write_segment(folder, _frames(snapshot, selection, scrub, renamed), _last_session(source))
    staged = SweepDirectory.open(folder)
    if selection.ids is None and staged.snapshot().n_variants != snapshot.n_variants:
        raise PackageError(f"the records of {source.path} could not be packed as they are; verify the sweep's segments")
    return staged


def slim_records(staged: SweepDirectory, results: Path, folder: Path) -> list[str]:
    """Copy staged records to *folder* without the arrays that the file *results* holds bit by bit; name those."""
    assembled = assemble(staged)
    plain = _plain_arrays(assembled, results)
    shutil.copytree(staged.path, folder, ignore=shutil.ignore_patterns("segments", "results.h5", ".*"))
    (folder / "segments").mkdir()
    frames = assembled.snapshot.frames
    if not frames:
        return []
    name = frames[0].path.name
    with _Frames() as files:
        slim = (without(merge([files.load(frame)]), plain) for frame in frames)
        _write_frames(folder / "segments" / name, slim)
    if plain:
        entries = {one: {"variable": one, **plain[one]} for one in sorted(plain)}
        order = list(assembled.outputs)
        write_json(folder / ARRAYS, {"schema": _ARRAYS_SCHEMA, "arrays": entries, "order": order})
    return sorted(plain)


def write_json(path: Path, data: object) -> None:
    """Write plain data as people read it."""
    path.write_bytes(render_json(data))


def render_json(data: object) -> bytes:
    """Plain data as people read it, the same for the same data."""
    return json.dumps(data, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _without_sightings(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The definition without what identified input files on the machine where it ran."""
    inputs = [{**one, "seen": None} if "seen" in one else one for one in definition.get("inputs", ())]
    return {**definition, **({"inputs": inputs} if "inputs" in definition else {})}


def _stage_environments(source: SweepDirectory, folder: Path, scrub: Scrubber) -> dict[str, str]:
    """Write the environments; the digests that changed, and what they are now."""
    renamed: dict[str, str] = {}
    for digest, facts in source.environments().items():
        told = scrub.data(facts)
        new = digest if told == facts else content_digest(told)
        if new != digest:
            renamed[digest] = new
        write_json(folder / "environment" / f"{new}.json", told)
    return renamed


def _stage_sessions(source: SweepDirectory, folder: Path, scrub: Scrubber) -> None:
    for facts in source.sessions():
        number = facts["session"]
        told = scrub.data({key: value for key, value in facts.items() if key not in _OF_PROCESSES})
        write_json(folder / "sessions" / f"{number:06d}.json", told)
        # nobody drives the copy, whatever its original does now
        end = {"ended": told["ended"]} if "ended" in told else {"packed": True}
        write_json(folder / "sessions" / f"{number:06d}.end", end)


def _stage_events(source: SweepDirectory, folder: Path, scrub: Scrubber) -> None:
    """Keep what the logs tell of jobs and of the sweep as a whole."""
    for path in sorted((source.path / "events").glob("*.jsonl")):
        with path.open("rb") as lines:
            told = [line for line in lines if line.endswith(b"\n") and any(one in line for one in _TOLD_EVENTS)]
        (folder / "events").mkdir(exist_ok=True)
        text = "".join(json.dumps(scrub.data(json.loads(line))) + "\n" for line in told)
        (folder / "events" / path.name).write_text(text, "utf-8")


def _last_session(source: SweepDirectory) -> int:
    return max((one["session"] for one in source.sessions()), default=1)


def _frames(
    snapshot: Snapshot, selection: Selection, scrub: Scrubber, environments: Mapping[str, str]
) -> Iterable[Frame]:
    with _Frames() as files:
        for members in plan_merges(snapshot.frames, files.first_row):
            frame: Frame | None = merge([files.load(one) for one in members])
            if selection.ids is not None:
                frame = chosen(frame, selection.ids)
            if frame is not None:
                yield scrubbed(frame, scrub, environments)


def _write_segment(folder: Path, frames: Iterable[Frame], session: int) -> None:
    temporary = folder / "segments" / ".new"
    n = _write_frames(temporary, frames)
    if n == 0:
        temporary.unlink()
        return
    # named by what is in it, so that the same records give the same package
    with temporary.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    temporary.rename(folder / "segments" / f"{session:06d}-compacted-{digest[:16]}.seg")


def _write_frames(path: Path, frames: Iterable[Frame]) -> int:
    n = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_buffers(descriptor, [COMPACTED_FIRST_LINE, *Frame({REPLACES: {}}, {}).render()])
        for frame in frames:
            write_buffers(descriptor, frame.render())
            n += 1
    finally:
        os.close(descriptor)
    return n


class _Frames:
    """Loads frames of many segments, with few files open at a time."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, BlockReader] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._open.values():
            reader.__exit__()

    def load(self, frame: FrameRef) -> Loaded:
        return Loaded.read(frame, self._reader(frame.path))

    def first_row(self, frame: FrameRef) -> int:
        if "rows" in frame.header:
            return frame.header["rows"][0]
        return int(frame.table([ROW], self._reader(frame.path))[ROW].min())

    def _reader(self, path: Path) -> BlockReader:
        reader = self._open.pop(path, None)
        if reader is None:
            if len(self._open) >= _MOST_FILES:
                self._open.popitem(last=False)[1].__exit__()
            reader = BlockReader(path)
        self._open[path] = reader
        return reader


# -------------------------------------------------------------------------------------------------------- plain arrays


def _plain_arrays(assembled: Assembled, results: Path) -> dict[str, dict[str, Any]]:
    """The array outputs that the file *results* holds bit by bit, with the description of their columns."""
    import h5py  # noqa: PLC0415  brings the HDF5 library

    found: dict[str, dict[str, Any]] = {}
    candidates = [one for one in assembled.outputs.values() if isinstance(one, ArrayOutput) and _is_simple(one)]
    if not candidates:
        return found
    with h5py.File(results, "r", locking=False) as file:
        for output in candidates:
            column = _common_column(assembled, output.name)
            if column is not None and output.name in file and _is_same(file[output.name], output, assembled):
                found[output.name] = column
    return found


def _is_simple(output: ArrayOutput) -> bool:
    return output.shape is not None and not output.labels and output.dtype.kind in "biuf"


def _common_column(assembled: Assembled, name: str) -> dict[str, Any] | None:
    """Where the column stands, if all records that have it count and describe it alike."""
    frames = [frame for frame in assembled.snapshot.frames if frame.column(name) is not None]
    places = {frame.names.index(name) for frame in frames}
    columns = [frame.column(name) or {} for frame in frames]
    if len(places) != 1 or any(one != columns[0] for one in columns) or columns[0]["encoding"] != "fixed":
        return None
    output = assembled.outputs[name]
    if not isinstance(output, ArrayOutput) or np.dtype(columns[0]["dtype"]) != output.dtype:
        return None
    if tuple(columns[0]["shape"]) != output.shape or tuple(columns[0].get("dims", output.dims)) != output.dims:
        return None
    n_counting = sum(len(rows) for _, _, rows, _ in assembled.source.visit(name, None))
    if n_counting != sum(frame.n for frame in frames):
        return None
    having = [k for k, frame in enumerate(assembled.snapshot.frames) if frame.column(name) is not None]
    return {"position": places.pop(), "column": columns[0], "frames": having}


def _is_same(variable: Any, output: ArrayOutput, assembled: Assembled) -> bool:
    """Whether a variable of a file holds the arrays of all variants that have one, bit by bit."""
    if variable.dtype != output.dtype or variable.shape != (*assembled.shape, *(output.shape or ())):
        return False
    has = np.zeros(assembled.n_cells, dtype=np.bool_)
    for _, places, _, _ in assembled.source.visit(output.name, None):
        has[places] = True
    cells = np.flatnonzero(has)
    cell_bytes = max(1, int(np.prod(output.shape or (1,))) * output.dtype.itemsize)
    step = max(1, _BLOCK_BYTES // cell_bytes)
    for start in range(0, len(cells), step):
        part = cells[start : start + step]
        if read_cells(variable, part, len(assembled.shape)).tobytes() != output.gather(part).tobytes():
            return False
    return True


def read_cells(variable: Any, cells: NDArray[np.int64], n_outer: int) -> NDArray[Any]:
    """The arrays of some cells, by their positions in the flattened first *n_outer* dimensions of a variable."""
    outer, inner = variable.shape[:n_outer], variable.shape[n_outer:]
    if not len(cells):
        return np.empty((0, *inner), dtype=variable.dtype)
    rest = int(np.prod(outer[1:], dtype=np.int64))  # cells of one step along the first dimension
    steps = cells // rest
    result = np.empty((len(cells), *inner), dtype=variable.dtype)
    # neighbouring steps are read at once
    order = np.argsort(steps, kind="stable")
    for run in np.split(order, np.flatnonzero(np.diff(steps[order]) > 1) + 1):
        first, last = int(steps[run[0]]), int(steps[run[-1]])
        block = variable[first : last + 1].reshape(-1, *inner)
        result[run] = block[cells[run] - first * rest]
    return result


# ------------------------------------------------------------------------------------------------------- putting back


@dataclass(frozen=True, slots=True)
class FiledArrays:
    """Which outputs of packed records are in ``results.h5``.

    Attributes
    ----------
    arrays
        Output → ``variable`` in the file, ``column`` (its description in the segment), its ``position`` among the
        columns, and the numbers of the ``frames`` that had it.
    order
        All outputs, in the order in which they were recorded.
    """

    arrays: Mapping[str, Mapping[str, Any]]
    order: tuple[str, ...]

    @classmethod
    def read(cls, records: Path) -> FiledArrays:
        """Those of the records in a folder."""
        try:
            data = json.loads((records / ARRAYS).read_bytes())
        except FileNotFoundError:
            return cls({}, ())
        if data["schema"] > _ARRAYS_SCHEMA:
            raise PackageError(
                f"the package's arrays have format {data['schema']}, this release of sciflow reads up to "
                f"{_ARRAYS_SCHEMA}; upgrade sciflow to open it"
            )
        return cls(data["arrays"], tuple(data["order"]))


def restore(records: SweepDirectory, results: Any, folder: Path) -> None:
    """Write a complete segment into *folder* (``segments`` of a sweep), with the arrays of the open file *results*."""
    filed = FiledArrays.read(records.path)
    assembled = assemble(records)
    frames = assembled.snapshot.frames
    if not frames:
        return
    cells = {frame.offset: np.full(frame.n, -1, dtype=np.int64) for frame in frames}
    for frame, places, rows, _ in assembled.source.visit(ID, None):
        cells[frame.offset][rows] = places

    by_position = sorted(filed.arrays.items(), key=lambda item: item[1]["position"])

    def complete(k: int, loaded: Loaded) -> Frame:
        whole = merge([loaded])
        for name, entry in by_position:
            if k in entry["frames"]:
                column = {key: one for key, one in entry["column"].items() if key not in _NOT_ATTRIBUTES}
                values = read_cells(results[entry["variable"]], cells[loaded.frame.offset], len(assembled.shape))
                whole = with_column(whole, name, fixed(values, **column), entry["position"])
        return whole

    with _Frames() as files:
        _write_frames(folder / frames[0].path.name, (complete(k, files.load(one)) for k, one in enumerate(frames)))


_NOT_ATTRIBUTES: Final = frozenset({"name", "kind", "encoding", "dtype", "shape"})
