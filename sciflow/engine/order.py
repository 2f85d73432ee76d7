"""Order: a sweep as it was asked for, on its way to the controller that runs it."""

from __future__ import annotations

import copy
import hashlib
import platform
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self, cast

import cloudpickle

from sciflow.clusters.shipping import Shipment, open_shipment
from sciflow.engine.capture import NOT_CAPTURED
from sciflow.engine.charge import Origin
from sciflow.engine.origin import capture, folder_of
from sciflow.engine.preflight import freeze
from sciflow.errors import SubmittedError, SweepError, WorkflowError
from sciflow.scheduling.anchor import anchored
from sciflow.store.submissions import Submission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.clusters.protocol import Cluster, Work
    from sciflow.engine.engine import Engine
    from sciflow.planning.plan import Request
    from sciflow.scheduling.policy import Policy
    from sciflow.store.directory import SweepDirectory
    from sciflow.workflow.binding import Definition

_AGAIN = "submit it again: what is finished is kept"


@dataclass(frozen=True)
class Order:
    """All that a controller needs, as it was when the sweep was submitted.

    Attributes
    ----------
    engine
        The engine with its options; its policy is the one in force.
    definition
        The workflow, bound.
    request
        What is to run.
    origin
        The code.
    argv
        The command line of the process that submitted it.
    asked_at
        When that was.
    """

    engine: Engine
    definition: Definition
    request: Request
    origin: Origin
    argv: tuple[str, ...]
    asked_at: datetime

    @classmethod
    def of(cls, engine: Engine, definition: Definition, request: Request, fingerprints: Mapping[str, str]) -> Self:
        """Take down what is asked for, with the code as it is now."""
        sources = freeze(definition)
        code: Mapping[str, Any] = {"repository": None, **NOT_CAPTURED}
        if engine.capture.is_full:
            code = capture(folder_of(definition), engine.directory / definition.name).record(sources)
        origin = Origin(sources, code, fingerprints)
        return cls(engine, definition, request, origin, tuple(sys.argv), datetime.now(UTC))

    @property
    def policy(self) -> Policy:
        """When work may start."""
        return self.engine.policy_for(self.definition)

    def with_cluster(self, cluster: Cluster) -> Order:
        """The order with other workers."""
        engine = copy.copy(self.engine)
        engine.cluster = cluster
        return replace(self, engine=engine)

    def anchored(self) -> Order:
        """The order with hours that mean the same on every machine: in the time zone of this one.

        Raises
        ------
        PolicyError
            This machine does not tell its zone.
        """
        engine = copy.copy(self.engine)
        engine.policy = anchored(self.policy)
        return replace(self, engine=engine)

    def facts(self) -> dict[str, Any]:
        """What a submission says of it."""
        return {"versions": versions(), "executable": sys.executable, "argv": self.argv[:1]}

    def pack(self) -> bytes:
        """Render the order with the code that it needs, for `open_order`.

        Raises
        ------
        WorkflowError, SweepError
            Something in it cannot be sent to another process.
        """
        space = self.definition.space
        if space.n_variants:
            _ = space[0].id, space[space.n_variants - 1].id  # a space that cannot be enumerated is told of here
        for option in ("cluster", "on_event"):
            try:
                cloudpickle.dumps(getattr(self.engine, option))
            except Exception as error:
                raise SweepError(
                    f"the engine's {option} cannot be sent to a controller in another process: "
                    f"{type(error).__name__}: {error}; leave it out, or run the sweep here"
                ) from error
        return Shipment(cast("Work", self), self.origin.sources).contents


def hand_in(directory: SweepDirectory, facts: Mapping[str, Any], contents: bytes) -> Submission:
    """Write down a submission of a packed order.

    Raises
    ------
    SubmittedError
        Somebody else submits the sweep at this moment.
    """
    submission = Submission.create(directory, facts, contents)
    if submission is None:
        raise SubmittedError(str(directory.path), "", "this moment", "a controller that was submitted meanwhile")
    return submission


def versions() -> dict[str, str]:
    """What must agree between who packs an order and who opens it."""
    return {"python": platform.python_version(), "cloudpickle": version("cloudpickle")}


def open_order(submission: Submission) -> Order:
    """The order of a submission.

    Raises
    ------
    SweepError
        It is not there, not ours, of another Python, or cannot be loaded here; the message says what to do.
    """
    before: Mapping[str, Any] = submission.facts.get("versions", {})
    today = versions()
    if _minor(before.get("python", "")) != _minor(today["python"]):
        raise SweepError(
            f"the sweep was submitted with Python {before.get('python')}, and its controller runs under "
            f"{today['python']} ({sys.executable}), which cannot load it; {_AGAIN}"
        )
    try:
        contents = submission.order.read_bytes()
    except OSError as error:
        raise SweepError(f"what was submitted cannot be read any more ({error}); {_AGAIN}") from error
    if not str(submission.facts["order"]).endswith(hashlib.sha256(contents).hexdigest()[:16]):
        raise SweepError(f"{submission.order} is damaged; {_AGAIN}")
    try:
        return cast("Order", open_shipment(contents))
    except WorkflowError as error:
        others = [f"{name} {before.get(name)} is now {now}" for name, now in today.items() if before.get(name) != now]
        changed = f" ({', '.join(others)})" if others else ""
        raise SweepError(
            f"what was submitted cannot be loaded in the controller{changed}: {error}; {_AGAIN}"
        ) from error


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])
