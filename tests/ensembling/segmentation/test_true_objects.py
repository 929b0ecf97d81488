"""True objects of prepared samples: those of the labels, or the components of what a correction drew."""

from types import SimpleNamespace

import numpy as np
import pytest

from competition.ensembling.segmentation import true_objects
from competition.ensembling.segmentation.true_objects import open_true_objects
from competition.errors import CompetitionError
from competition.tracks.declared.track import load_folder_track
from competition.workspace import Workspace

TRACK = """\
classes: [cell]
train: "i/*.png"
test: "t/*.png"
group: (.+)
masks: {csv: t.csv, image: id, rle: rle, order: row}
submission: {kind: objects, image: id, rle: rle, ending: false, order: row}
"""


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """What reads the objects of image x, which has two touching cells of two pixels."""
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "x.png").touch()
    (tmp_path / "t.csv").write_text("id,rle\nx,1 2\nx,3 2\n")
    (tmp_path / "cells.yaml").write_text(TRACK)
    track, workspace = load_folder_track(tmp_path / "cells.yaml"), Workspace(tmp_path / "w", "cells")
    monkeypatch.setattr(true_objects, "read_manifest", lambda *_: SimpleNamespace(data_root=tmp_path))

    def read(planes, corrected=""):
        if corrected:
            workspace.corrections_file().parent.mkdir(parents=True)
            workspace.corrections_file().write_text(f"sample,name\n{corrected},{corrected}.png\n")
        objects = open_true_objects(track, workspace)("x", np.array([planes], np.uint8)[..., None])
        return [one.tolist() for one in objects.pixels]

    return read


def test_the_rows_of_a_label_are_its_objects(opened) -> None:
    assert opened([1, 1, 1, 1, 0]) == [[0, 1], [2, 3]]


def test_a_corrected_label_has_the_components_of_its_masks(opened) -> None:
    assert opened([1, 1, 1, 0, 1], corrected="x") == [[0, 1, 2], [4]]


def test_a_label_with_other_pixels_than_the_cache_is_an_error(opened) -> None:
    with pytest.raises(CompetitionError, match=r"do not make up its prepared masks.*t\.csv#x.*prepare again"):
        opened([1, 1, 1, 0, 0], corrected="y")
