import math

import pytest
import torch
from torch import nn

from competition.settings import TrainSettings
from competition.training.steps import NOT_DECAYED, learning_rate, make_optimizer, set_learning_rate

import timm  # isort: skip  (after competition.training, which makes it importable)


def rates(steps, steps_per_epoch, **settings):
    return [learning_rate(TrainSettings(**settings), step, steps_per_epoch) for step in steps]


def test_warm_up_climbs_in_equal_steps_and_never_starts_at_zero():
    # Two epochs of two steps: a fifth, two fifths ... and the full rate right after.
    assert rates(range(5), 2, lr=1.0, warmup_epochs=2, epochs=10) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_cosine_is_half_way_in_the_middle_and_zero_at_the_end():
    # Warm-up 1 epoch of 4 steps, then 16 steps down.
    expected = [2.0, 1.0 + math.sqrt(0.5), 1.0, 1.0 - math.sqrt(0.5), 0.0]
    assert rates([4, 8, 12, 16, 20], 4, lr=2.0, warmup_epochs=1, epochs=5) == pytest.approx(expected, abs=1e-12)


def test_cosine_stays_at_zero_beyond_the_end():
    assert rates([25, 1000], 4, lr=2.0, warmup_epochs=1, epochs=5) == [0, 0]


def test_the_last_step_that_is_made_still_learns():
    (last,) = rates([19], 4, lr=2.0, warmup_epochs=1, epochs=5)
    assert last == pytest.approx(1 + math.cos(math.pi * 15 / 16))
    assert last > 0


def test_no_warm_up_starts_at_the_full_rate():
    assert rates([0], 7, lr=0.3, warmup_epochs=0, epochs=2) == [0.3]


def test_half_an_epoch_of_warm_up():
    assert rates([0, 1, 2], 4, lr=1.0, warmup_epochs=0.5, epochs=100)[:2] == pytest.approx([1 / 3, 2 / 3])


def test_a_warm_up_longer_than_the_run_has_no_division_by_zero():
    assert rates([3], 2, lr=1.0, warmup_epochs=2, epochs=1) == pytest.approx([0.8])
    assert rates([4], 2, lr=1.0, warmup_epochs=2, epochs=2) == pytest.approx([1.0])


def test_steps_drop_at_whole_multiples_of_step_epochs():
    settings = {"lr": 1.0, "schedule": "step", "step_epochs": 3, "step_factor": 0.1, "warmup_epochs": 0, "epochs": 9}
    # Four steps an epoch, so drops before steps 12 and 24.
    assert rates([0, 11, 12, 23, 24, 35], 4, **settings) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_set_learning_rate_reaches_all_groups():
    optimizer = make_optimizer(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), TrainSettings())
    set_learning_rate(optimizer, 0.125)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_only_weight_matrices_are_decayed(name):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimizer = make_optimizer(model, TrainSettings(optimizer=name, weight_decay=0.5, lr=0.1))
    before = {key: value.clone() for key, value in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    after = dict(model.named_parameters())
    # Without a gradient both optimizers only shrink: weight * (1 - lr * decay).
    torch.testing.assert_close(after["0.weight"], before["0.weight"] * 0.95)
    for key in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(after[key], before[key])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"])
def test_what_timm_exempts_is_not_decayed_in_an_encoder_either(name):
    network = timm.create_model(name, pretrained=False)
    listed = {path.rpartition(".")[2] for path in network.no_weight_decay()} & set(NOT_DECAYED)
    assert listed
    encoder = timm.create_model(name, pretrained=False, features_only=True)
    decayed, _ = (group["params"] for group in make_optimizer(encoder, TrainSettings()).param_groups)
    wrong = {id(value) for path, value in encoder.named_parameters() if path.rpartition(".")[2] in listed}
    assert wrong
    assert not wrong & {id(one) for one in decayed}


def test_frozen_parameters_are_left_out():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    optimizer = make_optimizer(model, TrainSettings())
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 0]


def test_sgd_keeps_its_momentum():
    assert make_optimizer(nn.Linear(1, 1), TrainSettings(optimizer="sgd", momentum=0.7)).defaults["momentum"] == 0.7
