"""Probability maps on disk: the common currency of members, whoever made them.

A map is uint8 (C, H, W) at native size: round(255 * probability), with a dead zone (below 4 -> 0, above 251 -> 255)
that makes the noise of the background compress away. 29x2048x2048 takes 1.4 MB on a noisy background, where float16
takes 191 MB, at equal Dice to six digits. A pixel counts as positive where its value is greater than the cut; the
threshold 0.5 is 127.5, so from 128 on, which is the same as "> 0.5" on floats.

A classification member is a table: one row per sample, one float column per class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.imaging.stored_arrays import read_array, write_array
from competition.workspace import read_json, whole_file, write_json

DEAD_BELOW = 4
DEAD_ABOVE = 251
CUT_OF_HALF = 127
"""A pixel is positive at the threshold 0.5 where its value is greater than this."""


def quantise(probs: torch.Tensor) -> torch.Tensor:
    """Rounds probabilities to map values.

    Args:
        probs: float in [0, 1], any shape.

    Returns:
        uint8 of the same shape and device.
    """
    # Halves are rounded down: exactly 0.5 is not "> 0.5", so it must become 127.
    values = probs.mul(255).sub_(0.5).ceil_().to(torch.uint8)
    values[values < DEAD_BELOW] = 0
    values[values > DEAD_ABOVE] = 255
    return values


def map_file(folder: Path, sample: str) -> Path:
    """Where a sample's map lies."""
    return folder / f"{sample}.b2"


def write_map(folder: Path, sample: str, values: NDArray[np.uint8]) -> None:
    """Stores one map (C, H, W) uint8; pieces of one class and 512x512 pixels can be read on their own."""
    height, width = values.shape[1:]
    write_array(map_file(folder, sample), values, chunks=(1, min(512, height), min(512, width)))


def read_map(folder: Path, sample: str) -> NDArray[np.uint8]:
    """Reads one map (C, H, W) uint8.

    Raises:
        CompetitionError: The member has no map of this sample, or it is damaged.
    """
    path = map_file(folder, sample)
    if not path.exists():
        raise CompetitionError(f"member has no map of sample {sample!r}", path)
    return read_array(path)


def write_scores(folder: Path, samples: Sequence[str], classes: Sequence[str], probs: NDArray[np.float64]) -> None:
    """Stores the probabilities (n, C) of a classification member."""
    frame = pd.DataFrame(probs, columns=list(classes))
    frame.insert(0, "sample", list(samples))
    with whole_file(folder / "scores.parquet") as part:
        frame.to_parquet(part, index=False)


def read_scores(folder: Path, samples: Sequence[str], classes: Sequence[str]) -> NDArray[np.float64]:
    """Reads probabilities (n, C) in the order of ``samples``, joined by key.

    Raises:
        CompetitionError: The table is missing or damaged, lacks a class or a sample, or lists a sample twice (named).
    """
    path = folder / "scores.parquet"
    if not path.exists():
        raise CompetitionError("member has no scores", path)
    try:
        frame = pd.read_parquet(path).set_index("sample")
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are ValueErrors
        raise CompetitionError(f"scores can't be read ({' '.join(str(error).split())[:200]})", path) from error
    twice = frame.index[frame.index.duplicated()]
    if len(twice):
        raise CompetitionError(f"sample {twice[0]!r} is listed twice", path)
    for name in classes:
        if name not in frame.columns:
            raise CompetitionError(f"member has no column {name!r}", path)
    missing = [sample for sample in samples if sample not in frame.index]
    if missing:
        raise CompetitionError(f"member has no scores of sample {missing[0]!r} ({len(missing)} missing)", path)
    return frame.loc[list(samples), list(classes)].to_numpy(dtype=np.float64)


@dataclass(frozen=True)
class MapFolder:
    """What stands beside the maps, so that nobody has to guess what made them.

    Attributes:
        classes: Names in the order of the maps' first axis.
        samples: Keys of the samples that have a map.
        made_by: Free description (experiment hash, fold hash, views ...), compared before maps are reused.
    """

    classes: tuple[str, ...]
    samples: tuple[str, ...]
    made_by: dict[str, Any]


def write_index(folder: Path, index: MapFolder) -> None:
    """Writes the folder's index.json; a folder without it is not finished."""
    write_json(folder / "index.json", {"classes": index.classes, "samples": index.samples, "made_by": index.made_by})


def read_index(folder: Path, mend: str) -> MapFolder:
    """Reads index.json.

    Raises:
        CompetitionError: There is none; ``mend`` names the command that makes the maps.
    """
    stored = read_json(folder / "index.json", mend)
    return MapFolder(tuple(stored["classes"]), tuple(stored["samples"]), stored["made_by"])
