"""What a computation ran in: interpreter, system, machine, packages, and the variables that change numbers.

Only facts that hold for the life of the process: two captures of one environment are equal, and so is their
digest. No path of this machine and no variable that is not on the list is kept.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from sciflow.provenance.address import scrubbed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEPT_VARIABLES: Final = frozenset(
    {
        "CUBLAS_WORKSPACE_CONFIG",
        "CUDA_VISIBLE_DEVICES",
        "LANG",
        "NPY_DISABLE_CPU_FEATURES",
        "PYTHONHASHSEED",
        "TZ",
    }
)
"""Environment variables that are kept; they change numbers, or how text is read."""

KEPT_PREFIXES: Final = ("BLIS_", "GOTO_", "KMP_", "LC_", "MKL_", "NUMEXPR_", "OMP_", "OPENBLAS_", "VECLIB_")
"""Beginnings of further ones: threads of numeric libraries, and the locale."""

_SECRET_NAME = re.compile(r"AUTH|CREDENTIAL|KEY|PASS|SECRET|TOKEN|LICEN[CS]E")
_HARMLESS_VALUE = re.compile(r"[\w.,:;=+\- {}*]{0,200}", re.ASCII)  # no slash, no @: neither a path nor a URL


def capture_environment(
    *,
    variables: Mapping[str, str] = os.environ,
    distributions: Iterable[metadata.Distribution] | None = None,
) -> dict[str, Any]:
    """Facts about this process and its machine, as JSON data.

    Parameters
    ----------
    variables
        The environment variables to choose from.
    distributions
        The installed packages; by default all that this process can import.

    Returns
    -------
    dict
        ``python``, ``system``, ``machine``, ``packages`` (name → version), ``origins`` (name → where a
        package came from that was not installed from an index, after PEP 610), ``variables``.
    """
    packages, origins = _packages(metadata.distributions() if distributions is None else distributions)
    return {
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "compiler": platform.python_compiler(),
        },
        "system": {
            "os": os_name(),
            "kernel": f"{platform.system()} {platform.release()}",
            "libc": " ".join(platform.libc_ver()).strip(),
        },
        "machine": {
            "host": platform.node(),
            "architecture": platform.machine(),
            "cpu": cpu_model(),
            "n_cores": os.cpu_count(),
            "n_cores_usable": _usable_cores(),
            "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        },
        "packages": packages,
        "origins": origins,
        "variables": kept_variables(variables),
    }


def kept_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of *variables* that are on the list and look like no secret."""
    return {
        name: value
        for name, value in sorted(variables.items())
        if (name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES))
        and not _SECRET_NAME.search(name)
        and _HARMLESS_VALUE.fullmatch(value)
    }


def os_name(folder: Path = Path("/etc")) -> str:
    """The name of the distribution as it calls itself, else what the kernel says; os-release(5)."""
    try:
        text = (folder / "os-release").read_text("utf-8", errors="replace")
    except OSError:
        return platform.platform(terse=True)
    match = re.search(r"^PRETTY_NAME=[\"']?(.*?)[\"']?$", text, re.MULTILINE)
    return match[1] if match else platform.platform(terse=True)


def cpu_model(path: Path = Path("/proc/cpuinfo")) -> str:
    """The model of the first core; the architecture where the system does not tell."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.machine()


def _usable_cores() -> int:
    """The cores that this process may run on, which a batch system often restricts."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # pragma: no cover  other systems have no affinity to ask for


def _packages(distributions: Iterable[metadata.Distribution]) -> tuple[dict[str, str], dict[str, Any]]:
    """Versions and origins by name; of two packages of one name, the one that an import would find."""
    found: dict[str, tuple[str, str, metadata.Distribution]] = {}
    leftovers: dict[str, tuple[str, str, metadata.Distribution]] = {}
    for one in distributions:
        text, kept = one.read_text("METADATA"), found
        if text is None:  # an egg-info folder, perhaps a stale one beside the source: installed ones go first
            text, kept = one.read_text("PKG-INFO"), leftovers
        name, version = _name_and_version(text or "")
        if name:
            kept.setdefault(re.sub(r"[-_.]+", "-", name).lower(), (name, version, one))
    chosen = [entry for _, entry in sorted({**leftovers, **found}.items())]
    origins = {name: origin for name, _, one in chosen if (origin := _origin(one.read_text("direct_url.json")))}
    return {name: version for name, version, _ in chosen}, origins


def _name_and_version(text: str) -> tuple[str, str]:
    """From the head of a package's metadata; parsing all of it as a mail costs ten times as much."""
    head, _, _ = text.replace("\r\n", "\n").partition("\n\n")
    facts = dict(re.findall(r"^(Name|Version): *(.*?) *$", head, re.MULTILINE))
    return facts.get("Name", ""), facts.get("Version", "")


def _origin(text: str | None) -> dict[str, Any] | None:
    """Where a package came from, without credentials and paths; None for one from an index."""
    try:
        data: object = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    facts = cast("dict[str, Any]", data)
    address = scrubbed(str(facts.get("url", "")))
    if vcs := facts.get("vcs_info"):
        return {"kind": str(vcs.get("vcs", "vcs")), "url": address, "commit": vcs.get("commit_id")}
    if "dir_info" in facts:
        return {"kind": "editable" if facts["dir_info"].get("editable") else "folder", "url": address}
    return {"kind": "archive", "url": address}
