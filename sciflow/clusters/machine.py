"""What this machine has, and what tasks ask of it that it lacks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psutil

from sciflow.quantities import render_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.workflow import Resources


def n_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether an accelerator of NVIDIA or AMD is visible to this process."""
    return os.path.exists("/dev/nvidia0") or os.path.exists("/dev/kfd")  # noqa: PTH110  two names, no path arithmetic


def unmet(resources: Mapping[str, Resources]) -> list[str]:
    """Say in a sentence each requirement that this machine cannot meet."""
    cores, memory = n_cores(), psutil.virtual_memory().total
    said: list[str] = []
    for task, asked in resources.items():
        if asked.cores > cores:
            said.append(f"task {task!r} asks for {asked.cores} cores, this machine has {cores}")
        if asked.memory_bytes is not None and asked.memory_bytes > memory:
            said.append(
                f"task {task!r} asks for {render_bytes(asked.memory_bytes)} of memory, "
                f"this machine has {render_bytes(memory)}"
            )
        if asked.gpus and not has_gpu():
            said.append(f"task {task!r} asks for a GPU, this machine shows none")
    return said


def cores_per_slot(resources: Mapping[str, Resources]) -> int:
    """Cores that one variant may use here: the most that a task asks for, as far as the machine has them."""
    asked = max((r.cores for r in resources.values()), default=1)
    return max(1, min(asked, n_cores()))


HASH_SEED = "6640"
"""Of Python's texts in workers, and what Dask gives its own: sets of texts have one order in all, and in a re-run."""


def worker_environment(n_threads: int) -> dict[str, str]:
    """Environment variables that keep numerical libraries to *n_threads* threads per process, and hashes the same."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "BLIS_NUM_THREADS")
    seed = os.environ.get("PYTHONHASHSEED", "random")
    return {**dict.fromkeys(names, str(n_threads)), "PYTHONHASHSEED": HASH_SEED if seed in {"0", "random"} else seed}
