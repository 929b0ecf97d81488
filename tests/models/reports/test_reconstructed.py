import numpy as np
import pytest
import torch

from competition.models.multiview import MultiViewClassifier
from competition.models.reports.reconstructed import ReconstructedClassifier, autoencoder
from competition.training.losses import bce_first_and_own

OPTIONS = {
    "encoder": "test_resnet",
    "pretrained": False,
    "channels": 1,
    "classes": 3,
    "views": 2,
    "visible": None,
    "size": 32,
    "prior": 0.05,
    "dropout": 0.0,
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ReconstructedClassifier(**OPTIONS)


@pytest.fixture
def images():
    return torch.randn(3, 2, 1, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 40), (39, 31), (1, 9)])
def test_a_reconstruction_has_the_size_of_its_picture(network, height, width):
    images = torch.randn(2, 2, 1, height, width)
    assert network.reconstruct(images).shape == images.shape


def test_what_passes_is_an_eighth_of_the_numbers():
    layers = autoencoder(1)
    narrowest = min(layers[:n](torch.zeros(1, 1, 64, 64)).numel() for n in range(1, len(layers) + 1))
    assert narrowest == 64 * 64 / 8


def test_the_classifier_sees_the_reconstructions(network, images):
    present = torch.tensor([[True, True], [True, False], [True, True]])
    plain = MultiViewClassifier(**OPTIONS).eval()
    plain.load_state_dict({name: value for name, value in network.state_dict().items() if "autoencoder" not in name})
    network.eval()
    with torch.inference_mode():
        answers = network(images, present)
        assert torch.equal(answers, plain(network.reconstruct(images), present))
        assert not torch.allclose(answers, plain(images, present), atol=1e-3)


def test_while_training_each_patient_brings_its_error_beside_its_logits(network, images):
    present = torch.tensor([[True, True], [True, False], [False, False]])
    network.eval()
    with torch.inference_mode():
        answers = network(images, present)
        network.training = True  # of this module alone: its parts stay as at inference
        outputs = network(images, present)
        repeated = network.reconstruct(images).double().numpy()
    assert torch.equal(outputs[:, :3], answers)
    errors = ((repeated - images.double().numpy()) ** 2).mean(axis=(2, 3, 4))
    expected = [errors[0].mean(), errors[1, 0], 0]
    np.testing.assert_allclose(outputs[:, 3].numpy(), expected, rtol=1e-5)


def test_labels_teach_the_classifier_alone_and_pictures_the_autoencoder_alone(network, images):
    outputs = network.train()(images, torch.ones(3, 2, dtype=torch.bool))
    targets = torch.tensor([[1.0, 1, 0], [0, 0, 0], [1, 0, 1]])

    def reached(loss):
        network.zero_grad()
        loss.backward(retain_graph=True)
        return {name.split(".")[0] for name, value in network.named_parameters() if (value.grad != 0).any()}

    bce = torch.nn.functional.binary_cross_entropy_with_logits(outputs[:, :3], targets)
    assert reached(bce) == {"encoder", "head", "slot"}
    assert reached(outputs[:, 3].mean()) == {"autoencoder"}
    assert reached(bce_first_and_own(outputs, targets)) == {"encoder", "head", "slot", "autoencoder"}


@pytest.mark.exhaustive
@pytest.mark.slow
def test_an_autoencoder_learns_to_repeat_smooth_pictures(network):
    rows, columns = np.mgrid[:32, :32] / 5
    pictures = torch.tensor(np.stack([np.sin(rows + n) + np.cos(columns * n) for n in range(4)]), dtype=torch.float32)
    images = pictures.view(2, 2, 1, 32, 32)
    present = torch.ones(2, 2, dtype=torch.bool)
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=3e-3)
    errors = []
    for _ in range(60):
        error = network(images, present)[:, 3].mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.2 * errors[0]
