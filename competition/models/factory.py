"""Builds the network an experiment names."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn

from competition.errors import CompetitionError
from competition.models import hub, torchvision_ops  # noqa: F401  (the second must come before smp and timm)
from competition.models.layers import answer_prior
from competition.models.multiview import MultiViewClassifier
from competition.models.multiview_fused import FusedMultiViewClassifier
from competition.models.reports.cardiac_lab import HiddenLayer, LabFCN
from competition.models.reports.classical_spine import ClassicalSpine
from competition.models.reports.contrastive import ContrastiveClassifier
from competition.models.reports.fcn_resnet101 import FCNResNet101
from competition.models.reports.four_fold import ReportFourFold
from competition.models.reports.plain_unet import PlainUNet
from competition.models.reports.reconstructed import ReconstructedClassifier
from competition.models.reports.unet3plus import UNet3Plus
from competition.settings import Experiment, ModelSettings
from competition.text import nearest_hint
from competition.tracks.track import Track

import segmentation_models_pytorch as smp  # isort: skip

# Decoders of smp, each for any of its encoders.
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

# The reports' networks, whole: decoder and encoder are one.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "unet3plus": UNet3Plus,
    "unet3plus_ds": partial(UNet3Plus, deep_supervision=True),
    "unet3plus_ds_2048": partial(UNet3Plus, deep_supervision=True, output_scale=4),
    "unet3plus_ds_2048_eff": partial(
        UNet3Plus, width=32, rate=4, deep_supervision=True, output_scale=2, most_enlarged=4
    ),
    "plain_unet": PlainUNet,
    "vgg_unet": partial(PlainUNet, width=32, transposed=False),
    "hidden_layer": HiddenLayer,
    "lab_fcn": LabFCN,
    "fcn_resnet101": FCNResNet101,
    "classical": ClassicalSpine,
}

# For several views of a patient.
CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {
    "multiview": MultiViewClassifier,
    "multiview_fused": FusedMultiViewClassifier,
    "report_fourfold": ReportFourFold,
    "contrastive": ContrastiveClassifier,
    "reconstructed": ReconstructedClassifier,
}


def build_model(experiment: Experiment, track: Track, pretrained: bool | None = None) -> nn.Module:
    """Build the network of an experiment, on the CPU.

    A segmentation network takes (N, channels, H, W) float32 and gives logits (N, C, h, w), which may be finer or
    coarser than the image; while training it may give a list of them (deep supervision), the one that counts first.
    A classifier of several views takes (N, V, channels, H, W) and ``present`` (N, V) and gives logits (N, C); while
    training it may give what its own loss takes.

    Args:
        experiment: The settings; ``train.seed`` seeds the fresh weights.
        track: Classes, channels and views.
        pretrained: Overrides ``model.pretrained``; False where a checkpoint will be loaded anyway.

    Returns:
        The network.

    Raises:
        CompetitionError: Unknown architecture or encoder, a side that it can't halve, or the pretrained weights can't
            be had.
    """
    settings = experiment.model
    if pretrained is None:
        # A checkpoint to start from replaces timm's weights, but of the four networks only two take the medical ones.
        pretrained = settings.pretrained and (settings.init is None or settings.architecture == "report_fourfold")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.train.seed)
        build = _classifier if track.task == "classification" else _segmenter
        try:
            with hub.without_retries() if pretrained else nullcontext():
                return build(experiment, track, pretrained)
        except OSError as error:  # first, because some errors of the hub are of both kinds
            name = settings.architecture if settings.architecture in NETWORKS else settings.encoder
            or_a_file = "" if settings.init is not None else ", or give a file with --set model.init=PATH"
            raise CompetitionError(
                f"pretrained weights of {name} can't be fetched from the network ({type(error).__name__})",
                None,
                f"Go on from fresh weights with --set model.pretrained=false{or_a_file}",
            ) from error
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise _explain(error, settings) from error


def _classifier(experiment: Experiment, track: Track, pretrained: bool) -> nn.Module:
    settings = experiment.model
    if settings.architecture not in CLASSIFIERS:
        raise CompetitionError(
            f"track {track.name} needs one of the model.architecture {', '.join(CLASSIFIERS)}, "
            f"not {settings.architecture!r}"
        )
    options: dict[str, Any] = {
        "encoder": settings.encoder,
        "pretrained": pretrained,
        "size": experiment.data.size,
        "prior": settings.prior,
        "dropout": settings.dropout,
    }
    if settings.architecture == "multiview_fused":
        options |= {"track": track}
    elif settings.architecture == "report_fourfold":
        options |= {"anterior_encoder": settings.anterior_encoder, "channels": track.channels}
        options |= {"binary_pretrained": pretrained and settings.init is None}
        options |= {"classes": track.classes, "views": track.views}
    else:
        options |= {"channels": track.channels, "classes": len(track.classes)}
        options |= {"views": len(track.views), "visible": track.visible}
    return CLASSIFIERS[settings.architecture](**options)


def _segmenter(experiment: Experiment, track: Track, pretrained: bool) -> nn.Module:
    name = experiment.model.architecture
    if name in NETWORKS:
        model = _report_network(experiment, track, pretrained)
    elif name in ARCHITECTURES:
        model = _smp_network(experiment.model, track, pretrained)
    else:
        raise CompetitionError(f"unknown architecture {name!r}{nearest_hint(name, [*ARCHITECTURES, *NETWORKS])}")
    _check_sides(model, experiment)
    return model


def _report_network(experiment: Experiment, track: Track, pretrained: bool) -> nn.Module:
    settings, name = experiment.model, experiment.model.architecture
    options: dict[str, Any] = {}
    if settings.decoder_channels is not None:
        raise CompetitionError(f"model.decoder_channels is for the decoders of smp; {name} has its own channels")
    if settings.width is not None:
        options["width"] = settings.width
    if name == "fcn_resnet101":
        if settings.width is not None:
            raise CompetitionError("model.width can't be changed in fcn_resnet101, which is torchvision's")
        options["pretrained"] = pretrained
    elif pretrained:
        raise CompetitionError(f"there are no pretrained weights of {name}", None, "Say --set model.pretrained=false")
    if name == "hidden_layer":
        options["side"] = experiment.data.crop or experiment.data.size
        asked = experiment.predict.tile or experiment.data.size
        if asked != options["side"]:
            raise CompetitionError(f"hidden_layer trained on {options['side']} pixels can't be asked about {asked}")
    return NETWORKS[name](track.channels, len(track.classes), settings.prior, dropout=settings.dropout, **options)


def _smp_network(settings: ModelSettings, track: Track, pretrained: bool) -> nn.Module:
    options: dict[str, Any] = {}
    if settings.width is not None:
        raise CompetitionError(
            f"model.width is for the reports' networks; {settings.architecture} of smp takes model.decoder_channels"
        )
    if settings.decoder_channels is not None:
        options["decoder_channels"] = settings.decoder_channels
        options["encoder_depth"] = len(settings.decoder_channels)
    if settings.encoder.startswith("tu-swin"):
        options["strict_img_size"] = False  # timm would take images of the pre-training's 224 pixels only
    # The names of timm's networks say which weights are theirs; those of smp's own are told apart by the data set.
    weights: str | bool = True if settings.encoder.startswith("tu-") else "imagenet"
    model: nn.Module = smp.create_model(
        settings.architecture,
        encoder_name=settings.encoder,
        encoder_weights=weights if pretrained else None,
        in_channels=track.channels,
        classes=len(track.classes),
        **options,
    )
    head = model.segmentation_head
    assert isinstance(head, nn.Module)
    answer_prior([layer for layer in head.modules() if isinstance(layer, nn.Conv2d)][-1], settings.prior)
    if settings.dropout:
        model.segmentation_head = nn.Sequential(nn.Dropout2d(settings.dropout), head)
    return model


def _check_sides(model: nn.Module, experiment: Experiment) -> None:
    """Reject sides that the network can't halve often enough, before hours are spent up to the first prediction."""
    stride = getattr(model, "stride", 1)
    if isinstance(model, smp.base.SegmentationModel) and model.requires_divisible_input_shape:
        stride = model.encoder.output_stride
    data = experiment.data
    sides = {"data.crop": data.crop} if data.crop else {"data.size": data.size}
    for key, side in (sides | {"predict.tile": experiment.predict.tile}).items():
        if side is not None and side % stride:
            near = f"{max(1, side // stride) * stride} or {(side // stride + 1) * stride}"
            raise CompetitionError(
                f"{key} {side} is not a multiple of {stride}, which {experiment.model.architecture} needs",
                None,
                f"Say --set {key}=N with N for example {near}",
            )


def _explain(error: Exception, settings: ModelSettings) -> CompetitionError:
    reason = " ".join(str(error).split())[:300]
    encoder = "" if settings.architecture in NETWORKS else f" with encoder {settings.encoder!r}"
    return CompetitionError(f"can't build {settings.architecture}{encoder} ({reason})")


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, its weights in the order of channels that convolutions are fastest in."""
    placed: nn.Module = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed
