"""What teams do today, written plainly, for the benchmarks only.

The encoder, the decoder, the Dice and the validation are the hand-bone baseline's; the others are the direct way with
dense arrays.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from competition.errors import CompetitionError
from pipelines.benchmarks.hand_files import read_raw

EPSILON = 1e-4  # in the Dice of the baseline's validation

# 127.5 levels, because a blend is rounded to whole levels: it is above 127 from 127.5 on.
HALF_IN_THOUSANDTHS = 127_499.5


def encode(mask: NDArray[np.bool_]) -> str:
    """Encode as the baseline does: flatten, a 0 at both ends, the positions of change, starts and lengths as text."""
    pixels = np.concatenate([[0], mask.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(number) for number in runs)


def decode(rle: str, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode as the baseline does, every run as a slice: (H, W) uint8 of 0 and 1."""
    numbers = rle.split()
    starts, lengths = (np.asarray(part, dtype=int) for part in (numbers[0::2], numbers[1::2]))
    starts = starts - 1
    pixels = np.zeros(size_hw[0] * size_hw[1], dtype=np.uint8)
    for start, end in zip(starts, starts + lengths, strict=True):
        pixels[start:end] = 1
    return pixels.reshape(size_hw)


def encode_coco(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask with pycocotools as its manual describes: copied to column order, then scanned by column.

    Raises:
        CompetitionError: pycocotools is not installed.
    """
    encoded: dict[str, Any] = _coco().encode(np.asfortranarray(mask, dtype=np.uint8))
    return encoded


def encode_coco_view(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask with pycocotools without a copy: its rows are the columns of the transposed mask."""
    encoded: dict[str, Any] = _coco().encode(mask.view(np.uint8).T)
    return encoded


def decode_coco(encoded: dict[str, Any]) -> NDArray[np.bool_]:
    """Return a mask (H, W) that pycocotools encoded."""
    return np.asarray(_coco().decode(encoded), dtype=np.bool_)


def _coco() -> ModuleType:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise CompetitionError("pycocotools is not installed", repair="pip install pycocotools") from error
    module: ModuleType = mask
    return module


def vote(members: Sequence[Sequence[str]], size_hw: tuple[int, int]) -> list[str]:
    """Return a majority vote: every mask is decoded, added, compared with half of the members and encoded again."""
    voted = []
    for rles in zip(*members, strict=True):
        votes = np.zeros(size_hw, dtype=np.uint8)
        for rle in rles:
            votes += decode(rle, size_hw)
        voted.append(encode(votes > len(members) / 2))
    return voted


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the Dice of two dense masks, 1 where both are empty."""
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 1.0 if total == 0 else 2.0 * np.count_nonzero(a & b) / total


def score(submission: Sequence[str], truth: Sequence[str], size_hw: tuple[int, int]) -> list[float]:
    """Return the Dice per class of one image: both sides are decoded and compared pixel by pixel."""
    pairs = zip(submission, truth, strict=True)
    return [dice(decode(ours, size_hw).astype(bool), decode(theirs, size_hw).astype(bool)) for ours, theirs in pairs]


def store(path: Path, probs: NDArray[np.float16]) -> None:
    """Write a map (C, H, W) as compressed half floats."""
    np.savez_compressed(path, probs=probs)


def load(path: Path) -> NDArray[np.float16]:
    """Return what ``store`` wrote."""
    with np.load(path) as stored:
        probs: NDArray[np.float16] = stored["probs"]
    return probs


def score_weights(
    maps: NDArray[np.float32], weights: Sequence[int], masks: NDArray[np.bool_], threshold: float
) -> list[float]:
    """Return the Dice per class of a weight vector: the dense maps of all members are added, thresholded and scored.

    Args:
        maps: (M, C, H, W), every member's levels 0..255.
        weights: (M,) in thousandths.
        masks: (C, H, W), the truth.
        threshold: In thousandths of a level; a sum above it is positive.
    """
    scores = []
    for index, mask in enumerate(masks):
        total = np.zeros(mask.shape, np.float32)
        for weight, member in zip(weights, maps, strict=True):
            total += np.float32(weight) * member[index]
        scores.append(dice(total > np.float32(threshold), mask))
    return scores


def score_weights_at_once(
    maps: NDArray[np.float32], weights: Sequence[int], masks: NDArray[np.bool_], threshold: float
) -> list[float]:
    """Return the same with all classes added at once, which fits no cache; arguments as for ``score_weights``."""
    total = np.zeros(masks.shape, np.float32)
    for weight, member in zip(weights, maps, strict=True):
        total += np.float32(weight) * member
    return [dice(blend > np.float32(threshold), mask) for blend, mask in zip(total, masks, strict=True)]


def vote_soft(maps: NDArray[np.float32], weights: Sequence[int], threshold: float) -> list[str]:
    """Return the strings of a weighted soft vote, from all members' dense maps; arguments as for ``score_weights``."""
    blend = np.tensordot(np.asarray(weights, np.float32), maps, axes=1)
    return [encode(total > np.float32(threshold)) for total in blend]


def score_thresholds(levels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> list[float]:
    """Return the Dice of one class at each of the 256 levels, tried one by one."""
    return [dice(levels > level, mask) for level in range(256)]


def baseline_score(picture: Path, polygons: Path, logits: torch.Tensor, images: int) -> float:
    """Return the mean Dice of an image, read and scored several times as the baseline's validation does."""
    scores = []
    for _ in range(images):
        image, masks = read_raw(picture, polygons, len(logits))
        small = cv2.resize(image, logits.shape[:0:-1])
        torch.from_numpy(small / 255).float()  # what the network would see
        truth = torch.from_numpy(masks.transpose(2, 0, 1)).float()[None]
        with torch.no_grad():
            enlarged = F.interpolate(logits[None], size=truth.shape[-2:], mode="bilinear")
            predicted = (torch.sigmoid(enlarged) > 0.5).detach().cpu()
        both = (truth.flatten(2) * predicted.flatten(2)).sum(-1)
        totals = truth.flatten(2).sum(-1) + predicted.flatten(2).sum(-1)
        scores.append((2 * both + EPSILON) / (totals + EPSILON))
    return float(torch.cat(scores).mean())
