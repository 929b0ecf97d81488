"""Exported files hold the labels, the pictures and the reasons, and an earlier review is not overwritten."""

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from competition.data.cache import read_cached_image, read_cached_planes
from competition.data.preparation.corrected_files import read_drawn_images
from competition.errors import CompetitionError
from competition.formats.csv_files import read_csv
from competition.masks.bit_planes import pack_masks, unpack_class
from competition.masks.outlines import fill_rings
from competition.review.export import COCO_FILE, Reviewed, check_out, export_masks, export_table


@pytest.fixture
def chosen(shared_hands):
    return [Reviewed(entry, "disc", "its area", 0.61234) for entry in shared_hands.train()[1:3]]


def test_labelme_files_hold_the_labels_beside_the_pictures(shared_hands, chosen, tmp_path) -> None:
    workspace, out = shared_hands.workspace, tmp_path / "out"
    export_masks(
        shared_hands.track,
        workspace,
        out,
        chosen,
        lambda entry: read_cached_planes(workspace, entry.sample),
        "labelme",
        "why",
    )
    assert read_csv(out / "review.csv")[1][0][1] == ["hand1", "hand1.npy", "disc", "0.6123", "its area"]
    for key, image in read_drawn_images(out, shared_hands.track.classes).items():
        assert (cv2.imread(str(out / f"{key}.png"), 0) == read_cached_image(workspace, key, "image")).all()
        disc = unpack_class(read_cached_planes(workspace, key), 0)
        drawn = [each for each in image.objects if each.label == "disc"]
        filled = fill_rings(drawn[0].rings, disc.shape)
        assert 2 * (filled & disc).sum() / (filled.sum() + disc.sum()) > 0.98


def test_in_coco_a_class_with_a_hole_keeps_it(shared_hands, chosen, tmp_path) -> None:
    rows, columns = np.mgrid[:61, :47]
    far = np.hypot(rows - 30, columns - 20)
    masks = np.stack([(far < 18) & (far > 7), far < 5, far < 0])
    out = tmp_path / "out"
    export_masks(
        shared_hands.track, shared_hands.workspace, out, chosen[1:], lambda entry: pack_masks(masks), "coco", ""
    )
    theirs = COCO(str(out / COCO_FILE))
    assert (theirs.annToMask(theirs.loadAnns([1])[0]) == masks[0]).all()
    assert [each["category_id"] for each in theirs.loadAnns(theirs.getAnnIds())] == [1, 2]


def test_the_table_of_patients_has_an_empty_column_to_fill_in(shared_patients, tmp_path) -> None:
    chosen = [Reviewed(entry, "any", "why", 0.5) for entry in shared_patients.train()[1:3]]
    probabilities = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    export_table(shared_patients.track, tmp_path / "out", chosen, probabilities, "why")
    assert (tmp_path / "out" / "review.html").read_text() == "why"
    header, rows = read_csv(tmp_path / "out" / "review.csv")
    assert header[:3] == ["sample", "name", "corrected"]
    second = dict(zip(header, rows[1][1], strict=True))
    assert (second["corrected"], second["targets"], second["probability right"]) == ("", "any;left", "0.6")


def test_a_folder_with_files_may_hold_corrections(tmp_path) -> None:
    check_out(tmp_path / "new")
    check_out(tmp_path)
    (tmp_path / "hand1.json").write_text("{}")
    with pytest.raises(CompetitionError, match=r"holds files, perhaps corrected labels.*Give a new folder"):
        check_out(tmp_path)
