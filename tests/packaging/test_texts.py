from __future__ import annotations

import functools

from sciflow.packaging.texts import Sources, read_sources, readme, requirements
from sciflow.provenance.fingerprint import fingerprint
from sciflow.workflow.task import make_task


def simulate(rate):
    return rate * 2


def test_packages_from_an_index_are_pinned_and_others_where_pip_finds_them() -> None:
    text = requirements(
        {
            "python": {"version": "3.12.1"},
            "packages": {"numpy": "2.1.0", "Alpha": "1", "fork": "0.3", "mine": "0.1", "part": "2", "w": "3", "x": "4"},
            "origins": {
                "fork": {"kind": "git", "url": "https://example.org/fork.git", "commit": "abc"},
                "mine": {"kind": "editable", "url": "…/mine", "commit": "def", "dirty": True},
                "part": {"kind": "hg", "url": "https://example.org/all", "commit": "1f", "subdirectory": "part"},
                "w": {"kind": "archive", "url": "https://example.org/w.whl", "sha256": "9a"},
                "x": {"kind": "archive", "url": "…/x.whl"},
            },
        }
    )

    assert "under Python 3.12.1." in text
    assert text.splitlines()[2:] == [
        "Alpha==1",
        "fork @ git+https://example.org/fork.git@abc",
        "# mine==0.1 came from a local editable, …/mine at commit def, with changes that were not committed",
        "numpy==2.1.0",
        "part @ hg+https://example.org/all@1f#subdirectory=part",
        "w @ https://example.org/w.whl#sha256=9a",
        "# x==4 came from a local archive, …/x.whl",
    ]


def test_an_environment_that_is_not_known_makes_an_empty_list() -> None:
    assert all(line.startswith("#") for line in requirements({}).splitlines())


def test_only_source_that_is_the_code_that_ran_is_taken() -> None:
    tasks = [
        make_task("same", simulate),
        make_task("changed", functools.partial(simulate, rate=1)),
        make_task("unknown", simulate),
        make_task("builtin", abs),
    ]

    sources = read_sources(tasks, {"same": fingerprint(simulate), "changed": "0" * 64})

    assert sources.files == {
        "same": "def simulate(rate):\n    return rate * 2\n",
        "unknown": "def simulate(rate):\n    return rate * 2\n",
    }
    assert "the code that ran" in sources.notes["same"]
    assert "changed after the sweep ran" in sources.notes["changed"]
    assert "not recorded to compare with" in sources.notes["unknown"]
    assert "not at hand" in sources.notes["builtin"]


def facts(**more):
    return {
        "name": "pack",
        "workflow": "flow",
        "counts": {"done": 1200, "failed": 0},
        "code": {"repository": None},
        "authors": [],
        "license": None,
        **more,
    }


def test_a_readme_says_what_it_does_not_know() -> None:
    text = readme(facts(), {"a.txt": "a file"}, Sources({}, {}), "f" * 64)

    assert "1,200 done" in text
    assert "the state of a Git repository was not recorded." in text
    assert "Authors: not stated" in text
    assert "License: not stated" in text
    assert "| `a.txt` | a file |" in text
    assert f"{'f' * 64}  manifest-sha256.txt" in text
    assert "No command that runs the sweep again" in text


def test_a_readme_names_authors_license_and_the_state_of_the_code() -> None:
    repository = {"name": "p", "commit": "abc", "dirty": True, "n_untracked": 2, "remote": "https://example.org/p.git"}
    text = readme(
        facts(authors=["A. Body", "B. Other"], license="MIT", code={"repository": repository}),
        {},
        Sources({}, {"t": "left out"}),
        "0",
    )

    assert "A. Body, B. Other" in text
    assert "License: MIT" in text
    assert "commit abc of https://example.org/p.git, with changes that were not committed" in text
    assert "and 2 files that Git did not track" in text
    assert "- `t`: left out" in text


def test_a_readme_tells_uncommitted_code_and_why_git_could_not_say() -> None:
    fresh = facts(code={"repository": {"name": "p", "commit": None}})
    refused = facts(code={"repository": None, "problem": "dubious ownership"})

    assert "uncommitted files of the repository `p`" in readme(fresh, {}, Sources({}, {}), "0")
    assert "not recorded (dubious ownership)." in readme(refused, {}, Sources({}, {}), "0")
