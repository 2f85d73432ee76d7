"""Which code ran: the repository around a folder, down to the exact tree of its files.

A tree is made of what Git tracks and of what it does not know (small files, and nothing that may hold secrets), by a
temporary index and object store, so that the repository stays as it is; gitrepository-layout(5),
git(1) under GIT_INDEX_FILE and GIT_OBJECT_DIRECTORY.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from sciflow.errors import StoreWriteError
from sciflow.provenance.patience import Patience
from sciflow.provenance.places import places_of
from sciflow.provenance.problem import first_line, problem_of, without_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from sciflow.provenance.plumbing import Sink
    from sciflow.provenance.sources import Sources
    from sciflow.provenance.worktree import Tree

PATIENCE_S: Final = 30.0
"""What Git may take, all in all, before a sweep starts without knowing more."""


class Shelf(Protocol):
    """Where the files of a capture are kept."""

    def size_of(self, name: str) -> int | None:
        """Bytes of what is there under this name; None when nothing is."""
        ...

    def writing(self, name: str) -> AbstractContextManager[Sink]:
        """Open a new file, which is there under its name, durable, once it is written and closed."""
        ...


@dataclass(frozen=True, slots=True)
class Code:
    """The state of the code.

    Attributes
    ----------
    facts
        As JSON data; see `capture_code`.
    trees
        Of the repository and its submodules.
    complaints
        What was to be kept and is not.
    """

    facts: dict[str, Any]
    trees: tuple[Tree, ...] = ()
    complaints: tuple[str, ...] = ()

    def record(self, sources: Sources) -> dict[str, Any]:
        """The facts with those of the frozen modules that tasks run.

        Returns
        -------
        dict
            `facts`, and ``tree``: the digest of the frozen files, ``frozen``: their number as ``n_files`` and, in a
            repository, the ``places`` of `sciflow.provenance.places.places_of`.
        """
        frozen: dict[str, Any] = {"n_files": len(sources.files)}
        if self.trees:
            frozen |= places_of(sources, self.trees)
        return {**self.facts, "tree": sources.digest, "frozen": frozen}


def capture_code(
    folder: str | Path,
    *,
    outside: Iterable[Path] = (),
    shelf: Shelf | None = None,
    patience: Patience | None = None,
    known: Callable[[Code], None] = lambda _: None,
    kept: Callable[[Code], None] = lambda _: None,
) -> Code:
    """The state of the repository that *folder* lies in; never raises for what it finds there.

    Parameters
    ----------
    folder
        Where the code lies.
    outside
        Folders that are no part of the code wherever they are, such as the sweep's own.
    shelf
        Where to keep the tree and the patch; without it they are only described.
    patience
        How long Git may take; `PATIENCE_S` by default.
    known
        Called with the state as soon as it is known; then the trees are written, which takes longer.
    kept
        Called with what is returned when they are written; then temporary files are removed.

    Returns
    -------
    Code
        Its ``facts``: ``repository``: None when there is none, else a dict of

        ``name``, ``folder``
            Of the repository, and where *folder* lies in it.
        ``commit``, ``branch``, ``describe``, ``upstream``
            None before the first commit, of a detached head, and where there is none.
        ``dirty``, ``n_untracked``
            Whether tracked files differ from the commit; how many files Git neither tracks nor ignores (those of
            environments, sweeps and the like are not counted). Not there with a ``problem``.
        ``remote``, ``remotes``
            The address of ``origin``, else of the first, and all by name; without credentials.
        ``tree``
            The name of the tree of what was there, uncommitted files included; None with a ``problem``, which says
            why nothing more than the commit and the addresses is known.
        ``left_out``
            What is not in the tree: ``path``, ``reason``, and ``bytes`` or ``n_files``.
        ``patch``
            From the commit to the tree: ``file`` in the sweep, ``bytes``, ``sha256``, ``applies`` (it was tried), or
            a ``problem``; None when the two are the same.
        ``archive``
            Of the tree: ``file`` in the sweep or a ``problem``; ``n_files`` and ``content_bytes`` of what is in it.
        ``submodules``
            The same facts of each, with its ``path`` in place of ``folder``.

        ``problem``: why Git could not say anything, if it could not.

    Raises
    ------
    StoreWriteError
        What is kept cannot be written.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        return _unknown("there is no such folder")
    around = next((one for one in (folder, *folder.parents) if _may_be_repository(one)), None)
    if around is None:
        return Code({"repository": None})
    try:
        import git  # noqa: PLC0415  slow to import, and it raises where there is no git program

        from sciflow.provenance.repository import Capture  # noqa: PLC0415  imports it too
    except ImportError as error:
        return _unknown(f"GitPython finds no git program: {first_line(error)}")
    try:
        with (
            git.Repo(around, expand_vars=False) as repository,
            tempfile.TemporaryDirectory(prefix="sciflow-code-", ignore_cleanup_errors=True) as temporary,
        ):
            root = around if os.path.lexists(around / ".git") else None
            workplace = Path(temporary).resolve()
            patience = patience or Patience(PATIENCE_S)
            capture = Capture(repository, root, workplace, outside=[*outside], shelf=shelf, patience=patience)
            facts = {**capture.facts(), "folder": folder.relative_to(around).as_posix()}
            code = Code({"repository": facts}, tuple(capture.trees))
            known(code)
            code = replace(code, complaints=tuple(capture.pack()))
            kept(code)
            return code
    except git.InvalidGitRepositoryError:
        return Code({"repository": None})
    except StoreWriteError:
        raise
    except (git.GitError, OSError, ValueError) as error:  # somebody else's, damaged, too slow
        return _unknown(problem_of(error))


def _may_be_repository(folder: Path) -> bool:
    """Whether it is worth asking Git: the work tree of a repository, or one that has none."""
    return os.path.lexists(folder / ".git") or ((folder / "HEAD").is_file() and (folder / "objects").is_dir())


def _unknown(problem: str) -> Code:
    return Code({"repository": None, "problem": without_paths(problem)})
