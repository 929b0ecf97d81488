"""The notebook of a competent student for images with a table of labels, a ResNet-18 in plain PyTorch.

``python -m pipelines.benchmarks.plain_table_notebook TASK.json OUT`` trains on all folds but one, and writes the
probabilities of the held-out samples: OUT/fold{fold}.csv. It shares only TASK.json with the rest of this project: the
images, labels and folds, the network, and the budget.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from competition.models import torchvision_ops  # noqa: F401  (repairs torchvision beside a CPU-only torch, no more)

import timm  # isort: skip


def load(path: str, size: int) -> np.ndarray:
    """Read an image as RGB with ``size`` pixels on the long side, (h, w, 3) float32, each channel standardised."""
    picture = cv2.cvtColor(np.asarray(cv2.imread(path, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    rows, columns = (max(1, round(side * size / max(picture.shape[:2]))) for side in picture.shape[:2])
    small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    standardised: np.ndarray = (small - small.mean((0, 1))) / (small.std((0, 1)) + 1e-6)
    return standardised


def augment(images: list[np.ndarray], random: np.random.Generator) -> list[np.ndarray]:
    """Flip each image at random, and turn all by the same quarter turn, because a batch has one size."""
    turn = int(random.integers(4))
    return [np.rot90(image[:: random.choice([-1, 1]), :: random.choice([-1, 1])], turn) for image in images]


def collate(images: list[np.ndarray]) -> torch.Tensor:
    """Pad images (h, w, 3) with zeros, their mean, to the largest: (N, 3, H, W) float32."""
    rows, columns = (max(image.shape[axis] for image in images) for axis in (0, 1))
    batch = np.zeros((len(images), 3, rows, columns), np.float32)
    for number, image in enumerate(images):
        batch[number, :, : image.shape[0], : image.shape[1]] = image.transpose(2, 0, 1)
    return torch.from_numpy(batch)


def main(task: dict[str, Any], out: Path) -> None:
    """Train on the other folds, then predict the held-out one."""
    torch.manual_seed(task["seed"])
    random = np.random.default_rng(task["seed"])
    images = {sample["key"]: load(sample["image"], task["size"]) for sample in task["samples"]}
    targets = {sample["key"]: sample["targets"] for sample in task["samples"]}
    train = [sample["key"] for sample in task["samples"] if sample["fold"] != task["fold"]]
    held_out = [sample["key"] for sample in task["samples"] if sample["fold"] == task["fold"]]
    model = timm.create_model(task["encoder"], pretrained=False, num_classes=len(task["classes"]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    batches = -(-len(train) // task["batch_size"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=task["epochs"] * batches)
    for epoch in range(1, task["epochs"] + 1):
        model.train()
        for batch in np.array_split(random.permutation(train), batches):
            logits = model(collate(augment([images[key] for key in batch], random)))
            loss = binary_cross_entropy_with_logits(logits, torch.tensor([targets[key] for key in batch]).float())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch}: loss {loss.item():.4f}", flush=True)
        if epoch % 5 == 0:
            probs = predict(model, [images[key] for key in held_out])
            wrong = binary_cross_entropy(probs, torch.tensor([targets[key] for key in held_out]).float())
            print(f"epoch {epoch}: validation loss {wrong:.4f}", flush=True)
    probs = predict(model, [images[key] for key in held_out])
    table = pd.DataFrame(probs.double().numpy(), pd.Index(held_out, name="key"), task["classes"])
    table.to_csv(out / f"fold{task['fold']}.csv")


@torch.no_grad()
def predict(model: torch.nn.Module, images: list[np.ndarray]) -> torch.Tensor:
    """Return the probabilities (n, C) of images."""
    model.eval()
    return torch.cat([torch.sigmoid(model(collate([image]))) for image in images])


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
