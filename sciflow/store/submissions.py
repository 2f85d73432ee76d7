"""Submissions: what was asked of detached controllers, and what became of it; nothing here takes a lock.

```
controller/                   of the sweep's owner alone
├── 000001.json               a submission: when, by whom, where it runs, its log
├── 000001.order.<digest>     what the controller works on; gone when the submission has ended
├── 000001.job.json           the id of its first job
├── 000001.process.json       the daemon that has it in hand, or
├── 000001.generation.000001.json   the job that has: one for each, and what the sweep looked like when it began
├── 000001.generation.000001.end    how it ended, if it ended in good order
├── 000001.begun              when its first variant was sent
├── 000001.nodes.json         whether its first job could submit the next
├── 000001.turns.json         the jobs that were queued beforehand, where none can submit the next
├── 000001.cancel             somebody asked to stop it
├── 000001.end                how it ended
└── 000001.log                what the daemon said; 000001.<job id>.log, what a job said
```
"""

from __future__ import annotations

import contextlib
import datetime as dt
import getpass
import hashlib
import json
import os
import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

from sciflow.store.atomic import numbered, publish, write_error
from sciflow.store.process import ProcessName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sciflow.store.directory import SweepDirectory

FOLDER: Final = "controller"

How = Literal["finished", "cancelled", "stopped", "failed", "given_up", "superseded"]
"""How a submission ended; ``superseded``: nobody worked on it any more when the sweep was submitted anew."""

_SUFFIX: Final = ".json"
_OWN: Final = 0o600
_START_S: Final = 120.0  # a daemon that has not told its process for so long never will
_TAIL_BYTES: Final = 8192


@dataclass(frozen=True, slots=True)
class Generation:
    """One job of the chain of jobs that a controller is.

    Attributes
    ----------
    facts
        ``job``, ``host``, ``pid``, ``began`` (Unix seconds), ``mark`` (what the sweep looked like then).
    end
        ``how`` it ended in good order; None when it did not, or not yet.
    """

    number: int
    facts: Mapping[str, Any]
    end: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Submission:
    """What was asked of a controller.

    Attributes
    ----------
    folder
        Where its files are.
    facts
        ``kind`` (``process`` or ``job``), ``host``, ``since`` (Unix seconds), ``log``, ``order``, ``argv``; for a job
        ``system``, ``prefix`` (of the names of its jobs) and ``job`` (what each asks for).
    """

    folder: Path
    number: int
    facts: Mapping[str, Any]

    @classmethod
    def create(cls, directory: SweepDirectory, facts: Mapping[str, Any], order: bytes) -> Self | None:
        """Write a new submission, visible when it is whole; None when somebody else submits at the same time.

        Raises
        ------
        StoreWriteError
            It cannot be written.
        """
        folder = _own_folder(directory)
        newest = newest_submission(directory)
        number = 1 if newest is None else newest.number + 1
        name = f"{number:06d}.order.{hashlib.sha256(order).hexdigest()[:16]}"
        publish(folder / name, order, mode=_OWN)
        told = {
            "order": name,
            "log": f"{number:06d}.log",
            **ProcessName.of_this_process().to_dict(),
            "since": time.time(),
            **facts,
        }
        if publish(folder / f"{number:06d}{_SUFFIX}", _render(told), mode=_OWN):
            return cls(folder, number, told)
        return None

    @classmethod
    def read(cls, folder: Path, number: int) -> Self:
        """The submission of this number.

        Raises
        ------
        OSError, ValueError
            It cannot be read.
        """
        return cls(folder, number, json.loads((folder / f"{number:06d}{_SUFFIX}").read_bytes()))

    # ------------------------------------------------------------------------------------------------------- what is

    @property
    def kind(self) -> str:
        """``process`` or ``job``."""
        return str(self.facts.get("kind", "process"))

    @property
    def log(self) -> Path:
        """What the controller said: of a job the newest log, or where it will be."""
        if self.kind == "process":
            return self.folder / str(self.facts["log"])
        found = [path for path in self.folder.glob(f"{self.number:06d}.*.log") if path.is_file()]
        expected = self.folder / f"{self.number:06d}.{self.newest_job or '*'}.log"
        return max(found, key=lambda path: path.stat().st_mtime, default=expected)

    @property
    def order(self) -> Path:
        """What the controller works on."""
        return self.folder / str(self.facts["order"])

    @property
    def end(self) -> dict[str, Any] | None:
        """How it ended: ``how``, ``message``, ``error``, ``ended``; None when it has not."""
        return _read(self.end_file)

    @property
    def process(self) -> ProcessName | None:
        """The daemon that has it in hand; None before it told."""
        told = _read(self._file(".process.json"))
        return None if told is None else ProcessName.from_dict(told)

    @property
    def newest_job(self) -> str:
        """The id of the job that has it in hand, or will; empty when that is not told."""
        generations = self.generations
        told = generations[-1].facts if generations else _read(self._file(".job.json"))
        return str((told or {}).get("job", ""))

    @property
    def turns(self) -> tuple[str, ...]:
        """The jobs that were queued beforehand; none in a chain whose jobs queue the next."""
        return tuple((_read(self._file(".turns.json")) or {}).get("jobs", ()))

    @property
    def word_of_node(self) -> dict[str, Any] | None:
        """What its first job found: ``may_submit``, and the ``words`` of a refusal; None before it did."""
        return _read(self._file(".nodes.json"))

    @property
    def end_file(self) -> Path:
        """The file that is there once it has ended."""
        return self._file(".end")

    @property
    def begun(self) -> dict[str, Any] | None:
        """When its first variant was sent: ``time``, in Unix seconds."""
        return _read(self._file(".begun"))

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to stop it."""
        return self._file(".cancel").exists()

    @property
    def generations(self) -> list[Generation]:
        """The jobs that have had it in hand, oldest first."""
        pattern = re.compile(rf"{self.number:06d}\.generation\.(\d+)\.json")
        numbers = sorted(int(match[1]) for name in _names(self.folder) if (match := pattern.fullmatch(name)))
        files = ((n, self._generation(n, _SUFFIX), self._generation(n, ".end")) for n in numbers)
        return [Generation(n, _read(began) or {}, _read(ended)) for n, began, ended in files]

    @property
    def process_is_gone(self) -> bool:
        """Whether the daemon certainly ended, or never began."""
        process = self.process
        if process is not None:
            return process.is_certainly_dead() or _was_rebooted(process)
        return time.time() - float(self.facts.get("since", 0.0)) > _START_S

    def last_words(self, n: int = 1) -> list[str]:
        """The last lines of the log that say something."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-n:]

    # --------------------------------------------------------------------------------------------------- what is told

    def tell_process(self) -> None:
        """Say that this process has it in hand."""
        self._publish(".process.json", ProcessName.of_this_process().to_dict())

    def tell_job(self, job_id: str) -> None:
        """Say which job the first one is."""
        self._publish(".job.json", {"job": job_id})

    def tell_turns(self, jobs: Sequence[str]) -> None:
        """Say which jobs are queued beforehand."""
        self._publish(".turns.json", {"jobs": list(jobs)})

    def tell_word_of_node(self, *, may_submit: bool, words: str = "") -> None:
        """Say whether a job could submit the next."""
        self._publish(".nodes.json", {"may_submit": may_submit, "words": words})

    def tell_begun(self, at: float) -> None:
        """Say when the first variant was sent (Unix seconds); the first word counts."""
        self._publish(".begun", {"time": at})

    def tell_generation(self, number: int, facts: Mapping[str, Any]) -> bool:
        """Be the job of this number; False when another one is."""
        told = {**ProcessName.of_this_process().to_dict(), "began": time.time(), **facts}
        return publish(self._generation(number, _SUFFIX), _render(told), mode=_OWN)

    def tell_end_of_generation(self, number: int, how: str) -> None:
        """Say that the job of this number ended in good order."""
        publish(self._generation(number, ".end"), _render({"how": how, "ended": time.time()}), mode=_OWN)

    def request_cancel(self) -> bool:
        """Ask for its end; False when somebody did before."""
        who: dict[str, Any] = {"host": socket.gethostname(), "time": time.time()}
        with contextlib.suppress(OSError, KeyError):  # a user without a name
            who["user"] = getpass.getuser()
        return self._publish(".cancel", who)

    def tell_end(self, how: How, message: str = "", error: BaseException | None = None) -> bool:
        """Say how it ended; the first word counts. What the controller worked on is removed."""
        told: dict[str, Any] = {"how": how, "message": message, "ended": dt.datetime.now(dt.UTC).isoformat()}
        if error is not None:
            plain = all(isinstance(one, str | int | float | None) for one in error.args)
            told["error"] = type(error).__name__
            told["arguments"] = list(error.args) if plain else [str(error)]
        is_first = self._publish(".end", told)
        with contextlib.suppress(OSError):
            self.order.unlink(missing_ok=True)
        return is_first

    def _publish(self, suffix: str, data: Mapping[str, Any]) -> bool:
        return publish(self._file(suffix), _render(data), mode=_OWN)

    def _file(self, suffix: str) -> Path:
        return self.folder / f"{self.number:06d}{suffix}"

    def _generation(self, number: int, suffix: str) -> Path:
        return self._file(f".generation.{number:06d}{suffix}")


def newest_submission(directory: SweepDirectory) -> Submission | None:
    """The newest submission of a sweep; None when there is none, or it is not for us to see."""
    folder = directory.path / FOLDER
    try:
        number = max((number for number, _ in numbered(folder, _SUFFIX)), default=0)
        return Submission.read(folder, number) if number else None
    except (OSError, ValueError):
        return None


def word_of_nodes(directory: SweepDirectory, system: str) -> tuple[bool | None, str]:
    """Whether jobs of a batch system may submit jobs, as controllers of the sweep found last; None when none did."""
    folder = directory.path / FOLDER
    for number in sorted((number for number, _ in numbered(folder, _SUFFIX)), reverse=True):
        with contextlib.suppress(OSError, ValueError):
            submission = Submission.read(folder, number)
            word = submission.word_of_node
            if word is not None and submission.facts.get("system") == system:
                return bool(word["may_submit"]), str(word["words"])
    return None, ""


def _was_rebooted(process: ProcessName) -> bool:
    """Whether its machine is this one, which has been started anew since."""
    here = ProcessName.of_this_process()
    return process.host == here.host and process.boot.split()[0] != here.boot.split()[0]


def _own_folder(directory: SweepDirectory) -> Path:
    folder = directory.path / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise write_error(folder, error) from error
    return folder


def _names(folder: Path) -> Iterator[str]:
    try:
        yield from os.listdir(folder)  # noqa: PTH208  names only, no Path objects
    except OSError:
        return


def _render(data: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(data), indent=1).encode()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return cast("dict[str, Any]", json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None
