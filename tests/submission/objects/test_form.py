"""A row per object: written, checked, scored, voted on, compared and read, against dense masks."""

import re

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.masks.object_splitting import ObjectRule
from competition.masks.run_length_votes import Quorum
from competition.metrics.counts import DICE
from competition.metrics.metric import make_metric
from competition.submission.known_images import KnownImages
from competition.submission.objects.files import ObjectColumns
from competition.submission.objects.form import ObjectForm

CLASSES = ("cell",)
COLUMNS = ObjectColumns.model_validate(
    {"kind": "objects", "image": "ImageId", "rle": "EncodedPixels", "order": "column", "ending": False}
)
FORM = ObjectForm(COLUMNS)
SIZES = KnownImages(["a", "b"], {"a": (3, 4), "b": (3, 4)})


def grid(text: str):
    return np.array([[letter != "." for letter in row] for row in text.split()])


def planes(text: str):
    return pack_masks(grid(text)[None])


def write(path, *rows: str):
    path.write_text("\n".join(["ImageId,EncodedPixels", *rows]) + "\n")
    return path


def test_a_row_per_component_column_by_column_and_one_for_no_object(tmp_path) -> None:
    path = tmp_path / "s.csv"
    FORM.write(path, CLASSES, [("a", planes("x..x x..x ...x")), ("b", planes(".... .... ...."))])
    assert path.read_text().splitlines() == ["ImageId,EncodedPixels", "a,1 2", "a,10 3", "b,"]
    assert FORM.check(path, CLASSES, SIZES).ok
    assert FORM.describe(CLASSES) == "CSV ImageId,EncodedPixels, a row per object, pixels column by column from 1"


def test_rules_split_what_touches(tmp_path) -> None:
    rows, columns = np.mgrid[:24, :48]
    pair = (np.hypot(rows - 12, columns - 14) < 10) | (np.hypot(rows - 12, columns - 32) < 10)
    for form, count in ((FORM, 1), (FORM.splitting([ObjectRule(0.8, 1)]), 2)):
        form.write(tmp_path / "s.csv", CLASSES, [("a", pack_masks(pair[None]))])
        assert len((tmp_path / "s.csv").read_text().splitlines()) == 1 + count


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("a,1 2", "a,2 3", "b,"), r"row 3 shares 1 pixels with row 2 \(image 'a'"),
        (("a,1 6", "a,2 1 5 1", "b,"), r"row 3 shares 2 pixels with row 2"),
        (("a,1 2", "a,1 2", "b,"), r"row 3 shares 2 pixels with row 2"),
        (("a,1 2", "a,", "b,"), r"row 3 is empty, but row 2 is of the same image"),
        (("a,12 2", "b,"), "a run ends at pixel 13, but the image has 12"),
        (("a,1 2",), r"1 of 2 images missing: b"),
        (("a,1 2", "b,", "c,"), r"1 of 3 images not in the test set: c"),
        (("b,", "a,1 2"), "another order than the test set's"),
        (("a,1 x", "b,"), "'x' in run lengths is no pixel number"),
        (("a,1 2,3", "b,"), "row 2 has 3 fields, not 2"),
        (("a,-1", "b,"), "an empty mask is an empty cell, not '-1'"),
    ],
)
def test_what_is_wrong_is_found(tmp_path, rows, message) -> None:
    result = FORM.check(write(tmp_path / "s.csv", *rows), CLASSES, SIZES)
    assert any(re.search(message, error) for error in result.errors), result.errors


@pytest.mark.parametrize("empty", ["-", "-1", ""])
def test_empty_rows_are_found_however_they_are_written(tmp_path, empty) -> None:
    form = ObjectForm(COLUMNS.model_copy(update={"empty": empty}))
    beside = write(tmp_path / "s.csv", "a,1 3", f"a,{empty}", f"b,{empty}")
    assert form.check(beside, CLASSES, SIZES).errors == [
        "row 3 is empty, but row 2 is of the same image and class ('a')"
    ]
    with pytest.raises(CompetitionError, match="row 3 is empty, but row 2"):
        form.score(beside, beside, CLASSES, SIZES, DICE)
    nothing = form.check(write(tmp_path / "n.csv", f"a,{empty}", f"b,{empty}"), CLASSES, SIZES)
    assert (nothing.ok, nothing.positive_share) == (True, {"cell": 0})
    assert nothing.warnings == ["there is no object of class cell in any image"]


def test_objects_that_touch_without_sharing_a_pixel_are_right(tmp_path) -> None:
    result = FORM.check(write(tmp_path / "s.csv", "a,1 2", "a,3 2", "a,5 8", "b,"), CLASSES, SIZES)
    assert result.ok, result.errors


def test_scores_by_objects_and_by_their_masks(tmp_path) -> None:
    truth = write(tmp_path / "t.csv", "a,1 2", "a,3 2", "b,")
    # One of two objects of a; none in b, as in the truth: AP (1/2 + 1) / 2, Dice (2 * 2 / (2 + 4) + 1) / 2.
    half = write(tmp_path / "s.csv", "a,1 2", "b,")
    score = FORM.score(half, truth, CLASSES, SIZES, make_metric("object_ap"))
    assert (score.metric, score.score) == ("object_ap", 0.75)
    assert score.beside["count_score"] == pytest.approx((2 / 3 + 1) / 2)
    assert FORM.score(half, truth, CLASSES, SIZES, DICE).score == pytest.approx((2 / 3 + 1) / 2)
    # The same pixels as one object match none of the two: IoU 2/4 is not above a half.
    joined = write(tmp_path / "j.csv", "a,1 4", "b,")
    assert FORM.score(joined, truth, CLASSES, SIZES, make_metric("object_ap")).score == 0.5
    assert FORM.score(joined, truth, CLASSES, SIZES, DICE).score == 1


def test_an_image_without_size_is_one_sentence(tmp_path) -> None:
    path = write(tmp_path / "s.csv", "a,1 2")
    with pytest.raises(CompetitionError, match=r"size of this image is unknown.*--size ROWSxCOLUMNS"):
        FORM.score(path, path, CLASSES, KnownImages(), DICE)


def test_an_image_that_one_side_lacks_is_one_sentence(tmp_path) -> None:
    one, other = write(tmp_path / "s.csv", "a,1 2", "b,"), write(tmp_path / "t.csv", "a,1 2")
    for first, second in ((one, other), (other, one)):
        with pytest.raises(CompetitionError, match="rows are"):
            FORM.score(first, second, CLASSES, SIZES, DICE)
        with pytest.raises(CompetitionError, match="1 images are missing"):
            FORM.compare(first, second, CLASSES, SIZES)


def test_a_vote_keeps_the_split_of_the_heaviest(tmp_path) -> None:
    # Columns of 3: one is two objects (columns 1 and 2), other one object of columns 1 to 3.
    one, other = write(tmp_path / "1.csv", "a,1 3", "a,4 3", "b,"), write(tmp_path / "2.csv", "a,1 9", "b,")
    out = tmp_path / "v.csv"
    assert FORM.vote([one, other, other], Quorum((3, 1, 1), 1), CLASSES, SIZES, out) == 3
    # Column 3 has 2 of 5 votes, more than 1: it belongs to the nearest object.
    assert out.read_text().splitlines()[1:] == ["a,1 3", "a,4 6", "b,"]
    FORM.vote([one, other, other], Quorum((1, 2, 2), 4), CLASSES, SIZES, out)
    assert out.read_text().splitlines()[1:] == ["a,1 6", "b,"]


def test_a_comparison_sees_objects_that_are_split_otherwise(tmp_path) -> None:
    one, other = write(tmp_path / "1.csv", "a,1 3", "a,4 3", "b,7 1"), write(tmp_path / "2.csv", "a,1 6", "b,7 1")
    found = FORM.compare(one, other, CLASSES, SIZES)
    assert found.figures()["pixels"] == 0
    assert {key: found.figures()[key] for key in ("objects_a", "objects_b", "equal_objects")} == {
        "objects_a": 3,
        "objects_b": 2,
        "equal_objects": 1,
    }
    assert found.summary().startswith("1 of 3 and 2 objects are equal")


def test_predictions_are_maps_of_all_objects(tmp_path) -> None:
    path = write(tmp_path / "s.csv", "a,1 2", "a,10 3", "b,")
    maps = FORM.read_predictions(path, CLASSES, lambda name: (3, 4))
    np.testing.assert_array_equal(maps["a"](), grid("x..x x..x ...x")[None] * np.uint8(255))
    assert not maps["b"]().any()


def test_classes_have_rows_of_their_own(tmp_path) -> None:
    form = ObjectForm(
        ObjectColumns.model_validate(
            {"kind": "objects", "image": "id", "class": "kind", "rle": "rle", "ending": False, "empty": "-"}
        )
    )
    masks = pack_masks(np.stack([grid("x..x"), grid("....")]))
    form.write(tmp_path / "s.csv", ("a", "b"), [("i", masks)])
    assert (tmp_path / "s.csv").read_text().splitlines() == ["id,kind,rle", "i,a,1 1", "i,a,4 1", "i,b,-"]
    images = KnownImages(["i"], size_hw=(1, 4))
    assert form.check(tmp_path / "s.csv", ("a", "b"), images).ok
    score = form.score(tmp_path / "s.csv", tmp_path / "s.csv", ("a", "b"), images, make_metric("object_ap"))
    assert score.per_class == {"a": 1, "b": 1}
