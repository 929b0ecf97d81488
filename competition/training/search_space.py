"""The space of a search over training settings: what may vary, and how a trial is typed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from competition.errors import CompetitionError
from competition.settings import LOSS_OF, Experiment
from competition.text import shortened, shown
from competition.tracks.track import Track
from competition.training.losses import Kind, kind_of

Space = dict[str, BaseDistribution]
"""SECTION.KEY of a setting -> the values it may take. Choices are texts, as one would type them after --set."""

LOSSES_TO_TRY: dict[Kind, tuple[str, ...]] = {
    "masks": ("bce", "bce_dice", "focal_dice"),
    "masks that exclude each other": ("cross_entropy_dice",),
    "multilabel": ("bce", "focal", "asymmetric"),
    "multiclass": ("cross_entropy",),
    "ordinal": ("ordinal", "cross_entropy"),
}
# How far a rate may lie from the experiment's own, up and down.
DECADE = 10.0

_FORMS = "train.lr=log:1e-4:1e-2, train.momentum=0.8:0.99, train.epochs=int:10:40 or train.loss=bce|bce_dice"


def parse_space(texts: Sequence[str]) -> Space:
    """Read what may vary, one setting each.

    "train.lr=log:1e-4:1e-2" (even in its logarithm), "train.momentum=0.8:0.99", "train.epochs=int:10:40", or
    "train.loss=bce|bce_dice".

    Raises:
        CompetitionError: A text is none of these, its range is empty, or a setting is given twice.
    """
    space: Space = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not re.fullmatch(r"\w+\.\w+", name) or not values:
            raise CompetitionError(f"--space takes {_FORMS}, not {shown(text)}")
        if name in space:
            raise CompetitionError(f"--space names {shortened(name)} twice")
        try:
            space[name] = _distribution(values)
        except ValueError as error:
            raise CompetitionError(f"--space takes {_FORMS}, not {shown(text)} ({shortened(str(error))})") from error
    return space


def _distribution(text: str) -> BaseDistribution:
    if ":" not in text:
        choices = text.split("|")
        if len(choices) < 2 or len(set(choices)) < len(choices) or not all(choices):
            raise ValueError("two or more different choices are needed")
        return CategoricalDistribution(choices)
    kind, low, high = text.split(":") if text.count(":") == 2 else ("", *text.split(":"))
    if kind not in ("", "log", "int"):
        raise ValueError(f"unknown kind {kind!r}")
    if not float(low) < float(high):
        raise ValueError("the range is empty")
    if kind == "int":
        return IntDistribution(int(low), int(high))
    return FloatDistribution(float(low), float(high), kind == "log")


def default_space(experiment: Experiment, track: Track, given: Sequence[str]) -> Space:
    """Return what is worth varying in any experiment, around its own values: rate, weight decay, batch size and loss.

    The loss is fixed where the network takes only its own, no other fits the track, or classes have weights. Single
    samples, on which batch normalisation may fail, are only tried where the experiment itself learns from them.
    Settings in ``given`` ("train.lr") do not vary.
    """
    train = experiment.train
    decay = train.weight_decay or 1e-4
    smallest = min(2, train.batch_size)
    sizes = sorted({max(smallest, train.batch_size // 2), train.batch_size, 2 * train.batch_size})
    space: Space = {
        "train.lr": FloatDistribution(train.lr / DECADE, train.lr * DECADE, log=True),
        "train.weight_decay": FloatDistribution(decay / DECADE, decay * DECADE, log=True),
        "train.batch_size": CategoricalDistribution([str(size) for size in sizes]),
    }
    losses = sorted({*LOSSES_TO_TRY[kind_of(track)], train.loss})
    if experiment.model.architecture not in LOSS_OF and len(losses) > 1 and train.class_weights is None:
        space["train.loss"] = CategoricalDistribution(losses)
    return {name: values for name, values in space.items() if name not in given}


def ends(space: Space) -> list[str]:
    """Return settings at the ends of every range and all choices, to be checked before anything is trained."""
    return [
        f"{name}={value}"
        for name, values in space.items()
        for value in (values.choices if isinstance(values, CategoricalDistribution) else (values.low, values.high))
    ]


def own_values(space: Space, experiment: Experiment) -> dict[str, Any]:
    """Return the experiment's own settings as a trial, without those that lie outside of the space."""
    own: dict[str, Any] = {}
    settings = experiment.model_dump(mode="json")
    for name, values in space.items():
        section, key = name.split(".")
        value = settings[section][key]
        if isinstance(values, CategoricalDistribution):
            if str(value) in values.choices:
                own[name] = str(value)
        elif value is not None and values.low <= value <= values.high:
            own[name] = value
    return own


def settings_of(params: Mapping[str, Any]) -> list[str]:
    """Return a trial as --set options; rates to three digits, so that what is trained is what can be typed."""
    return [f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()]
