"""Builds the network that an experiment names."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from competition.errors import CompetitionError
from competition.models import hub, torchvision_ops  # noqa: F401  (the second must come before smp and timm)
from competition.models.layers import start_from_prior
from competition.models.multiview import MultiViewClassifier
from competition.models.multiview_attention import AttentiveMultiViewClassifier
from competition.models.multiview_fused import FusedMultiViewClassifier
from competition.models.reports.cardiac_lab import HiddenLayer, LabFCN
from competition.models.reports.classical_spine import ClassicalSpine
from competition.models.reports.contrastive import ContrastiveClassifier
from competition.models.reports.fcn_resnet101 import FCNResNet101
from competition.models.reports.four_fold import ReportFourFold
from competition.models.reports.plain_unet import PlainUNet
from competition.models.reports.reconstructed import ReconstructedClassifier
from competition.models.reports.unet3plus import UNet3Plus
from competition.models.residual_unet import ResidualUNet
from competition.settings import Experiment, ModelSettings
from competition.text import nearest_hint
from competition.tracks.track import Track

import segmentation_models_pytorch as smp  # isort: skip

# Decoders of smp, each for any of its encoders.
ARCHITECTURES = (
    *("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet"),
    *("DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet", "Segformer", "DPT"),
)

Build = Callable[[Experiment, Track], nn.Module]
"""Builds the network of an experiment for the classes, channels and views of a track."""


def build_model(experiment: Experiment, track: Track, pretrained: bool | None = None) -> nn.Module:
    """Build the network of an experiment, on the CPU; ``train.seed`` seeds its random weights.

    A segmentation network takes (N, channels, H, W) float32 and gives logits (N, C, h, w), which may be finer or
    coarser than the image; while training it may give a list of them (deep supervision), the one that counts first.
    A classifier of several views takes (N, V, channels, H, W) and ``present`` (N, V) and gives logits (N, C); while
    training it may give what its own loss takes.

    Args:
        experiment: The settings.
        track: Classes, channels and views.
        pretrained: Overrides ``model.pretrained``; False where a checkpoint will be loaded anyway.

    Raises:
        CompetitionError: Unknown architecture or encoder, a side that it can't halve, or pretrained weights that can't
            be fetched.
    """
    if pretrained is not None:
        model = experiment.model.model_copy(update={"pretrained": pretrained})
        experiment = experiment.model_copy(update={"model": model})
    settings = experiment.model
    build = _find_network(settings.architecture, track)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.train.seed)
        try:
            with hub.without_retries() if settings.pretrained else nullcontext():
                network = build(experiment, track)
        except OSError as error:  # first, because some errors of the hub are of both kinds
            name = settings.encoder if _has_encoder(settings) else settings.architecture
            or_a_file = "" if settings.init is not None else ", or give a file with --set model.init=PATH"
            what = f"pretrained weights of {name} can't be fetched from the network ({type(error).__name__})"
            repair = f"Start from random weights with --set model.pretrained=false{or_a_file}"
            raise CompetitionError(what, None, repair) from error
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            encoder = f" with encoder {settings.encoder!r}" if _has_encoder(settings) else ""
            raise CompetitionError(f"can't build {settings.architecture}{encoder} ({reason})") from error
    if track.task == "segmentation":
        _check_sides(network, experiment)
    return network


def _find_network(name: str, track: Track) -> Build:
    if track.task == "segmentation":
        if name not in NETWORKS:
            raise CompetitionError(f"unknown architecture {name!r}{nearest_hint(name, list(NETWORKS))}")
        return NETWORKS[name]
    if name not in CLASSIFIERS:
        what = f"track {track.name} needs one of the model.architecture {', '.join(CLASSIFIERS)}, not {name!r}"
        raise CompetitionError(what)
    return CLASSIFIERS[name]


def _has_encoder(settings: ModelSettings) -> bool:
    return settings.architecture in ARCHITECTURES or settings.architecture in CLASSIFIERS


def starts_pretrained(settings: ModelSettings) -> bool:
    """Return whether a network starts from weights of its library; a checkpoint to start from replaces them."""
    return settings.pretrained and settings.init is None


def _smp_network(experiment: Experiment, track: Track) -> nn.Module:
    settings, options = experiment.model, dict[str, Any]()
    if settings.width is not None:
        what = f"model.width is for the reports' networks; {settings.architecture} of smp takes model.decoder_channels"
        raise CompetitionError(what)
    if settings.decoder_channels is not None:
        options["decoder_channels"] = settings.decoder_channels
        options["encoder_depth"] = len(settings.decoder_channels)
    if settings.encoder.startswith("tu-swin"):
        options["strict_img_size"] = False  # timm would take images of the pre-training's 224 pixels only
    # The names of timm's networks identify their weights; smp's own need the data set.
    weights: str | bool = True if settings.encoder.startswith("tu-") else "imagenet"
    model: nn.Module = smp.create_model(
        settings.architecture,
        encoder_name=settings.encoder,
        encoder_weights=weights if starts_pretrained(settings) else None,
        in_channels=track.channels,
        classes=len(track.classes),
        **options,
    )
    head = model.segmentation_head
    assert isinstance(head, nn.Module)
    start_from_prior([layer for layer in head.modules() if isinstance(layer, nn.Conv2d)][-1], settings.prior)
    if settings.dropout:
        model.segmentation_head = nn.Sequential(nn.Dropout2d(settings.dropout), head)
    return model


def whole_network(network: Callable[..., nn.Module], **options: Any) -> Build:
    """Return what builds a network whose encoder and decoder are one, from random weights.

    Args:
        network: Takes channels, classes, prior and dropout, and ``width`` where an experiment sets it.
        options: Its own.
    """

    def build(experiment: Experiment, track: Track) -> nn.Module:
        settings, name = experiment.model, experiment.model.architecture
        if settings.decoder_channels is not None:
            raise CompetitionError(f"model.decoder_channels is for the decoders of smp; {name} has its own channels")
        if starts_pretrained(settings) and "pretrained" not in options:
            what = f"there are no pretrained weights of {name}"
            raise CompetitionError(what, None, "Use --set model.pretrained=false")
        width = {} if settings.width is None else {"width": settings.width}
        return network(track.channels, len(track.classes), settings.prior, dropout=settings.dropout, **options | width)

    return build


def _hidden_layer(experiment: Experiment, track: Track) -> nn.Module:
    side, asked = experiment.data.crop or experiment.data.size, experiment.predict.tile or experiment.data.size
    if asked != side:
        raise CompetitionError(f"hidden_layer trained on {side} pixels can't predict {asked}")
    return whole_network(HiddenLayer, side=side)(experiment, track)


def _fcn_resnet101(experiment: Experiment, track: Track) -> nn.Module:
    if experiment.model.width is not None:
        raise CompetitionError("model.width can't be changed in fcn_resnet101, which is torchvision's")
    return whole_network(FCNResNet101, pretrained=starts_pretrained(experiment.model))(experiment, track)


# Name -> what builds a network of one image. A file from outside adds its own: NETWORKS["mine"] = build.
NETWORKS: dict[str, Build] = dict.fromkeys(ARCHITECTURES, _smp_network) | {
    "unet3plus": whole_network(UNet3Plus),
    "unet3plus_ds": whole_network(UNet3Plus, deep_supervision=True),
    "unet3plus_ds_2048": whole_network(UNet3Plus, deep_supervision=True, output_scale=4),
    "unet3plus_ds_2048_eff": whole_network(
        UNet3Plus, width=32, rate=4, deep_supervision=True, output_scale=2, most_enlarged=4
    ),
    "plain_unet": whole_network(PlainUNet),
    "residual_unet": whole_network(ResidualUNet),
    "vgg_unet": whole_network(PlainUNet, width=32, transposed=False),
    "hidden_layer": _hidden_layer,
    "lab_fcn": whole_network(LabFCN),
    "fcn_resnet101": _fcn_resnet101,
    "classical": whole_network(ClassicalSpine),
}


def _view_options(experiment: Experiment) -> dict[str, Any]:
    settings = experiment.model
    return {
        "encoder": settings.encoder,
        "pretrained": starts_pretrained(settings),
        "size": experiment.data.size,
        "prior": settings.prior,
        "dropout": settings.dropout,
    }


def multiview_network(network: Callable[..., nn.Module], grades: bool = False) -> Build:
    """Return what builds a classifier with the arguments of ``MultiViewClassifier``; of ``grades``, those too."""

    def build(experiment: Experiment, track: Track) -> nn.Module:
        return network(
            **_view_options(experiment),
            channels=track.channels,
            classes=len(track.classes),
            views=len(track.views),
            visible=track.visible,
            **({"ordinal": track.targets == "ordinal"} if grades else {}),
        )

    return build


def _report_fourfold(experiment: Experiment, track: Track) -> nn.Module:
    options = _view_options(experiment)
    return ReportFourFold(
        # Of the four networks only the two binary ones take the weights of ``model.init``.
        **options | {"pretrained": experiment.model.pretrained},
        binary_pretrained=options["pretrained"],
        anterior_encoder=experiment.model.anterior_encoder,
        channels=track.channels,
        classes=track.classes,
        views=track.views,
    )


# The same for labels of whole images, one or several views of a sample.
CLASSIFIERS: dict[str, Build] = {
    "multiview": multiview_network(MultiViewClassifier, grades=True),
    "multiview_fused": lambda experiment, track: FusedMultiViewClassifier(**_view_options(experiment), track=track),
    "multiview_attention": lambda experiment, track: AttentiveMultiViewClassifier(
        **_view_options(experiment), track=track
    ),
    "report_fourfold": _report_fourfold,
    "contrastive": multiview_network(ContrastiveClassifier),
    "reconstructed": multiview_network(ReconstructedClassifier),
}


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
            what = f"{key} {side} is not a multiple of {stride}, which {experiment.model.architecture} needs"
            raise CompetitionError(what, None, f"Use --set {key}=N with N for example {near}")


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, its weights in the order of channels that convolutions are fastest in."""
    placed: nn.Module = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed
