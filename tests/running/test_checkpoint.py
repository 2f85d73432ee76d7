from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sciflow.running.checkpoint import Checkpoint, forget


def checkpoint(folder, generation="code", warnings=None):
    return Checkpoint(folder / "v1" / "train", generation, (warnings if warnings is not None else []).append)


def saved_file(folder):
    (path,) = folder.rglob("saved")
    return path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("no")


class RefusesToLoad:
    def __reduce__(self):
        return int, ("not a number",)


def test_what_was_saved_last_is_loaded_by_the_next_attempt(tmp_path):
    first = checkpoint(tmp_path)
    assert first.load() is None
    assert first.load({"epoch": 0}) == {"epoch": 0}
    assert not first.exists

    first.save({"epoch": 1})
    first.save({"epoch": 2, "step": lambda x: x + 1})

    again = checkpoint(tmp_path)
    assert again.exists
    loaded = again.load()
    assert loaded["epoch"] == 2
    assert loaded["step"](1) == 2
    assert len(list(saved_file(tmp_path).parent.iterdir())) == 1


def test_none_can_be_saved(tmp_path):
    checkpoint(tmp_path).save(None)

    assert checkpoint(tmp_path).load("default") is None


def test_an_object_that_cannot_be_pickled_leaves_the_earlier_checkpoint(tmp_path):
    one = checkpoint(tmp_path)
    one.save("good")

    with pytest.raises(RuntimeError):
        one.save([b"x" * 100_000, Unpicklable()])

    assert one.load() == "good"
    assert names_in(saved_file(tmp_path).parent) == ["saved"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data())
def test_any_damage_to_the_file_counts_as_no_checkpoint_and_is_said(tmp_path, data):
    checkpoint(tmp_path).save({"weights": list(range(20))})
    path = saved_file(tmp_path)
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    flipped = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    path.write_bytes(data.draw(st.sampled_from([content[:at], flipped, content + b"more"])))
    said = []

    assert checkpoint(tmp_path, warnings=said).load("default") == "default"

    assert len(said) == 1
    assert str(path) in said[0]


def test_a_checkpoint_whose_classes_are_gone_counts_as_none(tmp_path):
    said = []
    checkpoint(tmp_path).save(RefusesToLoad())

    assert checkpoint(tmp_path, warnings=said).load() is None
    assert "ValueError" in said[0]


def test_a_checkpoint_of_other_code_is_left_aside_and_said(tmp_path):
    checkpoint(tmp_path, "old code").save(1)
    said = []
    new = checkpoint(tmp_path, "new code", said)

    assert not new.exists
    assert new.load() is None
    assert "other code" in said[0]

    new.save(2)
    assert (checkpoint(tmp_path, "old code").load(), checkpoint(tmp_path, "new code").load()) == (1, 2)


def test_checkpoints_of_variants_and_tasks_are_apart_and_forgotten_together(tmp_path):
    def at(variant, task):
        return Checkpoint(tmp_path / variant / task, "", print)

    for variant in ("v1", "v2"):
        for task in ("train", "score"):
            at(variant, task).save((variant, task))

    forget(tmp_path, "v1")
    forget(tmp_path, "v3")

    assert not (tmp_path / "v1").exists()
    assert at("v2", "score").load() == ("v2", "score")
    assert at("v1", "train").load() is None


@pytest.mark.parametrize("shape", ["file", "folder"])
def test_a_format_of_ones_own_is_replaced_only_when_the_new_one_is_whole(tmp_path, shape):
    def write(path, text):
        if shape == "folder":
            (path / "deep").mkdir(parents=True)
        (path / "deep" / "w" if shape == "folder" else path).write_text(text)

    def read(path):
        return (path / "deep" / "w" if shape == "folder" else path).read_text()

    one = checkpoint(tmp_path)
    assert not one.path.exists()
    for text in ("first", "second"):
        with one.writing() as path:
            write(path, text)
            assert path != one.path
    with pytest.raises(ValueError, match="in the middle"), one.writing() as path:  # noqa: PT012  what it wrote must go
        write(path, "half")
        raise ValueError("in the middle")

    again = checkpoint(tmp_path)
    assert again.exists
    assert read(again.path) == "second"
    assert names_in(again.path.parent) == [again.path.name]


def test_a_file_written_to_the_path_itself_survives_too(tmp_path):
    checkpoint(tmp_path).path.write_text("mine")

    assert checkpoint(tmp_path).path.read_text() == "mine"

    with checkpoint(tmp_path).writing() as path:
        path.write_text("newer")
    assert checkpoint(tmp_path).path.read_text() == "newer"


def test_a_library_that_writes_under_another_name_is_told_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="exactly this name"), checkpoint(tmp_path).writing() as path:
        path.with_name(path.name + ".npz").write_text("numpy appends a suffix")


def test_what_a_killed_attempt_was_writing_is_cleared_away(tmp_path):
    first = checkpoint(tmp_path)
    first.save(1)
    (saved_file(tmp_path).with_name(".tmp-dead")).write_bytes(b"half")

    checkpoint(tmp_path).save(2)

    assert names_in(saved_file(tmp_path).parent) == ["saved"]


# ------------------------------------------------------------------------- killed at any instant

SAVES_IN_A_LOOP = """
import sys
from pathlib import Path
from sciflow.running.checkpoint import Checkpoint

checkpoint = Checkpoint(Path(sys.argv[1]) / "v1" / "train", "code", print)
way = sys.argv[2]

def load():
    if way == "object":
        return checkpoint.load((0, b""))[0]
    return int((checkpoint.path / "number").read_text()) if checkpoint.path.exists() else 0

def save(n):
    content = bytes([n % 256]) * (1 + n * 40_961 % 300_000)
    if way == "object":
        checkpoint.save((n, content))
        return
    with checkpoint.writing() as path:
        path.mkdir()
        (path / "content").write_bytes(content)
        (path / "number").write_text(str(n))

n = load()
while True:
    n += 1
    save(n)
    print(n, flush=True)
"""


@pytest.mark.parametrize("way", ["object", "folder"])
def test_killed_at_any_instant_the_last_complete_save_is_loaded_or_the_one_that_just_became_complete(tmp_path, way):
    rng = random.Random(way)
    survived = 0
    for _ in range(30):
        with subprocess.Popen(
            [sys.executable, "-c", SAVES_IN_A_LOOP, str(tmp_path), way], stdout=subprocess.PIPE, text=True
        ) as child:
            assert int(child.stdout.readline()) == survived + 1  # it carried on where it was killed
            time.sleep(rng.uniform(0, 0.02))
            child.send_signal(signal.SIGKILL)
            confirmed = [survived + 1, *map(int, child.stdout.read().split("\n")[:-1])]

        found = checkpoint(tmp_path)
        if way == "object":
            survived, content = found.load()
        else:
            survived = int((found.path / "number").read_text())
            content = (found.path / "content").read_bytes()

        assert survived in {confirmed[-1], confirmed[-1] + 1}
        assert content == bytes([survived % 256]) * (1 + survived * 40_961 % 300_000)


def test_a_full_disk_costs_the_new_checkpoint_and_not_the_earlier_one(tmp_path):
    code = """
import resource, signal, sys
from pathlib import Path
from sciflow.running.checkpoint import Checkpoint

checkpoint = Checkpoint(Path(sys.argv[1]) / "v1" / "train", "code", print)
checkpoint.save("small")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    checkpoint.save(b"x" * 100_000)
except OSError as error:
    print(error.strerror, checkpoint.load())
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)

    assert done.stdout == "File too large small\n"
    assert names_in(saved_file(tmp_path).parent) == ["saved"]


def test_a_large_array_is_saved_without_a_copy_in_memory(tmp_path):
    import numpy as np

    array = np.arange(1_000_000, dtype=float)
    one = checkpoint(tmp_path)
    one.save("warm")
    tracemalloc.start()
    try:
        one.save({"a": array})
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < array.nbytes / 4
    assert (checkpoint(tmp_path).load()["a"] == array).all()
