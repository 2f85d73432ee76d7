"""The record of an environment: one for all processes of a kind, and nothing of one of them alone."""

from __future__ import annotations

import json
import os
import pickle
import platform
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import pytest

from sciflow.canonical import content_digest
from sciflow.provenance.environment import (
    SCHEMA,
    capture_environment,
    facts_of_this_process,
    surroundings_of,
    usable_cores,
)

pytestmark = pytest.mark.measured

ROOT = Path(__file__).parents[2]

SENT = """
import json, os, pickle, sys
surroundings = pickle.loads(sys.stdin.buffer.read())
mine = surroundings.of_this_process()
print(json.dumps({"reused": mine is surroundings, "record": mine.record()}))
"""


def sent(surroundings, python=sys.executable, path=None, **environment):
    """What another process makes of the surroundings of this one."""
    path = sys.path if path is None else path
    code = f"import sys; sys.path[:] = {list(map(str, path))!r}\n{SENT}"
    done = subprocess.run(
        [python, "-c", code], input=pickle.dumps(surroundings), env={**os.environ, **environment}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_capture_names_interpreter_system_machine_packages_and_libraries():
    facts = capture_environment()

    assert facts["schema"] == SCHEMA
    assert facts["python"]["version"] == platform.python_version()
    assert facts["packages"]["numpy"] == metadata.version("numpy")
    assert facts["numeric"]["numpy"]["simd"]["baseline"]
    assert facts["locks"] == []
    assert json.loads(json.dumps(facts)) == facts


def test_nothing_tells_two_processes_or_hosts_of_a_kind_apart():
    facts = capture_environment()

    assert platform.node() not in json.dumps({key: facts[key] for key in facts.keys() - {"packages", "origins"}})
    assert str(os.getpid()) not in facts["variables"].values()
    assert content_digest(facts) == content_digest(capture_environment())
    assert facts_of_this_process()["n_cores"] == usable_cores() >= 1


def test_a_process_of_the_same_place_takes_what_was_found_and_adds_what_it_sees_itself():
    here = surroundings_of(None)

    there = sent(here, OMP_NUM_THREADS="3", PYTHONHASHSEED="7", LC_ALL="C.UTF-8", TZ="Asia/Tokyo")

    assert there["reused"]
    assert there["record"]["packages"] == dict(here.facts["packages"])
    assert there["record"]["variables"]["OMP_NUM_THREADS"] == "3"
    assert there["record"]["python"]["hash_seed"] == "7"
    assert there["record"]["system"]["time_zone"] == "Asia/Tokyo"
    assert sent(here, PYTHONHASHSEED="0")["record"]["python"]["hash_seed"] == "0"


def test_folders_without_packages_on_its_path_as_dask_puts_them_there_make_no_other_place(tmp_path):
    here = surroundings_of(None)
    (tmp_path / "scratch" / "worker-1").mkdir(parents=True)

    there = sent(here, path=[tmp_path / "scratch" / "worker-1", tmp_path / "scratch", tmp_path / "gone", *sys.path])

    assert there["reused"]


def test_a_process_with_an_archive_on_its_path_or_without_packages_looks_for_itself(tmp_path):
    here = surroundings_of(None)
    archive = tmp_path / "packages.zip"
    archive.write_bytes(b"")
    packages = sysconfig.get_path("purelib")
    others = [one for one in sys.path if one != packages]

    assert not sent(here, path=[archive, *sys.path])["reused"]
    # what the other program imports is put beside, without telling what it is
    (tmp_path / "beside").mkdir()
    for entry in Path(packages).iterdir():
        if entry.suffix not in {".dist-info", ".egg-info"}:
            (tmp_path / "beside" / entry.name).symlink_to(entry)
    assert not sent(here, path=[tmp_path / "beside", *others])["reused"]


def test_a_process_that_would_find_other_packages_looks_for_itself(tmp_path):
    here = surroundings_of(None)
    info = tmp_path / "extra_tool-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: extra-tool\nVersion: 1.0\n")

    there = sent(here, path=[tmp_path, *sys.path])

    assert not there["reused"]
    assert there["record"]["packages"] == {**here.facts["packages"], "extra-tool": "1.0"}


def test_a_process_that_starts_after_a_package_was_changed_looks_for_itself(tmp_path):
    info = tmp_path / "tool-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: tool\nVersion: 1.0\n")
    program = f"""
import sys, pickle
sys.path.insert(0, {str(tmp_path)!r})
from sciflow.provenance.environment import surroundings_of
sys.stdout.buffer.write(pickle.dumps((sys.path, surroundings_of(None))))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    path, before = pickle.loads(done.stdout)
    assert sent(before, path=path)["reused"]

    info.rename(tmp_path / "tool-2.0.dist-info")
    (tmp_path / "tool-2.0.dist-info" / "METADATA").write_text("Name: tool\nVersion: 2.0\n")

    assert before.facts["packages"]["tool"] == "1.0"
    assert sent(before, path=path)["record"]["packages"]["tool"] == "2.0"
    (tmp_path / "tool-2.0.dist-info" / "METADATA").unlink()
    (tmp_path / "tool-2.0.dist-info").rmdir()
    tmp_path.rmdir()
    assert "tool" not in sent(before, path=path)["record"]["packages"]


def test_another_interpreter_looks_for_itself(tmp_path):
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)

    there = sent(surroundings_of(None), python=str(tmp_path / "venv" / "bin" / "python"))

    assert not there["reused"]


def test_lock_files_are_compared_with_what_each_place_has(tmp_path):
    (tmp_path / "requirements.txt").write_text(f"numpy=={metadata.version('numpy')}\n")
    info = tmp_path / "first" / "numpy-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: numpy\nVersion: 0.1\n")
    here = surroundings_of(tmp_path)

    there = sent(here, path=[tmp_path / "first", *sys.path])["record"]

    assert here.record()["locks"][0]["agrees"] is True
    assert there["locks"][0]["differences"] == {
        "numpy": {"locked": f"=={metadata.version('numpy')}", "installed": "0.1"}
    }
    assert there["locks"][0]["sha256"] == here.record()["locks"][0]["sha256"]


@pytest.mark.parametrize("installed_by_pip_too", [False, True])
def test_an_environment_of_conda_is_listed_and_counts_as_installed(tmp_path, monkeypatch, installed_by_pip_too):
    (tmp_path / "conda-meta").mkdir()
    record = {"name": "numpy", "version": "0.5", "build": "b", "url": "https://c.org/numpy-0.5-b.conda", "md5": "ab"}
    (tmp_path / "conda-meta" / "numpy-0.5-b.json").write_text(json.dumps(record, indent=2))
    (tmp_path / "environment.yml").write_text("dependencies: [numpy=0.5]\n")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    info = tmp_path / "numpy-0.6.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: numpy\nVersion: 0.6\n")
    distributions = [metadata.Distribution.at(info)] if installed_by_pip_too else []

    facts = capture_environment(tmp_path, distributions=distributions)

    assert facts["conda"] == ["https://c.org/numpy-0.5-b.conda#ab"]
    assert facts["locks"][0]["agrees"] is not installed_by_pip_too


def test_no_secret_of_the_process_is_in_a_record(tmp_path):
    secret = "ghp_abcdefgh12345678"
    (tmp_path / ".env").write_text(f"TOKEN={secret}\n")
    (tmp_path / "requirements.txt").write_text(f"--index-url https://{secret}@host/simple\nx @ https://{secret}@h/x\n")
    named = dict.fromkeys(("TOKEN", "OMP_X", "MKL_Y", "LC_Z", "CUDA_TOKEN", "APPTAINER_BIND", "LOADEDMODULES"), secret)

    facts = sent(surroundings_of(tmp_path), **named)

    assert secret not in json.dumps(facts)
