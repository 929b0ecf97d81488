"""Run lengths written and read back; several rows of an image and class are joined alike everywhere."""

import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.masks.run_length_text import parse
from competition.masks.run_lengths import encode_mask
from competition.submission.known_images import KnownImages
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.files import read_rle_csv, read_truth_csv, write_rle_csv
from competition.submission.run_lengths.form import RunLengthForm
from competition.tracks.declared.run_length_table import RunLengthTable, read_run_lengths


def test_written_rle_is_byte_for_byte_the_organisers_form(tmp_path):
    path = tmp_path / "new" / "submission.csv"
    write_rle_csv(path, iter([("a.png", "lv", "3 2 9 1"), ("b.png", "lv", "")]))
    assert path.read_bytes() == b"image_name,class,rle\na.png,lv,3 2 9 1\nb.png,lv,\n"
    assert [file.name for file in path.parent.iterdir()] == ["submission.csv"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_reads_back_what_was_written_in_order(tmp_path):
    rows = [("b,1.png", "lv", "1 1"), ("a.png", "lv", ""), ("a.png", "rv", "5 3")]
    write_rle_csv(tmp_path / "s.csv", rows)
    assert list(read_rle_csv(tmp_path / "s.csv").items()) == [((name, cls), rle) for name, cls, rle in rows]


@pytest.mark.parametrize(
    "content",
    [
        b"image_name,class,rle\na,x,1 2\na,y,\n",
        b"\xef\xbb\xbfimage_name,class,rle\na,x,1 2\na,y,\n",
        b"image_name,class,rle\r\na,x,1 2\r\na,y,\r\n",
        b"image_name,class,rle\na,x,1 2\na,y,NaN\n",
        b"image_name,class,rle\na,x,1 2\na,y,nan\n\n",
        b'"image_name","class","rle"\n"a","x","1 2"\n"a","y",""',
        b"class,rle,image_name\nx,1 2,a\ny,,a\n",
        b",Height,image_name,class,rle,Usage\n0,8,a,x,1 2,Public\n1,8,a,y,,Ignored\n",
        b" image_name , class,rle\na ,x, 1 2\na, y,\n",
    ],
    ids=[
        "plain",
        "byte order mark",
        "windows",
        "NaN",
        "nan and blank line",
        "quoted, no last line end",
        "by name",
        "other columns",
        "blanks",
    ],
)
def test_takes_every_common_spelling(tmp_path, content):
    path = tmp_path / "s.csv"
    path.write_bytes(content)
    assert read_rle_csv(path) == {("a", "x"): "1 2", ("a", "y"): ""}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"image_name,rle\na,1 2\n", "there is no column 'class'; known are image_name, rle"),
        (b"image,class,rle\na,x,1 2\n", "there is no column 'image_name', did you mean 'image'?"),
        (b"image_name,class,rle,rle\na,x,1 2,\n", "twice 'rle'"),
        (b"image_name,class,rle\na,x,1 2\na,y\n", "row 3 has 2 fields, not 3"),
        (b"image_name,class,rle\na,x,1 2\na,y,\na,x,\n", "row 4: class 'x' of image 'a' appears twice"),
        (b"\xff\xfe\x00image", "this is text in UTF-16, not in UTF-8"),
    ],
)
def test_malformed_rle_file_is_named_with_its_row(tmp_path, content, message):
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(CompetitionError, match=message) as caught:
        read_rle_csv(path)
    assert "broken.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "content"),
    [
        ({"class": "kind", "rle": "pixels"}, "id,kind,pixels\na,x,0 2\na,y,-1\nb,x,4 1 2 3\nb,y,0 1\n"),
        ({}, "id,x,y\na,0 2,-1\nb,4 1 2 3,0 1\n"),
    ],
    ids=["a row per class", "a column per class"],
)
def test_a_form_of_its_own_is_written_and_read_back(tmp_path, keys, content):
    form = SubmissionColumns.model_validate(
        {"image": "id", "start": 0, "relative": True, "ending": False, "empty": -1, **keys}
    )
    rows = [("a", "x", "1 2"), ("a", "y", ""), ("b", "x", "5 1 8 3"), ("b", "y", "1 1")]
    path = tmp_path / "s.csv"
    write_rle_csv(path, iter(rows), ("x", "y"), form)
    assert path.read_text() == content
    assert read_rle_csv(path, ("x", "y"), form) == {row[:2]: row[2] for row in rows}
    assert RunLengthForm(form).check(path, ("x", "y"), KnownImages(["a", "b"], size_hw=(2, 5))).ok
    broken = RunLengthForm(form).check(path, ("x", "y"), KnownImages(["a", "b"], size_hw=(2, 4)))
    assert [error for error in broken.errors if "row" in error and "b, x" in error] == broken.errors != []


def test_one_class_needs_no_column(tmp_path):
    form = SubmissionColumns.model_validate({"image": "img", "rle": "rle_mask", "ending": True})
    write_rle_csv(tmp_path / "s.csv", iter([("a.png", "salt", "3 2"), ("b.png", "salt", "")]), ("salt",), form)
    assert (tmp_path / "s.csv").read_text() == "img,rle_mask\na.png,3 2\nb.png,\n"
    assert read_rle_csv(tmp_path / "s.csv", ("salt",), form) == {("a.png", "salt"): "3 2", ("b.png", "salt"): ""}


def test_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(CompetitionError, match=r"No such file.*none\.csv"):
        read_rle_csv(tmp_path / "none.csv")


def test_mask_longer_than_the_csv_modules_own_limit(tmp_path):
    rle = " ".join(f"{start} 1" for start in range(1, 200_001, 2))
    assert len(rle) > 131_072
    write_rle_csv(tmp_path / "s.csv", [("a", "x", rle)])
    assert read_rle_csv(tmp_path / "s.csv") == {("a", "x"): rle}


@pytest.mark.slow
def test_hand_bone_sized_file_is_read_within_a_second(tmp_path):
    row = " ".join(f"{start} 20" for start in range(100_000, 100_000 + 260 * 2048, 2048))
    write_rle_csv(tmp_path / "s.csv", ((f"{i}.png", str(c), row) for i in range(288) for c in range(29)))
    assert (tmp_path / "s.csv").stat().st_size > 20e6
    start = time.process_time()
    assert len(read_rle_csv(tmp_path / "s.csv")) == 8352
    assert time.process_time() - start < (1.0 if sys.gettrace() is None else 5.0)  # coverage traces every line


def test_a_failing_row_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "s.csv"
    write_rle_csv(path, [("a", "x", "1 1")])
    before = path.read_bytes()

    def rows():
        yield "b", "x", "1 1"
        raise CompetitionError("no map for image c")

    with pytest.raises(CompetitionError, match="no map"):
        write_rle_csv(path, rows())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["s.csv"]


def test_an_unreadable_prediction_is_not_called_a_full_disk(tmp_path):
    def rows():
        yield "b", "x", Path(tmp_path / "gone.b2").read_text()

    with pytest.raises(CompetitionError, match=r"prediction .* can't be read .*gone\.b2"):
        write_rle_csv(tmp_path / "s.csv", rows())
    assert os.listdir(tmp_path) == []


def test_full_disk_names_the_path_and_leaves_nothing(tmp_path):
    path = tmp_path / "s.csv"
    write_rle_csv(path, [("a", "x", "1 1")])
    before = path.read_bytes()
    child = os.fork()  # the limit on file sizes can't be raised again, so it is set in a child
    if child == 0:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            write_rle_csv(path, ((str(i), "x", "1 1 " * 100) for i in range(1000)))
        except CompetitionError as error:
            os._exit(0 if "can't write" in str(error) and str(path) in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["s.csv"]


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
