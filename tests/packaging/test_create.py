from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import xarray as xr

import sciflow
from sciflow.analysis.results import open_results
from sciflow.errors import PackageError
from sciflow.packaging.create import create_reproducibility_package
from sciflow.store.directory import SweepDirectory
from sciflow.testing.sweeps import (
    CODE,
    ENVIRONMENT,
    known_outcome_sweep,
    known_outcome_workflow,
    record_outcomes,
    train,
)
from sciflow.workflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory):
    return known_outcome_sweep(tmp_path_factory.mktemp("known") / "sweep")


@pytest.fixture(scope="session")
def package(known):
    return create_reproducibility_package(
        known.workflow, open_results(known.path), "known_v1", license="CC-BY-4.0", authors="A. Body"
    )


@pytest.fixture(scope="session")
def unpacked(package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(package.export(folder)) as archive:
        archive.extractall(folder / "in")
    return folder / "in"


def test_a_package_is_written_under_its_name_where_there_was_no_folder(package, tmp_path: Path) -> None:
    path = package.export(str(tmp_path / "a" / "b"))

    assert path == tmp_path / "a" / "b" / "known_v1.zip"
    with zipfile.ZipFile(path) as archive:
        assert tuple(archive.namelist()) == package.files


def test_the_same_results_give_the_same_bytes(package, known, tmp_path: Path) -> None:
    again = create_reproducibility_package(
        known.workflow, open_results(known.path), "known_v1", license="CC-BY-4.0", authors=["A. Body"]
    )

    assert package.export(tmp_path / "1").read_bytes() == again.export(tmp_path / "2").read_bytes()


def test_a_package_of_the_same_name_is_replaced(package, tmp_path: Path) -> None:
    (tmp_path / "known_v1.zip").write_bytes(b"old")

    assert zipfile.is_zipfile(package.export(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["known_v1.zip"]


def test_the_manifest_checks_with_the_usual_tool(unpacked: Path) -> None:
    lines = (unpacked / "manifest-sha256.txt").read_text().splitlines()
    listed = dict(reversed(line.split("  ")) for line in lines)

    inside = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert set(listed) == inside - {"README.md", "manifest-sha256.txt"}
    for name, digest in listed.items():
        assert hashlib.sha256((unpacked / name).read_bytes()).hexdigest() == digest
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", "manifest-sha256.txt"], cwd=unpacked, check=True)


def test_the_readme_names_every_file_and_the_digest_of_the_manifest(unpacked: Path, package) -> None:
    text = (unpacked / "README.md").read_text()

    for name in package.files:
        assert f"| `{name}` |" in text
    assert hashlib.sha256((unpacked / "manifest-sha256.txt").read_bytes()).hexdigest() in text
    assert "14 done, 3 failed, 1 missing" in text
    assert "A. Body" in text
    assert "CC-BY-4.0" in text


def test_results_open_with_plain_tools_as_the_readme_says(unpacked: Path, known, monkeypatch) -> None:
    text = (unpacked / "README.md").read_text()
    (code,) = (part.partition("```")[0] for part in text.split("```python\n")[1:])
    monkeypatch.chdir(unpacked)
    names: dict = {}
    exec(code, names)

    table, dataset = names["table"], names["dataset"]
    assert isinstance(table, pd.DataFrame)
    assert isinstance(dataset, xr.Dataset)
    assert table.status.value_counts().to_dict() == {"done": 14, "failed": 3, "missing": 1}
    best = {"learning_rate": 0.01, "layers": 2}
    assert float(dataset.accuracy.sel(best).mean()) == pytest.approx(known.best_accuracy)
    assert table.query("learning_rate == 0.01 and layers == 2").accuracy.mean() == pytest.approx(known.best_accuracy)
    dataset.close()


def test_what_was_recorded_is_inside(unpacked: Path) -> None:
    def read(name: str):
        return json.loads((unpacked / name).read_text())

    assert read("environment.json") == ENVIRONMENT
    assert read("definition.json")["tasks"][0]["name"] == "train"
    assert read("sweep.json")["seed"] == 7
    assert read("package.json")["code"] == CODE
    assert read("package.json")["counts"] == {"done": 14, "failed": 3, "missing": 1}
    assert "numpy==2.1.0\n" in (unpacked / "requirements.txt").read_text()
    assert (unpacked / "code" / "train.py").read_text().startswith("def train(")


def test_the_name_is_the_workflows_unless_another_is_given(known) -> None:
    package = create_reproducibility_package(known.workflow, open_results(known.path))

    assert package.name == "known_outcome"
    assert repr(package) == "Package(name='known_outcome')"


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", ".hidden", "a\\b", "a\nb", 3])
def test_a_name_that_cannot_name_a_file_is_refused(known, name) -> None:
    with pytest.raises(PackageError, match="cannot name a file"):
        create_reproducibility_package(known.workflow, open_results(known.path), name)


def test_results_of_another_workflow_are_refused(known) -> None:
    other = known_outcome_workflow()
    other.add_parameter("extra", [1], default=1)
    with pytest.raises(PackageError, match=r"not of the workflow 'known_outcome' as it is now \(what differs: space\)"):
        create_reproducibility_package(other, open_results(known.path))
    named = ExperimentalWorkflow("named", seed=7)
    named.add_task("train", train)
    named.add_parameter_space(known.workflow.space)
    with pytest.raises(PackageError, match="what differs: name, tasks"):
        create_reproducibility_package(named, open_results(known.path))


def test_what_does_not_change_results_may_differ(known) -> None:
    workflow = known_outcome_workflow()
    workflow.set_scheduling_policy("off_peak", {"preferred_hours": "22:00-08:00"})
    workflow.add_visualization(
        "more", {"type": "heatmap", "x_axis": "layers", "y_axis": "replicate", "value": "energy"}
    )

    assert create_reproducibility_package(workflow, open_results(known.path)).name == "known_outcome"


def test_a_workflow_that_is_not_complete_is_refused(known) -> None:
    with pytest.raises(PackageError, match=r"is not complete: .*no tasks"):
        create_reproducibility_package(ExperimentalWorkflow("known_outcome", seed=7), open_results(known.path))


def test_a_sweep_without_results_is_refused(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    SweepDirectory.create_or_open(tmp_path / "new", workflow.name, workflow.seed)
    with pytest.raises(PackageError, match="nothing is recorded"):
        create_reproducibility_package(workflow, open_results(tmp_path / "new"))
    record_outcomes(tmp_path / "planned", workflow, lambda _: None)
    with pytest.raises(PackageError, match="nothing is recorded"):
        create_reproducibility_package(workflow, open_results(tmp_path / "planned"))


def test_a_package_holds_what_was_committed_since_the_results_were_opened(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    record_outcomes(tmp_path / "s", workflow, lambda v: train(**v) if v["layers"] == 1 else None)
    results = open_results(tmp_path / "s")
    create_reproducibility_package(workflow, results)
    other = {**ENVIRONMENT, "packages": {"numpy": "2.2.0"}}
    record_outcomes(tmp_path / "s", workflow, lambda v: train(**v) if v["layers"] == 2 else None, environment=other)

    package = create_reproducibility_package(workflow, results)
    with zipfile.ZipFile(package.export(tmp_path)) as archive:
        archive.extractall(tmp_path / "in")

    table = pd.read_csv(tmp_path / "in" / "results.csv")
    with xr.open_dataset(tmp_path / "in" / "results.h5", engine="h5netcdf") as dataset:
        assert int((dataset.status == 1).sum()) == (table.status == "done").sum() == 12
    assert json.loads((tmp_path / "in" / "environment.json").read_text()) == other
    assert len(list((tmp_path / "in" / "environments").iterdir())) == 2


def test_a_place_that_cannot_be_written_is_named(package, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(PackageError, match=r"cannot write the package .*known_v1\.zip"):
        package.export(tmp_path / "file")


def test_results_that_cannot_be_consolidated_are_told(tmp_path: Path) -> None:
    sweep = known_outcome_sweep(tmp_path / "s")
    results = open_results(sweep.path)
    (sweep.path / "results.h5").mkdir()

    with pytest.raises(PackageError, match="the results cannot be packed: cannot write"):
        create_reproducibility_package(sweep.workflow, results)


def old(k):
    return {"y": k}


def new(k):
    return {"y": 1000 + k}


def run(path: Path, function, *, on_stale="rerun", only: str | None = None):
    workflow = ExperimentalWorkflow("mix")
    workflow.add_task("f", function)
    workflow.add_parameter_space({"k": range(10)})
    engine = sciflow.Engine("inline", directory=path, progress=False, on_stale=on_stale)
    return workflow, engine.execute_parameter_sweep(workflow, only=only)


def test_results_of_two_codes_are_not_packed_as_if_one_had_made_them(tmp_path: Path) -> None:
    run(tmp_path, old)
    workflow, results = run(tmp_path, new, only="k < 3")

    words = (
        r"not made by the same code and inputs: 7 by revision 1 of the definition and 3 by today's; .*--on-stale rerun"
    )
    with pytest.raises(PackageError, match=words):
        create_reproducibility_package(workflow, results)
    workflow, results = run(tmp_path, new)
    create_reproducibility_package(workflow, results)


def test_a_package_of_results_that_were_kept_names_the_code_that_made_them(tmp_path: Path) -> None:
    _, made = run(tmp_path, old)
    workflow, results = run(tmp_path, new, on_stale="keep")
    with zipfile.ZipFile(create_reproducibility_package(workflow, results).export(tmp_path)) as archive:
        definition = json.loads(archive.read("definition.json"))
        readme = archive.read("README.md").decode()
        names = archive.namelist()

    assert definition["fingerprints"] == SweepDirectory.open(made.directory).definitions()[0]["fingerprints"]
    assert "left out, it was changed after the sweep ran" in readme
    assert "code/f.py" not in names


def test_only_environments_that_results_come_from_are_listed(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    others = [{**ENVIRONMENT, "packages": {"numpy": version}} for version in ("2.2.0", "2.3.0")]
    record_outcomes(tmp_path / "s", workflow, lambda _: None, environment=others[0])
    record_outcomes(tmp_path / "s", workflow, lambda v: train(**v) if v["layers"] == 1 else None)
    with zipfile.ZipFile(
        create_reproducibility_package(workflow, open_results(tmp_path / "s")).export(tmp_path)
    ) as archive:
        assert not [name for name in archive.namelist() if name.startswith("environments/")]
    record_outcomes(tmp_path / "s", workflow, lambda v: train(**v) if v["layers"] == 2 else None, environment=others[1])
    with zipfile.ZipFile(
        create_reproducibility_package(workflow, open_results(tmp_path / "s")).export(tmp_path)
    ) as archive:
        listed = [json.loads(archive.read(name)) for name in archive.namelist() if name.startswith("environments/")]

    assert sorted(one["packages"]["numpy"] for one in listed) == ["2.1.0", "2.3.0"]
