"""What commands say of results that are of two codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Sciflow


def test_commands_that_compare_results_of_two_codes_say_so_on_stderr(
    script: Callable[..., str], study: str, sciflow: Sciflow, folder: Path
) -> None:
    study = study.replace(', dict(results.find_optimal_parameters("y"))', "")
    sciflow("run", script(study), "--quiet")
    name = script(study.replace("a * a + b", "1000 + a"))
    sciflow("run", name, "--quiet", "--on-stale", "rerun", "--only", "a == 1")
    words = "by different code: 2 by today's and 4 by older"

    for command in (
        ["best", "squares", "y", "--minimize"],
        ["results", "squares"],
        ["results", "squares", "--csv"],
        ["plot", "squares"],
    ):
        told = sciflow(*command)
        assert told.stderr.count(words) == 1
        assert told.stderr.startswith("warning: ")
        assert words not in told.stdout
    for command in (["best", "squares", "y", "--where", "not stale"], ["results", "squares", "--query", "not stale"]):
        assert "older" not in sciflow(*command).stderr
    text = sciflow("status", "squares", "--provenance").stdout
    assert [line.rpartition(": ")[2] for line in text.splitlines() if line.startswith("code ")] == [
        "4 variants",
        "2 variants",
    ]
    origins = json.loads(sciflow("status", "squares", "--provenance", "--json").stdout)["origins"]
    assert [(one["is_current"], one["n_variants"]) for one in origins] == [(False, 4), (True, 2)]


def test_a_sweep_that_is_not_there_yet_is_told_with_the_script_that_makes_it(
    script: Callable[..., str], sciflow: Sciflow
) -> None:
    name = script()

    told = sciflow("best", name.removesuffix(".py"), "y", expect=2)

    assert f"run: sciflow run {name}" in told.stderr
