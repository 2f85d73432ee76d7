"""Verify a package of somebody else's: nothing of it is imported, executed, unpickled or fetched."""

from __future__ import annotations

import html
import json
import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sciflow import interpreter
from sciflow.errors import PackageError
from sciflow.packaging import layout
from sciflow.packaging.match import EnvironmentMatch, match_environments
from sciflow.packaging.secrets import find_secrets
from sciflow.packaging.standalone import (
    OK,
    Container,
    Finding,
    Limits,
    UnsafeError,
    check_basics,
    exit_code,
    opened,
    read_json,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

    from sciflow.packaging.match import Level

_PATIENCE_S: Final = 600.0
_TEXTS: Final = (
    ".py",
    ".json",
    ".jsonl",
    ".csv",
    ".md",
    ".txt",
    ".toml",
    ".yml",
    ".yaml",
    ".cff",
    ".patch",
    ".html",
    ".lock",
)
_MOST_TEXT_BYTES: Final = 32 << 20
_HOME: Final = re.compile(rb"(?<![\w.])(?:/home/|/Users/|[A-Za-z]:\\Users\\)[\w.\-]+")
_MOST_SHOWN: Final = 25


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What was found out about a package; print it to read it.

    Attributes
    ----------
    path
        The package.
    name
        What it calls itself; empty when that cannot be read.
    package_id
        SHA-256 of its tag manifest, which covers every file: compare it with the one that the author published.
    findings
        What is wrong or worth a look, each with ``severity`` (``error``, ``warning``, ``note``), ``check``, ``file``,
        ``what`` and ``remedy``.
    environment
        How near this environment comes to the one that made the results; None when that is not known. Differences are
        no fault of the package.
    """

    path: Path
    name: str
    package_id: str
    findings: tuple[Finding, ...]
    environment: EnvironmentMatch | None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; there may be warnings."""
        return self.exit_code == OK

    @property
    def level(self) -> Level | None:
        """How near this environment comes: ``exact``, ``equivalent``, ``compatible`` or ``different``."""
        return None if self.environment is None else self.environment.level

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that are wrong."""
        return tuple(one for one in self.findings if one.severity == "error")

    @property
    def exit_code(self) -> int:
        """0 all well, 4 unsafe or changed, 5 incomplete or inconsistent, 7 it cannot be checked."""
        return exit_code(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "package": self.path.name,
            "name": self.name,
            "package_id": self.package_id,
            "ok": self.ok,
            "exit_code": self.exit_code,
            "findings": [one.to_dict() for one in self.findings],
            "environment": None if self.environment is None else self.environment.to_dict(),
        }

    def __str__(self) -> str:
        lines = [f"{self.path.name}: {self._verdict()}", f"package id: {self.package_id or 'none'}"]
        lines += [f"  {one}" for one in self.findings[:_MOST_SHOWN]]
        if len(self.findings) > _MOST_SHOWN:
            lines.append(f"  and {len(self.findings) - _MOST_SHOWN:,} more")
        if self.environment is not None:
            lines.append(str(self.environment))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cells = ("severity", "check", "file", "what", "remedy")
        head = "".join(f"<th style='text-align:left'>{cell}</th>" for cell in cells)
        rows = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:left'>{html.escape(getattr(one, cell))}</td>" for cell in cells)
            + "</tr>"
            for one in self.findings[:_MOST_SHOWN]
        )
        caption = html.escape(f"{self.path.name}: {self._verdict()}; package id {self.package_id or 'none'}")
        environment = f"<pre>{html.escape(str(self.environment))}</pre>" if self.environment is not None else ""
        return f"<table><caption>{caption}</caption><tr>{head}</tr>{rows}</table>{environment}"

    def _verdict(self) -> str:
        words = {
            OK: "safe, unchanged, complete and consistent",
            4: "NOT SAFE, OR CHANGED SINCE IT WAS MADE",
            5: "INCOMPLETE OR INCONSISTENT",
        }
        n = sum(one.severity == "warning" for one in self.findings)
        return words.get(self.exit_code, "CANNOT BE CHECKED") + (f", {n:,} worth a look" if self.ok and n else "")


def verify_package(
    path: str | os.PathLike[str],
    *,
    expect: str | None = None,
    strict_environment: bool = False,
    limits: Limits | None = None,
) -> VerificationReport:
    """Check a package before anything of it is used: safe to open, unchanged, complete, consistent.

    It is read only, without unpacking; nothing of it is imported, executed, unpickled or fetched. That nobody forged it
    no check of its content can say: for that, give the id that its author published as *expect*.

    Parameters
    ----------
    path
        A zip, or the folder it was unpacked to.
    expect
        The package id that it must have.
    strict_environment
        Count it as an error when this environment is ``different`` from the one that made the results.
    limits
        What the archive may be at most.

    Raises
    ------
    PackageError
        There is no such file.

    Examples
    --------
    >>> report = sciflow.verify_package("neural_net_experiment_v1.zip")  # doctest: +SKIP
    >>> report.ok, report.level  # doctest: +SKIP
    (True, 'compatible')
    """
    place = Path(path)
    try:
        with opened(place, limits) as package:
            basics = check_basics(package, expect)
            findings = [*basics.findings]
            environment = None
            if basics.record:
                findings += _paths_and_secrets(package)
                environment, problems = _match(package, basics.record)
                findings += problems
                if exit_code(findings) != 4:  # what is not safe is not looked into any further
                    findings += examined(place)
    except UnsafeError as error:
        return VerificationReport(place, "", "", tuple(error.findings), None)
    except OSError as error:
        raise PackageError(f"cannot read the package {place}: {error.strerror or error}") from error
    if strict_environment:
        findings += _strict(environment)
    name = str(basics.record.get("name", ""))
    return VerificationReport(place, name, basics.package_id, tuple(findings), environment)


def _strict(environment: EnvironmentMatch | None) -> Iterator[Finding]:
    if environment is None:
        yield Finding("error", "environment", "", "the package does not say what its results were computed in")
    elif environment.level == "different":
        what = "this environment is different from the one that made the results"
        yield Finding("error", "environment", "", what, "build one from data/environment, as `sciflow reproduce` does")


def _match(package: Container, record: Mapping[str, Any]) -> tuple[EnvironmentMatch | None, list[Finding]]:
    name = str(record["files"].get("environment"))
    recorded = read_json(package, name)
    if recorded is None:
        return None, []
    import_module("numpy")  # its numeric libraries are part of what is compared
    from sciflow.provenance.environment import capture_environment  # noqa: PLC0415  where there is something to compare

    here = capture_environment()
    try:
        return match_environments(recorded, here), []
    except (AttributeError, TypeError, ValueError) as error:
        what = f"cannot be read as the description of an environment ({error})"
        return None, [Finding("error", "consistency", name, what, "the package was edited, or made wrongly")]


def _paths_and_secrets(package: Container) -> Iterator[Finding]:
    """Texts that look like a password, or name somebody's home; what the author wrote or kept may name places."""
    for name in package.names:
        if not name.endswith(_TEXTS) or package.sizes[name] > _MOST_TEXT_BYTES:
            continue
        text = package.read(name)
        for found in find_secrets(name, text):
            what = f"looks like a secret: {found.kind}, line {found.line}"
            yield Finding("warning", "hygiene", name, what, "tell the author, who will want to revoke it")
        if not name.startswith((f"{layout.CODE}/", f"{layout.ARTIFACTS}/", f"{layout.INPUTS}/")):
            places = {match.decode() for match in _HOME.findall(text)}
            if places:
                what = f"names folders of the machine that it was made on ({min(places)})"
                yield Finding("warning", "hygiene", name, what, "do not publish it if that is not meant")


# ---------------------------------------------------------------------------------------------------- the process


def examined(path: Path, *, patience_s: float = _PATIENCE_S) -> list[Finding]:
    """What a process of its own finds when it reads the numbers; whatever becomes of that process is a finding too."""
    with tempfile.TemporaryDirectory(prefix="sciflow-verify-") as scratch:
        command = interpreter.command("sciflow.packaging.examine", str(path.absolute()), scratch)
        variables = interpreter.environment({"HDF5_USE_FILE_LOCKING": "FALSE", "HDF5_PLUGIN_PATH": "::"})
        try:
            done = subprocess.run(  # noqa: S603  our own module
                command, env=variables, capture_output=True, timeout=patience_s, check=False, cwd=scratch
            )
        except subprocess.TimeoutExpired:
            what = f"could not be read within {patience_s:,.0f} s, which is no way for a results file to be"
            return [Finding("error", "safety", layout.RESULTS, what, "do not open it")]
    return _told(done.returncode, done.stdout, done.stderr)


def _told(status: int, out: bytes, err: bytes) -> list[Finding]:
    if status == -signal.SIGXCPU:
        what = "took more computing to be read than a package of this size needs: it is damaged, or made to do so"
        return [Finding("error", "safety", layout.PAYLOAD, what, "do not open it")]
    if status < 0:
        what = (
            f"ended the process that read it ({signal.Signals(-status).name}): the file is damaged, or made to do harm"
        )
        return [Finding("error", "safety", layout.RESULTS, what, "do not open it")]
    try:
        found: Iterable[Mapping[str, str]] = json.loads(out)
        return [Finding(**one) for one in found]
    except (ValueError, TypeError):
        words = err.decode("utf-8", "replace").strip().splitlines()
        what = f"cannot be read ({words[-1] if words else f'exit status {status}'})"
        return [Finding("error", "consistency", layout.RESULTS, what, "get the package again, or ask its author")]
