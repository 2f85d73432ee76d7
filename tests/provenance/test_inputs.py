from __future__ import annotations

import hashlib
import os
import time

import pytest

from sciflow.errors import WorkflowError
from sciflow.provenance.inputs import contents, read_inputs
from sciflow.workflow.inputs import Input


def old(path, text, age_s=100.0):
    """A file that was written a while ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old(tmp_path / "data.csv", "1,2")
    old(tmp_path / "more" / "a.csv", "a")
    old(tmp_path / "more" / "deep" / "b.txt", "b")
    old(tmp_path / "run[1].csv", "brackets")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("data.csv", ["data.csv"]),
        ("more", ["more/a.csv", "more/deep/b.txt"]),
        ("more/", ["more/a.csv", "more/deep/b.txt"]),
        ("*.csv", ["data.csv", "run[1].csv"]),
        ("more/**/*.txt", ["more/deep/b.txt"]),
        ("run[1].csv", ["run[1].csv"]),
    ],
)
def test_an_input_is_a_file_a_folder_or_a_pattern_and_its_names_are_as_given(folder, given, names):
    files = read_inputs([Input.declare(given)])

    assert [one["name"] for one in files] == names
    assert contents(files) == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


@pytest.mark.parametrize("given", ["nothing.csv", "*.parquet", "", 3])
def test_an_input_that_is_not_there_is_refused_where_it_is_declared(folder, given):
    with pytest.raises(WorkflowError, match=r"(is not there: no file is .*pattern such as|an input is a path)"):
        Input.declare(given)


def test_a_relative_input_is_meant_from_the_folder_where_it_was_declared(folder, monkeypatch):
    declared = Input.declare("data.csv")
    monkeypatch.chdir(folder / "more")

    assert contents(read_inputs([declared])) == contents(read_inputs([Input("data.csv", str(folder))]))


def test_a_file_is_read_again_only_when_its_size_time_or_inode_changed(folder):
    earlier = [{**one, "sha256": "as recorded"} for one in read_inputs([Input.declare("data.csv")])]
    assert contents(read_inputs([Input.declare("data.csv")], earlier)) == {"data.csv": "as recorded"}

    old(folder / "new.csv", "1,2").rename(folder / "data.csv")  # another inode, perhaps of the same content

    assert contents(read_inputs([Input.declare("data.csv")], earlier)) == {
        "data.csv": hashlib.sha256(b"1,2").hexdigest()
    }


def test_a_file_written_a_moment_ago_is_not_known_by_its_time(folder):
    path = folder / "data.csv"
    path.write_text("3,4")
    now = time.time()
    os.utime(path, (now, now))
    (first,) = read_inputs([Input.declare("data.csv")])
    path.write_text("5,6")
    os.utime(path, (now, now))
    (second,) = read_inputs([Input.declare("data.csv")], [first])

    assert first["seen"] is None
    assert second["sha256"] == hashlib.sha256(b"5,6").hexdigest()


def test_an_input_that_cannot_be_read_is_named(folder, monkeypatch):
    declared = Input.declare("data.csv")
    monkeypatch.setattr(Input, "files", lambda self: {"data.csv": folder / "gone.csv"})

    with pytest.raises(WorkflowError, match=r"input 'data.csv' cannot be read: No such file.*gone.csv"):
        read_inputs([declared])
