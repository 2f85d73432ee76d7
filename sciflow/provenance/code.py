"""Which code ran: the state of the Git repository around a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sciflow.provenance.address import scrubbed

if TYPE_CHECKING:
    import git

_PATIENCE_S: Final = 20
_LOOK_ONLY: Final = {
    "GIT_OPTIONAL_LOCKS": "0",  # looking at a repository must not write its index
    "LC_ALL": "C",
}


def capture_code(folder: str | Path) -> dict[str, Any]:
    """The state of the repository that *folder* lies in, as JSON data; never raises for what it finds.

    Returns
    -------
    dict
        ``repository``: None when there is none, else its ``name``, ``commit`` (None before the first one),
        ``branch`` (None when detached), ``dirty`` (tracked files differ from the commit), ``n_untracked``
        (files and folders that Git neither tracks nor ignores), ``remote`` (without credentials) and ``folder``
        (where *folder* lies in it). ``problem``: why Git could not say, if it could not.
    """
    try:
        import git  # noqa: PLC0415  slow to import, and it raises where there is no git program
    except ImportError as error:
        return _unknown(f"GitPython finds no git program: {_first_line(error)}")
    try:
        with git.Repo(Path(folder), search_parent_directories=True) as repository:
            return {"repository": _facts(repository, Path(folder))}
    except git.InvalidGitRepositoryError:
        return {"repository": None}
    except git.NoSuchPathError:
        return _unknown("there is no such folder")
    except (git.GitError, OSError, ValueError) as error:  # somebody else's, damaged, too slow
        words = re.search(r"(?:fatal|error): .*", str(error))
        return _unknown(words[0] if words else f"{type(error).__name__}: {_first_line(error)}")


def _facts(repository: git.Repo, folder: Path) -> dict[str, Any]:
    root = Path(repository.working_tree_dir or repository.git_dir)
    with repository.git.custom_environment(**_LOOK_ONLY):
        listing = str(
            repository.git(c="core.fsmonitor=false").status(
                "--porcelain=v2", "--branch", "-z", kill_after_timeout=_PATIENCE_S
            )
        )
    # git-status(1), porcelain format version 2; renames bring a second entry, the old path
    entries = listing.split("\0")
    branch = dict(entry.removeprefix("# branch.").split(" ", 1) for entry in entries if entry.startswith("# branch."))
    commit, head = branch["oid"], branch["head"]
    remotes = {remote.name: remote.url for remote in repository.remotes}
    remote = remotes.get("origin") or next(iter(remotes.values()), None)
    return {
        "name": root.name,
        "commit": None if commit == "(initial)" else commit,
        "branch": None if head == "(detached)" else head,
        "dirty": any(entry.startswith(("1 ", "2 ", "u ")) for entry in entries),
        "n_untracked": sum(entry.startswith("? ") for entry in entries),
        "remote": None if remote is None else scrubbed(remote),
        "folder": folder.resolve().relative_to(root.resolve()).as_posix(),
    }


def _unknown(problem: str) -> dict[str, Any]:
    without_paths = re.sub(r"[^\s'\"]*/[^\s'\"]*", "…", problem)
    return {"repository": None, "problem": without_paths}


def _first_line(words: object) -> str:
    lines = str(words).strip().splitlines()
    return lines[0] if lines else ""
