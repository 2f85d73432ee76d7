"""sciflow doctor: what it finds, what it says about it, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sciflow.batch.pbs import Pbs
from sciflow.batch.system import Job
from sciflow.engine.disk import kind_of
from sciflow.engine.probe import TOKEN, Probe
from sciflow.planning.batch import Batch
from sciflow.testing.batch import await_that
from sciflow.testing.pbs import FakePbs
from sciflow.testing.pbs_records import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Sciflow

ON_A_NODE = {"job", "software", "shared", "network", "clocks", "cores", "scratch", "controller"}


@pytest.fixture(autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for keys of this test alone."""
    folder = tmp_path_factory.mktemp("keys")
    folder.chmod(0o700)
    monkeypatch.setenv("SCIFLOW_KEYS", str(folder))
    monkeypatch.delenv("SCIFLOW_SITE", raising=False)
    return folder


@pytest.fixture
def pbs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePbs]:
    """A PBS of one core."""
    with FakePbs(tmp_path_factory.mktemp("pbs"), Settings(n_cores=1)) as pbs:
        monkeypatch.setenv("PATH", pbs.environ()["PATH"])
        yield pbs


def looked_at(sciflow: Sciflow, *arguments: str, expect: int = 0) -> dict[str, dict[str, Any]]:
    """The checks of ``sciflow doctor --json`` by name."""
    data = json.loads(sciflow("doctor", "--json", *arguments, expect=expect).stdout)
    assert data["is_well"] is (expect == 0)
    names = [check["name"] for check in data["checks"]]
    assert len(names) == len(set(names))
    return {check["name"]: check for check in data["checks"]}


def in_the_way(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in checks.items() if check["state"] == "wrong"]


def blocking_job(log: Path) -> str:
    system = Pbs()
    return system.submit(system.script(Job("blocker", "sleep 300", log)))


# --------------------------------------------------------------------------------------------------------- this machine


def test_on_this_machine_a_worker_is_tried_and_nothing_is_left(folder: Path, sciflow: Sciflow) -> None:
    said = sciflow("doctor", "--cluster", "local").stdout

    assert "✓ worker" in said
    assert "Sweeps will work here" in said
    assert "\x1b" not in said
    assert not list(folder.iterdir())


def test_without_a_batch_system_this_machine_is_looked_at(sciflow: Sciflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    checks = looked_at(sciflow)

    assert checks["worker"]["state"] == "well"
    assert "this machine" in checks["site"]["says"]


def test_a_batch_system_that_is_asked_for_and_not_there_is_in_the_way(
    sciflow: Sciflow, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "site.toml").write_text('system = "slurm"\n')
    monkeypatch.setenv("PATH", "/nowhere")

    checks = looked_at(sciflow, expect=1)

    assert "sbatch" in checks["programs"]["says"]
    assert "load the module" in checks["programs"]["remedy"]
    assert checks["job"]["state"] == "untried"


def test_a_folder_in_which_nothing_can_be_written_is_in_the_way(sciflow: Sciflow) -> None:
    checks = looked_at(sciflow, "--cluster", "local", "--directory", "/proc/sweeps", expect=1)

    assert in_the_way(checks) == ["sweeps"]
    assert "--directory" in checks["sweeps"]["remedy"]
    assert checks["worker"]["state"] == "untried"


def test_a_site_file_that_is_not_understood_is_said_with_what_to_write(sciflow: Sciflow, folder: Path) -> None:
    (folder / "site.toml").write_text('system = "pbs"\nwaltime = "4h"\n')

    said = sciflow("doctor", expect=1).stdout

    assert "✗ site" in said
    assert "waltime" in said
    assert "Sweeps will not work here as things are: site." in said


def test_the_file_system_is_the_one_that_is_mounted_nearest() -> None:
    mounts = [(Path("/"), "ext4"), (Path("/home"), "autofs"), (Path("/home"), "nfs4"), (Path("/home/a"), "lustre")]

    assert kind_of(Path("/home/b"), mounts) == "nfs4"
    assert kind_of(Path("/home/a/sweeps"), mounts) == "lustre"
    assert kind_of(Path("/homes"), mounts) == "ext4"


def test_a_worker_that_sees_another_folder_or_none_says_so(tmp_path: Path) -> None:
    def found(folder: Path) -> dict[str, Any]:
        import numpy as np

        return json.loads(Probe(folder, "mine")(Batch(1, np.array([0]), 1, 60.0)).message)

    assert "No such file" in found(tmp_path)["folder_error"]
    (tmp_path / TOKEN).write_text("another's")
    assert "another folder" in found(tmp_path)["folder_error"]
    (tmp_path / TOKEN).write_text("mine")
    assert found(tmp_path)["folder_error"] == ""


# ------------------------------------------------------------------------------------------------- the stand-in for PBS


def test_a_job_of_pbs_looks_around_and_is_gone(pbs: FakePbs, sciflow: Sciflow, folder: Path, keys: Path) -> None:
    checks = looked_at(sciflow, "--cluster", "pbs")

    assert not in_the_way(checks)
    assert set(checks) >= ON_A_NODE | {"here", "site", "programs", "answers", "limits", "history", "sweeps", "commits"}
    assert checks["network"]["facts"]["scheduler"].startswith("tls://")
    assert checks["job"]["facts"]["first_result_s"] >= checks["job"]["facts"]["first_worker_s"] > 0
    assert checks["sweeps"]["facts"]["free_bytes"] > 0
    assert checks["commits"]["facts"]["longest_s"] >= checks["commits"]["facts"]["median_s"] > 0
    assert checks["keys"]["state"] == "doubtful"  # below the folder for temporary files
    assert checks["cores"]["facts"]["n_threads"] == "1"
    assert [job.start > 0 for job in pbs.await_end()] == [True, False]  # the second showed that nodes may submit
    assert not list(folder.iterdir())
    assert not list(keys.iterdir())


@pytest.mark.parametrize("refused", ["qsub", "qdel"])
def test_a_node_that_may_not_submit_or_cancel_is_told_and_no_job_is_left(
    pbs: FakePbs, sciflow: Sciflow, folder: Path, refused: str
) -> None:
    program = pbs.programs / refused
    real = program.rename(pbs.programs / "itself")
    program.write_text(
        f"#!/bin/sh\ntr '\\0' '\\n' </proc/$PPID/environ | grep -q '^PBS_JOBID=' && "
        f'{{ echo "not from nodes" >&2; exit 1; }}\nexec {real} "$@"\n'
    )
    program.chmod(0o755)

    checks = looked_at(sciflow, "--cluster", "pbs")

    if refused == "qsub":
        assert checks["controller"]["state"] == "doubtful"
        assert "the node cannot submit jobs: PBS refused the job: not from nodes" in checks["controller"]["says"]
        assert "nodes_submit = false in site.toml" in checks["controller"]["remedy"]
        (folder / "site.toml").write_text('system = "pbs"\nnodes_submit = false\n')
        assert looked_at(sciflow, "--cluster", "pbs")["controller"]["state"] == "well"
    else:
        assert checks["controller"]["state"] == "well"
        assert "not cancel them: PBS did not cancel jobs: not from nodes" in checks["controller"]["says"]
    pbs.await_end()


def test_a_job_that_waits_is_cancelled_and_its_reason_is_said(
    pbs: FakePbs, sciflow: Sciflow, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    blocking_job(tmp_path_factory.mktemp("log") / "log")

    said = sciflow("doctor", "--cluster", "pbs", "--wait", "4").stdout

    assert "Insufficient amount of resource: ncpus; the rest was not tried" in said
    assert "no worker was tried" in said
    pbs.await_end(pbs.jobs()[-1].job_id)
    assert not list(folder.iterdir())


def test_a_job_that_can_never_run_is_in_the_way(pbs: FakePbs, sciflow: Sciflow) -> None:
    pbs.change(n_cores=0)

    checks = looked_at(sciflow, "--cluster", "pbs", "--wait", "30", expect=1)

    assert "Can Never Run: Insufficient amount of resource" in checks["job"]["says"]
    assert "site.toml" in checks["job"]["remedy"]
    pbs.await_end(pbs.jobs()[-1].job_id)


def test_a_job_that_ends_at_once_is_shown_with_the_end_of_its_log(pbs: FakePbs, sciflow: Sciflow, folder: Path) -> None:
    (folder / "site.toml").write_text('system = "pbs"\nprologue = ["echo no such module: python >&2; exit 3"]\n')

    checks = looked_at(sciflow, "--cluster", "pbs", expect=1)

    assert "ended before its worker connected" in checks["job"]["says"]
    assert "no such module: python" in checks["job"]["remedy"]
    assert checks["site"]["facts"]["file"] == str(folder / "site.toml")


def test_a_job_whose_worker_does_not_come_is_cancelled_and_interfaces_are_named(
    pbs: FakePbs, sciflow: Sciflow, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sciflow.engine.trial._CONNECT_S", 3.0)
    (folder / "site.toml").write_text('system = "pbs"\nprologue = ["echo still here", "sleep 300"]\n')

    checks = looked_at(sciflow, "--cluster", "pbs", expect=1)

    assert "its worker has not reached this host" in checks["job"]["says"]
    assert "interface" in checks["job"]["remedy"]
    assert "still here" in checks["job"]["remedy"]
    pbs.await_end()


def test_other_packages_on_the_node_are_named_with_both_versions(
    pbs: FakePbs, sciflow: Sciflow, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "numpy-0.1.dist-info").mkdir()
    (other / "numpy-0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    (folder / "site.toml").write_text(f'system = "pbs"\nprologue = ["export PYTHONPATH={other}"]\n')

    checks = looked_at(sciflow, "--cluster", "pbs", expect=1)

    assert in_the_way(checks) == ["software"]
    assert checks["software"]["says"].startswith("numpy 0.1 there, ")
    assert "site.toml" in checks["software"]["remedy"]


def test_keys_that_others_may_read_are_in_the_way(pbs: FakePbs, sciflow: Sciflow, keys: Path) -> None:
    keys.chmod(0o755)

    checks = looked_at(sciflow, "--cluster", "pbs", expect=1)

    assert in_the_way(checks) == ["keys"]
    assert "chmod 700" in checks["keys"]["remedy"]
    assert not pbs.jobs()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_doctor_that_is_stopped_cancels_its_job(
    pbs: FakePbs, folder: Path, keys: Path, how: signal.Signals, tmp_path_factory: pytest.TempPathFactory
) -> None:
    blocker = blocking_job(tmp_path_factory.mktemp("log") / "log")
    command = [sys.executable, "-m", "sciflow.cli.main", "doctor", "--cluster", "pbs", "--wait", "300"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        await_that(lambda: len(pbs.jobs()) == 2, "its job is in the queue")
        process.send_signal(how)
        _, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "stopped" in said
    assert "Traceback" not in said
    pbs.await_end(pbs.jobs()[-1].job_id)
    assert pbs.jobs()[0].state == "R"
    assert not list(folder.iterdir())
    assert not list(keys.iterdir())
    Pbs().cancel([blocker])


# ------------------------------------------------------------------------------------------------------- a real SLURM


def squeue() -> list[str]:
    command = ["squeue", "--noheader", "--format=%j"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return [name for name in names if "doctor" in name]


@pytest.mark.slurm
def test_on_slurm_a_job_looks_around_and_is_gone(slurm: object, sciflow: Sciflow, folder: Path) -> None:
    checks = looked_at(sciflow, "--cluster", "slurm")

    assert not in_the_way(checks)
    assert set(checks) >= ON_A_NODE
    assert checks["nodes"]["facts"]["nodes"][0]["cores"] == 4
    assert checks["controller"]["state"] == "well"
    await_that(lambda: not squeue(), "the queue is empty")
    assert not list(folder.iterdir())


@pytest.mark.slurm
def test_on_slurm_a_job_that_waits_is_cancelled_and_its_reason_is_said(slurm: object, sciflow: Sciflow) -> None:
    command = ["sbatch", "--parsable", "--nodes=4", "--exclusive", "--output=/dev/null", "--wrap=sleep 300"]
    blocker = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    try:
        await_that(lambda: _runs(blocker), "the other job runs")
        said = sciflow("doctor", "--wait", "6").stdout
    finally:
        subprocess.run(["scancel", blocker], check=True)

    assert "waits: Resources; the rest was not tried" in said or "waits: Priority; the rest was not tried" in said
    await_that(lambda: not squeue(), "the queue is empty")


def _runs(job_id: str) -> bool:
    command = ["squeue", "--noheader", "--format=%t", f"--jobs={job_id}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "R"


@pytest.mark.slurm
def test_a_partition_that_is_not_there_and_a_job_that_is_refused_are_in_the_way(
    slurm: object, sciflow: Sciflow, folder: Path
) -> None:
    assert in_the_way(looked_at(sciflow, "--partition", "nope", expect=1)) == ["limits"]

    (folder / "site.toml").write_text('system = "slurm"\noptions = ["--mem=900G"]\n')
    refused = looked_at(sciflow, expect=1)

    assert "Memory specification can not be satisfied" in refused["job"]["says"]
    assert "site.toml" in refused["job"]["remedy"]
    await_that(lambda: not squeue(), "the queue is empty")


@pytest.mark.slurm
def test_what_site_toml_asks_for_is_held_against_what_slurm_allows(
    slurm: object, sciflow: Sciflow, folder: Path
) -> None:
    site = 'system = "slurm"\npartition = "offpeak"\nwalltime = "20h"\n[gpu]\npartition = "nope"\n'
    (folder / "site.toml").write_text(site)

    checks = looked_at(sciflow)

    assert checks["limits"]["facts"]["walltime_s"] == 36_000
    assert "20 h" in checks["limits"]["remedy"]
    assert checks["[gpu]"]["state"] == "doubtful"
    assert "nope" in checks["[gpu]"]["says"]
    assert checks["job"]["state"] == "well"
