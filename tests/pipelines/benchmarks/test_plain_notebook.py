"""The race's rival reads files by itself and answers at native size."""

import cv2
import numpy as np
import pytest

from pipelines.benchmarks import plain_notebook

SIZES = {"a": (40, 90), "b": (64, 64), "c": (33, 21), "d": (50, 30), "e": (90, 40)}


@pytest.fixture
def task(tmp_path):
    """Five images of five sizes with a bright square and a dark one; the last two are held out."""
    samples = []
    random = np.random.default_rng(0)
    for number, (key, (rows, columns)) in enumerate(SIZES.items()):
        masks = np.zeros((2, rows, columns), np.uint8)
        masks[0, 3 : rows // 2, 3 : columns // 2] = 255
        masks[1, rows // 2 + 3 : -3, columns // 2 + 3 : -3] = 255
        grey = 100 + masks[0] // 3 - masks[1] // 4 + random.integers(0, 9, (rows, columns), np.uint8)
        paths = [tmp_path / f"{key}_{name}.png" for name in ("image", "bright", "dark")]
        for path, picture in zip(paths, (grey, *masks), strict=True):
            cv2.imwrite(str(path), picture)
        image, *files = map(str, paths)
        samples.append({"key": key, "image": image, "masks": files, "fold": int(number >= 3)})
    network = {"encoder": "tu-resnet10t", "decoder_channels": [16, 8, 8, 8, 8]}
    return {
        "classes": ["bright", "dark"],
        "samples": samples,
        "fold": 1,
        "size": 32,
        "batch_size": 3,
        "seed": 0,
    } | network


def test_it_writes_a_mask_of_native_size_for_each_class_of_what_is_held_out(task, tmp_path):
    out = tmp_path / "out"
    plain_notebook.main(task | {"epochs": 1}, out)
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png")) == [
        f"{name}/{key}.png" for name in ("bright", "dark") for key in "de"
    ]
    for path in out.rglob("*.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert mask.shape == SIZES[path.stem]
        assert set(np.unique(mask)) <= {0, 255}


def test_images_keep_their_shape_and_masks_stay_with_them(task):
    image, masks, native = plain_notebook.load(task["samples"][0], 32)
    assert (image.shape, masks.shape, native) == ((14, 32), (2, 14, 32), (40, 90))
    moved, moved_masks = plain_notebook.augment(
        np.where(masks[0], 200, 50).astype(np.uint8), masks, np.random.default_rng(3)
    )
    inside = cv2.erode(moved_masks[0], np.ones((3, 3), np.uint8)) > 0
    assert inside.any()
    assert (moved[inside] > 150).all()
    images, targets = plain_notebook.collate([(image, masks)], (32, 32))
    assert images.shape == (1, 1, 32, 32)
    assert images[0, 0, :14].mean() == pytest.approx(0, abs=1e-3)
    assert not images[0, 0, 14:].any()
    assert targets[0, :, :14].numpy().astype(bool).tolist() == masks.tolist()
