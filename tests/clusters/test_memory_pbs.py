"""Jobs that are killed for the memory that they use, on programs that stand in for PBS."""

from __future__ import annotations

import json

import pytest

import sciflow
from sciflow.clusters.batch import PBSCluster
from sciflow.testing.clusters import await_that, running
from sciflow.testing.pbs import FakePbs
from sciflow.testing.pbs_records import Settings

MIB = 2**20
NODE = {"vm": {"resources_available": {"ncpus": 16, "mem": f"{1000 * 1024}kb"}}}


@pytest.fixture
def pbs(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIFLOW_KEYS", str(tmp_path / "keys"))
    with FakePbs(tmp_path / "pbs", Settings(memory_kill=True)) as pbs:
        monkeypatch.setenv("PATH", pbs.environ()["PATH"])
        pbsnodes = pbs.programs / "pbsnodes"
        pbsnodes.write_text(f"#!/bin/sh\necho '{json.dumps({'nodes': NODE})}'\n")
        pbsnodes.chmod(0o755)
        yield pbs


@pytest.mark.timeout(300)
def test_a_variant_that_its_job_is_killed_for_gets_larger_ones_up_to_a_whole_node(tmp_path, pbs):
    needs = {3: 450, 5: 1500}  # MiB, beside what a worker has for itself

    def take(a):
        import time

        held = bytearray(needs.get(a, 0) * MIB)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(1.0 if a in needs else 0.1)
        return {"held": len(held)}

    workflow = sciflow.ExperimentalWorkflow("hungry")
    workflow.add_task("take", take)
    workflow.add_parameter_space({"a": range(10)})
    cluster = PBSCluster(interface="lo", workers=2, walltime="10min", memory=400 * MIB)
    with running(lambda **more: sciflow.Engine(cluster, directory=tmp_path, progress=False, **more), workflow) as run:
        table = run.join()

    status = dict(zip(table["a"], table["status"], strict=True))
    assert status == {a: "failed" if a == 5 else "done" for a in range(10)}
    assert {facts["cause"] for facts in run.told("worker.lost")} == {"out_of_memory"}
    (failed,) = run.told("variant.failed")
    assert failed["cause"] == "out_of_memory"
    assert "it had 1000 MiB of memory" in failed["message"]
    assert "memory_gb" in failed["message"]
    asked = [facts["memory_bytes"] // MIB for facts in run.told("job.submitted")]
    assert set(asked) == {400, 800, 1000}
    assert "out_of_memory" in {facts["how"] for facts in run.told("job.ended")}
    await_that(lambda: all(job.state == "F" for job in pbs.jobs()), "no job is left")
