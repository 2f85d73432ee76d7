from __future__ import annotations

import errno
import os
import re

import pytest

from sciflow.errors import StoreWriteError
from sciflow.store.code import CodeShelf, keep_code


def write_half(shelf, error):
    with shelf.writing("half") as file:
        file.write(b"half")
        raise error


def test_a_file_on_the_shelf_is_there_whole_or_not_at_all(tmp_path):
    shelf = CodeShelf(tmp_path)

    with shelf.writing("a.patch") as file:
        file.write(b"12")
        assert shelf.size_of("a.patch") is None
        file.write(b"3")
    with pytest.raises(KeyError):
        write_half(shelf, KeyError())

    assert shelf.size_of("a.patch") == 3
    assert [path.name for path in (tmp_path / "code").iterdir()] == ["a.patch"]


def test_whoever_comes_second_with_the_same_file_does_no_harm(tmp_path):
    shelf = CodeShelf(tmp_path)

    with shelf.writing("a") as first, shelf.writing("a") as second:
        first.write(b"same")
        second.write(b"same")

    assert (tmp_path / "code" / "a").read_bytes() == b"same"
    assert shelf.size_of("a") == 4


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "code").write_text("in the way")
    shelf = CodeShelf(tmp_path)

    assert shelf.size_of("a") is None
    with pytest.raises(StoreWriteError, match=re.escape(str(tmp_path / "code" / "a"))), shelf.writing("a"):
        pass


def test_what_fails_while_it_is_written_is_an_error_of_the_store_and_leaves_nothing(tmp_path):
    with pytest.raises(StoreWriteError, match="No space left"):
        write_half(CodeShelf(tmp_path), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    assert [*(tmp_path / "code").iterdir()] == []


def test_frozen_files_and_the_shelf_share_a_folder(tmp_path):
    with CodeShelf(tmp_path).writing("x.tar.gz") as file:
        file.write(b"1")

    folder = keep_code(tmp_path, {"pkg/a.py": b"a"}, "digest")

    assert (folder / "pkg" / "a.py").read_bytes() == b"a"
    assert sorted(path.name for path in (tmp_path / "code").iterdir()) == ["digest", "x.tar.gz"]
