"""Kills for lack of memory, as control groups of both versions count them."""

from __future__ import annotations

import pytest

from sciflow.clusters.cgroup import n_oom_kills

V2 = "0::/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0\n"
V1 = "12:cpuset:/slurm/uid_5/job_7\n4:cpu,memory:/slurm/uid_5/job_7/step_batch/task_0\n0::/system.slice\n"


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        (V2, "system.slice/slurmstepd.scope/job_7/step_batch/user/task_0/memory.events"),
        (V1, "memory/slurm/uid_5/job_7/step_batch/task_0/memory.oom_control"),
    ],
)
@pytest.mark.parametrize("n", [0, 2])
def test_kills_are_read_from_the_group_of_the_process(groups, file, n, tmp_path):
    counter = tmp_path / file
    counter.parent.mkdir(parents=True)
    counter.write_text(f"low 0\nmax 31\noom 4\noom_kill {n}\noom_group_kill 0\n")
    (tmp_path / "groups").write_text(groups)

    assert n_oom_kills(tmp_path, tmp_path / "groups") == n


@pytest.mark.parametrize("groups", [None, "", "0::/nowhere\n", "nonsense\n"])
def test_where_nobody_counts_there_are_none(groups, tmp_path):
    if groups is not None:
        (tmp_path / "groups").write_text(groups)

    assert n_oom_kills(tmp_path, tmp_path / "groups") == 0
