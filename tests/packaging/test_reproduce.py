"""A real package of a tiny sweep, run again by a stranger: the same numbers, other numbers, none."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sciflow import interpreter
from sciflow.analysis.results import open_results
from sciflow.cli.main import main
from sciflow.errors import FormatError, PackageError, SweepMismatchError
from sciflow.packaging import layout
from sciflow.packaging.rebuild import Answer, Attempt
from sciflow.packaging.reproduce import reproduce_package, spread, variables_of
from sciflow.testing import packages
from sciflow.testing.programs import ScriptedPrograms
from sciflow.testing.sweeps import known_outcome_sweep

STUDY = """
import math
import os
from pathlib import Path

import numpy as np
import sciflow
from helper import doubled

TRACE = os.environ.get("TINY_TRACE")
if TRACE:
    Path(TRACE).touch()
if os.environ.get("TINY_LACKS"):
    import a_package_that_is_not_here


def simulate(a, size, pair, context):
    mode = os.environ.get("TINY_MODE")
    if mode == "kill":
        os.kill(os.getpid(), 9)
    if mode == "changed" and a == 3:
        raise ValueError("not this time")
    energy = a * 0.1 + context.rng.normal()
    field = doubled(np.linspace(0, a, size)) + np.loadtxt("offsets.csv", delimiter=",").sum()
    if mode == "changed":
        energy = math.nextafter(energy, math.inf)
        field = field * (1 + 1e-3)
    return {
        "energy": energy,
        "field": field,
        "label": "low" if a < 2 else "high",
        "undefined": math.nan,
        "complex": 1 + 2j,
        "ragged": np.arange(size),
        "flag": bool(a > 1),
        "nothing": None,
        "quoted": 'x, "y"\\nNA',
        "wide": 2**60 + 1,
        "threads": os.environ.get("OMP_NUM_THREADS", "unset") if mode == "threads" else "unset",
    }


workflow = sciflow.ExperimentalWorkflow("tiny", seed=3)
workflow.add_task("simulate", simulate)
workflow.add_parameter_space({"a": [1, 2, 3], "size": [4, 6], "pair": [(1, "x")]})
workflow.add_input("offsets.csv")
workflow.set_metadata_requirements({"inputs_hashed": True})
sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
Path("after").touch()
"""
HELPER = "def doubled(x):\n    return 2 * x\n"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a sweep that a script ran, away from where it was made."""
    folder = tmp_path_factory.mktemp("author")
    (folder / "study.py").write_text(STUDY)
    (folder / "helper.py").write_text(HELPER)
    (folder / "offsets.csv").write_text("1,2,3\n")
    for command in (
        [sys.executable, "study.py"],
        interpreter.command("sciflow.cli.main", "package", "tiny", "-o", "out", "--name", "tiny_v1"),
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (made,) = (folder / "out").glob("*.zip")
    path = tmp_path_factory.mktemp("reader") / "tiny_v1.zip"
    shutil.move(made, path)
    shutil.rmtree(folder)
    return path


@pytest.fixture
def package(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny, tmp_path / "tiny_v1.zip"))


def run_again(path: Path, **options):
    return reproduce_package(path, environment="current", yes=True, tell=lambda _: None, **options)


def test_a_stranger_gets_the_same_numbers(package: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(
        main, ["reproduce", "tiny_v1.zip", "--sample", "3", "--environment", "current", "--yes", "--json"]
    )

    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "reproduction-report.json").read_text())
    assert report == json.loads(done.stdout)
    assert (report["verdict"], report["step"], report["n_done"]) == ("identical", "current", 6)
    assert len(report["variants"]) == 3
    metrics = {one["metric"]: one["verdict"] for one in report["metrics"]}
    assert set(metrics.values()) == {"identical"}
    assert metrics.keys() > {"energy", "field", "label", "undefined", "complex", "ragged", "nothing", "quoted", "wide"}
    assert report["environment"]["level"] == "exact"
    assert {one.name for one in tmp_path.iterdir()} == {
        "tiny_v1.zip",
        "reproduction-report.json",
        "reproduction-report.html",
    }


def test_the_report_of_another_package_is_not_overwritten(package: Path, tmp_path: Path) -> None:
    report = reproduce_package(package, yes=True, tell=lambda _: None, directory=None, environment="current", sample=1)

    first = tmp_path / "reproduction-report.json"
    again = dataclasses.replace(report, package="other_v1.zip", package_id="0" * 64).save(tmp_path)

    assert again.name == "reproduction-report-other_v1.json"
    assert json.loads(first.read_text())["package_id"] == report.package_id
    assert report.save(tmp_path) == first


def test_numbers_that_come_out_otherwise_are_told_per_metric(package: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TINY_MODE", "changed")

    report = run_again(package, all=True, directory=tmp_path / "kept")

    verdicts = {one.metric: one.verdict for one in report.metrics}
    assert set(verdicts.values()) == {"missing"}  # of the two that failed
    counts = {one.metric: (one.n_identical, one.n_within, one.n_different, one.n_missing) for one in report.metrics}
    assert counts["energy"] == (0, 4, 0, 2)  # one unit in the last place
    assert counts["field"] == (0, 0, 4, 2)  # a thousandth
    assert counts["label"] == (4, 0, 0, 2)
    assert (report.exit_code, report.ok) == (6, False)
    assert [*report.failures.values()] == ["simulate: ValueError: not this time"] * 2
    assert "NOT REPRODUCED" in str(report)
    assert (tmp_path / "kept/reproduction-report.html").exists()
    assert not list((tmp_path / "kept").glob("reproduction-*/code/after")), "nothing after the sweep is executed"


def test_code_that_cannot_be_run_here_is_told_with_the_reason(package: Path, monkeypatch) -> None:
    monkeypatch.setenv("TINY_LACKS", "1")

    report = run_again(package, sample=1)

    assert (report.exit_code, report.verdict) == (7, None)
    assert "a_package_that_is_not_here" in report.reason
    assert "COULD NOT RUN" in str(report)


def test_a_process_that_dies_is_told_as_such(package: Path, monkeypatch) -> None:
    monkeypatch.setenv("TINY_MODE", "kill")

    report = run_again(package, sample=1)

    assert report.exit_code == 7
    assert "signal 9" in report.reason


def test_recorded_threads_are_restored(package: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TINY_MODE", "threads")
    with zipfile.ZipFile(package) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = json.loads(files[layout.RECORD])["files"]["environment"]
    files = packages.with_json(files, name, lambda facts: facts["variables"].update(OMP_NUM_THREADS="7"))
    packages.write_zip(package, packages.in_crate_too(files))

    report = run_again(package, sample=1)

    assert report.restored["OMP_NUM_THREADS"] == "7"
    (threads,) = (one for one in report.metrics if one.metric == "threads")
    assert "'unset' recorded, '7' now" in threads.words


def test_the_author_adds_a_report_to_the_sweep_that_it_is_of(package: Path, tmp_path: Path) -> None:
    programs = ScriptedPrograms(["uv"], lambda _: Answer(1, "", "no"))
    report = reproduce_package(package, 1, "uv", yes=True, programs=programs, tell=lambda _: None)
    report.save(tmp_path)
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path / "in")
    mine = open_results(tmp_path / "in" / layout.RECORDS)
    other = open_results(known_outcome_sweep(tmp_path / "other").path)
    (tmp_path / "newer.json").write_text(json.dumps({**report.to_dict(), "schema": 2}))

    mine.add_reproduction(tmp_path / "reproduction-report.json")
    mine.add_reproduction(tmp_path / "reproduction-report.json")

    assert mine.reproductions() == [report.to_dict()]
    shown = CliRunner().invoke(main, ["status", str(mine.directory)])
    assert "computed again by others: 1 report, the newest: " in shown.output
    (told,) = mine.metadata["reproductions"]
    assert (told["package_id"], told["exit_code"]) == (report.package_id, 7)
    with pytest.raises(SweepMismatchError, match="'known_outcome'"):
        other.add_reproduction(tmp_path / "reproduction-report.json")
    for name, words in (("none.json", "cannot read"), ("in/verify.py", "no JSON"), ("newer.json", "schema 2")):
        with pytest.raises(FormatError, match=words):
            mine.add_reproduction(tmp_path / name)
    with pytest.raises(FormatError, match="no report"):
        mine.add_reproduction(tmp_path / "in" / layout.RECORD)
    assert other.reproductions() == []


def test_a_package_that_was_changed_is_not_run(package: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TINY_TRACE", str(tmp_path / "trace"))
    with zipfile.ZipFile(package) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    changed = {**files, f"{layout.CODE}/helper.py": b"def doubled(x):\n    return 3 * x\n"}

    for damaged, code in ((changed, 4), (packages.in_crate_too(changed), 5)):
        packages.write_zip(package, damaged)
        report = run_again(package)
        assert report.exit_code == code
        assert report.verdict is None
    assert "not the code that was frozen" in str(report)
    assert not (tmp_path / "trace").exists()


def test_nothing_is_run_that_nobody_agreed_to(package: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TINY_TRACE", str(tmp_path / "trace"))
    asked: list[str] = []

    with pytest.raises(PackageError, match="nothing was run"):
        reproduce_package(package, 2, "current", ask=lambda question: bool(asked.append(question)))
    done = CliRunner().invoke(main, ["reproduce", str(package), "--environment", "current"])

    assert "with your rights: study.py on 2 variants of 6" in asked[0]
    assert done.exit_code == 1
    assert "--yes" in done.output
    assert not (tmp_path / "trace").exists()


def test_what_cannot_be_asked_for_is_refused(package: Path) -> None:
    with pytest.raises(PackageError, match=f"no result of v{'0' * 20}"):
        run_again(package, variants=[f"v{'0' * 20}"])
    with pytest.raises(PackageError, match="environment 'docker' is unknown"):
        reproduce_package(package, environment="docker", yes=True)


def test_no_environment_at_all_is_told_with_every_reason(package: Path) -> None:
    programs = ScriptedPrograms(["uv"], lambda _: Answer(1, "", "error: no network"))

    report = reproduce_package(package, 1, "uv", yes=True, programs=programs, tell=lambda _: None)

    assert report.exit_code == 7
    assert [one.reason for one in report.attempts][:3] == ["error: no network"] * 3
    assert len(report.attempts) == 4  # the last needs a pylock.toml, which not every package has
    assert report.step == ""
    assert all(words in report._page() for words in ("COULD NOT RUN", "no network"))


def test_a_report_shows_what_it_quotes_and_runs_none_of_it(package: Path, tmp_path: Path) -> None:
    report = reproduce_package(
        package,
        1,
        "uv",
        yes=True,
        programs=ScriptedPrograms(["uv"], lambda _: Answer(1, "", "no")),
        tell=lambda _: None,
    )
    evil = replace(report, name="<script>alert(1)</script>", attempts=(Attempt("<b>", "<i>"),))

    page = evil.save(tmp_path / "r").with_suffix(".html").read_text()

    assert "<script>" not in page + evil._repr_html_()
    assert "&lt;script&gt;alert(1)" in page


# ---------------------------------------------------------------------------------------------------------- decisions


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_sample_is_spread_over_everything(n: int, k: int) -> None:
    items = [str(place) for place in range(n)]

    found = spread(items, k)

    assert len(found) == len(set(found)) == min(n, k)
    assert found == [item for item in items if item in set(found)]
    if 1 < k <= n:
        gaps = [int(b) - int(a) for a, b in itertools.pairwise(found)]
        assert (found[0], found[-1]) == (items[0], items[-1])
        assert max(gaps) - min(gaps) <= 1
    assert spread(items, None) == items


def test_a_sample_of_none_is_refused() -> None:
    with pytest.raises(PackageError, match="at least 1"):
        spread(["a"], 0)


def test_a_package_sets_no_variables_but_those_that_change_numbers() -> None:
    recorded = {
        "python": {"hash_seed": "17"},
        "variables": {"OMP_NUM_THREADS": "4", "LD_PRELOAD": "evil.so", "PYTHONPATH": "evil", "LC_ALL": "xx_YY"},
        "numeric": {"libraries": [{"num_threads": 2}, {"num_threads": 8}]},
    }

    assert variables_of(recorded) == {
        "OMP_NUM_THREADS": "4",
        "MKL_NUM_THREADS": "8",
        "OPENBLAS_NUM_THREADS": "8",
        "NUMEXPR_NUM_THREADS": "8",
        "PYTHONHASHSEED": "17",
    }
    assert variables_of({"python": {"hash_seed": "random"}}) == {}


def test_the_help_names_the_exit_codes_of_packages() -> None:
    words = " ".join(CliRunner().invoke(main, ["--help"]).output.split())

    for code in ("4 unsafe", "5 incomplete", "6 numbers differ", "7 cannot be checked or run"):
        assert code in words
