"""What a prediction tries where memory is short, and how many tiles a GPU is given."""

import pytest
import torch

from competition.errors import CompetitionError
from competition.prediction.room import Room, tiles_at_once, where_memory_allows
from competition.settings import Experiment

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def tiled(tile, crop=None, batch=2):
    return Experiment.model_validate(
        {"data": {"size": 64, "crop": crop}, "train": {"batch_size": batch}, "predict": {"tile": tile}}
    )


@pytest.mark.parametrize(
    ("experiment", "expected"),
    [(tiled(32, 32), 2), (tiled(16, 32), 8), (tiled(32), 8), (tiled(64, 32, 1), 1), (tiled(None), 1)],
)
def test_tiles_have_the_pixels_of_a_training_batch(experiment, expected):
    assert tiles_at_once(GPU, experiment) == expected
    assert tiles_at_once(CPU, experiment) == 1


@pytest.mark.parametrize("failures", range(4))
def test_a_prediction_takes_less_and_less_memory(failures):
    tried = []

    def predict(room):
        tried.append(room)
        if len(tried) <= failures:
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert torch.is_inference_mode_enabled()
        return "done"

    rooms = [Room(GPU, 2), Room(GPU, 1), Room(CPU, 1)]
    if failures < 3:
        assert where_memory_allows(predict, GPU, tiled(32, 32), "hand.png") == "done"
        assert tried == rooms[: failures + 1]
        return
    with pytest.raises(CompetitionError, match=r"does not hold a prediction of 32 pixels: hand.png.*tile=16") as caught:
        where_memory_allows(predict, GPU, tiled(32, 32), "hand.png")
    assert tried == rooms
    assert caught.value.__cause__.__traceback__ is None  # it would hold on to the tensors


def test_another_error_is_not_tried_again():
    tried = []

    def predict(room):
        tried.append(room)
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        where_memory_allows(predict, GPU, tiled(32, 32), "hand.png")
    assert len(tried) == 1
