"""Run lengths scored by metrics that need masks, against masks drawn by hand; labels in the track's own form too."""

from pathlib import Path

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.masks.objects import join_classes
from competition.metrics.metric import make_metric
from competition.metrics.surfaces import hausdorff_score
from competition.submission.known_images import KnownImages
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.form import RunLengthForm

CLASSES = ("a",)
FORM = RunLengthForm(SubmissionColumns.model_validate({"image": "id", "rle": "rle", "ending": False}))
SIZES = KnownImages(sizes={"x": (2, 6), "y": (2, 6)}, groups={"x": "p", "y": "p"})


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["id,rle", *rows]) + "\n")
    return path


def mask(text: str):
    return np.array([[letter == "x" for letter in row] for row in text.split()])


def test_distances_are_those_of_the_drawn_masks(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "s.csv", "x,1 2 7 2", "y,"), write(tmp_path / "t.csv", "x,1 3 7 3", "y,")
    score = FORM.score(ours, theirs, CLASSES, SIZES, make_metric("hausdorff"))
    distance = hausdorff_score(mask("xx.... xx...."), mask("xxx... xxx..."))
    assert distance == pytest.approx(1 - 1 / np.hypot(2, 6))
    assert score.score == pytest.approx((distance + 1) / 2)
    assert score.per_image == {"x": pytest.approx(distance), "y": 1}
    assert score.note.startswith("mean Dice 0.9")
    grouped = FORM.score(ours, theirs, CLASSES, SIZES, make_metric({"name": "hausdorff", "unit": "group"}))
    assert grouped.per_unit == {"p": pytest.approx((distance + 1) / 2)}


def test_several_rows_of_a_truth_are_its_objects(tmp_path: Path) -> None:
    truth = write(tmp_path / "t.csv", "x,1 2", "x,3 2", "y,")
    whole = write(tmp_path / "s.csv", "x,1 4", "y,")
    # One component of 4 pixels against two objects of 2: none is matched; against the truth as one mask it is.
    assert FORM.score(whole, truth, CLASSES, SIZES, make_metric("object_ap")).score == 0.5
    joined = write(tmp_path / "j.csv", "x,1 4", "y,")
    assert FORM.score(whole, joined, CLASSES, SIZES, make_metric("object_ap")).score == 1


@pytest.mark.parametrize("empty", ["-", "-1", ""])
@pytest.mark.parametrize("start", [0, 1])
def test_objects_of_a_truth_are_its_rows_but_the_empty_ones(tmp_path: Path, empty: str, start: int) -> None:
    declared = {"image": "id", "rle": "rle", "ending": False, "empty": empty, "several_rows": True, "start": start}
    form = RunLengthForm(SubmissionColumns.model_validate(declared))
    truth = write(tmp_path / "t.csv", f"x,{start} 2", f"x,{start + 6} 2", f"y,{empty}", f"z,{empty}")
    images = KnownImages(sizes=dict.fromkeys("xyz", (3, 6)))
    # Rows 1 and 2 of x touch: one component against two objects. What is empty on both sides is right.
    assert form.score(truth, truth, CLASSES, images, make_metric("object_ap")).score == pytest.approx(2 / 3)
    apart = write(tmp_path / "a.csv", f"x,{start} 2", f"x,{start + 12} 2", f"y,{empty}", f"z,{empty}")
    assert form.score(apart, apart, CLASSES, images, make_metric("object_ap")).score == 1


class Labels:
    """Labels in a track's own form, with or without objects."""

    folder = Path("labels")

    def __init__(self, objects):
        self.objects = objects

    def join(self, names):
        return lambda name, size_hw: pack_masks(mask("xxxx.. ......" if name == "x" else "...... ......")[None])

    def join_objects(self, names):
        return self.objects


def test_labels_bring_their_own_objects(tmp_path: Path) -> None:
    whole = write(tmp_path / "s.csv", "x,1 4", "y,")

    def halves(name, size_hw):
        return join_classes(size_hw, [[np.array([0, 1]), np.array([2, 3])] if name == "x" else []])

    metric = make_metric("object_ap")
    assert FORM.score(whole, Labels(None), CLASSES, KnownImages(), metric).score == 1
    found = FORM.score(whole, Labels(halves), CLASSES, KnownImages(), metric)
    assert found.score == 0.5
    assert found.label_sizes == {"x": (2, 6), "y": (2, 6)}


def test_an_image_without_size_or_on_one_side_alone_is_one_sentence(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "s.csv", "x,1 2", "y,"), write(tmp_path / "t.csv", "x,1 2")
    with pytest.raises(CompetitionError, match="size of this image is unknown"):
        FORM.score(ours, ours, CLASSES, KnownImages(), make_metric("hausdorff"))
    for one, other in ((ours, theirs), (theirs, ours)):
        with pytest.raises(CompetitionError, match="1 rows are"):
            FORM.score(one, other, CLASSES, SIZES, make_metric("hausdorff"))
