"""Files of figures that know where they come from: PNG, PDF and SVG with provenance in their metadata."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl

from sciflow.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import xarray as xr
    from matplotlib.figure import Figure

FORMATS: Final = ("png", "pdf", "svg")
PROVENANCE: Final = ("workflow", "sweep", "code")
"""What of a dataset's attributes says where it comes from: the workflow, the sweep's id, the id of the code's tree."""
_MARK: Final = "sciflow-provenance: "
_DATE: Final = {"pdf": "CreationDate", "svg": "Date"}
_KEY: Final = {"png": "sciflow", "pdf": "Keywords", "svg": "Description"}
_TEXT: Final[dict[Any, Any]] = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "sciflow"}


def provenance_of(dataset: xr.Dataset | None) -> dict[str, str]:
    """Where the data come from, as far as the attributes of the dataset say."""
    attributes: Mapping[Any, Any] = {} if dataset is None else dataset.attrs
    return {key: str(attributes[key]) for key in PROVENANCE if attributes.get(key)}


def metadata_for(kind: str, provenance: Mapping[str, str]) -> dict[str, Any]:
    """Metadata of a file of this format. Without a date, so that the same figure gives the same file."""
    if kind not in _KEY:
        return {}
    told = {_KEY[kind]: _MARK + json.dumps(dict(provenance))} if provenance else {}
    title = {"Title": provenance["workflow"]} if "workflow" in provenance else {}
    return {**title, **told, **({_DATE[kind]: None} if kind in _DATE else {})}


def save_figure(figure: Figure, path: Path | str, formats: Iterable[str] | None = None) -> list[Path]:
    """Write a figure to files that carry its provenance.

    Text stays text in PDF and SVG, with TrueType fonts, as journals ask for.

    Parameters
    ----------
    path
        With a suffix, one of ``.png``, ``.pdf``, ``.svg``; or without, and then *formats* say which to write.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    ResultsError
        The format is another.
    """
    base = Path(path)
    kinds = tuple(formats) if formats is not None else (base.suffix[1:].lower(),)
    unknown = [kind for kind in kinds if kind not in FORMATS]
    if unknown or not kinds:
        raise ResultsError(f"format {unknown[0] if unknown else ''!r} is unknown; it is one of {', '.join(FORMATS)}")
    written: list[Path] = []
    for kind in kinds:
        file = base if formats is None else base.with_name(f"{base.name}.{kind}")
        with mpl.rc_context(_TEXT):
            options: dict[str, Any] = {
                "format": kind,
                "metadata": metadata_for(kind, getattr(figure, "provenance", {})),
            }
            figure.savefig(file, **options)
        written.append(file)
    return written


def save_figures(figures: Mapping[str, Figure], directory: Path | str, formats: Iterable[str]) -> list[Path]:
    """Write figures into a folder, which is made if need be, under their names."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    kinds = tuple(formats)
    # a name may hold what no file name can, such as a slash
    return [
        path
        for name, figure in figures.items()
        for path in save_figure(figure, folder / re.sub(r"[^\w.+-]+", "_", name), kinds)
    ]


def read_provenance(path: Path | str) -> dict[str, str]:
    """Where the data of a saved figure come from.

    Returns
    -------
    dict
        ``workflow``, ``sweep`` (its id) and ``code`` (id of the tree of the code), as far as they were known; empty
        for a file that says nothing.

    Raises
    ------
    ResultsError
        It is no PNG, PDF or SVG.
    """
    file = Path(path)
    readers = {".png": _png_text, ".pdf": _pdf_text, ".svg": _svg_text}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise ResultsError(f"{file} is no figure that carries provenance; these are {', '.join(readers)}")
    text = reader(file)
    return json.loads(text.removeprefix(_MARK)) if text.startswith(_MARK) else {}


def _png_text(file: Path) -> str:
    from PIL import Image  # noqa: PLC0415  matplotlib brings it

    with Image.open(file) as image:
        return str(image.info.get(_KEY["png"], ""))


def _pdf_text(file: Path) -> str:
    found = re.search(rb"/Keywords\s*\(((?:[^()\\]|\\.)*)\)", file.read_bytes(), re.DOTALL)
    return "" if found is None else re.sub(r"\\(.)", r"\1", found[1].decode("ascii"))


def _svg_text(file: Path) -> str:
    found = ET.parse(file).find(".//{http://purl.org/dc/elements/1.1/}description")  # noqa: S314  the user's own file
    return "" if found is None else str(found.text or "")
