"""Tasks, what they need, and how they fit together."""

from __future__ import annotations

from sciflow.workflow.binding import (
    Argument,
    Definition,
    FromContext,
    FromOutput,
    FromParameter,
    FromTask,
    FromUpstream,
    Source,
    Step,
)
from sciflow.workflow.criteria import Criterion
from sciflow.workflow.resolve import settle_upstream
from sciflow.workflow.resources import Resources
from sciflow.workflow.task import Task, check_output_name
from sciflow.workflow.workflow import ExperimentalWorkflow

__all__ = [
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
    "Source",
    "Step",
    "Task",
    "check_output_name",
    "settle_upstream",
]
