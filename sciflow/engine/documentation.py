"""Whether a sweep would be as well documented as its workflow requires, asked before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sciflow.engine.origin import folder_of, look_at_code
from sciflow.errors import MetadataError
from sciflow.provenance.environment import surroundings_of
from sciflow.provenance.requirements import of_code_or_environment, unmet_metadata

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
    required = definition.metadata_requirements
    unseen = [] if is_full else of_code_or_environment(required)
    seen = [name for name in required if name not in unseen]
    missing = [f"{name}: capture='minimal' does not look" for name in unseen]
    if not seen:
        return missing
    if not is_full:
        return missing + unmet_metadata(seen, {}, inputs, {})
    folder = folder_of(definition)
    return unmet_metadata(seen, look_at_code(folder, sweep), inputs, surroundings_of(folder).record())


def refuse_unseen(definition: Definition, *, is_full: bool) -> None:
    """Refuse a workflow that requires to be known what is not looked at.

    Raises
    ------
    MetadataError
        So it is.
    """
    unseen = [] if is_full else of_code_or_environment(definition.metadata_requirements)
    if unseen:
        raise MetadataError(
            f"nothing was run: workflow {definition.name!r} requires {', '.join(unseen)}, and capture='minimal' looks "
            "neither at the code's repository nor at the environment; leave out capture='minimal', or these "
            "requirements of workflow.set_metadata_requirements(...)"
        )


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
