from dataclasses import replace

import pytest

from competition.errors import CompetitionError
from competition.planning.devices import GB, Machine
from competition.planning.fitting import largest_batch, largest_side, split_batch
from competition.planning.run_cost import cost_of
from competition.planning.step_cost import Draws
from competition.tracks import get_track

TRACK = get_track("hand_bone")
DRAWS = Draws(4, (64, 64), 1)


def machine(memory):
    return Machine("a card", round(memory), on_cuda=True, precision="bf16")


def needed(experiment, samples, accumulate, side=64):
    train = experiment.train.model_copy(update={"batch_size": samples, "accumulate": accumulate})
    changed = experiment.model_copy(update={"train": train})
    large = machine(100 * GB)
    return large.needed(cost_of(changed, TRACK, replace(DRAWS, samples=samples, size_hw=(side, side)), large))


def test_the_largest_batch_fits_and_is_found_within_a_tenth(tiny_experiment):
    experiment = tiny_experiment()
    limit = machine(needed(experiment, 37, 1) + 1000)
    found = largest_batch(experiment, TRACK, DRAWS, cost_of(experiment, TRACK, DRAWS, limit), limit)
    assert 34 <= found <= 37


def test_the_largest_side_fits(tiny_experiment):
    experiment = tiny_experiment()
    limit = machine(needed(experiment, 4, 1, side=256) + 1000)
    assert largest_side(experiment, TRACK, DRAWS, cost_of(experiment, TRACK, DRAWS, limit), limit) in (224, 256)


@pytest.mark.parametrize(("fitting", "size"), [(12, 12), (11, 6), (4, 4), (1, 1)])
def test_the_split_is_the_largest_divisor_of_the_effective_batch_that_fits(tiny_experiment, fitting, size):
    experiment = tiny_experiment(train={"batch_size": 4, "accumulate": 3})
    memory = needed(experiment, fitting, 1 if fitting == 12 else 12 // size) + 1000
    assert split_batch(experiment, TRACK, DRAWS, machine(memory)) == size


def test_nothing_fits(tiny_experiment):
    with pytest.raises(
        CompetitionError, match=r"a batch of 1 needs 1\.\d GB, and a card has 1\.0 GB free.*gradient_check"
    ):
        split_batch(tiny_experiment(), TRACK, DRAWS, machine(GB))


def test_a_network_that_normalises_single_pixels_gets_two_samples(tiny_experiment):
    model = {"architecture": "DeepLabV3Plus", "encoder": "tu-resnet10t", "decoder_channels": None}
    experiment = tiny_experiment(model=model, train={"batch_size": 2, "accumulate": 2})
    with pytest.raises(CompetitionError, match="a batch of 2 needs"):
        split_batch(experiment, TRACK, DRAWS, machine(GB))
