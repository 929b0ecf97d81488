"""What a recipe is worth, against dense arrays."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from competition.data.cache import read_label_planes
from competition.ensembling.classification.report_rules import decide_as_the_report
from competition.ensembling.selection.bootstrap import figure_of, paired_difference
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.metrics.tables import auroc, score_aneurysm
from competition.prediction.histograms import image_histogram, save_histograms
from competition.prediction.probability_maps import read_scores, write_map
from competition.runs.fold_training import train_one
from competition.runs.members import open_member
from competition.runs.run import Run
from competition.workspace import out_of_fold_folder
from pipelines.comparisons.figures import (
    accuracy_figure,
    attainable_dice_figure,
    auroc_figure,
    cells_figure,
    dice_figure,
    index_and_ring_figure,
)


def on_all(figure, run, rule="ours"):
    """A figure of all training samples."""
    return figure(run, rule, run.manifest.of("train"))


def make_run(prepared, experiment, name):
    return Run(name, prepared.track, prepared.workspace, experiment, prepared.manifest, prepared.folds)


@pytest.fixture(scope="module")
def drawn_maps(shared_hands, tiny_experiment):
    """Two runs with random maps; gives runs and, in the manifest's order, masks and maps of all images."""
    random = np.random.default_rng(0)
    entries, runs, maps = shared_hands.train(), [], []
    truth = [
        unpack_planes(read_label_planes(shared_hands.workspace, shared_hands.track, entry.sample), 3)
        for entry in entries
    ]
    for name, noise in (("one", 0.9), ("two", 0.3)):
        run = make_run(shared_hands, tiny_experiment(), name)
        levels = {
            entry.sample: np.where(random.random(mask.shape) < noise, random.integers(0, 256, mask.shape), 255 * mask)
            for entry, mask in zip(entries, truth, strict=True)
        }
        maps.append([levels[entry.sample].astype(np.uint8) for entry in entries])
        for fold in range(2):
            samples = [entry.sample for entry in run.held_out(fold)]
            planes = [read_label_planes(run.workspace, run.track, sample) for sample in samples]
            counts = [
                image_histogram(levels[sample].astype(np.uint8), plane)
                for sample, plane in zip(samples, planes, strict=True)
            ]
            save_histograms(out_of_fold_folder(run.folder(fold)) / "histograms.npz", samples, np.stack(counts))
        runs.append(run)
    return runs, truth, maps


def dense_dice(mask, decided):
    total = mask.sum(axis=(1, 2)) + decided.sum(axis=(1, 2))
    both = (mask & decided).sum(axis=(1, 2))
    return np.where(total == 0, 1.0, 2 * both / np.maximum(total, 1)).mean()


def test_dice_and_pixel_accuracy_are_those_of_dense_masks(drawn_maps):
    runs, truth, maps = drawn_maps
    for run, levels in zip(runs, maps, strict=True):
        pairs = list(zip(truth, [each >= 128 for each in levels], strict=True))
        dice = np.mean([dense_dice(mask, decided) for mask, decided in pairs])
        right = np.mean([(mask == decided).mean() for mask, decided in pairs])
        assert figure_of(on_all(dice_figure, run), len(truth)) == pytest.approx(dice, abs=1e-12)
        assert figure_of(on_all(accuracy_figure, run), len(truth)) == pytest.approx(right, abs=1e-12)


def test_the_difference_is_taken_image_by_image_and_drawn_person_by_person(drawn_maps):
    (one, two), truth, maps = drawn_maps
    scores = [[dense_dice(mask, each >= 128) for mask, each in zip(truth, levels, strict=True)] for levels in maps]
    differences = np.array(scores[1]) - np.array(scores[0])
    people = [entry.group for entry in one.manifest.of("train")]
    names = sorted(set(people))
    random, means = np.random.default_rng(7), []
    for draw in random.integers(len(names), size=(400, len(names))):
        rows = [row for pick in draw for row, person in enumerate(people) if person == names[pick]]
        means.append(differences[rows].mean())
    found = paired_difference(on_all(dice_figure, two), on_all(dice_figure, one), people, seed=7, draws=400)
    assert found.value == pytest.approx(differences.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))), abs=1e-12)
    assert 0 < found.low < found.value < found.high


def test_an_image_that_no_fold_predicted_is_an_error(drawn_maps):
    run = drawn_maps[0][0]
    with pytest.raises(CompetitionError, match="of 10 images have no out-of-fold prediction"):
        on_all(dice_figure, replace(run, folds=replace(run.folds, fold_of=dict.fromkeys(run.folds.fold_of, 0))))


FINGERS = tuple(f"finger-{number}" for number in (4, 5, 12, 6, 7, 13, 14, 15))


def test_pixels_called_index_and_ring_at_once_are_a_share_of_the_index_bones(tiny_hands, tiny_experiment):
    """The disc and the square are bones of an index finger, the bar is one of a ring finger; the others are empty."""
    run = make_run(replace(tiny_hands, track=replace(tiny_hands.track, classes=FINGERS)), tiny_experiment(), "any")
    expected = []
    for number, entry in enumerate(tiny_hands.train()):
        disc, square, _ = unpack_planes(read_label_planes(run.workspace, tiny_hands.track, entry.sample), 3)
        levels = np.zeros((8, entry.height, entry.width), np.uint8)
        levels[0], levels[1] = 200 * disc, 200 * square
        levels[5, : entry.height // 2] = 128  # the upper half is also called a bone of the ring finger
        levels[6, entry.height // 2 :] = 127  # not at 0.5
        levels[7, :5] = 255  # a second ring bone on the same pixels counts once
        if number % 2:
            levels[5:] = 0
        both = (disc | square)[: entry.height // 2] if number % 2 == 0 else np.zeros(1)
        expected.append(both.sum() / (disc | square).sum())
        write_map(out_of_fold_folder(run.folder(run.folds.fold_of[entry.group])), entry.sample, levels)
    assert 0.1 < max(expected) < 1
    found = on_all(index_and_ring_figure, run)(np.eye(len(expected), dtype=int))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_track_without_fingers_has_no_such_column(shared_hands, tiny_experiment):
    with pytest.raises(CompetitionError, match="track tiny_hands has no index and ring finger"):
        on_all(index_and_ring_figure, make_run(shared_hands, tiny_experiment(), "any"))


@pytest.mark.parametrize("oversample", [1, 2])
def test_the_attainable_dice_is_what_the_targets_themselves_would_score(shared_hands, tiny_experiment, oversample):
    """64x64 masks on a grid of 32: every second pixel, or means of 2x2, enlarged again by OpenCV."""
    even = [entry for entry in shared_hands.train() if entry.height == 64]
    manifest = replace(shared_hands.manifest, entries=tuple(even))
    run = make_run(replace(shared_hands, manifest=manifest), tiny_experiment(data={"oversample": oversample}), "any")
    scores = []
    for entry in even:
        mask = unpack_planes(read_label_planes(run.workspace, run.track, entry.sample), 3)
        blocks = mask.reshape(3, 32, 2, 32, 2)
        small = blocks[:, :, 1, :, 1].astype(float) if oversample == 1 else blocks.mean(axis=(2, 4))
        native = np.stack([cv2.resize(each, (64, 64), interpolation=cv2.INTER_LINEAR) for each in small])
        scores.append(dense_dice(mask, np.round(native, 9) > 0.5))
    assert figure_of(on_all(attainable_dice_figure, run), len(even)) == pytest.approx(np.mean(scores), abs=1e-12)


def test_labels_are_soft_too_where_the_grid_is_no_whole_part_of_the_image(shared_hands, tiny_experiment):
    """64 pixels on a grid of 48, as 2048 on 1536: labels at 96 are as fine as the image, so nothing of them is lost."""
    even = [entry for entry in shared_hands.train() if entry.height == 64]
    here = replace(shared_hands, manifest=replace(shared_hands.manifest, entries=tuple(even)))
    nearest, soft = (
        figure_of(
            on_all(attainable_dice_figure, make_run(here, tiny_experiment(data={"size": 48, "oversample": k}), "any")),
            5,
        )
        for k in (1, 4)
    )
    assert nearest < 0.99 < soft


def test_the_targets_of_an_image_that_is_not_square_lie_where_its_labels_do(shared_hands, tiny_experiment):
    uneven = [entry for entry in shared_hands.train() if entry.height != entry.width]
    manifest = replace(shared_hands.manifest, entries=tuple(uneven))
    nearest, soft = (
        on_all(
            attainable_dice_figure,
            make_run(
                replace(shared_hands, manifest=manifest), tiny_experiment(data={"size": 30, "oversample": k}), "any"
            ),
            "ours",
        )(np.eye(len(uneven), dtype=int))
        for k in (1, 2)
    )
    assert len(uneven) == 5
    assert (nearest > 0.9).all()
    assert (soft > nearest).all()


@pytest.fixture(scope="module")
def patients(shared_patients, tiny_experiment):
    run = make_run(shared_patients, tiny_experiment(multiview=True, model={"encoder": "test_resnet"}), "patients")
    for fold in (0, 1):
        train_one(run, fold, force=False)
    return run


@pytest.mark.slow
def test_patients_are_ranked_by_their_score_and_their_cells_are_counted(patients):
    entries = patients.manifest.of("train")
    truth = np.array([entry.targets for entry in entries])
    probs = np.array(
        [
            read_scores(
                out_of_fold_folder(patients.folder(patients.folds.fold_of[entry.group])),
                [entry.sample],
                patients.track.classes,
            )[0]
            for entry in entries
        ]
    )
    for rule in ("ours", "report"):
        assert figure_of(on_all(auroc_figure, patients, rule), len(entries)) == auroc(truth[:, 0], probs[:, 0])
    member = open_member(patients.workspace, patients.folds, entries, "patients", None)
    table = decide_as_the_report(patients.track, patients.workspace, patients.folds, member, entries, entries)
    cells = on_all(cells_figure, patients, "report")
    assert figure_of(cells, len(entries)) == score_aneurysm(truth, table).cells_gained
    each = (truth[:, 1:] - np.abs(truth[:, 1:] - table[:, 1:])).sum(axis=1)
    assert each.any()
    assert cells(np.eye(len(entries), dtype=int)).tolist() == each.tolist()
    # With two folds no gain can be shown on the remaining one, so ours chooses "never" and gains nothing.
    assert figure_of(on_all(cells_figure, patients), len(entries)) == 0


@pytest.mark.slow
def test_patients_of_one_kind_have_no_auroc(patients):
    healthy = tuple(replace(entry, targets=(0, 0, 0)) for entry in patients.manifest.entries)
    manifest = replace(patients.manifest, entries=healthy)
    with pytest.raises(CompetitionError, match="same label"):
        on_all(auroc_figure, replace(patients, manifest=manifest))
