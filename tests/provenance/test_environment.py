from __future__ import annotations

import json
import platform
import time
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from sciflow.canonical import content_digest
from sciflow.provenance.environment import capture_environment, cpu_model, kept_variables, os_name

if TYPE_CHECKING:
    from pathlib import Path


def installed(folder: Path, name: str, version: str, **files: str) -> metadata.Distribution:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not this one\n")
    for file, text in files.items():
        (info / file.replace("__", ".")).write_text(text)
    return metadata.Distribution.at(info)


def test_a_capture_names_interpreter_system_machine_and_packages() -> None:
    facts = capture_environment()

    assert facts["python"]["version"] == platform.python_version()
    assert facts["packages"]["numpy"] == metadata.version("numpy")
    assert facts["machine"]["memory_bytes"] > 2**20
    assert facts["machine"]["n_cores"] >= facts["machine"]["n_cores_usable"] >= 1
    assert json.loads(json.dumps(facts)) == facts


def test_two_captures_of_one_environment_have_one_digest() -> None:
    assert content_digest(capture_environment()) == content_digest(capture_environment())


def test_a_capture_is_quick() -> None:
    capture_environment()
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        capture_environment()
        best = min(best, time.perf_counter() - started)

    assert best < 0.15


def test_threads_and_seeds_are_kept_and_nothing_else() -> None:
    kept = kept_variables(
        {
            "OMP_NUM_THREADS": "4",
            "PYTHONHASHSEED": "0",
            "OPENBLAS_CORETYPE": "Haswell",
            "HOME": "/home/me",
            "PATH": "/bin",
            "AWS_SECRET_ACCESS_KEY": "abc",
            "MKL_LICENSE_FILE": "27000",
            "OMP_TOOL_LIBRARIES": "/home/me/tool.so",
            "KMP_SECRET": "1",
        }
    )

    assert kept == {"OMP_NUM_THREADS": "4", "OPENBLAS_CORETYPE": "Haswell", "PYTHONHASHSEED": "0"}


def test_the_origin_of_a_package_from_elsewhere_has_no_token_and_no_path(tmp_path: Path) -> None:
    def direct(**facts: object) -> str:
        return json.dumps(facts)

    vcs = {"vcs": "git", "commit_id": "abc123"}
    facts = capture_environment(
        variables={},
        distributions=[
            installed(tmp_path, "plain", "1.0"),
            installed(tmp_path, "forked", "2.0", direct_url__json=direct(url="https://tok@x.org/f.git", vcs_info=vcs)),
            installed(
                tmp_path,
                "mine",
                "0.1",
                direct_url__json=direct(url="file:///home/me/mine", dir_info={"editable": True}),
            ),
            installed(tmp_path, "local", "0.2", direct_url__json=direct(url="file:///home/me/local", dir_info={})),
            installed(tmp_path, "wheel", "0.3", direct_url__json=direct(url="https://x.org/w.whl", archive_info={})),
            installed(tmp_path, "broken", "0.4", direct_url__json="{"),
            installed(tmp_path, "odd", "0.5", direct_url__json="[]"),
        ],
    )

    assert facts["packages"] == {
        "broken": "0.4",
        "forked": "2.0",
        "local": "0.2",
        "mine": "0.1",
        "odd": "0.5",
        "plain": "1.0",
        "wheel": "0.3",
    }
    assert facts["origins"] == {
        "forked": {"kind": "git", "url": "https://x.org/f.git", "commit": "abc123"},
        "local": {"kind": "folder", "url": "…/local"},
        "mine": {"kind": "editable", "url": "…/mine"},
        "wheel": {"kind": "archive", "url": "https://x.org/w.whl"},
    }


def test_of_two_packages_of_one_name_the_importable_one_counts_and_stale_egg_info_never(tmp_path: Path) -> None:
    egg = tmp_path / "project" / "My_Tool.egg-info"
    egg.mkdir(parents=True)
    (egg / "PKG-INFO").write_text("Name: My.Tool\nVersion: 0.1\n\n")
    empty = tmp_path / "empty-1.0.dist-info"
    empty.mkdir()

    facts = capture_environment(
        variables={},
        distributions=[
            metadata.Distribution.at(egg),
            installed(tmp_path / "first", "my-tool", "2.0"),
            installed(tmp_path / "second", "my_tool", "1.0"),
            metadata.Distribution.at(empty),
        ],
    )

    assert facts["packages"] == {"my-tool": "2.0"}


@pytest.mark.parametrize(
    ("text", "name"),
    [('ID=x\nPRETTY_NAME="Some Linux 9"\n', "Some Linux 9"), ("ID=x\n", platform.platform(terse=True))],
)
def test_the_system_is_called_what_it_calls_itself(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "os-release").write_text(text)

    assert os_name(tmp_path) == name


def test_a_system_that_does_not_tell_is_called_by_its_kernel_and_architecture(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor: 0\n")

    assert os_name(tmp_path) == platform.platform(terse=True)
    assert cpu_model(tmp_path / "none") == platform.machine()
    assert cpu_model(tmp_path / "cpuinfo") == platform.machine()


def test_the_processor_is_called_by_its_model(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast 9000\nflags: a b\n")

    assert cpu_model(tmp_path / "cpuinfo") == "Fast 9000"
