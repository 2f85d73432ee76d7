from __future__ import annotations

import hashlib
import io
import tarfile
import tomllib

import yaml
from packaging.requirements import Requirement

from sciflow.packaging.locks import environment_files, found_locks, scrub_lock

HASH = "sha256:" + "ab" * 32
ENVIRONMENT = {
    "python": {"version": "3.12.1"},
    "packages": {"numpy": "2.1.0", "Tool_Box": "1", "pip": "24.0", "mine": "0.1", "fork": "0.3", "w": "3"},
    "origins": {
        "mine": {"kind": "editable", "url": "…/mine", "commit": "def", "dirty": True},
        "fork": {"kind": "git", "url": "https://example.org/fork.git", "commit": "abc", "subdirectory": "part"},
        "w": {"kind": "archive", "url": "https://example.org/w.whl", "sha256": "9a"},
    },
}
LOCK = f"numpy==2.1.0 \\\n    --hash={HASH}\ntool-box==1 --hash={HASH} --hash=sha256:{'cd' * 32}\n".encode()


def lines(made, name: str) -> list[str]:
    return [line for line in made.files[name].decode().splitlines() if line and not line.startswith("#")]


def test_without_a_lock_versions_are_pinned_and_it_is_said_that_there_are_no_hashes() -> None:
    made = environment_files(ENVIRONMENT, {})

    assert not made.has_hashes
    assert any("There are no hashes" in note for note in made.notes)
    assert any("mine" in note for note in made.notes)
    for name in ("requirements.exact.txt", "requirements.txt"):
        pins = lines(made, name)
        assert {Requirement(one).name for one in pins} == {"numpy", "Tool_Box", "pip", "fork", "w"}
        assert "fork @ git+https://example.org/fork.git@abc#subdirectory=part" in pins


def test_hashes_come_from_the_projects_lock_where_it_has_all_of_them() -> None:
    environment = {**ENVIRONMENT, "origins": {"mine": ENVIRONMENT["origins"]["mine"]}}
    environment["packages"] = {name: ENVIRONMENT["packages"][name] for name in ("numpy", "Tool_Box", "pip", "mine")}

    made = environment_files(environment, {"requirements.txt": LOCK})

    assert made.has_hashes
    text = made.files["requirements.exact.txt"].decode()
    assert f"numpy==2.1.0 \\\n    --hash={HASH}\n" in text
    assert "# pip==24.0 was there too, and is in no lock" in text
    assert "--hash" not in made.files["requirements.txt"].decode()
    assert made.files["found/requirements.txt"] == LOCK


def test_a_lock_of_other_versions_gives_no_hashes() -> None:
    made = environment_files({"packages": {"numpy": "2.2.0"}}, {"requirements.txt": LOCK})
    assert not made.has_hashes
    assert "requirements.txt of the project has none for numpy" in " ".join(made.notes)


def test_wheels_that_come_along_are_locked_by_their_own_hashes() -> None:
    wheels = {"numpy-2.1.0-cp312-cp312-linux_x86_64.whl": "ab" * 32}
    made = environment_files({"packages": {"numpy": "2.1.0"}}, {}, wheels)

    assert made.has_hashes
    (package,) = tomllib.loads(made.files["pylock.toml"].decode())["packages"]
    assert package["wheels"][0]["path"] == f"wheels/{next(iter(wheels))}"
    assert package["wheels"][0]["hashes"] == {"sha256": "ab" * 32}


UV_LOCK = f"""
version = 1

[[package]]
name = "numpy"
version = "2.1.0"
sdist = {{ url = "https://files.pythonhosted.org/packages/numpy-2.1.0.tar.gz", hash = "sha256:{"cd" * 32}" }}
wheels = [
    {{ url = "https://files.pythonhosted.org/packages/numpy-2.1.0-cp312-cp312-linux.whl", hash = "{HASH}" }},
    {{ url = "https://pypi.corp/packages/numpy-2.1.0-cp313-cp313-linux.whl", hash = "{HASH}" }},
]
"""


def test_a_lock_with_public_addresses_makes_another_after_pep_751() -> None:
    made = environment_files({"packages": {"numpy": "2.1.0"}}, {"uv.lock": UV_LOCK.encode()})

    lock = tomllib.loads(made.files["pylock.toml"].decode())
    assert lock["lock-version"] == "1.0"
    (package,) = lock["packages"]
    assert [one["url"].rpartition("/")[2] for one in package["wheels"]] == ["numpy-2.1.0-cp312-cp312-linux.whl"]
    assert package["sdist"]["hashes"] == {"sha256": "cd" * 32}
    assert "pylock.toml" not in environment_files({"packages": {"numpy": "2.2.0"}}, {"uv.lock": UV_LOCK.encode()}).files


def test_what_a_lock_that_agrees_does_not_name_is_told_and_not_needed() -> None:
    environment = {
        "packages": {"numpy": "2.1.0", "Tool_Box": "1", "py-spy": "1"},
        "locks": [{"name": "requirements.txt", "agrees": True}],
    }
    made = environment_files(environment, {"requirements.txt": LOCK})

    assert made.has_hashes
    assert "# py-spy==1 was there too, and is in no lock" in made.files["requirements.exact.txt"].decode()
    assert "py-spy==1" in lines(made, "requirements.txt")
    assert any("in no lock: py-spy" in note for note in made.notes)


def test_conda_reads_versions() -> None:
    made = environment_files(ENVIRONMENT, {})

    conda = yaml.safe_load(made.files["environment.yml"])
    assert conda["dependencies"][:2] == ["python=3.12.1", "pip"]
    assert conda["dependencies"][2] == {"pip": ["numpy==2.1.0", "Tool_Box==1"]}
    assert any("no pylock.toml" in note for note in made.notes)


def test_a_conda_environment_is_told_as_one() -> None:
    conda = {"versions": {"python": "3.12.1", "numpy": "2.1.0", "pip": "24"}, "explicit": []}
    made = environment_files({**ENVIRONMENT, "conda": conda}, {})

    dependencies = yaml.safe_load(made.files["environment.yml"])["dependencies"]
    assert dependencies == ["python=3.12.1", "numpy=2.1.0", "pip", {"pip": ["Tool_Box==1"]}]


def test_locks_lose_what_only_their_author_can_reach() -> None:
    text = (
        b"--index-url https://u:" + b"p@pypi.corp/simple\na @ file:///home/ada/a-1.whl\nb @ https://t0k3n@host/b.whl\n"
    )
    told = scrub_lock(text).decode()

    assert "corp" not in told
    assert "/home/ada" not in told
    assert "t0k3n" not in told
    assert "b @ https://host/b.whl" in told


def test_locks_are_found_as_they_were_when_the_sweep_ran(tmp_path) -> None:
    environment = {"locks": [{"name": "uv.lock", "sha256": hashlib.sha256(LOCK).hexdigest()}]}
    (tmp_path / "uv.lock").write_bytes(b"newer")
    assert found_locks(environment, None, [tmp_path]) == {}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tree:
        member = tarfile.TarInfo("uv.lock")
        member.size = len(LOCK)
        tree.addfile(member, io.BytesIO(LOCK))

    assert found_locks(environment, buffer.getvalue(), [tmp_path]) == {"uv.lock": LOCK}
    (tmp_path / "uv.lock").write_bytes(LOCK)
    assert found_locks(environment, None, [tmp_path]) == {"uv.lock": LOCK}
