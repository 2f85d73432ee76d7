"""Many small frames as few large ones, without a loss: which frames go together, and the frame they become."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.store.column import FACT, MERGED, ROW, SUMS, Category, ColumnData, category, decode, fixed
from sciflow.store.concatenate import Part, concatenate, identity_of, keyed, signature
from sciflow.store.frame import Frame
from sciflow.store.labels import given_labels, label_column, label_name, label_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from sciflow.store.segment import FrameRef, Reader

FRAME_BYTES: Final = 4 << 20
FRAME_VARIANTS: Final = 1 << 16
"""Merged frames are at most this large, headers apart; frames of half the size are left as they are."""

_MOST_MEMBERS: Final = 4096  # are in memory at a time; what is left in too many frames is merged again

_KEYS: Final = ("status", "generation", "attempt", "revision", "environment", "cause")
"""Facts that every reader looks for in the header: frames that differ in one are not merged."""

_OF_THE_FRAME: Final = frozenset({"n", "sizes", "long", "rows", "columns", "session", MERGED})
_CONTAINERS: Final = frozenset({list, dict})
_IN_THE_HEADER: Final[Mapping[str, Callable[..., Any]]] = {
    "t0": min,
    "peak_bytes": max,
    **dict.fromkeys(sorted(SUMS), sum),
}
"""Facts that a merged frame's header still says when they differ, and what it makes of them."""


def plan_merges(
    frames: Iterable[FrameRef], first_row: Callable[[FrameRef], int] | None = None
) -> list[tuple[FrameRef, ...]]:
    """The frames in groups, each of which becomes one frame.

    Frames of one group agree in the facts that readers look for and in their columns, and follow each other by
    row, so that arrays of neighbouring variants lie side by side.

    Parameters
    ----------
    first_row
        Where in the space a frame begins; without it frames keep their order.
    """
    groups: dict[Hashable, list[FrameRef]] = {}
    signatures: dict[int, Hashable] = {}
    for frame in frames:
        groups.setdefault((*facts_key(frame), _columns_key(frame, signatures)), []).append(frame)
    planned: list[tuple[FrameRef, ...]] = []
    for members in groups.values():
        if first_row is not None:
            members.sort(key=lambda frame: (first_row(frame), frame.header.get("t0", 0.0)))
        planned += _cut(members)
    return planned


def facts_key(frame: FrameRef) -> tuple[Hashable, ...]:
    """What is never different within a frame: its session, and the facts that every reader looks for."""
    header = frame.header
    # a column can hold single values only
    others = [
        (key, repr(value)) for key, value in header.items() if type(value) in _CONTAINERS and key not in _OF_THE_FRAME
    ]
    return frame.session, *(header.get(key) for key in _KEYS), *sorted(others)


def _columns_key(frame: FrameRef, known: dict[int, Hashable]) -> Hashable:
    columns = frame.header["columns"]
    key = known.get(id(columns))  # frames with equal descriptions share them
    if key is None:
        kept = [signature(column) for column in columns if not _is_made_here(column)]
        key = known[id(columns)] = frozenset(kept)
    return key


def _is_made_here(column: Mapping[str, Any]) -> bool:
    """Whether merging makes a column anew, from what the frames say in other ways too."""
    return column["kind"] == "label" or column["name"] == ROW or column["name"].startswith(FACT)


def _cut(members: Sequence[FrameRef]) -> list[tuple[FrameRef, ...]]:
    cut: list[tuple[FrameRef, ...]] = []
    run: list[FrameRef] = []
    n_bytes = n_variants = 0
    for frame in members:
        n_body = frame.n_body
        if 2 * n_body >= FRAME_BYTES or 2 * frame.n >= FRAME_VARIANTS:
            cut.append((frame,))
            continue
        is_full = n_bytes + n_body > FRAME_BYTES or n_variants + frame.n > FRAME_VARIANTS
        if run and (is_full or len(run) == _MOST_MEMBERS):
            cut.append(tuple(run))
            run, n_bytes, n_variants = [], 0, 0
        run.append(frame)
        n_bytes, n_variants = n_bytes + n_body, n_variants + frame.n
    return [*cut, tuple(run)] if run else cut


# ------------------------------------------------------------------------------------------- merge


@dataclass(frozen=True, slots=True)
class Loaded:
    """A frame with the raw buffers of its columns.

    Attributes
    ----------
    frame
        Where it lies.
    columns
        By name.
    """

    frame: FrameRef
    columns: Mapping[str, Part]

    @classmethod
    def read(cls, frame: FrameRef, reader: Reader) -> Loaded:
        """Read all columns.

        Raises
        ------
        FormatError
            A column is damaged.
        """
        return cls(frame, {column["name"]: Part(column, frame.n, raw) for column, raw in frame.raw(reader)})

    @property
    def n(self) -> int:
        """The number of variants."""
        return self.frame.n

    def values(self, name: str) -> Any:
        """A decoded column."""
        part = self.columns[name]
        return decode(part.description, part.n, part.buffers)


def merge(members: Sequence[Loaded]) -> Frame:
    """One frame that says of each variant what its own frame said; the order of variants is that of the frames."""
    first = members[0]
    header, facts = _facts(members)
    columns: dict[str, ColumnData] = {}
    for name, part in first.columns.items():
        if not _is_made_here(part.description):
            columns[name] = concatenate([member.columns[name] for member in members])
    for name in [name for name, column in columns.items() if "dims" in column.description]:
        columns |= _labels(members, name, columns)
    rows = _rows(members)
    if isinstance(rows, list):
        header["rows"] = rows
    else:
        columns[ROW] = fixed(rows, kind="fact")
    return Frame(header, {**columns, **facts})


def _rows(members: Sequence[Loaded]) -> list[int] | NDArray[np.int64]:
    """The rows of all variants; first and last if they are consecutive."""
    spans = [member.frame.header.get("rows") for member in members]
    starts = [span[0] for span in spans if span is not None]
    stops = [span[1] for span in spans if span is not None]
    if len(starts) == len(spans) and starts[1:] == stops[:-1]:
        return [starts[0], stops[-1]]
    return np.concatenate(
        [member.values(ROW) if span is None else np.arange(*span) for member, span in zip(members, spans, strict=True)]
    ).astype("<i8")


def _facts(members: Sequence[Loaded]) -> tuple[dict[str, Any], dict[str, ColumnData]]:
    """The facts of all, and a column for each in which they differ."""
    frames = [member.frame for member in members]
    header: dict[str, Any] = {}
    columns: dict[str, ColumnData] = {}
    keys = dict.fromkeys(key for frame in frames for key in frame.header if key not in _OF_THE_FRAME)
    spread = dict.fromkeys(name for member in members for name in member.columns if name.startswith(FACT))
    for key in {**keys, **dict.fromkeys(name.removeprefix(FACT) for name in spread)}:
        said = [frame.header.get(key) for frame in frames]
        differ = len(set(map(identity_of, said))) > 1 or (key in SUMS and len(frames) > 1)
        if FACT + key not in spread and not differ:
            header[key] = said[0]
            continue
        if f"@{key}" not in members[0].columns:  # else each variant's own is there, and frames have only totals
            columns[FACT + key] = _fact_column(key, members)
        known = [one for one in said if one is not None]
        if key in _IN_THE_HEADER and known:
            header[key] = _IN_THE_HEADER[key](known)
    n_merged = sum(frame.header.get(MERGED, 1) for frame in frames)
    return {**header, "session": frames[0].session, **({MERGED: n_merged} if n_merged > 1 else {})}, columns


def _fact_column(key: str, members: Sequence[Loaded]) -> ColumnData:
    """What each variant's frame said under *key*; a sum over a frame's variants is shared out among them."""
    name = FACT + key
    parts: list[Any] = []
    for member in members:
        said = member.frame.header.get(key)
        if name in member.columns:
            stored = member.values(name)
            parts.append(stored.values() if isinstance(stored, Category) else stored)
        else:
            parts.append([said / member.n if key in SUMS and said is not None else said] * member.n)
    values = [value for part in parts for value in (part.tolist() if isinstance(part, np.ndarray) else part)]
    if {float} == set(map(type, values)):
        return fixed(np.array(values, dtype="<f8"), kind="fact")
    places: dict[Hashable, int] = {}
    pool: list[Any] = []
    codes = np.full(len(values), -1, dtype=np.int64)
    for k, value in enumerate(values):
        if value is not None:
            codes[k] = places.setdefault(identity_of(value), len(pool))
            if codes[k] == len(pool):
                pool.append(value)
    return category(pool, codes, kind="fact")


def _labels(members: Sequence[Loaded], name: str, columns: dict[str, ColumnData]) -> dict[str, ColumnData]:
    """The output *name* and its labels: in the description those that all share, in columns the others."""
    column = columns[name]
    common: dict[str, Any] = {}
    varying: dict[str, ColumnData] = {}
    for dim in column.description["dims"]:
        given = [given_labels(member.columns[name].description, dim) for member in members]
        own = label_name(name, dim)
        if not any(own in member.columns for member in members) and _all_equal(given):
            if given[0] is not None:
                common[dim] = given[0].tolist()
            continue
        labels: list[NDArray[Any] | None] = []
        for member, shared in zip(members, given, strict=True):
            labels += _listed(member, own) if own in member.columns else [shared] * member.n
        varying[own] = label_column(labels)
    kept = {key: value for key, value in column.description.items() if key != "coords"}
    labelled = ColumnData(column.kind, column.encoding, column.n, column.buffers, {**kept, "coords": common})
    return {name: labelled, **varying}


def _all_equal(labels: Sequence[NDArray[Any] | None]) -> bool:
    first = labels[0]
    return all(one is None if first is None else one is not None and np.array_equal(one, first) for one in labels)


def _listed(loaded: Loaded, name: str) -> list[Any]:
    """The entry of each variant in a column, None where it has none."""
    values = loaded.values(name)
    if isinstance(values, Category):
        return values.values()
    if isinstance(values, np.ma.MaskedArray):
        valid = np.frombuffer(loaded.columns[name].buffers[1], dtype=np.bool_).tolist()
        return [entry if there else None for there, entry in zip(valid, values.data, strict=True)]
    return list(values)


# ------------------------------------------------------------------------------------------ verify


def holds(merged: Loaded, members: Sequence[Loaded]) -> bool:
    """Whether a merged frame, as it was read back, says of each variant all that its own frame says."""
    if merged.n != sum(member.n for member in members):
        return False
    if any(facts_key(merged.frame) != facts_key(member.frame) for member in members):
        return False
    names = dict.fromkeys(name for member in members for name in member.columns)
    return all(_is_same(name, merged, members) for name in names)


def _is_same(name: str, merged: Loaded, members: Sequence[Loaded]) -> bool:
    parts = [loaded.columns[name] for loaded in (merged, *members) if name in loaded.columns]
    forms = {_form(part.description) for part in parts}
    if len(parts) == 1 + len(members) and len(forms) == 1 and None not in forms:
        return parts[0].buffers[0] == b"".join(part.buffers[0] for part in parts[1:])
    return _entries(merged, name) == list(chain.from_iterable(_entries(member, name) for member in members))


def _form(description: Mapping[str, Any]) -> Hashable:
    """What makes columns of equal bytes equal columns; None where bytes do not tell."""
    if description["encoding"] != "fixed":
        return None
    return description["dtype"], tuple(description["shape"])


def _entries(loaded: Loaded, name: str) -> list[Hashable]:
    """One comparable thing per variant: what the column says of it, or what stands for the column in the header."""
    part = loaded.columns.get(name)
    if part is None:
        return _implied(loaded, name)
    if part.description["encoding"] == "category":
        keys, codes = keyed(part)
        return [keys[code] for code in codes]
    entries = _listed(loaded, name)
    if part.description["kind"] == "label":
        return [None if one is None else _as_text(one) for one in entries]
    if name.startswith(FACT) or name == ROW:
        return [identity_of(one.item()) for one in entries]
    return [one if isinstance(one, str | None) else (one.dtype.str, one.shape, one.tobytes()) for one in entries]


def _implied(loaded: Loaded, name: str) -> list[Hashable]:
    if name == ROW:
        return [identity_of(row) for row in range(*loaded.frame.header["rows"])]
    if name.startswith(FACT):
        key = name.removeprefix(FACT)
        said = loaded.frame.header.get(key)
        share = said / loaded.n if key in SUMS and said is not None else said
        return [None if share is None else identity_of(share)] * loaded.n
    output, dim = label_of(name)
    labels = given_labels(loaded.columns[output].description, dim)
    return [None if labels is None else _as_text(labels)] * loaded.n


def _as_text(labels: NDArray[Any]) -> Hashable:
    return tuple(map(str, labels.tolist()))
