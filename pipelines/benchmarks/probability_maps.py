"""Probability maps against dense floats on one image of 29 bones: storage, weights, and every threshold."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from competition.ensembling.segmentation.contested import blend_histograms, contest
from competition.masks.bit_planes import pack_masks
from competition.prediction.histograms import dice_curves, image_histogram
from competition.prediction.probability_maps import HALF_LEVEL, map_file, quantise, read_map, write_map
from competition.text import size_text
from pipelines.benchmarks import rivals
from pipelines.benchmarks.rivals import HALF_IN_THOUSANDTHS
from pipelines.benchmarks.synthetic_images import SHARP_PX, SOFT_PX, draw_map, draw_probs
from pipelines.benchmarks.timed_pairs import Row, Scale, compare, require_equal, time_pair

WINDOW = (0.2, 0.8)
WEIGHTS = (300, 250, 200, 150, 100)

# All thresholds of all classes would take the rival about a minute a turn, so it scores every seventh class.
EVERY = 7


def measure_store(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time the writing of a noisy map, each side in its own form."""
    probs = np.stack(list(draw_probs(masks, SHARP_PX, seed=0)))
    positive = probs > 0.5
    levels, halves = quantise(torch.from_numpy(probs)).numpy(), probs.astype(np.float16)
    del probs
    work = f"store {size_text(masks.shape)}, compressed float16"
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        theirs = folder / "map.npz"
        ours, rival = partial(write_map, folder, "map", levels), partial(rivals.store, theirs, halves)
        ours()
        rival()
        back = read_map(folder, "map")
        equal = np.array_equal(back, levels) and np.array_equal(back > HALF_LEVEL, positive)
        require_equal(equal and np.array_equal(rivals.load(theirs), halves), work)
        seconds = time_pair(ours, rival, min(scale.rounds, 3))
        size, their_size = (path.stat().st_size / 1024**2 for path in (map_file(folder, "map"), theirs))
    lost = np.count_nonzero((halves > 0.5) != positive)
    note = f"at threshold 0.5 ours decides every pixel as float32 does; float16 decides {lost} differently"
    return [
        Row(f"{work}: time", "s", *seconds, target=40, note=note),
        Row(f"{work}: size", "mb", size, their_size, target=80),
    ]


def measure_objective(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time the Dice of one weight vector, of members that agree well and of members that are unsure."""
    return _weigh(scale, masks, SHARP_PX, 1000) + _weigh(scale, masks, SOFT_PX, 150)


def _weigh(scale: Scale, masks: NDArray[np.bool_], softness_px: float, target: float) -> list[Row]:
    maps = [draw_map(masks, softness_px, seed) for seed in range(len(WEIGHTS))]
    contested = contest(maps, pack_masks(masks), WINDOW)
    share = contested.kept / contested.total
    dense = np.stack(maps).astype(np.float32)
    del maps

    def ours() -> list[float]:
        curves = dice_curves(blend_histograms(contested, WEIGHTS)[None])
        scores: list[float] = curves[0, :, HALF_LEVEL].tolist()
        return scores

    by_class, at_once = (
        partial(score, dense, WEIGHTS, masks, HALF_IN_THOUSANDTHS)
        for score in (rivals.score_weights, rivals.score_weights_at_once)
    )
    work = f"objective, {len(WEIGHTS)} members, {share:.2%} contested"
    note = "both rivals hold the maps in memory as float32 and score one threshold; ours scores the whole window"
    return [
        compare(f"{work}, dense class by class", ours, by_class, scale.rounds, target, note=note),
        compare(f"{work}, dense all at once", ours, at_once, min(scale.rounds, 3)),
    ]


def measure_thresholds(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time the Dice of every class at every threshold."""
    levels, planes = draw_map(masks, SHARP_PX, seed=0), pack_masks(masks)
    tried = range(0, len(masks), EVERY)

    def ours() -> NDArray[np.float64]:
        curves: NDArray[np.float64] = dice_curves(image_histogram(levels, planes)[None])[0]
        return curves

    def rival() -> list[list[float]]:
        return [rivals.score_thresholds(levels[index], masks[index]) for index in tried]

    work = f"all 256 thresholds of {len(masks)} classes"
    require_equal(ours()[list(tried)].tolist() == rival(), work)
    seconds, some = time_pair(ours, rival, min(scale.rounds, 3))
    note = f"brute force measured on {len(tried)} classes and extrapolated to {len(masks)}"
    return [Row(work, "s", seconds, some * len(masks) / len(tried), target=100, note=note)]
