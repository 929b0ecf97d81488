"""An encoder that learns from images alone does so once, before training, and training leaves it as it is."""

from dataclasses import replace

import pytest
import torch

from competition.explanation.grad_cam import grad_cam
from competition.models.patches import PatchEncoder
from competition.training import loop
from competition.training.checkpoints import load_checkpoint
from competition.training.state import open_start

pytestmark = pytest.mark.slow


@pytest.fixture
def job(shared_patients, tiny_experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("competition.models.patches.PATCHES", 2000)
    monkeypatch.setattr(
        "competition.models.multiview.OWN_ENCODERS", {"patches": lambda channels: PatchEncoder(channels, 12)}
    )
    experiment = tiny_experiment(
        multiview=True,
        model={"encoder": "patches", "dropout": 0.3},
        data={"augmentation": "light"},
        train={"epochs": 3, "lr": 1e-2},
    )
    return shared_patients.job(experiment, tmp_path)


def encoder_weights(stored):
    return {name: value for name, value in stored.items() if name.startswith("encoder.")}


def test_patches_are_learned_before_training_and_stay(job, monkeypatch):
    before = encoder_weights(open_start(job)[0].state_dict())
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_optimizer_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loop.train_fold(job)
    start = load_checkpoint(job.folder / "last.pt")
    assert start["epoch"] == 0
    patches = encoder_weights(start["model"])
    assert all(not torch.equal(patches[name], before[name]) for name in before)
    monkeypatch.setattr(PatchEncoder, "learn", lambda *_: 1 / 0)  # an interrupted run goes on with its own
    state = loop.train_fold(job)
    for weights in (state.model.state_dict(), state.predicting().state_dict()):
        kept = encoder_weights(weights)
        assert all(torch.equal(kept[name], patches[name]) for name in patches)
    assert not torch.equal(state.model.head.weight.cpu(), start["model"]["head.weight"])


def test_the_views_of_a_patient_are_images_of_their_own(job, monkeypatch):
    """Otherwise a patient of eight views gives eight times the patches, and the memory for them."""
    seen = []
    monkeypatch.setattr(
        PatchEncoder, "learn", lambda _, batches, images, seed: seen.append((images, sum(map(len, batches()))))
    )
    loop.train_fold(job)
    assert seen == [(sum(sum(entry.present) for entry in job.training),) * 2]


def test_a_warm_start_brings_its_own_patches(job, tmp_path, monkeypatch):
    patches = encoder_weights(loop.train_fold(job).model.state_dict())
    monkeypatch.setattr(PatchEncoder, "learn", lambda *_: 1 / 0)
    model = job.experiment.model.model_copy(update={"init": job.folder / "weights.pt"})
    later = replace(job, experiment=job.experiment.model_copy(update={"model": model}), folder=tmp_path / "later")
    later.folder.mkdir()
    kept = encoder_weights(loop.train_fold(later).model.state_dict())
    assert all(torch.equal(kept[name], patches[name]) for name in patches)


def test_grad_cam_explains_the_nearness_of_patches(job):
    network = loop.train_fold(job).predicting().eval()
    images = torch.randn(1, len(job.track.views), 1, 32, 32)
    present = torch.ones(1, len(job.track.views), dtype=torch.bool)
    maps = grad_cam(network, (images, present), lambda logits: logits[0, 0])
    assert maps.shape == (len(job.track.views), 11, 11)
    assert maps.sum() > 0
