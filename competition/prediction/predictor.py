"""From a prepared sample to its probabilities at native size; out-of-fold and test predictions alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from competition.data.boxes import Box
from competition.data.grid import GridReader, GridSample, canvas_size, pad_to, standardise
from competition.data.manifest import Entry
from competition.models.layers import stride_of
from competition.models.probabilities import to_probabilities
from competition.prediction.native_size import count_native, to_native
from competition.prediction.room import Room, where_memory_allows
from competition.prediction.tiles import predict_tiles
from competition.prediction.tta_views import is_mirrored, scale_back, see, turn_back
from competition.settings import Experiment
from competition.tracks.track import Track
from competition.workspace import Workspace


@dataclass(frozen=True)
class Predictor:
    """Everything needed to predict a sample.

    Attributes:
        models: Networks in evaluation mode on ``device``; their probabilities are averaged (the folds of a member).
        experiment: Views, tiles and training grid.
        track: Classes, views and mirror.
        reader: Reads samples onto the training grid.
        device: Where the networks are.
        autocast: As in training; None for float32.
    """

    models: tuple[nn.Module, ...]
    experiment: Experiment
    track: Track
    reader: GridReader
    device: torch.device
    autocast: torch.dtype | None


def make_predictor(
    models: Sequence[nn.Module],
    experiment: Experiment,
    track: Track,
    workspace: Workspace,
    autocast: torch.dtype | None,
    boxes: Mapping[str, Box] | None = None,
) -> Predictor:
    """Make a predictor of networks that are on one device already.

    With ``boxes`` (sample -> part of it at native size) it looks at these parts only.
    """
    device = next(models[0].parameters()).device
    data = experiment.data
    reader = GridReader(
        workspace, track, data.size, budget_bytes=0, labels=False, preprocessing=data.preprocess, boxes=boxes
    )
    return Predictor(tuple(model.eval() for model in models), experiment, track, reader, device, autocast)


def predict_map(
    predictor: Predictor, entry: Entry, views: Sequence[str], sample: GridSample | None = None
) -> NDArray[np.uint8]:
    """Return the probability map of an image at its native size, (C, H, W) uint8.

    The probabilities are averaged over models and views on the training grid, or on the finer grid that the network
    answers on, brought to native size, and only then rounded (and later thresholded): thresholding first costs 0.006
    Dice. Where the predictor looks at a part of the image, the map is 0 outside of it. ``sample`` is the image where it
    was read before.
    """
    box = predictor.reader.box(entry)
    values = where_memory_allows(
        lambda room: to_native(_mean(predictor, entry, views, sample, room), box.size_hw),
        predictor.device,
        predictor.experiment,
        entry.name,
    )
    if box.size_hw == (entry.height, entry.width):
        return values
    pasted = np.zeros((len(values), entry.height, entry.width), np.uint8)
    pasted[:, *box.window] = values
    return pasted


def predict_counts(
    predictor: Predictor,
    entry: Entry,
    views: Sequence[str],
    truth: NDArray[np.uint8],
    sample: GridSample | None = None,
) -> NDArray[np.int64]:
    """Compare ``predict_map`` at threshold 0.5 with label planes (H, W, ceil(C / 8)), on the predictor's device.

    Returns:
        int64 (3, C): pixels in both, predicted pixels and true pixels.
    """
    box = predictor.reader.box(entry)
    return where_memory_allows(
        lambda room: count_native(_mean(predictor, entry, views, sample, room), box, truth),
        predictor.device,
        predictor.experiment,
        entry.name,
    )


def predict_on_grid(
    predictor: Predictor, entry: Entry, views: Sequence[str]
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Return the mean of ``predict_map`` before it is brought to native size, and that of each model's own views.

    All are float32 (C, h, w), on the predictor's device or, where its memory is short, on the CPU; a single model's own
    mean is the mean itself.
    """
    models = len(predictor.models)

    def predict(room: Room) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        if models == 1:
            mean = _mean(predictor, entry, views, None, room)
            return mean, (mean,)
        own: list[torch.Tensor | None] = [None] * models
        total: torch.Tensor | None = None
        for number, view, probs in _grid_answers(predictor, entry, views, None, room):
            own[number] = _added(own[number], view, probs, predictor.track)
            # In the order of ``predict_map``, because sums of floats depend on it.
            total = _added(total, view, probs.clone() if total is None else probs, predictor.track)
        assert total is not None
        mean = total.div_(len(views) * models)[0]
        return mean, tuple(each.div_(len(views))[0] for each in own if each is not None)

    return where_memory_allows(predict, predictor.device, predictor.experiment, entry.name)


def _mean(
    predictor: Predictor, entry: Entry, views: Sequence[str], sample: GridSample | None, room: Room
) -> torch.Tensor:
    """Return the mean (C, h, w) float32 over models and views."""
    total: torch.Tensor | None = None
    for _, view, probs in _grid_answers(predictor, entry, views, sample, room):
        total = _added(total, view, probs, predictor.track)
        del probs  # or it would stay while the next view is predicted
    assert total is not None
    return total.div_(len(views) * len(predictor.models))[0]


def _added(total: torch.Tensor | None, view: str, probs: torch.Tensor, track: Track) -> torch.Tensor:
    """Turn the probabilities (1, C, h, w) of a view back and add them to the sum, or begin one.

    Classes are turned one at a time, because a mirrored copy of 29 classes at 2048 pixels is 486 MB; all at once where
    a convolution has left the classes of each pixel side by side.
    """
    order = track.mirror.classes if is_mirrored(view) and track.mirror is not None else None
    if total is None or probs.stride(1) == 1:
        turned = turn_back(probs, view)
        turned = turned if order is None else turned[:, list(order)]
        return turned if total is None else total.add_(turned)
    for place, index in enumerate(order or range(probs.shape[1])):
        total[:, place] += turn_back(probs[:, index : index + 1], view)[:, 0]
    return total


def _grid_answers(
    predictor: Predictor, entry: Entry, views: Sequence[str], sample: GridSample | None, room: Room
) -> Iterator[tuple[int, str, torch.Tensor]]:
    """Yield, view by view, the number of each model, the view and its probabilities (1, C, h, w) float32 in it."""
    standardised, black = image_input(predictor, entry, sample)
    finest = max(1, max(predictor.reader.box(entry).size_hw) // max(standardised.shape[-2:]))
    for view in views:
        seen = see(standardised, view)
        for number, model in enumerate(predictor.models):
            probs = _segment(predictor, model, seen, black, finest, room)
            yield number, view, scale_back(probs, view, seen, standardised)


def image_input(predictor: Predictor, entry: Entry, sample: GridSample | None = None) -> tuple[torch.Tensor, float]:
    """Return a standardised image (1, channels, h, w) float32 on the training grid, and what black is in it.

    ``sample`` is the image where it was read before.
    """
    sample = sample or predictor.reader.read(entry)
    (image,) = sample.images
    pixels = torch.from_numpy(image.copy()).to(predictor.device).float()
    pixels = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    standardised = standardise(pixels[None, None], torch.tensor([sample.mean]), torch.tensor([sample.std]))[:, 0]
    return standardised, -sample.mean[0] / max(sample.std[0], 1.0)


def _segment(
    predictor: Predictor, model: nn.Module, image: torch.Tensor, black: float, finest: int, room: Room
) -> torch.Tensor:
    """Return probabilities (1, C, k * H, k * W) float32 of one view, padded with black to what the network takes.

    k is 1, or as many times finer as the network answers, but at most ``finest``: the image itself is no finer, and 29
    classes at 4096 pixels would be 2 GB.
    """
    height, width = image.shape[-2:]
    tile = predictor.experiment.predict.tile
    padded_h, padded_w = canvas_size((height, width), stride_of(model))
    padded = F.pad(image, (0, padded_w - width, 0, padded_h - height), value=black)

    def predict(pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast(predictor.device.type, predictor.autocast, enabled=predictor.autocast is not None):
            logits = model(pixels)
        probs = to_probabilities(logits.float(), predictor.track)
        return to_whole_multiple(probs, (pixels.shape[-2], pixels.shape[-1]), finest)

    if tile is None:
        probs = predict(padded).to(room.sums)
    else:
        probs = predict_tiles(predict, padded, tile, predictor.experiment.predict.overlap, room.sums, room.tiles)
    finer = probs.shape[-1] // padded_w
    return probs[..., : finer * height, : finer * width]


def to_whole_multiple(probs: torch.Tensor, size_hw: tuple[int, int], finest: int) -> torch.Tensor:
    """Bring probabilities (N, C, h, w) to k times the image's size, k a whole number up to ``finest``.

    They stay as they are where k fits already, are averaged by area where they are finer, and enlarged bilinearly where
    they are coarser than the image.
    """
    finer = min(finest, max(1, round(probs.shape[-1] / size_hw[1])))
    wanted = (finer * size_hw[0], finer * size_hw[1])
    if probs.shape[-2:] == wanted:
        return probs
    if probs.shape[-1] > wanted[1]:
        return F.interpolate(probs, size=wanted, mode="area")
    return F.interpolate(probs, size=wanted, mode="bilinear", align_corners=False)


def predict_scores(
    predictor: Predictor, entry: Entry, views: Sequence[str], sample: GridSample | None = None
) -> NDArray[np.float64]:
    """Return the probabilities (C,) float64 of a multi-view sample, averaged over models and test-time views.

    ``sample`` are its views where they were read before.
    """
    return predict_model_scores(predictor, entry, views, sample)[0]


def predict_model_scores(
    predictor: Predictor, entry: Entry, views: Sequence[str], sample: GridSample | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities of ``predict_scores``, and those of each model, averaged over its views: (F, C)."""
    images, present = view_input(predictor, entry, sample)
    total = np.zeros(len(predictor.track.classes))
    own = np.zeros((len(predictor.models), len(predictor.track.classes)))
    with torch.inference_mode():
        for view in views:
            for number, model in enumerate(predictor.models):
                scores = _classify(predictor, model, images, present, view)
                own[number] += scores
                total += scores
    return total / (len(views) * len(predictor.models)), own / len(views)


def view_input(
    predictor: Predictor, entry: Entry, sample: GridSample | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a patient's standardised views (1, V, channels, S, S) float32, and which are present, (1, V) bool.

    ``sample`` are the views where they were read before.
    """
    side = predictor.experiment.data.size
    sample = sample or predictor.reader.read(entry)
    grid = [pad_to(image, (side, side), grey=True) for image in sample.images]
    stacked = np.stack([image[None] if image.ndim == 2 else image.transpose(2, 0, 1) for image in grid])
    pixels = torch.from_numpy(stacked).to(predictor.device).float()[None]
    images = standardise(pixels, torch.tensor([sample.mean]), torch.tensor([sample.std]))
    return images, torch.tensor([entry.present], device=predictor.device)


def _classify(
    predictor: Predictor, model: nn.Module, images: torch.Tensor, present: torch.Tensor, view: str
) -> NDArray[np.float64]:
    """Return the probabilities (C,) of images (1, V, channels, S, S) as a test-time view shows them."""
    mirror = predictor.track.mirror if is_mirrored(view) else None
    if images.shape[1] == 1:
        images = see(images[:, 0], view)[:, None]
    elif mirror is not None:
        flips = torch.tensor(mirror.flipped_views, device=images.device).view(1, -1, 1, 1, 1)
        images = torch.where(flips, images.flip(-1), images)[:, list(mirror.views)]
        present = present[:, list(mirror.views)]
    with torch.autocast(predictor.device.type, predictor.autocast, enabled=predictor.autocast is not None):
        logits = model(images, present)
    probs = to_probabilities(logits.double(), predictor.track)[0].cpu().numpy()
    return np.asarray(probs if mirror is None else probs[list(mirror.classes)])
