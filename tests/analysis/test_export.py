from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
import math
import re
import sys
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
from openpyxl.utils.escape import unescape

from sciflow.analysis.exports.latex import table_format
from sciflow.analysis.exports.netcdf import write_netcdf
from sciflow.analysis.exports.workbook import MOST_ROWS
from sciflow.errors import ResultsError, StoreWriteError
from sciflow.running.failure import Failure
from sciflow.space import Axis, Points

if TYPE_CHECKING:
    from pathlib import Path

    from sciflow.analysis.results import Results

TEXTS = ["plain", "a, b; c\t|d", 'two\nlines "quoted"', "Ünï çødé Ω µ 数", "=1+1", "50% of $x_1 & {#} ~^\\", ""]
FORMULAS = ["+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "[x]", "--", "NA"]
MISSING = object()
"""The outcome of a variant that nobody ran."""


def outcome_of(variant: Any) -> Any:
    number = variant["n"]
    if number == 3:
        return None
    if number == 4:
        return Failure.of(ValueError("a, b\nsecond line"), "work")
    return {
        "x": [0.1, 1e-300, -1.5, 0, 0, 1 / 3, math.nan, math.inf, -math.inf, 2.0, 3.0, 4.0, 5.0, 6.0][number],
        "count": 10**number,
        "good": number % 2 == 0,
        "z": complex(number, -number / 3),
        "text": None if number == 5 else [*TEXTS, *FORMULAS][number],
        "curve": np.arange(3.0) * number,
    }


@pytest.fixture
def odd(recorded) -> Results:
    """A sweep with all that tables have trouble with."""
    labels = [*TEXTS, *FORMULAS]
    space = Points(
        [
            {
                "n": number,
                "rate": 10.0**-number,
                "label": labels[number] or "nothing",
                "mixed": [None, "None?", (1, 2), 3][number % 4],
                "day": dt.date(2024, 2, 1 + number),
                **({"momentum": 0.5} if number % 2 else {}),
            }
            for number in range(14)
        ],
        units={"rate": "1/s", "momentum": "%"},
    )
    return recorded(space, outcome_of, units={"x": "kg*m/s^2", "z": "Ω"})


def expected(column: str) -> list[Any]:
    """The values of the sweep `odd`, None where there is none."""
    done = [{} if number in {3, 4} else outcome_of({"n": number}) for number in range(14)]
    labels = [*TEXTS, *FORMULAS]
    others = {
        "n": list(range(14)),
        "rate": [10.0**-n for n in range(14)],
        "label": [label or "nothing" for label in labels],
        "mixed": [["None", "None?", "[1,2]", "3"][n % 4] for n in range(14)],
        "day": [dt.date(2024, 2, 1 + n) for n in range(14)],
        "momentum": [0.5 if n % 2 else None for n in range(14)],
        "status": ["missing" if n == 3 else "failed" if n == 4 else "done" for n in range(14)],
        "failure": ["work: ValueError: a, b" if n == 4 else None for n in range(14)],
        "z_real": [one["z"].real if one else None for one in done],
        "z_imag": [one["z"].imag if one else None for one in done],
    }
    return others[column] if column in others else [one.get(column) for one in done]


COLUMNS = [
    "n",
    "rate",
    "label",
    "mixed",
    "day",
    "momentum",
    "status",
    "failure",
    "x",
    "count",
    "good",
    "z_real",
    "z_imag",
]
COLUMNS += ["text"]
UNITS = {"rate": "1/s", "momentum": "%", "x": "kg*m/s^2", "z_real": "Ω", "z_imag": "Ω"}
NUMBERS = {"NaN": math.nan, "INF": math.inf, "-INF": -math.inf}

TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": lambda text: NUMBERS.get(text) if text in NUMBERS else float(text),
    "boolean": {"true": True, "false": False}.__getitem__,
    "date": dt.date.fromisoformat,
}


def assert_same(found: list[Any], column: str) -> None:
    wanted = expected(column)
    assert [type(one) for one in found] == [type(one) for one in wanted], column
    for one, other in zip(found, wanted, strict=True):
        assert one == other or (one != one and other != other), column  # noqa: PLR0124  NaN


# -------------------------------------------------------------------------------------------- read what was written


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.filterwarnings("ignore:.*leaves out curve")
def test_what_is_read_by_the_datapackage_is_what_was_recorded(odd, tmp_path: Path, ending) -> None:
    path = odd.export(tmp_path / f"table.{ending}")
    (resource,) = json.loads((tmp_path / "datapackage.json").read_text("utf-8"))["resources"]
    fields = {one["name"]: one for one in resource["schema"]["fields"]}
    with path.open(encoding=resource["encoding"], newline="") as file:
        rows = list(csv.DictReader(file, delimiter=resource["dialect"]["delimiter"]))

    (missing,) = resource["schema"]["missingValues"]
    assert missing not in {*TEXTS, *FORMULAS}
    for name in COLUMNS:
        read = TYPES[fields[name]["type"]]
        assert_same([None if row[name] == missing else read(row[name]) for row in rows], name)
    assert [row["variant"] for row in rows] == odd.to_dataframe().index.tolist()
    assert {name: one["unit"] for name, one in fields.items() if name != "runtime_s" and "unit" in one} == UNITS
    assert resource["schema"]["primaryKey"] == ["variant"]
    assert resource["hash"] == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert "curve" in resource["description"]
    assert [one["name"] for one in fields.values() if one.get("constraints", {}).get("required")] == [
        "variant", "n", "rate", "label", "mixed", "day", "status", "attempt"
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*leaves out curve")
def test_parquet_keeps_types_units_and_what_is_missing(odd, tmp_path: Path) -> None:
    path = odd.export(tmp_path / "table.parquet")
    table = pq.read_table(path)

    for name in COLUMNS:
        assert_same(table[name].to_pylist(), name)
    assert {one.name: one.metadata[b"unit"].decode() for one in table.schema if b"unit" in one.metadata} == {
        **UNITS,
        "runtime_s": "s",
    }
    assert json.loads(table.schema.metadata[b"sciflow"])["left_out"] == ["curve"]
    frame = pd.read_parquet(path)
    assert frame.index.name == "variant"
    assert frame.attrs["units"]["rate"] == "1/s"
    assert frame.dtypes[["n", "count", "good", "x"]].astype(str).tolist() == ["int64", "Int64", "boolean", "float64"]


@pytest.mark.filterwarnings("ignore:.*leaves out curve")
def test_a_workbook_holds_the_values_and_no_formula(odd, tmp_path: Path) -> None:
    path = odd.export(tmp_path / "table.xlsx")
    book = openpyxl.load_workbook(path)
    names, *rows = list(book["results"].iter_rows(values_only=True))

    def cell(value: Any, column: str) -> Any:
        if column in {"x", "rate", "z_real", "z_imag", "momentum"} and value is not None:
            return NUMBERS[value] if isinstance(value, str) else float(value)
        return value.date() if isinstance(value, dt.datetime) else value

    for name in [one for one in COLUMNS if one != "text"]:
        place = names.index(name)
        assert_same([cell(row[place], name) for row in rows], name)
    written = [row[names.index("text")] for row in rows]
    assert [value or "" for value in written] == [value or "" for value in expected("text")]
    assert not [one.coordinate for row in book["results"].iter_rows() for one in row if one.data_type == "f"]
    with zipfile.ZipFile(path) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")
    dictionary = {row[0]: row for row in book["dictionary"].iter_rows(values_only=True) if row}
    assert [dictionary["rate"][i] for i in (1, 2, 3)] == ["1/s", "number", "parameter"]
    assert any("curve" in str(row[0]) for row in book["dictionary"].iter_rows(values_only=True) if row)
    assert dict(row[:2] for row in book["provenance"].iter_rows(values_only=True))["sweep"] == "sweep"


def read_latex(text: str) -> tuple[list[str], list[list[str]]]:
    """What a reader sees in the cells of a table, with as much of LaTeX as is used."""
    body = re.search(r"\\toprule\n(.*?)(?:\\bottomrule\n)?\\end\{(?:tabular|longtable)\}", text, re.DOTALL)
    assert body is not None
    lines = body[1].replace("\\midrule\n", "").replace("\\endhead\n\\bottomrule\n\\endfoot\n", "")
    rows = [[latex_cell(one) for one in re.split(r"(?<!\\) & ", row)] for row in lines.split(" \\\\\n") if row]
    return rows[0], rows[1:]


def latex_cell(cell: str) -> str:
    cell = re.sub(r"^\\shortstack\[l\]\{(.*)\}$", lambda m: m[1].replace("\\\\", "\n"), cell)
    names = {"textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~", "textless": "<", "textgreater": ">"}
    names |= {"textbar": "|", "textquotedbl": '"'}
    cell = re.sub(r"\\(text\w+)\{\}", lambda m: f"\\\\{ord(names[m[1]])};", cell)
    cell = re.sub(r"\\unit\{([^}]*)\}", r"\1", cell)
    cell = re.sub(r"\\([{}$&#_%])", lambda m: f"\\\\{ord(m[1])};", cell)
    if re.fullmatch(r"\{.+\}", cell):
        cell = {"{$\\infty$}": "INF", "{$-\\infty$}": "-INF"}.get(cell, cell[1:-1])
    cell = cell.replace("{}", "")
    return re.sub(r"\\\\(\d+);", lambda m: chr(int(m[1])), cell)


@pytest.mark.filterwarnings("ignore:.*leaves out curve")
def test_the_cells_of_a_latex_table_are_the_values(odd, tmp_path: Path) -> None:
    text = odd.export(tmp_path / "table.tex", columns=COLUMNS).read_text("utf-8")
    names, rows = read_latex(text)

    assert names[1] == "rate (1/s)"
    assert all(len(row) == len(COLUMNS) for row in rows)
    for place, name in enumerate(COLUMNS):
        read: Any = {"n": int, "count": int, "good": TYPES["boolean"], "day": TYPES["date"]}.get(name)
        read = read or (str if name in {"label", "mixed", "status", "failure", "text"} else TYPES["number"])
        # in print "--" is both a text and no value; the text has braces in between
        raw = re.findall(r"^(.*) \\\\$", text, re.MULTILINE)[1:]
        absent = [re.split(r"(?<!\\) & ", row)[place] in {"--", "{--}"} for row in raw]
        assert_same([None if gone else read(row[place]) for row, gone in zip(rows, absent, strict=True)], name)


def test_a_latex_table_has_balanced_braces_and_a_column_for_each_cell(odd, tmp_path: Path) -> None:
    text = odd.export(tmp_path / "table.tex", columns=COLUMNS).read_text("utf-8")
    code = re.sub(r"\\[{}\\]", "", re.sub(r"(?m)^%.*\n", "", text))

    assert code.count("{") == code.count("}")
    assert text.splitlines()[2].startswith("\\begin{tabular}{S[table-format=2]S[table-format=1.4e-2]lll")
    assert text.splitlines()[-1] == "\\end{tabular}"


def test_a_latex_table_longer_than_a_page_goes_over_pages(recorded, tmp_path: Path) -> None:
    long = recorded(Axis("n", range(100)), lambda v: {"half": v["n"] / 2})
    text = long.export(tmp_path / "long.tex").read_text()

    assert text.splitlines()[2].startswith("\\begin{longtable}{S[table-format=2]S[table-format=2.1]}")
    assert "longtable" in text.splitlines()[0]
    assert [float(row[1]) for row in read_latex(text)[1]] == [n / 2 for n in range(100)]


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        (["1", "-20"], "-2"),
        (["0.125", "10.5", ""], "2.3"),
        (["1e-05", "2.5e+16"], "1.1e-2"),
        (["NaN"], "1"),
    ],
)
def test_the_format_of_numbers_has_room_for_each(numbers, wanted) -> None:
    assert table_format(numbers) == wanted


def test_the_cells_of_a_markdown_table_are_the_values(odd, tmp_path: Path) -> None:
    text = odd.export(tmp_path / "table.md", columns=COLUMNS).read_text("utf-8")
    rows = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in text.splitlines() if line.startswith("|")]
    cells = [[re.sub(r"\\(.)", r"\1", one.replace("<br>", "\n")) for one in row] for row in rows]

    assert cells[0][:2] == ["n", "rate (1/s)"]
    assert rows[1][:3] == ["--:", "--:", ":--"]
    for name in ("rate", "label", "status", "x", "count", "good"):
        read = {"rate": TYPES["number"], "x": TYPES["number"], "count": int, "good": TYPES["boolean"]}.get(name, str)
        assert_same(
            [None if not row[COLUMNS.index(name)] else read(row[COLUMNS.index(name)]) for row in cells[2:]], name
        )


def test_tables_for_papers_have_parameters_and_outputs_and_as_many_digits_as_asked(recorded, tmp_path: Path) -> None:
    thirds = recorded(Axis("n", [1, 2]), lambda v: {"third": v["n"] / 3})

    assert thirds.export(tmp_path / "t.md").read_text().startswith("| n | third |\n")
    assert "| 1 | 0.333 |" in thirds.export(tmp_path / "t.md", digits=3).read_text()
    assert "1 & 0.3333 \\\\" in thirds.export(tmp_path / "t.tex", digits=4).read_text()
    with pytest.raises(ResultsError, match="others are exact"):
        thirds.export(tmp_path / "t.csv", digits=3)


# ----------------------------------------------------------------------------------------------------- netCDF


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_an_nc_file_holds_the_dataset(results, tmp_path: Path, engine) -> None:
    path = results.export(str(tmp_path / "all.nc"))

    with xr.open_dataset(path, engine=engine) as read:
        assert np.array_equal(read.accuracy.values, results.dataset.accuracy.values, equal_nan=True)
        assert np.array_equal(read.loss_curve.values, results.dataset.loss_curve.values, equal_nan=True)
        assert read.status.to_numpy().tolist() == results.dataset.status.to_numpy().tolist()
        assert read.learning_rate.attrs["units"] == "1/s"
        assert read.device.sel(learning_rate=0.1, layers=3, replicate=0).item() == ""
        assert json.loads(read.attrs["sciflow"])["sweep"] == "known_outcome"


def test_some_variants_and_variables_of_a_dataset(results, tmp_path: Path) -> None:
    path = results.export(tmp_path / "some.nc", where="status == 'done' and layers == 2", columns=["loss_curve"])

    with xr.open_dataset(path, engine="h5netcdf") as read:
        assert list(read.data_vars) == ["loss_curve"]
        assert read.sizes["variant"] == 6
        assert set(read.layers.to_numpy().tolist()) == {2}
        assert np.isfinite(read.loss_curve.to_numpy()).all()
    with pytest.raises(ResultsError, match=r"there is no variable 'losscurve'; .* did you mean 'loss_curve'"):
        results.export(tmp_path / "some.nc", columns=["losscurve"])


def test_what_netcdf_lacks_is_written_otherwise(recorded, tmp_path: Path) -> None:
    space = Points([{"x": (1, 2)}, {"x": "s"}, {"x": None}])
    results = recorded(space, lambda v: {"z": 1.0 + 2.0j, "n": 1, "s": "text" if v["x"] else None})

    with xr.open_dataset(results.export(tmp_path / "odd.nc"), engine="h5netcdf") as read:
        assert read.z_real.to_numpy().tolist() == [1.0, 1.0, 1.0]
        assert read.z_imag.to_numpy().tolist() == [2.0, 2.0, 2.0]
        assert read.s.to_numpy().tolist() == ["text", "text", ""]
        assert read.x.to_numpy().tolist()[1] == "s"


def test_one_long_text_among_many_variants_takes_its_own_memory_alone(tmp_path: Path) -> None:
    texts = np.array(["short"] * 4000, dtype=np.object_)
    texts[7], texts[9] = "é" * 20_000, None
    about = {"sweep": "x"}

    tracemalloc.start()
    write_netcdf(xr.Dataset({"text": ("variant", texts)}), tmp_path / "t.nc", about)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 40e6  # and not 4000 times 80 kB
    with xr.open_dataset(tmp_path / "t.nc", engine="h5netcdf") as read:
        assert read.text.to_numpy()[[0, 7, 9]].tolist() == ["short", "é" * 20_000, ""]


# ------------------------------------------------------------------------------------------------ which rows, columns


def test_rows_and_columns_are_chosen_in_the_order_that_is_asked_for(results, tmp_path: Path) -> None:
    path = results.export(tmp_path / "t.csv", where="accuracy > 0.9", columns=["accuracy", "layers"])
    (resource,) = json.loads((tmp_path / "datapackage.json").read_text())["resources"]

    assert path.read_text() == "accuracy,layers\n0.99,1\n0.91,2\n"
    assert "primaryKey" not in resource["schema"]
    assert resource["sciflow"]["where"] == "accuracy > 0.9"


def test_a_column_that_is_not_there_or_an_array_is_told(results, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"no column 'acuracy'; there are variant.*did you mean 'accuracy'"):
        results.export(tmp_path / "t.csv", columns=["acuracy"])
    with pytest.raises(ResultsError, match=r"'loss_curve' is an array for each variant.*\.nc"):
        results.export(tmp_path / "t.csv", columns=["loss_curve"])
    assert list(tmp_path.iterdir()) == []


def test_that_arrays_are_left_out_of_a_table_is_told(results, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"t\.csv leaves out loss_curve.* a \.nc file has them"):
        results.export(tmp_path / "t.csv")


def test_text_that_excel_or_xml_cannot_hold_is_written_otherwise(recorded, tmp_path: Path) -> None:
    texts = ["bell\x07", "_x0007_", "a" * 40_000, "carriage\rreturn"]
    results = recorded(Axis("n", range(4)), lambda v: {"text": texts[v["n"]], "large": 2**60 + v["n"]})
    sheet = openpyxl.load_workbook(results.export(tmp_path / "t.xlsx"))["results"]
    names, *rows = list(sheet.iter_rows(values_only=True))
    read = [row[names.index("text")] for row in rows]

    assert unescape(read[0]) == texts[0]
    assert unescape(unescape(read[1])) == texts[1] or unescape(read[1]) == texts[1]
    assert read[2] == "a" * 32_766 + "…"
    assert unescape(read[3]) == texts[3]
    assert [row[names.index("large")] for row in rows] == [str(2**60 + n) for n in range(4)]


def test_an_output_that_a_variant_does_not_have_is_missing_and_not_nan(recorded, tmp_path: Path) -> None:
    outcomes = [{"x": 1.0, "y": math.nan}, {"x": math.nan, "y": 2.0, "only": 3.0}, {"x": 3.0, "y": 4.0}]
    results = recorded(Axis("n", range(3)), lambda v: outcomes[v["n"]])

    path = results.export(tmp_path / "t.csv", columns=["x", "y", "only"])
    assert path.read_text() == "x,y,only\n1.0,NaN,\nNaN,2.0,3.0\n3.0,4.0,\n"


def test_moments_are_the_same_in_every_kind_of_file(recorded, tmp_path: Path) -> None:
    moments = [dt.datetime(2024, 2, 29, 23, 59, 59), dt.datetime(1850, 1, 1), dt.datetime(2024, 1, 1, 0, 0, 0, 1234)]  # noqa: DTZ001
    results = recorded(Axis("when", moments), lambda v: {"year": v["when"].year})

    with results.export(tmp_path / "t.csv").open() as file:
        assert [dt.datetime.fromisoformat(row["when"]) for row in csv.DictReader(file)] == moments
    assert pq.read_table(results.export(tmp_path / "t.parquet"))["when"].to_pylist() == moments
    rows = openpyxl.load_workbook(results.export(tmp_path / "t.xlsx"))["results"].iter_rows(min_row=2, values_only=True)
    read = [row[1] for row in rows]
    assert [one if isinstance(one, dt.datetime) else dt.datetime.fromisoformat(str(one)) for one in read] == moments
    assert [type(one) for one in read] == [dt.datetime, str, str]


def test_more_variants_than_a_sheet_has_rows_are_refused_with_a_remedy(results, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sciflow.analysis.exports.workbook.MOST_ROWS", 17)

    with pytest.raises(ResultsError, match=r"too few for 18 variants.*where=.*\.csv"):
        results.export(tmp_path / "t.xlsx")
    assert list(tmp_path.iterdir()) == []
    assert MOST_ROWS == 1_048_575


# -------------------------------------------------------------------------------------------------------------- files


@pytest.mark.filterwarnings("ignore:.*leaves out loss_curve")
def test_a_datapackage_describes_all_tables_of_its_folder_and_leaves_that_of_others_alone(results, tmp_path) -> None:
    for name in ("a.csv", "b.csv", "b.tsv", "a.csv"):
        results.export(tmp_path / name)
    resources = json.loads((tmp_path / "datapackage.json").read_text())["resources"]
    assert [(one["name"], one["path"]) for one in resources] == [("a", "a.csv"), ("b", "b.csv"), ("b-tsv", "b.tsv")]

    (tmp_path / "datapackage.json").write_text('{"resources": [{"path": "of_somebody_else.csv"}]}')
    results.export(tmp_path / "c.csv")
    assert "of_somebody_else" in (tmp_path / "datapackage.json").read_text()
    assert json.loads((tmp_path / "c.csv.datapackage.json").read_text())["resources"][0]["path"] == "c.csv"


@pytest.mark.filterwarnings("ignore:.*leaves out loss_curve")
def test_an_old_file_is_replaced_and_nothing_else_is_left(results, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("old")

    results.export(tmp_path / "t.csv")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["datapackage.json", "t.csv"]
    assert (tmp_path / "t.csv").read_text().startswith("variant,learning_rate")


def test_an_unknown_kind_of_file_lists_the_known_ones(results, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"goes by its ending, one of \.csv, \.tsv, \.parquet, \.xlsx, \.tex, \.md"):
        results.export(tmp_path / "table.xls")


@pytest.mark.parametrize(("ending", "package"), [("parquet", "pyarrow"), ("xlsx", "openpyxl")])
def test_a_package_that_is_needed_is_named(results, tmp_path: Path, monkeypatch, ending, package) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ResultsError, match=rf'{package}, which is not installed; pip install "sciflow\[tables\]"'):
        results.export(tmp_path / f"t.{ending}")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(results, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreWriteError, match=r"cannot write .*file/t\.csv"):
        results.export(tmp_path / "file" / "t.csv")
