from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from sciflow import plots
from sciflow.analysis.results import open_results
from sciflow.errors import ResultsError
from sciflow.space import Grid

MARKS = {"workflow": "study (a)", "sweep": "043f04f1-b265-4cda", "code": "ab12\\cd"}


@pytest.fixture
def figure(flat):
    return plots.line(flat(Grid(a=[1, 2, 3]), [1.0, 2.0, 3.0]).assign_attrs(MARKS), "a", "value")


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_a_saved_figure_says_which_sweep_and_code_it_shows(figure, kind, tmp_path) -> None:
    (path,) = plots.save_figure(figure, tmp_path / "figure", [kind])

    assert path == tmp_path / f"figure.{kind}"
    assert plots.read_provenance(path) == MARKS


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_so_does_one_that_is_saved_by_matplotlib_itself(figure, kind, tmp_path) -> None:
    figure.savefig(tmp_path / f"figure.{kind}", metadata={"Title": "mine"})

    assert plots.read_provenance(tmp_path / f"figure.{kind}") == MARKS


def test_axes_of_the_user_carry_it_too(flat, tmp_path) -> None:
    own = Figure()

    plots.line(flat(Grid(a=[1, 2]), [1.0, 2.0]).assign_attrs(MARKS), "a", "value", ax=own.add_subplot())

    assert plots.read_provenance(plots.save_figure(own, tmp_path / "own.svg")[0]) == MARKS


def test_the_same_figure_makes_the_same_file(figure, tmp_path) -> None:
    first, second = (plots.save_figure(figure, tmp_path / name, ["pdf", "svg", "png"]) for name in "ab")

    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in second]


def test_a_figure_without_provenance_says_none(tmp_path) -> None:
    figure = Figure()
    for kind in ("png", "pdf", "svg"):
        figure.savefig(tmp_path / f"plain.{kind}")

        assert plots.read_provenance(tmp_path / f"plain.{kind}") == {}


def test_letters_stay_letters_in_vector_files(figure, tmp_path) -> None:
    svg, pdf = plots.save_figure(figure, tmp_path / "figure", ["svg", "pdf"])

    assert ">value</text>" in svg.read_text()
    assert b"/FontFile2" in pdf.read_bytes()  # TrueType


def test_other_formats_are_refused_by_name(figure, tmp_path) -> None:
    with pytest.raises(ResultsError, match="format 'jpg' is unknown; it is one of png, pdf, svg"):
        plots.save_figure(figure, tmp_path / "figure.jpg")
    with pytest.raises(ResultsError, match=r"carries provenance; these are \.png"):
        plots.read_provenance(tmp_path / "figure.jpg")


def test_figures_of_a_sweep_carry_its_id(known, tmp_path) -> None:
    results = open_results(known.path)

    figures = results.visualize(tmp_path / "figures", formats=("png", "svg"))

    assert list(figures) == ["accuracy_map"]
    files = sorted((tmp_path / "figures").iterdir())
    assert [file.name for file in files] == ["accuracy_map.png", "accuracy_map.svg"]
    for file in files:
        assert plots.read_provenance(file)["sweep"] == results.metadata["sweep"]["sweep"]


def test_a_name_that_no_file_can_have_is_changed(figure, tmp_path) -> None:
    from sciflow.analysis.plots.save import save_figures

    (path,) = save_figures({"a/b c": figure}, tmp_path, ["png"])

    assert path == tmp_path / "a_b_c.png"


def test_styles_set_sizes_and_leave_no_trace(flat) -> None:
    dataset = flat(Grid(a=[1, 2, 3]), [1.0, 2.0, 3.0])
    before = mpl.rcParams.copy()

    paper, talk = (plots.line(dataset, "a", "value", style=style) for style in ("paper", "talk"))

    assert mpl.rcParams.copy() == before
    assert paper.get_figwidth() == 3.4
    assert [figure.axes[0].xaxis.label.get_size() for figure in (paper, talk)] == [8, 17]
    for figure, size in ((paper, 8), (talk, 17)):
        figure.draw_without_rendering()  # ticks are made only now, long after the style is over
        sizes = [label.get_size() for label in figure.axes[0].get_yticklabels()]
        assert sizes == pytest.approx([0.833 * size] * len(sizes))


def test_an_unknown_style_is_told_with_those_that_are_known(flat) -> None:
    with pytest.raises(ResultsError, match=r"style 'papr' is unknown; .*'talk'; did you mean 'paper'\?"):
        plots.line(flat(Grid(a=[1, 2]), [1.0, 2.0]), "a", "value", style="papr")


def test_axes_of_the_user_keep_their_style_unless_one_is_named(flat) -> None:
    dataset, own = flat(Grid(a=[1, 2]), [1.0, 2.0]), Figure(figsize=(9, 2))
    left, right = own.subplots(1, 2)

    assert plots.line(dataset, "a", "value", ax=left) is own
    plots.line(dataset, "a", "value", ax=right, style="paper")

    assert own.get_size_inches().tolist() == [9, 2]
    assert left.lines[0].get_linewidth() == mpl.rcParams["lines.linewidth"]
    assert right.lines[0].get_linewidth() == 1.1


def test_colours_can_be_told_apart_without_red_or_green() -> None:
    """Distances in CIELAB as deuteranopes and protanopes see them (Machado 2009), above what anybody can tell apart."""
    from sciflow.analysis.plots.style import OKABE_ITO

    seen = [np.array(mpl.colors.to_rgb(colour)) for colour in OKABE_ITO[:6]]
    matrices = {
        "deuteranopia": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.01182, 0.04294, 0.968881],
        ],
        "protanopia": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
    }
    for matrix in matrices.values():
        labs = [lab(np.clip(np.array(matrix) @ linear(colour), 0, 1)) for colour in seen]
        distances = [np.linalg.norm(a - b) for k, a in enumerate(labs) for b in labs[:k]]
        assert min(distances) > 10


def linear(colour):
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    f = np.cbrt(xyz / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
