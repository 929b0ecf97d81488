"""The score of a submission of arrays against dense arithmetic."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
from array_submissions import CLASSES, SIZES, array_of, random_masks, zip_of

from competition.errors import CompetitionError
from competition.metrics.metric import make_metric
from competition.submission.array_zip.files import write_plane_files
from competition.submission.array_zip.form import ArrayZipForm, score_planes
from competition.submission.known_images import KnownImages
from competition.submission.mask_counts import stack_counts
from competition.tracks.label_folder import LabelFolder
from competition.tracks.lumbar.track import LUMBAR


def score(submission, truth, sizes=None, track=LUMBAR):
    """As the stage does it: a file is a submission, a folder holds labels or the arrays of one."""
    right = truth if truth.is_file() else LabelFolder(track, truth)
    return score_planes(submission, right, CLASSES, KnownImages(sizes=sizes or {}))


def test_the_table_of_contents_of_a_zip_is_read_once(tmp_path, monkeypatch):
    arrays = {f"_{number}": array_of(random_masks(number, (5, 4))) for number in range(40)}
    path = zip_of(tmp_path / "a.zip", **arrays)
    sizes = {f"{number}.dcm": (5, 4) for number in range(40)}
    opened = []

    class Counted(zipfile.ZipFile):
        def __init__(self, *arguments):
            opened.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(zipfile, "ZipFile", Counted)
    assert ArrayZipForm().check(path, CLASSES, KnownImages(tuple(sizes), sizes)).ok
    assert len(opened) == 1
    assert score(path, path, sizes).score == 1.0
    assert len(opened) == 3


def dense_dice(a, b):
    total = a.sum() + b.sum()
    return 2 * (a & b).sum() / total if total else 1.0


@pytest.fixture
def pair(tmp_path):
    """A submission and different truth, in memory and as files of both kinds."""
    ours = {"7": random_masks(0, (11, 9)), "12": random_masks(1, (8, 13))}
    theirs = {"7": random_masks(5, (11, 9)), "12": random_masks(6, (8, 13))}
    ours["12"][5], theirs["12"][5] = True, False
    zip_of(tmp_path / "ours.zip", **{f"_{stem}": array_of(masks) for stem, masks in ours.items()})
    zip_of(tmp_path / "theirs.zip", **{f"_{stem}": array_of(masks) for stem, masks in theirs.items()})
    (tmp_path / "label").mkdir()
    scipy.io.savemat(tmp_path / "label/007.mat", {"label_separated": array_of(theirs["7"])})
    turned = array_of(theirs["12"]).transpose(1, 0, 2)
    scipy.io.savemat(tmp_path / "label/012.mat", {"label_separated": turned})
    return ours, theirs


@pytest.mark.parametrize("truth", ["theirs.zip", "label"])
def test_the_score_is_the_mean_of_dense_dice(tmp_path, pair, truth):
    ours, theirs = pair
    result = score(tmp_path / "ours.zip", tmp_path / truth, SIZES)
    table = np.array([[dense_dice(a, b) for a, b in zip(ours[stem], theirs[stem], strict=True)] for stem in ours])
    assert table[0, 1] == 1.0  # empty against empty
    assert table[1, 5] == 0.0
    assert (result.metric, result.rows, result.score) == ("dice", 12, pytest.approx(table.mean(), abs=1e-12))
    assert list(result.per_class) == list(CLASSES)
    assert list(result.per_class.values()) == pytest.approx(table.mean(axis=0).tolist())
    assert result.per_image == pytest.approx({"7.npy": table[0].mean(), "12.npy": table[1].mean()})
    equal = [(array_of(ours[stem]) == array_of(theirs[stem])).mean() for stem in ours]
    nothing = [(array_of(np.zeros_like(theirs[stem])) == array_of(theirs[stem])).mean() for stem in ours]
    assert result.beside == pytest.approx(
        {"plane_accuracy": np.mean(equal), "all_background_accuracy": np.mean(nothing)}, abs=1e-12
    )
    assert set(result.figures()) >= {"metric", "score", "per_class", "rows", "plane_accuracy"}


def test_truth_against_itself_is_one(tmp_path, pair):
    result = score(tmp_path / "theirs.zip", tmp_path / "label", SIZES)
    assert (result.score, result.beside["plane_accuracy"]) == (1.0, 1.0)


def test_a_transposed_submission_does_not_score_against_a_label_that_fits_either_way(tmp_path, pair):
    _, theirs = pair
    zip_of(tmp_path / "turned.zip", **{f"_{stem}": array_of(m).transpose(1, 0, 2) for stem, m in theirs.items()})
    with pytest.raises(CompetitionError, match="its image has 11 rows and 9 columns"):
        score(tmp_path / "turned.zip", tmp_path / "label", SIZES)


def test_images_on_one_side_only_are_an_error(tmp_path, pair):
    one = zip_of(tmp_path / "one.zip", _7=array_of(pair[0]["7"]))
    with pytest.raises(CompetitionError, match=r"1 files are missing in the submission \(12\.npy\)"):
        score(one, tmp_path / "theirs.zip")
    with pytest.raises(CompetitionError, match=r"1 files are missing in the truth \(12\.npy\)"):
        score(tmp_path / "theirs.zip", one)
    (tmp_path / "label/012.mat").unlink()
    with pytest.raises(CompetitionError, match="1 of 2 images have no label"):
        score(tmp_path / "ours.zip", tmp_path / "label")


def test_two_images_may_not_share_a_label_nor_two_labels_an_image(tmp_path, pair):
    array = array_of(pair[0]["7"])
    both = zip_of(tmp_path / "both.zip", _7=array, a_7=array)
    with pytest.raises(CompetitionError, match="would have the same label"):
        score(both, tmp_path / "label")
    (tmp_path / "label/7.mat").write_bytes((tmp_path / "label/007.mat").read_bytes())
    with pytest.raises(CompetitionError, match=r"2 files could be the label of '7\.npy'"):
        score(tmp_path / "ours.zip", tmp_path / "label")


def test_a_wrong_array_can_not_be_scored(tmp_path, pair):
    bad = zip_of(tmp_path / "bad.zip", _7=array_of(pair[0]["7"]) * np.uint8(255), _12=array_of(pair[0]["12"]))
    for submission, truth in (("bad.zip", "theirs.zip"), ("theirs.zip", "bad.zip")):
        with pytest.raises(CompetitionError, match=r"7\.npy holds values other than 0 and 1"):
            score(tmp_path / submission, tmp_path / truth)
    assert bad.exists()


def test_nothing_to_score_is_an_error(tmp_path, pair):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CompetitionError, match="nothing to score"):
        score(tmp_path / "empty", tmp_path / "label")
    with pytest.raises(CompetitionError, match="has no label files"):
        score(tmp_path / "ours.zip", tmp_path / "label", track=replace(LUMBAR, read_label=None))


def test_a_mask_metric_scores_the_masks_themselves(tmp_path):
    images = np.zeros((2, 9, 9, 3), np.uint8)
    images[0, 2:6, 2:6, 0] = images[1, 1:4, 1:4, 1] = 1
    for name, shift in (("s", 1), ("t", 0)):
        moved = np.roll(images, shift, axis=2)
        moved[..., 2] = 1 - moved[..., :2].any(axis=-1)
        write_plane_files(tmp_path / f"{name}.zip", [(f"{number}.dcm", one) for number, one in enumerate(moved)])
    score = ArrayZipForm().score(
        tmp_path / "s.zip", tmp_path / "t.zip", ("a", "b"), KnownImages(), make_metric("hausdorff")
    )
    moved = 1 - 1 / np.hypot(9, 9)  # one class of each image is moved by one pixel, the other is empty on both sides
    assert score.metric == "hausdorff"
    assert score.score == pytest.approx((moved + 1) / 2)


def test_counts_can_not_be_scored_by_a_metric_of_masks():
    counts = stack_counts(["x"], ("a",), [np.zeros((3, 1), np.int64)])
    with pytest.raises(CompetitionError, match="object AP does not follow from pixel counts"):
        counts.score(make_metric("object_ap"))
