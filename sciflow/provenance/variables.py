"""Environment variables that change numbers or how text is read: those on a list, and none that may be a secret."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT_VARIABLES: Final = frozenset(
    {
        "CUBLAS_WORKSPACE_CONFIG",
        "JAX_ENABLE_X64",
        "LANG",
        "NPY_DISABLE_CPU_FEATURES",
        "NVIDIA_TF32_OVERRIDE",
        "PYTHONHASHSEED",
        "TF_DETERMINISTIC_OPS",
        "TF_ENABLE_ONEDNN_OPTS",
        "TZ",
        "XLA_FLAGS",
    }
)
"""Environment variables that are kept; they change numbers, or how text is read."""

KEPT_PREFIXES: Final = ("BLIS_", "GOMP_", "GOTO_", "KMP_", "LC_", "MKL_", "NUMEXPR_", "OMP_", "OPENBLAS_", "VECLIB_")
"""Beginnings of further ones: threads of numeric libraries, and the locale."""

_SECRET_NAME = re.compile(r"AUTH|CREDENTIAL|KEY|PASS|SECRET|TOKEN|LICEN[CS]E")
_HARMLESS_VALUE = re.compile(r"[\w.,:;=+\- {}*]{0,200}", re.ASCII)  # no slash, no @: neither a path nor a URL
_SECRET_VALUE = re.compile(
    r"""
    (?:gh[pousr]|github_pat|glpat|hf|pypi|npm|sk|rk|pk|xox[abprs])[_-]\w{8}   # tokens begin with who gave them
    | (?:AKIA|ASIA)[0-9A-Z]{12} | eyJ[\w-]{10}                                # AWS, JSON web tokens
    | (?=\w*[A-Za-z])(?=\w*\d)(?<!\w)[A-Za-z0-9]{24}                          # whatever else is long and random
    """,
    re.ASCII | re.VERBOSE,
)
_MODULE = re.compile(r"[\w.+\-/]{1,100}", re.ASCII)


def kept_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of *variables* that are on the list and look like no secret."""
    return {
        name: value
        for name, value in sorted(variables.items())
        if (name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES))
        and not _SECRET_NAME.search(name)
        and _HARMLESS_VALUE.fullmatch(value)
        and not _SECRET_VALUE.search(value)
    }


def loaded_modules(variables: Mapping[str, str]) -> list[str]:
    """Environment modules (``gcc/13.2``) in the order of loading; taken from their files where only those are told."""
    named = [one for one in variables.get("LOADEDMODULES", "").split(":") if one]
    if not named:
        files = (PurePosixPath(one) for one in variables.get("_LMFILES_", "").split(":") if one)
        named = ["/".join(file.with_suffix("" if file.suffix == ".lua" else file.suffix).parts[-2:]) for file in files]
    harmless = (one for one in named if _MODULE.fullmatch(one) and not one.startswith("/"))
    return [one for one in harmless if not _SECRET_VALUE.search(one)]


def own_facts(variables: Mapping[str, str], n_cores: int) -> dict[str, Any]:
    """What differs from one worker of a node to the next, and so belongs with its runs: its cores and its GPUs."""
    visible = variables.get("CUDA_VISIBLE_DEVICES")
    is_told = visible is not None and re.fullmatch(r"[\w,\-/.:]{0,400}", visible, re.ASCII)
    return {"n_cores": n_cores, **({"gpus": visible} if is_told else {})}
