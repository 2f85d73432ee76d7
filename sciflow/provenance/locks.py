"""Lock files beside the code: which there are, and whether they agree with what is installed."""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from sciflow.provenance.packages import normalized

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_NAMES: Final = re.compile(
    r"(uv|poetry|pdm)\.lock|pylock(\.[^.]+)?\.toml|conda-lock\.yml|environment\.ya?ml|requirements[\w.\-]*\.txt"
)
_ROOTS: Final = ("pyproject.toml", ".git", "setup.py", "setup.cfg")
_MOST_BYTES: Final = 20 << 20
_MOST_DIFFERENCES: Final = 50
_MOST_YAML_BYTES: Final = 4 << 20  # a second and more to read
_TOML_LINES = re.compile(r"^(?:\[.*\]|(?:name|version) *= *\".*\") *$", re.MULTILINE)
_CONDA_SPEC = re.compile(r"(?:[\w\-]+::)?(?P<name>[\w.\-]+)\s*(?P<limits>[^\[]*)")


@dataclass(frozen=True, slots=True)
class Lock:
    """A file that says which packages the code wants.

    Attributes
    ----------
    name
        Where it lies in the project.
    sha256
        Of its content; empty where it cannot be read.
    wanted
        Package → versions that it allows, any of which will do, as specifiers of PEP 440.
    is_complete
        Whether all that it names has to be there; others name what is for further systems and purposes too.
    problem
        Why it says nothing that could be compared.
    """

    name: str
    sha256: str = ""
    wanted: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    is_complete: bool = False
    problem: str = ""

    def compare(self, installed: Mapping[str, str]) -> dict[str, Any]:
        """What is kept of the file, given the versions that are installed by normalized name.

        Returns
        -------
        dict
            ``name``, ``sha256``, ``n_named``, and the ``problem``, or: ``exact`` (whether it allows one version of each
            package), ``agrees`` (None where nothing could be compared), ``n_differences`` and the first of them as
            ``differences`` (package → ``locked``, ``installed``).
        """
        facts: dict[str, Any] = {"name": self.name, "sha256": self.sha256, "n_named": len(self.wanted)}
        if self.problem:
            return facts | {"agrees": None, "problem": self.problem}
        found = {
            name: {"locked": " or ".join(allowed), "installed": installed.get(name)}
            for name, allowed in sorted(self.wanted.items())
            if (name in installed or self.is_complete) and not _is_allowed(installed.get(name), allowed)
        }
        compared = self.is_complete or not installed.keys().isdisjoint(self.wanted)
        return facts | {
            "exact": all(map(_is_exact, chain.from_iterable(self.wanted.values()))),
            "agrees": not found if compared else None,
            "n_differences": len(found),
            "differences": dict(list(found.items())[:_MOST_DIFFERENCES]),
        }


def find_locks(folder: Path) -> tuple[Lock, ...]:
    """Read the lock files in *folder*, and in the root of the project that it is in."""
    root = _root_of(folder)
    paths = {path: None for one in (root, folder) for path in _candidates(one)}
    return tuple(_read(path, path.relative_to(root).as_posix()) for path in paths)


def _root_of(folder: Path) -> Path:
    for one in (folder, *folder.parents):
        if any((one / name).exists() for name in _ROOTS):
            return one
    return folder


def _candidates(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(one.name for one in folder.iterdir() if _NAMES.fullmatch(one.name))
    except OSError:
        return
    yield from (folder / name for name in names)


def _read(path: Path, name: str) -> Lock:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return Lock(name, problem=f"it has more than {_MOST_BYTES >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        return Lock(name, problem=f"it cannot be read: {error.strerror}")
    digest = hashlib.sha256(content).hexdigest()
    try:
        wanted = dict(_merged(_parse(path.name, content.decode("utf-8"))))
    except Exception as error:  # noqa: BLE001  it is written by people and by many programs
        return Lock(name, digest, problem=f"it is not understood: {type(error).__name__}")
    return Lock(name, digest, wanted, is_complete=path.name == "requirements.txt")


def _parse(name: str, text: str) -> Iterable[tuple[str, str]]:
    if name.endswith((".lock", ".toml")):
        return _of_toml(text)
    if name.endswith(".txt"):
        return _of_requirements(text.splitlines())
    if len(text) > _MOST_YAML_BYTES:
        raise ValueError("too large")
    import yaml  # noqa: PLC0415  where there is such a file

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = yaml.load(text, loader)  # noqa: S506  a safe one
    return _of_conda_lock(data) if name.startswith("conda-lock") else _of_conda_environment(data)


def _merged(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """One entry for each package; a file for several systems may name several versions."""
    found: dict[str, dict[str, None]] = {}
    for name, specifier in pairs:
        found.setdefault(normalized(name), {})[specifier] = None
    return ((name, tuple(specifiers)) for name, specifiers in found.items())


def _of_toml(text: str) -> list[tuple[str, str]]:
    """Of uv, Poetry, PDM and PEP 751; only the lines that count, for tomllib takes a second for a large file."""
    import tomllib  # noqa: PLC0415  workers compare, and few read

    found: list[tuple[str, str]] = []
    with contextlib.suppress(tomllib.TOMLDecodeError):
        found = _versions(tomllib.loads("\n".join(_TOML_LINES.findall(text))))
    return found or _versions(tomllib.loads(text))


def _versions(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    packages: list[Mapping[str, Any]] = data.get("package") or data.get("packages") or []
    return [(one["name"], f"=={one['version']}") for one in packages if "name" in one and "version" in one]


def _of_requirements(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Of pip; what else a line says (options, hashes, addresses, further files) is left aside."""
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415  where there is such a file

    for line in lines:
        text = re.split(r"\s#|\s--|\\$|^#", line.strip(), maxsplit=1)[0].strip()
        if not text or text.startswith("-"):
            continue
        try:
            one = Requirement(text)
        except InvalidRequirement:  # a path or an address without a name
            continue
        if one.marker is None or one.marker.evaluate():
            yield one.name, str(one.specifier)


def _of_conda_lock(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((str(one["name"]), f"=={one['version']}") for one in data["package"])


def _of_conda_environment(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in data.get("dependencies", ()):
        if isinstance(one, dict):
            yield from _of_requirements(map(str, one.get("pip", ())))
        elif match := _CONDA_SPEC.fullmatch(str(one).strip()):
            yield match["name"], _of_conda_limits(match["limits"].strip())


def _of_conda_limits(limits: str) -> str:
    """``=1.2`` and ``1.2.*`` allow what begins so, ``=1.2=build`` and ``==1.2`` that version alone."""
    if limits.startswith("=") and not limits.startswith("=="):
        version, _, build = limits[1:].partition("=")
        return f"=={version}" if build or version.endswith("*") else f"=={version}.*"
    return f"=={limits}" if limits[:1].isdigit() else limits


def _is_exact(specifier: str) -> bool:
    return specifier.startswith("==") and "*" not in specifier and "," not in specifier


def _is_allowed(version: str | None, allowed: tuple[str, ...]) -> bool:
    if version is None:
        return False
    if f"=={version}" in allowed:
        return True
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # noqa: PLC0415  where something may differ
    from packaging.version import InvalidVersion  # noqa: PLC0415  same

    for specifier in allowed:
        try:
            if SpecifierSet(specifier).contains(version, prereleases=True):
                return True
        except (InvalidSpecifier, InvalidVersion):  # conda has its own ways: what cannot be compared is not told
            if not specifier.startswith("==") or specifier.endswith(".*"):
                return True
    return False
