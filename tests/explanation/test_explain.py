"""Explanations of prepared samples, against networks that are asked directly."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from competition.data.boxes import Box
from competition.errors import CompetitionError
from competition.explanation import held_out_networks
from competition.explanation.explain import at_native_size, explain_sample
from competition.explanation.grad_cam import grad_cam
from competition.explanation.held_out_networks import open_held_out
from competition.prediction.predictor import predict_scores, view_input
from competition.training.checkpoints import load_network, load_trained
from competition.workspace import checkpoint_file

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def large_squares(monkeypatch):
    """Fewer and larger squares hide the image, so that the tests are quick."""
    monkeypatch.setattr("competition.explanation.occlusion.SQUARES_PER_SIDE", 4)


@pytest.fixture
def patients(tiny_patients, tiny_experiment, random_member):
    return tiny_patients, random_member(
        tiny_patients, tiny_experiment(multiview=True, model={"encoder": "resnet10t"}, data={"size": 64})
    )


@pytest.fixture
def hands(tiny_hands, tiny_experiment, random_member):
    return tiny_hands, random_member(tiny_hands, tiny_experiment(model={"prior": 0.5}))


def networks(prepared, folds):
    paths = [checkpoint_file(prepared.workspace.fold_folder("random", fold)) for fold in folds]
    return [load_network(load_trained(path), prepared.track) for path in paths]


def explained(prepared, member, sample, class_names=None):
    entry = prepared.manifest.by_sample()[sample]
    return explain_sample(prepared.track, prepared.workspace, member, entry, class_names)


def test_a_training_sample_is_explained_by_the_fold_that_held_it_out(patients):
    prepared, member = patients
    entry = prepared.manifest.by_sample()["2"]
    fold = prepared.folds.fold_of[entry.group]
    found = explained(prepared, member, "2", prepared.track.classes)
    predictor, _ = open_held_out(prepared.track, prepared.workspace, member, entry)
    (network,) = networks(prepared, [fold])
    images, present = view_input(predictor, entry)
    hottest = []
    for index, one in enumerate(found):
        assert (one.folds, one.out_of_fold, one.truth) == ((fold,), True, (True, True, False)[index])
        assert one.score == pytest.approx(network(images, present)[0, index].sigmoid().item(), rel=1e-5)
        maps = grad_cam(network, (images, present), lambda logits, index=index: logits[0, index])
        enlarged = F.interpolate(maps[:, None], size=(64, 64), mode="bilinear", align_corners=False)[:, 0]
        hottest.append(float(enlarged.max()))
        np.testing.assert_allclose(one.grad_cam, enlarged / max(hottest[-1], 1e-30), atol=1e-6)
    assert max(hottest) > 0


def test_a_hidden_place_costs_what_the_whole_network_says(patients):
    prepared, member = patients
    entry = prepared.manifest.by_sample()["2"]
    (found,) = explained(prepared, member, "2", ["any"])
    predictor, folds = open_held_out(prepared.track, prepared.workspace, member, entry)
    (network,) = networks(prepared, folds)
    images, present = view_input(predictor, entry)
    falls = []
    for view in range(4):
        hidden = images.clone()
        hidden[0, view, :, :16, :16] = 0  # the corner's outermost pixel is hidden by this square alone
        with torch.no_grad():
            falls.append(float(network(images, present)[0, 0].sigmoid() - network(hidden, present)[0, 0].sigmoid()))
        assert found.occlusion[view].shape == (64, 64)
    assert max(np.abs(falls)) > 1e-5  # of views that lose to another view, none falls
    assert [values[0, 0] for values in found.occlusion] == pytest.approx(falls, abs=5e-7)


def test_another_image_is_explained_by_the_mean_of_all_folds(hands):
    prepared, member = hands
    (both,) = explained(prepared, member, "hand10", ["disc"])
    alone = [
        explained(prepared, member.model_copy(update={"folds": (fold,)}), "hand10", ["disc"])[0]
        for fold in member.folds
    ]
    assert (both.folds, both.out_of_fold) == ((0, 1), False)
    for maps in ("grad_cam", "occlusion"):
        (mean,), each = getattr(both, maps), [getattr(one, maps)[0] for one in alone]
        assert not np.allclose(*each)
        np.testing.assert_allclose(mean, np.mean(each, axis=0), atol=1e-6)


def test_by_default_a_table_is_explained_by_its_first_and_its_most_probable_class(patients):
    prepared, member = patients
    first, location = explained(prepared, member, "2")
    entry = prepared.manifest.by_sample()["2"]
    predictor, _ = open_held_out(prepared.track, prepared.workspace, member, entry)
    some, left, right = predict_scores(predictor, entry, ["identity"])
    assert (first.class_name, first.score) == ("any", some)
    assert (location.class_name, location.score) == max(("left", left), ("right", right), key=lambda pair: pair[1])


def test_absent_views_are_left_out(patients):
    prepared, member = patients
    entry = prepared.manifest.by_sample()["8"]
    absent = replace(entry, present=(False, True, False, True))
    alone = member.model_copy(update={"folds": (0,)})
    (found,) = explain_sample(prepared.track, prepared.workspace, alone, absent, ["any"])
    assert found.views == ("L-B", "R-B")
    assert len(found.images) == len(found.grad_cam) == len(found.occlusion) == 2


def test_masks_are_explained_at_native_size_beside_truth_and_prediction(hands):
    prepared, member = hands
    root = prepared.workspace.root / "raw"
    (found,) = explained(prepared, member, "hand1", ["disc"])
    assert found.images[0].shape == found.grad_cam[0].shape == found.occlusion[0].shape == (61, 47)
    assert found.grad_cam[0].dtype == found.occlusion[0].dtype == np.float32
    np.testing.assert_array_equal(found.images[0], np.load(root / "hand1.npy"))
    np.testing.assert_array_equal(found.truth_mask, np.load(root / "mask1.npy")[0])
    truth = found.truth_mask
    assert found.energy["target"].energy == pytest.approx(found.grad_cam[0][truth].sum() / found.grad_cam[0].sum())
    assert found.energy["target"].area == pytest.approx(truth.mean())
    (absent,) = explained(prepared, member, "hand1", ["bar"])  # every second hand has none
    assert absent.truth is False
    assert absent.energy["target"].area == pytest.approx(absent.predicted_mask.mean())
    (unknown,) = explained(prepared, member, "hand10", ["disc"])
    assert unknown.truth is None
    assert unknown.truth_mask is None


def test_a_network_that_looks_at_a_box_is_explained_inside_of_it(hands, monkeypatch):
    prepared, member = hands
    box = Box(10, 20, 60, 50)
    monkeypatch.setattr(held_out_networks, "find_test_boxes", lambda *found: {"hand10": box})
    (found,) = explained(prepared, member, "hand10", ["disc"])
    for values in (found.grad_cam[0], found.occlusion[0]):
        assert values.shape == found.images[0].shape == (64, 64)
        assert values[box.window].any()
        outside = values.copy()
        outside[box.window] = 0
        assert not outside.any()


def test_by_default_the_class_with_the_largest_predicted_mask_is_explained(hands):
    prepared, member = hands
    (found,) = explained(prepared, member, "hand0")
    areas = {
        one.class_name: one.predicted_mask.sum() for one in explained(prepared, member, "hand0", prepared.track.classes)
    }
    assert any(areas.values())
    assert areas[found.class_name] == max(areas.values())


def test_what_learned_from_a_sample_does_not_explain_it(hands):
    prepared, member = hands
    entry = prepared.train()[0]
    fold = prepared.folds.fold_of[entry.group]
    others = member.model_copy(update={"folds": (1 - fold,)})
    with pytest.raises(CompetitionError, match=rf"fold {fold} of run 'random' held sample .* train .*--fold {fold}\."):
        explained(prepared, others, entry.sample)


def test_unknown_classes_and_imported_members_are_refused(hands):
    prepared, member = hands
    with pytest.raises(CompetitionError, match=r"has no class 'disk', did you mean 'disc'\?"):
        explained(prepared, member, "hand0", ["disk"])
    prepared.workspace.imported_file("random").write_text("{}")
    with pytest.raises(CompetitionError, match=r"imported as predictions .*Name a trained run with --run\."):
        explained(prepared, member, "hand0")


def test_a_map_is_enlarged_bilinearly_and_is_zero_outside_of_its_box():
    values = np.random.default_rng(0).random((4, 3), np.float32)
    np.testing.assert_allclose(at_native_size(values, (17, 12)), cv2.resize(values, (12, 17)), atol=1e-6)
    boxed = at_native_size(values, (30, 40), Box(5, 7, 22, 19))
    np.testing.assert_allclose(boxed[5:22, 7:19], cv2.resize(values, (12, 17)), atol=1e-6)
    boxed[5:22, 7:19] = 0
    assert not boxed.any()
