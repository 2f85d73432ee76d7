"""How ``sciflow run`` and ``sciflow plan`` reach into a user's script: what a script's Engine asks before it works.

Both variables are empty unless the command line loads a script, so a script behaves the same without it.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sciflow.engine.engine import Engine
    from sciflow.workflow.workflow import ExperimentalWorkflow

Interceptor: TypeAlias = "Callable[[Engine, ExperimentalWorkflow], None]"

intercept: ContextVar[Interceptor | None] = ContextVar("sciflow_intercept", default=None)
"""Called first by ``execute_parameter_sweep``; it raises to stop the script there, or returns to let it run."""

overrides: ContextVar[Mapping[str, Any]] = ContextVar("sciflow_overrides", default=MappingProxyType({}))
"""Arguments of Engine and ``execute_parameter_sweep``, by name, that win over what the script passes."""
