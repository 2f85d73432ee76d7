"""Which records of a sweep go into a package, and what made them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.analysis.variants import Variants
from sciflow.errors import PackageError
from sciflow.packaging.records import Selection
from sciflow.packaging.rewrite import keys_of_ids
from sciflow.space.chosen import Sampled
from sciflow.store.assemble import assemble
from sciflow.store.origins import Origin, origins_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sciflow.store.assembled import Assembled
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.snapshot import Snapshot

_MADE_BY: Final = frozenset({"fingerprints", "generation", "inputs"})
"""What a definition says of the code and inputs: in a package those that made the results, also if newer ones exist."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records go into a package, and what made them."""

    selection: Selection
    origin: Origin

    @classmethod
    def of(cls, directory: SweepDirectory, snapshot: Snapshot, query: str | None) -> Choice:
        """All records of *snapshot*, or those of the variants for which a condition holds.

        Raises
        ------
        PackageError
            There are none, or different code made them.
        """
        definitions = directory.definitions()
        assembled = assemble(directory, snapshot=snapshot)
        variants = Variants(assembled)
        chosen = np.ones(variants.n, dtype=np.bool_) if query is None else variants.matching(query)
        if not (variants.status[chosen] > 0).any():
            what = f"no variant for which {query!r} holds" if query else "nothing"
            raise PackageError(f"{what} is recorded in {directory.path}; run the sweep, then make the package")
        origin = _one_origin(directory, assembled, chosen)
        newest = {**definitions[-1], **{key: origin.definition[key] for key in _MADE_BY & origin.definition.keys()}}
        ids: NDArray[np.void] | None = None
        if query is not None and not chosen.all():
            ids = keys_of_ids(_bytes_of_ids(np.array(variants.ids, dtype=object)[chosen]))
            newest |= _space_of(assembled, chosen)
        if newest != definitions[-1]:
            definitions = [*definitions, {**newest, "revision": definitions[-1]["revision"] + 1}]
        return cls(Selection(definitions, ids), origin)


def _space_of(assembled: Assembled, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """The space of some variants, as a part of the one that they are from."""
    if assembled.space is None:
        return {}
    rows = np.flatnonzero(chosen) if assembled.rows is None else assembled.rows[chosen]
    space = Sampled(assembled.space, np.sort(rows[rows >= 0]), 0)
    return {"space": json.loads(json.dumps(space.to_dict())), "n_variants": len(rows)}


def _bytes_of_ids(ids: NDArray[np.object_]) -> NDArray[np.uint8]:
    text = "".join(one[1:] for one in ids)
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint8).reshape(len(ids), -1)


def _one_origin(directory: SweepDirectory, assembled: Assembled, chosen: NDArray[np.bool_]) -> Origin:
    """What made the newest of the chosen results, if the same code and inputs made all of them.

    Raises
    ------
    PackageError
        They did not: a package has one code, and would say that it made every number.
    """
    origins = origins_of(directory.definitions(), directory.sessions(), assembled)
    sessions, numbers = assembled.facts("session")
    revisions, of_revision = assembled.facts("revision")
    counted = Counter(
        (numbers[session], of_revision[revision])
        for session, revision in zip(sessions.ravel()[chosen], revisions.ravel()[chosen], strict=True)
        if session >= 0 and revision >= 0
    )
    counting = [(one, n) for one in origins if (n := counted[one.session, one.definition.get("revision")])]
    if len({one.definition.get("generation") for one, _ in counting}) > 1:
        counts: Counter[str] = Counter()
        for one, n in counting:
            counts[_made_by(one)] += n
        each = " and ".join(f"{n:,} by {words}" for words, n in counts.items())
        raise PackageError(
            f"the results in {directory.path} were not made by the same code and inputs: {each}; make those of older "
            "code again with Engine(on_stale='rerun') (on the command line: sciflow run --on-stale rerun), then make "
            "the package; or pack those of one code: --variants 'not stale'"
        )
    return counting[-1][0]


def _made_by(origin: Origin) -> str:
    if origin.is_current:
        return "today's"
    return f"revision {origin.definition.get('revision')} of the definition"
