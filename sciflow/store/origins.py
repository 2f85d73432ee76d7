"""What made the results that count: for each session its code, definition and environments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sciflow.store.assembled import Assembled


@dataclass(frozen=True, slots=True)
class Origin:
    """What made the results that one session recorded.

    Attributes
    ----------
    definition
        The revision of the definition, as it was recorded.
    code
        The state of the code, as `sciflow.provenance.code.capture_code` gives it.
    environments
        Digests of those that it recorded results from.
    n_variants
        Variants whose result is from there; 0 if others count instead.
    is_current, is_current_code
        Whether the newest definition has the same code and inputs; the same code.
    """

    session: int
    definition: Mapping[str, Any]
    code: Mapping[str, Any]
    environments: tuple[str, ...]
    n_variants: int
    is_current: bool
    is_current_code: bool

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The declared inputs, by name and content."""
        return [
            {key: value for key, value in one.items() if key != "seen"} for one in self.definition.get("inputs", ())
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data: which session and revision it was, of how many variants, and what is not as in the newest one.

        The session's own entry in the description of the sweep has the code.
        """
        made_by = {"fingerprints": dict(self.definition.get("fingerprints", {})), "inputs": self.inputs}
        return {
            "session": self.session,
            "revision": self.definition.get("revision"),
            "generation": self.definition.get("generation"),
            "is_current": self.is_current,
            "environments": list(self.environments),
            "n_variants": self.n_variants,
            **({} if self.is_current else made_by),
        }


def origins_of(
    definitions: Sequence[Mapping[str, Any]], sessions: Sequence[Mapping[str, Any]], assembled: Assembled
) -> tuple[Origin, ...]:
    """The sessions that recorded something, oldest first."""
    recorded: dict[tuple[int, int], set[str]] = {}
    for frame in assembled.snapshot.frames:
        environments = recorded.setdefault((frame.session, frame.header["revision"]), set())
        environments.add(str(frame.header.get("environment")))
    codes, numbers = assembled.facts("session")
    counts = dict(zip(numbers, np.bincount(codes.ravel() + 1, minlength=len(numbers) + 1)[1:].tolist(), strict=True))
    revisions = {one["revision"]: one for one in definitions}
    known = {one["session"]: one for one in sessions}
    newest = assembled.definition
    origins: list[Origin] = []
    for (session, revision), environments in sorted(recorded.items()):
        definition = revisions.get(revision, newest)
        origins.append(
            Origin(
                session,
                definition,
                known.get(session, {}).get("code", {"repository": None}),
                tuple(sorted(environments)),
                counts.get(session, 0),
                definition.get("generation") == newest.get("generation"),
                definition.get("fingerprints") == newest.get("fingerprints"),
            )
        )
    return tuple(origins)
