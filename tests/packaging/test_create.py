from __future__ import annotations

import filecmp
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import sciflow
from sciflow.analysis.results import open_results
from sciflow.errors import PackageError
from sciflow.packaging import layout
from sciflow.packaging.create import Options, create_reproducibility_package, package_of_sweep
from sciflow.packaging.scrub import has_absolute_path
from sciflow.report import material
from sciflow.store.directory import SweepDirectory
from sciflow.store.lease import Session
from sciflow.testing.sweeps import (
    ENVIRONMENT,
    known_outcome_sweep,
    known_outcome_workflow,
    record_outcomes,
    train,
)
from sciflow.workflow.workflow import ExperimentalWorkflow

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "ghp_" + "a1B2" * 9  # put together here, so that nobody takes this file for one that has it


def pack(sweep: Path, **options):
    return package_of_sweep(SweepDirectory.open(sweep), "packed", Options(**options))


def unzip(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory):
    return known_outcome_sweep(tmp_path_factory.mktemp("known") / "sweep")


@pytest.fixture(scope="session")
def exported(study: Path, tmp_path_factory: pytest.TempPathFactory):
    package = pack(study, license="CC-BY-4.0", authors=("Ada Lovelace (University)",), title="A study of rates")
    return package.export(tmp_path_factory.mktemp("exported")), package.id


@pytest.fixture(scope="session")
def unpacked(exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unzip(exported[0], tmp_path_factory.mktemp("unpacked") / "in")


@pytest.fixture
def record(unpacked: Path):
    return json.loads((unpacked / layout.RECORD).read_text())


# ------------------------------------------------------------------------------------------------------ what is inside


def test_a_package_is_written_under_its_name_where_there_was_no_folder(known, tmp_path: Path) -> None:
    package = create_reproducibility_package(known.workflow, open_results(known.path), "known_v1", license="MIT")

    assert package.export(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b" / "known_v1.zip"
    assert repr(package).startswith("Package(name='known_v1'")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["known_v1.zip"]


def test_the_same_results_give_the_same_bytes_from_the_workflow_or_the_directory_alone_and_an_hour_later(
    known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = create_reproducibility_package(known.workflow, open_results(known.path), "same", authors="A. Body")
    two = package_of_sweep(SweepDirectory.open(known.path), "same", Options(authors=("A. Body",)))

    first = one.export(tmp_path / "1").read_bytes()
    look = material.read_status
    monkeypatch.setattr(material, "read_status", lambda path: replace(now := look(path), time=now.time + 3600))
    assert two.export(tmp_path / "2").read_bytes() == first
    assert one.id == two.id is not None


def test_whoever_waits_for_a_package_in_a_terminal_sees_what_is_being_done(
    known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "40")
    package_of_sweep(SweepDirectory.open(known.path), None, Options(what="code")).export(tmp_path, progress=True)

    said = [line.strip() for line in terminal.getvalue().replace("\r", "\n").splitlines()]
    steps = ["reading the records", "gathering code, inputs and locks", "looking for secrets", "packing"]
    assert list(filter(None, said))[:4] == steps
    assert "B/s" in terminal.getvalue()


def test_a_package_of_a_copied_sweep_has_the_same_id(study: Path, exported, tmp_path: Path) -> None:
    shutil.copytree(study.parents[1], tmp_path / "copy")
    options = {"license": "CC-BY-4.0", "authors": ("Ada Lovelace (University)",), "title": "A study of rates"}
    package = pack(tmp_path / "copy" / "sweeps" / "study", **options)
    again = unzip(package.export(tmp_path), tmp_path / "again")

    first = unzip(exported[0], tmp_path / "first")
    different = [
        path
        for path in first.rglob("*")
        if path.is_file() and not filecmp.cmp(path, again / path.relative_to(first), shallow=False)
    ]
    assert different == []
    assert package.id == exported[1]


def test_how_a_user_likes_figures_to_look_changes_no_figure_of_a_package(known, tmp_path: Path) -> None:
    liked = {"font.size": 30, "axes.facecolor": "red", "lines.markersize": 20, "savefig.dpi": 50, "axes.grid": True}
    plain = unzip(pack(known.path).export(tmp_path / "1"), tmp_path / "plain")
    with mpl.rc_context({**liked, "timezone": "Asia/Tokyo"}):
        other = unzip(pack(known.path).export(tmp_path / "2"), tmp_path / "other")
        assert mpl.rcParams["font.size"] == 30

    names = [path.name for path in (plain / layout.FIGURES).iterdir()]
    assert {"accuracy_map.png", "accuracy_map.svg", "report.html"} <= set(names)
    same, *different = filecmp.cmpfiles(plain / layout.FIGURES, other / layout.FIGURES, names, shallow=False)
    assert (sorted(same), different) == (sorted(names), [[], []])


def test_inputs_are_found_where_the_sweep_was_run_from_wherever_it_is_packed(
    project: Path, tmp_path: Path, monkeypatch
) -> None:
    folder, elsewhere = tmp_path / "project", tmp_path / "a" / "b" / "c" / "sweeps"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("sweeps"))
    script = (folder / "study.py").read_text()
    (folder / "study.py").write_text(script.replace("progress=False", f"progress=False, directory={str(elsewhere)!r}"))
    environ = {**os.environ, "SCIFLOW_POLICY": "immediate"}
    subprocess.run([sys.executable, "study.py"], cwd=folder, env=environ, check=True)
    monkeypatch.chdir(tmp_path)
    unpacked = unzip(pack(elsewhere / "study").export(tmp_path / "out"), tmp_path / "in")

    assert (unpacked / layout.INPUTS / "input.csv").read_bytes() == (folder / "input.csv").read_bytes()
    assert not any("folder" in json.loads(path.read_text()) for path in unpacked.rglob("sessions/*.json"))


def test_manifests_check_with_the_usual_tool_and_cover_every_file(unpacked: Path, exported) -> None:
    inside = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    listed: set[str] = set()
    for name in (layout.MANIFEST, layout.TAG_MANIFEST):
        subprocess.run(["sha256sum", "--quiet", "--check", "--strict", name], cwd=unpacked, check=True)
        listed |= {line.split("  ", 1)[1] for line in (unpacked / name).read_text().splitlines()}

    assert inside - listed == {layout.TAG_MANIFEST}
    assert hashlib.sha256((unpacked / layout.TAG_MANIFEST).read_bytes()).hexdigest() == exported[1]


def test_the_payload_is_counted(unpacked: Path) -> None:
    files = [path for path in (unpacked / "data").rglob("*") if path.is_file()]
    info = (unpacked / layout.BAG_INFO).read_text()

    assert f"Payload-Oxum: {sum(path.stat().st_size for path in files)}.{len(files)}\n" in info


def test_the_crate_describes_every_file_of_the_payload_as_it_is(unpacked: Path) -> None:
    graph = {one["@id"]: one for one in json.loads((unpacked / layout.CRATE).read_text())["@graph"]}

    for path in (unpacked / "data").rglob("*"):
        if path.is_file():
            entity = graph[str(path.relative_to(unpacked))]
            assert entity["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    files = {unquote(identity) for identity, one in graph.items() if "File" in one["@type"]}
    assert all((unpacked / name).is_file() for name in files)
    referenced = {part["@id"] for part in graph["./"]["hasPart"] + graph["./"]["mentions"]}
    assert referenced <= graph.keys()


def test_each_variant_is_an_action_and_failed_ones_say_why(unpacked: Path, study: Path) -> None:
    graph = json.loads((unpacked / layout.CRATE).read_text())["@graph"]
    actions = {one["@id"][1:]: one for one in graph if one["@id"].startswith("#v") and one["@type"] == "CreateAction"}
    table = open_results(study).to_dataframe()

    assert actions.keys() == set(table.index)
    failed = {identity for identity, one in actions.items() if one["actionStatus"].endswith("FailedActionStatus")}
    assert failed == set(table.index[table.status == "failed"])
    assert all("bad rate" in actions[identity]["error"] for identity in failed)


def test_the_code_that_ran_is_inside_and_its_script_stands_at_the_root(unpacked: Path, project: Path, record) -> None:
    assert record["run"] == {"script": "study.py", "workflow": "study"}
    for name in ("study.py", "helper.py"):
        assert (unpacked / layout.CODE / name).read_bytes() == (project / name).read_bytes()
    patch = (unpacked / layout.PATCH).read_text()
    assert "+# changed" in patch
    assert record["code"]["commit"] in (unpacked / layout.GIT).read_text()
    assert "Do as you like." in (unpacked / layout.LICENSE).read_text()


def test_inputs_artifacts_and_results_are_inside(unpacked: Path, study: Path, record) -> None:
    (entry,) = record["inputs"]
    assert (unpacked / entry["path"]).read_text() == "a,b\n1,2\n"
    kept = sorted(path.read_text() for path in (unpacked / layout.ARTIFACTS).rglob("note.txt"))
    assert kept == ["rate 1", "rate 1", "rate 2", "rate 2"]
    assert record["counts"] == {"done": 4, "failed": 2, "missing": 0}
    traces = [json.loads(line) for line in (unpacked / layout.TRACES).read_text().splitlines()]
    assert [one["variant"] for one in traces] == list(open_results(study).to_dataframe().index)
    assert {one["attempt"] for one in traces} == {1}
    assert "bad rate" in (unpacked / layout.FAILURES).read_text()


def test_results_open_with_plain_tools_as_the_readme_says(unpacked: Path, monkeypatch) -> None:
    text = (unpacked / "README.md").read_text()
    (code,) = (part.partition("```")[0] for part in text.split("```python\n")[1:])
    monkeypatch.chdir(unpacked)
    names: dict = {}
    exec(code, names)

    table, dataset = names["table"], names["dataset"]
    assert isinstance(table, pd.DataFrame)
    assert isinstance(dataset, xr.Dataset)
    assert table.status.value_counts().to_dict() == {"done": 4, "failed": 2}
    assert float(dataset.energy.sel(n=4, rate=2)) == table.query("n == 4 and rate == 2").energy.item() == 24.0
    dataset.close()


def test_the_readme_has_the_headings_of_badges_and_four_commands(unpacked: Path) -> None:
    text = (unpacked / "README.md").read_text()

    for heading in ("Artifact available", "Artifact functional", "Results reproduced", "Supported environments"):
        assert f"# {heading}" in text
    for command in ("sha256sum", "sciflow verify packed.zip", "reproduce packed.zip --sample 5", "packed.zip --all"):
        assert command in text
    assert "4 done, 2 failed" in text
    assert "CC-BY-4.0" in text


def test_no_text_of_ours_names_a_place_on_this_machine(unpacked: Path, project: Path) -> None:
    for path in unpacked.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(project).encode() not in content, path
            # the user's own words in failures too: results.h5, records and tables have them
            if layout.CODE not in str(path):
                assert b"/home/somebody" not in content, path
    for name in (layout.DEFINITION, layout.GIT, layout.TRACES, layout.EXACT_REQUIREMENTS, layout.RECORD):
        assert not has_absolute_path((unpacked / name).read_text()), name


def test_there_is_no_pickle_and_those_of_users_are_listed(study: Path, tmp_path: Path, unpacked: Path) -> None:
    shutil.copytree(study, tmp_path / "study")
    folder = next((tmp_path / "study" / "artifacts").iterdir())
    (folder / "model.pkl").write_bytes(b"\x80\x04N.")
    path = pack(tmp_path / "study").export(tmp_path)

    with zipfile.ZipFile(path) as archive:
        listed = json.loads(archive.read(layout.RECORD))["pickles"]
        assert listed == [f"{layout.ARTIFACTS}/{folder.name}/model.pkl"]
        assert f"- `{listed[0]}`" in archive.read("README.md").decode()
    assert not [path for path in unpacked.rglob("*") if path.suffix in {".pkl", ".pickle"}]


def test_a_table_stands_for_the_variants_of_a_large_sweep(tmp_path: Path) -> None:
    workflow = ExperimentalWorkflow("large")
    workflow.add_task("f", lambda k: {"y": k})
    workflow.add_parameter_space({"k": range(layout.MOST_VARIANTS_WITH_ACTIONS + 1)})
    record_outcomes(tmp_path / "s", workflow, lambda v: {"y": float(v["k"])})

    with zipfile.ZipFile(pack(tmp_path / "s").export(tmp_path)) as archive:
        graph = json.loads(archive.read(layout.CRATE))["@graph"]
    actions = [one["@id"] for one in graph if one["@type"] == "CreateAction"]
    assert sorted(actions) == ["#sweep", "#variants"]


# ------------------------------------------------------------------------------------------------------------ choices


def test_only_results_or_only_code_can_be_packed(study: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(pack(study, what="results").export(tmp_path / "r")) as archive:
        results = set(archive.namelist())
    with zipfile.ZipFile(pack(study, what="code").export(tmp_path / "c")) as archive:
        code = set(archive.namelist())

    def has(names, folder):
        return any(name.startswith(f"{folder}/") for name in names)

    assert has(results, layout.RECORDS)
    assert not has(results, layout.CODE)
    assert layout.PATCH not in results
    assert has(code, layout.CODE)
    assert layout.EXACT_REQUIREMENTS in code
    assert not has(code, layout.RECORDS)
    assert not has(code, layout.RESULTS)
    with pytest.raises(PackageError, match="what='both' is unknown"):
        pack(study, what="both")


@pytest.mark.parametrize("query", ["rate < 3", "energy > 30", "n == 4 and status != 'missing'"])
def test_some_variants_can_be_packed_as_if_there_were_no_others(study: Path, tmp_path: Path, query: str) -> None:
    expected = open_results(study).query(query)
    path = pack(study, query=query).export(tmp_path)

    packed = sciflow.open_package(path)
    table = packed.results.to_dataframe()
    assert set(table.index) == set(expected.index)
    columns = ["n", "rate", "status", "energy", "label"]
    pd.testing.assert_frame_equal(table.loc[expected.index, columns], expected[columns], check_dtype=False)
    assert packed.record["query"] == query
    assert packed.record["counts"]["missing"] == 0
    variants = {name.split("/")[2] for name in packed.files if name.startswith(layout.ARTIFACTS)}
    assert variants <= set(expected.index)


def test_variants_that_nobody_ran_make_no_package(study: Path) -> None:
    with pytest.raises(PackageError, match="no variant for which 'rate > 9' holds"):
        pack(study, query="rate > 9")


def test_an_anonymous_package_names_nobody(study: Path, tmp_path: Path) -> None:
    host = open_results(study).metadata["sessions"][0]["host"]
    path = pack(study, anonymise=True, authors=("Ada Lovelace",)).export(tmp_path)
    folder = unzip(path, tmp_path / "in")

    for one in folder.rglob("*"):
        if one.is_file():
            content = one.read_bytes()
            assert b"Lovelace" not in content, one
            assert f'"{host}"'.encode() not in content, one
            assert f'"{host}:'.encode() not in content, one
    assert json.loads((folder / layout.RECORD).read_text())["authors"] == []
    assert json.loads((folder / layout.GIT).read_text())["repository"]["name"] == "repository"


# ----------------------------------------------------------------------------------------------------------- refusals


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


def test_a_secret_in_the_code_or_the_patch_stops_the_export(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "study")
    helper = next((tmp_path / "study" / "code").glob("*/helper.py"))
    helper.write_text(f"A = 1\nTOKEN = '{TOKEN}'\n")

    with pytest.raises(PackageError, match=r"data/code/helper\.py:2: access token") as caught:
        pack(tmp_path / "study").export(tmp_path / "out")
    assert TOKEN not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []
    assert pack(tmp_path / "study", allow_secrets=("code/helper.py:2",)).export(tmp_path / "out").exists()
    patch = next((tmp_path / "study" / "code").glob("*.patch"))
    helper.write_text("A = 1\n")
    patch.write_text(patch.read_text() + f"+{TOKEN}\n")
    with pytest.raises(PackageError, match=r"uncommitted\.patch:\d+: access token"):
        pack(tmp_path / "study").export(tmp_path / "out")


# ------------------------------------------------------------------------------------------------ while others write


def test_a_package_holds_what_was_committed_before_it_is_exported(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    record_outcomes(tmp_path / "s", workflow, lambda v: train(**v) if v["layers"] == 1 else None)
    package = create_reproducibility_package(workflow, open_results(tmp_path / "s"), "p")
    other = {**ENVIRONMENT, "packages": {"numpy": "2.2.0"}}
    record_outcomes(tmp_path / "s", workflow, lambda v: train(**v) if v["layers"] == 2 else None, environment=other)

    folder = unzip(package.export(tmp_path), tmp_path / "in")

    table = pd.read_csv(folder / layout.TABLE)
    with xr.open_dataset(folder / layout.RESULTS_FILE, engine="h5netcdf") as dataset:
        assert int((dataset.status == 1).sum()) == (table.status == "done").sum() == 12
    record = json.loads((folder / layout.RECORD).read_text())
    assert json.loads((folder / record["files"]["environment"]).read_text()) == other
    assert len(record["environments"]) == 2


def test_a_package_of_a_sweep_that_runs_is_a_snapshot_and_says_so(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    directory = record_outcomes(tmp_path / "s", workflow, lambda v: train(**v) if v["layers"] == 1 else None)
    with Session.acquire(directory):
        path = package_of_sweep(directory, "p", Options()).export(tmp_path)
    later = package_of_sweep(directory, "q", Options()).export(tmp_path)

    packed = sciflow.open_package(path)
    assert packed.record["running"] is True
    assert packed.record["counts"] == {"done": 6, "failed": 0, "missing": 12}
    assert "still ran when this was packed" in packed.read("README.md").decode()
    assert sciflow.open_package(later).record["running"] is False


EXPORT = """
import sys
from sciflow.packaging.create import Options, package_of_sweep
from sciflow.store.directory import SweepDirectory
from sciflow.errors import PackageError
try:
    package_of_sweep(SweepDirectory.open(sys.argv[1]), "full", Options()).export(sys.argv[2])
except PackageError as error:
    print(error)
    sys.exit(5)
"""


@pytest.mark.parametrize("limit", [8 << 10, 100 << 10])
def test_a_full_disk_leaves_nothing_behind(study: Path, tmp_path: Path, limit: int) -> None:
    """A limit on the size of files is what a full disk is to the writer: some write fails."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "full.zip").write_bytes(b"old")

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-c", EXPORT, str(study), str(out)],
        preexec_fn=limited,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 5, done.stderr
    assert "cannot write the package" in done.stdout
    assert [path.name for path in out.iterdir()] == ["full.zip"]
    assert (out / "full.zip").read_bytes() == b"old"


def test_a_place_that_cannot_be_written_is_named(known, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(PackageError, match=r"cannot write the package .*packed\.zip"):
        pack(known.path).export(tmp_path / "file")


# --------------------------------------------------------------------------------------------------- which code it was


# other tests are imported here too, and frozen as code of the user, with secrets made up for them
TESTS = ["data/code/tests/*"]


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
    newer = create_reproducibility_package(workflow, results, "one", variants="not stale", allow_secrets=TESTS)
    one = newer.export(tmp_path)
    table = sciflow.open_package(one).results.to_dataframe()
    assert sorted(table.y) == [1000, 1001, 1002]
    workflow, results = run(tmp_path, new)
    create_reproducibility_package(workflow, results)


def test_a_package_of_results_that_were_kept_names_the_code_that_made_them(tmp_path: Path) -> None:
    _, made = run(tmp_path, old)
    first = SweepDirectory.open(made.directory)
    tree = first.sessions()[0]["code"]["tree"]
    workflow, results = run(tmp_path, new, on_stale="keep")
    package = create_reproducibility_package(workflow, results, allow_secrets=TESTS)
    packed = sciflow.open_package(package.export(tmp_path))

    definition = json.loads(packed.read(layout.DEFINITION))
    assert definition["fingerprints"] == first.definitions()[0]["fingerprints"]
    assert packed.record["code"]["frozen"] == tree
    assert "stale" not in packed.results.to_dataframe()
    assert np.array_equal(sorted(packed.results.to_dataframe().y), range(10))


def test_only_environments_that_results_come_from_are_listed(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    others = [{**ENVIRONMENT, "packages": {"numpy": version}} for version in ("2.2.0", "2.3.0")]
    record_outcomes(tmp_path / "s", workflow, lambda _: None, environment=others[0])
    record_outcomes(tmp_path / "s", workflow, lambda v: train(**v) if v["layers"] == 1 else None)

    def listed() -> list[str]:
        packed = sciflow.open_package(pack(tmp_path / "s").export(tmp_path))
        facts = [json.loads(packed.read(name)) for name in packed.record["environments"].values()]
        return [one["packages"]["numpy"] for one in facts]

    assert listed() == ["2.1.0"]
    record_outcomes(tmp_path / "s", workflow, lambda v: train(**v) if v["layers"] == 2 else None, environment=others[1])
    assert listed() == ["2.3.0", "2.1.0"]


def test_a_package_says_how_far_numbers_may_differ_when_they_are_computed_again(tmp_path: Path) -> None:
    workflow = known_outcome_workflow()
    workflow.set_tolerance("accuracy", rtol=1e-3)
    record_outcomes(tmp_path / "s", workflow, lambda v: train(**v) if v["layers"] == 1 else None)
    packed = sciflow.open_package(pack(tmp_path / "s").export(tmp_path))

    assert packed.record["tolerances"] == {"accuracy": {"rtol": 1e-3, "atol": 0.0}}
    assert json.loads(packed.read(layout.DEFINITION))["tolerances"] == packed.record["tolerances"]
    assert "| rtol 0.001, atol 0.0 |" in packed.read(layout.README).decode()
