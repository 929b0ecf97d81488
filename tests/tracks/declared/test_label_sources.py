"""The exports of annotation tools: each gives the same label planes, and what does not fit is one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from annotation_exports import CLASSES, EXPORTS, OBJECTS, SIZE_HW, coco_content, export_coco, export_cvat, masks_of
from PIL import Image

from competition.data.cache import fingerprint
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.tracks.declared.track import load_folder_track
from competition.tracks.track import Listing, Track

LAYOUTS = Path(__file__).resolve().parents[3] / "docs" / "layouts"


def labels_of(track: Track, root: Path) -> dict[str, np.ndarray]:
    assert track.read_label is not None
    train = [sample for sample in track.list_samples(root).samples if sample.split == "train"]
    planes = {sample.key: track.read_label(root / str(sample.label), SIZE_HW) for sample in train}
    return {key: unpack_planes(each, len(track.classes)) for key, each in planes.items()}


@pytest.mark.parametrize("layout", EXPORTS)
def test_the_same_objects_give_the_same_planes_in_every_format(tmp_path, layout) -> None:
    EXPORTS[layout](tmp_path)
    track = load_folder_track(LAYOUTS / f"{layout}.yaml")
    listing = track.list_samples(tmp_path)
    assert [problem for problem in listing.problems if not problem.note] == []
    assert [(each.key, each.group) for each in listing.samples if each.split == "test"] == [("09_t", "09")]
    found = labels_of(track, tmp_path)
    assert found.keys() == OBJECTS.keys()
    for name, masks in found.items():
        np.testing.assert_array_equal(masks, masks_of(name))


@pytest.mark.parametrize("layout", EXPORTS)
def test_labels_are_found_for_score_in_a_folder_of_their_own(tmp_path, layout) -> None:
    EXPORTS[layout](tmp_path)
    track = load_folder_track(LAYOUTS / f"{layout}.yaml")
    assert track.find_labels is not None
    assert track.read_label is not None
    # Pictures are told from their masks by the folder alone.
    found = track.find_labels(tmp_path / "SegmentationClass" if layout == "cvat_masks" else tmp_path)
    for name in OBJECTS:
        (path,) = found[name]
        np.testing.assert_array_equal(unpack_planes(track.read_label(path, SIZE_HW), 2), masks_of(name))


def declare(folder: Path, masks: str, classes: str = "[bone, screw]", **keys: str) -> Track:
    lines = {"classes": classes, "train": "images/train/*.png", "masks": masks, "test": "images/test/*.png"}
    path = folder / "mine.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in (lines | {"group": "'(.+)'"} | keys).items()))
    return load_folder_track(path)


def coco(root: Path, content: dict) -> Listing:
    export_coco(root)
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))
    return load_folder_track(LAYOUTS / "coco.yaml").list_samples(root)


def test_an_image_that_coco_does_not_list_is_a_problem_with_the_nearest_name(tmp_path) -> None:
    content = coco_content()
    content["images"][0]["file_name"] = "1_a.png"
    (missing, note) = coco(tmp_path, content).problems
    assert (missing.key, missing.note, note.note) == ("01_a", False, True)
    assert "does not list '01_a.png'" in missing.reason
    assert "did you mean '1_a.png'" in missing.reason
    assert "'1_a.png', which is no training image" in note.reason


def test_images_are_joined_by_the_longest_end_of_their_path(tmp_path) -> None:
    content = coco_content()
    for number, name in enumerate(("other\\01_a.png", "train\\01_a.png", "train/02_b.png")):
        content["images"][number]["file_name"] = name
    listing = coco(tmp_path, content)
    first = next(sample for sample in listing.samples if sample.key == "01_a")
    assert first.label == "annotations/instances_train.json#train\\01_a.png"


@pytest.mark.parametrize("names", [("extra/{}", "{}", "train/02_b.png"), ("{}", "extra/{}", "train/02_b.png")])
def test_the_path_itself_wins_over_a_longer_one_that_ends_in_it(tmp_path, names) -> None:
    content = coco_content()
    for listed, name in zip(content["images"], names, strict=False):
        listed["file_name"] = name.format("images/train/01_a.png")
    first = next(sample for sample in coco(tmp_path, content).samples if sample.key == "01_a")
    assert first.label == "annotations/instances_train.json#images/train/01_a.png"


def test_two_longer_paths_that_end_in_the_image_are_a_problem(tmp_path) -> None:
    content = coco_content()
    content["images"][0]["file_name"] = "much/more/images/train/01_a.png"
    assert coco(tmp_path / "one", content).samples[0].label.endswith("#much/more/images/train/01_a.png")
    content["images"][2]["file_name"] = "x/images/train/01_a.png"
    reasons = [problem.reason for problem in coco(tmp_path / "two", content).problems]
    assert any("'x/images/train/01_a.png' could both be 'images/train/01_a.png'" in reason for reason in reasons)


def test_two_names_that_fit_one_image_are_a_problem(tmp_path) -> None:
    content = coco_content()
    content["images"][2]["file_name"] = "x/01_a.png"
    content["images"][0]["file_name"] = "y/01_a.png"
    reasons = [problem.reason for problem in coco(tmp_path, content).problems]
    assert "'y/01_a.png' and 'x/01_a.png' could both be 'images/train/01_a.png'" in reasons


def test_an_unknown_class_in_coco_is_named_with_the_nearest(tmp_path) -> None:
    content = coco_content()
    content["categories"][1]["name"] = "bones"
    with pytest.raises(CompetitionError, match=r"unknown class 'bones'.*'bone'"):
        coco(tmp_path, content)


def test_ids_twice_are_a_remark_for_annotations_and_an_error_for_images(tmp_path) -> None:
    content = coco_content()
    content["annotations"][1]["id"] = content["annotations"][0]["id"]
    (tmp_path / "one").mkdir()
    (remark,) = coco(tmp_path / "one", content).remarks
    assert "1 id of annotations appear twice" in remark
    content["images"][1]["id"] = content["images"][0]["id"]
    (tmp_path / "two").mkdir()
    with pytest.raises(CompetitionError, match="two images share the id 10"):
        coco(tmp_path / "two", content)


def test_a_polygon_of_two_points_names_image_and_object(tmp_path) -> None:
    content = coco_content()
    content["annotations"][1]["segmentation"] = [[1, 1, 5, 5]]
    sample = coco(tmp_path, content).samples[0]
    track = load_folder_track(LAYOUTS / "coco.yaml")
    with pytest.raises(CompetitionError, match=r"'bone' has 2 points.*image 01_a.png, annotation 2\. Export"):
        track.read_label(tmp_path / sample.label, SIZE_HW)


def test_labels_of_an_image_of_another_size_are_refused(tmp_path) -> None:
    export_cvat(tmp_path)
    track = load_folder_track(LAYOUTS / "cvat.yaml")
    sample = track.list_samples(tmp_path).samples[0]
    with pytest.raises(CompetitionError, match=r"of an image of 24x30, the image has 30x24"):
        track.read_label(tmp_path / sample.label, SIZE_HW[::-1])


def test_a_changed_label_map_is_noticed(tmp_path) -> None:
    EXPORTS["cvat_masks"](tmp_path)
    track = load_folder_track(LAYOUTS / "cvat_masks.yaml")
    sample = track.list_samples(tmp_path).samples[0]
    before = fingerprint(track, tmp_path, sample)
    text = (tmp_path / "labelmap.txt").read_text()
    (tmp_path / "labelmap.txt").write_text(text.replace("screw:0,128,255", "screw:0,128,254"))
    assert fingerprint(track, tmp_path, sample) != before
    with pytest.raises(CompetitionError, match="belongs to no class"):
        labels_of(track, tmp_path)
    (tmp_path / "labelmap.txt").write_text(text.replace("screw", "screws"))
    with pytest.raises(CompetitionError, match=r"unknown class 'screw' in classes of the YAML.*'screws'"):
        labels_of(track, tmp_path)


def arrays(root: Path, values: np.ndarray, classes: str, name: str = "a.npy") -> np.ndarray:
    track = declare(root, '{arrays: "labels/{stem}.npy"}', classes)
    assert track.read_label is not None
    np.save(root / name, values)
    return unpack_planes(track.read_label(root / name, SIZE_HW), len(track.classes))


def test_arrays_hold_values_or_planes_first_or_last(tmp_path) -> None:
    masks = np.random.default_rng(0).random((2, *SIZE_HW)) < 0.4
    for values in (masks, masks.astype(np.float32), np.moveaxis(masks, 0, 2).astype(np.uint8) * 255):
        np.testing.assert_array_equal(arrays(tmp_path, values, "[a, b]"), masks)
    values = np.where(masks[0], 3, np.where(masks[1], 700, 0)).astype(np.int16)
    found = arrays(tmp_path, values, "{a: 3, b: 700}")
    np.testing.assert_array_equal(found, [masks[0], masks[1] & ~masks[0]])
    np.testing.assert_array_equal(arrays(tmp_path, masks[0], "[a]"), masks[:1])


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        (np.zeros((3, *SIZE_HW)), "[a, b]", r"an array of 3x24x30, 2x24x30 or 24x30x2 is expected"),
        (np.zeros(SIZE_HW), "[a, b]", "an array of 24x30, 2x24x30 or"),
        (np.full(SIZE_HW, 0.5), "{a: 1}", "fractions, which name no class"),
        (np.full(SIZE_HW, np.nan), "{a: 1}", "not finite"),
        (np.full(SIZE_HW, 7), "{a: 1}", r"belongs to no class \(a 1\): 7 in 720 pixels"),
        (np.zeros((5, 5)), "{a: 1}", "mask is 5x5 pixels, its image 24x30"),
        (np.zeros(4), "[a]", "of two or three axes, not float64 of 4"),
        (np.array([["x"] * 30] * 24), "[a]", "whole numbers of two or three axes"),
    ],
)
def test_arrays_that_do_not_fit_are_one_sentence(tmp_path, values, classes, message) -> None:
    with pytest.raises(CompetitionError, match=message):
        arrays(tmp_path, values, classes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_instance_counts_however_low_its_number(tmp_path, dtype) -> None:
    values = np.random.default_rng(1).integers(0, 200, SIZE_HW).astype(dtype)
    if dtype == np.uint16:
        values[0, 0] = 60_000
    track = declare(tmp_path, '{instances: "masks/{stem}.png"}', "[a]")
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(unpack_planes(track.read_label(tmp_path / "a.png", SIZE_HW), 1)[0], values > 0)
    with pytest.raises(CompetitionError, match="mask is 24x30 pixels, its image 9x9"):
        track.read_label(tmp_path / "a.png", (9, 9))


def test_boxes_are_masks_only_where_that_is_asked_for(tmp_path) -> None:
    text = "1 0.5 0.5 0.2 0.5\n"
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(CompetitionError, match=r"four numbers: a box, or a polygon of two points.*line 1"):
        declare(tmp_path, '{yolo: "x/{stem}.txt"}').read_label(tmp_path / "a.txt", SIZE_HW)
    planes = declare(tmp_path, '{yolo: "x/{stem}.txt", boxes: true}').read_label(tmp_path / "a.txt", SIZE_HW)
    expected = np.zeros((2, *SIZE_HW), bool)
    expected[1, 6:18, 12:18] = True
    np.testing.assert_array_equal(unpack_planes(planes, 2), expected)


@pytest.mark.parametrize(
    ("masks", "classes", "message"),
    [
        ("{coco: a.json, cvat: b.xml}", "[a]", "names coco and cvat, one of them is needed"),
        ("{boxes: true}", "[a]", "names no source"),
        ("{coko: a.json}", "[a]", "unknown key 'masks.coko'"),
        ("{coco: a.json, box: true}", "[a]", "unknown key 'masks.box'.*boxes"),
        ("{coco: a.json}", "{a: 1}", "classes is a list of names, without values"),
        ("{coco: ../a.json}", "[a]", "path below the data folder"),
        ("{labelme: labels.json}", "[a]", r"needs \{stem\}"),
        ('{labelme: "{stm}.json"}', "[a]", r"holds \{stm\}, which is unknown"),
        ('{labelme: "{class}/{stem}.json"}', "[a]", r"holds all classes, so its path can't contain \{class\}"),
        ('{instances: "{stem}.png"}', "[a, b]", r"need \{class\} in their path"),
        ('{voc: "{stem}.xml"}', "[a]", "voc holds boxes"),
        ('{labelme: "{stem}.json", boxes: true}', "[a]", "boxes can't be given for labelme"),
        ('{pictures: "{stem}.png"}', "[a]", "pictures and labelmap belong together"),
    ],
)
def test_contradictions_are_refused_when_the_yaml_is_read(tmp_path, masks, classes, message) -> None:
    with pytest.raises(CompetitionError, match=message):
        declare(tmp_path, masks, classes)


def test_the_text_of_a_declaration_holds_only_what_was_given(tmp_path) -> None:
    track = declare(tmp_path, "{coco: a.json}")
    assert track.reading == '{"classes":["bone","screw"],"masks":{"coco":"a.json"},"channels":1}'
    assert track.classes == CLASSES
