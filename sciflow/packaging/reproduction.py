"""What came of a reproduction: the report that a reader keeps, and that can go back to the author."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import PackageError
from sciflow.packaging.compare import VERDICTS, MetricComparison
from sciflow.packaging.standalone import exit_code
from sciflow.quantities import render_count, render_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.packaging.compare import Verdict
    from sciflow.packaging.match import EnvironmentMatch
    from sciflow.packaging.rebuild import Attempt
    from sciflow.packaging.verify import VerificationReport

SCHEMA: Final = 1
NUMBERS_DIFFER, COULD_NOT_RUN = 6, 7
"""Exit codes."""

NAME: Final = "reproduction-report"
_MOST_FAILURES: Final = 5


@dataclass(frozen=True, slots=True)
class ReproductionReport:
    """Whether the numbers of a package come out again, metric by metric; print it to read it.

    Attributes
    ----------
    package, name, package_id
        The file, what it calls itself, and what identifies its content.
    workflow, sweep
        Of the results: the name, and the identity of the sweep that the author keeps.
    verification
        What was found out about the package before it was run.
    reason
        Why nothing could be run; empty when it was.
    attempts
        The rungs of environments that were tried, and why each but the last was left.
    environment
        How near the environment of the re-run comes to the recorded one; None when nothing ran.
    variants
        Ids of those that were computed again.
    n_done
        How many variants with results the package has.
    metrics
        What became of each metric.
    failures
        Variant to why it failed this time.
    command
        What ran them.
    restored
        Environment variables that were set as they were recorded: threads of numeric libraries, the seed of hashes.
    took_s
        Seconds of the run.
    made_at
        When, in UTC.
    """

    package: str
    name: str
    package_id: str
    workflow: str
    sweep: str
    verification: VerificationReport
    reason: str = ""
    attempts: tuple[Attempt, ...] = ()
    environment: EnvironmentMatch | None = None
    variants: tuple[str, ...] = ()
    n_done: int = 0
    metrics: tuple[MetricComparison, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    command: tuple[str, ...] = ()
    restored: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    took_s: float = 0.0
    made_at: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """The worst of any metric, of `sciflow.packaging.compare.VERDICTS`; None when nothing ran."""
        if self.reason or not self.variants:
            return None
        return VERDICTS[max((VERDICTS.index(one.verdict) for one in self.metrics), default=0)]

    @property
    def ok(self) -> bool:
        """Whether every number came out again, within its tolerance."""
        return self.exit_code == 0

    @property
    def step(self) -> str:
        """The environment that was reached: the rung of the ladder."""
        return self.attempts[-1].step if self.attempts and not self.attempts[-1].reason else ""

    @property
    def exit_code(self) -> int:
        """0 all came out again, 4 and 5 as of `VerificationReport`, 6 numbers differ, 7 it could not be run."""
        if not self.verification.ok:
            return exit_code(self.verification.findings)
        if self.verdict is None:
            return COULD_NOT_RUN
        return NUMBERS_DIFFER if self.verdict in {"different", "missing"} else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "schema": SCHEMA,
            "kind": NAME,
            **{key: getattr(self, key) for key in ("package", "name", "package_id", "workflow", "sweep", "made_at")},
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "n_done": self.n_done,
            "variants": list(self.variants),
            "metrics": [one.to_dict() for one in self.metrics],
            "failures": dict(self.failures),
            "step": self.step,
            "attempts": [asdict(one) for one in self.attempts],
            "environment": None if self.environment is None else self.environment.to_dict(),
            "restored": dict(self.restored),
            "command": list(self.command),
            "took_s": self.took_s,
            "verification": self.verification.to_dict(),
        }

    def save(self, folder: Path | str) -> Path:
        """Write ``reproduction-report.json`` and ``.html`` into a folder; the path of the first.

        Beside the report of another package the name has that of this package at its end.

        Raises
        ------
        PackageError
            They cannot be written.
        """
        path = Path(folder) / f"{NAME}.json"
        try:
            if _package_of(path) not in {None, self.package_id}:
                path = path.with_name(f"{NAME}-{Path(self.package).stem}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.to_dict(), indent=1) + "\n", "utf-8")
            path.with_suffix(".html").write_text(self._page(), "utf-8")
        except OSError as error:
            raise PackageError(f"cannot write the report {path}: {error.strerror or error}") from error
        return path

    def headline(self) -> str:
        """The outcome in one line."""
        if not self.verification.ok:
            return "not run: the package did not pass verification"
        if self.verdict is None:
            return f"COULD NOT RUN: {self.reason}"
        words = {
            "identical": "REPRODUCED: all numbers are identical",
            "within tolerance": "REPRODUCED: all numbers are within tolerance",
            "different": "NOT REPRODUCED: numbers differ",
            "missing": "NOT REPRODUCED: numbers are missing",
        }
        return words[self.verdict]

    def __str__(self) -> str:
        lines = [f"{self.package}: {self.headline()}"]
        if not self.verification.ok:
            return "\n".join([*lines, str(self.verification)])
        if self.package_id:
            lines.append(f"package id: {self.package_id}")
        if self.verdict is not None:
            n = render_count(len(self.variants), "variant")
            lines.append(f"{n} of {self.n_done:,}, computed again in {render_seconds(self.took_s)}")
        lines += [f"  {one}" for one in self.metrics]
        shown = list(self.failures.items())[:_MOST_FAILURES]
        lines += [f"  {variant} failed: {words}" for variant, words in shown]
        lines += [f"environment {one}" for one in self.attempts]
        if self.environment is not None:
            lines.append(str(self.environment))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return _render("reproduction-table.html", self)

    def _page(self) -> str:
        return _render("reproduction.html", self)


def _package_of(path: Path) -> str | None:
    """The id of the package that the report in a file is of; None without a report."""
    try:
        known: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return known.get("package_id")


def _render(template: str, report: ReproductionReport) -> str:
    import jinja2  # noqa: PLC0415  only what is shown or saved needs it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sciflow.packaging"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(template).render(report=report, render_seconds=render_seconds)
