"""Keys of the connections between a driver and its workers: for this user alone, and gone afterwards."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sciflow.clusters.keys import keys_folder, new_keys
from sciflow.errors import SweepError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "private" / "keys"
    monkeypatch.setenv("SCIFLOW_KEYS", str(folder))
    return folder


def test_nobody_else_can_look_at_keys_whatever_the_umask(folder):
    before = os.umask(0)
    try:
        with new_keys("abc"):
            everything = [folder, *folder.rglob("*")]
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in everything}
    finally:
        os.umask(before)

    assert len([path for path in everything if path.suffix == ".pem"]) == 3
    folders = {path for path in everything if folder in {path, path.parent}}
    assert {mode for path, mode in modes.items() if path in folders} == {0o700}
    assert {mode for path, mode in modes.items() if path not in folders} == {0o600}


def test_keys_are_gone_at_the_end_and_after_an_error(folder):
    with new_keys("abc"):
        pass
    with pytest.raises(ZeroDivisionError), new_keys("abc"):
        1 / 0  # noqa: B018  it raises

    assert list(folder.iterdir()) == []


def test_keys_without_a_lock_are_removed_by_the_next_driver_of_the_same_sweep_only(folder):
    for owner in ("abc", "abcd"):
        (folder / f"{owner}-0").mkdir(parents=True, mode=0o700)
        (folder / f"{owner}-0" / "key.pem").write_text("secret")
    folder.chmod(0o700)
    with new_keys("abc"):
        pass

    assert [path.name for path in folder.iterdir()] == ["abcd-0"]


HOLDING = """
import sys, time
from sciflow.clusters.keys import new_keys
with new_keys("lost"):
    print("here", flush=True)
    time.sleep(600)
"""


def test_keys_of_another_sweep_stay_while_its_driver_lives_and_go_when_it_was_killed(folder):
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE) as driver:
        try:
            assert driver.stdout.readline() == b"here\n"
            with new_keys("abc"):
                assert sorted(path.name.partition("-")[0] for path in folder.iterdir()) == ["abc", "lost"]
            left = list(folder.iterdir())
            assert [path.name.partition("-")[0] for path in left] == ["lost"]
        finally:
            driver.kill()
    assert list(folder.iterdir()) == left

    with new_keys("abc"):
        pass
    assert list(folder.iterdir()) == []


def test_two_sweeps_have_keys_of_their_own():
    with new_keys("one") as one, new_keys("other") as other:
        contents = {Path(str(security.tls_worker_key)).read_bytes() for security in (one, other)}
        assert one.require_encryption

    assert len(contents) == 2


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777, 0o701])
def test_a_folder_that_others_may_look_into_is_refused_with_what_to_do(mode, folder):
    folder.mkdir(parents=True)
    folder.chmod(mode)

    with pytest.raises(SweepError, match=f"chmod 700 {folder}"), new_keys("abc"):
        pass
    assert list(folder.iterdir()) == []


def test_a_folder_of_somebody_else_is_refused(folder, monkeypatch):
    folder.mkdir(parents=True, mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)

    with pytest.raises(SweepError, match="SCIFLOW_KEYS"), new_keys("abc"):
        pass


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(folder):
    folder.parent.mkdir()
    folder.write_text("a file")

    with pytest.raises(SweepError, match="SCIFLOW_KEYS to a folder of your own"), new_keys("abc"):
        pass


def test_without_a_folder_of_choice_they_are_among_the_users_state(monkeypatch, tmp_path):
    monkeypatch.delenv("SCIFLOW_KEYS")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert keys_folder() == tmp_path / "state" / "sciflow" / "keys"

    monkeypatch.delenv("XDG_STATE_HOME")
    assert keys_folder() == Path.home() / ".local" / "state" / "sciflow" / "keys"
