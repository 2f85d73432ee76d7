"""The ladder of environments, on machines that have what a test says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import sciflow
from sciflow.packaging import layout
from sciflow.packaging.rebuild import (
    CONDA,
    EXACT,
    PLAIN,
    PYLOCK,
    WHEELS,
    Answer,
    CannotBuildError,
    Site,
    SystemPrograms,
    clean_variables,
    ladder,
    link_sciflow,
    rebuild,
    versions_of,
)
from sciflow.testing.programs import ScriptedPrograms

RECORDED = {"python": {"version": "3.11.7"}}
REFUSED = Answer(1, "", "error: Failed to fetch: https://pypi.org/simple/numpy/\n  Caused by: no network\n")


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    folder = tmp_path / "locks"
    folder.mkdir()
    (folder / EXACT).write_text("numpy==2.1.0 \\\n    --hash=sha256:" + "0" * 64)
    for name in (PLAIN, PYLOCK, CONDA):
        (folder / name).write_text("numpy==2.1.0\n")
    return folder


def site(locks: Path, programs: ScriptedPrograms, version: str = "3.11.7") -> Site:
    return Site(locks, Path("/work"), programs, "/here/python", version)


def names(wish: str, recorded, where: Site) -> list[str]:
    return [step.name for step in ladder(wish, recorded, where) if not step.why_not]


def climbed(locks: Path, programs: ScriptedPrograms, version: str = "3.11.7", wish: str = "auto"):
    return rebuild(ladder(wish, RECORDED, site(locks, programs, version)), Path("/link"), programs, clock=lambda: 0.0)


def test_the_locks_of_a_package_are_where_they_are_looked_for() -> None:
    known = (layout.EXACT_REQUIREMENTS, layout.REQUIREMENTS, layout.PYLOCK, layout.CONDA, layout.WHEELS)

    assert known == tuple(f"{layout.ENVIRONMENT}/{name}" for name in (EXACT, PLAIN, PYLOCK, CONDA, WHEELS))


def test_the_closest_comes_first_and_this_python_last(locks: Path) -> None:
    everything = ScriptedPrograms(["uv", "conda", "python3.11"])

    found = names("auto", RECORDED, site(locks, everything))

    assert found == [
        "uv, exact lock, exact Python",
        "pip, exact lock, exact Python",
        "uv, exact lock, nearest Python",
        "pip, exact lock, nearest Python",
        "uv, versions without hashes",
        "pip, versions without hashes",
        "uv, universal lock",
        "conda",
        "current",
    ]
    of_conda = {**RECORDED, "conda": ["https://example.org/numpy.conda"]}
    assert names("auto", of_conda, site(locks, everything))[0] == "conda"


def test_a_wish_is_a_part_of_the_ladder(locks: Path) -> None:
    where = site(locks, ScriptedPrograms(["uv", "micromamba"]))

    assert {name.partition(",")[0] for name in names("uv", RECORDED, where)} == {"uv"}
    assert {name.partition(",")[0] for name in names("pip", RECORDED, where)} == {"pip"}
    assert names("current", RECORDED, where) == ["current"]
    (conda,) = ladder("conda", RECORDED, where)
    assert conda.commands[0][:2] == ("/programs/micromamba", "create")


def test_the_first_rung_that_holds_is_taken_and_sciflow_is_found_there(locks: Path) -> None:
    programs = ScriptedPrograms(["uv"])

    built = climbed(locks, programs)

    assert built.step == "uv, exact lock, exact Python"
    assert built.variables == {"PYTHONPATH": "/link"}
    make, fill, check = programs.commands
    assert make[:2] == ("/programs/uv", "venv")
    assert make[make.index("--python") + 1] == "3.11.7"
    assert "--require-hashes" in fill
    assert fill[-1] == str(locks / EXACT)
    assert check[:2] == (built.python, "-P")


def test_each_rung_that_fails_says_why_and_the_next_is_tried(locks: Path) -> None:
    def no_such_python(command):
        return Answer(2, "", "error: No interpreter found for Python 3.11.7") if "3.11.7" in command else None

    built = climbed(locks, ScriptedPrograms(["uv"], no_such_python), version="3.12.1")

    assert built.step == "uv, exact lock, nearest Python"
    first, second, last = built.attempts
    assert "No interpreter found" in first.reason
    assert second.reason == "Python 3.11.7 is not here, this is 3.12.1"
    assert last.reason == ""


def test_without_a_network_this_python_is_reached_with_all_the_reasons(locks: Path) -> None:
    def offline(command):
        return REFUSED if {"sync", "install"} & set(command) else None

    built = climbed(locks, ScriptedPrograms(["uv"], offline))

    assert (built.step, built.python) == ("current", "/here/python")
    tried = [one for one in built.attempts if "no network" in one.reason]
    assert len(tried) == 7
    assert [one.reason for one in built.attempts if one.step == "conda"] == ["conda is not installed"]


def test_an_environment_in_which_sciflow_does_not_run_is_left(locks: Path) -> None:
    def broken(command):
        is_check = command[1:2] == ("-P",) and command[0] != "/here/python"
        return Answer(1, "", "ModuleNotFoundError: No module named 'dask'") if is_check else None

    built = climbed(locks, ScriptedPrograms(["uv"], broken))

    assert built.step == "current"
    assert "sciflow does not run there: ModuleNotFoundError" in built.attempts[0].reason


def test_when_nothing_holds_the_error_has_every_reason(locks: Path) -> None:
    with pytest.raises(CannotBuildError) as caught:
        climbed(locks, ScriptedPrograms(["uv"], lambda _: REFUSED), wish="uv")

    assert len(caught.value.attempts) == 4
    assert str(caught.value).count("Failed to fetch") == 4


def test_a_package_without_locks_and_a_machine_without_installers(tmp_path: Path) -> None:
    programs = ScriptedPrograms()

    built = climbed(tmp_path, programs)

    assert built.step == "current"
    assert {one.reason for one in built.attempts[:-1]} >= {
        "uv is not installed",
        f"the package has no {PLAIN}",
        "conda is not installed",
    }
    assert len(programs.commands) == 1


def test_wheels_that_came_along_are_all_that_is_used(locks: Path) -> None:
    (locks / WHEELS).mkdir()
    programs = ScriptedPrograms(["uv"])

    climbed(locks, programs)

    fill = programs.commands[1]
    assert "--no-index" in fill
    assert fill[fill.index("--find-links") + 1] == str(locks / WHEELS)


def test_another_python_sees_this_sciflow_and_nothing_else_of_ours(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    link = link_sciflow(tmp_path / "link")

    answer = SystemPrograms().run(
        (
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path[:0] = [{str(link)!r}]; import sciflow.errors as e; print(e)",
        ),
        {},
    )

    assert [one.name for one in link.iterdir()] == ["sciflow"]
    # lazy_loader is a dependency, which the other Python has to have itself
    assert "lazy_loader" in answer.err or str(link) in answer.out
    assert not {"PYTHONPATH", "VIRTUAL_ENV"} & clean_variables({}).keys()
    assert clean_variables({"PYTHONPATH": str(link)})["PYTHONPATH"] == str(link)


def test_programs_of_this_machine_are_run_and_their_absence_is_an_answer() -> None:
    programs = SystemPrograms()

    fine = programs.run((sys.executable, "-c", "import os; print(os.environ['A'])"), {"A": "1"})
    failed = programs.run((sys.executable, "-c", "raise SystemExit('Error: no')"), {})
    absent = programs.run(("/no/such/program",), {})

    assert (fine.status, fine.out) == (0, "1\n")
    assert (failed.status, failed.words) == (1, "Error: no")
    assert absent.status == 127
    assert "/no/such/program" in absent.words
    assert programs.find("no-such-program-at-all") is None


@pytest.mark.parametrize(
    ("version", "found"), [("3.11.7", ("3.11.7", "3.11")), ("3.13.0rc1", ("3.13.0rc1", "3.13")), ("", ("", ""))]
)
def test_versions_of_python_are_read(version: str, found: tuple[str, str]) -> None:
    assert versions_of({"python": {"version": version}}) == found
    assert sciflow.__version__
