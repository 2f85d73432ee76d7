"""How near one environment comes to another: what may change numbers, and what cannot; pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sciflow import __version__
from sciflow.provenance.packages import normalized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Facts: TypeAlias = Mapping[str, Any]

Level = Literal["exact", "equivalent", "compatible", "different"]

_WORDS: Final[dict[Level, str]] = {
    "exact": "same Python, packages, system and kind of machine",
    "equivalent": "same Python and packages on another system or machine",
    "compatible": "same minor Python, and packages of the same major versions",
    "different": "another Python, or packages that are missing or of other major versions",
}
_OF_THE_MACHINE: Final = (
    ("system", "os", False),
    ("system", "kernel", False),
    ("system", "libc", True),
    ("machine", "architecture", True),
    ("machine", "cpu", True),
    ("machine", "cpu_level", True),
    ("machine", "gpus", True),
)
_MOST_NAMED: Final = 12
_RISK: Final = " (may change the last digits)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is not the same.

    Attributes
    ----------
    what
        Such as ``Python``, ``package numpy``, ``machine cpu``.
    recorded, here
        In the environment that made the results, and in this one; None where it is not.
    numeric
        Whether it may change the last digits of numbers.
    """

    what: str
    recorded: str | None
    here: str | None
    numeric: bool

    def __str__(self) -> str:
        return f"{self.what}: {self.recorded or 'none'} there, {self.here or 'none'} here"


@dataclass(frozen=True, slots=True)
class EnvironmentMatch:
    """How near this environment comes to the one that made the results.

    Attributes
    ----------
    level
        ``exact``, ``equivalent`` (same Python and packages), ``compatible`` (same minor Python, same major versions),
        or ``different``.
    differences
        Everything that is not the same; those that are ``numeric`` may change the last digits.
    """

    level: Level
    differences: tuple[Difference, ...]

    @property
    def risks(self) -> tuple[Difference, ...]:
        """The differences that may change numbers."""
        return tuple(one for one in self.differences if one.numeric)

    def __str__(self) -> str:
        lines = [f"environment: {self.level} ({_WORDS[self.level]})"]
        ordered = sorted(self.differences, key=lambda one: not one.numeric)
        lines += [f"  {one}{_RISK if one.numeric else ''}" for one in ordered[:_MOST_NAMED]]
        if len(ordered) > _MOST_NAMED:
            lines.append(f"  and {len(ordered) - _MOST_NAMED:,} more")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"level": self.level, "differences": [asdict(one) for one in self.differences]}


def match_environments(recorded: Facts, here: Facts) -> EnvironmentMatch:
    """Compare two records of `sciflow.provenance.environment.capture_environment`."""
    python = [*_python(recorded, here)]
    packages = [*_packages(recorded, here)]
    machine = [*_machine(recorded, here), *_numeric(recorded, here)]
    level: Level
    if not (python or packages):
        level = "equivalent" if machine else "exact"
    else:
        level = "compatible" if all(map(_is_near, [*python, *packages])) else "different"
    return EnvironmentMatch(level, (*python, *packages, *machine))


def _is_near(one: Difference) -> bool:
    """Whether only the patch of Python, or the minor version of a package, is another."""
    if one.recorded is None or one.here is None:
        return False
    parts = 2 if one.what == "Python" else 1
    return one.recorded.split(".")[:parts] == one.here.split(".")[:parts]


def _python(recorded: Facts, here: Facts) -> Iterator[Difference]:
    there, ours = (
        f"{one.get('implementation', 'CPython')} {one.get('version')}"
        for one in (recorded.get("python", {}), here.get("python", {}))
    )
    if there != ours:
        yield Difference("Python", there, ours, numeric=False)


def _packages(recorded: Facts, here: Facts) -> Iterator[Difference]:
    # this very package may have come by path, without anything that says it is installed
    ours = {"sciflow": __version__}
    ours |= {normalized(name): version for name, version in here.get("packages", {}).items()}
    for name, version in sorted(recorded.get("packages", {}).items()):
        found = ours.get(normalized(name))
        if found != version:  # what is here in addition changes nothing
            yield Difference(f"package {name}", version, found, numeric=found is not None)


def _machine(recorded: Facts, here: Facts) -> Iterator[Difference]:
    for part, key, numeric in _OF_THE_MACHINE:
        there, ours = recorded.get(part, {}).get(key), here.get(part, {}).get(key)
        if there is not None and there != ours:
            yield Difference(f"{part} {key}", str(there), None if ours is None else str(ours), numeric)


def _numeric(recorded: Facts, here: Facts) -> Iterator[Difference]:
    there, ours = (_libraries(one.get("numeric", {})) for one in (recorded, here))
    for name, words in there.items():
        if name in ours and ours[name] != words:  # one that is not loaded here yet may well be the same
            yield Difference(f"library {name}", words, ours[name], numeric=True)
    simd, found = (one.get("numeric", {}).get("numpy", {}).get("simd", {}).get("found") for one in (recorded, here))
    if simd is not None and found is not None and simd != found:
        yield Difference("instructions that NumPy uses", " ".join(simd), " ".join(found), numeric=True)


def _libraries(numeric: Facts) -> dict[str, str]:
    """What matters of each loaded library, by its kind."""
    found: dict[str, str] = {}
    for one in numeric.get("libraries", ()):
        facts = (one.get("version"), one.get("architecture"), f"{one.get('num_threads')} threads")
        found[str(one.get("internal_api") or one.get("prefix"))] = " ".join(str(fact) for fact in facts if fact)
    return found
