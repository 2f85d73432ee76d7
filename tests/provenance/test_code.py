from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sciflow.provenance import code

if TYPE_CHECKING:
    from pathlib import Path


def capture_code(folder):
    return code.capture_code(folder).facts


@pytest.fixture(autouse=True)
def own_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }.items():
        monkeypatch.setenv(name, value)


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "train.py").write_text("x = 1\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def test_a_clean_repository_is_known_by_its_commit_and_its_tree_is_that_of_the_commit(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://user:token@example.org/a/project.git")
    git(repository, "remote", "add", "mine", "git@example.org:me/project.git")
    git(repository, "tag", "v1")

    assert capture_code(repository / "models") == {
        "repository": {
            "name": "project",
            "commit": git(repository, "rev-parse", "HEAD"),
            "branch": "main",
            "describe": "v1",
            "upstream": None,
            "dirty": False,
            "n_untracked": 0,
            "remote": "https://example.org/a/project.git",
            "remotes": {
                "origin": "https://example.org/a/project.git",
                "mine": "git@example.org:me/project.git",
            },
            "folder": "models",
            "tree": git(repository, "rev-parse", "HEAD^{tree}"),
            "left_out": [],
            "patch": None,
            "archive": {"n_files": 1, "content_bytes": 6},
            "submodules": [],
        }
    }


def test_changed_renamed_and_new_files_are_told_apart(repository: Path) -> None:
    (repository / "new.py").write_text("1 looks like a changed entry")
    only_new = capture_code(repository)["repository"]
    git(repository, "mv", "models/train.py", "models/fit.py")
    renamed = capture_code(str(repository))["repository"]

    assert (only_new["dirty"], only_new["n_untracked"]) == (False, 1)
    assert (renamed["dirty"], renamed["n_untracked"]) == (True, 1)


def test_a_detached_head_has_no_branch_and_another_remote_will_do(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "--detach")
    git(repository, "remote", "add", "upstream", "git@example.org:a/project.git")

    facts = capture_code(repository)["repository"]

    assert facts["branch"] is None
    assert facts["remote"] == "git@example.org:a/project.git"


def test_a_repository_without_commits_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")

    facts = capture_code(tmp_path)["repository"]

    assert (facts["commit"], facts["branch"], facts["remote"]) == (None, "main", None)


def test_a_folder_outside_any_repository_has_none(tmp_path: Path) -> None:
    assert capture_code(tmp_path) == {"repository": None}


def test_a_folder_that_does_not_exist_is_a_problem_and_no_error(tmp_path: Path) -> None:
    facts = capture_code(tmp_path / "none")

    assert facts["repository"] is None
    assert "no such folder" in facts["problem"]


def test_a_repository_of_somebody_else_is_a_problem_and_no_error(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for such tests

    facts = capture_code(repository)

    assert facts["repository"] is None
    assert "dubious ownership" in facts["problem"]
    assert "git config --global --add safe.directory" in facts["problem"]
    assert str(repository) not in facts["problem"]


def test_a_damaged_repository_is_a_problem_and_no_error(repository: Path) -> None:
    (repository / ".git" / "config").write_text("[core\n")

    facts = capture_code(repository)

    assert facts["repository"] is None
    assert facts["problem"]


def test_looking_does_not_write_the_index(repository: Path) -> None:
    os.utime(repository / "models" / "train.py", (1, 1))  # git would refresh its cache of file times
    before = (repository / ".git" / "index").read_bytes()

    capture_code(repository)

    assert (repository / ".git" / "index").read_bytes() == before


def test_a_machine_without_gitpython_is_a_problem_and_no_error(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "git", None)  # what Python does for a package that cannot be imported

    facts = capture_code(repository)

    assert facts["repository"] is None
    assert "git" in facts["problem"]


def test_a_machine_without_a_git_program_is_a_problem_and_no_error(repository: Path) -> None:
    script = (
        "import json, sys; from sciflow.provenance.code import capture_code; "
        "print(json.dumps(capture_code(sys.argv[1]).facts))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, repository], env={"PATH": ""}, capture_output=True, text=True, check=True
    )

    facts = json.loads(ran.stdout)

    assert facts["repository"] is None
    assert "git" in facts["problem"]
