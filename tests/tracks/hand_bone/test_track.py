"""The hand-bone track: how polygons become planes, with the traps of the organisers' files."""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.submission.run_lengths.form import RunLengthForm
from competition.tracks.hand_bone.track import HAND_BONE, list_hands, list_test_hands, read_bones

# Typed from the organisers' table, not from the code.
CLASSES = [f"finger-{number}" for number in range(1, 20)]
CLASSES += ["Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform"]
CLASSES += ["Radius", "Ulna"]
SIZE_HW = (64, 80)
Polygon = NDArray[np.int32]


def draw_polygons(seed: int, far: int = 0) -> dict[str, Polygon]:
    """One random polygon per class; ``far`` = 1 lets points lie on the far border line itself."""
    random = np.random.default_rng(seed)
    limits = (SIZE_HW[1] + far, SIZE_HW[0] + far)
    return {name: random.integers(0, limits, (int(random.integers(3, 9)), 2), dtype=np.int32) for name in CLASSES}


def annotation(label: str, points: Any) -> dict[str, Any]:
    return {"id": "x", "type": "poly_seg", "label": label, "points": points}


def write(path: Path, annotations: Any, **others: Any) -> Path:
    path.write_text(json.dumps({"annotations": annotations} | others))
    return path


def write_polygons(path: Path, polygons: dict[str, Polygon]) -> Path:
    return write(path, [annotation(name, points.tolist()) for name, points in polygons.items()])


def dense(polygons: dict[str, Polygon]) -> NDArray[np.bool_]:
    """What the organisers' baseline does: one whole mask per class."""
    masks = np.zeros((len(CLASSES), *SIZE_HW), np.uint8)
    for name, points in polygons.items():
        cv2.fillPoly(masks[CLASSES.index(name)], [points], 1)
    return masks.astype(bool)


def failure(path: Path) -> str:
    with pytest.raises(CompetitionError) as caught:
        read_bones(path, SIZE_HW)
    assert path.name in str(caught.value)
    return str(caught.value)


def with_points(path: Path, points: Any) -> Path:
    """A good file but for the points of one bone."""
    polygons = draw_polygons(0)
    return write(path, [annotation(n, points if n == "Lunate" else p.tolist()) for n, p in polygons.items()])


def test_classes_are_the_organisers() -> None:
    assert list(HAND_BONE.classes) == CLASSES
    assert (HAND_BONE.metric, HAND_BONE.form, HAND_BONE.size_hw) == ("dice", RunLengthForm(), (2048, 2048))


def test_a_mirrored_bone_keeps_its_name() -> None:
    assert HAND_BONE.mirror is not None
    assert HAND_BONE.mirror.classes == tuple(range(29))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("far", [0, 1])
def test_planes_are_a_dense_fill_of_every_class(tmp_path: Path, seed: int, far: int) -> None:
    polygons = draw_polygons(seed, far)
    planes = read_bones(write_polygons(tmp_path / "a.json", polygons), SIZE_HW)
    assert (planes.shape, planes.dtype) == ((*SIZE_HW, 4), np.uint8)
    np.testing.assert_array_equal(unpack_planes(planes, 29), dense(polygons))


def test_a_polygon_covers_its_border_and_its_last_pixel(tmp_path: Path) -> None:
    height, width = SIZE_HW
    square = [[width - 3, height - 2], [width - 1, height - 2], [width - 1, height - 1], [width - 3, height - 1]]
    masks = unpack_planes(read_bones(with_points(tmp_path / "a.json", square), SIZE_HW), 29)
    expected = np.zeros(SIZE_HW, bool)
    expected[height - 2 :, width - 3 :] = True
    np.testing.assert_array_equal(masks[CLASSES.index("Lunate")], expected)


def test_a_polygon_on_the_far_border_line_alone_has_no_pixel(tmp_path: Path) -> None:
    height, width = SIZE_HW
    line = [[width, 0], [width, 5], [width, height]]
    masks = unpack_planes(read_bones(with_points(tmp_path / "a.json", line), SIZE_HW), 29)
    assert not masks[CLASSES.index("Lunate")].any()


def test_several_polygons_of_a_bone_are_one_bone(tmp_path: Path) -> None:
    first, second = draw_polygons(1), draw_polygons(2)
    both = [annotation(name, points.tolist()) for part in (first, second) for name, points in part.items()]
    planes = read_bones(write(tmp_path / "a.json", both), SIZE_HW)
    np.testing.assert_array_equal(unpack_planes(planes, 29), dense(first) | dense(second))


def test_stale_metadata_filename_and_path_are_not_believed(tmp_path: Path) -> None:
    polygons = draw_polygons(3)
    annotations = [annotation(name, points.tolist()) for name, points in polygons.items()]
    stale = {
        "metadata": {"height": 3060, "width": 3060},
        "filename": "image_of_another.jpg",
        "parent_path": "/nobody/has/this",
        "image_id": 1,
    }
    planes = read_bones(write(tmp_path / "a.json", annotations, **stale), SIZE_HW)
    np.testing.assert_array_equal(unpack_planes(planes, 29), dense(polygons))


def test_annotations_come_in_any_order(tmp_path: Path) -> None:
    polygons = draw_polygons(4)
    shuffled = {name: polygons[name] for name in np.random.default_rng(0).permutation(CLASSES)}
    planes = read_bones(write_polygons(tmp_path / "a.json", shuffled), SIZE_HW)
    np.testing.assert_array_equal(unpack_planes(planes, 29), dense(polygons))


def test_points_nested_one_level_deeper_are_the_same_points(tmp_path: Path) -> None:
    polygons = draw_polygons(5)
    expected = dense(polygons)
    for nest in (lambda points: [points], lambda points: [[pair] for pair in points]):
        path = write(tmp_path / "a.json", [annotation(n, nest(p.tolist())) for n, p in polygons.items()])
        np.testing.assert_array_equal(unpack_planes(read_bones(path, SIZE_HW), 29), expected)


def test_fractions_of_a_pixel_are_cut_off_as_by_the_baseline(tmp_path: Path) -> None:
    polygons = draw_polygons(6)
    path = write(tmp_path / "a.json", [annotation(n, (p + 0.9).tolist()) for n, p in polygons.items()])
    np.testing.assert_array_equal(unpack_planes(read_bones(path, SIZE_HW), 29), dense(polygons))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[1, 1], [5, 5]], "polygon of Lunate has 2 points, 3 are needed"),
        ([], "polygon of Lunate has 0 points"),
        ([[-1, 1], [5, 5], [5, 1]], "polygon of Lunate leaves the X-ray of 64x80 (rows x columns)"),
        ([[1, 1], [5, 65], [5, 1]], "polygon of Lunate leaves the X-ray of 64x80 (rows x columns)"),
        ([[1, 1], [81, 5], [5, 1]], "polygon of Lunate leaves the X-ray of 64x80 (rows x columns)"),
        ([[1, 1], [5, float("nan")], [5, 1]], "polygon of Lunate leaves"),
        ([[1, 1], [5, float("inf")], [5, 1]], "polygon of Lunate leaves"),
        ([[1, 1], [5], [5, 1]], "points of Lunate are not pairs"),
        ([[1, 1, 1], [5, 5, 5]], "points of Lunate are not pairs"),
        ([[[1, 1], [5, 5], [5, 1]], [[9, 9], [12, 12], [12, 9]]], "points of Lunate are not pairs"),
        ([["a", "b"], [5, 5], [5, 1]], "points of Lunate are not pairs"),
        (None, "points of Lunate are not pairs"),
        (7, "points of Lunate are not pairs"),
    ],
)
def test_a_polygon_that_cannot_be_drawn_is_an_error(tmp_path: Path, points: Any, expected: str) -> None:
    assert expected in failure(with_points(tmp_path / "bad.json", points))


def test_an_unknown_label_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.json", [annotation("finger-20", [[0, 0], [5, 0], [5, 5]])])
    assert "unknown label 'finger-20', did you mean 'finger-2'" in failure(path)
    path = write(tmp_path / "bad.json", [annotation("trapezium ", [[0, 0], [5, 0], [5, 5]])])
    assert "did you mean 'Trapezium'" in failure(path)


def test_a_missing_bone_is_an_error_that_names_it(tmp_path: Path) -> None:
    polygons = draw_polygons(7)
    del polygons["Pisiform"], polygons["finger-1"]
    assert "no polygon for finger-1, Pisiform" in failure(write_polygons(tmp_path / "bad.json", polygons))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"annotations": null}',
        '{"annotations": {"label": "Ulna"}}',
        '{"annotations": [{"points": []}]}',
        '{"annotations": [{"label": "Ulna"}]}',
        '{"annotations": ["Ulna"]}',
        '{"annotations": [{"label": "Ulna", "points": [[1, 1], [2',
    ],
)
def test_what_is_no_annotation_file_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    assert "annotation file without annotations" in failure(tmp_path / "bad.json")


def test_a_truncated_annotation_file_is_an_error_wherever_it_was_cut(tmp_path: Path) -> None:
    content = write_polygons(tmp_path / "bad.json", draw_polygons(8)).read_bytes()
    for length in range(0, len(content) - 1, 97):
        (tmp_path / "bad.json").write_bytes(content[:length])
        assert "annotation file without annotations" in failure(tmp_path / "bad.json")


def test_an_annotation_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert "annotation not found" in failure(tmp_path / "absent.json")


def lay(root: Path, *files: str) -> None:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_hands_are_listed_by_path_with_the_person_as_group(tmp_path: Path) -> None:
    lay(tmp_path, "train/DCM/ID002/b.png", "train/DCM/ID002/a.png", "train/DCM/ID001/z.png", "test/DCM/ID009/t.png")
    lay(tmp_path, "train/outputs_json/ID002/b.json", "train/outputs_json/ID002/a.json")
    lay(tmp_path, "train/outputs_json/ID001/z.json", "train/DCM/ID001/notes.txt")
    listing = list_hands(tmp_path)
    assert listing.problems == []
    assert [(s.split, s.group, s.key, s.name) for s in listing.samples] == [
        ("train", "ID001", "z", "z.png"),
        ("train", "ID002", "a", "a.png"),
        ("train", "ID002", "b", "b.png"),
        ("test", "ID009", "t", "t.png"),
    ]
    assert listing.samples[1].images == ("train/DCM/ID002/a.png",)
    assert listing.samples[1].label == "train/outputs_json/ID002/a.json"
    assert listing.samples[3].label is None


def test_what_is_missing_or_double_is_a_problem_with_its_file(tmp_path: Path) -> None:
    lay(tmp_path, "train/DCM/ID001/a.png", "train/DCM/ID002/a.png", "train/DCM/ID002/c.png", "test/DCM/ID009/c.png")
    lay(tmp_path, "train/outputs_json/ID001/a.json", "train/outputs_json/ID003/d.json")
    listing = list_hands(tmp_path)
    assert [s.images[0] for s in listing.samples] == ["train/DCM/ID001/a.png", "train/DCM/ID002/c.png"]
    found = {problem.path: (problem.split, problem.reason) for problem in listing.problems}
    assert found.keys() == {
        "train/DCM/ID002/a.png",
        "test/DCM/ID009/c.png",
        "train/outputs_json/ID002/c.json",
        "train/outputs_json/ID003/d.json",
    }
    assert "share the name a (the other is train/DCM/ID001/a.png)" in found["train/DCM/ID002/a.png"][1]
    assert found["test/DCM/ID009/c.png"][0] == "test"
    assert found["train/outputs_json/ID002/c.json"] == ("train", "annotation missing")
    assert found["train/outputs_json/ID003/d.json"] == ("train", "annotation without X-ray")


def test_a_folder_without_training_hands_is_an_error_that_shows_the_layout(tmp_path: Path) -> None:
    lay(tmp_path, "test/DCM/ID009/t.png")
    with pytest.raises(CompetitionError, match=r"no training X-ray found: .*DCM.*DIR/train/outputs_json"):
        list_hands(tmp_path)


def test_a_later_test_set_is_listed_from_any_folder(tmp_path: Path) -> None:
    lay(tmp_path, "ID010/q.png", "ID002/r.png", "deep/ID001/p.png")
    samples = list_test_hands(tmp_path).samples
    assert [(s.group, s.name, s.split) for s in samples] == [
        ("ID002", "r.png", "test"),
        ("ID010", "q.png", "test"),
        ("ID001", "p.png", "test"),
    ]
    lay(tmp_path, "ID003/q.png")
    with pytest.raises(CompetitionError, match="two test images share the name q"):
        list_test_hands(tmp_path)
    with pytest.raises(CompetitionError, match="no test image found"):
        list_test_hands(tmp_path / "absent")


def test_litter_is_no_xray_and_an_annotation_of_a_near_name_is_meant(tmp_path: Path) -> None:
    lay(tmp_path, "train/DCM/ID001/a.PNG", "train/DCM/ID001/._a.png", "test/DCM/ID009/._t.png", "test/DCM/ID009/t.png")
    lay(tmp_path, "train/DCM/ID002/007.png", "train/outputs_json/ID001/a.JSON", "train/outputs_json/ID001/._a.json")
    lay(tmp_path, "train/outputs_json/ID002/7.json", "__MACOSX/train/DCM/ID001/z.png")
    listing = list_hands(tmp_path)
    assert [(s.key, s.label) for s in listing.samples] == [
        ("a", "train/outputs_json/ID001/a.JSON"),
        ("007", "train/outputs_json/ID002/007.json"),
        ("t", None),
    ]
    (problem,) = listing.problems
    reason = "annotation missing, did you mean train/outputs_json/ID002/7.json?"
    assert (problem.key, problem.path, problem.reason) == ("007", "train/outputs_json/ID002/007.json", reason)


def test_a_picture_of_another_ending_is_named_and_refused_in_a_later_test_set(tmp_path: Path) -> None:
    lay(tmp_path, "train/DCM/ID001/a.png", "train/outputs_json/ID001/a.json", "test/DCM/ID009/t.png")
    lay(tmp_path, "test/DCM/ID009/u.jpg", "train/DCM/ID001/b.tif", "test/DCM/ID009/t.jpg")
    found = {problem.path: problem.note for problem in list_hands(tmp_path).problems}
    assert found == {"test/DCM/ID009/u.jpg": False, "train/DCM/ID001/b.tif": True, "test/DCM/ID009/t.jpg": True}
    with pytest.raises(CompetitionError, match=r"left out, .* takes no \.jpg files \(1 in all\): .*u\.jpg\. Convert"):
        list_test_hands(tmp_path / "test")
    (tmp_path / "test/DCM/ID009/u.jpg").unlink()
    assert any("t.jpg is left out" in remark for remark in list_test_hands(tmp_path / "test").remarks)


def test_brackets_without_end_numbers_beyond_floats_and_a_pipe_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"annotations": ' + "[" * 100_000)
    assert "brackets are nested too deeply" in failure(path)
    assert "points of Lunate are not pairs of numbers" in failure(with_points(path, [[10**400, 1], [2, 2], [3, 1]]))
    path.unlink()
    os.mkfifo(path)
    assert "a pipe or a device" in failure(path)
