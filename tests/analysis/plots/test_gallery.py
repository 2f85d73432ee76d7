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


def test_ticks_of_main_effects_are_all_of_few_values_and_the_edges_of_bins() -> None:
    networks = gallery().networks()
    done = networks.isel(variant=(networks.status == "done").to_numpy())

    axes = PLOTS["main_effects"].draw(networks, "accuracy").axes[0]

    texts = [label.get_text() for label in axes.get_xticklabels()]
    for column in ("layers", "optimiser"):
        assert {str(one) for one in done[column].to_numpy()} <= set(texts)
    edges = [float(text) for text in texts[: texts.index("sgd")]]
    assert edges == sorted(edges)
    assert edges[0] == pytest.approx(float(done.learning_rate.min()), rel=0.05)
    assert edges[-1] == pytest.approx(float(done.learning_rate.max()), rel=0.05)
    assert axes.get_xticks()[0] == axes.lines[1].get_xdata()[0] - 0.5
