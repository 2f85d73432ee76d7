"""Archives that were made to do harm: refused by both checkers, with nothing written and nothing executed."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciflow.errors import PackageError
from sciflow.packaging import examine, layout, standalone
from sciflow.packaging.importing import import_package
from sciflow.packaging.reproduce import reproduce_package
from sciflow.packaging.safety import open_container, unpack, within
from sciflow.packaging.standalone import Limits, UnsafeError, check_names, opened
from sciflow.packaging.verify import _told, verify_package
from sciflow.testing import packages


class Traitor:
    """What leaves a trace as soon as it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self):
        return (Path.touch, (self._trace,))


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> packages.Files:
    return packages.handmade_files(tmp_path_factory.mktemp("good"))


def run_verifier(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The stand-alone checker as a reader without sciflow starts it: isolated, without site packages."""
    command = [sys.executable, "-I", "-S", standalone.__file__, *arguments, str(path)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("what", packages.MALICIOUS)
def test_a_malicious_archive_is_refused_and_nothing_is_written(what: str, good, tmp_path: Path, monkeypatch) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    path = packages.write_zip(inner / "bad.zip", good)
    with zipfile.ZipFile(path, "a") as archive:
        packages.MALICIOUS[what](archive)

    report = verify_package(path)

    assert report.exit_code == 4
    assert any(one.check == "safety" for one in report.errors)
    done = run_verifier(path)
    assert (done.returncode, done.stderr) == (4, "")
    assert [one.name for one in tmp_path.iterdir()] == ["inner"]
    assert [one.name for one in inner.iterdir()] == ["bad.zip"]
    assert not Path("/outside-of-it.txt").exists()


def patched(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


def test_a_name_that_is_cut_at_a_zero_byte_is_refused(tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "bad.zip", {"data/x_.txt": b"1"})

    report = verify_package(patched(path, b"data/x_.txt", b"data/x\0.txt"))

    assert report.exit_code == 4


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "bad.zip", {"x": b"1"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)

    assert "encrypted" in str(verify_package(path))
    assert run_verifier(path).returncode == 4


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("data/zeros", "w") as member:
        for _ in range(20):
            member.write(bytes(1 << 20))

    report = verify_package(path, limits=Limits(harmless_bytes=10 << 20))

    assert report.exit_code == 4
    assert "bomb" in str(report)


def test_an_archive_of_too_many_or_too_large_files_is_refused(tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "x.zip", {str(k): b"12345" for k in range(20)})

    assert "20 members" in str(verify_package(path, limits=Limits(members=19)))
    assert "unpacks to 100 bytes" in str(verify_package(path, limits=Limits(total_bytes=99)))


def test_a_size_that_is_a_lie_is_noticed_while_reading(tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "x.zip", {"x": b"a" * 5000})
    # both heads say 7 bytes; the data are more
    patched(path, struct.pack("<I", 5000), struct.pack("<I", 7))

    report = verify_package(path)

    assert report.exit_code == 4


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", bytes(3000))
        archive.writestr("b", bytes(3000))
    with zipfile.ZipFile(path) as archive:
        second = archive.getinfo("b").header_offset
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\1\2")
    assert struct.unpack_from("<I", content, entry + 42) == (second,)
    struct.pack_into("<I", content, entry + 42, 0)  # the second member begins where the first does
    path.write_bytes(content)

    assert "shares bytes" in str(verify_package(path))


def test_links_in_a_folder_are_refused(good, tmp_path: Path) -> None:
    folder = packages.write_folder(tmp_path / "package", good)
    (folder / "data/code/link").symlink_to("/etc")

    assert verify_package(folder).exit_code == 4
    assert run_verifier(folder).returncode == 4


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_a_part_of_a_zip_is_told_as_one(kept: float, good, tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "x.zip", good)
    os.truncate(path, int(path.stat().st_size * kept))

    report = verify_package(path)

    assert report.exit_code == 4
    assert "only a part" in str(report)
    assert run_verifier(path).returncode == 4


def test_nothing_of_a_package_is_executed_or_unpickled(good, tmp_path: Path, monkeypatch) -> None:
    trace = tmp_path / "trace"
    script = f"open({str(trace)!r}, 'w').close()\n".encode()
    # names that an import would find first in the current folder, and a pickle
    traps = dict.fromkeys((f"data/code/{name}" for name in ("study.py", "numpy.py", "sitecustomize.py")), script)
    files = packages.in_crate_too({**good, **traps, "data/artifacts/v/model.pkl": pickle.dumps(Traitor(trace))})
    folder = packages.write_folder(tmp_path / "package", files)
    monkeypatch.chdir(folder / "data/code")

    report = verify_package(folder)
    command = [sys.executable, "-m", "sciflow.cli.main", "verify", str(folder)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert (report.exit_code, done.returncode, run_verifier(folder).returncode) == (0, 0, 0)
    assert any("pickle" in one.what for one in report.findings)
    assert not trace.exists()


def test_a_results_file_that_crashes_its_reader_is_a_finding(good, tmp_path: Path) -> None:
    content = bytearray(good[layout.RESULTS_FILE])
    content[600:4000] = os.urandom(3400)
    path = packages.write_zip(tmp_path / "x.zip", packages.in_crate_too({**good, layout.RESULTS_FILE: bytes(content)}))

    assert verify_package(path).exit_code in {4, 5}


def test_a_reader_that_is_killed_or_says_nothing_is_a_finding() -> None:
    (killed,) = _told(-11, b"", b"")
    (silent,) = _told(1, b"", b"Traceback\nMemoryError\n")

    assert (killed.severity, killed.check) == ("error", "safety")
    assert "SIGSEGV" in killed.what
    assert (silent.check, "MemoryError" in silent.what) == ("consistency", True)


def test_a_small_package_keeps_its_reader_busy_for_half_a_minute_at_most(good, tmp_path: Path) -> None:
    with opened(packages.write_zip(tmp_path / "x.zip", good)) as small:
        assert examine.CPU_S <= examine.cpu_s(small) < 32
        n_bytes = sum(small.sizes[name] for name in small.below(f"{layout.RECORDS}/"))
        small.sizes[f"{layout.RECORDS}/segments/more.seg"] = 100_000_000 - n_bytes
        assert examine.cpu_s(small) > 300
    code = "from sciflow.packaging import examine; examine._limit_this_process(1)\nwhile True: pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)

    (busy,) = _told(done.returncode, done.stdout, done.stderr)

    assert (busy.severity, busy.check) == ("error", "safety")
    assert "more computing to be read than a package of this size needs" in busy.what


def test_one_long_text_takes_its_own_memory_and_not_that_of_every_cell(good, tmp_path: Path) -> None:
    rows = ["variant,note", f"v0,{'x' * 500_000}", *(f"v{k},short" for k in range(1, 5000))]
    package = packages.write_zip(tmp_path / "x.zip", {**good, layout.TABLE: "\n".join(rows).encode()})
    tracemalloc.start()

    with opened(package) as files:
        table = examine._read_table(files, layout.TABLE)
    wrong = examine.unlike(table["note"], table["note"].copy())
    other = examine.differing(np.array(table["note"].tolist(), dtype=object), table["note"])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert not wrong.any()
    assert not other.any()
    assert peak_bytes < 50_000_000  # 10 GB if each cell had the length of the longest


def test_what_does_not_fit_into_memory_is_said_to_be_so(good, tmp_path: Path, monkeypatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(examine, "assemble", exhausted)
    with opened(packages.write_zip(tmp_path / "x.zip", good)) as package:
        findings = list(examine.examine(package, tmp_path))

    assert standalone.exit_code(findings) == standalone.UNCHECKED
    assert "in the memory of this machine" in str(findings[0])


def test_a_results_file_that_points_elsewhere_is_refused(good, tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    path.write_bytes(good[layout.RESULTS_FILE])
    with h5py.File(path, "a") as file:
        file["other"] = h5py.ExternalLink("/etc/passwd", "/")
    files = packages.in_crate_too({**good, layout.RESULTS_FILE: path.read_bytes()})

    report = verify_package(packages.write_zip(tmp_path / "x.zip", files))

    assert report.exit_code == 4
    assert "'other' is a link" in str(report)


PARTS = st.sampled_from(["a", "B", "b", "..", ".", "", "data", "C:", "x\\y", "é", "e\u0301", "\n"])


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), min_size=1, max_size=6))
def test_what_is_not_refused_stays_in_its_folder_and_apart(names: list[str]) -> None:
    if check_names(names):
        return

    root = Path("/root/of/it")
    paths = [Path(os.path.normpath(root / name)) for name in names]

    assert all(path.is_relative_to(root) and path != root for path in paths)
    assert len({str(path).casefold() for path in paths}) == len(names)


def test_unpacking_writes_plain_files_and_follows_nothing(tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "x.zip", {"data/a.txt": b"1", "data/b/c.txt": b"2", "z": b"3"})
    target = tmp_path / "out"
    target.mkdir()
    (target / "a.txt").symlink_to(tmp_path / "elsewhere")

    with open_container(path) as package:
        with pytest.raises(FileExistsError):
            unpack(package, ["data/a.txt"], target, below="data/")
        unpack(package, ["data/b/c.txt"], target, below="data/")

    assert not (tmp_path / "elsewhere").exists()
    assert (target / "b/c.txt").read_bytes() == b"2"
    assert not (target / "b/c.txt").stat().st_mode & 0o111


def test_a_package_that_is_not_safe_is_an_error_for_those_who_open_it(tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "x.zip", {"../x": b"1"})

    with pytest.raises(PackageError, match=r"leads out of the folder"), open_container(path):
        pass
    with pytest.raises(PackageError, match="cannot read"), open_container(tmp_path / "none.zip"):
        pass


def test_a_member_is_never_read_beyond_its_size(tmp_path: Path) -> None:
    path = packages.write_zip(tmp_path / "x.zip", {"x": b"12345"})

    with opened(path) as package:
        package.sizes["x"] = 3
        package.open = lambda name: io.BytesIO(b"12345")
        with pytest.raises(UnsafeError, match="more than the 3 bytes"):
            package.read("x")


VICTIM = "../../../victim.txt"

LEADING_ELSEWHERE = {
    "the tree of the code": (layout.RECORD, lambda r: r["code"].update(tree="/tmp/x/evil")),
    "the frozen code": (layout.RECORD, lambda r: r["code"].update(frozen="../" * 3 + "f" * 64)),
    "the patch": (layout.RECORD, lambda r: r["code"].update(patch="data/code/study.py")),
    "the script": (layout.RECORD, lambda r: r["run"].update(script=VICTIM)),
    "an absolute script": (layout.RECORD, lambda r: r["run"].update(script="/victim.txt")),
    "a script that is no text": (layout.RECORD, lambda r: r["run"].update(script=["study.py"])),
    "the workflow of the script": (layout.RECORD, lambda r: r["run"].update(workflow="../up")),
    "the workflow": (layout.RECORD, lambda r: r.update(workflow="../../up")),
    "the name": (layout.RECORD, lambda r: r.update(name="a/../../b")),
    "an input": (layout.RECORD, lambda r: r["inputs"][0].update(name=VICTIM)),
    "the place of an input": (layout.RECORD, lambda r: r["inputs"][0].update(path="data/code/study.py")),
    "a file": (layout.RECORD, lambda r: r["files"].update(results="data/../../results.h5")),
    "a file beside the payload": (layout.RECORD, lambda r: r["files"].update(results="README.md")),
    "an environment": (layout.RECORD, lambda r: r["environments"].update({"../e": "data/environment/../e.json"})),
    "the workflow of the sweep": (layout.SWEEP, lambda d: d.update(workflow="../../up")),
    "the workflow of the records": (f"{layout.RECORDS}/sweep.json", lambda d: d.update(workflow="..")),
    "the name in the definition": (layout.DEFINITION, lambda d: d.update(name="a/b")),
    "the code of a session": (f"{layout.RECORDS}/sessions/000001.json", lambda d: d.update(code={"tree": "../.."})),
    "the folder of a session": (f"{layout.RECORDS}/sessions/000001.json", lambda d: d.update(folder="../../..")),
    "the patch of a session": (
        f"{layout.RECORDS}/sessions/000001.json",
        lambda d: d.update(code={"repository": {"patch": {"file": "../../../.ssh/id_rsa"}}}),
    ),
}
"""Texts of a package that become paths when it is imported, run or packed again."""


@pytest.mark.parametrize("what", LEADING_ELSEWHERE)
def test_no_text_of_a_package_leads_elsewhere(what: str, good, tmp_path: Path) -> None:
    name, change = LEADING_ELSEWHERE[what]
    if name not in good:
        name = next(one for one in good if one.startswith(f"{layout.RECORDS}/sessions/") and one.endswith(".json"))
    (tmp_path / "victim.txt").write_text("precious")
    path = packages.write_zip(tmp_path / "x.zip", packages.in_crate_too(packages.with_json(good, name, change)))
    before = sorted(tmp_path.rglob("*"))

    report = verify_package(path)
    with pytest.raises(PackageError):
        import_package(path, tmp_path / "a/b/sweeps")

    assert report.exit_code == 4
    assert any(one.file == name and "lead elsewhere" in one.what for one in report.errors)
    assert sorted(tmp_path.rglob("*")) == before
    assert reproduce_package(path, yes=True).exit_code == 4


@pytest.mark.parametrize("what", ["live/1.note", "intermediates/1", "sessions/000002.cancel", "code/x/study.py"])
def test_what_a_driver_would_trust_is_not_among_the_records(what: str, good, tmp_path: Path) -> None:
    files = packages.in_crate_too({**good, f"{layout.RECORDS}/{what}": b"x"})
    path = packages.write_zip(tmp_path / "x.zip", files)

    report = verify_package(path)

    assert report.exit_code == 4
    assert "is nothing that records have" in str(report)
    with pytest.raises(PackageError):
        import_package(path, tmp_path / "sweeps")


@pytest.mark.parametrize(
    ("part", "value"), [("tree", "/outside/evil"), ("tree", ".."), ("frozen", "../../up"), ("script", VICTIM)]
)
def test_an_import_stays_in_its_folder_even_if_a_check_were_blind(
    part: str, value: str, good, tmp_path: Path, monkeypatch
) -> None:
    def change(record) -> None:
        record["code"].update(frozen="f" * 64, tree="0" * 40)
        record["run" if part == "script" else "code"][part] = value

    (tmp_path / "victim.txt").write_text("precious")
    path = packages.write_zip(tmp_path / "x.zip", packages.with_json(good, layout.RECORD, change))
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("sciflow.packaging.importing.verify_package", lambda _: SimpleNamespace(errors=()))

    with pytest.raises(PackageError, match=r"would lie elsewhere|cannot name a folder"):
        import_package(path, tmp_path)

    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", ".", "a\0b"])
def test_a_path_within_a_folder_is_one(name: str, tmp_path: Path) -> None:
    assert within(tmp_path, "a/b.txt") == tmp_path / "a/b.txt"
    with pytest.raises(PackageError, match="would lie elsewhere"):
        within(tmp_path, name)
