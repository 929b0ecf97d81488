"""From a prepared sample to its probabilities at native size; out-of-fold and test predictions alike."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from competition.data.boxes import Box
from competition.data.grid import GridReader, canvas_size, pad_to, standardise
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.models.gpu import is_out_of_memory
from competition.models.layers import stride_of
from competition.prediction.grid_maps import NATIVE_CHUNK_PIXELS, classes_at_once
from competition.prediction.probability_maps import quantise
from competition.prediction.tiles import predict_tiles
from competition.prediction.tta_views import VIEWS, is_mirrored
from competition.settings import Experiment
from competition.tracks.track import Track
from competition.workspace import Workspace

Result = TypeVar("Result")


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


def predict_map(predictor: Predictor, entry: Entry, views: Sequence[str]) -> NDArray[np.uint8]:
    """Return the probability map of an image at its native size, (C, H, W) uint8.

    The probabilities are averaged over models and views on the training grid, or on the finer grid that the network
    answers on, brought to native size, and only then rounded (and later thresholded): thresholding first costs 0.006
    Dice. Where the predictor looks at a part of the image, the map is 0 outside of it.
    """
    box = predictor.reader.box(entry)

    def predict(sums: torch.device) -> NDArray[np.uint8]:
        total: torch.Tensor | None = None
        for _, probs in _grid_answers(predictor, entry, views, sums):
            # In place: 29 classes at 2048 pixels are 486 MB.
            total = probs if total is None else total.add_(probs)
        assert total is not None
        mean = total.div_(len(views) * len(predictor.models))
        return to_native(mean[0], box.size_hw)

    values = _where_memory_allows(predictor, entry, predict)
    if box.size_hw == (entry.height, entry.width):
        return values
    pasted = np.zeros((len(values), entry.height, entry.width), np.uint8)
    pasted[:, *box.window] = values
    return pasted


def predict_on_grid(
    predictor: Predictor, entry: Entry, views: Sequence[str]
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Return the mean of ``predict_map`` before it is brought to native size, and that of each model's own views.

    All are float32 (C, h, w), on the predictor's device or, where its memory is short, on the CPU; a single model's own
    mean is the mean itself.
    """

    def predict(sums: torch.device) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        own: list[torch.Tensor | None] = [None] * len(predictor.models)
        total: torch.Tensor | None = None
        for number, probs in _grid_answers(predictor, entry, views, sums):
            known = own[number]
            own[number] = probs.clone() if known is None else known.add_(probs)
            # In the order of ``predict_map``, because sums of floats depend on it.
            total = probs if total is None else total.add_(probs)
        assert total is not None
        mean = total.div_(len(views) * len(predictor.models))[0]
        if len(own) == 1:
            return mean, (mean,)
        return mean, tuple(each.div_(len(views))[0] for each in own if each is not None)

    return _where_memory_allows(predictor, entry, predict)


def _where_memory_allows(predictor: Predictor, entry: Entry, predict: Callable[[torch.device], Result]) -> Result:
    """Return a prediction whose sums are on the predictor's device, or in main memory where the GPU's is too small.

    Raises:
        CompetitionError: It is too small for the network itself.
    """
    try:
        with torch.inference_mode():
            return predict(predictor.device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Out here, because the error holds on to the tensors that did not fit.
    if predictor.device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        with torch.inference_mode():
            return predict(torch.device("cpu"))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        side = predictor.experiment.predict.tile or predictor.experiment.data.size
        what = f"the GPU's memory does not hold a prediction of {side} pixels: {entry.name}"
        repair = (
            "Close other programs on the GPU, put CUDA_VISIBLE_DEVICES= before the command to use the CPU, or train "
            f"under another name with --set predict.tile={side // 2}"
        )
        raise CompetitionError(what, None, repair) from error


def _grid_answers(
    predictor: Predictor, entry: Entry, views: Sequence[str], sums: torch.device
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield, view by view, the number of each model and its probabilities (1, C, h, w) float32 on ``sums``."""
    standardised, black = image_input(predictor, entry)
    finest = max(1, max(predictor.reader.box(entry).size_hw) // max(standardised.shape[-2:]))
    for view in views:
        chain = VIEWS[view]
        seen = chain.augment_image(standardised)
        for number, model in enumerate(predictor.models):
            probs = chain.deaugment_mask(_segment(predictor, model, seen, black, finest, sums))
            if is_mirrored(view) and predictor.track.mirror is not None:
                probs = probs[:, list(predictor.track.mirror.classes)]
            yield number, probs


def image_input(predictor: Predictor, entry: Entry) -> tuple[torch.Tensor, float]:
    """Return a standardised image (1, channels, h, w) float32 on the training grid, and what black is in it."""
    sample = predictor.reader.read(entry)
    (image,) = sample.images
    pixels = torch.from_numpy(image.copy()).to(predictor.device).float()
    pixels = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    standardised = standardise(pixels[None, None], torch.tensor([sample.mean]), torch.tensor([sample.std]))[:, 0]
    return standardised, -sample.mean[0] / max(sample.std[0], 1.0)


def _segment(
    predictor: Predictor, model: nn.Module, image: torch.Tensor, black: float, finest: int, sums: torch.device
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
        return to_whole_multiple(logits.float().sigmoid(), (pixels.shape[-2], pixels.shape[-1]), finest)

    if tile is None:
        probs = predict(padded).to(sums)
    else:
        probs = predict_tiles(predict, padded, tile, predictor.experiment.predict.overlap, sums)
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


def to_native(probs: torch.Tensor, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring probabilities (C, h, w) float32 to native size (bilinear, half-pixel centres) as map values (C, H, W)."""
    classes = probs.shape[0]
    values = np.empty((classes, *size_hw), np.uint8)
    chunk = classes_at_once(size_hw)
    # Rounded in pieces of that size too: the steps of 12,000 x 12,000 pixels at once take 0.6 GB each.
    rows = max(1, NATIVE_CHUNK_PIXELS // size_hw[1])
    with torch.inference_mode():
        for first in range(0, classes, chunk):
            part = slice(first, first + chunk)
            native = F.interpolate(probs[None, part], size=size_hw, mode="bilinear", align_corners=False)[0]
            for top in range(0, size_hw[0], rows):
                block = slice(top, top + rows)
                values[part, block] = quantise(native[:, block]).cpu().numpy()
    return values


def predict_scores(predictor: Predictor, entry: Entry, views: Sequence[str]) -> NDArray[np.float64]:
    """Return the probabilities (C,) float64 of a multi-view sample, averaged over models and test-time views."""
    return predict_model_scores(predictor, entry, views)[0]


def predict_model_scores(
    predictor: Predictor, entry: Entry, views: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities of ``predict_scores``, and those of each model, averaged over its views: (F, C)."""
    images, present = view_input(predictor, entry)
    total = np.zeros(len(predictor.track.classes))
    own = np.zeros((len(predictor.models), len(predictor.track.classes)))
    with torch.inference_mode():
        for view in views:
            for number, model in enumerate(predictor.models):
                scores = _classify(predictor, model, images, present, mirrored=is_mirrored(view))
                own[number] += scores
                total += scores
    return total / (len(views) * len(predictor.models)), own / len(views)


def view_input(predictor: Predictor, entry: Entry) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a patient's standardised views (1, V, channels, S, S) float32, and which are present, (1, V) bool."""
    side = predictor.experiment.data.size
    sample = predictor.reader.read(entry)
    grid = [pad_to(image, (side, side), grey=True) for image in sample.images]
    stacked = np.stack([image[None] if image.ndim == 2 else image.transpose(2, 0, 1) for image in grid])
    pixels = torch.from_numpy(stacked).to(predictor.device).float()[None]
    images = standardise(pixels, torch.tensor([sample.mean]), torch.tensor([sample.std]))
    return images, torch.tensor([entry.present], device=predictor.device)


def _classify(
    predictor: Predictor, model: nn.Module, images: torch.Tensor, present: torch.Tensor, mirrored: bool
) -> NDArray[np.float64]:
    mirror = predictor.track.mirror
    if mirrored and mirror is not None:
        flips = torch.tensor(mirror.flipped_views, device=images.device).view(1, -1, 1, 1, 1)
        images = torch.where(flips, images.flip(-1), images)[:, list(mirror.views)]
        present = present[:, list(mirror.views)]
    with torch.autocast(predictor.device.type, predictor.autocast, enabled=predictor.autocast is not None):
        logits = model(images, present)
    probs = logits.double().sigmoid()[0].cpu().numpy()
    return np.asarray(probs[list(mirror.classes)] if mirrored and mirror is not None else probs)
