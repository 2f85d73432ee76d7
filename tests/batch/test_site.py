"""What is written of a site is found, read, and refused with the place and a remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sciflow.batch.pbs import Pbs
from sciflow.batch.site import Place, Site, detect, find_site, read_site
from sciflow.batch.slurm import Slurm
from sciflow.batch.system import Job
from sciflow.errors import SiteError
from sciflow.testing.pbs import FakePbs

EXAMPLE = Path(__file__).parents[2] / "examples" / "site.toml"


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """An environment with no file of a site and no batch system; put there what a test is about."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return {"PATH": str(tmp_path), "HOME": str(tmp_path / "home")}


def write(path, text='system = "slurm"'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_example_is_read(monkeypatch):
    monkeypatch.setenv("USER", "ann")
    site = read_site(EXAMPLE)
    job = Job("a", "true\n", Path("/log"), options=("--nice=5",))
    default, gpu = site.placed(job), site.placed(Job("a", "true\n", Path("/log"), gpus=1))

    assert (site.system, site.max_jobs, site.max_pending, site.interface) == ("slurm", 50, 10, "ib0")
    assert site.nodes_submit is True
    assert site.scratch == Path("/scratch/ann")
    assert (default.queue, default.account, default.walltime_s) == ("batch", "physics", 4 * 3600)
    assert default.options == ("--qos=normal", "--nice=5")
    assert default.body == "module load python/3.12\ntrue\n"
    assert (gpu.queue, gpu.account, gpu.walltime_s) == ("gpu", "physics-gpu", 3600)
    assert site.place("cpu16").queue == "highmem"
    assert site.place("cpu16", gpus=1).queue == "highmem"
    assert site.place("small") == site.default


def test_what_a_job_asks_for_itself_holds():
    job = Job("a", "true", Path("/log"), walltime_s=60, queue="mine", account="me")

    assert Site("slurm", Place("q", "a", 3600)).placed(job) == job


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('account = "x"', 'add system = "slurm" or "pbs"'),
        ('system = "lsf"', 'system = \'lsf\' is not understood: write "slurm" or "pbs"'),
        ('system = "slurm"\npartiton = "x"', "there is no key 'partiton'; use account,"),
        ('system = "slurm"\n[gpu]\nscratch = "/x"', "there is no key 'gpu.scratch'"),
        ('system = "slurm"\nqueue = "a"\npartition = "b"', "partition and queue are two words"),
        ('system = "slurm"\naccount = "a;b"', "account = 'a;b' is not understood: .* letters, digits"),
        ('system = "slurm"\nprologue = ["a\\nb"]', "holds a line break"),
        ('system = "slurm"\nprologue = "a"', "write a list of lines"),
        ('system = "slurm"\noptions = ["qos=low"]', "does not begin with '-'"),
        ('system = "slurm"\nmax_jobs = 0', "a whole number of at least 1"),
        ('system = "slurm"\nnodes_submit = "no"', "write true or false"),
        ('system = "slurm"\nwalltime = "4 hrs"', "write it as '2h'"),
        ('system = "slurm"\n[gpu]\nwalltime = 4', "gpu.walltime = 4 .* a minute at least"),
        ('system = "slurm"\nscratch = "/a/$NOSUCHVARIABLE"', "variables in it must be set"),
        ('system = "slurm"\ninterface = "ib0; rm"', "ip -brief address"),
        ("system = slurm", "is no TOML"),
    ],
)
def test_what_is_not_understood_is_told_with_file_key_and_remedy(text, words, tmp_path):
    path = write(tmp_path / "site.toml", text)

    with pytest.raises(SiteError, match=words) as raised:
        read_site(path)

    assert str(path) in str(raised.value)


def test_a_file_that_everybody_can_change_is_refused(tmp_path):
    path = write(tmp_path / "site.toml")
    path.chmod(0o666)

    with pytest.raises(SiteError, match="chmod o-w"):
        read_site(path)


def test_the_nearest_file_is_taken(alone, tmp_path):
    home = write(tmp_path / "home/.config/sciflow/site.toml")
    assert find_site(environ=alone).file == home
    config = write(tmp_path / "config/sciflow/site.toml")
    alone["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    assert find_site(environ=alone).file == config
    here = write(Path.cwd() / "site.toml")
    assert find_site(environ=alone).file == here
    beside = write(tmp_path / "sweeps/site.toml")
    assert find_site(tmp_path / "sweeps/a", environ=alone).file == beside
    named = write(tmp_path / "other.toml")
    alone["SCIFLOW_SITE"] = str(named)
    assert find_site(tmp_path / "sweeps/a", environ=alone).file == named
    named.unlink()
    with pytest.raises(SiteError, match=r"SCIFLOW_SITE names .*other.toml"):
        find_site(environ=alone)


def test_a_file_for_another_system_is_refused(alone):
    write(Path("site.toml"))

    with pytest.raises(SiteError, match="a site with slurm, but pbs was asked for"):
        find_site(system="pbs", environ=alone)


def test_without_a_file_the_programs_on_path_tell_the_system(alone, tmp_path):
    with pytest.raises(SiteError, match="neither sbatch nor qsub"):
        find_site(environ=alone)
    assert find_site(system="pbs", environ=alone) == Site("pbs")

    for name in ("qsub", "qstat"):
        write(tmp_path / name, '#!/bin/sh\necho "SGE 8.1.9"').chmod(0o755)
    with pytest.raises(SiteError, match=r"not that of PBS .*SGE 8\.1\.9"):
        detect(alone)

    with FakePbs(tmp_path / "pbs") as pbs:
        assert detect(pbs.environ(alone)) == "pbs"

    # SLURM's own wrappers bear the names of PBS
    write(tmp_path / "sbatch", "#!/bin/sh").chmod(0o755)
    assert detect(alone) == "slurm"


def test_a_site_makes_its_batch_system():
    assert isinstance(Site("slurm").batch_system(), Slurm)
    assert isinstance(Site("pbs").batch_system(), Pbs)
    assert hash(Site("slurm")) == hash(Site("slurm", file=Path(os.devnull)))
