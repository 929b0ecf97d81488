from pathlib import Path

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.formats.contours import fill_contour, read_contour

SIZE_HW = (5, 6)


def write(folder: Path, text: str) -> Path:
    path = folder / "IM-0001-0060-icontour-manual.txt"
    path.write_text(text)
    return path


def failure(folder: Path, text: str) -> str:
    with pytest.raises(CompetitionError) as caught:
        read_contour(write(folder, text), SIZE_HW)
    assert "IM-0001-0060-icontour-manual.txt" in str(caught.value)
    return str(caught.value)


def test_points_are_x_and_y_per_line_and_blank_lines_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path, "1.50 2\n\n  4\t0.25 \r\n3e0 4.5\n\n")
    np.testing.assert_array_equal(read_contour(path, SIZE_HW), [[1.5, 2], [4, 0.25], [3, 4.5]])


def test_coordinates_are_cut_and_the_border_is_filled() -> None:
    # Cut to whole pixels: (1, 1), (4, 1), (4, 3), (1, 3); rounding would give rows 2 to 4.
    square = np.array([[1.9, 1.9], [4.0, 1.5], [4.9, 3.9], [1.0, 3.6]])
    expected = np.zeros(SIZE_HW, bool)
    expected[1:4, 1:5] = True
    np.testing.assert_array_equal(fill_contour(square, SIZE_HW), expected)


def test_a_diamond_by_hand() -> None:
    diamond = np.array([[2, 0], [4, 2], [2, 4], [0, 2]], np.float64)
    expected = [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    mask = fill_contour(diamond, (5, 5))
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, np.array(expected, bool))


def test_the_outermost_pixels_can_be_reached_and_no_further(tmp_path: Path) -> None:
    points = read_contour(write(tmp_path, "-0.5 -0.5\n5.5 -0.5\n5.5 4.5\n-0.5 4.5\n"), SIZE_HW)
    assert fill_contour(points, SIZE_HW).all()


def test_one_pixel_and_a_line_are_filled() -> None:
    point = fill_contour(np.array([[5.2, 4.4], [5.0, 4.0], [5.3, 4.1]]), SIZE_HW)
    assert np.argwhere(point).tolist() == [[4, 5]]
    line = fill_contour(np.array([[0, 1], [2, 1], [1, 1]], np.float64), SIZE_HW)
    assert np.argwhere(line).tolist() == [[1, 0], [1, 1], [1, 2]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nan 1", "contour point 'nan 1' is not finite"),
        ("1 inf", "contour point '1 inf' is not finite"),
        ("1", "'1' is not an 'x y' of two numbers"),
        ("1 2 3", "'1 2 3' is not an 'x y' of two numbers"),
        ("1,2", "'1,2' is not an 'x y' of two numbers"),
        ("one 2", "'one 2' is not an 'x y' of two numbers"),
        ("5.51 2", "contour point '5.51 2' lies outside the image of 5x6"),
        ("2 4.51", "contour point '2 4.51' lies outside the image of 5x6"),
        ("-0.51 2", "contour point '-0.51 2' lies outside the image of 5x6"),
        ("2 -7", "contour point '2 -7' lies outside the image of 5x6"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    sentence = failure(tmp_path, f"1 1\n2 1\n\n{line}\n2 2\n")
    assert sentence.startswith(reason)
    assert sentence.endswith("manual.txt, line 4.")


@pytest.mark.parametrize(("text", "count"), [("", 0), ("\n\n", 0), ("1 1\n2 2\n", 2)])
def test_fewer_than_three_points_enclose_nothing(tmp_path: Path, text: str, count: int) -> None:
    assert f"contour has {count} points, 3 are needed" in failure(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match=r"contour not found.*absent\.txt"):
        read_contour(tmp_path / "absent.txt", SIZE_HW)
    path = tmp_path / "picture.txt"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(CompetitionError, match=r"contour is not text: .*picture\.txt"):
        read_contour(path, SIZE_HW)


def test_a_contour_that_would_take_minutes_to_fill_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1 1\n" * 1_000_000)
    with pytest.raises(CompetitionError, match=r"contour has .*a\.txt"):
        read_contour(path, (512, 512))
    path.write_text("1 1\n2 510\n" * 3000)  # 6,000 edges of 509 rows
    with pytest.raises(CompetitionError, match=r"scribbles.*3,05\d,\d+ rows.*a\.txt"):
        read_contour(path, (512, 512))
