"""Differences between the environments of a worker and of its driver: Python, and versions of packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sciflow.provenance.packages import normalized

if TYPE_CHECKING:
    from collections.abc import Mapping

PYTHON: Final = "Python"

_MOST_NAMED: Final = 8


def mismatches(driver: Mapping[str, Any], worker: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """Package (or ``Python``) → its version in the driver and in the worker; None where it is not installed.

    Parameters
    ----------
    driver, worker
        Records of environments, or as much of them as `Surroundings.facts` has.
    """
    before, after = _versions(driver), _versions(worker)
    names = sorted({*before, *after}, key=lambda name: (name != PYTHON, name))
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def mismatch_words(found: Mapping[str, tuple[str | None, str | None]]) -> str:
    """The differences in one line, those of packages that both have first."""
    ordered = sorted(found.items(), key=lambda item: None in item[1])  # a stable sort
    words = [
        f"{name} {there} there, {here} here"
        if None not in (here, there)
        else f"{name} {here or there} only {'here' if there is None else 'there'}"
        for name, (here, there) in ordered[:_MOST_NAMED]
    ]
    n_more = len(ordered) - _MOST_NAMED
    return "; ".join(words) + (f"; and {n_more:,} more" if n_more > 0 else "")


def _versions(facts: Mapping[str, Any]) -> dict[str, str]:
    python: Mapping[str, Any] = facts["python"]
    packages: Mapping[str, str] = facts["packages"]
    return {
        PYTHON: f"{python['implementation']} {python['version']}",
        **{normalized(name): version for name, version in packages.items()},
    }
