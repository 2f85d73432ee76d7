"""What is checked and frozen before workers are asked for, so that what is wrong is said within seconds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

from sciflow import interpreter
from sciflow.clusters.shipping import Shipment
from sciflow.errors import WorkflowError
from sciflow.provenance.sources import Sources, read_sources

if TYPE_CHECKING:
    from sciflow.clusters.protocol import Work
    from sciflow.workflow.binding import Definition

_PATIENCE_S: Final = 120.0  # imports from a busy network file system take a while


def freeze(definition: Definition) -> Sources:
    """Read the user's code that the workflow may run, and say when it is not what this process imported."""
    sources = read_sources(function for step in definition.steps for function in step.task.functions())
    for name in sources.edited:
        print(  # noqa: T201  must be seen
            f"sciflow: {sources.modules[name].filename} is not what this process imported as {name!r} (edited since "
            "then, or changed by the script); the sweep runs what was imported. To run the file as it is now, start "
            "again, or reload the module.",
            file=sys.stderr,
        )
    return sources


def preflight(definition: Definition, work: Work, sources: Sources, *, elsewhere: bool = False) -> Shipment:
    """Pack the work for worker processes, having tried what can be tried here.

    Parameters
    ----------
    definition : the workflow
    work : what the workers will do
    sources : the code as frozen
    elsewhere : also load the packed work in a fresh process; a local cluster's own workers do so as their first act

    Raises
    ------
    WorkflowError
        The first or last variant cannot be made, or a task cannot be sent or loaded.
    """
    space = definition.space
    if space.n_variants:
        _ = space[0].id, space[space.n_variants - 1].id
    shipment = Shipment(work, sources)
    contents = shipment.contents
    if elsewhere:
        load_in_fresh_process(contents)
    return shipment


def load_in_fresh_process(contents: bytes) -> None:
    """Try in another process whether what was packed can be loaded.

    Raises
    ------
    WorkflowError
        It cannot.
    """
    try:
        done = subprocess.run(  # noqa: S603  our own module
            interpreter.command(__name__),
            input=contents,
            capture_output=True,
            env=interpreter.environment(),
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WorkflowError(
            f"a fresh process did not load the workflow within {_PATIENCE_S:.0f} s; what its modules do when they "
            "are imported takes too long: do it inside a task"
        ) from error
    if done.returncode == 0:
        return
    said = done.stdout.decode(errors="replace") or done.stderr.decode(errors="replace").strip()
    raise WorkflowError(said or f"a fresh process ended with {done.returncode} as it loaded the workflow")


def _main() -> int:
    """Load the work that comes through standard input; say on standard output why that failed."""
    from sciflow.clusters.shipping import open_shipment  # noqa: PLC0415  the rest of this module is for the driver

    words = sys.stdout
    sys.stdout = sys.stderr  # what the user's modules print as they are imported is no answer
    try:
        open_shipment(sys.stdin.buffer.read())
    except WorkflowError as error:
        words.write(str(error))
        words.flush()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
