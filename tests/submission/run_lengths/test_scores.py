import numpy as np
import pytest
from encoded_masks import CLASSES, blobs, keyed, rle_file

from competition.errors import CompetitionError
from competition.submission.known_images import KnownImages
from competition.submission.run_lengths.files import write_rle_csv
from competition.submission.run_lengths.form import score_rle


def dense_dice(a, b):
    total = a.sum() + b.sum()
    return 1.0 if total == 0 else 2 * (a & b).sum() / total


@pytest.mark.parametrize("size_hw", [(1, 1), (7, 5), (40, 33)])
def test_dice_equals_dense_masks(tmp_path, size_hw):
    ours, truth = blobs(1, 6, size_hw), blobs(2, 6, size_hw)
    score = score_rle(rle_file(tmp_path / "s.csv", ours), keyed(truth), CLASSES)
    dense = np.array([[dense_dice(a, b) for a, b in zip(ours[n], truth[n], strict=True)] for n in truth])
    assert score.score == pytest.approx(dense.mean(), abs=1e-12)
    assert list(score.per_class) == list(CLASSES)
    assert list(score.per_class.values()) == pytest.approx(dense.mean(axis=0), abs=1e-12)
    assert score.per_image == pytest.approx(dict(zip(truth, dense.mean(axis=1), strict=True)), abs=1e-12)
    assert set(score.figures()) == {"metric", "score", "per_class", "rows"}
    assert (score.metric, score.rows) == ("dice", 18)


def test_empty_against_empty_is_one_and_against_anything_zero(tmp_path):
    write_rle_csv(tmp_path / "s.csv", [("a", "x", ""), ("b", "x", ""), ("c", "x", "1 4")])
    score = score_rle(tmp_path / "s.csv", {("a", "x"): "", ("b", "x"): "4 1", ("c", "x"): "1 4"}, ["x"])
    assert score.score == pytest.approx(2 / 3)


def test_rows_are_joined_by_key_and_not_by_position(tmp_path):
    masks = blobs(3, 4, (6, 6))
    shuffled = {name: masks[name] for name in ("2.png", "0.png", "3.png", "1.png")}
    assert score_rle(rle_file(tmp_path / "s.csv", shuffled), keyed(masks), CLASSES).score == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ours, truth: ours.pop(("1.png", "right")), r"1 rows are missing \(1.png right\).*s\.csv"),
        (lambda ours, truth: ours.update({("9.png", "left"): ""}), r"1 rows are not in the truth \(9.png left\)"),
        (lambda ours, truth: truth.pop(("1.png", "right")), r"1 rows are missing \(1.png right\): the truth"),
        (lambda ours, truth: truth.update({("1.png", "wrong"): ""}), r"of an unknown class \(1.png wrong\)"),
        (lambda ours, truth: ours.update({("1.png", "left"): "1 2 3"}), r"s\.csv, 1\.png, left"),
        (lambda ours, truth: truth.update({("1.png", "left"): "4 1 1 1"}), r"truth, 1\.png, left"),
        (lambda ours, truth: ours.update({("1.png", "left"): "36 2"}), r"s\.csv, 1\.png, left"),
        (lambda ours, truth: [ours.clear(), truth.clear()], "nothing to score"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    ours, truth = keyed(blobs(1, 4, (6, 6))), keyed(blobs(2, 4, (6, 6)))
    change(ours, truth)
    write_rle_csv(tmp_path / "s.csv", ((*key, rle) for key, rle in ours.items()))
    with pytest.raises(CompetitionError, match=message):
        score_rle(tmp_path / "s.csv", truth, CLASSES, KnownImages(sizes={f"{i}.png": (6, 6) for i in range(4)}))


def test_many_missing_rows_are_counted(tmp_path):
    ours = keyed(blobs(1, 5, (6, 6)))
    write_rle_csv(tmp_path / "s.csv", [("0.png", cls, "") for cls in CLASSES])
    with pytest.raises(CompetitionError, match=r"12 rows are missing \(1.png left, .* and 7 more\)"):
        score_rle(tmp_path / "s.csv", ours, CLASSES)
