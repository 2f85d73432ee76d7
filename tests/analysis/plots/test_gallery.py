from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from sciflow.analysis.plots.registry import PLOTS

GALLERY = Path(__file__).parents[3] / "examples/gallery.py"


def gallery():
    spec = importlib.util.spec_from_file_location("gallery", GALLERY)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_type_of_figure_is_in_the_gallery() -> None:
    assert {name.split()[0] for name in gallery().FIGURES} == set(PLOTS)


def test_the_gallery_is_drawn_without_a_window_system(tmp_path) -> None:
    code = f"""
import runpy, sys
sys.argv = ["gallery", {str(tmp_path)!r}, "--style", "paper"]
runpy.run_path({str(GALLERY)!r}, run_name="__main__")
assert "matplotlib.pyplot" not in sys.modules, "pyplot was loaded"
"""
    told = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True)

    assert told.returncode == 0, told.stderr
    assert sorted(map(Path, told.stdout.split())) == sorted(tmp_path.glob("*.png"))


@pytest.mark.parametrize("style", ["paper", "talk"])
def test_nothing_that_is_written_lies_outside_the_figure(style: str) -> None:
    module = gallery()
    for name, (make, options) in module.FIGURES.items():
        kind = name.split()[0]
        if kind == "surface":  # its labels move with the view
            continue
        figure = PLOTS[kind].draw(make(), **options, style=style)
        figure.draw_without_rendering()
        for axes in figure.axes:
            for text in (axes.xaxis.label, axes.yaxis.label, axes.title, *axes.texts):
                if text.get_text() and text.get_visible():
                    box = text.get_window_extent()
                    assert box.x0 > -2, (name, text)
                    assert box.x1 < figure.bbox.width + 2, (name, text)
                    assert box.y0 > -2, (name, text)
                    assert box.y1 < figure.bbox.height + 2, (name, text)
