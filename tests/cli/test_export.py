"""sciflow export: what it writes, and what it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Sciflow


def test_export_writes_what_was_chosen_and_prints_where(
    script: Callable[..., str], study: str, sciflow: Sciflow, folder: Path
) -> None:
    sciflow("run", script(study), "--quiet")
    told = sciflow("export", "squares", "-o", "out/t.csv", "--where", "a == 2", "--columns", "b, y")
    lines = (folder / "out" / "t.csv").read_text().splitlines()

    assert told.stdout == "out/t.csv\n"
    assert lines[0] == "b,y"
    assert len(lines) == 3
    assert json.loads((folder / "out" / "datapackage.json").read_text())["resources"][0]["path"] == "t.csv"


def test_export_of_a_table_for_a_paper(script: Callable[..., str], study: str, sciflow: Sciflow, folder: Path) -> None:
    sciflow("run", script(study), "--quiet")
    sciflow("export", "squares", "-o", "t.tex", "--digits", "3")

    assert "\\toprule" in (folder / "t.tex").read_text()


def test_a_kind_of_file_that_is_unknown_is_one_line_on_stderr(
    script: Callable[..., str], study: str, sciflow: Sciflow
) -> None:
    sciflow("run", script(study), "--quiet")
    refused = sciflow("export", "squares", "-o", "t.xls", expect=1)

    assert refused.stderr.startswith("error: cannot export to 't.xls'")
    assert refused.stderr.count("\n") == 1
