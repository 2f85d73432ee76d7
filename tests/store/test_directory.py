"""The sweep directory: whose it is, and its definitions and environments."""

from __future__ import annotations

import errno
import json
import multiprocessing as mp
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from sciflow.errors import FormatError, StoreWriteError, SweepMismatchError
from sciflow.store import atomic
from sciflow.store.directory import SweepDirectory


@pytest.fixture
def sweep(tmp_path):
    return SweepDirectory.create_or_open(tmp_path / "s", "w", seed=7)


def names_in(path):
    return [entry.name for entry in path.iterdir()]


def test_a_sweep_is_opened_again_as_it_was_made(sweep):
    again = SweepDirectory.create_or_open(sweep.path, "w", seed=7)
    read = SweepDirectory.open(str(sweep.path))

    assert again == read == sweep
    assert (read.workflow, read.seed) == ("w", 7)
    assert set(sweep.identity) == {"format", "workflow", "seed", "created", "sweep"}


def _create(path):
    return SweepDirectory.create_or_open(path, "w", 0).identity["sweep"]


def test_creators_at_one_time_agree(tmp_path):
    with ProcessPoolExecutor(4, mp_context=mp.get_context("forkserver")) as pool:
        names = list(pool.map(_create, [tmp_path / "s"] * 16))

    assert len(set(names)) == 1
    assert not [name for name in names_in(tmp_path / "s") if atomic.is_temporary(name)]


def test_another_workflow_or_seed_is_refused_with_both_and_a_remedy(sweep):
    with pytest.raises(SweepMismatchError, match=r"'w', not of 'v'; give the workflow another name or"):
        SweepDirectory.create_or_open(sweep.path, "v", seed=7)
    with pytest.raises(SweepMismatchError, match=r"seed 7, the workflow now has seed 8; set seed=7"):
        SweepDirectory.create_or_open(sweep.path, "w", seed=8)


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")

    with pytest.raises(FormatError, match=r"not empty and is not a sweep \(it has thesis\.tex\)"):
        SweepDirectory.create_or_open(tmp_path, "w", seed=0)
    assert names_in(tmp_path) == ["thesis.tex"]


def test_a_place_without_a_sweep_is_named(tmp_path):
    with pytest.raises(FormatError, match=r"there is no sweep in .*nowhere"):
        SweepDirectory.open(tmp_path / "nowhere")


def test_a_newer_format_is_refused(sweep):
    marker = sweep.path / "sweep.json"
    marker.write_text(json.dumps({**sweep.identity, "format": 2}))

    with pytest.raises(FormatError, match=r"sweep\.json has format 2, .* upgrade sciflow"):
        SweepDirectory.create_or_open(sweep.path, "w", seed=7)


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_a_damaged_marker_is_named(sweep, content):
    (sweep.path / "sweep.json").write_text(content)

    with pytest.raises(FormatError, match=r"sweep\.json is damaged"):
        SweepDirectory.open(sweep.path)


def test_a_place_that_cannot_be_made_is_a_write_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreWriteError, match=r"cannot write .*file"):
        SweepDirectory.create_or_open(tmp_path / "file" / "s", "w", seed=0)


def test_a_definition_that_says_the_same_is_not_a_new_revision(sweep):
    assert sweep.newest_definition() is None
    assert sweep.add_definition({"space": [1, 2]}) == 1
    assert sweep.add_definition({"space": (1, 2)}) == 1
    assert sweep.add_definition({"space": [1, 2, 3]}) == 2
    assert sweep.add_definition({"space": [1, 2]}) == 3
    assert [d["revision"] for d in sweep.definitions()] == [1, 2, 3]
    assert sweep.newest_revision() == 3
    assert sweep.definitions()[1]["space"] == [1, 2, 3]


def _define(args):
    path, k = args
    return SweepDirectory.open(path).add_definition({"k": k})


def test_definitions_added_at_one_time_get_numbers_of_their_own(sweep):
    with ProcessPoolExecutor(4, mp_context=mp.get_context("forkserver")) as pool:
        numbers = list(pool.map(_define, [(sweep.path, k) for k in range(12)]))

    assert sorted(numbers) == list(range(1, 13))
    assert sorted(d["k"] for d in sweep.definitions()) == list(range(12))


def test_a_damaged_definition_is_named(sweep):
    (sweep.path / "definition" / "000001.json").write_text("{")

    with pytest.raises(FormatError, match=r"000001\.json is damaged"):
        sweep.definitions()


def test_an_environment_is_kept_once(sweep):
    digest = sweep.add_environment({"python": "3.11"})

    assert sweep.add_environment({"python": "3.11"}) == digest
    assert sweep.environments() == {digest: {"python": "3.11"}}


def test_a_reader_needs_only_the_marker(sweep, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "sweep.json").write_bytes((sweep.path / "sweep.json").read_bytes())

    read = SweepDirectory.open(copy)

    assert read.definitions() == read.sessions() == []
    assert read.snapshot().frames == ()
    assert names_in(copy) == ["sweep.json"]


# ---------------------------------------------------------------------------------------------- atomic files


def test_of_two_that_publish_one_name_the_second_is_told(tmp_path):
    assert atomic.publish(tmp_path / "a", b"1")
    assert not atomic.publish(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_a_file_is_still_published_once(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)

    assert atomic.publish(tmp_path / "a", b"1")
    assert not atomic.publish(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert names_in(tmp_path) == ["a"]


def test_a_link_whose_answer_was_lost_is_found_to_be_made(tmp_path, monkeypatch):
    link = os.link

    def lose_the_answer(*args):
        link(*args)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", lose_the_answer)

    assert atomic.publish(tmp_path / "a", b"1")


def test_a_link_that_fails_otherwise_is_a_write_error(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", refuse)

    with pytest.raises(StoreWriteError, match=r"cannot write .*a: Input/output error \(EIO\)"):
        atomic.publish(tmp_path / "a", b"1")
    assert not names_in(tmp_path)


def test_a_replacement_that_fails_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "a").mkdir()

    with pytest.raises(StoreWriteError, match="cannot write"):
        atomic.replace(tmp_path / "a", b"1")
    assert names_in(tmp_path) == ["a"]


def test_names_that_only_look_numbered_are_passed_over(tmp_path):
    for name in ("000002.json", "000001.json", "x.json", "000003.end", ".000004.json.1.tmp"):
        (tmp_path / name).write_text("")

    assert [number for number, _ in atomic.numbered(tmp_path, ".json")] == [1, 2]
    assert list(atomic.numbered(tmp_path / "none", ".json")) == []


@pytest.mark.parametrize("write", [atomic.publish, atomic.replace])
def test_a_read_only_file_system_is_said_with_its_path(tmp_path, monkeypatch, write):
    # there even removing what does not exist fails
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(type(tmp_path), "unlink", refuse)

    with pytest.raises(StoreWriteError, match=r"cannot write .*a: Read-only file system \(EROFS\)"):
        write(tmp_path / "a", b"1")
