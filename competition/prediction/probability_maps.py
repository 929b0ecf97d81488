"""Probability maps on disk, the common form of all members' predictions.

A map is uint8 (C, H, W) at native size: round(255 * probability), with a dead zone (below 4 -> 0, above 251 -> 255)
that makes the noise of the background compress away. 29x2048x2048 takes 1.4 MB on a noisy background, where float16
takes 191 MB, at equal Dice to six digits. A pixel is positive where its value is greater than the level; the
threshold 0.5 is 127.5, so from 128 on, the same as "> 0.5" on floats.

The predictions of a classification member are a table: one row per sample, one float column per class.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.files import write_sealed_json
from competition.formats.json_files import read_json
from competition.formats.parquet_tables import read_imported_table, read_table, write_table
from competition.masks.stored_arrays import read_array, write_array
from competition.names import inside
from competition.workspace import IMPORTED, finished_file, settings_file

if TYPE_CHECKING:  # an exported model votes without torch
    import torch

DEAD_BELOW = 4
DEAD_ABOVE = 251
HALF_LEVEL = 127
"""A pixel is positive at the threshold 0.5 where its value is greater than this."""

TILE = 2048
"""Rows and columns of the pieces that maps are stored in: each piece costs half a millisecond beside its pixels, so
that 29x2048x2048 takes 0.28 s to write in pieces of 512 and 0.04 s in pieces of 2048."""

INDEX = "index.json"
"""The file that completes a folder of predictions."""


def quantise(probs: "torch.Tensor") -> "torch.Tensor":
    """Round float probabilities to map values uint8, of the same shape and device."""
    # Halves are rounded down: exactly 0.5 is not "> 0.5", so it must become 127.
    values = probs.mul(255).sub_(0.5).ceil_().byte()
    # As ``empty_dead_zone``, in arithmetic: picking the values by a mask takes four times as long.
    values.mul_(values >= DEAD_BELOW)
    return values.bitwise_or_((values > DEAD_ABOVE).byte().mul_(255))


def empty_dead_zone(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Set levels that are nearly 0 or 1 to these, in place, and return the same array."""
    values[values < DEAD_BELOW] = 0
    values[values > DEAD_ABOVE] = 255
    return values


def threshold_of(levels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the thresholds (level + 0.5) / 255 of levels; 127 is 0.5."""
    return (np.asarray(levels, dtype=np.float64) + 0.5) / 255.0


def map_file(folder: Path, sample: str) -> Path:
    """Return the path of a sample's map."""
    return inside(folder, f"{sample}.b2")


def write_map(folder: Path, sample: str, values: NDArray[np.uint8]) -> None:
    """Store one map (C, H, W) uint8; a tile of one class can be read on its own."""
    height, width = values.shape[1:]
    write_array(map_file(folder, sample), values, chunks=(1, min(TILE, height), min(TILE, width)))


def read_map(folder: Path, sample: str) -> NDArray[np.uint8]:
    """Read one map (C, H, W) uint8.

    Raises:
        CompetitionError: The member has no map of this sample, or it is damaged.
    """
    path = map_file(folder, sample)
    if not path.exists():
        raise CompetitionError(f"member has no map of sample {sample!r}", path, remake(folder))
    return read_array(path, remake(folder))


def remake(folder: Path) -> str:
    """Return what makes the predictions in a folder again, with the command for those of a run."""
    fold = folder.parent
    if (fold.parent / IMPORTED).exists():
        return "Import it again with --force"
    if folder.name.partition("@")[0] != "oof":
        return f"Delete the folder {folder} and run the same command again"
    number = fold.name.removeprefix("fold")
    settings, run = (shlex.quote(str(word)) for word in (settings_file(fold), fold.parent.name))
    train = f"./run.sh train --experiment {settings} --name {run} --fold {number}"
    return f"Delete {finished_file(fold)} and run {train}, which predicts again without training"


def scores_file(folder: Path) -> Path:
    """Return the table of a classification member's predictions."""
    return folder / "scores.parquet"


def write_scores(folder: Path, samples: Sequence[str], classes: Sequence[str], probs: NDArray[np.float64]) -> None:
    """Store the probabilities (n, C) of a classification member."""
    frame = pd.DataFrame(probs, columns=list(classes))
    frame.insert(0, "sample", list(samples))
    write_table(scores_file(folder), frame)


def read_scores(
    folder: Path, samples: Sequence[str], classes: Sequence[str], imported: bool = False
) -> NDArray[np.float64]:
    """Read probabilities (n, C) in the order of ``samples``, joined by key; an ``imported`` table may lack a checksum.

    Raises:
        CompetitionError: The table is missing or damaged, lacks a class or a sample, lists a sample twice (named), or
            holds what is no probability.
    """
    path = scores_file(folder)
    if not path.exists():
        raise CompetitionError("member has no scores", path)
    frame = (read_imported_table if imported else read_table)(path, remake(folder))
    if "sample" not in frame.columns:
        raise CompetitionError("scores have no column 'sample'", path, remake(folder))
    frame = frame.set_index("sample")
    twice = frame.index[frame.index.duplicated()]
    if len(twice):
        raise CompetitionError(f"sample {twice[0]!r} is listed twice", path)
    if absent := [name for name in classes if name not in frame.columns]:
        raise CompetitionError(f"member has no column {absent[0]!r}", path)
    if missing := [sample for sample in samples if sample not in frame.index]:
        raise CompetitionError(f"member has no scores of sample {missing[0]!r} ({len(missing)} missing)", path)
    try:
        probs: NDArray[np.float64] = frame.loc[list(samples), list(classes)].to_numpy(dtype=np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise CompetitionError(f"scores hold what is no number ({str(error)[:200]})", path) from error
    wrong = np.argwhere(~((probs >= 0) & (probs <= 1)))  # NaN is neither
    if len(wrong):
        row, column = wrong[0]
        raise CompetitionError(
            f"{classes[column]} of sample {samples[row]!r} is {probs[row, column]}, not a probability", path
        )
    return probs


@dataclass(frozen=True)
class MapFolder:
    """The index of a folder of predictions: classes in the maps' order, sample keys, and what made them.

    ``made_by`` (experiment hash, fold hash, views ...) is compared before maps are reused.
    """

    classes: tuple[str, ...]
    samples: tuple[str, ...]
    made_by: dict[str, Any]


def index_file(folder: Path) -> Path:
    """Return the index of a folder of predictions."""
    return folder / INDEX


def write_index(folder: Path, index: MapFolder) -> None:
    """Write the folder's index.json; a folder without it is not finished."""
    write_sealed_json(
        index_file(folder), {"classes": index.classes, "samples": index.samples, "made_by": index.made_by}
    )


def read_index(folder: Path, repair: str) -> MapFolder:
    """Read index.json; ``repair`` is the command that makes the maps.

    Raises:
        CompetitionError: There is none, or it is not what ``write_index`` writes.
    """
    stored = read_json(index_file(folder), repair)
    try:
        index = MapFolder(tuple(stored["classes"]), tuple(stored["samples"]), dict(stored["made_by"]))
        names = [*index.classes, *index.samples]
        if not all(isinstance(name, str) for name in names) or any("/" in sample for sample in index.samples):
            raise TypeError("a name is no text")
    except (KeyError, TypeError, ValueError) as error:
        what = "the keys classes, samples and made_by"
        raise CompetitionError(f"this is no index of maps, which has {what}", index_file(folder), repair) from error
    return index
