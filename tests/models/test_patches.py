"""The encoder of patches: what it learns without labels, beside NumPy in float64."""

import numpy as np
import pytest
import torch

from competition.errors import CompetitionError
from competition.models.patches import PARTS, SIDE, STRIDE, PatchEncoder

WORDS = 20


def textures(number, channels=1, seed=0, spotted=()):
    """Smooth noise; images of ``spotted`` have one small bright disc."""
    random = np.random.default_rng(seed)
    images = random.normal(size=(number, channels, 48, 48)).astype(np.float32)
    for _ in range(3):
        images = (images + np.roll(images, 1, 2) + np.roll(images, 1, 3)) / 2
    images = (images - images.mean()) / images.std()
    rows, columns = np.mgrid[:48, :48]
    for place in spotted:
        row, column = random.integers(8, 40, 2)
        images[place, :, np.hypot(rows - row, columns - column) < 3.5] += 6
    return torch.from_numpy(images)


def learned(images, words=WORDS, seed=0):
    encoder = PatchEncoder(images.shape[1], words)
    encoder.learn(lambda: images.split(4), len(images), seed)
    return encoder.eval()


@pytest.mark.parametrize("channels", [1, 3])
def test_nearness_is_that_of_distances_between_whitened_patches(channels):
    images = textures(8, channels)
    encoder = learned(images)
    near = encoder.nearness(encoder.whitening(images))
    row, column = 3, 5
    patch = images[2, :, row * STRIDE : row * STRIDE + SIDE, column * STRIDE : column * STRIDE + SIDE]
    whitening = encoder.whitening.weight.double().numpy().reshape(PARTS, -1)
    whitened = whitening @ patch.double().numpy().ravel() + encoder.whitening.bias.double().numpy()
    distances = np.linalg.norm(encoder.nearness.words.double().numpy() - whitened, axis=1)
    expected = np.maximum(distances.mean() - distances, 0)
    assert (expected > 0).any()
    np.testing.assert_allclose(near[2, :, row, column].numpy(), expected, rtol=1e-4, atol=1e-4)
    raw = encoder(images) * encoder.deviation + encoder.mean
    np.testing.assert_allclose(raw[:, :WORDS].numpy(), near.double().mean(dim=(2, 3)).numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(raw[:, WORDS:].numpy(), near.amax(dim=(2, 3)).numpy(), rtol=1e-3, atol=1e-5)


def test_whitened_patches_have_no_correlations_and_features_are_standardised():
    images = textures(12)
    encoder = learned(images)
    windows = images.unfold(2, SIDE, 1).unfold(3, SIDE, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, SIDE * SIDE).double()
    weights = encoder.whitening.weight.double().reshape(PARTS, -1)
    covariance = torch.cov((windows @ weights.T).T).numpy()
    large = covariance.diagonal() > 0.5  # the smallest variances are damped on purpose
    assert large.sum() > 5
    assert np.abs(covariance - np.diag(covariance.diagonal())).max() < 0.1
    np.testing.assert_allclose(covariance.diagonal()[large], 1, atol=0.5)
    features = encoder(images)
    np.testing.assert_allclose(features.mean(dim=0).numpy(), 0, atol=1e-3)
    seen = encoder.deviation > 1e-3
    np.testing.assert_allclose(features.std(dim=0)[seen].numpy(), 1, atol=1e-2)


def test_a_feature_tells_images_with_a_small_rare_thing_from_others():
    """No label says what is rare; the labels only choose the feature afterwards."""
    spotted = range(0, 40, 2)
    features = learned(textures(40, spotted=spotted), words=40)(textures(40, seed=1, spotted=spotted))
    best = (features[::2].amin(dim=0) > features[1::2].amax(dim=0)).nonzero()
    assert (best < 40).any()
    assert (best >= 40).any()


def test_equal_seeds_learn_equal_weights_and_nothing_is_trained_by_labels():
    images = textures(8)
    first, second, other = learned(images), learned(images), learned(images, seed=1)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert not torch.equal(first.nearness.words, other.nearness.words)
    assert not any(weight.requires_grad for weight in first.parameters())


def test_images_without_structure_are_refused():
    with pytest.raises(CompetitionError, match="only 0 patches that are not of a single colour"):
        PatchEncoder(1, WORDS).learn(lambda: [torch.ones(4, 1, 48, 48)], 4, 0)
