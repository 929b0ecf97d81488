"""The baseline by rules, on pictures of which the answer is plain and on those where there is none."""

import numpy as np
import pytest
import torch

from competition.errors import CompetitionError
from competition.models.factory import build_model
from competition.models.reports.classical_spine import ClassicalSpine, find_vertebrae
from competition.settings import Experiment
from competition.tracks.hand_bone.track import HAND_BONE
from competition.tracks.lumbar.track import LUMBAR

HEIGHT, WIDTH = 256, 160
BODY = 24, 30  # rows and columns
LEVEL = 32


def column(count=6, middle=0.46, lean=0.0):
    """A standardised picture of bright boxes on a dark ground, and their masks from the top down."""
    masks = np.zeros((count, HEIGHT, WIDTH), bool)
    top = round(middle * HEIGHT - count * LEVEL / 2) + (LEVEL - BODY[0]) // 2
    for index in range(count):
        row = top + index * LEVEL
        left = round(65 + lean * (index - count / 2) * LEVEL)
        masks[index, max(row, 0) : row + BODY[0], left : left + BODY[1]] = True
    grey = 60 + 90 * masks.any(axis=0) + np.random.default_rng(0).normal(0, 3, (HEIGHT, WIDTH))
    return ((grey - grey.mean()) / grey.std()).astype(np.float32), masks


def overlap(found, masks):
    return [2 * (a & b).sum() / max(1, a.sum() + b.sum()) for a, b in zip(found, masks, strict=True)]


@pytest.mark.parametrize("lean", [0.0, 0.3, -0.3])
def test_six_clear_boxes_are_found_in_order(lean):
    picture, masks = column(lean=lean)
    found = find_vertebrae(picture)
    assert (found.shape, found.dtype) == ((6, HEIGHT, WIDTH), np.bool_)
    assert min(overlap(found, masks)) > 0.75
    rows = [np.nonzero(mask)[0].mean() for mask in found]
    assert rows == sorted(rows)


def test_of_eight_boxes_the_most_central_six_are_taken():
    picture, masks = column(count=8, middle=0.5)
    # The middles of the three sixes are rows 96, 128 and 160; that of a film is 0.46 * 256 = 118.
    scores = [np.mean(overlap(find_vertebrae(picture), masks[first : first + 6])) for first in range(3)]
    assert int(np.argmax(scores)) == 1
    assert scores[1] > 0.7


def test_exposure_and_a_slow_change_of_it_do_not_matter():
    picture, masks = column()
    sloped = picture * 40 + 100 + np.linspace(-200, 200, HEIGHT, dtype=np.float32)[:, None]
    sloped = (sloped - sloped.mean()) / sloped.std()
    assert min(overlap(find_vertebrae(sloped), masks)) > 0.7


def test_where_there_are_no_six_nothing_is_found():
    assert not find_vertebrae(np.zeros((HEIGHT, WIDTH), np.float32)).any()
    assert not find_vertebrae(np.zeros((8, 5), np.float32)).any()


def classical(**sections):
    settings = {"model": {"architecture": "classical", "pretrained": False, "prior": 0.02}, **sections}
    return Experiment.model_validate(settings)


def test_as_a_network_it_answers_the_prior_outside_and_its_opposite_inside():
    network = build_model(classical(), LUMBAR)
    picture, _ = column()
    images = torch.from_numpy(np.stack([picture, np.zeros_like(picture)]))[:, None]
    probs = network(images).sigmoid().detach().numpy()
    inside = find_vertebrae(picture)
    np.testing.assert_allclose(probs[0], np.where(inside, 0.98, 0.02), atol=1e-6)
    np.testing.assert_allclose(probs[1], 0.02, atol=1e-6)


def test_all_that_it_learns_is_how_sure_it_is():
    network = ClassicalSpine(1, 6, 0.1)
    assert [tuple(value.shape) for value in network.parameters()] == [()]
    picture, masks = column()
    logits = network(torch.from_numpy(picture)[None, None])
    torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(masks)[None].float()).backward()
    assert network.confidence.grad is not None
    assert network.confidence.grad < 0  # right nearly everywhere, so it should be surer


def test_it_is_for_spines_alone():
    with pytest.raises(CompetitionError, match="6 vertebrae"):
        build_model(classical(), HAND_BONE)
    with pytest.raises(ValueError, match="without dropout"):
        ClassicalSpine(1, 6, 0.1, dropout=0.2)
