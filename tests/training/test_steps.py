import weakref

import numpy as np
import pytest
import torch
from torch import nn

from competition.console import Ticker
from competition.data.datasets import TrainingSet
from competition.data.loader import Batch, collate
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.models.factory import build_model
from competition.training import loop
from competition.training.losses import bce, bce_dice
from competition.training.state import FoldState
from competition.training.steps import (
    backward_in_chunks,
    batch_loss,
    chunk_sizes,
    fewest_samples,
    make_optimizer,
    slice_batch,
    supervised_loss,
)


def small_network(seed=0):
    """Convolutions without batch normalisation, so that samples do not see each other."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 1))


@pytest.fixture(scope="module")
def batches(shared_hands, tiny_experiment):
    """(samples of all classes) and (samples of two or three classes): batches on a grid twice as fine as 32 pixels."""
    dataset = TrainingSet(shared_hands.train(), shared_hands.workspace, shared_hands.track, tiny_experiment())
    assert dataset.factor == 2
    return collate([dataset[i, 1] for i in (0, 2, 4, 6, 8)]), collate([dataset[i, 1] for i in range(4)])


def gradients(model):
    return [parameter.grad.clone() for parameter in model.parameters()]


def state_of(model, experiment, chunk=99, fewest=1):
    optimizer = make_optimizer(model, experiment.train)
    return FoldState(model, None, optimizer, torch.amp.GradScaler("cpu", enabled=False), "fp32", chunk, fewest)


def test_the_loss_of_a_batch_equals_dense_averages(batches, shared_hands):
    batch = batches[1]
    model = small_network()
    images, targets = [], []
    for index in range(4):
        raw = np.load(shared_hands.workspace.root / "raw" / f"{batch.samples[index]}.npy")
        blocks = batch.images[index, 0].double().numpy().reshape(32, 2, 32, 2).mean(axis=(1, 3))
        images.append((blocks - raw.mean()) / raw.std())
        masks = unpack_planes(batch.planes[index].numpy(), 3)
        targets.append(masks.astype(float).reshape(3, 32, 2, 32, 2).mean(axis=(2, 4)))
    logits = model(torch.tensor(np.stack(images)[:, None], dtype=torch.float32)).detach().double().numpy()
    probs, truth = 1 / (1 + np.exp(-logits)), np.stack(targets)
    assert 0 < ((truth > 0) & (truth < 1)).mean() < 0.3
    expected = -(truth * np.log(probs) + (1 - truth) * np.log(1 - probs)).mean()
    assert batch_loss(model, batch, 2, 3, bce, None).item() == pytest.approx(expected, rel=1e-4)


def block_means(masks, side):
    """(C, H, W) bool -> (C, side, side): the share of each block that is covered; blocks may be whole copies."""
    if side > masks.shape[-1]:
        return masks.astype(float).repeat(side // masks.shape[-1], 1).repeat(side // masks.shape[-1], 2)
    block = masks.shape[-1] // side
    return masks.astype(float).reshape(len(masks), side, block, side, block).mean(axis=(2, 4))


def test_several_outputs_are_each_compared_with_targets_of_their_own_size(batches):
    planes = batches[0].planes  # five samples on a grid of 64 pixels
    masks = [unpack_planes(sample.numpy(), 3) for sample in planes]
    random = np.random.default_rng(0)
    sides = (128, 64, 32, 8, 8)
    outputs = [random.normal(0, 2, (5, 3, side, side)) for side in sides]
    expected = []
    for side, logits in zip(sides, outputs, strict=True):
        truth, probs = np.stack([block_means(sample, side) for sample in masks]), 1 / (1 + np.exp(-logits))
        expected.append(-(truth * np.log(probs) + (1 - truth) * np.log(1 - probs)).mean())
    tensors = [torch.tensor(logits, dtype=torch.float32) for logits in outputs]
    assert len({round(value, 3) for value in expected}) == 5
    assert supervised_loss(tensors, planes, 3, bce).item() == pytest.approx(np.mean(expected), rel=1e-5)


class Several(nn.Module):
    """Answers on two grids while training, on the finer one otherwise."""

    def __init__(self):
        super().__init__()
        self.inner = small_network()

    def forward(self, images):
        logits = self.inner(images)
        fine = nn.functional.interpolate(logits, scale_factor=2)
        return [fine, nn.functional.avg_pool2d(logits, 4)] if self.training else fine


def test_a_batch_of_a_network_with_several_outputs_is_the_mean_of_their_losses(batches):
    model, batch = Several().train(), batches[0]
    total = batch_loss(model, batch, 2, 3, bce_dice, None)
    seen = []
    model.inner.register_forward_hook(lambda _, __, logits: seen.append(logits))
    again = batch_loss(model, batch, 2, 3, bce_dice, None)
    fine, coarse = nn.functional.interpolate(seen[0], scale_factor=2), nn.functional.avg_pool2d(seen[0], 4)
    parts = [supervised_loss([logits], batch.planes, 3, bce_dice).item() for logits in (fine, coarse)]
    assert abs(parts[0] - parts[1]) > 1e-3
    assert total.item() == again.item() == pytest.approx(np.mean(parts), rel=1e-6)
    model.eval()
    assert batch_loss(model, batch, 2, 3, bce_dice, None).item() == pytest.approx(parts[0], rel=1e-6)


def test_patients_reach_the_network_with_their_views(shared_patients, tiny_experiment):
    experiment = tiny_experiment(multiview=True)
    dataset = TrainingSet(shared_patients.train(), shared_patients.workspace, shared_patients.track, experiment)
    batch = collate([dataset[index, 0] for index in (2, 3)])
    seen = []

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, images, present):
            seen.append((images, present))
            return self.bias.expand(len(images), -1)

    loss = batch_loss(Network(), batch, 1, 3, bce, None)
    assert seen[0][0].shape == (2, 4, 1, 32, 32)
    assert seen[0][1].tolist() == [[True] * 4, [False, True, False, True]]
    assert loss.item() == pytest.approx(np.log(2))


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 99])
@pytest.mark.parametrize(("loss", "which"), [(bce, 0), (bce, 1), (bce_dice, 0)])
def test_chunks_give_the_gradients_of_the_whole_batch(batches, loss, which, chunk):
    model, batch = small_network(), batches[which]
    expected_loss = batch_loss(model, batch, 2, 3, loss, None)
    expected_loss.backward()
    expected = gradients(model)
    model.zero_grad()
    value = backward_in_chunks(
        batch,
        chunk_sizes(len(batch.samples), chunk, 1),
        lambda part: batch_loss(model, part, 2, 3, loss, None),
        lambda part: part.backward(),
    )
    assert value == pytest.approx(expected_loss.item(), rel=1e-5)
    for found, wanted in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("size", "chunk", "fewest", "sizes"),
    [
        (8, 9, 1, [8]),
        (8, 4, 1, [4, 4]),
        (5, 4, 1, [2, 3]),  # not 4 and 1
        (7, 3, 1, [2, 2, 3]),
        (3, 1, 1, [1, 1, 1]),
        (1, 1, 1, [1]),
        (3, 2, 2, [3]),  # two of them and one alone would be too few
        (5, 2, 2, [2, 3]),
        (4, 1, 2, [2, 2]),
        (1, 1, 2, [1]),
    ],
)
def test_chunks_are_even_and_none_is_too_small(size, chunk, fewest, sizes):
    assert chunk_sizes(size, chunk, fewest) == sizes


class OnePixel(nn.Module):
    """Normalises over the batch what is left of an image: one pixel where ``pooled``."""

    def __init__(self, pooled=True):
        super().__init__()
        self.pool, self.norm = nn.AdaptiveAvgPool2d(1 if pooled else 2), nn.BatchNorm2d(1)
        self.classes = nn.Conv2d(1, 3, 1)

    def forward(self, images):
        return self.classes(self.norm(self.pool(images)) + images.mean())


@pytest.mark.parametrize(("network", "fewest"), [(OnePixel(), 2), (OnePixel(pooled=False), 1), (nn.Conv2d(1, 3, 1), 1)])
def test_a_try_with_shapes_alone_finds_out_how_many_samples_are_needed(shared_hands, network, fewest):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert fewest_samples(network, shared_hands.track, 32) == fewest
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    images = torch.rand(fewest, 1, 32, 32)
    assert network(images).shape[:2] == (fewest, 3)
    if fewest == 2:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            network(images[:1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "encoder", "fewest"),
    [("DeepLabV3Plus", "tu-resnet10t", 2), ("Unet", "tu-resnet10t", 1), ("Segformer", "mit_b0", 1)],
)
def test_networks_that_are_built_say_how_many_samples_they_need(
    shared_hands, tiny_experiment, architecture, encoder, fewest
):
    settings = {"architecture": architecture, "encoder": encoder, "decoder_channels": None}
    model = build_model(tiny_experiment(model=settings, data={"size": 64}), shared_hands.track)
    assert fewest_samples(model, shared_hands.track, 64) == fewest


def test_patients_in_single_batches_are_normalised_over_their_views(shared_patients, tiny_experiment):
    model = build_model(tiny_experiment(multiview=True), shared_patients.track)
    assert fewest_samples(model, shared_patients.track, 32) == 1


def test_a_slice_cuts_every_field():
    batch = Batch(
        samples=["a", "b", "c"],
        images=torch.arange(3),
        planes=None,
        targets=torch.arange(3) + 10,
        present=torch.tensor([True, False, True]),
        mean=torch.arange(3) + 20,
        std=torch.arange(3) + 30,
        whole=4,
    )
    part = slice_batch(batch, 1, 3)
    assert (part.samples, part.whole) == (["b", "c"], 2)
    assert part.planes is None
    assert (part.images.tolist(), part.targets.tolist(), part.present.tolist()) == ([1, 2], [11, 12], [False, True])
    assert (part.mean.tolist(), part.std.tolist()) == ([21, 22], [31, 32])


def run_epoch(shared_hands, experiment, tmp_path, parts, model=None):
    model = model or small_network()
    state = state_of(model, experiment)
    job = shared_hands.job(experiment, tmp_path)
    row = loop._train_epoch(job, state, parts, len(parts), 2, Ticker("test", len(parts)))
    return state, row


def steps_experiment(tiny_experiment, accumulate, **settings):
    train = {"optimizer": "sgd", "loss": "bce", "lr": 0.5, "clip": None, "accumulate": accumulate, "ema": False}
    return tiny_experiment(train=train | {"schedule": "step", "warmup_epochs": 0} | settings)


def test_two_accumulated_batches_are_one_of_twice_the_size(batches, shared_hands, tiny_experiment, tmp_path):
    batch = batches[1]
    halves = [slice_batch(batch, 0, 2), slice_batch(batch, 2, 4)]
    apart, row = run_epoch(shared_hands, steps_experiment(tiny_experiment, 2), tmp_path, halves)
    whole, whole_row = run_epoch(shared_hands, steps_experiment(tiny_experiment, 1), tmp_path, [batch])
    assert (apart.step, whole.step) == (1, 1)
    assert row["loss"] == pytest.approx(whole_row["loss"], rel=1e-5)
    fresh = small_network()
    for name, value in apart.model.named_parameters():
        torch.testing.assert_close(value, whole.model.get_parameter(name), rtol=1e-5, atol=1e-7)
        assert not torch.allclose(value, fresh.get_parameter(name))


def test_a_last_smaller_group_is_still_a_mean(batches, shared_hands, tiny_experiment, tmp_path):
    batch = batches[1]
    parts = [slice_batch(batch, 0, 2), slice_batch(batch, 2, 4), slice_batch(batch, 1, 3)]
    plain_sgd = steps_experiment(tiny_experiment, 2, momentum=0, weight_decay=0)
    state, _ = run_epoch(shared_hands, plain_sgd, tmp_path, parts)
    assert state.step == 2
    model = small_network()
    for group in (batch, parts[2]):
        model.zero_grad()
        batch_loss(model, group, 2, 3, bce, None).backward()
        for parameter in model.parameters():
            parameter.data -= 0.5 * parameter.grad
    for name, value in state.model.named_parameters():
        torch.testing.assert_close(value, model.get_parameter(name), rtol=1e-4, atol=1e-6)


class Limited(nn.Module):
    """A network on a device that holds ``limit`` samples; ``spared`` calls fit in any case."""

    def __init__(self, limit, spared=0):
        super().__init__()
        self.inner, self.limit, self.spared = small_network(), limit, spared
        self.sizes, self.held = [], lambda: None

    def forward(self, images):
        assert self.held() is None  # nothing of the step before is kept, even if it failed
        self.held = weakref.ref(_activations := images * 2)
        self.sizes.append(len(images))
        if len(images) > self.limit and len(self.sizes) > self.spared:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self.inner(images)


def test_short_memory_halves_the_chunks_and_goes_on_with_the_same_gradients(
    batches, shared_hands, tiny_experiment, tmp_path, capsys
):
    experiment, batch, limited = steps_experiment(tiny_experiment, 1), batches[0], Limited(1)  # five samples
    state, _ = run_epoch(shared_hands, experiment, tmp_path, [batch, batch], limited)
    assert limited.sizes == [5, 1, 2] + [1] * 5 + [1] * 5
    assert state.chunk == 1
    assert "chunks of at most 1" in capsys.readouterr().out
    whole, _ = run_epoch(shared_hands, experiment, tmp_path, [batch, batch])
    for name, value in limited.inner.named_parameters():
        torch.testing.assert_close(value, whole.model.get_parameter(name), rtol=1e-4, atol=1e-6)


def test_gradients_of_chunks_before_the_failure_do_not_count_twice(batches, shared_hands, tiny_experiment, tmp_path):
    experiment, batch, limited = steps_experiment(tiny_experiment, 1), batches[0], Limited(1)
    state = state_of(limited, experiment, chunk=2)
    loop._add_gradients(shared_hands.job(experiment, tmp_path), state, [batch], 2)
    assert limited.sizes == [1, 2, 1, 1, 1, 1, 1]
    model = small_network()
    batch_loss(model, batch, 2, 3, bce, None).backward()
    for found, wanted in zip(gradients(limited.inner), gradients(model), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)


def test_a_failure_in_a_later_batch_keeps_the_gradients_of_those_before(
    batches, shared_hands, tiny_experiment, tmp_path, monkeypatch
):
    experiment = steps_experiment(tiny_experiment, 3)
    group = [slice_batch(batches[0], 0, 2), slice_batch(batches[1], 0, 4), slice_batch(batches[0], 2, 5)]
    limited = Limited(2, spared=1)
    state, row = run_epoch(shared_hands, experiment, tmp_path, group, limited)
    # Two samples fit, four do not: the three batches are done again, two samples at a time.
    assert limited.sizes == [2, 4, 2, 2, 2, 1, 2]
    assert (state.chunk, state.step) == (2, 1)
    whole, whole_row = run_epoch(shared_hands, experiment, tmp_path, group)
    assert row["loss"] == pytest.approx(whole_row["loss"], rel=1e-5)
    for name, value in limited.inner.named_parameters():
        torch.testing.assert_close(value, whole.model.get_parameter(name), rtol=1e-5, atol=1e-7)


def test_memory_too_short_for_one_sample_says_what_to_do(batches, shared_hands, tiny_experiment, tmp_path):
    with pytest.raises(CompetitionError, match=r"does not hold one sample of 32 pixels.*data\.crop.*data\.size"):
        run_epoch(shared_hands, steps_experiment(tiny_experiment, 1), tmp_path, [batches[0]], Limited(0))


def test_a_network_that_needs_two_samples_is_never_shown_one(batches, shared_hands, tiny_experiment, tmp_path):
    experiment, limited = steps_experiment(tiny_experiment, 1), Limited(3)
    state, job = state_of(limited, experiment, fewest=2), shared_hands.job(experiment, tmp_path)
    loop._add_gradients(job, state, [batches[0]], 2)
    assert limited.sizes == [5, 2, 3]
    limited.limit = 2
    with pytest.raises(CompetitionError, match=r"does not hold the 3 samples it must see at once of 32 pixels"):
        loop._add_gradients(job, state, [batches[0]], 2)
    assert limited.sizes[3:] == [2, 3]
