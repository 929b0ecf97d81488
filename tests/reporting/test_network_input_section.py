"""What the network sees: the draws of the run's own experiment, and the ceilings of its targets."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from competition.data.cache import read_cached_planes
from competition.data.evenly_spread import spread
from competition.masks.bit_planes import class_areas, unpack_planes
from competition.reporting import network_input_section as module
from competition.reporting.network_input_section import input_figures, smallest_class
from competition.runs.run import Run


@pytest.fixture
def make_run(tiny_experiment):
    def make(prepared, multiview=False, **sections):
        experiment = tiny_experiment(multiview=multiview, **sections)
        return Run("quick", prepared.track, prepared.workspace, experiment, prepared.manifest, prepared.folds)

    return make


def test_masks_have_augmentations_grid_and_targets(shared_hands, make_run) -> None:
    figures = input_figures(make_run(shared_hands, data={"size": 32, "augmentation": "strong", "flip": True}))
    assert [figure.name for figure in figures] == ["augmentations", "training-grid", "soft-targets"]
    assert "'strong' (flip on)" in figures[0].sentence
    assert figures[0].body.count("<img") == 3
    assert "64x64 and on the training grid of 32x32" in figures[1].sentence
    assert "2.0 native ones" in figures[1].sentence


def test_preprocessing_is_shown_where_there_is_any(shared_hands, make_run) -> None:
    figures = input_figures(make_run(shared_hands, data={"size": 32, "preprocess": ["invert", "sharpness"]}))
    (figure,) = [figure for figure in figures if figure.name == "preprocessing"]
    assert "(invert, sharpness)" in figure.sentence


def test_ceilings_of_nearest_targets_are_those_of_every_second_pixel(shared_hands, make_run) -> None:
    figures = input_figures(make_run(shared_hands, data={"size": 32}))
    table = figures[-1].table.set_index("class")
    entry = shared_hands.train()[0]
    truth = unpack_planes(read_cached_planes(shared_hands.workspace, entry.sample), 3)
    for index, name in enumerate(shared_hands.track.classes):
        mask = torch.from_numpy(truth[index]).float()
        soft = F.avg_pool2d(mask[None, None], 2)
        near = mask[None, None, 1::2, 1::2]
        for kind, small in (("soft", soft), ("nearest", near)):
            seen = F.interpolate(small, scale_factor=2, mode="bilinear")[0, 0].numpy() > 0.5
            dice = 2 * (seen & truth[index]).sum() / (seen.sum() + truth[index].sum())
            assert table.loc[name, f"Dice of {kind} targets"] == pytest.approx(dice, abs=1e-5)


def test_draws_are_those_of_the_experiment(shared_hands, make_run, monkeypatch) -> None:
    """Without augmentation all six draws of a sample are the same picture."""
    seen = []
    monkeypatch.setattr(module, "tiled", lambda tiles, columns: seen.append(tiles) or tiles[0])
    input_figures(make_run(shared_hands, data={"size": 32, "augmentation": "none"}))
    assert all((tile == seen[0][0]).all() for tile in seen[0])
    seen.clear()
    input_figures(make_run(shared_hands, data={"size": 32, "augmentation": "strong"}))
    assert not all((tile == seen[0][0]).all() for tile in seen[0])


def test_patients_have_a_row_for_each_view_that_is_present(shared_patients, make_run) -> None:
    figures = input_figures(make_run(shared_patients, multiview=True, data={"size": 32}))
    assert [figure.name for figure in figures] == ["augmentations", "training-grid"]
    assert "3: L-B, R-B" in figures[0].body
    assert "Each row is a view." in figures[0].sentence


def test_samples_without_any_label_have_no_targets_to_compare(shared_hands, make_run) -> None:
    run = make_run(shared_hands, data={"size": 32})
    empty = tuple(replace(entry, targets=(0, 0, 0)) for entry in run.manifest.entries)
    figures = input_figures(replace(run, manifest=replace(run.manifest, entries=empty)))
    assert [figure.name for figure in figures] == ["augmentations", "training-grid"]


def test_the_smallest_class_is_one_that_is_there(shared_hands) -> None:
    planes = read_cached_planes(shared_hands.workspace, "hand1")  # without a bar
    areas = class_areas(planes, 3)
    assert areas[2] == 0
    assert smallest_class(planes, 3) == int(np.argmin(areas[:2]))
    assert spread([3, 5, 6, 7, 9], 3) == [3, 6, 9]
    assert spread([4], 3) == [4]
