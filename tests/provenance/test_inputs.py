from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from sciflow.errors import WorkflowError
from sciflow.provenance.digests import DigestCache, cache_folder
from sciflow.provenance.inputs import InputWatch, changed_inputs, contents, read_inputs
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


@pytest.mark.parametrize("known_by", ["content", "size-mtime"])
def test_an_input_that_cannot_be_read_is_named(folder, monkeypatch, known_by):
    declared = Input.declare("data.csv", hash=known_by)
    monkeypatch.setattr(Input, "files", lambda self: {"data.csv": folder / "gone.csv"})

    with pytest.raises(WorkflowError, match=r"input 'data.csv' cannot be read: No such file.*gone.csv"):
        read_inputs([declared])


@pytest.fixture
def cache(tmp_path_factory):
    return DigestCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def large(monkeypatch):
    """Files are worth being remembered from the first byte, and a later process has read none yet."""
    monkeypatch.setattr("sciflow.provenance.inputs.WORTH_BYTES", 1)
    monkeypatch.setattr("sciflow.provenance.inputs._digests", {})


def poison(cache):
    """Have what the cache says be told from what is in the file."""
    for path in cache._folder.iterdir():
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "0" * 64}))


def test_a_large_file_is_read_once_by_all_sweeps_of_a_user(folder, cache, large, monkeypatch):
    declared = [Input.declare("data.csv")]
    read_inputs(declared, cache=cache)
    poison(cache)
    monkeypatch.setattr("sciflow.provenance.inputs._digests", {})

    assert contents(read_inputs(declared, cache=cache)) == {"data.csv": "0" * 64}
    assert stat.S_IMODE(cache._folder.stat().st_mode) == 0o700

    monkeypatch.setattr("sciflow.provenance.inputs._digests", {})
    before = (folder / "data.csv").stat()
    (folder / "data.csv").write_text("9,9")
    os.utime(folder / "data.csv", ns=(before.st_atime_ns, before.st_mtime_ns))  # only the time of change betrays it
    assert contents(read_inputs(declared, cache=cache)) == {"data.csv": hashlib.sha256(b"9,9").hexdigest()}


@pytest.mark.parametrize("harm", ["torn", "other", "list", "read-only", "file", "none"])
def test_without_a_cache_that_works_files_are_read_as_if_there_were_none(folder, tmp_path, large, monkeypatch, harm):
    cache = DigestCache(None if harm == "none" else tmp_path / "cache")
    declared = [Input.declare("data.csv")]
    if harm == "file":
        (tmp_path / "cache").write_text("in the way")
    read_inputs(declared, cache=cache)
    monkeypatch.setattr("sciflow.provenance.inputs._digests", {})
    for path in (tmp_path / "cache/digests").glob("*.json"):
        if harm in {"torn", "other", "list"}:
            path.write_text({"torn": '{"pa', "other": "{}", "list": "[]"}[harm])
    if harm == "read-only":
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "read-only")))
        cache.put("elsewhere", (1, 2, 3, 4, 5), "0" * 64)
        assert not list((tmp_path / "cache/digests").glob(".*.tmp"))

    assert contents(read_inputs(declared, cache=cache)) == {"data.csv": hashlib.sha256(b"1,2").hexdigest()}


@pytest.mark.parametrize(
    ("environ", "platform", "folder"),
    [
        ({"XDG_CACHE_HOME": "/x"}, "linux", "/x/sciflow"),
        ({"XDG_CACHE_HOME": "relative"}, "linux", "~/.cache/sciflow"),
        ({}, "darwin", "~/Library/Caches/sciflow"),
        ({"LOCALAPPDATA": "/local"}, "win32", "/local/sciflow/Cache"),
        ({}, "win32", None),
    ],
)
def test_the_cache_lies_where_each_system_keeps_such_things(environ, platform, folder):
    assert cache_folder(environ, platform) == (None if folder is None else Path(folder).expanduser())


def test_who_has_no_home_has_no_cache(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder({}, "linux") is None


def test_a_file_too_large_to_be_read_is_known_by_its_size_and_time(folder):
    declared = [Input.declare("data.csv", hash="size-mtime")]
    (entry,) = read_inputs(declared)
    assert entry == {
        "name": "data.csv",
        "hash": "size-mtime",
        "size_bytes": 3,
        "mtime_ns": (folder / "data.csv").stat().st_mtime_ns,
    }
    assert changed_inputs(declared, [entry]) == []
    os.utime(folder / "data.csv", (1, 1))
    assert changed_inputs(declared, [entry]) == ["data.csv"]
    (folder / "data.csv").unlink()
    with pytest.raises(WorkflowError, match=r"data\.csv"):
        read_inputs(declared)


def test_of_very_many_files_the_record_has_the_digest_of_their_list_as_sha256sum_prints_it(folder, monkeypatch):
    monkeypatch.setattr("sciflow.provenance.inputs.MOST_LISTED", 1)
    (entry,) = read_inputs([Input.declare("more")])

    lines = subprocess.run(
        ["sha256sum", "more/a.csv", "more/deep/b.txt"], cwd=folder, capture_output=True, check=True
    ).stdout
    assert entry == {
        "name": "more",
        "sha256": hashlib.sha256(lines).hexdigest(),
        "size_bytes": 2,
        "n_files": 2,
        "seen": None,
    }


def test_a_url_is_told_with_the_digest_that_its_author_says_and_without_secrets(folder):
    declared = Input.declare("https://me:token@example.org/data.csv?signature=secret", sha256="AB" * 32)
    (entry,) = read_inputs([declared])

    assert entry == {
        "name": "https://example.org/data.csv",
        "url": "https://example.org/data.csv",
        "sha256": "ab" * 32,
    }
    assert changed_inputs([declared], [entry]) == []


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ("https://example.org/data.csv", {}, "say what it holds"),
        ("data.csv", {"hash": "md5"}, "'content' or 'size-mtime'"),
        ("data.csv", {"sha256": "abc"}, "64 hex digits"),
        ("data.csv", {"sha256": 3}, "64 hex digits"),
        ("more", {"sha256": "0" * 64}, "one file or URL"),
        ("data.csv", {"sha256": "0" * 64, "hash": "size-mtime"}, "one file or URL"),
        ("nothing.csv", {}, r"no file is .*nothing.csv .*the working directory"),
    ],
)
def test_options_that_do_not_fit_an_input_are_refused_where_it_is_declared(folder, given, options, said):
    with pytest.raises(WorkflowError, match=said):
        Input.declare(given, **options)


def test_a_file_that_is_not_what_the_workflow_says_is_refused(folder):
    right = hashlib.sha256(b"1,2").hexdigest()
    assert contents(read_inputs([Input.declare("data.csv", sha256=right.upper())])) == {"data.csv": right}
    with pytest.raises(WorkflowError, match=rf"its sha256 is {right}, add_input says 0000"):
        read_inputs([Input.declare("data.csv", sha256="0" * 64)])


def test_reading_that_takes_long_is_told(folder, monkeypatch):
    monkeypatch.setattr("sciflow.provenance.inputs._QUIET_S", 0.0)
    monkeypatch.setattr("sciflow.provenance.inputs._digests", {})
    said = []
    read_inputs([Input.declare("more")], tell=said.append)

    assert said[0].startswith("reading inputs for their digests: 1 B so far, now ")


def test_what_changed_or_went_away_or_came_since_is_named(folder):
    declared = [Input.declare("data.csv"), Input.declare("more"), Input.declare("run[1].csv")]
    before = read_inputs(declared)
    assert changed_inputs(declared, before) == []

    (folder / "data.csv").write_text("7,8")
    (folder / "more" / "new.txt").write_text("new")
    (folder / "run[1].csv").unlink()
    assert changed_inputs(declared, before) == ["data.csv", "more/new.txt", "run[1].csv"]


def test_a_file_with_a_name_that_is_no_text_is_read(folder):
    Path(os.fsdecode(os.fsencode(folder) + b"/more/\xff.bin")).write_bytes(b"x")
    entries = read_inputs([Input.declare("more")])

    assert json.loads(json.dumps(entries)) == entries
    assert hashlib.sha256(b"x").hexdigest() in contents(entries).values()


@pytest.mark.parametrize("identity", ['{"workflow": "first", "sweep": "a-uuid"}', "torn", "[]", None])
def test_an_input_that_is_an_artifact_of_a_sweep_says_so_if_that_can_be_seen(folder, identity):
    old(folder / "sweeps/first/artifacts/v1234/model.bin", "weights")
    if identity is not None:
        (folder / "sweeps/first/sweep.json").write_text(identity)
    (entry,) = read_inputs([Input.declare("sweeps/first/artifacts/v1234/model.bin")])

    made_by = {"workflow": "first", "sweep": "a-uuid", "artifact": "v1234/model.bin"}
    assert entry.get("made_by") == (made_by if identity and "first" in identity else None)


# ------------------------------------------------------------------------------------------ while tasks may read them


CHANGES = {
    "edited": lambda folder: (folder / "data.csv").write_text("3,4"),
    "touched": lambda folder: os.utime(folder / "more" / "a.csv", (2, 2)),
    "gone": lambda folder: (folder / "data.csv").unlink(),
    "one more": lambda folder: (folder / "more" / "new.csv").write_text("n"),
    "another in its place": lambda folder: old(folder / "b", "1,2").replace(folder / "data.csv"),
}


@pytest.mark.parametrize("known_by", ["content", "size-mtime"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_watch_knows_until_when_inputs_were_as_they_had_been_read(folder, monkeypatch, change, known_by):
    monkeypatch.setattr("sciflow.provenance.inputs._WATCH_S", 0.0)
    monkeypatch.setattr("sciflow.provenance.inputs._PATIENCE", 0)
    declared = [Input.declare("data.csv", hash=known_by), Input.declare("more")]
    watch = InputWatch(declared, read_inputs(declared))
    begun = time.time()
    watch.tick()
    seen = watch.unchanged_until

    CHANGES[change](folder)
    watch.tick()

    assert begun <= seen <= time.time()
    assert watch.unchanged_until == seen


@pytest.mark.usefixtures("folder")
def test_a_watch_does_not_look_without_end():
    declared = [Input.declare("data.csv")]
    watch = InputWatch(declared, read_inputs(declared))
    watch.tick()
    seen = watch.unchanged_until
    watch.tick()

    assert seen is not None
    assert watch.unchanged_until == seen  # not again so soon


@pytest.mark.parametrize("why", ["young", "many", "none"])
def test_where_times_tell_nothing_nothing_is_said(folder, monkeypatch, why):
    if why == "young":
        (folder / "data.csv").write_text("1")
    if why == "many":
        monkeypatch.setattr("sciflow.provenance.inputs.MOST_LISTED", 1)
    declared = [] if why == "none" else [Input.declare("data.csv"), Input.declare("more")]
    watch = InputWatch(declared, read_inputs(declared))
    watch.tick()

    assert watch.unchanged_until is None
