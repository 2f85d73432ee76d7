"""The state of the code is with the sweep before its first variant is, and hinders nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest

import sciflow
from sciflow.engine.order import Order
from sciflow.engine.origin import CodeCapture, capture
from sciflow.errors import StoreWriteError
from sciflow.provenance.sources import Sources
from sciflow.store.directory import SweepDirectory

SCRIPT = """
    import os, signal
    import sciflow
    import helper

    def f(a):
        if os.environ.get("DIE"):
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return helper.double(a)

    if __name__ == "__main__":
        workflow = sciflow.ExperimentalWorkflow("known")
        workflow.add_task("f", f)
        workflow.add_parameter_space({"a": [1, 2]})
        cluster = sciflow.LocalCluster(workers=1) if os.environ.get("DIE") else "inline"
        sciflow.Engine(cluster, progress=False).execute_parameter_sweep(workflow)
"""


@pytest.fixture(autouse=True)
def own_configuration(monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "run.py").write_text(textwrap.dedent(SCRIPT))
    (folder / "helper.py").write_text("def double(a):\n    return 2 * a\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "first")
    (folder / "helper.py").write_text("def double(a):\n    return a + a\n")
    return folder


def git(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def run(folder, *words, **variables):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment)


def test_a_sweep_that_is_killed_at_its_first_variant_has_the_code_that_it_ran(tmp_path, project):
    done = run(project, "run.py", DIE="yes")

    assert done.returncode == -9, done.stderr
    sweep = SweepDirectory.open(project / "sweeps" / "known")
    (session,) = sweep.sessions()
    repository = session["code"]["repository"]
    assert "ended" not in session
    with tarfile.open(sweep.path / repository["archive"]["file"]) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert sorted(path.name for path in (tmp_path / "unpacked").iterdir()) == ["helper.py", "run.py"]
    assert (tmp_path / "unpacked" / "helper.py").read_bytes() == (project / "helper.py").read_bytes()
    assert (repository["dirty"], repository["n_untracked"], repository["patch"]["applies"]) == (True, 0, True)
    git(project, "apply", "--reverse", "--check", str(sweep.path / repository["patch"]["file"]))
    places = session["code"]["frozen"]["places"]
    assert places == {
        name: {"tree": repository["tree"], "path": path}
        for name, path in (("__main__/run.py", "run.py"), ("helper.py", "helper.py"))
    }
    assert session["code"]["frozen"]["not_in_tree"] == []
    assert (sweep.path / "code" / session["code"]["tree"] / "helper.py").exists()


def test_a_sweep_inside_the_repository_does_not_change_the_tree_of_the_next(project):
    for text in ("def double(a):\n    return a + a\n", "def double(a):\n    return a * 2\n"):
        (project / "helper.py").write_text(text)
        done = run(project, "-m", "sciflow.cli.main", "run", "run.py", "--on-stale", "rerun")
        assert done.returncode == 0, done.stderr

    first, second = (one["code"] for one in SweepDirectory.open(project / "sweeps" / "known").sessions())

    assert first["repository"]["tree"] != second["repository"]["tree"]
    git(project, "add", "helper.py", "run.py")
    assert second["repository"]["tree"] == git(project, "write-tree")
    assert second["repository"]["n_untracked"] == 0


def test_what_is_submitted_has_its_code_kept_at_once(project, monkeypatch):
    monkeypatch.chdir(project)
    workflow = sciflow.ExperimentalWorkflow("sent")
    workflow.add_task("f", eval(compile("lambda a: a", str(project / "run.py"), "eval")))
    workflow.add_parameter_space({"a": [1]})
    engine = sciflow.Engine("inline", directory=project / "sweeps", progress=False)

    order = Order.of(engine, workflow.validate(), None, {})
    (project / "helper.py").write_text("edited since\n")

    repository = order.origin.code["repository"]
    assert (project / "sweeps" / "sent" / repository["archive"]["file"]).exists()
    assert order.origin.code["tree"] == order.origin.sources.digest
    known = CodeCapture(project, project / "sweeps" / "sent", order.origin.code)
    known.finish()
    known.close()
    assert known.record(Sources()) == order.origin.code


def test_the_sweep_of_a_reduction_leaves_the_files_to_the_one_that_it_reduces(project):
    outer = project / "sweeps" / "outer"
    inner = outer / "reductions" / "inner"
    inner.mkdir(parents=True)
    (outer / "sweep.json").write_text("{}")

    repository = capture(project, inner).facts["repository"]

    assert repository["tree"]
    assert "file" not in repository["archive"]
    assert repository["n_untracked"] == 0
    assert not (inner / "code").exists()


def test_what_cannot_be_kept_is_said_and_the_sweep_goes_on(project, tmp_path, capsys):
    name = git(project, "rev-parse", "HEAD:run.py")
    (project / ".git" / "objects" / name[:2] / name[2:]).unlink()
    capturing = CodeCapture(project, tmp_path / "sweep")

    record = capturing.record(Sources())
    capturing.finish()
    capturing.finish()
    capturing.close()

    assert record["repository"]["tree"]
    assert capsys.readouterr().err.count("sciflow: the files of 'project' are not kept: ") == 1


def test_a_disk_that_refuses_the_code_stops_the_sweep_before_its_first_variant(project, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "code").write_text("in the way")
    capturing = CodeCapture(project, tmp_path / "sweep")

    with pytest.raises(StoreWriteError):
        capturing.record(Sources())
    with pytest.raises(StoreWriteError):
        capturing.finish()
    capturing.close()


def test_nobody_waits_for_a_capture_that_is_no_longer_wanted(project, tmp_path):
    capturing = CodeCapture(project, tmp_path / "sweep")

    capturing.close()

    assert not [*Path(tmp_path / "sweep").rglob("*.tmp")]
    assert capturing.record(Sources())["frozen"]["n_files"] == 0


def test_what_is_submitted_with_minimal_capture_is_not_looked_at_either(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    workflow = sciflow.ExperimentalWorkflow("w")
    workflow.add_task("work", eval(compile("lambda a: a", str(project / "run.py"), "eval")))
    workflow.add_parameter_space({"a": [1]})
    engine = sciflow.Engine("inline", directory=tmp_path / "sweeps", capture="minimal")

    order = Order.of(engine, workflow.validate(), None, {})

    assert order.origin.code == {"repository": None, "capture": "minimal"}
    assert not (tmp_path / "sweeps").exists()
