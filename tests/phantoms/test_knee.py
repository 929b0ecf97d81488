import cv2
import numpy as np
import pytest
from PIL import Image

from competition.formats.pictures import read_grey
from competition.phantoms import knee


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("knees")
    calls = []
    knee.draw(root, 12, 2, 240, 5, lambda: calls.append(1))
    assert len(calls) == 28
    return root


def test_names_pair_up(drawn):
    for pictures, answers, people in (
        ("train/images", "train/labels", range(1, 13)),
        ("test/images", "truth/labels", range(13, 15)),
    ):
        expected = sorted(f"{person:03d}_{side}.png" for person in people for side in "LR")
        assert sorted(path.name for path in (drawn / pictures).iterdir()) == expected
        assert sorted(path.name for path in (drawn / answers).iterdir()) == expected


def test_sizes_differ_and_are_about_240_by_220(drawn):
    sizes = {cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape[:2] for path in (drawn / "train/images").iterdir()}
    assert len(sizes) > 8
    assert all(220 <= size[0] <= 260 and 190 <= size[1] <= 250 for size in sizes)


def test_every_form_of_label_and_picture_holds_the_drawn_femur_and_knee(drawn):
    seen, modes = {}, {}
    for path in sorted((drawn / "train/labels").iterdir()):
        person, side = int(path.name[:3]), path.stem[-1]
        grey, femur = knee.draw_knee(5, person, side, 240)
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        plane = stored if stored.ndim == 2 else stored.max(axis=2)
        np.testing.assert_array_equal(plane > plane.max() / 2, femur > 0)
        picture = Image.open(drawn / "train/images" / path.name)
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), np.stack([grey] * 3, axis=2))
        np.testing.assert_array_equal(read_grey(drawn / "train/images" / path.name), grey)
        modes[picture.mode] = modes.get(picture.mode, 0) + 1
        values = tuple(np.unique(plane))
        colour_type = path.read_bytes()[25]
        form = "palette" if colour_type == 3 else {(0, 255): "plain", (0, 1): "zero_one"}.get(values, "grey_edges")
        seen[form] = seen.get(form, 0) + 1
    assert seen == {"plain": 18, "zero_one": 2, "palette": 2, "grey_edges": 2}
    assert modes == {"L": 20, "RGB": 2, "P": 2}


def test_truth_is_plain(drawn):
    for path in (drawn / "truth/labels").iterdir():
        assert set(np.unique(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))) == {0, 255}


def test_femur_is_one_piece_that_touches_the_upper_edge_only():
    for person in range(1, 9):
        for side in ("R", "L"):
            _, femur = knee.draw_knee(5, person, side, 240)
            assert cv2.connectedComponents(femur)[0] == 2
            assert femur[0].any()
            assert not femur[:, 0].any()
            assert not femur[:, -1].any()
            assert not femur[femur.shape[0] * 3 // 4 :].any()
            assert 0.08 < femur.mean() < 0.3


def test_fibula_lies_on_the_outer_side():
    """On a right knee seen from the front the fibula is at the picture's left."""
    shift = {"R": [], "L": []}
    for person in range(1, 9):
        for side in shift:
            grey, femur = knee.draw_knee(5, person, side, 240)
            rows = slice(int(grey.shape[0] * 0.72), int(grey.shape[0] * 0.8))
            centre = np.nonzero(femur.any(axis=0))[0].mean()
            columns = np.arange(grey.shape[1])
            weight = np.maximum(grey[rows].mean(axis=0) - np.median(grey[rows]), 0)
            shift[side].append((weight * columns).sum() / weight.sum() - centre)
    assert np.mean(shift["R"]) < np.mean(shift["L"])


def test_deterministic_and_independent_of_the_number_of_people(drawn, tmp_path):
    knee.draw(tmp_path, 2, 0, 240, 5, lambda: None)
    files = list(tmp_path.rglob("*.png"))
    assert len(files) == 8
    for path in files:
        assert path.read_bytes() == (drawn / path.relative_to(tmp_path)).read_bytes()
    assert (knee.draw_knee(6, 1, "R", 240)[1].shape != knee.draw_knee(5, 1, "R", 240)[1].shape) or (
        knee.draw_knee(6, 1, "R", 240)[1] != knee.draw_knee(5, 1, "R", 240)[1]
    ).any()


def test_one_pixel_palette_file_is_read_back(tmp_path):
    knee.write_palette_png(tmp_path / "a.png", np.ones((1, 1), np.uint8), bytes([0, 0, 0, 255, 0, 0]))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED), [[[0, 0, 255]]])
