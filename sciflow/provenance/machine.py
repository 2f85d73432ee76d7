"""The machine and its system, as all nodes of one type describe themselves alike; no names, no serial numbers."""

from __future__ import annotations

import contextlib
import locale
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from sciflow.scheduling.zone import Zone

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATIENCE_S: Final = 5.0  # a driver that is not loaded may take seconds to come up
_LEVELS: Final = {
    "x86-64-v2": {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"},
    "x86-64-v3": {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"},
    "x86-64-v4": {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"},
}
"""What each level of the x86-64 psABI adds, as Linux names it."""


def system_facts() -> dict[str, Any]:
    """``os``, ``kernel``, ``libc``."""
    return {
        "os": os_name(),
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip(),
    }


def locale_facts() -> dict[str, Any]:
    """``locale`` (of characters and numbers), ``encoding``, ``time_zone``, as this process has them."""
    return {
        "locale": {
            "characters": locale.setlocale(locale.LC_CTYPE),  # asks, and sets nothing
            "numbers": locale.setlocale(locale.LC_NUMERIC),
        },
        "encoding": locale.getencoding(),
        "time_zone": _time_zone(),
    }


def _time_zone() -> str:
    zone = str(Zone())
    return PurePosixPath(zone).name if zone.startswith("/") else zone  # TZ may name a file


def machine_facts() -> dict[str, Any]:
    """``architecture``, ``cpu``, ``cpu_level``, ``n_cores``, ``memory_bytes`` (rounded up), and `gpus`."""
    model, level = cpu()
    return {
        "architecture": platform.machine(),
        "cpu": model,
        "cpu_level": level,
        "n_cores": os.cpu_count(),
        "memory_bytes": rounded_up(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        **gpus(),
    }


def rounded_up(n_bytes: int) -> int:
    """Memory as it was bought: the system keeps a few percent, and from one node to the next a little more or less."""
    step = 1 << max(n_bytes.bit_length() - 4, 0)  # between a sixteenth and an eighth
    return -(-n_bytes // step) * step


def os_name(folder: Path = Path("/etc")) -> str:
    """The name of the distribution as it calls itself, else what the kernel says; os-release(5)."""
    try:
        text = (folder / "os-release").read_text("utf-8", errors="replace")
    except OSError:
        return platform.platform(terse=True)
    match = re.search(r"^PRETTY_NAME=[\"']?(.*?)[\"']?$", text, re.MULTILINE)
    return match[1] if match else platform.platform(terse=True)


def cpu(path: Path = Path("/proc/cpuinfo")) -> tuple[str, str | None]:
    """The model of the first core (the architecture where it is not told), and the level of its instructions."""
    facts: dict[str, str] = {}
    with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if not line.strip() and facts:
                break
            facts[name.strip()] = value.strip()
    model = facts.get("model name") or platform.machine()
    if "model name" not in facts and "CPU part" in facts:  # ARM has numbers for names
        model = f"{platform.machine()} implementer {facts.get('CPU implementer')} part {facts['CPU part']}"
    return model, _level(set(facts.get("flags", "").split()))


def _level(flags: set[str]) -> str | None:
    if "lm" not in flags:
        return None
    level = "x86-64"
    for name, added in _LEVELS.items():
        if not added <= flags:
            break
        level = name
    return level


def gpus(proc: Path = Path("/proc/driver/nvidia"), device: Path = Path("/dev/nvidiactl")) -> dict[str, Any]:
    """NVIDIA's GPUs of the machine as ``gpus`` (a model for each) and ``gpu_driver``; nothing where there are none."""
    if not (proc / "version").exists() and not device.exists():
        return {}
    models = [
        match[1]
        for path in sorted(proc.glob("gpus/*/information"))
        if (match := re.search(r"^Model:\s*(.*?)\s*$", _text(path), re.MULTILINE))
    ]
    version = re.search(r"NVRM version:.*?\s(\d+(?:\.\d+)+)\s", _text(proc / "version"))
    if not models or version is None:  # a container that shows the devices and not what the kernel says of them
        return _ask_nvidia() or {"gpus": sorted(models), "gpu_driver": None}
    return {"gpus": sorted(models), "gpu_driver": version[1]}


def _ask_nvidia() -> dict[str, Any] | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True)  # noqa: S603  found on PATH
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    rows = [line.rsplit(", ", 1) for line in done.stdout.splitlines() if ", " in line]
    return {"gpus": sorted(name for name, _ in rows), "gpu_driver": rows[0][1]} if rows else None


def container(variables: Mapping[str, str], root: Path = Path("/")) -> dict[str, str] | None:
    """The ``kind`` of container that this process is in, and its ``image`` where that is told; None outside of one."""
    for kind in ("APPTAINER", "SINGULARITY"):
        image = variables.get(f"{kind}_CONTAINER") or variables.get(f"{kind}_NAME")
        if image:
            return {"kind": kind.lower(), "image": image.rstrip("/").rpartition("/")[2]}
    note = root / "run/.containerenv"
    if note.exists():
        told = re.findall(r'^(image|imageid)="(.*)"$', _text(note), re.MULTILINE)
        return {"kind": "podman", **{key: value for key, value in told if "@" not in value}}
    if (root / ".dockerenv").exists():
        return {"kind": "docker"}
    match = re.search(r"\b(docker|kubepods|libpod|lxc)\b", _text(root / "proc/1/cgroup"))
    if match:
        return {"kind": match[1]}
    kind = variables.get("container", "")
    return {"kind": kind} if re.fullmatch(r"[a-z\-]{1,30}", kind) else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
