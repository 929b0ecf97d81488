"""What one network says on one sample: Grad-CAM and occlusion of every view, on the training grid."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from competition.data.grid import canvas_size
from competition.data.manifest import Entry
from competition.explanation.grad_cam import encoder_of, grad_cam
from competition.explanation.occlusion import Answer, Occlusion, occlude, squares_of
from competition.models.layers import stride_of
from competition.models.probabilities import to_probabilities
from competition.prediction.predictor import Predictor, image_input, view_input


@dataclass(frozen=True)
class NetworkInput:
    """A sample as a network takes it.

    Attributes:
        arguments: Of the network: images (1, channels, H, W) on their canvas; or views (1, V, channels, S, S) and
            which are present (1, V).
        sizes_hw: Rows and columns of each view's image at the upper left of its canvas.
    """

    arguments: tuple[torch.Tensor, ...]
    sizes_hw: tuple[tuple[int, int], ...]


def network_input(predictor: Predictor, entry: Entry) -> NetworkInput:
    """Return a sample as the networks of a predictor take it; where they are given tiles, the whole image at once."""
    if predictor.track.task == "classification":
        sizes = tuple((image.shape[0], image.shape[1]) for image in predictor.reader.read(entry).images)
        return NetworkInput(view_input(predictor, entry), sizes)
    image, black = image_input(predictor, entry)
    height, width = image.shape[-2:]
    rows, columns = canvas_size((height, width), stride_of(predictor.models[0]))
    padded = F.pad(image, (0, columns - width, 0, rows - height), value=black)
    return NetworkInput((padded,), ((height, width),))


def cam_maps(predictor: Predictor, network: nn.Module, sample: NetworkInput, index: int) -> list[NDArray[np.float32]]:
    """Return the Grad-CAM map of every view for a class, (h, w) float32 on the training grid.

    The largest value of all views is 1, unless all are 0.
    """
    if predictor.track.task == "classification":
        maps = grad_cam(network, sample.arguments, lambda logits: logits[0, index])
    else:
        inside = _predicted_pixels(predictor, network, sample, index)
        maps = grad_cam(network, sample.arguments, lambda logits: logits[0, index][inside].sum())
    canvas = sample.arguments[0].shape[-2:]
    enlarged = F.interpolate(maps[:, None], size=canvas, mode="bilinear", align_corners=False)[:, 0].cpu().numpy()
    views = [values[:height, :width] for values, (height, width) in zip(enlarged, sample.sizes_hw, strict=True)]
    largest = max(float(values.max()) for values in views)
    return [values / largest if largest > 0 else values for values in views]


def occlusion_steps(sample: NetworkInput, views: Sequence[int]) -> int:
    """Return how often ``occlusions`` reports progress."""
    return sum(len(squares_of(sample.sizes_hw[view])) for view in views)


def occlusions(
    predictor: Predictor,
    network: nn.Module,
    sample: NetworkInput,
    indices: Sequence[int],
    views: Sequence[int],
    advance: Callable[[], None],
) -> list[list[Occlusion]]:
    """Return by how much the probability of each class falls when parts of each of the ``views`` are hidden.

    For a segmentation it is the mean probability over the pixels of the predicted mask. One prediction answers for all
    classes. ``advance`` is called at each of ``occlusion_steps``.

    Returns:
        For each of the classes ``indices``, one occlusion of each view.
    """
    images = sample.arguments[0]
    if predictor.track.task == "segmentation":
        inside = [_predicted_pixels(predictor, network, sample, index) for index in indices]
        answer = _mean_probabilities(predictor, network, indices, inside)
        return [[of_class] for of_class in occlude(answer, images[0], sample.sizes_hw[0], advance)]
    found = []
    for view in views:
        with _other_views_known(network, sample, view):
            answer = _probabilities(predictor, network, sample, indices, view)
            found.append(occlude(answer, images[0, view], sample.sizes_hw[view], advance))
    return [list(of_class) for of_class in zip(*found, strict=True)]


def _predicted_pixels(predictor: Predictor, network: nn.Module, sample: NetworkInput, index: int) -> torch.Tensor:
    """Return where a segmentation finds a class, (H, W) bool on the grid of its logits; everywhere where it does not.

    The padding of the canvas does not count.
    """
    (images,), ((height, width),) = sample.arguments, sample.sizes_hw
    with torch.no_grad():  # not inference mode, because a gradient will be taken at these pixels
        probs = to_probabilities(network(images).float(), predictor.track)[0, index]
    rows = round(probs.shape[0] * height / images.shape[-2])
    columns = round(probs.shape[1] * width / images.shape[-1])
    image = torch.zeros_like(probs, dtype=torch.bool)
    image[:rows, :columns] = True
    found = image & (probs > 0.5)
    return found if found.any() else image


def _mean_probabilities(
    predictor: Predictor, network: nn.Module, indices: Sequence[int], inside: Sequence[torch.Tensor]
) -> Answer:
    """Return what gives the mean probability of each class ``inside`` its mask (H, W) for images (P, ...): (P, K)."""

    def answer(images: torch.Tensor) -> torch.Tensor:
        probs = to_probabilities(network(images).float(), predictor.track)
        means = [probs[:, index][:, mask].mean(dim=1) for index, mask in zip(indices, inside, strict=True)]
        return torch.stack(means, dim=1)

    return answer


def _probabilities(
    predictor: Predictor, network: nn.Module, sample: NetworkInput, indices: Sequence[int], view: int
) -> Answer:
    """Return what gives the probabilities (P, K) for other images of one view (P, ...), the other views as they are."""
    images, present = sample.arguments

    def answer(copies: torch.Tensor) -> torch.Tensor:
        patients = images.repeat(len(copies), 1, 1, 1, 1)
        patients[:, view] = copies
        logits: torch.Tensor = network(patients, present.expand(len(copies), -1))
        return to_probabilities(logits.float(), predictor.track)[:, list(indices)]

    return answer


class _OneNewView(nn.Module):
    """An encoder that is given patients of whom only one view differs: it looks at that view alone."""

    def __init__(self, encoder: nn.Module, known: torch.Tensor, view: int) -> None:
        super().__init__()
        self.encoder, self.known, self.view = encoder, known, view

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features (P * V, F) of images (P * V, channels, H, W)."""
        patients = images.view(-1, len(self.known), *images.shape[1:])
        features = self.known.repeat(len(patients), 1, 1)
        features[:, self.view] = self.encoder(patients[:, self.view])
        return features.flatten(0, 1)


@contextmanager
def _other_views_known(network: nn.Module, sample: NetworkInput, view: int) -> Iterator[None]:
    """Let the encoder look at one view only while the block runs: of eight views, that is an eighth of the work."""
    encoder = encoder_of(network)
    if encoder is network:
        yield
        return
    known: list[torch.Tensor] = []
    hook = encoder.register_forward_hook(lambda module, inputs, output: known.append(output))
    with torch.inference_mode():
        network(*sample.arguments)
    hook.remove()
    network.encoder = _OneNewView(encoder, known[0], view)
    try:
        yield
    finally:
        network.encoder = encoder
