"""The tree of the code is what was on disk, and the repository that it was read from is as it was."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from git import GitCommandError

from sciflow.errors import StoreWriteError
from sciflow.provenance import repository as captured
from sciflow.provenance import untracked
from sciflow.provenance.code import capture_code
from sciflow.provenance.patch import write_patch
from sciflow.provenance.patience import Patience
from sciflow.provenance.plumbing import Git
from sciflow.provenance.sources import Source, Sources
from sciflow.store.code import CodeShelf

TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ012345"  # no token of anybody's


@pytest.fixture(autouse=True)
def own_configuration(monkeypatch, tmp_path):
    configuration = tmp_path / "gitconfig"
    configuration.write_text('[protocol "file"]\n\tallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "a")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@example.org")
    return configuration


def git(folder, *words, **more):
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, **more)
    return done.stdout.decode(errors="surrogateescape").strip()


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def commit(folder, files=None, message="more"):
    write(folder, files or {})
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", message)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    commit(folder, {"run.py": "x = 1\n", "pkg/model.py": "y = 2\n", "data.bin": bytes(range(256)) * 40})
    return folder


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "sweep"
    folder.mkdir()
    return folder


def capture(folder, sweep=None, **more):
    shelf = None if sweep is None else CodeShelf(sweep)
    return capture_code(folder, shelf=shelf, **more)


def facts_of(folder, sweep=None, **more):
    return capture(folder, sweep, **more).facts["repository"]


def unpack(sweep, facts, into):
    with tarfile.open(sweep / facts["archive"]["file"]) as archive:
        archive.extractall(into, filter="tar")
    for one in facts["submodules"]:
        unpack(sweep, one, into / one["path"])
    return into


def files_below(folder):
    """Name → content and whether it can be run, of all files that belong to the code."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = path.relative_to(folder)
        if ".git" in name.parts:
            continue
        if path.is_symlink():
            found[str(name)] = str(path.readlink())
        elif path.is_file():
            found[str(name)] = path.read_bytes(), bool(path.stat().st_mode & 0o100)
    return found


def state_of(folder):
    """All that lies in a folder, with the times; reading must not change it."""
    paths = [folder, *folder.rglob("*")]
    return {
        str(path): (
            path.lstat().st_mtime_ns,
            path.lstat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in paths
    }


@pytest.fixture
def dirty(tmp_path, project):
    """A repository with everything that is hard: what is asked for is what the tests compare."""
    library = tmp_path / "library"
    library.mkdir()
    commit(library, {"lib.py": "z = 1\n", "deep/more.py": ""})
    write(project, {"dos.txt": b"one\r\ntwo\r\n", "mixed.txt": b"one\r\ntwo\n", "gone.py": "", "tool.sh": "true\n"})
    write(project, {"export.txt": "$Format:%H$\n", ".gitattributes": "export.txt export-subst\npkg export-ignore\n"})
    (project / "link").symlink_to("run.py")
    git(project, "submodule", "--quiet", "add", str(library), "sub")
    commit(project)
    git(project, "remote", "add", "origin", f"https://user:{TOKEN}@example.org/a/project.git")
    git(project / "sub", "remote", "set-url", "origin", f"https://{TOKEN}@example.org/library.git")

    write(project, {"data.bin": bytes(range(255, -1, -1)) * 41, "run.py": "x = 2\n"})
    write(project, {"dos.txt": b"one\r\nthree\r\n", "mixed.txt": b"three\r\ntwo\n"})
    write(project, {"new.py": "n = 1\r\n", "pkg/__init__.py": "", "no newline": "end", "staged.py": "1\n"})
    write(project, {os.fsdecode(b"caf\xe9.py"): "1\n", ' "quoted"\n\t.py': "2\n", "-p": "3\n", ":(top)x": "4\n"})
    git(project, "add", "staged.py")
    write(project, {"staged.py": "2\n"})
    (project / "tool.sh").chmod(0o755)
    (project / "gone.py").unlink()
    (project / "link").unlink()
    (project / "link").symlink_to("new.py")
    write(project, {"sub/lib.py": "z = 2\n", "sub/extra.py": "e\n"})
    return project


HOSTILE = """
[diff]
    noprefix = true
    mnemonicPrefix = true
    external = touch {trap} #
    context = 0
    submodule = log
    ignoreSubmodules = all
    renames = copies
[color]
    ui = always
[core]
    autocrlf = true
    safecrlf = true
    fsmonitor = touch {trap} #
    hooksPath = {hooks}
    splitIndex = true
    untrackedCache = true
    quotePath = false
[status]
    showUntrackedFiles = no
    submoduleSummary = true
    short = true
[apply]
    whitespace = error
[diff "slow"]
    textconv = touch {trap}; sleep 60; cat
[tar]
    umask = user
"""


def test_what_is_kept_of_a_repository_in_disorder_is_what_ran_whatever_the_user_has_configured(
    tmp_path, dirty, sweep, own_configuration
):
    hooks, trap = tmp_path / "hooks", tmp_path / "trap"
    hooks.mkdir()
    (hooks / "post-index-change").write_text(f"#!/bin/sh\ntouch {trap}\n")
    (hooks / "post-index-change").chmod(0o755)
    own_configuration.write_text(HOSTILE.format(trap=trap, hooks=hooks) + own_configuration.read_text())
    write(dirty, {".git/info/attributes": "*.bin diff=slow\n*.txt diff=slow\n"})
    before = state_of(dirty)

    facts = facts_of(dirty, sweep)

    assert state_of(dirty) == before, "the repository is untouched, down to the times of its files"
    assert not trap.exists(), "no program of the user's configuration ran"
    assert (facts["dirty"], facts["left_out"], facts.get("problem")) == (True, [], None)
    assert facts["patch"]["applies"]
    assert facts["submodules"][0]["patch"]["applies"]
    assert files_below(unpack(sweep, facts, tmp_path / "unpacked")) == files_below(dirty)
    for path in [*sweep.rglob("*")]:
        content = path.read_bytes() if path.is_file() else b""
        assert TOKEN.encode() not in (gzip.decompress(content) if path.suffix == ".gz" else content)
    assert TOKEN not in json.dumps(facts)
    assert facts["remote"] == "https://example.org/a/project.git"
    assert facts["submodules"][0]["remote"] == "https://example.org/library.git"


def test_the_patch_makes_of_a_clone_what_ran(tmp_path, dirty, sweep):
    facts = facts_of(dirty, sweep)
    (library,) = facts["submodules"]
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(dirty), str(clone))
    git(clone, "checkout", "--quiet", facts["commit"])
    git(tmp_path, "clone", "--quiet", str(tmp_path / "library"), str(clone / "sub"))

    for folder, one in ((clone, facts), (clone / "sub", library)):
        git(folder, "apply", str(sweep / one["patch"]["file"]))
        assert hashlib.sha256((sweep / one["patch"]["file"]).read_bytes()).hexdigest() == one["patch"]["sha256"]

    assert files_below(clone) == files_below(dirty)
    assert library["commit"] == git(dirty / "sub", "rev-parse", "HEAD")
    assert (library["path"], library["dirty"], library["n_untracked"]) == ("sub", True, 1)


def test_the_tree_is_the_one_that_git_itself_would_commit(project):
    write(project, {"new.py": "", "run.py": "x = 3\n"})

    tree = facts_of(project)["tree"]

    git(project, "add", "--all")
    assert tree == git(project, "write-tree")


def test_the_same_tree_gives_the_same_bytes_and_is_written_once(tmp_path, project, sweep):
    first = facts_of(project, sweep)
    file = sweep / first["archive"]["file"]
    content, inode = file.read_bytes(), file.stat().st_ino
    os.utime(project / "run.py", (1, 1))

    facts_of(project, sweep)
    (tmp_path / "another").mkdir()
    facts_of(project, tmp_path / "another")

    assert file.stat().st_ino == inode
    assert (tmp_path / "another" / first["archive"]["file"]).read_bytes() == content
    assert [path.name for path in (sweep / "code").iterdir()] == [f"{first['tree']}.tar.gz"]


def test_changes_that_git_was_told_not_to_see_are_seen(project, sweep, tmp_path):
    git(project, "update-index", "--assume-unchanged", "run.py")
    git(project, "update-index", "--skip-worktree", "pkg/model.py", "data.bin")
    write(project, {"run.py": "x = 5\n", "pkg/model.py": "y = 5\n"})
    (project / "data.bin").unlink()
    before = state_of(project)

    facts = facts_of(project, sweep)

    unpacked = files_below(unpack(sweep, facts, tmp_path / "unpacked"))
    assert (unpacked["run.py"][0], unpacked["pkg/model.py"][0]) == (b"x = 5\n", b"y = 5\n")
    assert "data.bin" in unpacked, "what a sparse checkout does not have is not deleted"
    assert state_of(project) == before


def test_a_split_index_is_left_alone(project):
    git(project, "update-index", "--split-index")
    write(project, {"run.py": "x = 7\n"})
    assert [*(project / ".git").glob("sharedindex.*")]
    before = state_of(project)

    facts = facts_of(project)

    assert state_of(project) == before
    git(project, "add", "--all")
    assert facts["tree"] == git(project, "write-tree")


def test_a_file_edited_within_the_resolution_of_its_time_is_read_again(project):
    git(project, "config", "core.trustctime", "false")  # so that a test can make such a file
    now = 1_700_000_000 * 10**9
    os.utime(project / "run.py", ns=(now, now))
    git(project, "add", "run.py")
    write(project, {"run.py": "x = 9\n"})  # of the same size
    for name in ("run.py", ".git/index"):
        os.utime(project / name, ns=(now, now))

    facts = facts_of(project)

    assert facts["dirty"]
    assert facts["tree"] != git(project, "rev-parse", "HEAD^{tree}")


# ------------------------------------------------------------------ what is left out


def test_what_is_no_code_or_secret_is_left_out_and_listed(project, monkeypatch):
    monkeypatch.setattr(untracked, "MOST_BYTES", 1000)
    sweeps = project / "my [sweeps]"
    write(
        project,
        {
            ".gitignore": "cache/\n*.log\n",
            "cache/x": "x",
            "a.log": "12",
            "large.dat": b"1" * 1001,
            ".env": f"TOKEN={TOKEN}\n",
            "deploy/key.pem": "s",
            "id_rsa": "s",
            ".netrc": "s",
            "id_map.py": "code",
            "venv/pyvenv.cfg": "",
            "venv/lib/a.py": "",
            "other/sweep.json": "{}",
            "other/code/x.py": "",
            "pkg/__pycache__/model.pyc": "c",
            "my [sweeps]/one/sweep.json": "{}",
            "my [sweeps]/one/x.py": "",
            "my [sweeps]/mine.py": "",
        },
    )
    commit_of_another = project / "vendor"
    commit_of_another.mkdir()
    commit(commit_of_another, {"v.py": ""})
    (project / "secret.txt").write_text("")
    (project / "dangling").symlink_to("nowhere")

    code = capture(project, outside=[sweeps / "one"])

    facts = code.facts["repository"]
    assert {one["path"]: one["reason"] for one in facts["left_out"]} == {
        "large.dat": "not tracked, and larger than 0 MB",
        ".env": "may hold secrets",
        "deploy/key.pem": "may hold secrets",
        "id_rsa": "may hold secrets",
        ".netrc": "may hold secrets",
        "venv/": "a virtual environment",
        "other/": "a sweep",
        "pkg/__pycache__/": "compiled files",
        "vendor/": "a repository of its own, which is no submodule",
        "cache/": "ignored by Git",
        "a.log": "ignored by Git",
    }
    assert facts["left_out"][0] == {"path": "large.dat", "reason": "not tracked, and larger than 0 MB", "bytes": 1001}
    (tree,) = code.trees
    assert {os.fsdecode(path) for path in tree.blobs} == {
        ".gitignore", "data.bin", "id_map.py", "my [sweeps]/mine.py", "pkg/model.py", "run.py", "secret.txt",
    }  # fmt: skip
    assert facts["n_untracked"] == 11
    assert TOKEN not in json.dumps(facts)


def test_a_huge_untracked_file_is_not_even_read(project):
    with (project / "huge.dat").open("wb") as file:
        file.truncate(3_000_000_000)

    facts = facts_of(project, patience=Patience(20.0))

    reason = "not tracked, and larger than 10 MB"
    assert facts["left_out"] == [{"path": "huge.dat", "reason": reason, "bytes": 3_000_000_000}]
    assert facts["tree"] == git(project, "rev-parse", "HEAD^{tree}")


def test_of_very_many_untracked_files_the_small_ones_are_kept_and_the_rest_is_summed_up(project, monkeypatch):
    monkeypatch.setattr(untracked, "MOST_FILES", 3)
    monkeypatch.setattr(untracked, "MOST_NAMED", 2)
    write(project, {f"many/{k}.py": "x" * k for k in range(8)})

    facts = facts_of(project)

    reason = "too many files that are not tracked"
    assert facts["left_out"] == [
        {"path": "many/7.py", "reason": reason, "bytes": 7},
        {"path": "many/6.py", "reason": reason, "bytes": 6},
        {"path": "…", "reason": "further ones, for the reasons above", "bytes": 12, "n_files": 3},
    ]
    assert facts["n_untracked"] == 8


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_left_out(project):  # pragma: no cover
    write(project, {"mine.py": ""})
    (project / "mine.py").chmod(0)

    assert facts_of(project)["left_out"] == [{"path": "mine.py", "reason": "cannot be read"}]


def test_a_file_that_vanishes_while_it_is_looked_at_is_left_out(tmp_path):
    kept, left = untracked.choose([b"gone.py"], os.fsencode(tmp_path))

    assert (kept, [one.to_dict() for one in left]) == ([], [{"path": "gone.py", "reason": "cannot be read"}])


def test_files_that_a_filter_keeps_elsewhere_are_said_to_be(project, sweep, tmp_path):
    write(project, {".gitattributes": "*.dat filter=lfs\n*.bin -filter\n", "big.dat": "a pointer"})
    git(project, "config", "filter.lfs.clean", "tr a-z A-Z")
    git(project, "config", "filter.lfs.smudge", f"touch {tmp_path / 'trap'}; cat")

    facts = facts_of(project, sweep)

    assert facts["left_out"] == []
    commit(project)
    facts = facts_of(project, sweep)
    assert facts["left_out"] == [{"path": "big.dat", "reason": "in the tree as the filter 'lfs' keeps it", "bytes": 9}]
    assert files_below(unpack(sweep, facts, tmp_path / "unpacked"))["big.dat"][0] == b"A POINTER"
    assert not (tmp_path / "trap").exists()


def test_too_large_a_tree_or_patch_is_described_and_not_kept(project, sweep, monkeypatch):
    monkeypatch.setattr(captured, "MOST_BYTES", 100)
    monkeypatch.setattr("sciflow.provenance.patch.MOST_BYTES", 100)
    write(project, {"data.bin": os.urandom(5000)})

    facts = facts_of(project, sweep)

    assert facts["tree"]
    assert facts["archive"] == {"n_files": 3, "content_bytes": 5012, "problem": "larger than 0 MB, and not kept"}
    assert facts["patch"]["problem"] == "larger than 0 MB, and left out"
    assert not (sweep / "code").exists()


# ------------------------------------------------------------------ repositories of other shapes


def test_a_repository_without_a_commit_has_a_tree(tmp_path, sweep):
    project = tmp_path / "fresh"
    project.mkdir()
    git(project, "init", "--quiet", "--initial-branch=main")
    write(project, {"run.py": "x = 1\n"})

    facts = facts_of(project, sweep)

    assert (facts["commit"], facts["branch"], facts["describe"]) == (None, "main", None)
    assert facts["patch"] == {"problem": "there is no commit to begin from"}
    assert files_below(unpack(sweep, facts, tmp_path / "unpacked")) == files_below(project)


def test_a_linked_worktree_is_its_own_also_of_a_bare_repository(tmp_path, project, sweep):
    bare, linked = tmp_path / "bare.git", tmp_path / "linked"
    git(tmp_path, "clone", "--quiet", "--bare", str(project), str(bare))
    git(bare, "worktree", "add", "--quiet", "-b", "mine", str(linked))
    write(linked, {"run.py": "x = 4\n"})
    before = state_of(bare)

    facts = facts_of(linked / "pkg", sweep)

    assert (facts["branch"], facts["folder"], facts["dirty"]) == ("mine", "pkg", True)
    assert facts["patch"]["applies"]
    assert files_below(unpack(sweep, facts, tmp_path / "unpacked")) == files_below(linked)
    assert state_of(bare) == before
    assert facts_of(bare)["problem"] == "a bare repository has no files"
    assert facts_of(bare)["commit"] == facts["commit"]


def test_a_shallow_clone_of_a_branch_knows_its_upstream_and_its_tree(tmp_path, project, sweep):
    commit(project, {"run.py": "x = 8\n"})
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{project}", str(clone))
    write(clone, {"run.py": "x = 9\n"})

    facts = facts_of(clone, sweep)

    assert facts["upstream"] == "origin/main"
    assert facts["remote"] == "…/project"
    assert facts["patch"]["applies"]
    assert files_below(unpack(sweep, facts, tmp_path / "unpacked")) == files_below(clone)


def test_a_repository_whose_objects_have_names_of_sha_256_is_read_too(tmp_path, sweep):
    project = tmp_path / "project"
    project.mkdir()
    git(project, "init", "--quiet", "--object-format=sha256")
    commit(project, {"run.py": "x = 1\n"})
    write(project, {"run.py": "x = 2\n"})

    facts = facts_of(project, sweep)

    assert len(facts["tree"]) == 64
    assert facts["patch"]["applies"]


def test_a_submodule_that_is_not_checked_out_or_damaged_is_said_to_be(tmp_path, dirty):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(dirty), str(clone))
    (dirty / "sub" / ".git").write_text("gitdir: nowhere\n")

    (missing,) = facts_of(clone)["submodules"]
    (damaged,) = facts_of(dirty)["submodules"]

    commit_of_library = git(tmp_path / "library", "rev-parse", "HEAD")
    assert missing == {"path": "sub", "commit": commit_of_library, "tree": None, "problem": "not checked out"}
    assert damaged["tree"] is None
    assert damaged["problem"]


def test_a_capture_from_within_a_hook_of_git_sees_its_own_repository(tmp_path, project, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    commit(other, {"o.py": ""})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    before = state_of(other)

    facts = facts_of(project)

    assert facts["name"] == "project"
    assert facts["archive"]["n_files"] == 3
    assert state_of(other) == before


def test_a_file_of_conflict_is_taken_as_it_lies_there(project, sweep, tmp_path):
    git(project, "checkout", "--quiet", "-b", "other")
    commit(project, {"run.py": "x = 10\n"})
    git(project, "checkout", "--quiet", "main")
    commit(project, {"run.py": "x = 11\n"})
    subprocess.run(["git", "merge", "other"], cwd=project, capture_output=True)
    assert b"<<<<<<<" in (project / "run.py").read_bytes()

    facts = facts_of(project, sweep)

    assert files_below(unpack(sweep, facts, tmp_path / "unpacked")) == files_below(project)


# ------------------------------------------------------------------ what goes wrong


def test_a_filter_that_sleeps_costs_the_tree_and_no_more_time_than_is_given(project):
    write(project, {".gitattributes": "*.py filter=slow\n", "run.py": "x = 12\n"})
    git(project, "config", "filter.slow.clean", "sleep 60; cat")

    facts = facts_of(project, patience=Patience(2.0))

    assert facts["commit"] == git(project, "rev-parse", "HEAD")
    assert (facts["tree"], facts["problem"]) == (None, "Git took too long")


def test_no_time_at_all_is_a_problem_and_no_error(project):
    patience = Patience(10.0)
    patience.end()

    assert capture(project, patience=patience).facts == {
        "repository": None,
        "problem": "TimeoutError: Git took more than 10 s",
    }


def test_one_command_may_have_less_time_than_all(project):
    look = Git(project, Patience(60.0), {})

    with pytest.raises(GitCommandError, match="did not complete in"):
        look("-c", "alias.slow=!sleep 60", "slow", limit_s=0.5)

    assert look("rev-parse", "--is-inside-work-tree") == b"true\n"


def test_a_bare_repository_without_commits_says_so(tmp_path):
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "bare")

    facts = facts_of(tmp_path / "bare")

    assert (facts["commit"], facts["branch"], facts["describe"], facts["tree"]) == (None, "main", None, None)


def test_an_object_that_is_missing_costs_what_needs_it(project, sweep):
    name = git(project, "rev-parse", "HEAD:pkg/model.py")
    (project / ".git" / "objects" / name[:2] / name[2:]).unlink()

    code = capture(project, sweep)

    facts = code.facts["repository"]
    assert facts["tree"] == git(project, "rev-parse", "HEAD^{tree}")
    assert set(facts["archive"]) == {"n_files", "content_bytes", "problem"}
    (complaint,) = code.complaints
    assert complaint.startswith("the files of 'project' are not kept: ")
    assert [*(sweep / "code").iterdir()] == []


@pytest.mark.parametrize("answer", [b"another tree\n", GitCommandError("apply", 1)])
def test_a_patch_that_does_not_lead_to_the_tree_is_said_not_to(tmp_path, answer):
    def objects(*words, into=None, also=None):
        if into is not None:
            into.write(b"a patch that lost its last line")
        if words[0] == "apply" and isinstance(answer, GitCommandError):
            raise answer
        return answer if words[0] == "write-tree" else b""

    facts = write_patch(objects, "commit", "tree", tmp_path / "patch")

    assert (facts["bytes"], facts["applies"]) == (31, False)


def test_a_disk_that_is_full_is_an_error(project, sweep):
    (sweep / "code").write_text("a file where a folder should be")
    with pytest.raises(StoreWriteError, match="code"):
        capture(project, sweep)
    write(project, {"run.py": "x = 13\n"})
    with pytest.raises(StoreWriteError, match="code"):
        capture(project, sweep)


def test_a_disk_that_is_full_is_an_error_for_a_submodule_too(dirty, sweep):
    (sweep / "code").write_text("a file where a folder should be")

    with pytest.raises(StoreWriteError, match="code"):
        capture(dirty, sweep)


def test_attributes_that_were_deleted_since_the_commit_filter_nothing(project):
    commit(project, {".gitattributes": "*.bin filter=lfs\n"})
    (project / ".gitattributes").unlink()

    assert facts_of(project)["left_out"] == []


def test_a_folder_that_only_looks_like_a_repository_is_none(tmp_path):
    (tmp_path / "empty" / ".git").mkdir(parents=True)

    assert capture(tmp_path / "empty").facts == {"repository": None}


def test_a_temporary_folder_inside_the_repository_is_no_part_of_it(project, monkeypatch):
    (project / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(project / "tmp"))

    facts = facts_of(project)

    assert facts["tree"] == git(project, "rev-parse", "HEAD^{tree}")
    assert facts["n_untracked"] == 0


# ------------------------------------------------------------------ the modules that run


def source(path, *, is_package=False):
    return Source(str(path), path.read_bytes(), None, is_package)


def test_each_module_that_runs_is_found_in_the_tree_or_said_not_to_be(tmp_path, dirty, sweep):
    write(dirty, {"pkg/model.py": "y = 4\n", ".gitignore": "own.py\n", "own.py": "", "changed.py": "a = 1\n"})
    write(dirty, {"main.py": b"import pkg\r\n", "ns/a.py": "", "lib/ns/b.py": ""})
    outside = tmp_path / "outside.py"
    outside.write_text("")
    modules = {
        "pkg": source(dirty / "pkg/__init__.py", is_package=True),
        "pkg.model": source(dirty / "pkg/model.py"),
        "lib": source(dirty / "sub/lib.py"),
        "ns.a": source(dirty / "ns/a.py"),
        "ns.b": source(dirty / "lib/ns/b.py"),
        "new": source(dirty / "new.py"),
        "own": source(dirty / "own.py"),
        "changed": source(dirty / "changed.py"),
        "outside": source(outside),
    }
    modules["typed"] = Source("<string>", b"", None, False)
    sources = Sources(modules, ("new",), {str(dirty / "main.py"): "import pkg\n"})
    write(dirty, {"changed.py": "a = 2\n"})

    code = capture(dirty / "pkg")
    record = code.record(sources)

    tree, library = code.facts["repository"]["tree"], code.facts["repository"]["submodules"][0]["tree"]
    assert record["tree"] == sources.digest
    assert record["frozen"] == {
        "n_files": 11,
        "places": {
            "__main__/main.py": {"tree": tree, "path": "main.py"},
            "lib.py": {"tree": library, "path": "lib.py"},
            "ns/a.py": {"tree": tree, "path": "ns/a.py"},
            "ns/b.py": {"tree": tree, "path": "lib/ns/b.py"},
            "pkg/": {"tree": tree, "path": "pkg/"},
        },
        "not_in_tree": [
            {
                "file": "changed.py",
                "reason": "the tree has it with other bytes (changed meanwhile, or converted by Git)",
            },
            {"file": "new.py", "reason": "edited after it was imported; what was imported ran"},
            {"file": "outside.py", "reason": "outside the repository"},
            {"file": "own.py", "reason": "ignored by Git, or left out"},
            {"file": "typed.py", "reason": "in no file: typed, or removed since"},
        ],
    }


def test_without_a_repository_the_frozen_files_are_all_there_is(tmp_path):
    (tmp_path / "run.py").write_text("")

    record = capture(tmp_path).record(Sources({"run": source(tmp_path / "run.py")}))

    assert record["repository"] is None
    assert record["frozen"] == {"n_files": 1}
