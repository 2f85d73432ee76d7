"""Clusters of jobs keep their contract: on a real SLURM, and on programs that behave as PBS was seen to."""

from __future__ import annotations

import re
import subprocess

import pytest

from sciflow.clusters.batch import PBSCluster, SlurmCluster
from sciflow.testing.clusters import JobClusterContract, Listed
from sciflow.testing.pbs import FakePbs


def squeue():
    done = subprocess.run(
        ["squeue", "--noheader", "--format=%i|%j|%C|%t|%N"], capture_output=True, text=True, check=True
    )
    rows = (line.split("|") for line in done.stdout.splitlines())
    return [Listed(job_id, name, int(cores), state == "R", node) for job_id, name, cores, state, node in rows]


@pytest.mark.slurm
class TestSlurm(JobClusterContract):
    @pytest.fixture(autouse=True)
    def _system(self, slurm):
        pass

    def cluster(self, **options):
        return SlurmCluster(interface="lo", **options)

    def elsewhere(self):
        return SlurmCluster(interface="lo", partition="nosuch")

    def listed(self):
        return squeue()

    def cancel(self, job_id):
        subprocess.run(["scancel", job_id], check=True)


class TestPbs(JobClusterContract):
    # half a minute, in which nothing is asked of the batch system but what the others ask
    test_jobs_of_a_driver_that_is_killed_leave_by_themselves_and_the_next_call_goes_on = None

    @pytest.fixture(autouse=True)
    def _system(self, tmp_path_factory, monkeypatch):
        with FakePbs(tmp_path_factory.mktemp("pbs")) as pbs:
            monkeypatch.setenv("PATH", pbs.environ()["PATH"])
            yield

    def cluster(self, **options):
        return PBSCluster(interface="lo", **options)

    def elsewhere(self):
        return PBSCluster(interface="lo", queue="nosuch")

    def listed(self):
        done = subprocess.run(["qstat", "-f"], capture_output=True, text=True, check=True)
        jobs = []
        for block in re.split(r"^Job Id: ", done.stdout.replace("\n\t", ""), flags=re.MULTILINE)[1:]:
            found = dict(re.findall(r"^ {4}([\w.]+) = (.*)$", block, flags=re.MULTILINE))
            cores = int(found["Resource_List.ncpus"])
            jobs.append(Listed(block.split()[0], found["Job_Name"], cores, found["job_state"] == "R"))
        return jobs

    def cancel(self, job_id):
        subprocess.run(["qdel", job_id], check=True)
