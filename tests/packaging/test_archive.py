from __future__ import annotations

import hashlib
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sciflow.errors import PackageError
from sciflow.packaging.archive import manifest_of, write_archive


def nothing_more(digests, sizes):
    return {}


def test_the_same_contents_give_the_same_bytes_whatever_their_order_and_dates(tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(b"0123456789" * 300_000)
    write_archive(tmp_path / "one.zip", {"a.txt": b"text" * 99, "z/b.bin": big}, nothing_more)
    os.utime(big, (1_000_000_000, 1_000_000_000))
    big.chmod(0o600)
    write_archive(tmp_path / "two.zip", {"z/b.bin": big, "a.txt": b"text" * 99}, nothing_more)

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_members_are_sorted_plain_files_without_a_date_of_their_own(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.zip", {"b": b"2", "a": b"1", "c/d": b"3"}, nothing_more)

    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        entries = archive.infolist()
        assert archive.testzip() is None
    assert [entry.filename for entry in entries] == ["a", "b", "c/d"]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}


def test_what_does_not_shrink_is_stored(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(200_000)
    file = tmp_path / "noise"
    file.write_bytes(noise)
    write_archive(tmp_path / "x.zip", {"noise": file, "zeros": bytes(200_000)}, nothing_more)

    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.getinfo("noise").compress_type == zipfile.ZIP_STORED
        assert archive.getinfo("zeros").compress_type == zipfile.ZIP_DEFLATED
        assert archive.read("noise") == noise
        assert archive.read("zeros") == bytes(200_000)


def test_further_members_are_made_from_the_digests_of_the_others(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    write_archive(
        tmp_path / "x.zip",
        {"file": file, "text": b"words"},
        lambda digests, sizes: {"sums": manifest_of(digests) + str(sizes).encode()},
    )

    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        lines = archive.read("sums").decode().splitlines()
    assert lines == [
        f"{hashlib.sha256(b'content').hexdigest()}  file",
        f"{hashlib.sha256(b'words').hexdigest()}  text",
        "{'file': 7, 'text': 5}",
    ]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"old")

    with pytest.raises(FileNotFoundError):
        write_archive(tmp_path / "x.zip", {"file": tmp_path / "none"}, nothing_more)

    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]
    assert (tmp_path / "x.zip").read_bytes() == b"old"


def test_an_archive_can_be_read_by_others(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.zip", {"a": b"1"}, nothing_more)

    assert (tmp_path / "x.zip").stat().st_mode & 0o777 == 0o644


def test_what_is_read_in_place_is_stored_and_what_is_looked_for_first_stands_first(tmp_path: Path) -> None:
    members = {"a": bytes(10_000), "data.seg": bytes(10_000), "README.md": b"read me"}
    write_archive(
        tmp_path / "x.zip", members, nothing_more, first=["README.md"], stored=lambda name: name.endswith(".seg")
    )

    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.namelist() == ["README.md", "a", "data.seg"]
        assert archive.getinfo("data.seg").compress_type == zipfile.ZIP_STORED
        assert archive.getinfo("a").compress_type == zipfile.ZIP_DEFLATED


def test_packing_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[int] = []
    (tmp_path / "file").write_bytes(bytes(3 << 20))

    write_archive(tmp_path / "x.zip", {"file": tmp_path / "file", "t": b"abc"}, nothing_more, progress=told.append)

    assert sum(told) == (3 << 20) + 3
    assert len(told) > 2


def test_line_ends_in_names_do_not_break_manifests() -> None:
    assert manifest_of({"a\nb%": "0" * 64}) == b"0" * 64 + b"  a%0Ab%25\n"


def test_there_may_be_more_files_than_a_process_may_open(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for k in range(120):
        (files / f"{k}").write_bytes(b"%d" % k)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 60, hard))
    try:
        write_archive(tmp_path / "x.zip", {path.name: path for path in files.iterdir()}, nothing_more)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {f"{k}": b"%d" % k for k in range(120)}


def test_a_file_that_changes_while_it_is_packed_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")

    def change(digests, sizes):
        (tmp_path / "file").write_bytes(b"two")
        return {}

    with pytest.raises(PackageError, match=r"file changed while it was packed"):
        write_archive(tmp_path / "x.zip", {"file": tmp_path / "file"}, change)

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
