"""The notebook of a competent student, a U-Net in plain PyTorch: the rival of our ``quick`` in the race.

``python -m pipelines.benchmarks.plain_notebook TASK.json OUT`` trains on all folds but one, and writes a mask of each
class for each held-out sample: OUT/{class}/{key}.png, 0 and 255, at native size. It shares only TASK.json with the
rest of this project: the images, masks and folds, the network, and the budget.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from competition.models import torchvision_ops  # noqa: F401  (repairs torchvision beside a CPU-only torch, no more)

import segmentation_models_pytorch as smp  # isort: skip


def read_grey(path: str) -> np.ndarray:
    """Read an image as grey values, (H, W) uint8.

    Sixteen-bit grey is stretched from its own minimum and maximum to 0..255, because a 12-bit X-ray in a 16-bit file
    would be black otherwise. Colour is turned to luminance.

    Raises:
        CompetitionError: As ``decode_picture``, a value is not finite, or only the opacity varies.
    """
    return np.asarray(cv2.imread(path, cv2.IMREAD_GRAYSCALE))


def load(sample: dict[str, Any], size: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Read an image (h, w) and its masks (C, h, w) with ``size`` pixels on the long side, and the native size."""
    image = read_grey(sample["image"])
    rows, columns = (max(1, round(side * size / max(image.shape))) for side in image.shape)
    masks = [cv2.resize(read_grey(path), (columns, rows), interpolation=cv2.INTER_NEAREST) for path in sample["masks"]]
    small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    return small, np.stack(masks) > 127, (image.shape[0], image.shape[1])


def augment(image: np.ndarray, masks: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rotate, scale and shift an image (h, w) and its masks (C, h, w) a little."""
    rows, columns = image.shape
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), random.uniform(-10, 10), random.uniform(0.9, 1.1))
    matrix[:, 2] += random.uniform(-0.05, 0.05, 2) * (columns, rows)
    planes = masks.astype(np.uint8)
    warped = [cv2.warpAffine(plane, matrix, (columns, rows), flags=cv2.INTER_NEAREST) for plane in planes]
    return cv2.warpAffine(image, matrix, (columns, rows)), np.stack(warped)


def collate(pairs: list[tuple[np.ndarray, np.ndarray]], grid: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad standardised images and masks to the grid: (N, 1, H, W) and (N, C, H, W) float32."""
    images = np.zeros((len(pairs), 1, *grid), np.float32)
    targets = np.zeros((len(pairs), len(pairs[0][1]), *grid), np.float32)
    for number, (image, masks) in enumerate(pairs):
        rows, columns = image.shape
        images[number, 0, :rows, :columns] = (image - image.mean()) / (image.std() + 1e-6)
        targets[number, :, :rows, :columns] = masks
    return torch.from_numpy(images), torch.from_numpy(targets)


def main(task: dict[str, Any], out: Path) -> None:
    """Train on the other folds, then predict the held-out one."""
    torch.manual_seed(task["seed"])
    random = np.random.default_rng(task["seed"])
    loaded = {sample["key"]: load(sample, task["size"]) for sample in task["samples"]}
    rows, columns = (max(item[0].shape[axis] for item in loaded.values()) for axis in (0, 1))
    grid = (-(-rows // 32) * 32, -(-columns // 32) * 32)
    train = [sample["key"] for sample in task["samples"] if sample["fold"] != task["fold"]]
    held_out = [sample["key"] for sample in task["samples"] if sample["fold"] == task["fold"]]
    channels = task["decoder_channels"]
    model = smp.Unet(task["encoder"], len(channels), None, decoder_channels=channels, in_channels=1,
                     classes=len(task["classes"]))  # fmt: skip
    dice_loss = smp.losses.DiceLoss("multilabel")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batches = -(-len(train) // task["batch_size"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=task["epochs"] * batches)
    for epoch in range(1, task["epochs"] + 1):
        model.train()
        for batch in np.array_split(random.permutation(train), batches):
            images, targets = collate([augment(*loaded[key][:2], random) for key in batch], grid)
            logits = model(images)
            loss = binary_cross_entropy_with_logits(logits, targets) + dice_loss(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch}: loss {loss.item():.4f}", flush=True)
        if epoch % 5 == 0:
            scores = [score(predict(model, loaded[key], grid), loaded[key]) for key in held_out]
            print(f"epoch {epoch}: validation Dice {np.mean(scores):.4f}", flush=True)
    for key in held_out:
        rows, columns = loaded[key][2]
        for name, logit in zip(task["classes"], predict(model, loaded[key], grid), strict=True):
            mask = interpolate(logit[None, None], (rows, columns), mode="bilinear")[0, 0] > 0
            (out / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(out / name / f"{key}.png"), mask.numpy().astype(np.uint8) * 255)


@torch.no_grad()
def predict(model: torch.nn.Module, item: tuple[np.ndarray, np.ndarray, Any], grid: tuple[int, int]) -> torch.Tensor:
    """Return the logits (C, h, w) of a loaded image, without the padding."""
    model.eval()
    rows, columns = item[0].shape
    logits: torch.Tensor = model(collate([item[:2]], grid)[0])[0, :, :rows, :columns]
    return logits


def score(logits: torch.Tensor, item: tuple[np.ndarray, np.ndarray, Any]) -> float:
    """Return the mean Dice over the classes at the network's size, 1 where truth and prediction are empty."""
    called, masks = logits.numpy() > 0, item[1]
    total = called.sum((1, 2)) + masks.sum((1, 2))
    return float(np.where(total, 2 * (called & masks).sum((1, 2)) / np.maximum(total, 1), 1.0).mean())


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
