"""What a prediction may use of a device's memory: as much as makes it fast, and less where that does not fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from competition.errors import CompetitionError
from competition.models.gpu import is_out_of_memory
from competition.settings import Experiment

Result = TypeVar("Result")


@dataclass(frozen=True)
class Room:
    """What a prediction may use of the device's memory.

    Attributes:
        sums: Where the probabilities of tiles, views and models are added up.
        tiles: How many the network sees at once.
    """

    sums: torch.device
    tiles: int


def where_memory_allows(
    predict: Callable[[Room], Result], device: torch.device, experiment: Experiment, name: str
) -> Result:
    """Return a prediction of several tiles at once, of one at a time, or with its sums in main memory: what fits first.

    Args:
        predict: Predicts within the room it is given.
        device: Where the networks are.
        experiment: Sizes of a training batch and of tiles.
        name: Of the image, for the message.

    Raises:
        CompetitionError: The memory is too small for the network itself.
    """
    rooms = [Room(device, 1), Room(torch.device("cpu"), 1)]
    if (tiles := tiles_at_once(device, experiment)) > 1:
        rooms.insert(0, Room(device, tiles))
    shortage: RuntimeError | None = None
    for room in rooms:
        try:
            with torch.inference_mode():
                return predict(room)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            shortage = error.with_traceback(None)  # it holds on to the tensors that did not fit
        if device.type == "cuda":
            torch.cuda.empty_cache()
    side = experiment.predict.tile or experiment.data.size
    what = f"the GPU's memory does not hold a prediction of {side} pixels: {name}"
    repair = (
        "Close other programs on the GPU, put CUDA_VISIBLE_DEVICES= before the command to use the CPU, or train "
        f"under another name with --set predict.tile={side // 2}"
    )
    raise CompetitionError(what, None, repair) from shortage


def tiles_at_once(device: torch.device, experiment: Experiment) -> int:
    """Return how many tiles the network sees at once: on a GPU as many as hold the pixels of a training batch.

    Such a batch fitted there with its gradients. A processor is given one: from 512 pixels on several are no faster,
    and its memory may be smaller than that of the GPU which trained.
    """
    tile = experiment.predict.tile
    if tile is None or device.type == "cpu":
        return 1
    return max(1, experiment.train.batch_size * (experiment.data.crop or experiment.data.size) ** 2 // tile**2)
