"""A random forest on colours and dark blobs: the rival without a network, for images with a table of labels.

``python -m pipelines.benchmarks.colour_forest TASK.json OUT`` learns from all folds but one, and writes the
probabilities of the held-out samples: OUT/fold{fold}.csv.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

BINS = 8
"""Of the histogram of each channel."""
SMALLEST = 0.0002
"""The smallest blob, as a share of the image; less is noise of the threshold."""


def features(path: str) -> np.ndarray:
    """Return the shares of the colours in each bin, and number and mean area of the blobs darker than Otsu's level."""
    picture = np.asarray(cv2.imread(path, cv2.IMREAD_COLOR))
    shares = [np.histogram(picture[..., channel], BINS, (0, 256))[0] for channel in range(3)]
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    dark = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)[1]
    areas = cv2.connectedComponentsWithStats(dark)[2][1:, cv2.CC_STAT_AREA] / grey.size
    blobs = areas[areas >= SMALLEST]
    return np.array([*np.concatenate(shares) / grey.size, len(blobs), blobs.mean() if len(blobs) else 0.0])


def main(task: dict[str, Any], out: Path) -> None:
    """Learn from the other folds, then predict the held-out one."""
    held_out = np.array([sample["fold"] == task["fold"] for sample in task["samples"]])
    table = np.stack([features(sample["image"]) for sample in task["samples"]])
    targets = np.array([sample["targets"] for sample in task["samples"]], np.float64)
    # Trees of 0 and 1 vote for all classes at once, and their mean is the probability, also of a class never seen.
    forest = RandomForestRegressor(300, max_features="sqrt", random_state=task["seed"])
    forest.fit(table[~held_out], targets[~held_out])
    probs = forest.predict(table[held_out]).reshape(-1, len(task["classes"]))
    keys = [sample["key"] for sample, held in zip(task["samples"], held_out, strict=True) if held]
    pd.DataFrame(probs, pd.Index(keys, name="key"), task["classes"]).to_csv(out / f"fold{task['fold']}.csv")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
