"""Whether a sweep would be as well documented as its workflow requires, asked before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sciflow.engine.capture import NOT_CAPTURED
from sciflow.engine.origin import folder_of, look_at_code
from sciflow.errors import MetadataError
from sciflow.provenance.environment import surroundings_of
from sciflow.provenance.requirements import unmet_metadata

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from sciflow.workflow.binding import Definition


def missing_metadata(
    definition: Definition, sweep: Path, inputs: Collection[Mapping[str, Any]], *, is_full: bool
) -> list[str]:
    """Say in a sentence each requirement that the code and the environment of this process do not meet.

    Parameters
    ----------
    definition : the workflow
    sweep : the directory of the sweep, which need not be there
    inputs : as the sweep's description has them
    is_full : whether code and environment would be recorded at all
    """
    if not definition.metadata_requirements:
        return []
    folder = folder_of(definition)
    code: Mapping[str, Any] = look_at_code(folder, sweep) if is_full else {"repository": None, **NOT_CAPTURED}
    environment = surroundings_of(folder).record() if is_full else NOT_CAPTURED
    return unmet_metadata(definition.metadata_requirements, code, inputs, environment)


def refuse_undocumented(definition: Definition, missing: Sequence[str]) -> None:
    """Refuse to run what would not be as well documented as the workflow requires.

    Raises
    ------
    MetadataError
        Something is missing.
    """
    if missing:
        raise MetadataError(
            f"nothing was run: workflow {definition.name!r} requires metadata that is missing:\n"
            + "\n".join(f"  {sentence}" for sentence in missing)
            + "\nMend these, or change workflow.set_metadata_requirements(...)"
        )
