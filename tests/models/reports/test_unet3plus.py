"""UNet 3+ against its paper: the published parameter count, and its formula written out in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from competition.models.reports.unet3plus import UNet3Plus
from competition.prediction.predictor import make_predictor
from competition.training.checkpoints import load_network, load_trained
from competition.training.loop import held_out_score, train_fold


def on_meta(**options):
    with torch.device("meta"):
        return UNet3Plus(**({"channels": 1, "classes": 29, "prior": 0.01} | options))


def tiny(**options):
    torch.manual_seed(0)
    return UNet3Plus(**({"channels": 1, "classes": 3, "prior": 0.02, "width": 2} | options))


DS_2048 = {"deep_supervision": True, "output_scale": 4}
EFF = {"rate": 4, "deep_supervision": True, "output_scale": 2, "most_enlarged": 4}
FORMS = {"plain": {}, "ds": {"deep_supervision": True}, "ds_2048": DS_2048, "ds_2048_eff": EFF}


def parameters(model):
    return sum(value.numel() for value in model.parameters())


def test_it_has_the_papers_number_of_parameters():
    # Huang et al., table 1: 26.97 million for colour images and one class.
    assert round(parameters(on_meta(channels=3, classes=1)) / 1e6, 2) == 26.97


def test_the_efficient_form_has_a_quarter_of_the_parameters_of_the_unhalved_one():
    assert parameters(on_meta(width=32, **EFF)) / parameters(on_meta(**DS_2048)) == pytest.approx(0.25, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "side", "sides"),
    [
        ("plain", 512, [512]),
        ("ds", 512, [512] * 5),
        ("ds_2048", 512, [2048, 512, 512, 512, 512]),
        ("ds_2048_eff", 1024, [2048, 1024, 256, 64, 16]),
    ],
)
def test_outputs_have_the_sizes_of_the_report(form, side, sides):
    model = on_meta(**FORMS[form])
    images = torch.zeros(2, 1, side, side, device="meta")
    trained = model.train()(images)
    shapes = [tuple(logits.shape) for logits in (trained if isinstance(trained, list) else [trained])]
    assert shapes == [(2, 29, size, size) for size in sides]
    assert model.eval()(images).shape == (2, 29, sides[0], sides[0])


@pytest.mark.parametrize(("scale", "size_hw"), [(4, (32, 48)), (2, (16, 16)), (1, (48, 16))])
def test_the_enlarging_head_gives_exactly_so_many_times_the_size(scale, size_hw):
    logits = tiny(output_scale=scale).eval()(torch.zeros(1, 1, *size_hw))
    assert logits.shape == (1, 3, scale * size_hw[0], scale * size_hw[1])


def convolved(features, layer):
    """A normalised 3x3 convolution in evaluation: four loops' worth of sums, then mean, deviation and ReLU."""
    kernel, norm = layer[0].weight.detach().double().numpy(), layer[1]
    padded = np.pad(features, [(0, 0), (1, 1), (1, 1)])
    height, width = features.shape[1:]
    result = np.zeros((len(kernel), height, width))
    for row in range(3):
        for column in range(3):
            window = padded[:, row : row + height, column : column + width]
            result += np.tensordot(kernel[:, :, row, column], window, axes=1)
    values = [getattr(norm, name).detach().double().numpy() for name in ("running_mean", "running_var")]
    result = (result - values[0][:, None, None]) / np.sqrt(values[1][:, None, None] + norm.eps)
    scale, shift = (part.detach().double().numpy()[:, None, None] for part in (norm.weight, norm.bias))
    return np.maximum(result * scale + shift, 0)


def pooled(features, rate):
    channels, height, width = features.shape
    return features.reshape(channels, height // rate, rate, width // rate, rate).max(axis=(2, 4))


def enlarged(features, scale):
    """Bilinear with half-pixel centres, by a matrix per side."""
    for axis in (1, 2):
        have = features.shape[axis]
        place = np.clip((np.arange(have * scale) + 0.5) / scale - 0.5, 0, have - 1)
        low = np.floor(place).astype(int)
        matrix = np.zeros((have * scale, have))
        matrix[np.arange(have * scale), low] += 1 - (place - low)
        matrix[np.arange(have * scale), np.minimum(low + 1, have - 1)] += place - low
        features = np.moveaxis(np.tensordot(matrix, features, axes=(1, axis)), 0, axis)
    return features


def by_the_paper(model, image, rate):
    """Decoder levels X_De^1 .. X_De^5 of Huang et al., equation 1."""
    encoder = []
    for level in range(5):
        features = image if level == 0 else pooled(encoder[-1], rate)
        for layer in model.encoder[level]:
            features = convolved(features, layer)
        encoder.append(features)
    decoder = {4: encoder[4]}
    for level in (3, 2, 1, 0):
        seen = [
            *(pooled(encoder[finer], rate ** (level - finer)) for finer in range(level)),
            encoder[level],
            *(enlarged(decoder[coarser], rate ** (coarser - level)) for coarser in range(level + 1, 5)),
        ]
        joined = np.concatenate([convolved(part, model.branches[level][scale]) for scale, part in enumerate(seen)])
        decoder[level] = convolved(joined, model.fusions[level])
    return [decoder[level] for level in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "size_hw"), [(2, (32, 16)), (4, (256, 256))])
def test_features_equal_the_papers_formula(rate, size_hw):
    model = tiny(rate=rate).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for value in (layer.running_mean, layer.weight.data, layer.bias.data):
                nn.init.uniform_(value, 0.2, 1.0)
            nn.init.uniform_(layer.running_var, 0.05, 0.2)
    image = torch.randn(1, 1, *size_hw)
    expected = by_the_paper(model, image[0].double().numpy(), rate)
    with torch.inference_mode():
        found = model._decode(model._encode(image))
    for features, truth in zip(found, expected, strict=True):
        assert truth.std() > 0
        np.testing.assert_allclose(features[0].numpy(), truth, rtol=1e-3, atol=1e-4 * np.abs(truth).max())


def supervised(model):
    """Training mode for what it gives, evaluation mode for its normalisation."""
    model.train()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    return model


@pytest.mark.parametrize("form", ["ds", "ds_2048", "ds_2048_eff"])
def test_deep_supervision_gives_more_while_training_and_the_same_first(form):
    model = tiny(**FORMS[form])
    images = torch.randn(1, 1, model.stride, model.stride)
    with torch.inference_mode():
        several, alone = supervised(model)(images), model.eval()(images)
    assert len(several) == 5
    torch.testing.assert_close(several[0], alone)


@pytest.mark.parametrize(("form", "scales"), [("ds", (1, 2, 4, 8, 16)), ("ds_2048_eff", (1, 4, 4, 4, 4))])
def test_the_coarser_outputs_are_the_heads_of_their_levels_enlarged(form, scales):
    model = supervised(tiny(**FORMS[form]))
    images = torch.randn(1, 1, model.stride, model.stride)
    with torch.inference_mode():
        outputs, levels = model(images), model._decode(model._encode(images))
        for level in range(1, 5):
            expected = enlarged(model.heads[level](levels[level])[0].double().numpy(), scales[level])
            np.testing.assert_allclose(outputs[level][0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_every_head_without_weights_answers_the_prior_up_to_the_border(form):
    model = tiny(**FORMS[form])
    for head in model.heads:
        nn.init.zeros_(head.weight)
    with torch.no_grad():
        outputs = model.train()(torch.randn(2, 1, model.stride, model.stride))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    assert len(outputs) == (1 if form == "plain" else 5)
    for logits in outputs:
        torch.testing.assert_close(logits.sigmoid(), torch.full_like(logits, 0.02))


def test_the_enlarging_head_starts_as_plain_enlargement_of_a_network_trained_without_it():
    small, large = tiny(deep_supervision=True).eval(), tiny(**DS_2048).eval()
    missing, unexpected = large.load_state_dict(small.state_dict(), strict=False)
    assert (sorted(missing), unexpected) == (["enlarge.1.bias", "enlarge.1.weight"], [])
    images = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        expected = enlarged(small(images)[0].double().numpy(), 4)
        np.testing.assert_allclose(large(images)[0].numpy(), expected, atol=1e-5)


def test_the_enlarging_convolution_sees_each_class_on_its_own():
    model = tiny(output_scale=2)
    assert model.enlarge[1].weight.shape == (3, 1, 3, 3)
    assert model.enlarge[1].groups == 3


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_gradients_reach_every_parameter(form):
    model = tiny(**FORMS[form]).train()
    outputs = model(torch.randn(2, 1, model.stride, model.stride))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    sum(logits.square().mean() for logits in outputs).backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]


def test_dropout_stands_before_every_head_and_is_silent_in_prediction():
    model = tiny(deep_supervision=True, dropout=0.5)
    images = torch.randn(1, 1, 32, 32)
    first, second = supervised(model)(images), model(images)
    supervised_apart = [not torch.equal(one, other) for one, other in zip(first, second, strict=True)]
    assert any(supervised_apart)
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_tiny_one_learns_two_images_by_heart(shared_hands, tiny_experiment, tmp_path):
    # From step to score by the training loop itself: several outputs, moving average, checkpoint, map at native size.
    model = {"architecture": "unet3plus_ds_2048", "decoder_channels": None, "width": 4}
    train = {"epochs": 40, "lr": 2e-2, "validate_every": 40, "loss": "bce_dice"}
    experiment = tiny_experiment(model=model, data={"oversample": 2}, train=train)
    both = [entry for entry in shared_hands.train() if min(entry.targets)][:2]  # all three classes are there
    state = train_fold(replace(shared_hands.job(experiment, tmp_path), training=both, held_out=both))
    assert state.score > 0.9
    trained = load_trained(tmp_path / "weights.pt")
    network = load_network(trained, shared_hands.track)
    predictor = make_predictor([network], trained.experiment, shared_hands.track, shared_hands.workspace, None)
    assert held_out_score(predictor, shared_hands.workspace, both) == pytest.approx(state.score)
