"""Tasks, what they need, and how they fit together."""

from __future__ import annotations

from sciflow.workflow.binding import (
    SKIP,
    Argument,
    Definition,
    FromContext,
    FromOutput,
    FromParameter,
    FromTask,
    FromUpstream,
    Skip,
    Source,
    Step,
    Value,
)
from sciflow.workflow.criteria import Criterion
from sciflow.workflow.resolve import settle_upstream
from sciflow.workflow.resources import Resources
from sciflow.workflow.retry import Retry
from sciflow.workflow.stop import StopAfter
from sciflow.workflow.task import Task, check_output_name
from sciflow.workflow.workflow import ExperimentalWorkflow

__all__ = [
    "SKIP",
    "Argument",
    "Criterion",
    "Definition",
    "ExperimentalWorkflow",
    "FromContext",
    "FromOutput",
    "FromParameter",
    "FromTask",
    "FromUpstream",
    "Resources",
    "Retry",
    "Skip",
    "Source",
    "Step",
    "StopAfter",
    "Task",
    "Value",
    "check_output_name",
    "settle_upstream",
]
