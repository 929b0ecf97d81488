"""Masks of three classes, and their run lengths as they are made the slow and plain way."""

import numpy as np

from competition.submission.run_lengths.files import write_rle_csv

CLASSES = ("left", "right", "both")


def encode(mask):
    """Row-major, 1-based run lengths, the slow and plain way."""
    numbers = []
    previous = 0
    for position, value in enumerate([*mask.astype(int).ravel().tolist(), 0], start=1):
        if value and not previous:
            numbers.append(position)
        if previous and not value:
            numbers.append(position - numbers[-1])
        previous = value
    return " ".join(map(str, numbers))


def blobs(seed, images, size_hw):
    """Masks of three classes: random, with an empty, a full and a last-pixel one among them."""
    rng = np.random.default_rng(seed)
    masks = {f"{i}.png": rng.random((3, *size_hw)) < rng.uniform(0.1, 0.9) for i in range(images)}
    masks["0.png"][0] = False
    masks["1.png"][1] = True
    masks["2.png"][2] = False
    masks["2.png"][2, -1, -1] = True
    return masks


def keyed(masks):
    return {(name, cls): encode(m) for name, stack in masks.items() for cls, m in zip(CLASSES, stack, strict=True)}


def rle_file(path, masks):
    write_rle_csv(path, ((*key, rle) for key, rle in keyed(masks).items()))
    return path
