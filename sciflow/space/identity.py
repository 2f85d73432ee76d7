"""Identities of many variants at once, from pieces of text encoded once per value."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from sciflow.canonical import ID_BYTES, digests_of_identities, fragment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from sciflow.space.variant import Parameter

    Encoded = tuple[Parameter, NDArray[np.object_], NDArray[np.int64]]
    Pieces = tuple[NDArray[np.object_], NDArray[np.int64]]


def identities(columns: Sequence[Encoded], n_rows: int) -> bytes:
    """Ten bytes per row, byte-identical to hashing each row's identity text.

    Parameters
    ----------
    columns
        For each parameter that may count: the parameter, its pool of values and the rows' codes.
    n_rows
        The number of rows.
    """
    pieces = [_pieces(*column) for column in sorted(columns, key=lambda column: column[0].name)]
    while len(pieces) > 1:
        fewer = _joined_once(pieces, n_rows)
        if fewer is None:
            break
        pieces = fewer
    if not pieces:
        return digests_of_identities((b"{}",)) * n_rows
    if len(pieces) == 1 and len(pieces[0][0]) < n_rows:  # fewer texts than rows: hash each text once
        texts, codes = pieces[0]
        digests = digests_of_identities(b"{" + text[1:] + b"}" for text in texts.tolist())
        return np.frombuffer(digests, dtype=f"V{ID_BYTES}")[codes].tobytes()
    return digests_of_identities(_rows_of_text(pieces))


def _rows_of_text(pieces: list[Pieces]) -> Iterable[bytes]:
    """The identity text of each row, from pieces that each start with a comma."""
    (first, first_codes), (last, last_codes) = pieces[0], pieces[-1]
    if not first[np.unique(first_codes)].all():  # in some rows the first comma is not in the first piece
        rows = zip(*(texts[codes].tolist() for texts, codes in pieces), strict=True)
        return (b"{" + text[1:] + b"}" for text in map(b"".join, rows))
    opening = _mapped(first, lambda text: b"{" + text[1:])
    if len(pieces) == 1:
        return _mapped(opening, lambda text: text + b"}")[first_codes].tolist()
    closing = _mapped(last, lambda text: text + b"}")
    ends = [(opening, first_codes), *pieces[1:-1], (closing, last_codes)]
    return map(b"".join, zip(*(texts[codes].tolist() for texts, codes in ends), strict=True))


def _mapped(texts: NDArray[np.object_], change: Callable[[bytes], bytes]) -> NDArray[np.object_]:
    changed = np.empty(len(texts), dtype=object)
    changed[:] = list(map(change, texts.tolist()))
    return changed


def _pieces(parameter: Parameter, pool: NDArray[np.object_], codes: NDArray[np.int64]) -> Pieces:
    """For each value its ``,"name":value``, nothing at the default, and one more entry, nothing, for a lack."""
    name = parameter.name
    if len(pool) > len(codes):  # a few rows of a long axis
        used, codes = np.unique(codes, return_inverse=True)
        present = used[used >= 0]
        pool, codes = pool[present], codes - (len(used) - len(present))
    plain = not parameter.has_default
    texts: list[Any] = [
        b"," + fragment(name, value).encode("ascii") if plain or parameter.counts_at(value) else b"" for value in pool
    ]
    encoded = np.empty(len(texts) + 1, dtype=object)
    encoded[:] = [*texts, b""]
    return encoded, np.where(codes < 0, len(texts), codes) if codes.size and codes.min() < 0 else codes


def _joined_once(pieces: list[Pieces], n_rows: int) -> list[Pieces] | None:
    """The pieces with one neighbouring pair joined, where its combinations are few beside the rows."""
    sizes = [len(left) * len(right) for (left, _), (right, _) in itertools.pairwise(pieces)]
    at = int(np.argmin(sizes))
    if sizes[at] > n_rows // 4:
        return None
    (left, left_codes), (right, right_codes) = pieces[at], pieces[at + 1]
    texts = np.empty(sizes[at], dtype=object)
    texts[:] = [one + other for one in left.tolist() for other in right.tolist()]
    return [*pieces[:at], (texts, left_codes * len(right) + right_codes), *pieces[at + 2 :]]
