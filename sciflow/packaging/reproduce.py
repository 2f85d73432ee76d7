"""Reproduce a package: verify it, build its environment, run some variants again, compare the numbers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from sciflow.analysis.results import Results, open_results
from sciflow.errors import PackageError, SciflowError
from sciflow.packaging import layout
from sciflow.packaging.compare import NEVER_COMPARED, MetricComparison, compare_metric
from sciflow.packaging.match import match_environments
from sciflow.packaging.opened import open_package
from sciflow.packaging.rebuild import (
    CURRENT,
    Built,
    CannotBuildError,
    Site,
    SystemPrograms,
    Wish,
    clean_variables,
    ladder,
    link_sciflow,
    rebuild,
)
from sciflow.packaging.reproduction import ReproductionReport
from sciflow.packaging.safety import open_container, unpack, within
from sciflow.packaging.standalone import Container, check_names, read_json
from sciflow.packaging.verify import verify_package
from sciflow.provenance.variables import kept_variables
from sciflow.quantities import render_count, render_seconds
from sciflow.workflow.tolerance import Tolerance

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from sciflow.packaging.opened import OpenedPackage
    from sciflow.packaging.rebuild import Programs

_NOT_RESTORED: Final = ("LANG", "LC_")  # a locale that is not here breaks more than it restores
_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_MOST_INLINE: Final = 20
_LONGEST: Final = 1500


@dataclass(frozen=True, slots=True)
class Chosen:
    """The variants that are computed again, and what is known of them.

    Attributes
    ----------
    records
        Id → the outputs that were recorded.
    n_done
        How many variants with results the package has.
    runtime_s
        What the chosen ones took where they were made.
    """

    records: Mapping[str, Mapping[str, Any]]
    n_done: int
    runtime_s: float


def reproduce_package(
    path: str | os.PathLike[str],
    sample: int = 5,
    environment: Wish = "auto",
    *,
    variants: Iterable[str] | None = None,
    all: bool = False,  # noqa: A002  what users call it
    yes: bool = False,
    directory: str | os.PathLike[str] | None = None,
    cluster: str | None = None,
    programs: Programs | None = None,
    ask: Callable[[str], bool] | None = None,
    tell: Callable[[str], object] | None = None,
) -> ReproductionReport:
    """Run some variants of a package again and compare their numbers with the recorded ones.

    The package is verified first. Then its environment is built as closely as this machine can, its code is run on a
    few variants with the recorded seed, threads and hash seed, and each metric is judged by the tolerance that its
    author declared (see `ExperimentalWorkflow.set_tolerance`).

    This runs the author's code with your rights. In a terminal or notebook you are asked first; elsewhere say
    ``yes=True``.

    Parameters
    ----------
    path
        A zip, or the folder it was unpacked to; it stays as it is.
    sample
        How many variants, spread evenly over those that have results.
    environment : {"auto", "uv", "pip", "conda", "current"}
        How to build the environment: "auto" tries the closest first and climbs down as far as this Python itself.
    variants
        Ids of the variants, in place of a sample.
    all
        Run every variant that has a result.
    yes
        Do not ask.
    directory
        Where to work, and to leave the report and what was computed; by default the work is in a temporary folder that
        is removed, and ``reproduction-report.json`` and ``.html`` are beside the package.
    cluster
        Where to run: a name as of `sciflow.Engine`. By default a few variants run one after the other in one process,
        which has the recorded threads; more than twenty on the processors of this machine.
    programs, ask, tell
        Seams: the installers, the question, and where progress is told.

    Raises
    ------
    PackageError
        There is no such package or variant, or nobody could be asked.

    Examples
    --------
    >>> report = sciflow.reproduce_package("neural_net_experiment_v1.zip", sample=3)  # doctest: +SKIP
    >>> report.verdict, report.step  # doctest: +SKIP
    ('identical', 'uv, exact lock, exact Python')
    """
    place = Path(path)
    if environment not in get_args(Wish):
        raise PackageError(f"environment {environment!r} is unknown; it is one of {', '.join(get_args(Wish))}")
    tell = tell or _tell
    verification = verify_package(place)
    blank = ReproductionReport(place.name, verification.name, verification.package_id, "", "", verification)
    if not verification.ok:
        return blank
    package = open_package(place)
    record = package.record
    blank = replace(blank, workflow=str(record.get("workflow", "")), sweep=str(record.get("sweep", "")), made_at=_now())
    script = record["run"].get("script")
    if not script or "records" not in record["files"]:
        why = record["run"].get("why_not") or "it was made without results" if script else "it has no script"
        return _kept(replace(blank, reason=f"the package cannot be run: {why}"), place, directory, tell)
    chosen = choose(package, None if all else sample, variants)
    _consent(_question(place, package, chosen), yes=yes, ask=ask)
    with _workplace(directory) as work, open_container(place) as container:
        run = _Run(package, container, work, environment, chosen, cluster, programs or SystemPrograms(), tell)
        report = run.report(blank)
    return _kept(report, place, directory, tell)


# ------------------------------------------------------------------------------------------------------- the sample


def choose(package: OpenedPackage, sample: int | None, variants: Iterable[str] | None = None) -> Chosen:
    """The variants to run again: those named, or a sample of those that are done, or all of them.

    Raises
    ------
    PackageError
        One of those named has no result, or none at all has.
    """
    results = package.results
    frame = results.to_dataframe()
    done = [str(one) for one in frame.index[np.asarray(frame["status"]) == "done"]]
    if variants is not None:
        wanted = list(dict.fromkeys([variants] if isinstance(variants, str) else variants))
        unknown = [one for one in wanted if one not in set(done)]
        if unknown or not wanted:
            named = ", ".join(unknown) or "no variant at all"
            raise PackageError(f"{package.path} has no result of {named}; its table lists the ids of variants")
    else:
        wanted = spread(done, sample)
    if not wanted:
        raise PackageError(f"no variant of {package.path} has a result that could be compared")
    return Chosen(_records(results, wanted), len(done), float(np.nansum(frame.loc[wanted, "runtime_s"])))


def spread(items: Sequence[str], n: int | None) -> list[str]:
    """*n* of the items, evenly over them, the first and the last among them; all of them for None.

    Raises
    ------
    PackageError
        *n* is less than 1.
    """
    if n is None or n >= len(items):
        return list(items)
    if n < 1:
        raise PackageError(f"a sample is of at least 1 variant, not {n}")
    places = np.linspace(0, len(items) - 1, n).round().astype(int) if n > 1 else [(len(items) - 1) // 2]
    return [items[place] for place in places]


def _records(results: Results, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The outputs of some variants, by id."""
    frame = results.to_dataframe()
    condition = None if len(wanted) > len(frame) // 2 else f"variant in {list(wanted)!r}"
    known = set(wanted)
    return {
        variant.id: {name: value for name, value in record.items() if name not in NEVER_COMPARED}
        for variant, record in results.iter_variants(condition)
        if variant.id in known and record["status"] == "done"
    }


# --------------------------------------------------------------------------------------------------------- consent


def _question(path: Path, package: OpenedPackage, chosen: Chosen) -> str:
    n = render_count(len(chosen.records), "variant")
    authors = ", ".join(package.record.get("authors") or ()) or "its author"
    took = render_seconds(chosen.runtime_s)
    return (
        f"{path.name}: this runs code of {authors} on your machine, with your rights: "
        f"{package.record['run']['script']} on {n} of {chosen.n_done:,} (they took {took} of computing there), "
        "after installing what it asks for into an environment of its own"
    )


def _consent(question: str, *, yes: bool, ask: Callable[[str], bool] | None) -> None:
    if yes:
        return
    if ask is None and not _can_ask():
        raise PackageError(f"{question}; say yes=True (on the command line: --yes) if you trust it")
    if not (ask or _ask)(question):
        raise PackageError("nothing was run")


def _ask(question: str) -> bool:
    return input(f"{question}. Go on? [y/N] ").strip().lower() in {"y", "yes"}


def _can_ask() -> bool:
    """Whether somebody sits there: a terminal, or a notebook, whose kernel asks in the page."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    in_notebook = shell is not None and "ipykernel" in type(shell).__module__
    return in_notebook or (sys.stdin is not None and sys.stdin.isatty())


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201  installing takes minutes, and silence looks like a hang


# --------------------------------------------------------------------------------------------------------- the run


@contextmanager
def _workplace(directory: str | os.PathLike[str] | None) -> Generator[Path]:
    """A new folder: a temporary one, or one that stays in *directory*."""
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="sciflow-reproduce-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="reproduction-", dir=directory))
    except OSError as error:
        raise PackageError(f"cannot work in {directory}: {error.strerror or error}") from error
    yield work.resolve()


@dataclass(frozen=True)
class _Run:
    """One reproduction, in a folder of its own."""

    package: OpenedPackage
    container: Container
    work: Path
    wish: Wish
    chosen: Chosen
    cluster: str | None
    programs: Programs
    tell: Callable[[str], object]

    def report(self, blank: ReproductionReport) -> ReproductionReport:
        """Build, run, compare."""
        recorded = self._recorded()
        try:
            built = self._build(recorded)
        except CannotBuildError as error:
            return replace(blank, reason="no environment could be had", attempts=error.attempts)
        if built.step == CURRENT and len(built.attempts) > 1:
            self.tell("environment: none could be built, so this Python is used as it is")
        self.tell(f"environment: {built.step}")
        restored = variables_of(recorded)
        command = self._command(built)
        n = render_count(len(self.chosen.records), "variant")
        self.tell(f"running {n}; they took {render_seconds(self.chosen.runtime_s)} of computing there")
        began = time.monotonic()
        complaint = self._start(command, built, restored)
        filled = replace(
            blank,
            attempts=built.attempts,
            variants=tuple(self.chosen.records),
            n_done=self.chosen.n_done,
            command=tuple(one.replace(str(self.work), "…") for one in command),
            restored=restored,
            took_s=time.monotonic() - began,
        )
        return self._compare(filled, recorded, complaint)

    def _recorded(self) -> Mapping[str, Any]:
        found = read_json(self.container, str(self.package.record["files"].get("environment")))
        return found if isinstance(found, dict) else {}

    def _build(self, recorded: Mapping[str, Any]) -> Built:
        locks = self.work / "locks"
        locks.mkdir()
        below = f"{layout.ENVIRONMENT}/"
        unpack(self.container, self.container.below(below), locks, below=below)
        site = Site(locks, self.work / "environments", self.programs)
        return rebuild(ladder(self.wish, recorded, site), link_sciflow(self.work / "sciflow"), self.programs, self.tell)

    def _command(self, built: Built) -> list[str]:
        """Lay the job out, and say what runs it."""
        record = self.package.record
        code = self.work / "code"
        code.mkdir()
        unpack(self.container, self.container.below(f"{layout.CODE}/"), code, below=f"{layout.CODE}/")
        for one in record.get("inputs") or ():
            name, path = str(one["name"]), one.get("path")
            if isinstance(path, str) and path in self.container and not check_names([name]):
                target = within(code, name)
                if not target.exists():
                    unpack(self.container, [path], target.parent, below=path.removesuffix(target.name))
        few = len(self.chosen.records) <= _MOST_INLINE
        job = {
            "script": str(within(code, str(record["run"]["script"]))),
            "workflow": record["run"].get("workflow") or record["workflow"],
            "variants": list(self.chosen.records),
            "seed": record.get("seed", 0),
            "cluster": self.cluster or ("inline" if few else "local"),
            "directory": str(self.work / "sweeps"),
        }
        (self.work / "job.json").write_text(json.dumps(job), "utf-8")
        return [built.python, "-P", "-m", "sciflow.cli.rerun", str(self.work / "job.json")]

    def _start(self, command: Sequence[str], built: Built, restored: Mapping[str, str]) -> str:
        """Run it; what it complained of, empty if nothing."""
        variables = clean_variables({**restored, **built.variables})
        with (self.work / "output.log").open("w+", encoding="utf-8", errors="replace") as log:
            try:
                done = subprocess.run(  # noqa: S603  running the author's code is what was agreed to
                    command,
                    cwd=self.work / "code",
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    check=False,
                )
            except OSError as error:
                return f"{command[0]}: {error.strerror or error}"
            log.seek(0)
            words = log.read().strip()[-_LONGEST:]
        if done.returncode == 0:
            return ""
        how = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
        return words.replace(f"{self.work}/", "") or how

    def _compare(self, report: ReproductionReport, recorded: Mapping[str, Any], complaint: str) -> ReproductionReport:
        try:
            folder = within(self.work / "sweeps", report.workflow)
            results = open_results(folder)
            new = _records(results, list(self.chosen.records))
            failures = _failures(results)
        except SciflowError as error:
            return replace(report, reason=complaint or str(error))
        if not new:
            words = next(iter(failures.values()), "")
            why = f"every variant failed: {words}" if words else "the script's workflow has none of these variants"
            return replace(report, reason=complaint or why, failures=failures)
        environment = match_environments(recorded, results.environment) if recorded else None
        metrics = compare_records(self.chosen.records, new, self.package.record.get("tolerances") or {})
        return replace(report, metrics=metrics, failures=failures, environment=environment)


def _failures(results: Results) -> dict[str, str]:
    frame = results.to_dataframe()
    rows = zip(frame.index, frame["status"], frame["failure"], strict=True)
    return {str(variant): str(words) for variant, status, words in rows if status == "failed"}


def variables_of(recorded: Mapping[str, Any]) -> dict[str, str]:
    """Environment variables under which numeric libraries and hashes do again what they did.

    Of what is recorded only those are taken that sciflow records itself: a package sets no others.
    """
    given = {str(name): str(value) for name, value in (recorded.get("variables") or {}).items()}
    kept = {name: one for name, one in kept_variables(given).items() if not name.startswith(_NOT_RESTORED)}
    libraries = (recorded.get("numeric") or {}).get("libraries") or ()
    threads = [one["num_threads"] for one in libraries if isinstance(one.get("num_threads"), int)]
    if threads:
        kept = {**dict.fromkeys(_THREADS, str(max(threads))), **kept}
    seed = str((recorded.get("python") or {}).get("hash_seed", "random"))
    return {**kept, **({"PYTHONHASHSEED": seed} if seed.isdigit() else {})}


def compare_records(
    old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]], tolerances: Mapping[str, Any]
) -> tuple[MetricComparison, ...]:
    """Every metric of some variants, recorded and new: id → outputs."""
    names = dict.fromkeys(name for record in (*old.values(), *new.values()) for name in record)
    return tuple(
        compare_metric(
            name,
            {one: _pair(record.get(name), new.get(one), name) for one, record in old.items()},
            Tolerance(float(tolerances[name]["rtol"]), float(tolerances[name]["atol"])) if name in tolerances else None,
        )
        for name in names
    )


def _pair(old: Any, record: Mapping[str, Any] | None, name: str) -> tuple[Any, Any]:
    """Two values; a variant without one has NaN in a column where others have numbers.

    One that failed now has no record: whatever was recorded of it, if nothing, did not come out again.
    """
    if record is None:
        return math.nan if old is None else old, None
    new = record.get(name)
    return (None, None) if _is_nothing(old) and _is_nothing(new) else (old, new)


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _kept(
    report: ReproductionReport,
    package: Path,
    directory: str | os.PathLike[str] | None,
    tell: Callable[[str], object],
) -> ReproductionReport:
    path = report.save(package.absolute().parent if directory is None else Path(directory))
    tell(f"report: {path} and {path.with_suffix('.html').name}")
    return report
