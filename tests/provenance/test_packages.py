"""Installed packages, and where those came from that are from no index."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from sciflow.provenance.packages import read_installed, read_origin

if TYPE_CHECKING:
    from pathlib import Path


def installed(folder: Path, name: str, version: str, **files: str) -> metadata.Distribution:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not this one\n")
    for file, text in files.items():
        (info / file.replace("__", ".")).write_text(text)
    return metadata.Distribution.at(info)


def direct(**facts: object) -> str:
    return json.dumps(facts)


def git(*arguments: str, cwd: Path) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *arguments]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def test_the_origin_of_a_package_from_elsewhere_has_no_token_and_no_path(tmp_path):
    vcs = {"vcs": "git", "commit_id": "abc123"}
    found = read_installed(
        [
            installed(tmp_path, "plain", "1.0"),
            installed(tmp_path, "forked", "2.0", direct_url__json=direct(url="https://tok@x.org/f.git", vcs_info=vcs)),
            installed(tmp_path, "part", "2.1", direct_url__json=direct(url="h://x", vcs_info=vcs, subdirectory="p")),
            installed(
                tmp_path, "mine", "0.1", direct_url__json=direct(url="file:///none/mine", dir_info={"editable": True})
            ),
            installed(tmp_path, "local", "0.2", direct_url__json=direct(url="file:///home/me/local", dir_info={})),
            installed(
                tmp_path,
                "wheel",
                "0.3",
                direct_url__json=direct(url="https://a:b@x.org/w.whl", archive_info={"hashes": {"sha256": "9a"}}),
            ),
            installed(tmp_path, "broken", "0.4", direct_url__json="{"),
            installed(tmp_path, "odd", "0.5", direct_url__json="[]"),
        ]
    )

    assert dict(found.versions) == {
        "broken": "0.4",
        "forked": "2.0",
        "local": "0.2",
        "mine": "0.1",
        "odd": "0.5",
        "part": "2.1",
        "plain": "1.0",
        "wheel": "0.3",
    }
    assert found.origins == {
        "forked": {"kind": "git", "url": "https://x.org/f.git", "commit": "abc123"},
        "local": {"kind": "folder", "url": "…/local"},
        "mine": {"kind": "editable", "url": "…/mine"},
        "part": {"kind": "git", "url": "h://x", "commit": "abc123", "subdirectory": "p"},
        "wheel": {"kind": "archive", "url": "https://x.org/w.whl", "sha256": "9a"},
    }
    assert found.folders == (str(tmp_path),)


@pytest.mark.parametrize(
    ("url", "installer"),
    [
        ("file:///opt/conda/conda-bld/certifi_1/work", "pip"),
        ("file:///croot/certifi_1/work", None),
        ("file:///home/conda/feedstock_root/build_artifacts/x/work", ""),
        ("file:///anywhere", "conda\n"),
    ],
)
def test_the_folder_in_which_conda_built_a_package_is_not_its_origin(url, installer):
    assert read_origin(direct(url=url, dir_info={}), installer) is None


def test_an_editable_installation_is_known_by_the_commit_of_its_own_repository(tmp_path):
    folder = tmp_path / "my tool"
    folder.mkdir()
    (folder / "tool.py").write_text("x = 1\n")
    git("init", "-q", cwd=folder)
    said = direct(url=folder.as_uri(), dir_info={"editable": True})
    assert read_origin(said) == {"kind": "editable", "url": "…/my%20tool"}  # no commit yet
    git("add", ".", cwd=folder)
    git("commit", "-qm", "one", cwd=folder)
    commit = git("rev-parse", "HEAD", cwd=folder)

    assert read_origin(said) == {"kind": "editable", "url": "…/my%20tool", "commit": commit, "dirty": False}
    (folder / "tool.py").write_text("x = 2\n")
    assert read_origin(said) == {"kind": "editable", "url": "…/my%20tool", "commit": commit, "dirty": True}


def test_of_two_packages_of_one_name_the_importable_one_counts_and_stale_egg_info_never(tmp_path):
    egg = tmp_path / "project" / "My_Tool.egg-info"
    egg.mkdir(parents=True)
    (egg / "PKG-INFO").write_text("Name: My.Tool\nVersion: 0.1\n\n")
    empty = tmp_path / "empty-1.0.dist-info"
    empty.mkdir()

    found = read_installed(
        [
            metadata.Distribution.at(egg),
            installed(tmp_path / "first", "my-tool", "2.0"),
            installed(tmp_path / "second", "my_tool", "1.0"),
            metadata.Distribution.at(empty),
        ]
    )

    assert dict(found.versions) == {"my-tool": "2.0"}
