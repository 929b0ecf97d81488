"""YOLO's lines: polygons in shares, class numbers, boxes, and what does not fit."""

import pytest

from competition.errors import CompetitionError
from competition.formats.yolo import read_yolo

SIZE_HW = (10, 20)


def read(tmp_path, text: str, boxes: bool = False):
    (tmp_path / "a.txt").write_text(text)
    return read_yolo(tmp_path / "a.txt", SIZE_HW, ("x", "y"), boxes)


def test_shares_become_pixels_and_numbers_classes(tmp_path) -> None:
    image = read(tmp_path, "1 0.1 0.2 0.5 0.2 0.5 -0.05\n\n0 0 0 1 0 1 1 0 1\n")
    assert [each.label for each in image.objects] == ["y", "x"]
    assert image.objects[0].rings[0].tolist() == [[2, 2], [10, 2], [10, -0.5]]
    assert image.objects[1].rings[0].tolist() == [[0, 0], [20, 0], [20, 10], [0, 10]]
    assert read(tmp_path, "").objects == ()
    (box,) = read(tmp_path, "0 0.5 0.5 0.2 0.4", boxes=True).objects
    assert box.rings[0].ravel().tolist() == pytest.approx([8, 3, 12, 3, 12, 7, 8, 7])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0 0 1 0 1 1", r"class number '2' is none of classes \(0 x, 1 y\): .*line 1"),
        ("-1 0 0 1 0 1 1", "class number '-1'"),
        ("1.0 0 0 1 0 1 1", "class number '1.0'"),
        ("0 0.1 0.2 0.3 0.4", "four numbers: a box, or a polygon of two points"),
        ("0 0.1 0.2", "'x' has 1 point, three are needed"),
        ("0 0 0 1 0 1 1 0.5", "7 numbers follow the class"),
        ("0", "0 numbers follow the class"),
        ("0 0 0 120 0 120 80", "holds pixels, not shares"),
        ("0 0 0 nan 0 1 1", "holds pixels, not shares"),
        ("0 0 0 one 0 1 1", "holds what is no number"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, line, message) -> None:
    with pytest.raises(CompetitionError, match=message):
        read(tmp_path, line)


def test_a_missing_file_is_a_missing_annotation(tmp_path) -> None:
    with pytest.raises(CompetitionError, match="annotation missing"):
        read_yolo(tmp_path / "none.txt", SIZE_HW, ("x",))
