"""Grad-CAM: which places of the encoder's deepest feature map raise a class.

Reference:
    Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization; for
    segmentation Vinogradova et al. 2020 (SEG-GRAD-CAM): the class's logits summed over the pixels of its mask.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from competition.errors import CompetitionError

Target = Callable[[torch.Tensor], torch.Tensor]
"""A network's logits -> the number that is explained, a tensor of one element."""


def grad_cam(network: nn.Module, inputs: tuple[torch.Tensor, ...], target: Target) -> torch.Tensor:
    """Return the Grad-CAM maps of all images that the encoder sees, (B, h, w) float32 of 0 or more.

    A map is relu(sum over channels of mean_hw(gradient) * activation) on the grid of the deepest feature map. All views
    of a patient go through the encoder as one batch, so each gets its own map. Where the network mirrors a view before
    it looks at it (``multiview_fused``), the map is mirrored back.

    Parameters get no gradient, and no random number is drawn.

    Args:
        network: In evaluation mode; with an ``encoder``, or as a whole.
        inputs: Its arguments, float32 images first.
        target: What is explained.

    Raises:
        CompetitionError: There is no feature map with more than one position, the target does not depend on it, or the
            network has several encoders.
        ValueError: The network is in training mode, which would draw random numbers and change its statistics.
    """
    if network.training:
        raise ValueError("Grad-CAM needs a network in evaluation mode")
    with torch.enable_grad(), _recorded_maps(network) as maps:
        answer = target(network(inputs[0].detach().requires_grad_(), *inputs[1:]))
        features = _deepest(maps, network)
        reached = answer.requires_grad and features.requires_grad
        gradient = torch.autograd.grad(answer, features, allow_unused=True)[0] if reached else None
    if gradient is None:
        raise _unexplained(network, "its answer has no gradient there")
    images = inputs[0].shape[:-3].numel()
    if len(features) != images:
        raise _unexplained(network, f"its encoders see {len(features)} of {images} images each")
    positions = _position_axes(features, encoder_channels(network))
    channels = 6 - sum(positions)  # the axes 1, 2 and 3 but for the two of positions
    weights = gradient.detach().float().mean(dim=positions, keepdim=True)
    cam = (weights * features.detach().float()).sum(dim=channels).relu()
    turned = getattr(network, "turned", None)
    if turned is None:
        return cam
    return torch.where(turned.repeat(len(cam) // len(turned))[:, None, None], cam.flip(-1), cam)


def encoder_of(network: nn.Module) -> nn.Module:
    """Return the part of a network that turns images into features: its ``encoder``, or all of it."""
    encoder = getattr(network, "encoder", network)
    assert isinstance(encoder, nn.Module)
    return encoder


def encoder_channels(network: nn.Module) -> int | None:
    """Return the channels of the encoder's deepest feature map, as timm and smp give them; None where unknown."""
    encoder: Any = encoder_of(network)
    levels = getattr(encoder, "out_channels", None)  # of smp, for each level
    channels = levels[-1] if isinstance(levels, list | tuple) else getattr(encoder, "num_features", None)
    return channels if isinstance(channels, int) else None


@contextmanager
def _recorded_maps(network: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Record all four-dimensional outputs of the encoder's modules, in the order in which they are executed."""
    maps: list[torch.Tensor] = []

    def record(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            maps.append(output)

    # Without the network itself, where it is its own encoder: its answer is no feature.
    modules = [module for module in encoder_of(network).modules() if module is not network]
    hooks = [module.register_forward_hook(record) for module in modules]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def _deepest(maps: list[torch.Tensor], network: nn.Module) -> torch.Tensor:
    """Return the last map with the encoder's number of channels and more than one position.

    Networks of our own, whose encoder is a list of levels, do not give that number: it is the largest of their maps.
    """
    channels = encoder_channels(network)
    if channels is None:
        channels = max((found.shape[1] for found in maps if found[0, 0].numel() > 1), default=0)
    for found in reversed(maps):
        if channels in (found.shape[1], found.shape[3]):
            rows, columns = (found.shape[axis] for axis in _position_axes(found, channels))
            if rows * columns > 1:
                return found
    why = "it has no deep features, or only of a single position at this size"
    raise _unexplained(network, why, "Train it with a larger data.size")


def _unexplained(network: nn.Module, why: str, repair: str | None = None) -> CompetitionError:
    return CompetitionError(f"Grad-CAM can't explain {type(network).__name__}: {why}", None, repair)


def _position_axes(features: torch.Tensor, channels: int | None) -> tuple[int, int]:
    """Return the axes of rows and columns: (N, C, h, w), or (N, h, w, C) of Swin transformers."""
    channels_last = channels is not None and features.shape[1] != channels and features.shape[3] == channels
    return (1, 2) if channels_last else (2, 3)
