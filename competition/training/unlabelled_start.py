"""What an encoder learns from the training images alone, before it sees a label (``models/patches.py``)."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import nn

from competition.console import say
from competition.data.datasets import TrainingSet
from competition.data.draw_sampler import DrawSampler
from competition.data.grid import standardise
from competition.data.loader import collate
from competition.models.patches import PatchEncoder

MOST_IMAGES = 1000
"""Draws that are looked at; more images hold no other patches."""


def learn_without_labels(model: nn.Module, dataset: TrainingSet, sampler: DrawSampler, seed: int) -> None:
    """Let every encoder of patches learn from the draws of the first epoch; other networks stay as they are.

    Raises:
        CompetitionError: A cached image is missing or damaged.
    """
    encoders = [module for module in model.modules() if isinstance(module, PatchEncoder)]
    draws = [draw for batch in sampler for draw in batch][:MOST_IMAGES] if encoders else []

    def batches() -> Iterator[torch.Tensor]:
        rest = iter(draws)
        while some := list(islice(rest, 16)):
            batch = collate([dataset[draw] for draw in some])
            yield standardise(batch.images.float(), batch.mean, batch.std)[batch.present]

    images = sum(sum(dataset.entries[position].present) for position, _ in draws)  # all views of each sample
    for encoder in encoders:
        encoder.learn(batches, images, seed)
        say(f"{encoder.out_channels[0]} kinds of patches learned from {len(draws)} draws, without labels")
