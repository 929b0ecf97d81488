"""Several rows of an image and class, as Kaggle hands masks out: the same masks from prepare, score and import."""

from pathlib import Path

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.masks.run_length_text import parse
from competition.masks.run_lengths import encode_mask
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.files import read_rle_csv, read_truth_csv
from competition.tracks.declared.run_length_table import RunLengthTable, read_run_lengths

SIZE_HW = (9, 7)
COLUMNS = {"image": "ImageId", "class": "kind", "rle": "EncodedPixels", "order": "column"}
FORM = SubmissionColumns.model_validate({**COLUMNS, "ending": False, "several_rows": True})
TABLE = RunLengthTable.model_validate({**COLUMNS, "csv": "truth.csv"})
CLASSES = ("nucleus", "cell")


def write(folder: Path, *rows: str, header: str = "ImageId,Height,EncodedPixels,Width,kind,Usage") -> Path:
    path = folder / "truth.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def draw(rle: str) -> np.ndarray:
    """Pixel after pixel, column by column."""
    flat = np.zeros(SIZE_HW[0] * SIZE_HW[1], bool)
    numbers = [int(word) for word in rle.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(SIZE_HW[::-1]).T


def test_objects_are_joined_as_prepare_joins_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    masks = {(image, name): np.zeros(SIZE_HW, bool) for image in ("a", "b", "c") for name in CLASSES}
    rows = []
    for image, name in masks:
        for _ in range(random.integers(1, 6)):  # objects that overlap and touch
            one = random.random(SIZE_HW) < 0.15
            masks[image, name] |= one
            rows.append(f"{image},9,{encode_mask(one, 'column')},7,{name},Public")
    masks["d", "nucleus"] = masks["d", "cell"] = np.zeros(SIZE_HW, bool)
    rows += ["d,9,-1,7,nucleus,Ignored", "d,9,,7,cell,Ignored"]
    random.shuffle(rows)
    path = write(tmp_path, *rows)
    truth = read_truth_csv(path, CLASSES, FORM)
    assert truth.keys() == masks.keys()
    for key, mask in masks.items():
        np.testing.assert_array_equal(draw(truth[key]), mask)
        runs = parse(truth[key], "")
        assert (runs[1:, 0] > runs[:-1, 1]).all()  # as the encoder writes it
    for image in "abcd":
        planes = unpack_planes(read_run_lengths(Path(f"{path}#{image}"), SIZE_HW, TABLE, CLASSES), 2)
        np.testing.assert_array_equal(planes, [masks[image, name] for name in CLASSES])


def test_a_form_with_one_row_each_refuses_a_second_one_but_a_truth_may_have_it(tmp_path: Path) -> None:
    path = write(tmp_path, "a,9,1 2,7,cell,", "a,9,5 1,7,cell,", "b,9,1 1,7,cell,", "b,9,3 1,7,cell,")
    single = FORM.model_copy(update={"several_rows": False})
    with pytest.raises(
        CompetitionError, match="row 3: class 'cell' of image 'a' appears twice, first in row 2; 1 more"
    ):
        read_rle_csv(path, CLASSES, single)
    joined = {("a", "cell"): "1 2 5 1", ("b", "cell"): "1 1 3 1"}
    assert read_truth_csv(path, CLASSES, single) == read_rle_csv(path, CLASSES, FORM) == joined


@pytest.mark.parametrize("read", [read_truth_csv, read_rle_csv])
def test_a_row_that_stands_twice_is_refused(tmp_path: Path, read) -> None:
    path = write(tmp_path, "a,9,1 2,7,cell,", "a,9,5 1,7,cell,", "a,9,1 2,7,cell,")
    with pytest.raises(CompetitionError, match=r"row 4 repeats row 2 \(image 'a', class 'cell'\): .*truth\.csv"):
        read(path, CLASSES, FORM)


def test_malformed_run_lengths_of_an_object_are_named_with_their_row(tmp_path: Path) -> None:
    path = write(tmp_path, "a,9,1 2,7,cell,", "a,9,5 x,7,cell,")
    with pytest.raises(CompetitionError, match=r"'x' in run lengths is no pixel number: .*truth\.csv, row 3"):
        read_truth_csv(path, CLASSES, FORM)


def test_other_columns_may_stand_twice_but_not_those_that_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a,1,1,1 2,cell", header="ImageId,x,x,EncodedPixels,kind")
    assert read_truth_csv(path, CLASSES, FORM) == {("a", "cell"): "1 2"}
    path = write(tmp_path, "a,1,1 2,1 2,cell", header="ImageId,x,EncodedPixels,EncodedPixels,kind")
    with pytest.raises(CompetitionError, match="twice 'EncodedPixels'"):
        read_truth_csv(path, CLASSES, FORM)


def test_a_truth_with_a_row_per_object_is_scored_through_the_door(stage, refusal, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    truth, ours = {}, {}
    rows, handed_in = [], []
    for image in ("a", "b", "c"):
        objects = [random.random(SIZE_HW) < 0.2 for _ in range(3)]
        truth[image], ours[image] = np.any(objects, axis=0), random.random(SIZE_HW) < 0.4
        rows += [f"{image},9,7,{encode_mask(one, 'column')},Public" for one in objects]
        handed_in.append(f"{image},{encode_mask(ours[image], 'column')}")
    (tmp_path / "truth.csv").write_text("\n".join(["ImageId,Height,Width,EncodedPixels,Usage", *rows]) + "\n")
    (tmp_path / "ours.csv").write_text("\n".join(["ImageId,EncodedPixels", *handed_in]) + "\n")
    (tmp_path / "cells.yaml").write_text(
        "classes: [nucleus]\ntrain: train/*.png\nmasks: masks/{stem}.png\ntest: test/*.png\ngroup: '(.+)'\n"
        "submission: {image: ImageId, rle: EncodedPixels, order: column, ending: false}\n"
    )
    words = ("--track", tmp_path / "cells.yaml")
    figures, _ = stage("score", tmp_path / "ours.csv", tmp_path / "truth.csv", *words)
    dense = [2 * (ours[i] & truth[i]).sum() / (ours[i].sum() + truth[i].sum()) for i in truth]
    assert figures["score"] == pytest.approx(np.mean(dense), abs=1e-12)
    error, _ = refusal("score", tmp_path / "truth.csv", tmp_path / "truth.csv", *words)
    assert "row 3: class 'nucleus' of image 'a' appears twice, first in row 2; 5 more rows do" in error
    with (tmp_path / "cells.yaml").open("r+") as file:
        text = file.read().replace("ending: false", "ending: false, several_rows: true")
        file.seek(0)
        file.write(text)
    figures, _ = stage("score", tmp_path / "truth.csv", tmp_path / "truth.csv", *words)
    assert figures["score"] == 1.0
