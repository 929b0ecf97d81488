import re

import pytest

from competition.submission.known_images import KnownImages
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.form import RunLengthForm

CLASSES = ("Radius", "Ulna")
GOOD = [("a", "Radius", "1 3"), ("a", "Ulna", "2 2 11 2"), ("b", "Radius", ""), ("b", "Ulna", "12 1")]


def rle_file(tmp_path, rows, header="image_name,class,rle"):
    path = tmp_path / "s.csv"
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


def test_a_good_file_passes_and_is_counted(tmp_path):
    path = rle_file(tmp_path, GOOD)
    result = RunLengthForm().check(path, CLASSES, KnownImages(["a", "b"], size_hw=(3, 4)))
    assert result.ok
    assert (result.errors, result.warnings) == ([], [])
    assert (result.rows, result.images) == (4, 2)
    assert result.positive_share == {"Radius": 0.5, "Ulna": 1.0}
    assert result.size_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a", "Radius", "1 3 5"), "row 2, a, Radius"),
        (("a", "Radius", "1 x"), "row 2, a, Radius"),
        (("a", "Radius", "1 1.5"), "row 2, a, Radius"),
        (("a", "Radius", "0 3"), "row 2, a, Radius"),
        (("a", "Radius", "1 0"), "row 2, a, Radius"),
        (("a", "Radius", "1 -1"), "row 2, a, Radius"),
        (("a", "Radius", "7 1 2 1"), "row 2, a, Radius"),
        (("a", "Radius", "1 3 3 1"), "row 2, a, Radius"),
        (("a", "Radius", "12 2"), "row 2, a, Radius"),
        (("a", "Radius", "13 1"), "row 2, a, Radius"),
        (("a", "Radus", "1 3"), r"row 2: unknown class 'Radus', did you mean 'Radius'\?"),
        (("a", "Radius"), "row 2 has 2 fields, not 3"),
    ],
)
def test_one_bad_row_is_named(tmp_path, row, message):
    result = RunLengthForm().check(rle_file(tmp_path, [row, *GOOD[1:]]), CLASSES, KnownImages(size_hw=(3, 4)))
    assert not result.ok
    assert any(re.search(message, error) for error in result.errors), result.errors


def test_the_last_pixel_is_within_bounds(tmp_path):
    rows = [("a", "Radius", "12 1"), ("a", "Ulna", "1 12")]
    assert RunLengthForm().check(rle_file(tmp_path, rows), CLASSES, KnownImages(size_hw=(3, 4))).ok


def test_each_image_has_its_own_bounds(tmp_path):
    path = rle_file(tmp_path, GOOD)
    assert RunLengthForm().check(path, CLASSES, KnownImages(sizes={"a": (3, 4), "b": (3, 4)})).ok
    result = RunLengthForm().check(path, CLASSES, KnownImages(sizes={"a": (3, 4), "b": (2, 5)}, size_hw=(100, 100)))
    assert [error[:14] for error in result.errors if "row 5, b, Ulna" in error] == [result.errors[0][:14]]
    assert len(result.errors) == 1
    assert RunLengthForm().check(path, CLASSES).ok  # nothing tells the size, so no bounds


def test_all_errors_at_once(tmp_path):
    rows = [("a", "Radius", "1"), ("a", "Ulna", "0 1"), ("b", "Radius", "5 1 1 1"), ("b", "Ulnar", "")]
    result = RunLengthForm().check(rle_file(tmp_path, rows), CLASSES, KnownImages(size_hw=(3, 4)))
    text = "\n".join(result.errors)
    assert "row 2" in text
    assert "row 3" in text
    assert "row 4" in text
    assert "row 5: unknown class 'Ulnar'" in text
    assert "image 'b' has 1 of 2 classes; missing: Ulna" in text


def test_duplicate_row(tmp_path):
    result = RunLengthForm().check(rle_file(tmp_path, [*GOOD, GOOD[1]]), CLASSES)
    assert result.errors == ["row 6: class 'Ulna' of image 'a' appears twice (first in row 3)"]


def test_a_class_missing_in_one_image(tmp_path):
    result = RunLengthForm().check(rle_file(tmp_path, GOOD[:3]), CLASSES)
    assert result.errors == ["image 'b' has 1 of 2 classes; missing: Ulna"]


def test_missing_and_unknown_images_are_named(tmp_path):
    result = RunLengthForm().check(rle_file(tmp_path, GOOD), CLASSES, KnownImages(["a", *(f"n{i}" for i in range(9))]))
    assert result.errors == [
        "9 of 10 images missing: n0, n1, n2, n3, n4 and 4 more",
        "1 of 2 images not in the test set: b",
    ]


def test_misspelt_names_are_shown_with_the_right_spelling(tmp_path):
    path = rle_file(tmp_path, [(f"{name}.png", cls, rle) for name, cls, rle in GOOD])
    missing, unknown = RunLengthForm().check(path, CLASSES, KnownImages(["a", "b"])).errors
    hint = ", did you mean 'a' instead of 'a.png' (2 names differ like this)?"
    assert (missing, unknown) == (
        "2 of 2 images missing: a, b",
        f"2 of 2 images not in the test set: a.png, b.png{hint}",
    )
    _, unknown = RunLengthForm().check(rle_file(tmp_path, GOOD), CLASSES, KnownImages(["test\\A.png", "c"])).errors
    assert unknown.endswith("a, b, did you mean 'test\\\\A.png' instead of 'a'?")


def test_errors_of_one_kind_are_one_line(tmp_path):
    rows = [(f"{number}", cls, f"{number + 1}") for number in range(50) for cls in CLASSES]
    result = RunLengthForm().check(rle_file(tmp_path, [*rows, rows[0], ("7", "Ulnar", "1 2")]), CLASSES)
    assert [error.split(":")[0] for error in result.errors] == [
        "run lengths of 1 number, the last start has no length",
        "row 102",
        "row 103",
    ]
    assert result.errors[0].endswith("(and 99 more like it)")
    assert result.faults == 102


def test_several_rows_of_an_image_are_taken_where_the_form_has_them(tmp_path):
    form = SubmissionColumns.model_validate({"image": "id", "rle": "rle", "ending": False, "several_rows": True})
    path = rle_file(tmp_path, [("a", "1 2"), ("a", "5 1"), ("b", "")], "id,rle")
    result = RunLengthForm(form).check(path, ["nucleus"], KnownImages(["a", "b"]))
    assert (result.errors, result.images, result.positive_share) == ([], 2, {"nucleus": 0.5})
    path = rle_file(tmp_path, [("a", "1 2"), ("a", "5 1"), ("a", "1 2"), ("b", "")], "id,rle")
    result = RunLengthForm(form).check(path, ["nucleus"], KnownImages(["a", "b"]))
    assert result.errors == ["row 4: class 'nucleus' of image 'a' appears twice (first in row 2)"]
    single = form.model_copy(update={"several_rows": False})
    result = RunLengthForm(single).check(path, ["nucleus"], KnownImages(["a", "b"]))
    (error,) = result.errors
    assert error.startswith(
        "row 3: class 'nucleus' of image 'a' appears twice (first in row 2); a row for each object is"
    )
    assert error.endswith("{kind: objects} of a track's YAML file (and 1 more like it)")


def test_shuffled_images_are_the_same_rows_in_another_order(tmp_path):
    result = RunLengthForm().check(rle_file(tmp_path, GOOD[2:] + GOOD[:2]), CLASSES, KnownImages(["a", "b"]))
    assert len(result.errors) == 1
    assert "the rows are the same but in another order" in result.errors[0]
    assert "row 2: class 'Radius' of image 'b' where class 'Radius' of image 'a' belongs" in result.errors[0]
    assert RunLengthForm().check(rle_file(tmp_path, GOOD[2:] + GOOD[:2]), CLASSES).ok


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 2, 1, 3)], ids=["classes swapped", "images interleaved"])
def test_row_order_within_the_images_counts_without_prepared_data(tmp_path, order):
    result = RunLengthForm().check(rle_file(tmp_path, [GOOD[i] for i in order]), CLASSES)
    assert len(result.errors) == 1
    assert "in another order" in result.errors[0]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("image_name,rle,class", "the columns are in another order"),
        ("image,class,rle", "missing 'image_name'; too many 'image'"),
    ],
)
def test_wrong_header(tmp_path, header, message):
    result = RunLengthForm().check(rle_file(tmp_path, GOOD, header), CLASSES)
    assert len(result.errors) == 1
    assert message in result.errors[0]


def test_no_rows_and_no_file(tmp_path):
    assert RunLengthForm().check(rle_file(tmp_path, []), CLASSES).errors == ["there is no row below the header"]
    assert "No such file" in RunLengthForm().check(tmp_path / "none.csv", CLASSES).errors[0]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (b"", b"\n", []),
        (b"\xef\xbb\xbf", b"\n", ["the file begins with a byte-order mark: was it saved by a spreadsheet?"]),
        (b"", b"\r\n", ["the file has Windows line ends: was it saved by a spreadsheet?"]),
        (
            b"\xef\xbb\xbf",
            b"\r\n",
            ["the file begins with a byte-order mark and has Windows line ends: was it saved by a spreadsheet?"],
        ),
    ],
)
def test_traces_of_a_spreadsheet_are_warnings(tmp_path, start, end, expected):
    path = tmp_path / "s.csv"
    path.write_bytes(start + end.join([b"image_name,class,rle", b"a.png,one,1 2", b""]))
    result = RunLengthForm().check(path, ["one"])
    assert result.ok
    assert result.warnings == expected


def test_a_class_that_is_always_empty_is_a_warning(tmp_path):
    rows = [(name, cls, "" if cls == "Ulna" else rle or "1 1") for name, cls, rle in GOOD]
    result = RunLengthForm().check(rle_file(tmp_path, rows), CLASSES)
    assert result.ok
    assert result.warnings == ["1 of 2 classes are empty in every image: Ulna"]


def test_a_huge_file_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("competition.submission.csv_submission.LARGE_BYTES", 10)
    result = RunLengthForm().check(rle_file(tmp_path, GOOD), CLASSES)
    assert result.ok
    assert "server may reject it" in result.warnings[0]
