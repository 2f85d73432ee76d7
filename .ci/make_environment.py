"""Print environment.yml, made from pyproject.toml: ``python .ci/make_environment.py > environment.yml``."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

# where conda-forge has another name than the package index
CONDA_NAMES = {"dask[array]": "dask-core", "matplotlib": "matplotlib-base", "tzdata": "python-tzdata"}
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+(?:\[[\w,]+\])?)\s*(?P<limits>.*)")


def conda_requirement(text: str) -> str:
    """Translate one requirement."""
    match = REQUIREMENT.fullmatch(text)
    assert match is not None, text
    return CONDA_NAMES.get(match["name"], match["name"]) + match["limits"]


def render(pyproject: dict[str, Any]) -> str:
    """Give the text of environment.yml."""
    project = pyproject["project"]
    groups = {
        "": [f"python{project['requires-python']}", "pip", *project["dependencies"]],
        "what the examples use": project["optional-dependencies"]["examples"],
        "development tools": pyproject["dependency-groups"]["dev"],
    }
    lines = [
        "# made by .ci/make_environment.py from pyproject.toml; a test compares them",
        f"name: {project['name']}",
        "channels:",
        "  - conda-forge",
        "dependencies:",
    ]
    known: set[str] = set()
    for comment, requirements in groups.items():
        lines += [f"  # {comment}"] if comment else []
        translated = [conda_requirement(one) for one in requirements]
        lines += [f"  - {one}" for one in translated if one not in known]
        known |= set(translated)
    lines += ["  - pip:", "      - -e ."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    sys.stdout.write(render(tomllib.loads((root / "pyproject.toml").read_text("utf-8"))))
