"""The declared submission of masks, and what a sample submission adds to it."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.file_listing import stem
from competition.metrics.counts import dice_metric
from competition.metrics.metric import make_metric
from competition.submission.array_zip.form import ArrayZipForm
from competition.submission.known_images import KnownImages
from competition.submission.objects.form import ObjectForm
from competition.submission.png.form import PngForm
from competition.submission.run_lengths.form import RunLengthForm
from competition.tracks.declared.track import load_folder_track
from competition.tracks.label_folder import LabelFolder

BASE = {
    "classes": "[a]",
    "train": "train/*.png",
    "masks": "'masks/{stem}.png'",
    "test": "test/*.png",
    "group": "'(.+)'",
}
TWO = {"classes": "[a, b]", "masks": "'masks/{class}/{stem}.png'"}


def load(tmp_path: Path, **keys: str):
    path = tmp_path / "mine.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in (BASE | keys).items()))
    return load_folder_track(path)


def with_sample(tmp_path: Path, *lines: str) -> str:
    (tmp_path / "sample.csv").write_text("\n".join(lines) + "\n")
    return "sample.csv"


def test_objects_and_png_masks_are_declared_by_their_kind(tmp_path: Path) -> None:
    track = load(tmp_path, submission="{kind: objects, image: ImageId, rle: EncodedPixels, ending: false, order: row}")
    assert isinstance(track.form, ObjectForm)
    assert track.form.columns.header(("a",)) == ("ImageId", "EncodedPixels")
    assert track.label_key is not None
    track = load(tmp_path, submission="{kind: png, values: {a: 1, b: 2}}", **TWO)
    assert isinstance(track.form, PngForm)
    track = load(tmp_path, submission="{kind: run_lengths, image: i, rle: r, ending: true, empty: '-', order: row}")
    assert isinstance(track.form, RunLengthForm)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"submission": "{kind: objcts, image: i}"},
            r"kind is one of run_lengths, objects.*did you mean 'objects'",
        ),
        (
            {"submission": "{kind: objects, image: i, ending: true, rel: r, order: row}"},
            "unknown key 'submission.rel', did",
        ),
        ({"submission": "{kind: png, fil: x.png}"}, "unknown key 'submission.fil', did you mean 'submission.file'"),
        ({"submission": "{kind: png, file: masks.png}"}, "submission.file: .*holds {image} once"),
        ({"submission": "{kind: png, file: '{img}.png'}"}, "submission.file: .*{img}, which is unknown"),
        ({"submission": "{kind: png, value: 300}"}, "submission.value: .*255"),
        (TWO | {"submission": "{kind: png}"}, "several classes need {class} in file, or values"),
        (TWO | {"submission": "{kind: png, values: {a: 1}}"}, "submission.values lacks b"),
        (TWO | {"submission": "{kind: png, values: {a: 1, bb: 2}}"}, "values: unknown class 'bb', did you mean 'b'"),
        (TWO | {"submission": "{kind: png, values: {a: 1, b: 1}}"}, "two classes the same value"),
        (
            TWO | {"submission": "{image: i, rle: r, order: row, ending: true, id: '{image}'}"},
            "submission.id needs {class}",
        ),
        (
            TWO | {"submission": "{image: i, class: c, rle: r, order: row, ending: true, id: '{image}'}"},
            "with id there is",
        ),
        ({"metric": "{name: dice, weights: {aa: 2}}"}, "weights name 'aa', no class, did you mean 'a'"),
        ({"metric": "auroc"}, "metric: must score masks, which auroc does not"),
        ({"metric": "{sum: [dice]}"}, "at least two metrics"),
    ],
)
def test_what_contradicts_is_one_sentence(tmp_path: Path, keys: dict[str, str], message: str) -> None:
    with pytest.raises(CompetitionError) as caught:
        load(tmp_path, **keys)
    assert re.search(message, str(caught.value)), caught.value


def test_weights_are_in_the_order_of_the_classes(tmp_path: Path) -> None:
    track = load(tmp_path, metric="{name: dice, weights: {b: 3}}", **TWO)
    assert track.metric.class_weights.tolist() == [1, 3]
    assert track.metric.key == "Dice, unit image, empty 1, weights b=3"
    assert load(tmp_path).metric == dice_metric()


def test_columns_and_endings_come_from_the_sample(tmp_path: Path) -> None:
    sample = with_sample(tmp_path, "name,kind,pixels", "7.png,a,", "7.png,b,")
    form = load(tmp_path, sample=sample, submission="{order: column}", **TWO).form
    columns = form.columns
    assert (columns.image, columns.class_column, columns.rle, columns.ending) == ("name", "kind", "pixels", True)
    assert columns.order == "column"
    sample = with_sample(tmp_path, "id,pixels", "7_a,", "7_b,")
    columns = load(tmp_path, sample=sample, submission="{order: row}", **TWO).form.columns
    assert (columns.image, columns.id, columns.rle, columns.ending) == ("id", "{image}_{class}", "pixels", False)
    sample = with_sample(tmp_path, "id,a,b", "7,,")
    columns = load(tmp_path, sample=sample, submission="{order: row}", **TWO).form.columns
    assert (columns.image, columns.rle, columns.header(("a", "b"))) == ("id", None, ("id", "a", "b"))
    sample = with_sample(tmp_path, "a,b,id", ",,7")
    columns = load(tmp_path, sample=sample, submission="{order: row}", **TWO).form.columns
    assert (columns.image, columns.header(("a", "b"))) == ("id", ("id", "a", "b"))
    sample = with_sample(tmp_path, "ImageId,EncodedPixels", "7,1 1")
    columns = load(tmp_path, sample=sample, submission="{kind: objects, order: column}").form.columns
    assert (columns.image, columns.rle, columns.ending) == ("ImageId", "EncodedPixels", False)


def test_other_columns_are_copied_from_the_sample_with_a_remark(tmp_path: Path) -> None:
    for name in ("train/1", "masks/1", "test/7"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((4, 4), np.uint8))
    sample = with_sample(tmp_path, "id,height,width,rle", "7,4,4,")
    track = load(tmp_path, sample=sample, submission="{rle: rle, order: row}")
    assert track.form.columns.header(("a",)) == ("id", "rle")
    assert track.list_samples(tmp_path).remarks == ["columns copied from sample.csv: height, width"]


def test_the_order_of_pixels_comes_from_the_training_table(tmp_path: Path) -> None:
    sample = with_sample(tmp_path, "id,rle", "7,")
    masks = "{csv: train.csv, image: id, rle: rle, order: column, start: 0}"
    columns = load(tmp_path, sample=sample, masks=masks).form.columns
    assert (columns.order, columns.start) == ("column", 0)
    for given, counting in (("start: 1", ("column", 1)), ("order: row", ("row", 1))):
        columns = load(
            tmp_path, masks=masks, submission=f"{{image: id, rle: rle, ending: false, {given}}}"
        ).form.columns
        assert (columns.order, columns.start) == counting
    with pytest.raises(CompetitionError, match=r"needs order, because a sample does not show .* Write order: row if"):
        load(tmp_path, sample=sample)
    with pytest.raises(CompetitionError, match=r"no such sample submission.*other\.csv.*relative to the YAML"):
        load(tmp_path, sample="other.csv")


def test_the_columns_of_the_training_table_are_those_of_a_sample_that_has_them(tmp_path: Path) -> None:
    sample = with_sample(tmp_path, "id,height,rle", "7,4,")
    columns = load(tmp_path, sample=sample, masks="{csv: train.csv, image: id, rle: rle, order: column}").form.columns
    assert (columns.image, columns.rle, columns.order) == ("id", "rle", "column")


def test_names_that_clash_are_reported_before_the_ids_of_the_sample(tmp_path: Path) -> None:
    """Otherwise the user reads that images are missing."""
    for name in ("train/1", "masks/1", "test/a/7", "test/b/7"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((4, 4), np.uint8))
    sample = with_sample(tmp_path, "id,rle", "a_7,", "b_7,")
    listing = load(tmp_path, sample=sample, submission="{order: row}", test="test/*/*.png").list_samples(tmp_path)
    sample = with_sample(tmp_path, "id,rle", "a_7,", "b_7,")
    assert [problem.reason for problem in listing.problems] == [
        "two images share the name 7 (the other is test/a/7.png)"
    ]


@pytest.mark.parametrize(
    ("lines", "keys", "message"),
    [
        (
            ("id,rle", "7,"),
            {"submission": "{image: name, order: row}"},
            "submission.image: .*no column 'name'; known are id, rle",
        ),
        (
            ("id", "7"),
            {"submission": "{order: row}"} | TWO,
            "submission writes the columns a, b, which sample.csv lacks",
        ),
        (
            ("id,height,width,rle", "7,1,1,"),
            {"submission": "{order: row}"},
            "the run lengths may be in any of the columns height, width, rle.*Name it as rle: under submission",
        ),
        (
            ("id,kind,rle", "7,x,", "7,y,"),
            {"submission": "{image: id, rle: rle, order: row}"},
            "column 'kind' is 'x' and 'y' in rows of '7', so it can't be copied.*submission: {class: kind",
        ),
        (
            ("row,id,rle", "0,7,", "1,8,"),
            {"submission": "{kind: objects, image: id, rle: rle, order: row}"},
            "column 'row' numbers the rows",
        ),
        (
            ("id,kind,rle", "7,bowel large,", "7,lung,"),
            {"submission": "{order: row}", "classes": "[bowel_large, lung]", "masks": TWO["masks"]},
            "column 'kind' of the sample submission holds 'bowel large', which is no class, did you mean 'bowel_large'",
        ),
        (("id,rle", "7,"), {"submission": "{kind: [png], order: row}"}, "kind is one of run_lengths, objects, png"),
        (("id,rle", "7,"), {"submission": "{order: row}"} | TWO, "the ids in column 'id' don't end in _ and a class"),
        (("id,rle", "7,"), {"submission": "array_zip"}, "sample needs columns of run lengths"),
        (("id,rle", "7,"), {"submission": "{kind: png}"}, "sample is a CSV, and PNG masks have none"),
    ],
)
def test_a_sample_that_does_not_fit_is_one_sentence(tmp_path: Path, lines, keys, message: str) -> None:
    with pytest.raises(CompetitionError) as caught:
        load(tmp_path, sample=with_sample(tmp_path, *lines), **keys)
    assert re.search(message, str(caught.value)), caught.value


@pytest.mark.parametrize(
    ("keys", "lines", "problem"),
    [
        ({"submission": "{order: row}"}, ("id,rle", "7,", "8,"), None),
        ({"submission": "{order: row}"}, ("id,rle", "7.png,", "8.png,"), None),
        (
            {"submission": "{order: row}"},
            ("id,rle", "7,", "9,"),
            "has 1 id without a test image (9) and lacks 1 id of test images (8)",
        ),
        ({"submission": "{order: row}"} | TWO, ("id,rle", "7_a,", "7_b,", "8_a,", "8_b,"), None),
        ({"submission": "{order: row}"} | TWO, ("id,rle", "7_a,", "8_a,", "8_b,"), "lacks 1 id of test images (7_b)"),
        ({"submission": "{order: row}"} | TWO, ("id,kind,rle", "7,a,", "7,b,", "8,a,", "8,b,"), None),
        (
            {"submission": "{order: row}"} | TWO,
            ("id,kind,rle", "7,a,", "7,b,", "8,a,"),
            "lacks 1 id of test images (8 b)",
        ),
        ({"submission": "{order: row}"} | TWO, ("id,a,b", "7,,", "8,,"), None),
        ({"submission": "{kind: objects, order: row}"}, ("id,rle", "7,1 1", "7,5 1", "8,"), None),
        ({"submission": "{kind: objects, order: row}"}, ("id,rle", "7,1 1"), "lacks 1 id of test images (8)"),
    ],
)
def test_the_sample_has_the_rows_of_the_test_images(tmp_path: Path, keys, lines, problem) -> None:
    """Otherwise a submission fails only after training."""
    for name in ("train/1", "masks/1", "masks/a/1", "masks/b/1", "test/7", "test/8"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((4, 4), np.uint8))
    track = load(tmp_path, sample=with_sample(tmp_path, *lines), **keys)
    if problem is None:
        assert [sample.split for sample in track.list_samples(tmp_path).samples] == ["train", "test", "test"]
    else:
        with pytest.raises(CompetitionError, match=re.escape(problem)):
            track.list_samples(tmp_path)


@pytest.mark.parametrize(
    ("order", "metric", "submission", "remarks"),
    [
        ("row", "dice", "{image: id, rle: r, ending: false, order: row}", []),
        (
            "column",
            "dice",
            "{image: id, rle: r, ending: false, order: row}",
            ["masks: counts pixels column by column, submission: row"],
        ),
        (
            "row",
            "object_ap",
            "{image: id, rle: r, ending: false, order: row}",
            ["the metric scores single objects, and touching"],
        ),
        ("row", "object_ap", "{kind: objects, image: id, rle: r, ending: false, order: row}", []),
        (
            "row",
            "mask_ap",
            "{kind: objects, image: id, rle: r, ending: false, order: row}",
            ["the metric mask_ap scores all"],
        ),
    ],
)
def test_what_is_valid_and_would_score_nothing_is_a_remark(tmp_path: Path, order, metric, submission, remarks) -> None:
    for name in ("train/1", "test/7"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((4, 4), np.uint8))
    (tmp_path / "train.csv").write_text("id,rle\n1,1 2\n")
    masks = f"{{csv: train.csv, image: id, rle: rle, order: {order}}}"
    found = load(tmp_path, masks=masks, submission=submission, metric=metric).list_samples(tmp_path).remarks
    assert len(found) == len(remarks)
    assert all(one.startswith(other) for one, other in zip(found, remarks, strict=True))


def test_a_missing_sample_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match=r"nothing\.csv"):
        load(tmp_path, sample="nothing.csv", submission="{order: row}")


def test_rows_of_a_table_are_objects_where_an_image_has_several(tmp_path: Path) -> None:
    masks = "{csv: train.csv, image: id, rle: rle, order: row}"
    track = load(tmp_path, masks=masks, submission="{kind: objects, image: id, rle: rle, ending: false, order: row}")
    (tmp_path / "train.csv").write_text("id,rle\nx,1 2\nx,3 2\ny,-1\n")
    objects = track.read_objects(Path(f"{tmp_path}/train.csv#x"), (2, 4))
    assert [one.tolist() for one in objects.pixels] == [[0, 1], [2, 3]]
    assert len(track.read_objects(Path(f"{tmp_path}/train.csv#y"), (2, 4))) == 0
    # One row per image: its objects are the components of the mask.
    (tmp_path / "train.csv").write_text("id,rle\nx,1 1 3 1\n")
    objects = track.read_objects(Path(f"{tmp_path}/train.csv#x"), (2, 4))
    assert [one.tolist() for one in objects.pixels] == [[0], [2]]


def test_a_folder_of_labels_gives_objects_to_score_against(tmp_path: Path) -> None:
    masks = "{csv: train.csv, image: id, rle: rle, order: row}"
    track = load(tmp_path, masks=masks, submission="{kind: objects, image: id, rle: rle, ending: false, order: row}")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "train.csv").write_text("id,rle\nx,1 2\nx,3 2\ny,-1\n")
    (tmp_path / "s.csv").write_text("id,rle\nx,1 2\ny,\n")
    labels = LabelFolder(track, tmp_path / "labels", sizes={"x": (2, 4), "y": (2, 4)})
    score = track.form.score(tmp_path / "s.csv", labels, ("a",), KnownImages(), make_metric("object_ap"))
    assert score.score == 0.75
    planes = np.zeros((2, 4, 1), np.uint8)
    planes[0, :2] = 1
    arrays = ArrayZipForm()
    arrays.write(tmp_path / "s.zip", ("a",), [("x.png", planes), ("y.png", 0 * planes)])
    score = arrays.score(tmp_path / "s.zip", npy_labels(labels), ("a",), KnownImages(), make_metric("object_ap"))
    assert score.score == 0.75
    pictures = load(tmp_path)
    assert LabelFolder(pictures, tmp_path / "labels").join_objects([]) is None


def npy_labels(labels: LabelFolder) -> LabelFolder:
    """Labels that join "x.npy", as a submission of arrays names images, with "x"."""
    return replace(labels, track=replace(labels.track, label_key=stem), sizes={"x.npy": (2, 4), "y.npy": (2, 4)})


@pytest.mark.parametrize("key", ["", "'{stem}'"])
def test_png_masks_are_called_by_the_key_even_if_it_holds_a_dot(tmp_path: Path, key: str) -> None:
    for name in ("train/1.png", "masks/1.png", "test/2_1.50.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((2, 3), 9, np.uint8))
    track = load(tmp_path, submission="{kind: png}", **({"key": key} if key else {}))
    (test,) = [sample for sample in track.list_samples(tmp_path).samples if sample.split == "test"]
    assert (test.key, test.name) == ("2_1.50", "2_1.50")
    track.form.write(tmp_path / "s.zip", ("a",), [(test.name, np.ones((2, 3, 1), np.uint8))])
    assert track.form.names(tmp_path / "s.zip") == ["2_1.50.png"]
    assert track.form.check(tmp_path / "s.zip", ("a",), KnownImages([test.name], {test.name: (2, 3)})).ok
    labels = LabelFolder(track, tmp_path / "truth")
    (tmp_path / "truth").mkdir()
    cv2.imwrite(str(tmp_path / "truth" / "2_1.50.png"), np.full((2, 3), 255, np.uint8))
    assert track.form.score(tmp_path / "s.zip", labels, ("a",), KnownImages(), make_metric("dice")).score == 1
