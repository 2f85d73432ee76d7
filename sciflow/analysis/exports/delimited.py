"""Comma- and tab-separated tables, and the ``datapackage.json`` beside them that says what the columns are.

Text is written as it is: a spreadsheet that opens the file takes what begins with ``=`` for a formula, which it does
not in an ``.xlsx`` file.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final, cast

from sciflow.analysis.exports.texts import texts
from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.analysis.exports.table import ExportTable, Field

DATAPACKAGE: Final = "datapackage.json"
PROFILE: Final = "tabular-data-resource"

_MARKS: Final = ("", "NA", "N/A", "<missing>", "<no value>")
_OURS: Final = "sciflow"


def write_delimited(table: ExportTable, path: Path, delimiter: str) -> dict[str, Any]:
    """Write the table, and return the Frictionless description of the file."""
    missing = _missing_mark(table)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow([one.name for one in table.fields])
        for piece in table.pieces():
            writer.writerows(zip(*(texts(values, missing) for values in piece), strict=True))
    return _resource(table, path, delimiter, missing)


def _missing_mark(table: ExportTable) -> str:
    """What stands for no value: nothing, unless that is a value of some text."""
    left = set(_MARKS)
    for one in table.fields:
        if one.type == "string" and one.role in {"parameter", "output"}:
            for values in table.column(one):
                left -= set(values.compressed().tolist())
    free = [mark for mark in _MARKS if mark in left]
    if not free:
        raise ResultsError(f"texts of the results use all of {', '.join(map(repr, _MARKS))}; export to .parquet or .nc")
    return free[0]


def _resource(table: ExportTable, path: Path, delimiter: str, missing: str) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    schema: dict[str, Any] = {"fields": list(map(_describe, table.fields)), "missingValues": [missing]}
    if any(one.name == "variant" for one in table.fields):
        schema["primaryKey"] = ["variant"]
    left_out = (
        f"; left out, for they are arrays for each variant: {', '.join(table.left_out)}" if table.left_out else ""
    )
    where = f" with {table.about['where']}" if "where" in table.about else ""
    return {
        "name": re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-.") or "table",
        "path": path.name,
        "profile": PROFILE,
        "title": f"Results of the sweep {table.about['sweep']}",
        "description": f"One row per variant{where}{left_out}",
        "format": "tsv" if delimiter == "\t" else "csv",
        "mediatype": "text/tab-separated-values" if delimiter == "\t" else "text/csv",
        "encoding": "utf-8",
        "bytes": path.stat().st_size,
        "hash": f"sha256:{digest}",
        "dialect": {"delimiter": delimiter, "lineTerminator": "\n", "quoteChar": '"', "doubleQuote": True},
        "schema": schema,
        _OURS: {**table.about, "n_rows": table.n_rows, "left_out": list(table.left_out)},
    }


def _describe(one: Field) -> dict[str, Any]:
    described: dict[str, Any] = {"name": one.name, "type": one.type, "description": one.description, "role": one.role}
    if one.unit is not None:
        described["unit"] = one.unit
    if one.type == "datetime":
        described["format"] = "%Y-%m-%dT%H:%M:%S.%f"
    constraints: dict[str, Any] = {"required": True} if one.required else {}
    if one.role == "id":
        constraints["unique"] = True
    if one.name == "status":
        constraints["enum"] = ["done", "failed", "missing"]
    return described | ({"constraints": constraints} if constraints else {})


def add_to_datapackage(folder: Path, resource: dict[str, Any]) -> tuple[str, str]:
    """The name and text of the description of a folder with this resource in it.

    What sciflow wrote of other files of the folder stays; a description by somebody else is left alone, and ours is
    named after the file.
    """
    path = folder / DATAPACKAGE
    others: list[dict[str, Any]] = []
    if path.exists():
        theirs = _ours(path)
        if theirs is None:
            return f"{resource['path']}.{DATAPACKAGE}", _package([resource])
        # what was moved away since, or has the name, is not described
        others = [one for one in theirs if one["path"] != resource["path"] and (folder / one["path"]).exists()]
        taken = {one["name"] for one in others}
        if resource["name"] in taken:
            resource = {**resource, "name": f"{resource['name']}-{resource['format']}"}
    return DATAPACKAGE, _package(sorted([*others, resource], key=lambda one: one["path"]))


def _ours(path: Path) -> list[dict[str, Any]] | None:
    """The resources of a description that is ours; None if it is somebody else's."""
    try:
        data: Any = json.loads(path.read_text("utf-8"))
        resources = cast("list[dict[str, Any]]", data["resources"])
        return resources if all(_OURS in one for one in resources) else None
    except (ValueError, KeyError, TypeError):
        return None


def _package(resources: list[dict[str, Any]]) -> str:
    sweeps = list(dict.fromkeys(str(one[_OURS]["sweep"]) for one in resources))
    package = {
        "profile": "tabular-data-package",
        "name": re.sub(r"[^a-z0-9._-]+", "-", "-".join(sweeps).lower()).strip("-.") or "results",
        "title": f"Results of {', '.join(sweeps)}",
        "resources": resources,
    }
    return json.dumps(package, indent=2, ensure_ascii=False) + "\n"
