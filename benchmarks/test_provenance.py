"""What it costs to know the code: a repository of 5,000 files, for the first time and again."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap

import pytest

CAPTURE = """
    import json, sys, time
    from pathlib import Path

    begun = time.perf_counter()
    from sciflow.provenance.code import capture_code
    from sciflow.store.code import CodeShelf

    known = []
    sweep = Path(sys.argv[2])
    code = capture_code(
        sys.argv[1], outside=[sweep], shelf=CodeShelf(sweep), known=lambda _: known.append(time.perf_counter() - begun)
    )
    took = {"known_s": known[0], "kept_s": time.perf_counter() - begun}
    print(json.dumps({**took, "n_files": code.facts["repository"]["archive"]["n_files"]}))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """5,000 files of about 4 kB in 100 folders, one of them changed since the commit."""
    folder = tmp_path_factory.mktemp("code") / "project"
    random_ = random.Random(1)
    words = [f"name_{k}" for k in range(3000)]
    for k in range(5_000):
        path = folder / f"package{k % 100:02d}" / f"module{k}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(" ".join(random_.choices(words, k=8)) for _ in range(50)))
    identity = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"], ["gc", "-q"]):
        subprocess.run(["git", *command], cwd=folder, check=True, env={**os.environ, **identity})
    path.write_text("changed")
    return folder


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_the_code_of_a_large_repository(benchmark, repository, tmp_path, state):
    """Cold: a sweep that has nothing of it yet. Warm: the tree is kept already. Whole processes, imports included."""
    sweeps = iter(range(100)) if state == "cold" else iter([0] * 100)
    took = []

    def capture():
        sweep = tmp_path / str(next(sweeps))
        command = [sys.executable, "-c", textwrap.dedent(CAPTURE), str(repository), str(sweep)]
        took.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))

    benchmark.pedantic(capture, rounds=7, warmup_rounds=1)

    known, kept = (sorted(one[key] for one in took)[len(took) // 2] for key in ("known_s", "kept_s"))
    benchmark.extra_info |= {"known_s": known, "kept_s": kept}
    print(f"{state}: known after {known:.2f} s, kept after {kept:.2f} s (medians of {len(took)}, imports included)")
    assert all(one["n_files"] == 5_000 for one in took)
