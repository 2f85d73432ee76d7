from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from sciflow.packaging import gather, layout

if TYPE_CHECKING:
    from pathlib import Path


def test_inputs_of_the_same_name_from_different_folders_are_all_packed(tmp_path: Path) -> None:
    contents = {"a": b"coarse", "b": b"fine", "c": b"finest"}
    declared = []
    for folder, content in contents.items():
        path = tmp_path / folder / ("Mesh.dat" if folder == "c" else "mesh.dat")
        path.parent.mkdir()
        path.write_bytes(content)
        declared.append({"name": str(path), "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)})

    gathered, entries = gather.inputs({"inputs": declared}, [tmp_path])

    assert [one["name"] for one in entries] == ["mesh.dat", "mesh-2.dat", "Mesh-3.dat"]
    assert [gathered.members[one["path"]].read_bytes() for one in entries] == list(contents.values())
    assert [one["sha256"] for one in entries] == [one["sha256"] for one in declared]


class Drawn:
    """Results whose workflow asked for two figures that differ in what a file name cannot say."""

    def visualize(self):
        return {name: plt.figure() for name in ("energy a b", "energy a/b")}


def test_figures_whose_names_differ_in_what_a_file_name_cannot_say_are_all_packed() -> None:
    names = [f"{layout.FIGURES}/{stem}.{kind}" for stem in ("energy_a_b", "energy_a_b-2") for kind in ("png", "svg")]

    assert list(gather.figures(Drawn()).members) == names
