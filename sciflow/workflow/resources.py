"""What one run of a task needs from the machine it runs on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sciflow.errors import WorkflowError
from sciflow.quantities import render_bytes, render_seconds
from sciflow.workflow.spelling import did_you_mean

REQUIREMENT_KEYS = ("cpu_cores", "memory_gb", "gpu", "max_runtime_hours")
BYTES_PER_GB = 10**9


@dataclass(frozen=True, slots=True)
class Resources:
    """What one run needs: whole cores, bytes, devices and seconds; None is no limit of its own."""

    cores: int = 1
    memory_bytes: int | None = None
    gpus: int = 0
    max_runtime_s: int | None = None

    def __str__(self) -> str:
        parts = ["1 core" if self.cores == 1 else f"{self.cores} cores"]
        if self.memory_bytes is not None:
            parts.append(render_bytes(self.memory_bytes))
        if self.gpus:
            parts.append("1 GPU" if self.gpus == 1 else f"{self.gpus} GPUs")
        if self.max_runtime_s is not None:
            parts.append(f"up to {render_seconds(self.max_runtime_s)} a run")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, int | None]:
        """Plain data, for the stored definition."""
        return asdict(self)


def parse_resources(task: str, requirements: Mapping[str, object]) -> Resources:
    """Read the requirements that people write for one task.

    Parameters
    ----------
    task
        Name of the task, for the text of errors.
    requirements
        Any of ``cpu_cores`` (a whole number), ``memory_gb`` (10^9 bytes each), ``gpu`` (True, or how many)
        and ``max_runtime_hours``.

    Raises
    ------
    WorkflowError
        For an unknown key, or a value of the wrong type or size.
    """
    if not isinstance(requirements, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise WorkflowError(
            f"task {task!r}: requirements are a mapping such as {{'cpu_cores': 4}}, not {requirements!r}"
        )
    unknown = [key for key in requirements if key not in REQUIREMENT_KEYS]
    if unknown:
        raise WorkflowError(
            f"task {task!r} asks for unknown resources {', '.join(map(repr, unknown))}; "
            f"known are {', '.join(REQUIREMENT_KEYS)}" + did_you_mean(str(unknown[0]), REQUIREMENT_KEYS)
        )
    memory_gb = _positive(task, "memory_gb", requirements)
    hours = _positive(task, "max_runtime_hours", requirements)
    return Resources(
        cores=_cores(task, requirements.get("cpu_cores", 1)),
        memory_bytes=None if memory_gb is None else math.ceil(memory_gb * BYTES_PER_GB),
        gpus=_gpus(task, requirements.get("gpu", False)),
        max_runtime_s=None if hours is None else math.ceil(hours * 3600),
    )


def _cores(task: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise WorkflowError(f"task {task!r}: cpu_cores must be a whole number of at least 1, not {value!r}")
    return value


def _gpus(task: str, value: object) -> int:
    if not isinstance(value, int) or value < 0:  # a bool is an int: True asks for one
        raise WorkflowError(f"task {task!r}: gpu must be True, False or a number of GPUs, not {value!r}")
    return int(value)


def _positive(task: str, key: str, requirements: Mapping[str, object]) -> float | None:
    value = requirements.get(key)
    if key not in requirements:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise WorkflowError(f"task {task!r}: {key} must be a finite number above 0, not {value!r}")
    return value
