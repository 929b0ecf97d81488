"""How single angiograms are read."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.tracks.aneurysm.track import read_image


def write_jpg(path: Path) -> np.ndarray:
    image = np.clip(np.random.default_rng(0).normal(190, 4, (90, 120)), 0, 255).astype(np.uint8)
    image[:, :20] = 0
    cv2.imwrite(str(path), cv2.merge([image] * 3), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return image


def test_image_is_read_grey_and_without_margin(tmp_path: Path) -> None:
    image = write_jpg(tmp_path / "1001LI-A.jpg")
    read = read_image(tmp_path / "1001LI-A.jpg")
    assert read.dtype == np.uint8
    assert read.shape == (90, 100)
    assert np.abs(read.astype(int) - image[:, 20:]).mean() < 3


@pytest.mark.parametrize(
    ("keep", "message"),
    [(0, "can't"), (3, "can't"), (300, "can't"), (0.5, "cut off"), (0.98, "cut off"), (-2, "cut off")],
)
def test_cut_off_image_is_an_error_naming_the_file(tmp_path: Path, keep: float, message: str) -> None:
    path = tmp_path / "1001LI-A.jpg"
    write_jpg(path)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(CompetitionError, match=rf"{message}.*1001LI-A\.jpg"):
        read_image(path)


def test_bytes_after_the_end_of_a_jpg_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "1001LI-A.jpg"
    write_jpg(path)
    before = read_image(path)
    path.write_bytes(path.read_bytes() + b"\x00" * 100)
    np.testing.assert_array_equal(read_image(path), before)


def test_missing_file_and_text_file_are_errors_naming_the_file(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match=r"gone\.jpg"):
        read_image(tmp_path / "gone.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(CompetitionError, match=r"text\.jpg"):
        read_image(tmp_path / "text.jpg")
