"""A machine with the programs that a test says: what builds environments is tried on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciflow.packaging.rebuild import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FINE = Answer(0, "")


class ScriptedPrograms:
    """Programs that answer as they are told, and remember what they were asked.

    Parameters
    ----------
    installed
        Names of the programs that are there.
    answer
        From a command to its answer; None is success.

    Attributes
    ----------
    commands
        What was run, in order.
    """

    def __init__(
        self, installed: Sequence[str] = (), answer: Callable[[tuple[str, ...]], Answer | None] = lambda _: None
    ) -> None:
        self._installed, self._answer = frozenset(installed), answer
        self.commands: list[tuple[str, ...]] = []

    def find(self, name: str) -> str | None:
        """The path of a program, None if it is not there."""
        return f"/programs/{name}" if name in self._installed else None

    def run(self, command: Sequence[str], variables: Mapping[str, str]) -> Answer:  # noqa: ARG002  as the seam has it
        """Answer, and do nothing."""
        self.commands.append(tuple(command))
        return self._answer(tuple(command)) or FINE
