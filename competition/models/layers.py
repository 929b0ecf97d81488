"""Layers that several networks are made of."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

# Every encoder of smp halves its input five times.
STRIDE = 32


def stride_of(network: nn.Module) -> int:
    """Return what both sides of a network's images must be multiples of, in pixels: its own ``stride``, or 32."""
    stride: int = getattr(network, "stride", STRIDE)
    return stride


def convolution(channels: int, outputs: int) -> nn.Sequential:
    """Return a 3x3 convolution, batch normalisation and ReLU; no bias, because the normalisation has one."""
    layer = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def double_convolution(channels: int, outputs: int) -> nn.Sequential:
    """Return two of ``convolution``: the block of VGG, which every level of a U-Net is made of."""
    return nn.Sequential(convolution(channels, outputs), convolution(outputs, outputs))


def start_from_prior(layer: nn.Module, prior: float) -> None:
    """Set the bias of a network's last layer so that its probabilities start at about ``prior``."""
    bias = layer.bias
    assert isinstance(bias, nn.Parameter)
    nn.init.constant_(bias, math.log(prior / (1 - prior)))


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which a device computes in the type of its inputs, also under autocast."""
    if device.type == "meta":  # shapes alone, which no autocast knows
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32 under autocast too: the last layer of a classifier.

    Logits in bfloat16 have 8 significant bits: 400 of them collapsed to 284 different values, and ties cost AUROC.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return float32 (..., outputs) for features (..., inputs)."""
        with without_autocast(input.device):
            return super().forward(input.float())


def head_in_float32(network: nn.Module) -> nn.Linear:
    """Replace the last linear layer of a network by one that computes in float32, with the same weights; return it."""
    name, last = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]
    head = Float32Linear(last.in_features, last.out_features)
    head.load_state_dict(last.state_dict())
    network.set_submodule(name, head)
    return head
