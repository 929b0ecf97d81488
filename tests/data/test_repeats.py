import pytest

from competition.data.draw_sampler import DrawSampler
from competition.data.resolution import suggested_repeats
from competition.settings import TrainSettings


@pytest.mark.parametrize("samples", [1, 2, 4, 5, 6, 12, 47, 48, 49, 300])
@pytest.mark.parametrize(("epochs", "batch_size"), [(20, 8), (30, 4), (1, 8), (200, 2)])
def test_a_handful_of_samples_is_drawn_until_there_are_120_steps_and_no_longer(samples, epochs, batch_size):
    repeats = suggested_repeats(samples, TrainSettings(epochs=epochs, batch_size=batch_size))

    def steps(repeats):
        return epochs * len(DrawSampler([(32, 32)] * samples, batch_size, repeats, seed=0))

    # A single last sample joins the batch before it, which may take one step from each epoch.
    assert steps(repeats) >= 120 - epochs
    assert repeats == 1 or steps(repeats - 1) < 120


def test_enough_samples_are_drawn_once():
    assert suggested_repeats(48, TrainSettings(epochs=20, batch_size=8)) == 1
    assert suggested_repeats(4, TrainSettings(epochs=20, batch_size=8)) == 11
