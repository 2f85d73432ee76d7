"""A condition written as a text, such as ``"size > 8 and loss < 1"``, as a function that is bound by name."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

from sciflow.errors import PredicateError, WorkflowError
from sciflow.space.expression import Expression
from sciflow.space.variant import ABSENT


@dataclass(frozen=True, slots=True)
class Condition:
    """Says from parameters and outputs of dependencies whether a task runs; called by keyword.

    Attributes
    ----------
    expression
        What must hold.
    optional
        Parameters that some variants lack: a comparison with one that is lacking is false.
    """

    expression: Expression
    optional: frozenset[str] = frozenset()

    def __call__(self, **values: Any) -> bool:
        """Whether it holds."""
        result = self.expression(values)
        return result is not ABSENT and bool(result)

    @property
    def __signature__(self) -> Signature:
        return Signature(
            [
                Parameter(name, Parameter.KEYWORD_ONLY, default=ABSENT if name in self.optional else Parameter.empty)
                for name in self.expression.names
            ]
        )

    def __sciflow_fingerprint__(self) -> list[str]:
        """What makes it another condition; where values come from is told by the task's dependencies."""
        return ["condition", self.expression.text]

    def __str__(self) -> str:
        return self.expression.text


def parse_condition(task: str, text: str) -> Condition:
    """Read a condition as people write it.

    Raises
    ------
    WorkflowError
        For a text that is no expression, or that names nothing.
    """
    try:
        expression = Expression(text)
    except PredicateError as error:
        raise WorkflowError(f"task {task!r}: condition: {error}") from None
    if not expression.names:
        raise WorkflowError(f"task {task!r}: the condition {text!r} names no parameter and no output of a dependency")
    if "context" in expression.names:
        raise WorkflowError(f"task {task!r}: a condition that needs the context is a function, not the text {text!r}")
    return Condition(expression)
