"""The explicit list of a conda environment, from the records that conda leaves."""

from __future__ import annotations

import json

from sciflow.provenance.conda import conda_packages


def record(folder, name, **facts):
    path = folder / "conda-meta" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    # as conda writes them, with digests of single files deeper inside
    paths = {"paths": [{"_path": "bin/x", "sha256": "0" * 64, "md5": "wrong"}], "paths_version": 1}
    path.write_text(json.dumps({"build": "py_0", "name": name, **facts, "paths_data": paths}, indent=2))
    return path


def test_packages_are_listed_with_address_and_digest_and_without_tokens(tmp_path):
    record(
        tmp_path, "numpy", version="2.1.0", md5="ab" * 16, url="https://conda.org/t/tk-123/pkgs/linux-64/numpy.conda"
    )
    record(tmp_path, "private", version="1", md5="cd" * 16, url="https://me:word@host.org/private.conda")
    record(tmp_path, "by-hand", version="3")

    assert conda_packages(["/nowhere", str(tmp_path)]) == {
        "versions": {"by-hand": "3", "numpy": "2.1.0", "private": "1"},
        "explicit": [
            "by-hand-3-py_0",
            f"https://conda.org/pkgs/linux-64/numpy.conda#{'ab' * 16}",
            f"https://host.org/private.conda#{'cd' * 16}",
        ],
    }


def test_records_in_one_line_are_read_too_and_damaged_ones_left_out(tmp_path):
    record(tmp_path, "numpy").write_text('{"name": "numpy", "version": "2.0", "build": "b", "md5": "e", "size": 3}')
    record(tmp_path, "torn").write_text('{"name": "torn", "versi')
    record(tmp_path, "list").write_text("[]")

    assert conda_packages([str(tmp_path)]) == {"versions": {"numpy": "2.0"}, "explicit": ["numpy-2.0-b#e"]}


def test_a_record_that_goes_away_meanwhile_is_left_out(tmp_path):
    record(tmp_path, "numpy", version="1")
    (tmp_path / "conda-meta" / "gone.json").symlink_to(tmp_path / "nothing")

    assert conda_packages([str(tmp_path)]) == {"versions": {"numpy": "1"}, "explicit": ["numpy-1-py_0"]}


def test_outside_of_conda_there_is_no_list(tmp_path):
    assert conda_packages([str(tmp_path)]) is None
