"""What conda installed: the explicit list from which the environment can be made again, read without conda."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciflow.provenance.address import scrubbed

if TYPE_CHECKING:
    from collections.abc import Iterable

# of a record of half a megabyte, most of it names of files, the few lines that count: those at the outermost level
_FACT = re.compile(r'^ {1,4}"(name|version|build|channel|url|md5|sha256)": *("(?:[^"\\]|\\.)*"),?$', re.MULTILINE)
_TOKEN = re.compile(r"/t/[^/]+/")


def conda_packages(prefixes: Iterable[str] | None = None) -> dict[str, Any] | None:
    """The packages of the conda environment that this Python is of; None when it is of none.

    Returns
    -------
    dict
        ``versions``: name → version, and ``explicit``: an address with ``#md5`` for each, as of
        ``conda list --explicit --md5``, without credentials.
    """
    for prefix in (sys.prefix, sys.base_prefix) if prefixes is None else prefixes:
        records = sorted(Path(prefix, "conda-meta").glob("*.json"))
        found = [facts for facts in map(_read, records) if "name" in facts]
        if found:
            return {
                "versions": {one["name"]: one.get("version", "") for one in found},
                "explicit": [_address(one) for one in found],
            }
    return None


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return {}
    facts = {key: json.loads(value) for key, value in _FACT.findall(text)}
    if "name" in facts:
        return facts
    try:  # written in one line
        data = json.loads(text)
    except ValueError:
        return {}
    return {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}


def _address(facts: dict[str, str]) -> str:
    file = f"{facts['name']}-{facts.get('version')}-{facts.get('build')}"
    address = _TOKEN.sub("/", scrubbed(facts["url"])) if facts.get("url") else file
    return f"{address}#{facts['md5']}" if facts.get("md5") else address
