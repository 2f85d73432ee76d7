"""What the scripts of both batch systems share: names, refusals, times, signals."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.batch.pbs_script import pbs_script
from sciflow.batch.script import forwarding, job_name, local_time
from sciflow.batch.slurm_script import slurm_script
from sciflow.batch.system import Job
from sciflow.errors import BatchError

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
SCRIPTS = {"slurm": slurm_script, "pbs": lambda job: pbs_script(job, NOW)}


@pytest.fixture
def zone(monkeypatch):
    """Puts this process into a time zone."""

    def put(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield put
    monkeypatch.undo()
    time.tzset()


@given(st.text(), st.text())
def test_names_keep_their_common_beginning_and_are_taken_by_both_systems(prefix, rest):
    name = job_name(prefix + rest)

    assert re.fullmatch(r"([A-Za-z][A-Za-z0-9_.+-]{0,199})?", name)
    assert name.startswith(job_name(prefix)[:190])
    assert job_name(name) == name


@pytest.mark.parametrize("system", SCRIPTS)
@given(name=st.text(min_size=1), path=st.text(min_size=1), queue=st.text(min_size=1), option=st.text())
def test_whatever_the_values_nothing_but_asked_for_lines_stands_above_the_body(system, name, path, queue, option):
    try:
        script = SCRIPTS[system](Job(name, "BODY", Path(f"/logs/{path}"), queue=queue, options=(f"-{option}",)))
    except BatchError:
        return
    head = script.split("SCIFLOW_JOB_ID=")[0].splitlines()

    assert head[0] == "#!/bin/sh"
    assert all(line.startswith(("#SBATCH -", "#PBS -")) for line in head[1:])
    assert len(script.splitlines()) == script.count("\n")


@pytest.mark.parametrize(
    "asked",
    [
        {"cores": 0},
        {"walltime_s": 0},
        {"begin": datetime(2026, 1, 1)},  # noqa: DTZ001  what is refused
        {"log": Path("relative")},
        {"after": "1;touch x"},
        {"turn_after": ("1", "2;touch x")},
        {"account": "$(touch x)"},
    ],
)
@pytest.mark.parametrize("system", SCRIPTS)
def test_a_job_without_a_meaning_is_refused(system, asked):
    with pytest.raises(BatchError):
        SCRIPTS[system](Job(**{"name": "a", "body": "true", "log": Path("/log"), **asked}))


def test_slurm_is_asked_for_everything_that_a_job_asks_for(zone):
    zone("Europe/Paris")
    job = Job(
        "sf-a:1", "python x", Path("/l/50%/%j.log"), cores=4, memory_bytes=3 * 2**30 + 1, gpus=2, walltime_s=5430,
        least_walltime_s=600, begin=NOW, end_by=NOW + timedelta(hours=2), after="17", warn_s=90, queue="batch",
        account="abc", options=("--qos=low",),
    )  # fmt: skip

    script = slurm_script(job)

    assert script.split("SCIFLOW_JOB_ID")[0] == (
        "#!/bin/sh\n#SBATCH --job-name=sf-a_1\n"
        '#SBATCH --output="/l/50%%/%j.log"\n#SBATCH --open-mode=append\n'
        "#SBATCH --nodes=1\n#SBATCH --ntasks=1\n#SBATCH --cpus-per-task=4\n#SBATCH --no-requeue\n"
        "#SBATCH --export=ALL\n#SBATCH --mem=3073M\n#SBATCH --gres=gpu:2\n#SBATCH --time=90:30\n"
        "#SBATCH --begin=2026-11-21T09:00:00\n#SBATCH --deadline=2026-11-21T11:00:00\n#SBATCH --time-min=10:00\n"
        "#SBATCH --dependency=afterany:17\n#SBATCH --signal=B:USR1@90\n#SBATCH --partition=batch\n"
        "#SBATCH --account=abc\n#SBATCH --qos=low\n"
    )
    assert script.endswith("\npython x\n")


def test_jobs_that_take_turns_wait_for_all_before_them():
    job = Job("turns", "true", Path("/l/%j.log"), turn_after=("3.vm", "5.vm"))

    assert "#SBATCH --dependency=singleton\n" in slurm_script(job)
    assert "#PBS -W depend=afterany:3.vm:5.vm\n" in pbs_script(job, NOW)


def test_a_job_of_pbs_restores_what_it_needs_of_the_environment_of_its_submission_and_no_more(tmp_path):
    environ = {
        "PATH": "/a b;$(touch x):/usr/bin:/bin:/usr/bin",
        "PYTHONPATH": "it's `touch x`",
        "SCIFLOW_SITE": "two\nlines",
        "SCIFLOW_JOB_ID": "of another job",
        "PASSWORD": "secret",
        "LC_ALL": "C",
    }
    script = pbs_script(Job("x", "env -0", tmp_path / "%j.log"), NOW, environ=environ)

    job = {"PBS_JOBID": "7.vm", "PBS_O_WORKDIR": str(tmp_path), "PATH": "/usr/bin:/of/the/node"}
    subprocess.run(["/bin/sh"], input=script, text=True, env=job, cwd=tmp_path, check=True)

    found = dict(entry.split("=", 1) for entry in (tmp_path / "7.vm.log").read_text().split("\0") if entry)
    assert found["PATH"] == "/a b;$(touch x):/usr/bin:/bin:/usr/bin:/of/the/node"
    assert {name: found[name] for name in ("PYTHONPATH", "SCIFLOW_SITE", "LC_ALL")} == {
        name: environ[name] for name in ("PYTHONPATH", "SCIFLOW_SITE", "LC_ALL")
    }
    assert found["SCIFLOW_JOB_ID"] == "7.vm"
    assert "PASSWORD" not in found
    assert [path.name for path in tmp_path.iterdir()] == ["7.vm.log"]


@pytest.mark.parametrize("system", SCRIPTS)
def test_the_id_of_a_job_stands_in_the_name_of_its_log_and_not_in_that_of_the_folder(system):
    job = Job("logged", "true", Path('/l/a%j"b/%j.log'))

    (line,) = (line for line in SCRIPTS[system](job).splitlines() if line.startswith("exec >>"))

    assert line == f"""exec >>'/l/a%j"b/'"${"SLURM_JOB_ID" if system == "slurm" else "PBS_JOBID"}".log 2>&1"""
    assert job.log_of("7") == Path('/l/a%j"b/7.log')


def test_pbs_is_asked_for_everything_that_a_job_asks_for(zone):
    zone("America/New_York")
    job = Job(
        "sf-a:1", "python x", Path("/l/50%/%j.log"), cores=4, memory_bytes=3 * 2**30 + 1, gpus=2, walltime_s=5430,
        least_walltime_s=600, begin=NOW, end_by=NOW + timedelta(hours=1), after="0.vm", warn_s=90, queue="batch",
        account="abc", options=("-l place=excl",),
    )  # fmt: skip

    script = pbs_script(job, NOW)

    assert script.split("SCIFLOW_JOB_ID")[0] == (
        "#!/bin/sh\n#PBS -N sf-a_1\n#PBS -o /dev/null\n#PBS -j oe\n#PBS -r n\n#PBS -W umask=022\n"
        "#PBS -l select=1:ncpus=4:mem=3073mb:ngpus=2\n#PBS -l walltime=3600\n#PBS -a 202611210300.00\n"
        "#PBS -W depend=afterany:0.vm\n#PBS -q batch\n#PBS -A abc\n#PBS -l place=excl\n"
    )
    assert "sleep 3510; kill -USR1 $$" in script
    assert 'exec >>/l/50%/"$PBS_JOBID".log' in script


def test_pbs_which_knows_no_deadline_is_not_asked_for_what_cannot_end_in_time():
    late = Job("a", "true", Path("/log"), walltime_s=600, end_by=NOW + timedelta(seconds=300))

    with pytest.raises(BatchError, match="300 s are left, and it asks for 600 s"):
        pbs_script(late, NOW)


def test_times_are_those_of_this_clock_and_never_in_the_hour_that_it_shows_twice(zone):
    zone("Europe/Berlin")
    berlin = ZoneInfo("Europe/Berlin")
    first, second = (datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1))

    for instant in (first, second):
        later, earlier = (local_time(instant, later=later) for later in (True, False))

        # as mktime reads them
        assert time.mktime(later.timetuple()) >= instant.timestamp()
        assert time.mktime(earlier.timetuple()) <= instant.timestamp()
        assert (later.hour, earlier.hour) == (3, 1)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  bounds
def test_a_time_is_read_back_as_no_earlier_or_no_later(instant):
    for name in ("UTC", "America/New_York"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TZ", name)
            time.tzset()
            later, earlier = (local_time(instant, later=later).timetuple() for later in (True, False))
            seconds = [time.mktime((*one[:8], -1)) for one in (earlier, later)]
        time.tzset()

        assert seconds[0] <= instant.timestamp() <= seconds[1]
        assert seconds[1] - seconds[0] <= 2 * 3600 + 60


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(("command", "status"), [("true", 0), ("(exit 7)", 7), ("nosuchcommand", 127)])
def test_the_status_of_the_command_is_that_of_the_script(shell, command, status):
    done = subprocess.run([shell, "-c", forwarding(command)], stderr=subprocess.DEVNULL)

    assert done.returncode == status


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(("signals", "heard"), [(("USR1",), "USR1\n"), (("USR1", "TERM"), "USR1\nTERM\n")])
def test_signals_that_are_named_are_handed_on_and_sigterm_never_ends_the_shell_early(shell, signals, heard):
    command = f"""{sys.executable} -uc '
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: print("USR1"))
signal.signal(signal.SIGTERM, lambda *_: print("TERM"))
print("ready")
for _ in range(8): time.sleep(0.1)
sys.exit(5)'"""
    with subprocess.Popen([shell, "-c", forwarding(command, signals)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(10)
        assert process.stdout.readline() == "USR1\n"
        process.send_signal(15)
        rest = process.stdout.read()

    assert "USR1\n" + rest == heard
    assert process.returncode == 5
