"""COCO's files, as pycocotools writes and reads them."""

import json

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from competition.errors import CompetitionError
from competition.formats.coco import decode_counts, decode_text, encode_counts, read_coco, write_coco
from competition.formats.drawn_objects import DrawnImage, DrawnObject
from competition.masks.outlines import outline_mask


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
        ({"image_id": 8}, "no file in COCO's form"),
        ({"category_id": 1}, "no file in COCO's form"),
        ({"segmentation": [[0, 0, 1, 1]]}, "no three finite points.*annotation 1"),
        ({"segmentation": {"counts": [3, 4]}}, "add up to 7, not to 5x5"),
        ({"segmentation": {"counts": "\x00"}}, "add up to"),
        ({"segmentation": 5}, "no file in COCO's form"),
    ],
)
def test_what_is_no_mask_is_one_sentence(tmp_path, annotation, message) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps(content(**annotation)))
    with pytest.raises(CompetitionError, match=message):
        read_coco(path)
