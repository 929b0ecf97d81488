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
from competition.names import inside
from competition.workspace import read_json, whole_file, write_json

DEAD_BELOW = 4
DEAD_ABOVE = 251
CUT_OF_HALF = 127
"""A pixel is positive at the threshold 0.5 where its value is greater than this."""

TILE = 2048
"""Rows and columns of the pieces that maps are stored in: each piece costs half a millisecond beside its pixels, so
that 29x2048x2048 takes 0.28 s to write in pieces of 512 and 0.04 s in pieces of 2048."""


def quantise(probs: torch.Tensor) -> torch.Tensor:
    """Rounds probabilities to map values.

    Args:
        probs: float in [0, 1], any shape.

    Returns:
        uint8 of the same shape and device.
    """
    # Halves are rounded down: exactly 0.5 is not "> 0.5", so it must become 127.
    values = probs.mul(255).sub_(0.5).ceil_().to(torch.uint8)
    # As ``empty_dead_zone``, in arithmetic: picking the values by a mask takes four times as long.
    values.mul_(values >= DEAD_BELOW)
    return values.bitwise_or_((values > DEAD_ABOVE).to(torch.uint8).mul_(255))


def empty_dead_zone(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Moves levels that are nearly 0 or 1 there, in place.

    Args:
        values: uint8 of any shape.

    Returns:
        The same array.
    """
    values[values < DEAD_BELOW] = 0
    values[values > DEAD_ABOVE] = 255
    return values


def map_file(folder: Path, sample: str) -> Path:
    """Where a sample's map lies."""
    return inside(folder, f"{sample}.b2")


def write_map(folder: Path, sample: str, values: NDArray[np.uint8]) -> None:
    """Stores one map (C, H, W) uint8; a tile of one class can be read on its own."""
    height, width = values.shape[1:]
    write_array(map_file(folder, sample), values, chunks=(1, min(TILE, height), min(TILE, width)))


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
        CompetitionError: The table is missing or damaged, lacks a class or a sample, lists a sample twice (named), or
            holds what is no probability.
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
    probs: NDArray[np.float64] = frame.loc[list(samples), list(classes)].to_numpy(dtype=np.float64)
    wrong = np.argwhere(~((probs >= 0) & (probs <= 1)))  # NaN is neither
    if len(wrong):
        row, column = wrong[0]
        raise CompetitionError(
            f"{classes[column]} of sample {samples[row]!r} is {probs[row, column]}, not a probability", path
        )
    return probs


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
        CompetitionError: There is none, or it is not what ``write_index`` writes; ``mend`` names the command that makes
            the maps.
    """
    stored = read_json(folder / "index.json", mend)
    try:
        return MapFolder(tuple(stored["classes"]), tuple(stored["samples"]), stored["made_by"])
    except (KeyError, TypeError) as error:
        what = "the keys classes, samples and made_by"
        raise CompetitionError(f"this is no index of maps, which has {what}", folder / "index.json", mend) from error
