"""Which metadata requirements of a workflow are not met; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sciflow.quantities import render_count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    Facts = Mapping[str, Any]

_MOST: Final = 5  # files and packages that are named
_OF_INPUTS: Final = frozenset({"inputs_declared", "inputs_hashed"})


def of_code_or_environment(requirements: Iterable[str]) -> list[str]:
    """Those of the *requirements* that only who looks at the code and the environment can say are met."""
    return [name for name in requirements if name not in _OF_INPUTS]


def unmet_metadata(
    requirements: Collection[str], code: Facts, inputs: Collection[Facts], environment: Facts
) -> list[str]:
    """Say what is missing, a sentence each.

    Parameters
    ----------
    requirements
        Names, of `sciflow.workflow.metadata.METADATA_REQUIREMENTS`.
    code
        As `capture_code` gives it.
    inputs
        As `read_inputs` gives them.
    environment
        As `capture_environment` gives it.
    """
    checks: dict[str, Callable[[], Iterable[str]]] = {
        "git": lambda: _uncommitted(code),
        "git_clean": lambda: _unclean(code),
        "inputs_declared": lambda: () if inputs else ("no input is declared: workflow.add_input(path)",),
        "inputs_hashed": lambda: _unhashed(inputs),
        "lock_file": lambda: _unlocked(environment),
        "packages_released": lambda: _unreleased(environment),
    }
    return [f"{name}: {words}" for name in requirements for words in checks[name]()]


def _uncommitted(code: Facts) -> Iterator[str]:
    repository = code.get("repository")
    if repository is None:
        problem = code.get("problem")
        yield f"the code lies in no Git repository{f' that can be read ({problem})' if problem else ''}"
    elif repository.get("commit") is None:
        yield f"repository {repository.get('name')!r} has no commit yet"


def _unclean(code: Facts) -> Iterator[str]:
    missing = list(_uncommitted(code))
    yield from missing
    repository: Facts = code.get("repository") or {}
    if repository.get("problem"):
        yield f"the files of repository {repository['name']!r} cannot be compared: {repository['problem']}"
    if repository.get("dirty"):
        yield f"files of repository {repository['name']!r} have changed since commit {str(repository['commit'])[:12]}"
    if n := repository.get("n_untracked"):
        are = "is" if n == 1 else "are"
        yield f"{render_count(n, 'file')} of repository {repository['name']!r} {are} not under version control"


def _unhashed(inputs: Iterable[Facts]) -> Iterator[str]:
    names = [str(one.get("name")) for one in inputs if not one.get("sha256")]
    if names:
        yield f"no digest of the content of {_listed(names)}"


def _unlocked(environment: Facts) -> Iterator[str]:
    locks: list[Facts] = [one for one in environment.get("locks", ()) if one.get("exact", True)]
    if not locks:
        yield "there is no lock file (uv.lock, pylock.toml, poetry.lock, conda-lock.yml, hashed requirements)"
    elif not any(one.get("agrees") for one in locks):
        yield f"{_listed([str(one.get('name')) for one in locks])} does not agree with what is installed"


def _unreleased(environment: Facts) -> Iterator[str]:
    origins: Facts = environment.get("origins", {})
    if origins:
        yield f"not from a release: {_listed(sorted(origins))}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
