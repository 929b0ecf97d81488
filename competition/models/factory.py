"""Builds the network an experiment names."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from competition.config import Experiment, ModelSettings, nearest_hint
from competition.errors import CompetitionError
from competition.models import torchvision_ops  # noqa: F401  (must come before smp and timm)
from competition.models.multiview import MultiViewClassifier
from competition.tracks.track import Track

import segmentation_models_pytorch as smp  # isort: skip

ARCHITECTURES = (
    "Unet",
    "UnetPlusPlus",
    "MAnet",
    "Linknet",
    "FPN",
    "PSPNet",
    "DeepLabV3",
    "DeepLabV3Plus",
    "PAN",
    "UPerNet",
    "Segformer",
    "DPT",
)


def build_model(experiment: Experiment, track: Track, pretrained: bool | None = None) -> nn.Module:
    """Builds the network of an experiment, on the CPU.

    A segmentation network takes (N, channels, H, W) float32 and gives logits (N, C, H, W); the multi-view classifier
    takes (N, V, channels, H, W) and ``present`` (N, V) and gives logits (N, C).

    Args:
        experiment: The settings; ``train.seed`` seeds the fresh weights.
        track: Classes, channels and views.
        pretrained: Overrides ``model.pretrained``; False where a checkpoint will be loaded anyway.

    Returns:
        The network.

    Raises:
        CompetitionError: Unknown architecture or encoder, or the pretrained weights can't be had.
    """
    settings = experiment.model
    if pretrained is None:
        pretrained = settings.pretrained and settings.init is None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.train.seed)
        try:
            if track.task == "classification":
                return _classifier(settings, track, pretrained)
            return _segmenter(settings, track, pretrained)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise _explain(error, settings) from error
        except OSError as error:  # the hub could not be reached
            raise CompetitionError(
                f"pretrained weights of {settings.encoder} can't be fetched ({type(error).__name__})",
                None,
                "Go on from fresh weights with --set model.pretrained=false, or give a file with --set model.init=PATH",
            ) from error


def _classifier(settings: ModelSettings, track: Track, pretrained: bool) -> nn.Module:
    if settings.architecture != "multiview":
        raise CompetitionError(f"track {track.name} needs model.architecture multiview, not {settings.architecture!r}")
    return MultiViewClassifier(
        encoder=settings.encoder,
        pretrained=pretrained,
        channels=track.channels,
        classes=len(track.classes),
        views=len(track.views),
        visible=track.visible,
        prior=settings.prior,
        dropout=settings.dropout,
    )


def _segmenter(settings: ModelSettings, track: Track, pretrained: bool) -> nn.Module:
    name = settings.architecture
    if name not in ARCHITECTURES:
        raise CompetitionError(f"unknown architecture {name!r}{nearest_hint(name, ARCHITECTURES)}")
    options: dict[str, Any] = {}
    if settings.decoder_channels is not None:
        options["decoder_channels"] = settings.decoder_channels
        options["encoder_depth"] = len(settings.decoder_channels)
    model: nn.Module = smp.create_model(
        name,
        encoder_name=settings.encoder,
        encoder_weights="imagenet" if pretrained else None,
        in_channels=track.channels,
        classes=len(track.classes),
        **options,
    )
    head = model.segmentation_head
    assert isinstance(head, nn.Module)
    last = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)][-1]
    assert last.bias is not None
    nn.init.constant_(last.bias, math.log(settings.prior / (1 - settings.prior)))
    if settings.dropout:
        model.segmentation_head = nn.Sequential(nn.Dropout2d(settings.dropout), head)
    return model


def _explain(error: Exception, settings: ModelSettings) -> CompetitionError:
    reason = " ".join(str(error).split())[:300]
    return CompetitionError(f"can't build {settings.architecture} with encoder {settings.encoder!r} ({reason})")


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> list[str]:
    """Loads what fits by name and shape, for a warm start with another head.

    Args:
        model: Changed in place.
        weights: A state dict.
        path: Where it came from, for the message.

    Returns:
        One sentence per tensor that did not match.

    Raises:
        CompetitionError: Nothing matches at all.
    """
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    remarks = []
    for name, value in own.items():
        if name not in weights:
            remarks.append(f"{name} {tuple(value.shape)} is not in the checkpoint and stays fresh")
        elif name not in fitting:
            remarks.append(
                f"{name} is {tuple(weights[name].shape)} in the checkpoint, {tuple(value.shape)} here, and stays fresh"
            )
    remarks += [f"{name} of the checkpoint has no place here" for name in weights if name not in own]
    if not fitting:
        raise CompetitionError("no layer of the checkpoint fits this model", path)
    model.load_state_dict(fitting, strict=False)
    return remarks


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Reads a checkpoint's weights: one of this project, or a plain state dict.

    Raises:
        CompetitionError: The file is missing, damaged or holds no weights.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CompetitionError("checkpoint not found", path) from error
    except Exception as error:  # torch raises many kinds for damaged or unsafe files
        raise CompetitionError(f"checkpoint can't be read ({' '.join(str(error).split())[:200]})", path) from error
    for key in ("weights", "model", "state_dict"):
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise CompetitionError("checkpoint holds no weights", path)
    return stored


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """Moves a network to a device, its weights in the order of channels that convolutions are fastest in."""
    placed: nn.Module = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed
