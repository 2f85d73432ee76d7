"""The documents at the top of the repository say what is true."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from matplotlib.image import imread

from sciflow.batch.site import read_site
from sciflow.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TOUR = ROOT / "notebooks/tour.ipynb"  # for those who only read


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def run_script(code: str, folder: Path) -> str:
    (folder / "script.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    said = ["temperature", "std_error", "energy", "log_loss"]

    for words, code in zip(said, blocks("python"), strict=True):
        assert words in run_script(code, tmp_path)


def test_the_site_file_of_the_readme_is_understood(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "site.toml").write_text(text)
    site = read_site(tmp_path / "site.toml")

    assert (site.default.queue, site.place(gpus=1).queue, site.default.walltime_s) == ("batch", "gpu", 7200)


def test_the_first_sweep_is_ten_statements_long_or_shorter() -> None:
    lines = [line for line in blocks("python")[0].splitlines() if line.strip()]

    assert len(lines) <= 11  # `def` counts for two


def test_the_two_commands_of_the_readme_name_files_and_commands_that_exist() -> None:
    example, tests = blocks("console")
    words = shlex.split(example.replace("&&", " ")) + shlex.split(tests.replace("&&", " "))

    for word in words:
        if word.endswith((".py", ".txt")):
            assert (ROOT / word).is_file(), word
    assert ".venv/bin/sciflow run examples/neural_network.py --now" in example
    assert "--require-hashes" in tests
    assert ".[examples]" in example


def test_every_sciflow_command_in_the_readme_is_understood() -> None:
    commands = [shlex.split(one) for one in re.findall(r"`sciflow ([^`]+)`", README)]

    assert commands
    for name, *arguments in commands:
        command = main.commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {a for a in arguments if a.startswith("-")} <= options, f"sciflow {name} {arguments}"


def test_files_that_the_readme_points_at_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    paths = re.findall(r"`((?:examples|notebooks)/[\w./]*)`", README)

    assert not [path for path in links + paths if not (ROOT / path).exists()]


def test_the_conda_environment_is_made_from_the_project_file() -> None:
    generator = runpy.run_path(str(ROOT / ".ci/make_environment.py"))

    assert (ROOT / "environment.yml").read_text("utf-8") == generator["render"](PROJECT), (
        "run: python .ci/make_environment.py > environment.yml"
    )


def test_the_conda_environment_is_yaml_that_conda_understands() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))

    *packages, pip = environment["dependencies"]
    assert environment["channels"] == ["conda-forge"]
    assert all(re.fullmatch(r"[a-z0-9_.-]+([<>=]=?[\d.]+)?", one) for one in packages)
    assert pip == {"pip": ["-e ."]}


def test_hashed_pins_say_nothing_of_where_packages_come_from() -> None:
    pin = r"[a-z0-9_.-]+==[^\s:/]+(?: ; [^:/]+)?(?: \\)?"
    line = re.compile(rf"{pin}|    --hash=sha256:[0-9a-f]{{64}}(?: \\)?|\s+# .*|# [^:/]*:?|# +uv pip compile [\w. =-]+")
    text = (ROOT / "requirements-dev.txt").read_text("utf-8")

    assert not [one for one in text.splitlines() if not line.fullmatch(one)]
    assert "://" not in text
    assert "index-url " not in text.replace("--no-emit-index-url ", "")


def test_hashed_pins_cover_what_the_project_asks_for() -> None:
    pinned = set(re.findall(r"^([a-z0-9_.-]+)==", (ROOT / "requirements-dev.txt").read_text("utf-8"), re.MULTILINE))
    asked = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["examples"],
        *PROJECT["dependency-groups"]["dev"],
    ]

    names = {re.split(r"[\[><=]", one)[0] for one in asked}
    assert not names - pinned, "see the command at the top of requirements-dev.txt"


def test_the_changelog_and_the_citation_are_of_this_version() -> None:
    version = PROJECT["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    released = re.findall(r"^## \[(\d[^\]]*)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert released[0] == (version, citation["date-released"])
    assert citation["version"] == version
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license"} <= set(citation)
    assert citation["license"] == PROJECT["project"]["license"]


def test_ci_runs_the_commands_of_the_readme_rather_than_its_own() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")

    assert "readme_command 1" in script
    assert "readme_command 2" in script
    assert "pip install" not in script
    assert os.access(ROOT / ".ci/run", os.X_OK)


@pytest.mark.parametrize("path", [one for one in NOTEBOOKS if one != TOUR], ids=lambda path: path.name)
def test_notebooks_are_stored_without_output(path: Path) -> None:
    cells = json.loads(path.read_text("utf-8"))["cells"]

    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")


def test_the_tour_is_stored_as_it_ran_without_errors_and_says_nothing_of_the_machine() -> None:
    text = TOUR.read_text("utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]

    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [one for cell in cells for one in cell["outputs"] if one["output_type"] == "error"]
    shown = [one.get("data", {}) for cell in cells for one in cell["outputs"]]
    figures = [one["image/png"] for one in shown if "image/png" in one]
    assert all(imread(io.BytesIO(base64.b64decode("".join(one)))).std() > 0 for one in figures)
    assert len(figures) >= 2
    assert not re.findall(r"/(?:home|root|tmp|work|Users)/", text)
    assert len(text) < 300_000


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="notebooks run where the development tools are installed")
    nbclient = pytest.importorskip("nbclient", reason="same")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)

    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    assert any(cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code")
