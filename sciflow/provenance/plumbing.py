"""Git commands that say the same whatever the user has configured, within a time and without writing anywhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

import git

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sciflow.provenance.patience import Patience

_LOCAL: Final = (  # what git sets for its own hooks, in which a sweep may run too: git-rev-parse(1), --local-env-vars
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
)
_SETTINGS: Final = {
    "core.autocrlf": "false",  # bytes as they are; what .gitattributes says of line ends belongs to the tree
    "core.fsmonitor": "false",  # it may name a program
    "core.fsync": "none",  # temporary objects need not survive
    "core.hooksPath": os.devnull,
    "core.looseCompression": "0",
    "core.safecrlf": "false",
    "core.splitIndex": "false",  # a split index has a part beside the user's own, whoever wrote it
    "core.untrackedCache": "false",
    "gc.auto": "0",
    "submodule.recurse": "false",
}
_ENVIRONMENT: Final = {
    "GIT_ALLOW_PROTOCOL": "none",  # a partial clone fetches what it lacks, as soon as somebody looks
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
}
_CHUNK: Final = 1 << 20


class Sink(Protocol):
    """Where the output of a command may go."""

    def write(self, data: bytes, /) -> int:
        """Take some of it."""
        ...


class Git:
    """Git as seen from one folder.

    Parameters
    ----------
    folder : where commands run
    patience : how long they may take
    environment : variables for all of them
    """

    def __init__(self, folder: Path, patience: Patience, environment: Mapping[str, str]) -> None:
        self._command, self._patience = git.Git(folder), patience
        self._environment = {**_ENVIRONMENT, **environment}

    def __call__(
        self,
        *words: str,
        also: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        into: Sink | None = None,
        limit_s: float | None = None,
    ) -> bytes:
        """Run a command and return what it says.

        Parameters
        ----------
        words
            The command and its arguments.
        also
            Further variables.
        stdin
            A file to read from.
        into
            Where the output goes; then nothing is returned.
        limit_s
            How long this one may take, if less than all together.

        Raises
        ------
        git.GitCommandError, TimeoutError
            It failed, or took too long.
        """
        environment = {**self._environment, **(also or {})}
        left_s = min(self._patience.left_s(), limit_s or self._patience.seconds)
        command = [*_without(environment), git.Git.GIT_PYTHON_GIT_EXECUTABLE or "git"]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with open(stdin or os.devnull, "rb") as file:  # noqa: PTH123  one of two kinds
            said = self._command.execute(
                [*command, *words],
                istream=file,
                env=environment,
                kill_after_timeout=left_s,
                output_stream=cast("BinaryIO | None", into),
                max_chunk_size=_CHUNK,
                stdout_as_string=False,
                strip_newline_in_stdout=False,  # a patch without its last newline is corrupt
            )
        self._patience.left_s()
        return b"" if into is not None else said


def _without(environment: Mapping[str, str]) -> list[str]:
    """A prefix that hides what git has set for its hooks: GitPython can add variables, and take away none."""
    names = [name for name in _LOCAL if name in os.environ and name not in environment]
    return ["env", *(f"-u{name}" for name in names)] if names else []


class Borrowed:
    """A temporary bare repository that has the objects of another one and nobody's configuration.

    New objects go here; the other one is read. Its own attributes keep `git archive` from leaving files out,
    from filling in texts, and from running filters; gitattributes(5).

    Parameters
    ----------
    folder : where to make it; it must not exist
    is_sha256 : the kind of object names
    """

    def __init__(self, folder: Path, *, is_sha256: bool) -> None:
        self.folder = folder
        for name in ("objects/info", "refs", "info"):
            (folder / name).mkdir(parents=True)
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        version, kind = ("1", "[extensions]\nobjectFormat = sha256\n") if is_sha256 else ("0", "")
        (folder / "config").write_text(f"[core]\nrepositoryFormatVersion = {version}\nbare = true\n{kind}")
        (folder / "info" / "attributes").write_text("* -export-ignore -export-subst -filter\n")

    @property
    def objects(self) -> Path:
        """Where new objects go."""
        return self.folder / "objects"

    def borrow(self, objects: Path) -> None:
        """Read objects from there too.

        Not before new ones are written: of one that exists already git renews the time of its file, in whichever
        repository that is.
        """
        (self.objects / "info" / "alternates").write_bytes(os.fsencode(objects) + b"\n")

    def git(self, patience: Patience) -> Git:
        """Commands on the objects alone."""
        return Git(
            self.folder,
            patience,
            {
                "GIT_DIR": str(self.folder),
                "GIT_INDEX_FILE": str(self.folder / "index"),
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_COUNT": "0",
                "GIT_CONFIG_PARAMETERS": "",
                "GIT_ATTR_NOSYSTEM": "1",
                **{f"GIT_{who}_{what}": "sciflow" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
                **{f"GIT_{who}_DATE": "1980-01-01T00:00:00+00:00" for who in ("AUTHOR", "COMMITTER")},
            },
        )
