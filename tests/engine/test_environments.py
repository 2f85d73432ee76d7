"""What variants ran in: recorded by the workers themselves, and told or refused where it is not what the driver has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
import venv
from pathlib import Path

import psutil
import pytest

import sciflow
from sciflow.errors import SweepError
from sciflow.testing.clusters import await_that

ROOT = Path(__file__).parents[2]


def frames_of(path):
    return sciflow.open_results(path)._assembled.snapshot.frames


def run_script(folder, text, python=sys.executable, **environment):
    script = folder / "study.py"
    script.write_text(textwrap.dedent(text))
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([python, script], cwd=folder, env=variables, capture_output=True, text=True, timeout=120)


def test_workers_of_a_kind_share_the_record_of_what_they_see_themselves(tmp_path):
    def square(a):
        import time

        time.sleep(0.05)
        return a * a

    workflow = sciflow.ExperimentalWorkflow("shared")
    workflow.add_task("square", square)
    workflow.add_parameter_space({"a": range(40)})
    results = sciflow.Engine(
        sciflow.LocalCluster(workers=2), directory=tmp_path, progress=False
    ).execute_parameter_sweep(workflow)

    headers = [frame.header for frame in frames_of(tmp_path / "shared")]
    (digest,) = {header["environment"] for header in headers}
    assert len({header["worker"] for header in headers}) == 2
    assert {header["n_cores"] for header in headers} == {len(os.sched_getaffinity(0))}
    record = results.metadata["environments"][digest]
    assert {library["num_threads"] for library in record["numeric"]["libraries"]} == {1}
    assert record["variables"]["OMP_NUM_THREADS"] == "1"
    assert results.environment == record
    assert results.environment_differences() == {}
    assert len(results.metadata["environments"]) == 2  # that of the driver is there too, from before the first variant


def test_libraries_that_a_task_imports_are_in_the_record_of_its_worker(tmp_path):
    done = run_script(
        tmp_path,
        """
        import sciflow
        def solve(a):
            import scipy.linalg
            return float(scipy.linalg.det([[a, 1.0], [1.0, 2.0]]))
        workflow = sciflow.ExperimentalWorkflow("libraries")
        workflow.add_task("solve", solve)
        workflow.add_parameter_space({"a": [1.0, 2.0, 3.0]})
        sciflow.Engine(sciflow.LocalCluster(workers=1), progress=False).execute_parameter_sweep(workflow)
        """,
    )
    assert done.returncode == 0, done.stderr

    sweep = tmp_path / "sweeps" / "libraries"
    records = {path.stem: json.loads(path.read_bytes()) for path in (sweep / "environment").iterdir()}
    ours = records.pop(frames_of(sweep)[0].header["environment"])
    assert len(ours["numeric"]["libraries"]) == 2  # NumPy's, and SciPy's own
    assert [len(other["numeric"]["libraries"]) for other in records.values()] == [1]


def test_a_later_import_is_a_further_record(tmp_path):
    def late(a):
        import time

        if a == 0:
            time.sleep(0.4)  # longer than a commit waits
        else:
            import scipy.linalg  # noqa: F401
        return a

    workflow = sciflow.ExperimentalWorkflow("late")
    workflow.add_task("late", late)
    workflow.add_parameter_space({"a": range(3)})
    cluster = sciflow.LocalCluster(workers=1)
    results = sciflow.Engine(cluster, directory=tmp_path, progress=False).execute_parameter_sweep(workflow)

    environments = results.metadata["environments"]
    n_libraries = [
        len(environments[frame.header["environment"]]["numeric"]["libraries"]) for frame in frames_of(tmp_path / "late")
    ]
    assert sorted({*n_libraries}) == [1, 2]
    assert "numeric.libraries" in results.environment_differences()


def test_a_sweep_that_dies_at_its_first_variant_has_the_drivers_record(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os, signal, sciflow
        def die(a):
            os.kill(os.getpid(), signal.SIGKILL)
        workflow = sciflow.ExperimentalWorkflow("dies")
        workflow.add_task("die", die)
        workflow.add_parameter_space({"a": [1, 2]})
        sciflow.Engine("inline", progress=False).execute_parameter_sweep(workflow)
        """,
    )

    assert done.returncode == -9
    assert sciflow.open_results(tmp_path / "sweeps" / "dies").environment["packages"]["numpy"]


# --------------------------------------------------------------------------------------------------------- mismatches


def interpreter(folder, version):
    """A virtual environment of its own, with a package of this version; all else comes from that of the tests."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "demo.py").write_text(f"VERSION = {version!r}\n")
    (site / f"demo-{version}.dist-info").mkdir()
    (site / f"demo-{version}.dist-info" / "METADATA").write_text(f"Name: demo\nVersion: {version}\n")
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return str(folder / "bin" / "python")


STUDY = """
import sciflow
def which(a):
    import time, pathlib, demo
    pathlib.Path("ran").touch()
    time.sleep(0.1)
    return {{"version": demo.VERSION}}
events = []
workflow = sciflow.ExperimentalWorkflow("mixed")
workflow.add_task("which", which)
workflow.add_parameter_space({{"a": range(30)}})
def tell(event):
    if event.name == "environment.mismatch":
        print("EVENT", event.facts["host"], event.facts["differences"])
engine = sciflow.Engine({address!r}, progress=False, on_event=tell{more})
table = engine.execute_parameter_sweep(workflow).to_dataframe()
print("VERSIONS", *sorted(set(table["version"])))
"""


@pytest.fixture
def other_workers(tmp_path):
    """The address of a scheduler with two workers of another virtual environment."""
    folder = tmp_path / "dask"
    folder.mkdir()
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    python = interpreter(tmp_path / "theirs", "2.0")
    processes = []

    def start(*words):
        with (folder / "log").open("a") as log:
            process = subprocess.Popen(
                [python, "-m", "dask", *words], cwd=tmp_path, env=variables, stdout=log, stderr=log
            )
        processes.append(process)

    file = folder / "scheduler.json"
    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    await_that(lambda: file.exists() and file.read_text().endswith("}"), "the scheduler is up")
    address = json.loads(file.read_text())["address"]
    for _ in range(2):
        words = ("--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(folder))
        start("worker", address, *words)
    await_that(lambda: (folder / "log").read_text().count("Registered to") >= 2, "the workers are there")
    yield address
    for process in reversed(processes):
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
        process.wait()


def test_a_worker_with_another_version_of_a_package_is_told_once_and_recorded(tmp_path, other_workers):
    ours = interpreter(tmp_path / "ours", "1.0")

    done = run_script(tmp_path, STUDY.format(address=other_workers, more=""), ours)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("EVENT") == 1
    assert "'demo': ('1.0', '2.0')" in done.stdout
    assert "VERSIONS 2.0" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if "another environment than the driver" in line]
    assert "demo 2.0 there, 1.0 here" in line
    sweep = tmp_path / "sweeps" / "mixed"
    (log,) = (sweep / "events").iterdir()
    (told,) = [one for one in map(json.loads, log.read_text().splitlines()) if one["name"] == "environment.mismatch"]
    assert told["differences"] == {"demo": ["1.0", "2.0"]}
    headers = [frame.header for frame in frames_of(sweep)]
    assert len({header["worker"] for header in headers}) == 2
    (digest,) = {header["environment"] for header in headers}
    environments = sciflow.open_results(sweep).metadata["environments"]
    assert environments[digest]["packages"]["demo"] == "2.0"
    assert sorted(one["packages"]["demo"] for one in environments.values()) == ["1.0", "2.0"]


def test_a_worker_with_another_version_of_a_package_runs_nothing_when_that_is_an_error(tmp_path, other_workers):
    ours = interpreter(tmp_path / "ours", "1.0")

    done = run_script(tmp_path, STUDY.format(address=other_workers, more=", on_environment_mismatch='error'"), ours)

    assert done.returncode == 1
    assert "EnvironmentMismatchError" in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "demo 2.0 there, 1.0 here" in last
    assert os.uname().nodename in last
    assert str(tmp_path / "theirs" / "bin" / "python") in last
    assert not (tmp_path / "ran").exists()
    assert frames_of(tmp_path / "sweeps" / "mixed") == ()


def test_what_an_engine_does_about_it_is_one_of_two_words():
    with pytest.raises(
        SweepError, match="on_environment_mismatch='ask' is not understood; it is one of 'warn', 'error'"
    ):
        sciflow.Engine(on_environment_mismatch="ask")
