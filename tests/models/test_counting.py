"""The encoder that counts: its features follow the number of objects and not their places."""

from dataclasses import replace

import pytest
import torch

from competition.errors import CompetitionError
from competition.models.counting import KINDS, CountingEncoder
from competition.models.factory import build_model


def spots(*places):
    image = torch.zeros(1, 3, 256, 256)
    for row, column in places:
        image[..., row : row + 16, column : column + 16] = 2
    return image


def test_a_mean_density_is_proportional_to_the_number_of_objects():
    torch.manual_seed(0)
    encoder = CountingEncoder(3).eval()
    encoder.scale = torch.nn.Identity()
    with torch.inference_mode():
        none, one, moved, three = (
            encoder(image)[0, :KINDS]
            for image in (spots(), spots((96, 96)), spots((96, 128)), spots((32, 32), (32, 192), (192, 96)))
        )
    assert (one - none).abs().max() > 1e-5
    torch.testing.assert_close(one, moved, rtol=1e-4, atol=1e-6)  # by a multiple of the stride of 8
    torch.testing.assert_close(three - none, 3 * (one - none), rtol=1e-2, atol=2e-6)


def test_there_are_no_pretrained_weights(tiny_experiment, shared_patients):
    experiment = tiny_experiment(multiview=True, model={"encoder": "counting", "pretrained": True})
    with pytest.raises(CompetitionError, match="no pretrained weights of counting"):
        build_model(experiment, shared_patients.track)


def test_grades_have_one_number_and_classes_of_their_own_have_as_many(tiny_experiment, shared_patients):
    experiment = tiny_experiment(multiview=True, model={"encoder": "counting"})
    images = torch.randn(2, len(shared_patients.track.views), 1, 32, 32)
    present = torch.ones(images.shape[:2], dtype=torch.bool)
    for targets, outputs in (("multilabel", len(shared_patients.track.classes)), ("ordinal", 1)):
        track = replace(shared_patients.track, targets=targets)
        model = build_model(experiment, track).eval()
        assert model.head.out_features == outputs
        assert model(images, present).shape == (2, len(track.classes))
