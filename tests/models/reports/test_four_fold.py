import numpy as np
import pytest
import torch

from competition.models.checkpoint_loading import load_weights, loaded_parts
from competition.models.reports.four_fold import ReportFourFold, perceptron
from competition.tracks.aneurysm.track import ANEURYSM
from competition.training.losses import four_sets

VIEWS = ["LI-A", "LI-B", "LV-A", "LV-B", "RI-A", "RI-B", "RV-A", "RV-B"]
CLASSES = list(ANEURYSM.classes)
ANTERIOR, POSTERIOR = [0, 1, 4, 5], [2, 3, 6, 7]
# Typed from the report: which locations a picture is asked about.
ASKED = {
    "LI": {"L_ICA", "L_AntChor", "L_ACA", "L_ACOM", "L_MCA"},
    "RI": {"R_ICA", "R_AntChor", "R_ACA", "R_ACOM", "R_MCA"},
    "LV": {"L_VA", "L_PICA", "L_SCA", "BA", "L_PCA", "L_PCOM"},
    "RV": {"R_VA", "R_PICA", "R_SCA", "BA", "R_PCA", "R_PCOM"},
}


def build(encoder="test_resnet", anterior="test_resnet", size=32, dropout=0.0):
    return ReportFourFold(encoder, anterior, False, False, 1, ANEURYSM.classes, ANEURYSM.views, size, 0.2, dropout)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build()


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 8, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def present(*absent):
    return torch.tensor([[view not in absent for view in VIEWS]] * 3)


def of_views(network, images, here):
    """What each view says while training, without batch normalisation's own statistics moving on."""
    with torch.inference_mode():
        network.eval()
        network.training = True  # of this module alone: its parts stay as at inference
        logits = network(images, here)
        network.eval()
    return logits


def joined(network, images, here):
    network.eval()
    with torch.inference_mode():
        return network(images, here)


def test_each_view_is_asked_about_its_own_injection_and_side(network, images):
    logits = of_views(network, images, present())
    assert logits.shape == (3, 8, 22)
    for number, view in enumerate(VIEWS):
        told = {CLASSES[index] for index in torch.isfinite(logits[0, number]).nonzero().flatten()}
        assert told == {"Aneurysm"} | ASKED[view[:2]]
    assert torch.isfinite(logits).sum() == 3 * (8 + 4 * 5 + 4 * 6)


def test_sides_share_their_outputs(network, images):
    same = images[:, :1].expand(-1, 8, -1, -1, -1)
    logits = of_views(network, same, present())
    for left in (name for name in CLASSES if name.startswith("L_")):
        right = CLASSES.index("R" + left[1:])
        view = 0 if left in ASKED["LI"] else 2
        assert torch.equal(logits[:, view, CLASSES.index(left)], logits[:, view + 4, right])
    assert len({float(value) for value in logits[0, 0] if torch.isfinite(value)}) == 6  # five arteries and the patient


def test_an_absent_view_is_asked_nothing_while_training(network, images):
    logits = of_views(network, images, present("RI-B"))
    assert (logits[:, 5] == float("-inf")).all()
    assert torch.isfinite(logits[:, 4, 0]).all()


@pytest.mark.parametrize("absent", [(), ("LI-A",), ("LV-A", "LV-B", "RV-A", "RV-B"), ("LI-A", "LI-B")])
def test_patients_are_joined_as_in_the_report(network, images, absent):
    logits = of_views(network, images, present()).double().numpy()
    answers = joined(network, images, present(*absent)).double().numpy()
    here = [view not in absent for view in VIEWS]
    for patient in range(3):
        probs = 1 / (1 + np.exp(-logits[patient]))
        means = [
            np.mean([probs[v, 0] for v in part if here[v]])
            for part in (ANTERIOR, POSTERIOR)
            if any(np.array(here)[part])
        ]
        assert 1 / (1 + np.exp(-answers[patient, 0])) == pytest.approx(max(means), abs=1e-6)
        for index, name in enumerate(CLASSES[1:], start=1):
            asked = [v for v, view in enumerate(VIEWS) if name in ASKED[view[:2]]]
            counted = [v for v in asked if here[v]] or asked
            assert answers[patient, index] == pytest.approx(max(logits[patient, v, index] for v in counted), abs=1e-6)


def test_a_patient_without_any_view_gets_a_finite_answer(network, images):
    assert torch.isfinite(joined(network, images, present(*VIEWS))).all()


def test_the_loss_of_all_trains_each_network_as_its_own_data_set_would(images):
    """The four networks alone, on the pictures and labels of the report's four data sets."""
    torch.manual_seed(2)
    network = build().train()
    targets = (torch.rand(3, 22) < 0.4).float()
    four_sets(network(images, present()), targets).backward()
    together = {name: weight.grad.clone() for name, weight in network.named_parameters()}

    def labels(part, names):
        rows = [
            [targets[p, CLASSES.index(VIEWS[v][0] + "_" + n if n != "BA" else n)] for n in names]
            for p in range(3)
            for v in part
        ]
        return torch.tensor(rows)

    arteries = {
        "anterior": (ANTERIOR, ("ICA", "AntChor", "ACA", "ACOM", "MCA")),
        "posterior": (POSTERIOR, ("VA", "PICA", "SCA", "BA", "PCA", "PCOM")),
    }
    for supply, (part, names) in arteries.items():
        pictures, wanted = images[:, part].flatten(0, 1), labels(part, names)
        network.zero_grad()
        found = network.binary[supply](-pictures)
        torch.nn.functional.binary_cross_entropy_with_logits(found[:, 0], wanted.amax(dim=1)).backward()
        check_gradient(network, together, f"binary.{supply}.", 0.5)  # half of the pictures
        network.zero_grad()
        probs = network.locations[supply](pictures).sigmoid()
        against = (1 - probs + 0.05).clamp(max=1)
        losses = wanted * probs.log() * (1 - probs) + (1 - wanted) * against.log() * (1 - against) ** 4
        (-losses.mean()).backward()
        check_gradient(network, together, f"locations.{supply}.", len(names) / 11)  # its share of the entries


def check_gradient(network, together, prefix, share):
    alone = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
    assert any(gradient.abs().sum() > 0 for gradient in alone.values())
    for name, gradient in together.items():
        if name.startswith(prefix):
            torch.testing.assert_close(gradient, share * alone[name], rtol=1e-3, atol=1e-6)
        else:
            assert name not in alone or not alone[name].any()


def test_only_the_binary_networks_see_inverted_pictures(network, images, monkeypatch):
    seen = {}

    def spy(name, outputs):
        def forward(pictures):
            seen[name] = pictures
            return torch.zeros(len(pictures), outputs)

        return forward

    for supply, outputs in (("anterior", 5), ("posterior", 6)):
        monkeypatch.setattr(network.binary[supply], "forward", spy(f"binary {supply}", 1))
        monkeypatch.setattr(network.locations[supply], "forward", spy(f"locations {supply}", outputs))
    joined(network, images, present())
    for supply, part in (("anterior", ANTERIOR), ("posterior", POSTERIOR)):
        assert torch.equal(seen[f"binary {supply}"], -images[:, part].flatten(0, 1))
        assert torch.equal(seen[f"locations {supply}"], images[:, part].flatten(0, 1))


@pytest.mark.slow
def test_layers_are_the_reports():
    with torch.device("meta"):
        network = build("resnet18", "swinv2_cr_tiny_ns_224", 224)
    heads = [
        [(layer.in_features, layer.out_features) for layer in head if isinstance(layer, torch.nn.Linear)]
        for head in (network.binary["posterior"].head, network.locations["posterior"].head)
    ]
    assert heads == [[(512, 256), (256, 128), (128, 16), (16, 1)], [(1000, 100), (100, 10), (10, 6)]]
    assert network.binary["anterior"].encoder.conv1.weight.shape == (64, 1, 7, 7)
    assert network.locations["posterior"].colours.weight.shape == (3, 1, 1, 1)
    swin = sum(value.numel() for value in network.locations["anterior"].parameters())
    assert swin == 27_565_241
    assert network.train()(
        torch.zeros(1, 8, 1, 224, 224, device="meta"), torch.ones(1, 8, dtype=torch.bool, device="meta")
    ).shape == (1, 8, 22)


def test_a_perceptron_has_no_relu_at_its_end():
    kinds = [type(layer).__name__ for layer in perceptron(4, 3, 2, dropout=0.1)]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear"]


def test_fresh_networks_answer_about_the_prior(network, images):
    probs = joined(network, images, present()).sigmoid()
    assert ((probs > 0.1) & (probs < 0.35)).all()


def test_medical_weights_reach_both_binary_encoders_and_nothing_else(network, tmp_path):
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    encoder = network.binary["anterior"].encoder
    weights = {f"module.{name}": torch.full_like(value, 7) for name, value in encoder.state_dict().items()}
    loaded = load_weights(network, weights, tmp_path / "medical.pt")
    after = network.state_dict()
    changed = {name for name in fresh if not torch.equal(fresh[name], after[name])}
    network.load_state_dict(fresh)
    assert changed == set(loaded.names)
    own = set(encoder.state_dict())
    assert changed == {f"binary.{supply}.encoder.{name}" for supply in ("anterior", "posterior") for name in own}
    parts = loaded_parts(network, loaded)
    assert {part: got for part, (got, _) in parts.items()} == {
        "binary.anterior": len(own),
        "binary.posterior": len(own),
        "locations.anterior": 0,
        "locations.posterior": 0,
    }
    assert sum(count for _, count in parts.values()) == len(fresh)
