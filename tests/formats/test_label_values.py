"""Soft edges of one class are told from labels by their pixels, on masks that the tests draw."""

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from competition.errors import CompetitionError
from competition.formats.label_values import check_one_class, describe_values

SIDE = 96


def blobs(scale: int = 1) -> NDArray[np.uint8]:
    """Two discs and a bar, 0 and 255."""
    picture = np.zeros((SIDE * scale, SIDE * scale), np.uint8)
    cv2.circle(picture, (30 * scale, 30 * scale), 17 * scale, 255, -1)
    cv2.circle(picture, (70 * scale, 64 * scale), 8 * scale, 255, -1)
    cv2.rectangle(picture, (10 * scale, 80 * scale), (50 * scale, 84 * scale), 255, -1)
    return picture


def jpeg(values: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


SOFT = {
    "two values": blobs(),
    "constant": np.full((9, 9), 255, np.uint8),
    "empty": np.zeros((9, 9), np.uint8),
    **{f"jpeg {quality}": jpeg(blobs(), quality) for quality in (20, 60, 90, 100)},
    **{f"shrunk {by}": cv2.resize(blobs(by), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for by in (2, 3, 8)},
    "enlarged": cv2.resize(blobs(), (SIDE * 3, SIDE * 3), interpolation=cv2.INTER_CUBIC),
    **{f"blurred {sigma}": cv2.GaussianBlur(blobs(), (0, 0), sigma) for sigma in (1, 4)},
    "sixteen bits": blobs().astype(np.uint16) * 257,
    "a stray pixel": np.where(np.arange(SIDE * SIDE).reshape(SIDE, SIDE) == 5, 254, blobs()),
    "one pixel": np.array([[255]], np.uint8),
}


@pytest.mark.parametrize("name", SOFT)
def test_soft_edges_are_one_class(name: str) -> None:
    check_one_class(SOFT[name], "a.png")


def rim(width: int) -> NDArray[np.bool_]:
    grown = cv2.dilate(blobs(), np.ones((2 * width + 1, 2 * width + 1), np.uint8))
    return (grown > 0) & (blobs() == 0)


INSIDE = blobs() > 0
LEFT = INSIDE & (np.arange(SIDE) < 30)
COUNT, INSTANCES = cv2.connectedComponents(blobs())
LABELS = {
    "ignored rim": np.where(rim(2), 255, INSIDE),
    "ignored rim one pixel wide": np.where(rim(1), 255, INSIDE),
    "classes 1 and 2": INSIDE.astype(np.uint8) + LEFT,
    "classes 1, 2 and 3": INSIDE.astype(np.uint8) + LEFT + (INSTANCES == 3),
    "classes in greys": np.where(LEFT, 255, INSIDE * 128),
    "two classes and a rim": np.where(rim(2), 255, INSIDE.astype(np.uint8) + LEFT),
    "background 1": np.where(INSIDE, 255, 1),
    "instances": INSTANCES,
    "40 instances": np.repeat(np.arange(41), SIDE).reshape(-1, SIDE).repeat(3, axis=0),
    "thin lines 1 and 2": np.where(np.arange(SIDE) == 9, 1, np.where(np.arange(SIDE) == 40, 2, 0))[None].repeat(40, 0),
    "thin lines in greys": np.where(np.arange(SIDE) == 9, 85, np.where(np.arange(SIDE) == 40, 170, 0))[None].repeat(
        40, 0
    ),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_refused_with_their_values(name: str) -> None:
    values = np.asarray(LABELS[name])
    with pytest.raises(CompetitionError, match=r"a mask of one class holds \d+ values.*a\.png\. Save it as") as caught:
        check_one_class(values, "a.png")
    levels, counts = np.unique(values, return_counts=True)
    most = int(counts.argmax())
    assert f"holds {len(levels)} values ({levels[most]} in {counts[most]} pixels" in str(caught.value)


def test_values_are_listed_by_their_frequency() -> None:
    assert describe_values(np.array([0, 0, 0, 7, 7, 3])) == "0 in 3 pixels, 7 in 2, 3 in 1"
    assert describe_values(np.array([0xFF0000, 0x0A]), colours=True) == "#00000a in 1 pixel, #ff0000 in 1"
    assert describe_values(np.arange(8)).endswith("5 in 1 and 2 more")
