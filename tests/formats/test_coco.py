"""COCO's files, as pycocotools writes and reads them."""

import json

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from competition.errors import CompetitionError
from competition.formats.coco import decode_counts, decode_text, encode_counts, open_coco, read_coco, write_coco
from competition.formats.drawn_objects import DrawnImage, DrawnObject
from competition.masks.outlines import drawn_planes, fill_objects, outline_mask


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97, 1.0])
def test_run_lengths_are_those_of_pycocotools(share) -> None:
    random = np.random.default_rng(int(share * 100))
    mask = random.random((37, 29)) < share
    packed = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = encode_counts(mask)
    assert decode_text(packed["counts"].decode()) == counts
    assert (decode_counts(counts, mask.shape, "here") == mask).all()
    assert (rle.decode(rle.frPyObjects({"size": [37, 29], "counts": counts}, 37, 29)) == mask).all()


def test_pycocotools_sees_the_same_masks(tmp_path) -> None:
    rows, columns = np.mgrid[:80, :90]
    disc = np.hypot(rows - 40, columns - 50) < 25
    ring = disc & (np.hypot(rows - 40, columns - 50) > 10)
    ((outer,),) = outline_mask(disc)
    image = DrawnImage((80, 90), (DrawnObject("b", (outer,)), DrawnObject("a", mask=ring)))
    path = tmp_path / "all.json"
    write_coco(path, ("a", "b"), {"one.png": image, "two.png": DrawnImage((80, 90), ())})
    theirs = COCO(str(path))
    first, second = theirs.loadAnns([1, 2])
    assert [theirs.loadCats(each["category_id"])[0]["name"] for each in (first, second)] == ["b", "a"]
    seen = theirs.annToMask(first).astype(bool)
    assert 2 * (seen & disc).sum() / (seen.sum() + disc.sum()) > 0.98
    assert first["area"] == pytest.approx(disc.sum(), rel=0.02)
    assert (theirs.annToMask(second) == ring).all()
    assert second["bbox"] == rle.toBbox(rle.encode(np.asfortranarray(ring.astype(np.uint8)))).tolist()
    ours = read_coco(path)
    assert ours["one.png"].objects[0].rings[0] == pytest.approx(outer)
    assert (ours["one.png"].objects[1].mask == ring).all()
    assert ours["two.png"].objects == ()


def content(**annotation):
    whole = {"id": 1, "image_id": 7, "category_id": 3, "segmentation": [[0, 0, 4, 0, 4, 4]]} | annotation
    picture = {"id": 7, "file_name": "x.png", "height": 5, "width": 5}
    return {"images": [picture], "annotations": [whole], "categories": [{"id": 3, "name": "bone"}]}


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"image_id": 8}, "its image_id 8 is not in the file: .*annotation 1"),
        ({"category_id": 1}, "its category_id 1 is not in the file: .*annotation 1"),
        ({"segmentation": [[0, 0, 1, 1]]}, "polygon of 'bone' has 2 points.*image x.png, annotation 1"),
        ({"segmentation": [[0, 0, 1, 1, 2]]}, "neither polygons nor run lengths.*annotation 1"),
        ({"segmentation": [[0, 0, 4, 0, float("nan"), 4]]}, "not a finite number"),
        ({"segmentation": [[6, 0, 9, 0, 9, 4]]}, "outside of its image of 5x5"),
        ({"segmentation": [], "bbox": [0, 0, 2, 2]}, "only a box and no mask.*boxes: true"),
        ({"segmentation": None}, "no outline and no mask"),
        ({"segmentation": {"size": [5, 4], "counts": [20]}}, "run lengths are of 5x4 pixels, the image has 5x5"),
        ({"segmentation": {"counts": [3, 4]}}, "add up to 7, not to 5x5"),
        ({"segmentation": {"counts": "\x00"}}, "add up to"),
        ({"segmentation": 5}, "neither polygons nor run lengths"),
    ],
)
def test_what_is_no_mask_is_one_sentence(tmp_path, annotation, message) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps(content(**annotation)))
    with pytest.raises(CompetitionError, match=message):
        read_coco(path)


def test_polygons_on_whole_pixels_and_run_lengths_of_a_crowd_are_those_of_pycocotools(tmp_path) -> None:
    """pycocotools fills other polygons by a rule of its own; where edges lie between pixels, the two must agree."""
    path = tmp_path / "all.json"
    rings = [[1, 2, 7, 2, 7, 5, 1, 5], [9, 0, 12, 0, 12, 11, 9, 11]]
    crowd = np.zeros((11, 14), np.uint8)
    crowd[6:9, 2:8] = 1
    packed = rle.encode(np.asfortranarray(crowd))
    counts = {"size": [11, 14], "counts": packed["counts"].decode()}
    whole = content(segmentation=rings)
    whole["images"][0] |= {"height": 11, "width": 14}
    whole["annotations"].append(whole["annotations"][0] | {"id": 2, "iscrowd": 1, "segmentation": counts})
    path.write_text(json.dumps(whole))
    theirs = COCO(str(path))
    expected = np.logical_or(*(theirs.annToMask(each) for each in theirs.loadAnns([1, 2])))
    np.testing.assert_array_equal(drawn_planes(read_coco(path)["x.png"], ["bone"])[..., 0], expected)


def test_the_polygons_of_an_annotation_are_one_object_without_holes(tmp_path) -> None:
    """An object is cut in two by another that lies upon it, or its parts overlap."""
    path = tmp_path / "all.json"
    rings = [[0, 0, 2, 0, 2, 5, 0, 5], [1, 0, 3, 0, 3, 5, 1, 5], [4, 0, 5, 0, 5, 3, 4, 3]]
    path.write_text(json.dumps(content(segmentation=rings)))
    (drawn,) = read_coco(path)["x.png"].objects
    theirs = COCO(str(path))
    np.testing.assert_array_equal(fill_objects([drawn], (5, 5)), theirs.annToMask(theirs.loadAnns(1)[0]))


def test_a_box_is_filled_where_that_is_asked_for(tmp_path) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps(content(segmentation=[], bbox=[1, 2, 3, 2])))
    planes = drawn_planes(open_coco(path, boxes=True).images["x.png"](), ["bone"])[..., 0]
    assert (planes.sum(), planes[2:4, 1:4].sum()) == (6, 6)


@pytest.mark.parametrize(
    ("key", "changes", "message"),
    [
        ("images", {"file_name": "y.png"}, "two images share the id 7"),
        ("images", {"id": 8}, "two images share the name 'x.png'"),
        ("categories", {"name": "b"}, "two categories share the id 3"),
    ],
)
def test_an_id_or_name_twice_is_an_error(tmp_path, key, changes, message) -> None:
    whole = content()
    whole[key].append(whole[key][0] | changes)
    (tmp_path / "all.json").write_text(json.dumps(whole))
    with pytest.raises(CompetitionError, match=message):
        open_coco(tmp_path / "all.json")
