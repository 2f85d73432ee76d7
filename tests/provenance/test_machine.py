"""The machine and its system, from what /etc, /proc and the tools of a vendor say."""

from __future__ import annotations

import os
import platform

import pytest

from sciflow.provenance.machine import (
    container,
    cpu,
    gpus,
    locale_facts,
    machine_facts,
    os_name,
    rounded_up,
    system_facts,
)

GIB = 1 << 30


def test_the_machine_is_described_without_its_name():
    facts = {**machine_facts(), **system_facts(), **locale_facts()}

    assert facts["n_cores"] >= 1
    assert facts["memory_bytes"] >= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert facts["kernel"].startswith(platform.system())
    assert facts["locale"]["numbers"]
    assert facts["time_zone"]
    assert platform.node() not in repr(facts)


def test_a_time_zone_that_is_a_file_is_told_without_its_folder(monkeypatch):
    monkeypatch.setenv("TZ", ":/home/me/zones/Mine")

    assert locale_facts()["time_zone"] == "Mine"


@pytest.mark.parametrize(
    ("usable", "bought"), [(251.5, 256), (250.9, 256), (187.4, 192), (62.7, 64), (15.4, 16), (7.6, 8), (16, 16), (0, 0)]
)
def test_nodes_of_one_type_have_the_memory_that_was_bought(usable, bought):
    assert rounded_up(int(usable * GIB)) == bought * GIB


@pytest.mark.parametrize(
    ("text", "name"),
    [('ID=x\nPRETTY_NAME="Some Linux 9"\n', "Some Linux 9"), ("ID=x\n", platform.platform(terse=True))],
)
def test_the_system_is_called_what_it_calls_itself(tmp_path, text, name):
    (tmp_path / "os-release").write_text(text)

    assert os_name(tmp_path) == name
    assert os_name(tmp_path / "none") == platform.platform(terse=True)


V2 = "lm cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"
V3 = f"{V2} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ("lm sse2", "x86-64"),
        (V2, "x86-64-v2"),
        (V3, "x86-64-v3"),
        (f"{V3} avx512bw avx512cd avx512dq avx512f avx512vl", "x86-64-v4"),
        (f"{V2} avx512f", "x86-64-v2"),
    ],
)
def test_the_processor_is_called_by_its_model_and_the_level_of_its_instructions(tmp_path, flags, level):
    first = f"processor\t: 0\nmodel name\t: Fast 9000\nflags\t\t: {flags}\n\n"
    (tmp_path / "cpuinfo").write_text(first + "processor\t: 1\nmodel name\t: Slow\nflags\t\t: none\n")

    assert cpu(tmp_path / "cpuinfo") == ("Fast 9000", level)


def test_a_processor_without_a_name_is_called_by_its_numbers_or_its_architecture(tmp_path):
    arm = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"
    (tmp_path / "arm").write_text(arm)
    (tmp_path / "plain").write_text("processor: 0\n")

    assert cpu(tmp_path / "arm") == (f"{platform.machine()} implementer 0x41 part 0xd40", None)
    assert cpu(tmp_path / "plain") == (platform.machine(), None)
    assert cpu(tmp_path / "none") == (platform.machine(), None)


VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32\nGCC version: 12.2.0\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder@U16)\n"


@pytest.mark.parametrize(("version", "driver"), [(VERSION, "535.129.03"), (OPEN, "570.86.15")])
def test_gpus_are_read_from_the_kernel_without_starting_anything(tmp_path, version, driver):
    (tmp_path / "version").write_text(version)
    for k, model in enumerate(["NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"]):
        (tmp_path / "gpus" / f"0000:0{k}:00.0").mkdir(parents=True)
        (tmp_path / "gpus" / f"0000:0{k}:00.0" / "information").write_text(
            f"Model: \t\t {model}\nIRQ: 1\nGPU UUID: x\n"
        )

    assert gpus(tmp_path) == {"gpus": ["NVIDIA A100-SXM4-40GB", "NVIDIA H100 80GB HBM3"], "gpu_driver": driver}


def test_no_gpu_is_made_up(tmp_path):
    assert gpus(tmp_path, tmp_path / "nvidiactl") == {}


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'NVIDIA L4, 550.54'; echo 'NVIDIA L4, 550.54'", {"gpus": ["NVIDIA L4"] * 2, "gpu_driver": "550.54"}),
        ("exit 9", {"gpus": [], "gpu_driver": None}),
        ("echo nonsense", {"gpus": [], "gpu_driver": None}),
        (None, {"gpus": [], "gpu_driver": None}),
    ],
)
def test_where_the_kernel_does_not_tell_the_vendors_tool_is_asked(tmp_path, monkeypatch, script, found):
    (tmp_path / "nvidiactl").touch()
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if script else str(tmp_path))

    assert gpus(tmp_path, tmp_path / "nvidiactl") == found


def test_a_tool_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "nvidiactl").touch()
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr("sciflow.provenance.machine._PATIENCE_S", 0.2)

    assert gpus(tmp_path, tmp_path / "nvidiactl") == {"gpus": [], "gpu_driver": None}


@pytest.mark.parametrize(
    ("variables", "files", "found"),
    [
        ({}, {}, None),
        ({"APPTAINER_CONTAINER": "/images/me/tool.sif"}, {}, {"kind": "apptainer", "image": "tool.sif"}),
        ({"SINGULARITY_NAME": "old.simg"}, {}, {"kind": "singularity", "image": "old.simg"}),
        (
            {},
            {"run/.containerenv": 'engine="podman-5"\nimage="docker.io/library/debian:12"\nimageid="9a"\nname="x"\n'},
            {"kind": "podman", "image": "docker.io/library/debian:12", "imageid": "9a"},
        ),
        ({}, {".dockerenv": ""}, {"kind": "docker"}),
        ({}, {"proc/1/cgroup": "11:cpu:/kubepods/burstable/pod1\n"}, {"kind": "kubepods"}),
        ({"container": "systemd-nspawn"}, {}, {"kind": "systemd-nspawn"}),
        ({"container": "/my/secret"}, {}, None),
    ],
)
def test_a_container_is_told_by_what_it_leaves_to_see(tmp_path, variables, files, found):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert container(variables, tmp_path) == found
