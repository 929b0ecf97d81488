from dataclasses import replace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from competition.errors import CompetitionError
from competition.settings import LOSS_OF, Experiment, load_experiment
from competition.tracks import get_track
from competition.tracks.aneurysm.track import ANEURYSM
from competition.tracks.hand_bone.track import HAND_BONE
from competition.training.losses import get_loss
from competition.training.search_space import (
    default_space,
    ends,
    own_values,
    parse_space,
    settings_of,
)
from pipelines.context import EXPERIMENTS

pytestmark = pytest.mark.slow

SPACE = {"train.lr": FloatDistribution(1e-4, 1e-2, log=True), "train.loss": CategoricalDistribution(["bce", "focal"])}


def test_every_form_of_values_is_read():
    texts = ["train.lr=log:1e-4:1e-2", "train.momentum=0.8:0.99", "train.epochs=int:10:40", "train.loss=bce|bce_dice"]
    assert parse_space(texts) == {
        "train.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "train.momentum": FloatDistribution(0.8, 0.99),
        "train.epochs": IntDistribution(10, 40),
        "train.loss": CategoricalDistribution(["bce", "bce_dice"]),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "train.lr",
        "lr=0:1",
        "train.lr=",
        "train.lr=1e-4",
        "train.lr=1:x",
        "train.lr=1:1",
        "train.lr=2:1",
        "train.lr=nan:1",
        "train.lr=log:0:1",
        "train.lr=log:-1:1",
        "train.lr=lgo:1:2",
        "train.lr=log:1:2:3",
        "train.epochs=int:1.5:3",
        "train.loss=bce|bce",
        "train.loss=bce|",
        "=1:2",
    ],
)
def test_what_is_no_space_is_explained(text):
    with pytest.raises(CompetitionError, match=r"--space takes train\.lr=log:1e-4:1e-2.* or train\.loss=bce\|bce_dice"):
        parse_space([text])


def test_a_setting_can_not_vary_twice():
    with pytest.raises(CompetitionError, match=r"--space names train\.lr twice"):
        parse_space(["train.lr=1:2", "train.lr=3:4"])


def test_the_default_space_lies_around_the_experiment_and_holds_it():
    experiment = Experiment.model_validate({"train": {"lr": 2e-3, "weight_decay": 0, "batch_size": 1, "loss": "dice"}})
    space = default_space(experiment, HAND_BONE, [])
    assert (space["train.lr"].low, space["train.lr"].high, space["train.lr"].log) == (2e-4, 2e-2, True)
    assert space["train.batch_size"].choices == ("1", "2")
    assert {"dice", "bce_dice"} <= set(space["train.loss"].choices)
    own = own_values(space, experiment)
    # A decay of zero has no place in a logarithm.
    assert own == {"train.lr": 2e-3, "train.batch_size": "1", "train.loss": "dice"}
    given = default_space(experiment, ANEURYSM, ["train.lr", "train.loss"])
    assert sorted(given) == ["train.batch_size", "train.weight_decay"]
    patients = Experiment.model_validate({"train": {"loss": "bce_first"}})
    tried = default_space(patients, ANEURYSM, [])["train.loss"].choices
    assert set(tried) == {"bce", "focal", "asymmetric", "bce_first"}


@pytest.mark.parametrize(
    ("targets", "loss", "tried"),
    [("multiclass", "cross_entropy", None), ("ordinal", "ordinal", ("cross_entropy", "ordinal"))],
)
def test_only_losses_that_fit_a_table_are_tried(targets, loss, tried):
    track = replace(ANEURYSM, targets=targets)
    space = default_space(Experiment.model_validate({"train": {"loss": loss}}), track, [])
    assert tried == (space["train.loss"].choices if "train.loss" in space else None)
    weighted = Experiment.model_validate({"train": {"loss": "cross_entropy", "class_weights": "balanced"}})
    assert "train.loss" not in default_space(weighted, track, [])


def test_the_loss_of_a_network_that_takes_only_its_own_does_not_vary():
    for architecture, loss in LOSS_OF.items():
        experiment = Experiment.model_validate({"model": {"architecture": architecture}, "train": {"loss": loss}})
        assert sorted(default_space(experiment, ANEURYSM, [])) == [
            *("train.batch_size", "train.lr", "train.weight_decay")
        ]


@pytest.mark.parametrize(
    ("batch", "sizes"), [(1, ("1", "2")), (2, ("2", "4")), (3, ("2", "3", "6")), (8, ("4", "8", "16"))]
)
def test_single_samples_are_only_tried_where_the_experiment_takes_them(batch, sizes):
    experiment = Experiment.model_validate({"train": {"batch_size": batch}})
    assert default_space(experiment, HAND_BONE, [])["train.batch_size"].choices == sizes


@pytest.mark.parametrize(
    "path", sorted(EXPERIMENTS.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_all_ends_of_every_experiments_own_space_are_settings(path):
    names = {"folder": "knee", "table": "aneurysm"}
    track = get_track(names.get(path.parent.name, path.parent.name))
    space = default_space(load_experiment(path), track, [])
    for setting in ends(space):
        get_loss(load_experiment(path, [setting]).train.loss)


def test_ends_are_all_choices_and_both_ends():
    assert ends(SPACE | {"train.epochs": IntDistribution(3, 9)}) == [
        *("train.lr=0.0001", "train.lr=0.01", "train.loss=bce", "train.loss=focal", "train.epochs=3", "train.epochs=9")
    ]


def test_rates_are_typed_with_three_digits():
    params = {"train.lr": 0.00123456, "train.epochs": 12, "train.loss": "bce", "data.size": "256"}
    assert settings_of(params) == ["train.lr=0.00123", "train.epochs=12", "train.loss=bce", "data.size=256"]


def test_own_values_outside_of_the_space_are_left_open():
    space = {"train.lr": FloatDistribution(0.1, 1), "train.loss": CategoricalDistribution(["x", "y"])}
    assert own_values(space, Experiment()) == {}
