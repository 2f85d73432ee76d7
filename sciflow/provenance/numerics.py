"""Numeric libraries of this process: BLAS, LAPACK and OpenMP as loaded and set, and what NumPy was built with."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any, Final

_OF_A_LIBRARY: Final = (
    "user_api",
    "internal_api",
    "prefix",
    "version",
    "num_threads",
    "threading_layer",
    "architecture",
)
"""What is kept of a library; where its file lies is not."""

_SET_BY_ITS_IMPORT: Final = "KMP_DUPLICATE_LIB_OK"


def numeric_facts() -> dict[str, Any]:
    """``libraries``: those that are loaded, with the threads that they use now; ``numpy``: its build, once imported."""
    numpy = sys.modules.get("numpy")
    return {"libraries": _libraries(), **({} if numpy is None else {"numpy": numpy_build(numpy)})}


def _libraries() -> list[dict[str, Any]]:
    try:
        threadpoolctl = _threadpoolctl()
        with warnings.catch_warnings():  # about two OpenMP libraries in one process: the user's own matter
            warnings.simplefilter("ignore")
            found = threadpoolctl.threadpool_info()
    except Exception:  # noqa: BLE001  it looks into foreign libraries, and a sweep must not end over that
        return []
    kept = [{key: one[key] for key in _OF_A_LIBRARY if key in one} for one in found]
    return sorted(kept, key=lambda one: [str(one.get(key)) for key in _OF_A_LIBRARY])


def _threadpoolctl() -> Any:
    is_ours_to_undo = "threadpoolctl" not in sys.modules and _SET_BY_ITS_IMPORT not in os.environ
    import threadpoolctl  # noqa: PLC0415  a few milliseconds that only processes with results pay

    if is_ours_to_undo:  # looking at a process must not change what it and its programs do
        os.environ.pop(_SET_BY_ITS_IMPORT, None)
    return threadpoolctl


def numpy_build(numpy: Any) -> dict[str, Any]:
    """``blas`` and ``lapack`` (name, version, configuration), and ``simd`` (``baseline``, ``found`` here)."""
    try:
        config: dict[str, Any] = numpy.show_config("dicts")
    except Exception:  # noqa: BLE001  one built by hand may not know
        return {}
    built, simd = config.get("Build Dependencies", {}), config.get("SIMD Extensions", {})
    facts: dict[str, Any] = {}
    for name in ("blas", "lapack"):
        told: dict[str, Any] = built.get(name, {})
        kept = {key: told.get(key) for key in ("name", "version", "openblas configuration")}
        facts[name] = {key.rpartition(" ")[2]: value for key, value in kept.items() if isinstance(value, str)}
    return facts | {"simd": {key: list(simd.get(key, ())) for key in ("baseline", "found")}}
