"""How often an epoch draws each sample where nobody said so."""

from competition.config import TrainSettings

# Drawn legs, two seeds each, Dice of unseen people: from 6 images 0.70 and 0.41 after 20 steps, 0.92 and 0.89 after 60,
# 0.93 and 0.95 after 120; from 12 images 0.65 and 0.67 after 40 steps, 0.81 and 0.87 after 60, 0.91 and 0.91 after 120.
FEWEST_STEPS = 120


def suggested_repeats(samples: int, settings: TrainSettings) -> int:
    """Returns how often an epoch has to draw each sample so that training takes about 120 steps at least.

    Args:
        samples: Number of training samples.
        settings: The epochs and the batch size.
    """
    batches_in_epoch = -(-FEWEST_STEPS // settings.epochs)
    draws = (batches_in_epoch - 1) * settings.batch_size + 1  # the last batch may hold a single sample
    return max(1, -(-draws // samples))
