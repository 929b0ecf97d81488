"""The race's rival for tables of labels reads pictures by itself, and learns."""

import cv2
import numpy as np
import pandas as pd
import pytest

from pipelines.benchmarks import plain_table_notebook


@pytest.fixture
def task(tmp_path):
    """Noise of two sizes; the first label is a disc, the second a coin's toss. Every fourth picture is held out."""
    random, samples = np.random.default_rng(0), []
    for number in range(48):
        rows, columns = ((36, 48), (48, 36))[number % 2]
        picture = random.normal(150, 20, (rows, columns, 3))
        disc = int(random.integers(2))
        if disc:
            cv2.circle(picture, (int(random.integers(10, 26)), int(random.integers(10, 26))), 8, (60, 20, 90), -1)
        path = tmp_path / f"{number:02d}.png"
        cv2.imwrite(str(path), picture.clip(0, 255).astype(np.uint8))
        targets = [disc, int(random.integers(2))]
        samples.append({"key": path.stem, "image": str(path), "targets": targets, "fold": int(number % 4 == 0)})
    settings = {"encoder": "resnet10t", "size": 32, "epochs": 8, "batch_size": 6, "seed": 0}
    return {"classes": ["disc", "coin"], "samples": samples, "fold": 1} | settings


@pytest.mark.exhaustive
@pytest.mark.slow
def test_it_learns_and_writes_probabilities_of_what_is_held_out(task, tmp_path):
    plain_table_notebook.main(task, tmp_path)
    probs = pd.read_csv(tmp_path / "fold1.csv", dtype={"key": str}, index_col="key")
    held_out = {sample["key"]: sample["targets"] for sample in task["samples"] if sample["fold"] == 1}
    assert (list(probs), list(probs.index)) == (["disc", "coin"], list(held_out))
    assert probs.to_numpy().min() >= 0
    assert probs.to_numpy().max() <= 1
    # Of 12; not the AUROC, which is high by chance: a network of random weights orders them well, or backwards.
    assert sum((probs["disc"] > 0.5) == [bool(disc) for disc, _ in held_out.values()]) >= 11


def test_a_picture_is_rgb_keeps_its_shape_and_has_mean_0_and_deviation_1(tmp_path):
    ramp = np.tile(np.arange(0, 240, 4, np.uint8), (30, 1))
    cv2.imwrite(str(tmp_path / "x.png"), np.stack([ramp, ramp[:, ::-1], np.full_like(ramp, 7)], axis=2))
    image = plain_table_notebook.load(str(tmp_path / "x.png"), 20)
    assert image.shape == (10, 20, 3)
    assert image.mean((0, 1)) == pytest.approx([0, 0, 0], abs=1e-4)
    assert image.std((0, 1)) == pytest.approx([0, 1, 1], abs=1e-4)  # red is flat
    assert image[0, 0, 1] > 1.5  # green falls from the left, blue rises
    assert image[0, 0, 2] < -1.5


def test_draws_are_the_eight_flips_and_turns_and_a_batch_is_padded():
    square = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    random = np.random.default_rng(0)
    batches = [plain_table_notebook.augment([square, square], random) for _ in range(100)]
    eight = {np.rot90(one, turn).tobytes() for one in (square, square[::-1]) for turn in range(4)}
    assert {image.tobytes() for images in batches for image in images} == eight
    assert any(one.tobytes() != other.tobytes() for one, other in batches)

    batch = plain_table_notebook.collate([np.ones((2, 5, 3)), np.full((4, 3, 3), 2.0)]).numpy()
    assert batch.shape == (2, 3, 4, 5)
    assert (batch.sum((1, 2, 3))).tolist() == [30, 72]
    assert (batch[0, :, :2] == 1).all()
