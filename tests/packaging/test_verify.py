"""Packages that were damaged, by accident or on purpose: which check notices, and with which exit code."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import sciflow
from sciflow.cli.main import main
from sciflow.errors import PackageError
from sciflow.packaging import layout, standalone
from sciflow.packaging.create import Options, package_of_sweep
from sciflow.packaging.examine import differing
from sciflow.packaging.match import match_environments
from sciflow.packaging.standalone import check_basics, exit_code, opened
from sciflow.packaging.verify import verify_package
from sciflow.provenance.environment import capture_environment
from sciflow.store.directory import SweepDirectory
from sciflow.testing import packages

# what the check without sciflow cannot see: it compares no numbers
ONLY_SCIFLOW = {
    "a result changed, manifests and metadata rewritten",
    "a parameter changed, manifests and metadata rewritten",
}


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> packages.Files:
    return packages.handmade_files(tmp_path_factory.mktemp("good"))


@pytest.fixture(params=["zip", "folder"])
def write(request):
    def to(path: Path, files: packages.Files) -> Path:
        return packages.write_zip(path, files) if request.param == "zip" else packages.write_folder(path, files)

    return to


def run_verifier(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", standalone.__file__, *arguments, str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_good_package_is_good(good, write, tmp_path: Path) -> None:
    path = write(tmp_path / "known_v1", good)

    report = verify_package(path)

    assert report.ok
    assert report.findings == ()
    assert (report.name, report.level, report.exit_code) == ("known_v1", "exact", 0)
    assert report.package_id == packages.sha256(good[layout.TAG_MANIFEST])
    assert "safe, unchanged, complete and consistent" in str(report)
    done = run_verifier(path)
    assert (done.returncode, done.stderr) == (0, "")
    assert report.package_id in done.stdout


def code_of_basics(path: Path) -> int:
    """The exit code by all checks but those of numbers, for which a process is started."""
    with opened(path) as package:
        return exit_code(check_basics(package).findings)


@pytest.mark.parametrize("damage", packages.TAMPERED)
def test_each_damage_is_noticed(damage: str, good, tmp_path: Path) -> None:
    change, code = packages.TAMPERED[damage]
    path = packages.write_zip(tmp_path / "x.zip", change(good))
    of_basics = 0 if damage in ONLY_SCIFLOW else code

    assert code_of_basics(path) == of_basics
    assert run_verifier(path).returncode == of_basics
    if damage in ONLY_SCIFLOW:
        report = verify_package(path)
        assert report.exit_code == code
        assert all(one.what and one.severity == "error" for one in report.errors)


def test_the_verifier_checks_the_folder_that_it_lies_in(good, tmp_path: Path) -> None:
    folder = packages.write_folder(tmp_path / "package", good)

    done = subprocess.run([sys.executable, "verify.py"], cwd=folder, capture_output=True, text=True)
    (folder / layout.TABLE).write_text("variant\n")
    again = subprocess.run([sys.executable, "verify.py"], cwd=folder, capture_output=True, text=True)

    assert (done.returncode, again.returncode) == (0, 4)


def test_the_verifier_is_of_old_pythons_and_of_the_standard_library() -> None:
    text = Path(standalone.__file__).read_text("utf-8")
    tree = ast.parse(text, feature_version=(3, 9))

    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names
    # of what came after 3.9, these are what one writes without noticing
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    assert "slots=True" not in text
    assert "strict=True" not in text


def test_the_verifier_names_things_as_the_rest_does() -> None:
    for name in (
        "RECORD",
        "CRATE",
        "BAGIT",
        "BAG_INFO",
        "MANIFEST",
        "TAG_MANIFEST",
        "FETCH",
        "PAYLOAD",
        "GIT",
        "PATCH",
    ):
        assert getattr(standalone, name) == getattr(layout, name)
    assert standalone.SCHEMA == layout.PACKAGE_SCHEMA
    assert f"{layout.CODE}/" == standalone.CODE
    assert f"{layout.INPUTS}/" == standalone.INPUTS
    assert f"{layout.ARTIFACTS}/" == standalone.ARTIFACTS


@pytest.mark.parametrize("name", ["model.pt", "weights.PTH", "forest.joblib", "thing.pkl"])
def test_a_file_of_a_name_that_pickles_have_is_told_whatever_is_in_it(name: str, good, tmp_path: Path) -> None:
    kept = f"{layout.ARTIFACTS}/v{'0' * 20}/fit/{name}"
    files = packages.in_crate_too({**good, kept: b"PK", f"data/results/{name}": b"PK"})

    with opened(packages.write_zip(tmp_path / "x.zip", files)) as package:
        findings = {one.file: one.severity for one in check_basics(package).findings}

    assert findings == {kept: "warning", f"data/results/{name}": "error"}


@pytest.mark.parametrize("name", [layout.EXACT_REQUIREMENTS, layout.REQUIREMENTS, layout.PYLOCK, layout.CONDA])
def test_every_kind_of_lock_is_one(name: str) -> None:
    assert standalone._LOCK.fullmatch(name)


def test_the_id_that_was_published_tells_a_forged_package(good, tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "x.zip", good)
    published = packages.sha256(good[layout.TAG_MANIFEST])

    assert verify_package(path, expect=published.upper()).ok
    report = verify_package(path, expect="0" * 64)

    assert report.exit_code == 4
    assert "another package" in str(report)
    assert run_verifier(path, "--expect", published).returncode == 0
    assert run_verifier(path, "--expect", "0" * 64).returncode == 4


def test_a_file_that_nobody_vouches_for_is_told(good, tmp_path: Path) -> None:
    report = verify_package(packages.write_zip(tmp_path / "x.zip", {**good, "notes.txt": b"hello"}))

    assert report.ok
    assert [(one.severity, one.file) for one in report.findings] == [("warning", "notes.txt")]


def test_a_newer_format_and_the_first_one_are_told_as_such(good, tmp_path: Path) -> None:
    newer = packages.with_manifests(packages.with_json(good, layout.RECORD, lambda record: record.update(schema=3)))
    first = {"package.json": b'{"format": 1}', "results.csv": b"variant\n"}
    listing = "".join(f"{packages.sha256(content)}  {name}\n" for name, content in first.items()).encode()
    old = {**first, layout.MANIFEST: listing, layout.README: b"#\n"}

    for files, words in ((newer, "schema 3"), (old, "format 1")):
        path = packages.write_zip(tmp_path / "x.zip", files)
        report = verify_package(path)
        assert (report.exit_code, words in str(report)) == (7, True)
        assert run_verifier(path).returncode == 7
    changed = verify_package(packages.write_zip(tmp_path / "x.zip", {**old, "results.csv": b"other\n"}))
    assert changed.exit_code == 4


def test_any_other_zip_is_no_package(tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "x.zip", {"a.txt": b"1"})

    report = verify_package(path)

    assert report.exit_code == 5
    assert "no package of a sweep" in str(report)
    with pytest.raises(PackageError, match="cannot read"):
        verify_package(tmp_path / "none.zip")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["inputs"][0].update(path=None), "nothing says where to get it"),
        (lambda r: r["inputs"][0].update(path=None, sha256=None), "no digest says what it was"),
        (lambda r: r["files"].pop("records"), "names no records"),
        (lambda r: r.update(n_variants=19), "declares 19 variants and counts 18"),
        (lambda r: r["counts"].update(done=15, missing=0), "15"),
        (lambda r: r.update(seed=8), "says seed 8"),
        (lambda r: r["environments"].update(ab="data/environment/ab.json"), "description of an environment"),
    ],
)
def test_a_record_that_does_not_fit_is_told(change, words: str, good, tmp_path: Path) -> None:
    files = packages.with_manifests(packages.with_json(good, layout.RECORD, change))

    path = packages.write_zip(tmp_path / "x.zip", files)

    if words == "says seed 8":
        assert words in str(verify_package(path))
        return
    with opened(path) as package:
        findings = check_basics(package).findings
    assert words in "\n".join(map(str, findings))
    assert exit_code(findings) == (0 if "where to get it" in words else 5)


def test_a_package_of_results_alone_needs_neither_code_nor_locks(good, tmp_path: Path) -> None:
    def results_only(record) -> None:
        record.update(what="results", run={}, inputs=[], code={})
        del record["files"]["code"], record["files"]["requirements"]

    files = packages.with_json(good, layout.RECORD, results_only)
    kept = [name for name in files if name.endswith(".json")]
    bare = packages.without(files, "data/code", "data/inputs", "data/provenance", "data/environment")
    bare |= {name: files[name] for name in kept if name.startswith("data/environment")}
    path = packages.write_zip(tmp_path / "x.zip", packages.in_crate_too(bare))

    assert code_of_basics(path) == 0
    damaged = packages.in_crate_too(packages.without(bare, layout.RESULTS_FILE))
    assert code_of_basics(packages.write_zip(path, damaged)) == 5


@pytest.mark.parametrize("what", ["all", "results", "code"])
def test_an_honest_package_of_any_kind_passes_both_checks(what: str, study: Path, tmp_path: Path) -> None:
    path = package_of_sweep(SweepDirectory.open(study), "packed", Options(what=what)).export(tmp_path)

    report = verify_package(path)
    done = run_verifier(path)

    assert report.errors == ()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.update(files=[]),
        lambda r: r.update(counts="x"),
        lambda r: r["counts"].update(done="6"),
        lambda r: r.update(inputs="x"),
        lambda r: r.update(inputs=[1]),
        lambda r: r["files"].update(results=["a"]),
        lambda r: r.update(run=None),
        lambda r: r.update(code="x"),
        lambda r: r.update(environments=3),
    ],
)
def test_a_record_of_another_shape_is_a_finding_and_no_traceback(change, good, tmp_path: Path) -> None:
    files = packages.with_json(good, layout.RECORD, change)

    with opened(packages.write_zip(tmp_path / "x.zip", packages.in_crate_too(files))) as package:
        basics = check_basics(package)

    assert exit_code(basics.findings) == 5
    assert "that can be read" in "".join(map(str, basics.findings))


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"@graph": NaN}', b'{"@graph": [3, {"@id": 3, "@type": "File"}]}', b""]
)
def test_metadata_that_are_none_are_a_finding_or_say_nothing(content: bytes, good, tmp_path: Path) -> None:
    files = packages.with_manifests({**good, layout.CRATE: content})

    with opened(packages.write_zip(tmp_path / "x.zip", files)) as package:
        assert exit_code(check_basics(package).findings) in {0, 5}


def test_a_description_of_an_environment_that_is_none_is_a_finding(good, tmp_path: Path) -> None:
    name = next(name for name in good if name.startswith("data/environment/") and name.endswith(".json"))
    files = packages.in_crate_too({**good, name: b'{"python": 3, "packages": []}'})

    report = verify_package(packages.write_zip(tmp_path / "x.zip", files))

    assert (report.exit_code, report.environment) == (5, None)
    assert "description of an environment" in str(report)


def test_a_space_that_was_edited_does_not_fit_the_records(good, tmp_path: Path) -> None:
    def edit(definition) -> None:
        text = json.dumps(definition["space"]).replace("0.001", "0.002")
        definition["space"] = json.loads(text)

    files = packages.with_json(good, layout.DEFINITION, edit)
    files = packages.with_json(files, f"{layout.RECORDS}/definition/000001.json", edit)

    report = verify_package(packages.write_zip(tmp_path / "x.zip", packages.in_crate_too(files)))

    assert report.exit_code == 5
    assert "not of the variants that the space has" in str(report)


def test_secrets_homes_local_locks_and_pickles_are_worth_a_look(good, tmp_path: Path) -> None:
    files = packages.in_crate_too(
        {
            **good,
            f"{layout.CODE}/token.py": b"KEY = 'ghp_" + b"a1B2" * 9 + b"'\n",
            layout.REQUIREMENTS: b"tool @ file:///opt/build/tool\n",
            f"{layout.PROVENANCE}/traces.jsonl": b'{"at": "/home/ada/sweeps"}\n',
            f"{layout.ARTIFACTS}/v/model.pkl": b"\x80\x04\x95",
        }
    )

    report = verify_package(packages.write_zip(tmp_path / "x.zip", files))

    assert report.ok
    told = {one.file: one.what for one in report.findings}
    assert "access token, line 1" in told[f"{layout.CODE}/token.py"]
    assert "a1B2" not in str(report)
    assert "machine that it was made on" in told[layout.REQUIREMENTS]
    assert "/home/ada" in told[f"{layout.PROVENANCE}/traces.jsonl"]
    assert "pickle" in told[f"{layout.ARTIFACTS}/v/model.pkl"]


# ---------------------------------------------------------------------------------------------------- environments


def changed(facts, **parts):
    return {**facts, **{key: {**facts[key], **part} for key, part in parts.items()}}


def test_how_near_an_environment_comes_has_four_levels() -> None:
    here = capture_environment()
    here = {
        **here,
        "packages": {**here["packages"], "numpy": "2.1.0"},
        "python": {**here["python"], "version": "3.11.7"},
    }

    def level(**parts):
        return match_environments(changed(here, **parts), here).level

    assert level() == "exact"
    assert level(machine={"cpu": "another"}) == level(system={"kernel": "Linux 1"}) == "equivalent"
    assert level(packages={"numpy": "2.0.9"}) == level(python={"version": "3.11.2"}) == "compatible"
    assert level(packages={"numpy": "1.26.4"}) == level(python={"version": "3.12.7"}) == "different"
    assert level(packages={"absent": "1"}) == "different"


def test_packages_that_are_here_in_addition_are_no_difference() -> None:
    here = capture_environment()

    assert match_environments({**here, "packages": {"numpy": here["packages"]["numpy"]}}, here).level == "exact"


def test_what_may_change_the_last_digits_is_told_apart() -> None:
    here = capture_environment()
    recorded = changed(here, machine={"cpu_level": "x86-64-v9"}, system={"kernel": "Linux 1"})

    match = match_environments(recorded, here)

    assert [one.what for one in match.risks] == ["machine cpu_level"]
    assert "machine cpu_level: x86-64-v9 there" in str(match)
    assert str(match).count("may change the last digits") == 1


def test_another_environment_is_an_error_only_when_asked(good, tmp_path: Path) -> None:
    name = next(name for name in good if name.startswith("data/environment/") and name.endswith(".json"))
    files = packages.with_json(good, name, lambda facts: facts["packages"].update(absent="1.0"))
    path = packages.write_zip(tmp_path / "x.zip", packages.in_crate_too(files))

    relaxed, strict = verify_package(path), verify_package(path, strict_environment=True)

    assert (relaxed.level, relaxed.exit_code) == ("different", 0)
    assert strict.exit_code == 7


# ----------------------------------------------------------------------------------------------------------- cells


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.1, np.nan, np.inf], ["0.1", "", "inf"]),
        ([1, 2**62 + 1], ["1", str(2**62 + 1)]),
        ([True, False], ["True", "False"]),
        (["a", None], ["a", ""]),
        ([1.0, 0.0], ["True", "False"]),
        (np.array(["2020-01-01", "NaT"], "M8[ns]"), ["2020-01-01", ""]),
        (np.array([0.1], np.float32), ["0.1"]),
    ],
)
def test_a_cell_says_what_the_value_is(values, texts) -> None:
    array = values if isinstance(values, np.ndarray) else np.array(values)

    assert not differing(array, np.array(texts)).any()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.1], "0.10000000000000002"),
        ([0.1], ""),
        ([1], ""),
        ([2**62 + 1], str(2**62)),
        ([True], "False"),
        (["a"], "b"),
    ],
)
def test_a_cell_that_says_something_else_is_noticed(values, text: str) -> None:
    assert differing(np.array(values), np.array([text])).all()


# ---------------------------------------------------------------------------------------------------- command line


def test_the_command_line_prints_and_exits_as_the_report_says(good, tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "x.zip", good)
    bad = packages.write_zip(tmp_path / "bad.zip", {**good, "data/more": b"1"})

    fine = CliRunner().invoke(main, ["verify", str(path)])
    data = CliRunner().invoke(main, ["verify", str(bad), "--json"])
    none = CliRunner().invoke(main, ["verify", str(tmp_path / "none.zip")])
    other = CliRunner().invoke(main, ["verify", str(path), "--expect", "12"])

    assert (fine.exit_code, data.exit_code, none.exit_code, other.exit_code) == (0, 4, 2, 4)
    assert "package id" in fine.stdout
    assert json.loads(data.stdout) == verify_package(bad).to_dict()


def test_a_report_shows_itself_in_a_notebook_without_running_what_it_quotes(tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "x.zip", {"<script>alert(1)</script>/../x": b"1"})

    page = verify_package(path)._repr_html_()

    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_the_report_is_a_public_name() -> None:
    assert sciflow.verify_package is verify_package
