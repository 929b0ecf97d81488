import numpy as np
import pytest
import torch

from competition.models.checkpoint_loading import load_weights
from competition.models.multiview import MultiViewClassifier
from competition.models.reports.contrastive import ContrastiveClassifier
from competition.training.losses import bce_first_and_own

VISIBLE = ((True, True, False), (True, True, False), (True, False, True), (True, False, True))
PAIRS = [(0, 1), (2, 3)]
OPTIONS = {
    "encoder": "test_resnet",
    "pretrained": False,
    "channels": 1,
    "classes": 3,
    "views": 4,
    "visible": VISIBLE,
    "size": 32,
    "prior": 0.05,
    "dropout": 0.0,
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ContrastiveClassifier(**OPTIONS)


@pytest.fixture
def images():
    return torch.randn(3, 4, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def losses_by_hand(sketches, present):
    """Every patient, pair and direction in turn, in float64."""
    result = []
    for patient in range(len(sketches)):
        of_pairs = []
        for one, other in PAIRS:
            among = [n for n in range(len(sketches)) if present[n, one] and present[n, other]]
            if patient not in among:
                continue
            for here, there in ((one, other), (other, one)):
                scores = {}
                for n in among:
                    a, b = sketches[patient, here], sketches[n, there]
                    scores[n] = a @ b / np.linalg.norm(a) / np.linalg.norm(b) / 0.1
                of_pairs.append(np.log(sum(np.exp(list(scores.values())))) - scores[patient])
        result.append(np.mean(of_pairs) if of_pairs else 0.0)
    return result


@pytest.mark.parametrize("absent", [[], [(0, 1)], [(0, 0), (1, 3), (2, 3), (0, 2)], [(n, 2) for n in range(3)]])
def test_the_loss_of_pairs_by_hand(network, absent):
    sketches = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(2)).requires_grad_()
    present = torch.ones(3, 4, dtype=torch.bool)
    for patient, view in absent:
        present[patient, view] = False
    losses = network.pair_losses(sketches, present)
    expected = losses_by_hand(sketches.detach().double().numpy(), present.numpy())
    np.testing.assert_allclose(losses.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    losses.sum().backward()
    assert torch.isfinite(sketches.grad).all()


def test_a_single_patient_is_no_riddle(network):
    assert network.pair_losses(torch.randn(1, 4, 7), torch.ones(1, 4, dtype=torch.bool)).tolist() == [0]


def test_equal_projections_are_told_apart_and_equal_patients_are_not(network):
    apart = torch.eye(3)[:, None].expand(3, 4, 3)
    everywhere = torch.ones(3, 4, dtype=torch.bool)
    assert network.pair_losses(apart, everywhere).max() < 1e-3
    np.testing.assert_allclose(network.pair_losses(torch.ones(3, 4, 3), everywhere), [np.log(3)] * 3, rtol=1e-6)


def test_while_training_each_patient_brings_its_loss_beside_its_logits(network, images):
    present = torch.ones(3, 4, dtype=torch.bool)
    network.eval()
    with torch.inference_mode():
        answers = network(images, present)
        network.training = True  # of this module alone: its parts stay as at inference
        outputs = network(images, present)
        own = network.pair_losses(network.project(network.view_features(images)), present)
    assert torch.equal(outputs[:, :3], answers)
    assert torch.equal(outputs[:, 3], own)


def test_labels_teach_the_head_alone_and_pairs_the_encoder_alone(network, images):
    present, targets = torch.ones(3, 4, dtype=torch.bool), torch.tensor([[1.0, 1, 0], [0, 0, 0], [1, 0, 1]])
    outputs = network.train()(images, present)

    def reached(loss):
        network.zero_grad()
        loss.backward(retain_graph=True)
        return {name.split(".")[0] for name, value in network.named_parameters() if (value.grad != 0).any()}

    bce = torch.nn.functional.binary_cross_entropy_with_logits(outputs[:, :3], targets)
    assert reached(bce) == {"head", "slot"}
    assert reached(outputs[:, 3].mean()) == {"encoder", "project"}
    assert reached(bce_first_and_own(outputs, targets)) == {"head", "slot", "encoder", "project"}


def test_a_classifier_takes_over_all_but_the_projection(network, tmp_path):
    torch.manual_seed(5)
    classifier = MultiViewClassifier(**OPTIONS)
    loaded = load_weights(classifier, network.state_dict(), tmp_path / "weights.pt")
    assert set(loaded.names) == set(classifier.state_dict())
    assert {sentence.split()[0] for sentence in loaded.unmatched} == {
        f"project.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_pairs_are_the_views_that_show_the_same(network):
    assert network.pairs.tolist() == [list(pair) for pair in PAIRS]
    everything = ContrastiveClassifier(**OPTIONS | {"visible": None, "views": 3})
    assert everything.pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    with pytest.raises(ValueError, match="no two views show the same classes"):
        ContrastiveClassifier(**OPTIONS | {"visible": VISIBLE[1:3], "views": 2})
