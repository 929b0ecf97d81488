"""The settings of an experiment: strict, small, hashed.

An experiment is a YAML file that names only what differs from the defaults below. An unknown key is an error with the
nearest names, because a silently ignored typing error costs a training run.
"""

import contextlib
import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from competition.errors import CompetitionError
from competition.formats.yaml_files import parse_yaml, read_yaml
from competition.names import run_fault
from competition.plugins import absolute_plugins, load_plugins, plugin_hash
from competition.text import nearest_hint, shortened, shown


def _as_run_name(name: str) -> str:
    if fault := run_fault(name):
        raise ValueError(f"is not the name of a run, because it {fault}")
    return name


def _as_path(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("contains a character that no file name can contain")
    return path


FilePath = Annotated[Path, AfterValidator(_as_path)]
Positive = Annotated[int, Field(gt=0, lt=2**31)]
RunName = Annotated[str, AfterValidator(_as_run_name)]

SHOWN_PROBLEMS = 5

# Networks that give more than logits of the classes in training, each with the one loss for that.
LOSS_OF = {"report_fourfold": "four_sets", "contrastive": "bce_first_and_own", "reconstructed": "bce_first_and_own"}


class Section(BaseModel):
    """A part of the settings: frozen, without unlisted keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class ModelSettings(Section):
    """The network."""

    architecture: str = "Unet"
    """A decoder of segmentation_models_pytorch (Unet, UnetPlusPlus, FPN, Segformer ...), a network of the reports
    (unet3plus_ds_2048, plain_unet ...; all are in competition/models/factory.py); for labels of whole images, of
    one view or several, "multiview"; for several "multiview_fused", "multiview_attention", "report_fourfold",
    "contrastive" or "reconstructed"."""
    encoder: str = "resnet34"
    """An smp encoder name, or "tu-<timm name>"; for labels of whole images a timm name, "patches" or
    "counting" (competition/models/patches.py, counting.py). The reports' networks have their own."""
    anterior_encoder: str = "swinv2_cr_tiny_ns_224"
    """Only for "report_fourfold": timm name of the network of anterior locations; ``encoder`` is that of the others."""
    pretrained: bool = True
    """Whether the encoder starts from ImageNet weights (fetched by timm the first time)."""
    decoder_channels: tuple[Positive, ...] | None = None
    """Channels of each decoder level, for the U-Net family; None is smp's default."""
    width: Positive | None = None
    """For the reports' networks: channels of the first level (hidden units of hidden_layer); None is the report's."""
    init: FilePath | None = None
    """A checkpoint to start from, of this project or another (also 3D medical weights, see
    competition/models/checkpoint_loading.py); layers that do not fit (another head) are listed and keep the start they
    have without it: random, but in "report_fourfold" the location networks keep ``pretrained``. A path
    with "{fold}" in it is below the data set's runs, so each fold starts from its own: RUN/{fold}/weights.pt."""
    prior: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Probability that the untrained head gives everywhere. A small value saves the first epochs, which otherwise
    learn that nearly all pixels are background."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the last layer."""


class CropSettings(Section):
    """The second of two stages: it looks more closely where another run sees some classes."""

    run: RunName
    """A trained run of the same track, with all folds; its out-of-fold (or test) maps give the boxes."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    """The box surrounds the predicted pixels of these classes."""
    margin: Annotated[float, Field(ge=0)] = 0.3
    """Added on every side, as a share of the box's rows and columns."""


class DataSettings(Section):
    """The input of the network."""

    size: Positive = 512
    """The long side of an image is brought to this many pixels (the training grid)."""
    crop: Positive | None = None
    """Side of a random square crop of the training grid, for images too large to train on whole."""
    oversample: Positive = 4
    """Augmentation works on a grid finer than the training grid by a whole factor: enough to match the image, but at
    most this one. Labels are area-averaged from there. If the image is finer still, they are first shrunk to that grid
    by nearest neighbour: cheaper, but at 1 all targets are nearest-neighbour ones."""
    augmentation: str = "light"
    """A preset of competition/data/augmentation.py."""
    preprocess: tuple[str, ...] = ()
    """Filters of every image, in training and at inference alike, in this order: names of
    competition/data/preprocessing.py, which also defines the grid of each."""
    flip: bool = False
    """Mirror half of the training draws, and swap left and right classes and views as the track declares."""
    copy_paste: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Segmentation: the share of draws into which one class of another training image is pasted, a little shifted."""
    pseudo: RunName | None = None
    """A trained run whose fold k labels the test images, from which the new run's fold k then learns as well."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Segmentation: predict only these classes; such a run votes on these alone. Null is all of the track."""
    crop_to: CropSettings | None = None
    """Segmentation: crop every image to a box before it is resized; outside it nothing is predicted."""
    shuffle_labels: bool = False
    """A leak alarm for classification: learn shuffled targets and score against them; that must be chance, 0.5."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Processes that load data; null is 0 without a GPU (training needs the cores), else cores - 1, at most 8."""


class TrainSettings(Section):
    """The training."""

    epochs: Positive = 30
    batch_size: Positive = 8
    accumulate: Positive = 1
    """Batches per optimizer step: the effective batch is batch_size * accumulate."""
    repeats: Positive = 1
    """How often an epoch draws each training sample; more than 1 for small data sets with crops."""
    loss: str = "bce_dice"
    """A loss of competition/training/losses.py."""
    class_weights: dict[str, Annotated[float, Field(gt=0)]] | Literal["balanced"] | None = None
    """Only for cross_entropy: class -> how much its samples count; balanced: as much as those of any other class."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Only for sgd."""
    schedule: Literal["cosine", "step"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    step_epochs: Positive = 10
    """Only for the step schedule: the rate is multiplied by step_factor every so many epochs."""
    step_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Gradients are scaled down to this norm; null switches it off."""
    ema: bool = True
    """Predict with an exponential moving average of the weights."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 on GPUs that have it, fp16 with loss scaling on older ones; on a CPU bf16 where it is faster."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    gradient_checkpointing: bool = False
    """Keep only the inputs of a network's blocks and compute the rest again in the backward pass: less than half of the
    memory for one more forward pass per step, with the same gradients."""
    compile: bool = False
    """Let torch.compile fuse the network's operations: minutes before the first step, faster ones after it. It rounds
    otherwise, so an interrupted run does not resume to the last bit."""
    deterministic: bool | Literal["auto"] = "auto"
    """The same weights from the same settings, bit for bit, on the same machine. auto: on a CPU, where it costs
    nothing; on a GPU it makes bilinear upsampling move thirty times the bytes, so there it must be asked for."""
    validate_every: Positive = 5
    """Epochs between two scores at native size, which show how training goes. The last epoch is always scored, and its
    weights predict: the best of several would be chosen by the samples that it is scored on."""
    keep_every: Positive | None = None
    """Keep the weights of every so many epochs with predictions of their own: members RUN@EPOCH; null keeps none."""


class PredictSettings(Section):
    """The prediction, the same for out-of-fold and test samples."""

    views: tuple[str, ...] = ("identity",)
    """Test-time views of competition/prediction/tta_views.py, whose probabilities are averaged: turned or mirrored
    (hflip, rotate90, hflip_rotate90 ...), and for masks three or five quarters as large (scale75, scale125: only for
    networks that have learned several scales; those of the demo's hands lose 0.01 to 0.05 of Dice)."""
    tile: Positive | None = None
    """Side of the tiles of a sliding window on the training grid; null predicts the whole image at once."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of a tile that its neighbour sees too."""


class Experiment(Section):
    """All settings of one experiment."""

    plugins: tuple[str, ...] = ()
    """Python files that add losses, networks and more (competition/plugins.py), relative to the experiment's YAML."""
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()
    predict: PredictSettings = PredictSettings()

    @field_validator("plugins")
    @classmethod
    def _loaded(cls, plugins: tuple[str, ...]) -> tuple[str, ...]:
        load_plugins(plugins)  # first of all, because other settings may name what a plugin adds
        return plugins

    @model_validator(mode="after")
    def _tile_fits(self) -> "Experiment":
        if self.predict.tile is not None and self.predict.tile > self.data.size:
            raise ValueError(f"predict.tile {self.predict.tile} is larger than data.size {self.data.size}")
        if self.data.crop is not None and self.data.crop > self.data.size:
            raise ValueError(f"data.crop {self.data.crop} is larger than data.size {self.data.size}")
        if self.data.crop_to is not None and self.data.pseudo is not None:
            raise ValueError("data.crop_to has boxes for training images only, so it can't go with data.pseudo")
        return self

    @model_validator(mode="after")
    def _compiles(self) -> "Experiment":
        if self.train.compile and self.train.gradient_checkpointing:
            raise ValueError(
                "train.compile can't go with train.gradient_checkpointing: torch.compile chooses by itself what to "
                "compute again"
            )
        return self

    @model_validator(mode="after")
    def _loss_fits(self) -> "Experiment":
        architecture, loss = self.model.architecture, self.train.loss
        if architecture in LOSS_OF and loss != LOSS_OF[architecture]:
            raise ValueError(f"model.architecture {architecture} needs train.loss {LOSS_OF[architecture]}, not {loss}")
        if loss in LOSS_OF.values() and architecture not in LOSS_OF:
            needed = " or ".join(name for name, own in LOSS_OF.items() if own == loss)
            raise ValueError(f"train.loss {loss} needs model.architecture {needed}, not {architecture}")
        return self

    def hash(self) -> str:
        """Return ten characters that change with any setting that shapes the weights or the maps."""
        settings = self.model_dump(mode="json")
        del settings["data"]["workers"]  # every draw has its own random numbers, so it changes nothing
        for name in ("gradient_checkpointing", "compile"):  # they change the last bits at most
            del settings["train"][name]
        if settings["train"]["deterministic"] == "auto":  # what it was before, when it was always on
            settings["train"]["deterministic"] = True
        if settings["train"]["class_weights"] is None:  # a key that came later
            del settings["train"]["class_weights"]
        if settings.pop("plugins"):  # an experiment without plugins keeps the hash that it has always had
            settings["plugins"] = plugin_hash(self.plugins)
        canonical = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:10]

    def to_yaml(self) -> str:
        """Return all settings, also those left at their defaults."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment's YAML and apply ``--set`` overrides ("train.lr=1e-4"; values are read as YAML).

    Raises:
        CompetitionError: The file is missing or not YAML, or a key or value is wrong (the nearest names are given).
    """
    values = absolute_plugins(read_yaml(path, "no such experiment file"), path.parent) or {}
    if not isinstance(values, dict):
        raise CompetitionError("an experiment is a mapping of sections (model, data, train, predict)", path)
    try:
        experiment = Experiment.model_validate(values)
    except ValidationError as error:
        raise CompetitionError(_explain(error), path, "Correct the file") from error
    if not overrides:
        return experiment
    for override in overrides:
        _apply_override(values, override)
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        at_fault = {".".join(map(str, problem["loc"])) for problem in error.errors()}
        named = [override for override in overrides if _is_within(override.partition("=")[0], at_fault)] or overrides
        raise CompetitionError(_explain(error), shortened(f"--set {' --set '.join(named)}", 1000)) from error


def _is_within(name: str, places: Collection[str]) -> bool:
    """Return whether a setting is one of these places, contains one or lies in one."""
    return any(f"{name}.".startswith(f"{place}.") or f"{place}.".startswith(f"{name}.") for place in places)


def states(path: Path, overrides: Sequence[str], name: str) -> bool:
    """Return whether an experiment's YAML or one of its ``--set`` overrides gives a setting, such as "data.size".

    Raises:
        CompetitionError: The file is missing or not YAML.
    """
    section, key = name.split(".")
    values = read_yaml(path, "no such experiment file")
    written = values.get(section) if isinstance(values, dict) else None
    return (isinstance(written, dict) and key in written) or any(given.partition("=")[0] == name for given in overrides)


def changed_settings(before: Experiment, now: Experiment) -> list[str]:
    """Return the settings that count in ``Experiment.hash`` and differ, each as "train.lr 0.001, now 0.0005"."""
    if before.hash() == now.hash():
        return []
    old, new = before.model_dump(mode="json"), now.model_dump(mode="json")
    if plugin_hash(before.plugins) != plugin_hash(now.plugins):
        was, is_now = (", ".join(plugins) or "none" for plugins in (before.plugins, now.plugins))
        return [f"plugins {was}, now {is_now}, or their content"]
    del old["plugins"], new["plugins"]
    return [
        f"{section}.{key} {old[section][key]}, now {value}"
        for section, settings in new.items()
        for key, value in settings.items()
        if old[section][key] != value
    ]


def _apply_override(values: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    parts = name.split(".")
    if not separator or len(parts) != 2:
        raise CompetitionError(f"--set takes SECTION.KEY=VALUE, for example train.lr=1e-4, not {shown(override)}")
    value = parse_yaml(text, f"--set {shortened(override)}")
    if isinstance(value, str):
        # YAML 1.1 reads 1e-4 as text because the dot is missing; a number is meant.
        with contextlib.suppress(ValueError):
            value = float(value)
    section = values.setdefault(parts[0], {})
    if not isinstance(section, dict):
        raise CompetitionError(f"{parts[0]!r} is not a section of the settings", f"--set {shortened(override)}")
    section[parts[1]] = value


def _explain(error: ValidationError) -> str:
    sentences = []
    problems = error.errors(include_url=False)
    for problem in problems[:SHOWN_PROBLEMS]:
        location = ".".join(shortened(str(part), 60) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            within = "".join(f"{part}." for part in problem["loc"][:-1])
            hint = nearest_hint(str(problem["loc"][-1]), _known_keys(problem["loc"]), within)
            sentences.append(f"unknown key {location!r}{hint}")
        else:
            given = "" if problem["type"] == "value_error" else f" (given: {shown(problem['input'])})"
            sentences.append(f"{location or 'settings'}: {shortened(problem['msg'], 500)}{given}")
    if len(problems) > SHOWN_PROBLEMS:
        sentences.append(f"and {len(problems) - SHOWN_PROBLEMS} more")
    return "; ".join(sentences)


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    section: type[BaseModel] = Experiment
    for name in location[:-1]:
        annotation = section.model_fields[str(name)].annotation
        # An optional section is "Section | None".
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        section = next(kind for kind in kinds if issubclass(kind, BaseModel))
    return list(section.model_fields)
