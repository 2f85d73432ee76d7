"""Lock files beside the code, compared with what is installed."""

from __future__ import annotations

import hashlib

import pytest

from sciflow.provenance.locks import find_locks

UV = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "numpy"
version = "2.0.2"
source = { registry = "https://token@host/simple" }
resolution-markers = [
    "python_full_version < '3.12'",
]
dependencies = [
    { name = "other" },
]

[[package]]
name = "numpy"
version = "2.1.0"

[[package]]
name = "Typing_Extensions"
version = "4.0"

[[package]]
name = "mine"
source = { virtual = "." }

[package.metadata]
requires-dist = [{ name = "numpy" }]
"""
POETRY = '[[package]]\nname = "numpy"\nversion = "2.1.0"\noptional = false\n\n[metadata]\nlock-version = "2.1"\n'
PYLOCK = 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "numpy"\nversion = "2.1.0"\nmarker = "os"\n'
PYLOCK_INLINE = 'packages = [{name = "numpy", version = "2.1.0"}, {name = "tool"}]\n'
REQUIREMENTS = """\
# made by hand
--index-url https://me:word@host/simple
numpy==2.1.0 --hash=sha256:ab \\
    --hash=sha256:cd
typing-extensions>=4  # for people
windows-only==1; sys_platform == "win32"
-r other.txt
./a/folder
git+https://host/x.git
absent==1.0
"""
CONDA_LOCK = """\
version: 1
package:
- {name: numpy, version: 2.1.0, manager: conda, platform: linux-64}
- {name: numpy, version: 2.0.0, manager: conda, platform: osx-64}
- {name: libblas, version: '3', manager: conda, platform: linux-64}
"""
CONDA = """\
dependencies:
  - python>=3.11
  - conda-forge::numpy=2.1
  - typing-extensions=4.0=pyh_0
  - scipy=1.*
  - pandas 2.1.*
  - dask[array]
  - weird=2024a
  - pip
  - pip: [tool==1.0]
"""
INSTALLED = {
    "numpy": "2.1.0",
    "typing-extensions": "4.0",
    "scipy": "1.9",
    "pandas": "2.2",
    "weird": "2024a",
    "tool": "1.0",
}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "study").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "n_named"),
    [
        ("uv.lock", UV, 2),
        ("poetry.lock", POETRY, 1),
        ("pdm.lock", POETRY, 1),
        ("pylock.toml", PYLOCK, 1),
        ("pylock.gpu.toml", PYLOCK_INLINE, 1),
        ("conda-lock.yml", CONDA_LOCK, 2),
    ],
)
def test_a_lock_file_that_was_kept_to_agrees(project, name, text, n_named):
    (project / name).write_text(text)

    (lock,) = find_locks(project / "study")

    assert lock.compare(INSTALLED) == {
        "name": name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "n_named": n_named,
        "exact": True,
        "agrees": True,
        "n_differences": 0,
        "differences": {},
    }
    assert lock.compare({"numpy": "1.26.4"})["differences"] == {
        "numpy": {"locked": " or ".join(lock.wanted["numpy"]), "installed": "1.26.4"}
    }
    assert lock.compare({"else": "1"})["agrees"] is None


def test_what_requirements_name_has_to_be_there_with_a_version_that_they_allow(project):
    (project / "study" / "requirements.txt").write_text(REQUIREMENTS)

    (lock,) = find_locks(project / "study")
    facts = lock.compare({"numpy": "2.1.0+local", "typing-extensions": "3.9"})

    assert facts["name"] == "study/requirements.txt"
    assert not facts["exact"]
    assert not facts["agrees"]
    assert facts["differences"] == {
        "absent": {"locked": "==1.0", "installed": None},
        "typing-extensions": {"locked": ">=4", "installed": "3.9"},
    }


def test_the_environment_of_conda_says_versions_in_its_own_way(project):
    (project / "environment.yml").write_text(CONDA)

    (lock,) = find_locks(project)
    facts = lock.compare(INSTALLED)

    assert facts["differences"] == {"pandas": {"locked": "==2.1.*", "installed": "2.2"}}
    assert facts["n_named"] == 8
    assert lock.wanted["weird"] == ("==2024a.*",)  # no version of Python's: not compared, not told
    assert lock.compare({**INSTALLED, "pandas": "2.1.4", "weird": "2023c"})["agrees"]
    assert lock.compare({**INSTALLED, "typing-extensions": "4.1"})["n_differences"] == 2


def test_files_beside_the_script_and_in_the_root_of_its_project_are_found_and_no_others(project):
    (project / "requirements-dev.txt").write_text("")
    (project / "study" / "uv.lock").write_text(UV)
    (project / "study" / "deep").mkdir()
    (project / "study" / "deep" / "uv.lock").write_text(UV)
    (project / "requirements.md").write_text("")

    assert [one.name for one in find_locks(project / "study")] == ["requirements-dev.txt", "study/uv.lock"]
    assert [one.name for one in find_locks(project / "study" / "deep")] == [
        "requirements-dev.txt",
        "study/deep/uv.lock",
    ]


def test_a_folder_in_no_project_has_its_own_files_alone(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "uv.lock").write_text(UV)

    assert find_locks(tmp_path / "here") == ()
    assert find_locks(tmp_path / "nowhere") == ()


def test_a_file_that_is_not_understood_is_kept_by_its_digest_and_says_so(project):
    (project / "uv.lock").write_bytes(b"\xff\xfe[[")
    (project / "pdm.lock").write_text("name = \n[[package]]\nversion\n")
    (project / "conda-lock.yml").write_text("- a list\n")
    (project / "environment.yml").write_text("x" * (5 << 20))
    with (project / "poetry.lock").open("wb") as file:
        file.truncate(30 << 20)
    (project / "pylock.toml").symlink_to("nothing")

    facts = {one.name: one.compare(INSTALLED) for one in find_locks(project)}

    assert all(one["agrees"] is None for one in facts.values())
    assert {name: one["problem"] for name, one in facts.items()} == {
        "conda-lock.yml": "it is not understood: TypeError",
        "environment.yml": "it is not understood: ValueError",
        "pdm.lock": "it is not understood: TOMLDecodeError",
        "poetry.lock": "it has more than 20 MiB",
        "pylock.toml": "it cannot be read: No such file or directory",
        "uv.lock": "it is not understood: UnicodeDecodeError",
    }
    assert facts["uv.lock"]["sha256"] == hashlib.sha256(b"\xff\xfe[[").hexdigest()


def test_nothing_of_an_index_or_its_password_is_kept(project):
    (project / "uv.lock").write_text(UV)
    (project / "requirements.txt").write_text(REQUIREMENTS)

    kept = repr([(one, one.compare(INSTALLED)) for one in find_locks(project)])

    assert "token" not in kept
    assert "word" not in kept
