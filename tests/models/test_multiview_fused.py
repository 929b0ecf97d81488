from dataclasses import replace

import numpy as np
import pytest
import torch

from competition.data.datasets import mirror_sample
from competition.models.multiview_fused import Anatomy, FusedMultiViewClassifier, anatomy_of
from competition.tracks.aneurysm.track import ANEURYSM

VIEWS = ["LI-A", "LI-B", "LV-A", "LV-B", "RI-A", "RI-B", "RV-A", "RV-B"]
CLASSES = list(ANEURYSM.classes)
ALL = [True] * 8


@pytest.fixture(scope="module")
def network():
    """Its slots say nothing, so that left and right are alike."""
    model = fresh(0)
    torch.nn.init.zeros_(model.slot)
    return model


def fresh(seed):
    torch.manual_seed(seed)
    return FusedMultiViewClassifier("test_resnet", False, ANEURYSM, size=32, prior=0.05, dropout=0.3).eval()


@pytest.fixture
def with_slots(network):
    """The network with slots that differ, as after training."""
    torch.manual_seed(1)
    torch.nn.init.normal_(network.slot)
    yield network
    torch.nn.init.zeros_(network.slot)


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 8, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def ask(network, images, present=ALL):
    with torch.inference_mode():
        return network(images, torch.tensor(present, dtype=torch.bool).expand(len(images), -1))


def test_anatomy_of_the_aneurysm_track():
    anatomy = anatomy_of(ANEURYSM)
    assert [[VIEWS[view] for view in views] for views in anatomy.injections] == [
        ["LI-A", "LI-B"],
        ["LV-A", "LV-B"],
        ["RI-A", "RI-B"],
        ["RV-A", "RV-B"],
    ]
    assert [view for view, turned in zip(VIEWS, anatomy.turned, strict=True) if turned] == ["RI-A", "RV-A"]
    artery_of = dict(zip(CLASSES[1:], anatomy.arteries, strict=True))
    assert all(artery_of[name] == artery_of["R" + name[1:]] for name in artery_of if name.startswith("L_"))
    assert sorted(set(anatomy.arteries)) == list(range(11))  # 21 locations: ten on both sides, and BA
    seen = {
        name: [index for index in range(4) if anatomy.seen[index][CLASSES.index(name)]]
        for name in ("Aneurysm", "R_MCA", "L_PCOM", "BA")
    }
    assert seen == {"Aneurysm": [0, 1, 2, 3], "R_MCA": [2], "L_PCOM": [0, 1], "BA": [1, 3]}


def test_without_a_mirror_nothing_is_shared_or_turned():
    alone = replace(ANEURYSM, mirror=None)
    assert anatomy_of(alone).arteries == tuple(range(21))
    assert not any(anatomy_of(alone).turned)


def test_injections_of_different_sizes_are_refused():
    assert ANEURYSM.visible is not None
    uneven = replace(ANEURYSM, visible=(ANEURYSM.visible[2], *ANEURYSM.visible[1:]))
    with pytest.raises(ValueError, match="different numbers of views"):
        anatomy_of(uneven)
    assert anatomy_of(replace(ANEURYSM, visible=None, mirror=None)) == Anatomy(
        (tuple(range(8)),), ((True,) * 22,), tuple(range(21)), (False,) * 8
    )


def mirrored(images):
    """The two patients as the training set would mirror them."""
    turned = []
    for patient in images:
        pictures = [np.ascontiguousarray(view[0].numpy()) for view in patient]
        views, _, _, _ = mirror_sample(pictures, None, (0,) * 22, (True,) * 8, ANEURYSM.mirror)
        turned.append(torch.from_numpy(np.stack(views))[:, None])
    return torch.stack(turned)


def test_a_mirrored_patient_gets_mirrored_answers(network, images):
    mirror = ANEURYSM.mirror
    assert mirror is not None
    expected = ask(network, images)[:, list(mirror.classes)]
    torch.testing.assert_close(ask(network, mirrored(images)), expected)
    assert not torch.allclose(ask(network, images), expected, atol=1e-3)  # the two sides do differ


def test_the_slots_can_tell_the_sides_apart(with_slots, images):
    expected = ask(with_slots, images)[:, list(ANEURYSM.mirror.classes)]
    assert not torch.allclose(ask(with_slots, mirrored(images)), expected, atol=1e-3)


def test_fresh_slots_are_small_differ_and_come_from_the_seed():
    slot = fresh(5).slot.detach()
    assert 0.015 < slot.std() < 0.025
    assert len({tuple(row.tolist()) for row in slot}) == 8
    assert torch.equal(slot, fresh(5).slot)
    assert not torch.equal(slot, fresh(6).slot)


def test_in_a_fresh_network_the_mirrored_view_is_no_repetition_of_the_plain_one(network, images):
    model = fresh(0)
    plain, turned = ask(model, images), ask(model, mirrored(images))[:, list(ANEURYSM.mirror.classes)]
    assert (plain != turned).any(dim=1).all()
    assert (plain[:, 0] != turned[:, 0]).all()  # also the patient's own score, by which patients are ranked
    torch.testing.assert_close(plain, turned, atol=0.1, rtol=0)  # and yet only a little apart


class GreyLevels(torch.nn.Module):
    """Features that are easy to follow: the mean of the left half of a picture, and of the right half."""

    def forward(self, pictures):
        return torch.stack([pictures[..., :16].mean((1, 2, 3)), pictures[..., 16:].mean((1, 2, 3))], dim=1)


def test_the_answers_are_those_of_the_four_steps_by_hand(images, monkeypatch):
    torch.manual_seed(3)
    network = FusedMultiViewClassifier("test_resnet", False, ANEURYSM, size=32, prior=0.05, dropout=0.3).eval()
    monkeypatch.setattr(network, "encoder", GreyLevels())
    network.slot, network.join = torch.nn.Parameter(torch.randn(8, 2)), torch.nn.Linear(4, 5)
    network.location_head, network.patient_head = torch.nn.Linear(5, 11), torch.nn.Linear(5, 1)
    slot = network.slot.detach().double().numpy()
    join, where, who = (
        (layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy())
        for layer in (network.join, network.location_head, network.patient_head)
    )
    arteries = ["ICA", "PCOM", "AntChor", "ACA", "ACOM", "MCA", "VA", "PICA", "SCA", "BA", "PCA"]
    for answer, patient in zip(ask(network, images).double().numpy(), images.double().numpy(), strict=True):
        injected = {}
        for injection in ("LI", "LV", "RI", "RV"):
            features = []
            for projection in "AB":
                view = VIEWS.index(f"{injection}-{projection}")
                picture = patient[view, 0]
                if injection[0] == "R" and projection == "A":
                    picture = picture[:, ::-1]
                features += [picture[:, :16].mean() + slot[view, 0], picture[:, 16:].mean() + slot[view, 1]]
            injected[injection] = np.maximum(join[0] @ np.array(features) + join[1], 0)
        wanted = [(who[0] @ np.max(list(injected.values()), axis=0) + who[1])[0]]
        for name in CLASSES[1:]:
            side, _, artery = name.rpartition("_")
            carotid = artery in ("ICA", "PCOM", "AntChor", "ACA", "ACOM", "MCA")
            vertebral = artery in ("PCOM", "VA", "PICA", "SCA", "BA", "PCA")
            number = arteries.index(artery)
            wanted.append(
                max(
                    where[0][number] @ values + where[1][number]
                    for injection, values in injected.items()
                    if side in ("", injection[0]) and (carotid if injection[1] == "I" else vertebral)
                )
            )
        np.testing.assert_allclose(answer, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("view", range(8))
def test_a_class_is_only_influenced_by_the_injections_that_can_show_it(with_slots, images, view):
    changed = images.clone()
    changed[:, view] = -changed[:, view]
    before, after = ask(with_slots, images), ask(with_slots, changed)
    seen = torch.tensor(ANEURYSM.visible[view])
    assert torch.equal(before[:, ~seen], after[:, ~seen])
    alone = [index // 2 == view // 2 for index in range(8)]  # its injection alone has a say
    differs = ask(with_slots, images, alone) != ask(with_slots, changed, alone)
    assert differs[:, seen].all()


@pytest.mark.parametrize("view", range(8))
def test_an_absent_view_has_no_influence(with_slots, images, view):
    present = [index != view for index in range(8)]
    changed = images.clone()
    changed[:, view] = 50
    assert torch.equal(ask(with_slots, images, present), ask(with_slots, changed, present))
    assert not torch.equal(ask(with_slots, images), ask(with_slots, changed))


def test_an_absent_projection_takes_over_what_the_other_shows(network, images):
    present = [view != "LI-A" for view in VIEWS]
    copied = images.clone()
    copied[:, 0] = images[:, 1]
    torch.testing.assert_close(ask(network, images, present), ask(network, copied))


@pytest.mark.parametrize("present", [[False] * 8, [True] + [False] * 7, [False] * 4 + [True] * 4])
def test_the_answer_stays_finite_whatever_is_absent(network, images, present):
    assert torch.isfinite(ask(network, images, present)).all()


def test_the_patients_score_has_a_head_of_its_own(network, images):
    before = ask(network, images)
    weight = network.location_head.weight.detach().clone()
    torch.nn.init.zeros_(network.location_head.weight)
    after = ask(network, images)
    network.location_head.weight.data.copy_(weight)
    assert torch.equal(before[:, 0], after[:, 0])
    torch.testing.assert_close(after[:, 1:].sigmoid(), torch.full((2, 21), 0.05))


def test_every_part_learns_from_a_patient_and_anatomy_is_no_weight(network, images):
    network.train()
    network(images, torch.ones(2, 8, dtype=torch.bool)).sum().backward()
    network.eval()
    moved = {name.split(".")[0] for name, weight in network.named_parameters() if weight.grad.abs().sum() > 0}
    network.zero_grad()
    assert moved == {"encoder", "slot", "join", "location_head", "patient_head"}
    assert not {"turned", "injections", "seen", "arteries"} & set(network.state_dict())
