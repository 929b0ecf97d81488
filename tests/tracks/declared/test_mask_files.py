"""Masks as pictures: every way in which a file can hold them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.phantoms.knee import write_palette_png
from competition.tracks.declared.mask_files import binarise, count_between, read_masks

SIZE_HW = (6, 9)


def save(path: Path, values: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def save_palette(path: Path, indices: NDArray[np.uint8], *colours: int) -> Path:
    """A palette PNG: what a viewer shows is the colours, the label is the indices."""
    picture = Image.fromarray(indices, mode="P")
    picture.putpalette([*colours, *[0] * (768 - len(colours))])
    picture.save(path)
    assert Image.open(path).mode == "P"
    return path


def random_mask(seed: int) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(SIZE_HW) < 0.4


def read(path: Path, classes: dict[str, int] | list[str]) -> NDArray[np.bool_]:
    return unpack_planes(read_masks(path, SIZE_HW, classes), len(classes))


@pytest.mark.parametrize("positive", [1, 7, 255])
def test_one_class_is_positive_at_whatever_value_its_mask_has(tmp_path: Path, positive: int) -> None:
    mask = random_mask(0)
    path = save(tmp_path / "a.png", (mask * positive).astype(np.uint8))
    np.testing.assert_array_equal(read(path, ["femur"]), mask[None])
    assert count_between(path, ["femur"]) == 0


def test_an_empty_mask_is_empty(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros(SIZE_HW, np.uint8))
    assert not read(path, ["femur"]).any()
    assert count_between(path, ["femur"]) == 0


@pytest.mark.parametrize("positive", [1, 300, 65_535])
def test_sixteen_bit_labels_are_read(tmp_path: Path, positive: int) -> None:
    mask = random_mask(1)
    path = save(tmp_path / "a.png", (mask * positive).astype(np.uint16))
    assert Image.open(path).mode.startswith("I")
    np.testing.assert_array_equal(read(path, ["femur"]), mask[None])


def test_sixteen_bit_values_name_classes(tmp_path: Path) -> None:
    label = np.random.default_rng(2).choice(np.array([0, 256, 1000], np.uint16), SIZE_HW)
    path = save(tmp_path / "a.png", label)
    np.testing.assert_array_equal(read(path, {"a": 1000, "b": 256}), [label == 1000, label == 256])


def test_palette_labels_keep_their_indices(tmp_path: Path) -> None:
    indices = np.random.default_rng(3).integers(0, 3, SIZE_HW, dtype=np.uint8)
    # As seen, index 0 is white and index 1 black: the colours would tell the opposite.
    path = save_palette(tmp_path / "a.png", indices, 255, 255, 255, 0, 0, 0, 255, 0, 0)
    np.testing.assert_array_equal(read(path, {"a": 1, "b": 2}), [indices == 1, indices == 2])
    mask = random_mask(4)
    path = save_palette(tmp_path / "b.png", mask.astype(np.uint8), 255, 255, 255, 255, 0, 0)
    np.testing.assert_array_equal(read(path, ["femur"]), mask[None])


def test_a_palette_of_greys_is_what_it_shows(tmp_path: Path) -> None:
    """Soft edges that a program saved as a palette: index 1 of 0..3 is half of the largest index, and nearly white."""
    indices = np.random.default_rng(5).integers(0, 4, SIZE_HW, dtype=np.uint8)
    path = save_palette(tmp_path / "a.png", indices, *[grey for level in (0, 200, 220, 255) for grey in [level] * 3])
    np.testing.assert_array_equal(read(path, ["femur"]), [indices >= 1])
    assert count_between(path, ["femur"]) == np.isin(indices, [1, 2]).sum()


@pytest.mark.parametrize(
    ("count", "colours", "reason"),
    [
        (2, [255, 255, 255, 0, 0, 0], "shows index 0 brighter than index 1: which is the class"),
        (3, [0, 0, 0, 255, 0, 0, 0, 255, 0], "holds the indices 0, 1, 2: which of them is the class"),
        (3, [0, 0, 0, 255, 255, 255, 9, 9, 9], "holds the indices 0, 1, 2: which of them is the class"),
    ],
)
def test_a_palette_that_does_not_tell_the_class_is_an_error(
    tmp_path: Path, count: int, colours: list[int], reason: str
) -> None:
    indices = np.random.default_rng(6).integers(0, count, SIZE_HW, dtype=np.uint8)
    path = save_palette(tmp_path / "a.png", indices, *colours)
    with pytest.raises(CompetitionError, match=rf"palette label {reason}.*a\.png\)\. Save it as 8-bit grey"):
        read(path, ["femur"])


def test_a_palette_that_names_too_few_colours_is_read(tmp_path: Path) -> None:
    mask = random_mask(7)
    path = tmp_path / "a.png"
    write_palette_png(path, mask.astype(np.uint8), bytes([0, 0, 0]))
    np.testing.assert_array_equal(read(path, ["femur"]), mask[None])


def test_a_palette_of_one_index_is_full_or_empty(tmp_path: Path) -> None:
    for index in (0, 1):
        path = save_palette(tmp_path / "a.png", np.full(SIZE_HW, index, np.uint8), 255, 255, 255, 0, 0, 0)
        assert (read(path, ["femur"]) == bool(index)).all()


def test_soft_edges_are_cut_above_half_of_the_maximum() -> None:
    soft = np.array([[0, 99, 100, 101, 200]], np.uint8)
    np.testing.assert_array_equal(binarise(soft, "a.png"), [[False] * 3 + [True] * 2])
    assert not binarise(np.zeros((3, 1), np.uint8), "a.png").any()
    assert binarise(np.array([[0, 60_000]], np.uint16), "a.png")[0, 1]


def test_three_labels_in_a_mask_of_one_class_are_refused_and_read_by_value(tmp_path: Path) -> None:
    label = np.zeros(SIZE_HW, np.uint8)
    label[:5, :5] = 255
    label[1:4, 1:4] = 1
    path = save(tmp_path / "a" / "1.png", label)
    with pytest.raises(
        CompetitionError, match=r"holds 3 values \(0 in 29 pixels, 255 in 16, 1 in 9\).*classes: \{NAME: 1"
    ):
        read(path, ["a"])
    planes = read_masks(path, SIZE_HW, {"a": 1}, background=(0, 255))
    np.testing.assert_array_equal(unpack_planes(planes, 1), [label == 1])


def test_classes_by_value_may_have_files_of_their_own(tmp_path: Path) -> None:
    labels = {
        name: np.random.default_rng(at).choice([0, at, 255], SIZE_HW).astype(np.uint8)
        for at, name in enumerate("ab", 1)
    }
    for name, label in labels.items():
        save(tmp_path / name / "1.png", label)
    path = tmp_path / "{class}" / "1.png"
    planes = read_masks(path, SIZE_HW, {"a": 1, "b": 2}, background=(0, 255))
    np.testing.assert_array_equal(unpack_planes(planes, 2), [labels["a"] == 1, labels["b"] == 2])
    save(tmp_path / "b" / "1.png", labels["a"])  # the value 1 is a class, but not of this file
    with pytest.raises(CompetitionError, match=rf"no class \(b 2\): 1 in {(labels['a'] == 1).sum()} pixels.*b/1\.png"):
        read_masks(path, SIZE_HW, {"a": 1, "b": 2}, background=(0, 255))


def test_classes_by_colour_are_read_and_a_strange_colour_is_named(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 16]], np.uint8)
    which = np.random.default_rng(0).integers(0, 4, SIZE_HW)
    path = save(tmp_path / "a.png", colours[which])
    classes = {"femur": 0xFF0000, "tibia": 0x00FF00}
    planes = read_masks(path, SIZE_HW, classes, background=(0, 0x10), colours=True)
    np.testing.assert_array_equal(unpack_planes(planes, 2), [which == 1, which == 2])
    with pytest.raises(
        CompetitionError, match=rf"femur #ff0000, tibia #00ff00\): #000010 in {(which == 3).sum()} pixels"
    ) as caught:
        read_masks(path, SIZE_HW, classes, colours=True)
    assert caught.value.repair.endswith('background: ["#000010"]')
    shown = save_palette(tmp_path / "b.png", which.astype(np.uint8), *colours.ravel().tolist())
    planes = read_masks(shown, SIZE_HW, classes, background=(0, 0x10), colours=True)
    np.testing.assert_array_equal(unpack_planes(planes, 2), [which == 1, which == 2])


def test_colours_that_are_not_declared_are_listed(tmp_path: Path) -> None:
    label = np.zeros((*SIZE_HW, 3), np.uint8)
    label[0, :5] = (255, 0, 0)
    label[1, :3] = (0, 255, 0)
    path = save(tmp_path / "a.png", label)
    for classes in (["femur"], {"femur": 1}):
        with pytest.raises(CompetitionError, match="#000000 in 46 pixels, #ff0000 in 5, #00ff00 in 3") as caught:
            read(path, classes)
        assert caught.value.repair.endswith('classes: {NAME1: "#ff0000", NAME2: "#00ff00"}')


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_mask_in_the_opacity_over_one_colour_is_read(tmp_path: Path, colour: int, channels: int) -> None:
    mask = random_mask(1)
    opacity = (mask * 255).astype(np.uint8)[..., None]
    path = save(tmp_path / "a.png", np.concatenate([np.full((*SIZE_HW, channels), colour, np.uint8), opacity], axis=2))
    np.testing.assert_array_equal(read(path, ["femur"]), mask[None])
    np.testing.assert_array_equal(read(path, {"femur": 255}), mask[None])


def test_opacity_beside_a_mask_changes_nothing_or_is_refused(tmp_path: Path) -> None:
    mask = random_mask(2)
    grey = (mask * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    for name, opacity in (("opaque", np.full(SIZE_HW, 255)), ("painted", mask * 255)):
        path = save(tmp_path / f"{name}.png", np.concatenate([grey, opacity[..., None].astype(np.uint8)], axis=2))
        np.testing.assert_array_equal(read(path, ["femur"]), mask[None])
    hidden = (~mask * 255)[..., None].astype(np.uint8)
    path = save(tmp_path / "hidden.png", np.concatenate([grey, hidden], axis=2))
    with pytest.raises(CompetitionError, match=rf"{mask.sum()} pixels.*fully transparent: is the mask the colour or"):
        read(path, ["femur"])


def test_what_was_cut_is_counted_over_the_files_of_all_classes(tmp_path: Path) -> None:
    values = np.zeros(SIZE_HW, np.uint8)
    values[0, :5] = [1, 99, 100, 200, 200]
    save(tmp_path / "a" / "1.png", values)
    save(tmp_path / "b" / "1.png", values // 2)  # its maximum is 100; the 1 became 0
    path = tmp_path / "{class}" / "1.png"
    assert count_between(path, ["a", "b"]) == 3 + 2
    assert count_between(path, ["a"]) == 3
    assert count_between(tmp_path / "a" / "1.png", {"x": 1, "y": 99}) == 0  # values are classes there


def test_each_class_has_a_file_of_its_own_where_masks_holds_class(tmp_path: Path) -> None:
    masks = np.stack([random_mask(seed) for seed in range(10)])
    names = [f"c{number}" for number in range(10)]
    for number, (name, mask) in enumerate(zip(names, masks, strict=True)):
        save(tmp_path / name / "a.png", (mask * (255 if number % 2 else 1)).astype(np.uint8))
    np.testing.assert_array_equal(read(tmp_path / "{class}" / "a.png", names), masks)


def test_classes_by_pixel_value_lie_in_one_picture(tmp_path: Path) -> None:
    label = np.random.default_rng(0).choice(np.array([0, 1, 2, 200], np.uint8), SIZE_HW)
    expected = np.stack([label == 200, label == 1, label == 2])
    found = read(save(tmp_path / "a.png", label), {"cup": 200, "disc": 1, "vessel": 2})
    np.testing.assert_array_equal(found, expected)


def test_a_value_of_no_class_is_an_error_that_names_it(tmp_path: Path) -> None:
    label = np.zeros(SIZE_HW, np.uint8)
    label[-1, -1] = 3
    with pytest.raises(
        CompetitionError, match=r"pixel value that belongs to no class \(a 1, b 2\): 3 in 1 pixel: .*a\.png"
    ):
        read(save(tmp_path / "a.png", label), {"a": 1, "b": 2})
    with pytest.raises(CompetitionError, match=r"background: \[3\]"):
        read(save(tmp_path / "a.png", label), {"a": 1, "b": 2})
    label[:] = 90
    with pytest.raises(CompetitionError, match="Save labels as PNG, because JPG changes their values"):
        read(save(tmp_path / "a.jpg", label), {"a": 1, "b": 2})


def test_a_mask_of_another_size_is_an_error_that_says_both(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((9, 6), np.uint8))
    with pytest.raises(CompetitionError, match=r"mask is 9x6 pixels, its image 6x9 \(rows x columns\): .*a\.png"):
        read(path, ["femur"])
