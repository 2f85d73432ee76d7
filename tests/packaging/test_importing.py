from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
import xarray as xr
from click.testing import CliRunner

import sciflow
from sciflow.cli.main import main
from sciflow.errors import PackageError
from sciflow.packaging import layout
from sciflow.packaging.create import Options, package_of_sweep
from sciflow.packaging.importing import import_package
from sciflow.store.directory import SweepDirectory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def package(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_of_sweep(SweepDirectory.open(study), "packed", Options()).export(tmp_path_factory.mktemp("package"))


def run(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "sciflow.cli.main", "run", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode in {0, 3}, done.stderr
    return done.stdout + done.stderr


def test_an_imported_sweep_says_what_its_original_says(package: Path, study: Path, tmp_path: Path) -> None:
    made = import_package(package, tmp_path / "sweeps")

    assert made.path == tmp_path / "sweeps" / "study"
    mine, theirs = sciflow.open_results(study), sciflow.open_results(made.path)
    # the words of failures lost their paths
    xr.testing.assert_identical(mine.dataset.drop_vars("failure").load(), theirs.dataset.drop_vars("failure").load())
    assert [path.name for path in (tmp_path / "sweeps").iterdir()] == ["study"]
    assert {path.name for path in made.path.glob("artifacts/*")} == {path.name for path in study.glob("artifacts/*")}
    for path in study.glob("code/*/**/*.py"):
        assert (made.path / path.relative_to(study)).read_bytes() == path.read_bytes()


def test_an_imported_sweep_goes_on_and_can_be_extended(package: Path, tmp_path: Path) -> None:
    made = import_package(package, tmp_path / "sweeps")
    assert made.script == "study.py"
    assert made.project is not None
    before = SweepDirectory.open(made.path).snapshot().n_variants

    run(made.project, made.script, "--directory", "../..")
    assert SweepDirectory.open(made.path).snapshot().n_variants == before  # nothing was to be done
    script = made.project / made.script
    script.write_text(script.read_text().replace('"rate": [1, 2, 3]', '"rate": [1, 2, 3, 5]'))
    run(made.project, made.script, "--directory", "../..")

    results = sciflow.open_results(made.path)
    assert SweepDirectory.open(made.path).snapshot().n_variants == before + 2
    assert results.status() == {"done": 6, "failed": 2, "missing": 0}
    assert results.get_metric({"n": 4, "rate": 5}, "energy") == 60.0


def test_a_package_of_an_imported_sweep_names_the_package_it_is_based_on(study: Path, tmp_path: Path) -> None:
    options = Options(license="CC-BY-4.0", authors=("Ada Lovelace",))
    first = package_of_sweep(SweepDirectory.open(study), "first", options)
    imported = import_package(first.export(tmp_path), tmp_path / "sweeps")
    second = package_of_sweep(SweepDirectory.open(imported.path), "second", Options())
    path = second.export(tmp_path)

    with zipfile.ZipFile(path) as archive:
        record = json.loads(archive.read(layout.RECORD))
        words = archive.read(layout.README).decode()
        crate = json.loads(archive.read(layout.CRATE))
    assert record["based_on"]["package_id"] == first.id
    assert record["based_on"]["authors"] == ["Ada Lovelace"]
    assert f"Based on: package `first` by Ada Lovelace, with 6 variants, under CC-BY-4.0 (id {first.id})" in words
    assert next(one for one in crate["@graph"] if one["@id"] == "./")["isBasedOn"] == {"@id": "#based-on"}
    assert "no licence is stated, so nobody may reuse it; --license CC-BY-4.0, say" in second.notes
    assert sciflow.verify_package(path).ok


def test_what_is_there_is_not_overwritten(package: Path, tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()

    with pytest.raises(PackageError, match="is there already"):
        import_package(package, tmp_path)
    assert list((tmp_path / "study").iterdir()) == []
    assert import_package(package, tmp_path, name="other").path == tmp_path / "other"


def test_a_damaged_package_is_not_imported(package: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.zip"
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(damaged, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry, content.replace(b"24.0", b"25.0") if entry.filename == layout.TABLE else content)

    with pytest.raises(PackageError, match="is not whole, and was not imported"):
        import_package(damaged, tmp_path / "sweeps")
    assert not (tmp_path / "sweeps").exists()


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden"])
def test_a_name_that_leads_elsewhere_is_refused(package: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(PackageError, match="cannot name a folder"):
        import_package(package, tmp_path / "sweeps", name=name)


def test_commands_pack_and_import(study: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    packed = CliRunner().invoke(main, ["package", str(study), "-o", "out", "--name", "by_hand", "--author", "A. Body"])
    assert packed.exit_code == 0, packed.output
    path, id_ = packed.stdout.splitlines()
    assert path.startswith("out/by_hand.zip (")
    told = json.loads(CliRunner().invoke(main, ["package", str(study), "--name", "x", "--json"]).stdout)
    assert told["path"] == "x.zip"
    assert id_.removeprefix("package id ") != told["id"]  # another name, another package

    brought = CliRunner().invoke(main, ["import", "out/by_hand.zip"])
    assert brought.exit_code == 0, brought.output
    assert "sweeps/study: 4 done, 2 failed, 0 missing" in brought.output
    assert "cd sweeps/study/project && sciflow run study.py --directory ../.." in brought.output
    again = CliRunner().invoke(main, ["import", "out/by_hand.zip", "--json"])
    assert again.exit_code == 1
    assert "is there already" in again.output


def test_a_secret_is_told_by_the_command_with_its_place(study: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(study, tmp_path / "study")
    helper = next((tmp_path / "study" / "code").glob("*/helper.py"))
    helper.write_text("KEY = '" + "AKIA" + "ABCDEFGH12345678'\n")

    refused = CliRunner().invoke(main, ["package", "study", "--what", "code"])
    assert refused.exit_code == 1
    assert "data/code/helper.py:1: AWS access key" in refused.output
    allowed = CliRunner().invoke(main, ["package", "study", "--what", "code", "--allow-secret", "helper.py:1"])
    assert allowed.exit_code == 0
