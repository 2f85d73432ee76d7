"""Sweep: a definition and what its directory already holds of it, looked at together."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sciflow import canonical
from sciflow.engine.look import look, rows_where
from sciflow.errors import SpaceError, SweepError, SweepMismatchError
from sciflow.planning.classes import Classes
from sciflow.planning.pilot import pilot_rows
from sciflow.planning.plan import Plan, Progress, Reason, Request, choose
from sciflow.planning.rows import RowSet
from sciflow.planning.sharing import Sharing, count_evaluations
from sciflow.provenance.fingerprint import fingerprint
from sciflow.provenance.inputs import contents, read_inputs
from sciflow.store.directory import frozen_defaults
from sciflow.store.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sciflow.space import Space
    from sciflow.store.directory import SweepDirectory
    from sciflow.workflow.binding import Definition

CLOSE = 1e-12
"""Two numbers this close, relative to their size, are taken for one value computed twice."""

_MOST_VARIANTS = 2**62


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a driver knows before it starts.

    Parameters
    ----------
    definition : today's workflow, bound
    generation : digest of its code and declared inputs
    snapshot : committed frames
    progress : what they say of today's space
    description : the definition as it is stored
    is_new : whether the directory does not have this definition as its newest
    """

    definition: Definition
    generation: str
    snapshot: Snapshot
    progress: Progress
    description: dict[str, Any]
    is_new: bool

    @classmethod
    def look(
        cls,
        definition: Definition,
        directory: SweepDirectory | None,
        *,
        allow_close: bool = False,
        fingerprints: Mapping[str, str] | None = None,
        tell: Callable[[str], object] | None = None,
    ) -> Self:
        """Compare the definition with what *directory* holds; None means that nothing is there yet.

        Without *fingerprints* (task name → identity of its code) those of the code in this process count. *tell* is
        called with words while large inputs are read.

        Raises
        ------
        SweepMismatchError
            A frozen default was changed, or a value lies too close to a recorded one.
        """
        space = definition.space
        if space.n_variants >= _MOST_VARIANTS:
            raise SweepError(f"a space of {space.n_variants:,} variants can be looked at but not run; sample it first")
        if fingerprints is None:
            fingerprints = {step.task.name: fingerprint(*step.task.functions()) for step in definition.steps}
        earlier = [] if directory is None else directory.definitions()
        inputs = read_inputs(definition.inputs, [file for old in earlier for file in old.get("inputs", ())], tell=tell)
        parts: dict[str, Any] = {
            step.task.name: [fingerprints[step.task.name], list(step.task.depends_on)] for step in definition.steps
        }
        # no task can have a name with a space
        generation = canonical.content_digest(parts | ({"input files": contents(inputs)} if inputs else {}))
        description: dict[str, Any] = {
            **definition.to_dict(),
            "defaults": {p.name: canonical.plain(p.default) for p in space.parameters if p.has_default},
            "n_variants": space.n_variants,
            "fingerprints": dict(fingerprints),
            "generation": generation,
            **({"inputs": inputs} if inputs else {}),
        }
        defaults = frozen_defaults(earlier)
        _refuse_changed_defaults(space, defaults)
        if earlier and not allow_close:
            _refuse_close_values(space, earlier)
        exact = "source" not in repr(description["space"])  # a callable may have changed though its text did not
        same = {old["revision"]: exact and old["space"] == description["space"] for old in earlier}

        def progress_in(snapshot: Snapshot) -> Progress:
            return look(snapshot.frames, space, generation, same, defaults)

        nothing = Snapshot((), ())
        progress, snapshot = (progress_in(nothing), nothing) if directory is None else directory.read(progress_in)
        newest = {key: value for key, value in earlier[-1].items() if key != "revision"} if earlier else None
        is_new = newest != json.loads(json.dumps(description))
        return cls(definition, generation, snapshot, progress, description, is_new)

    @property
    def codes(self) -> dict[str, str]:
        """Task name → identity of its code, inputs and all that it depends on: what a kept value of it is known by."""
        prints: Mapping[str, str] = self.description["fingerprints"]
        files = [contents(self.description["inputs"])] if "inputs" in self.description else []
        codes: dict[str, str] = {}
        for step in self.definition.steps:  # dependencies come first
            task = step.task
            codes[task.name] = canonical.content_digest(
                [prints[task.name], self.definition.seed, [codes[name] for name in task.depends_on], *files]
            )
        return codes

    def plan(self, request: Request, *, has_classes: bool = False) -> Plan:
        """What a call would run, and why; *has_classes*: where workers are of the kinds that tasks ask for."""
        space = self.definition.space
        rows = RowSet.span(0, space.n_variants) if request.only is None else rows_where(space, request.only)
        todo: Mapping[Reason, RowSet] = choose(self.progress, request, rows)
        sharing = Sharing.of(self.definition, Classes.of(self.definition) if has_classes else None)
        union = RowSet.empty()
        for chosen in todo.values():
            union = union | chosen
        if request.pilot is not None:
            union = pilot_rows(space, union, request.pilot)
            todo = {reason: chosen & union for reason, chosen in todo.items() if len(chosen & union)}
        evaluations = count_evaluations(sharing, union)
        return Plan(self.definition.name, space.n_variants, self.progress, todo, evaluations, sharing)

    def settled_by(self, sessions: Collection[int]) -> RowSet:
        """Which rows these sessions have settled for today's code."""
        revisions = {frame.header["revision"] for frame in self.snapshot.frames}
        theirs = [frame for frame in self.snapshot.frames if frame.header["session"] in sessions]
        seen = look(theirs, self.definition.space, self.generation, dict.fromkeys(revisions, False), {})
        return seen.done | seen.failed

    def missing_of(self, rows: RowSet, snapshot: Snapshot, revision: int, session: int) -> tuple[RowSet, RowSet]:
        """Which of *rows* this session has not committed yet, and which it has committed as failed."""
        mine = [f for f in snapshot.frames if f.header["session"] == session]
        seen = look(mine, self.definition.space, self.generation, {revision: True}, {})
        return rows - seen.done - seen.failed, rows & seen.failed


def _refuse_changed_defaults(space: Space, frozen: Mapping[str, object]) -> None:
    """A default that contradicts a declared one would give recorded variants another identity."""
    for parameter in space.parameters:
        if parameter.name in frozen and parameter.has_default and parameter.counts_at(frozen[parameter.name]):
            was = frozen[parameter.name]
            raise SweepMismatchError(
                f"parameter {parameter.name!r} was added with the default {was!r}, which recorded variants rely on; it "
                f"cannot become {parameter.default!r}: keep default={was!r} and list {parameter.default!r} among the "
                "values, or give the workflow another name"
            )


def _refuse_close_values(space: Space, earlier: list[dict[str, Any]]) -> None:
    """A value next to a recorded one is almost surely the same number computed another way."""
    axes = space.axes
    if axes is None:
        return
    for old in earlier:
        for name, values in _axes_of(old["space"]).items():
            mine = next((axis for axis in axes if axis.name == name), None)
            if mine is None:
                continue
            recorded = sorted(v for v in values if _is_number(v))
            known = set(recorded)
            for value in (v for v in mine.values if _is_number(v) and v not in known):
                near = min(recorded, key=lambda one: abs(one - value), default=None)
                if near is not None and math.isclose(near, value, rel_tol=CLOSE, abs_tol=0.0):
                    raise SweepMismatchError(
                        f"parameter {name!r}: the value {value!r} is next to {near!r}, which is recorded; "
                        "use that one, or pass allow_close=True to Engine if they are meant to be two"
                    )


def _axes_of(description: Mapping[str, Any]) -> dict[str, list[Any]]:
    from sciflow.space import Space  # noqa: PLC0415  only after a definition was found on disk

    try:
        axes = Space.from_dict(description).axes
    except SpaceError:  # a callable predicate cannot be read back
        return {}
    return {axis.name: list(axis.values) for axis in axes or ()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
