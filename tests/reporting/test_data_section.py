"""The report's first part: its tables against numpy, and data that lack something."""

from dataclasses import replace

import numpy as np
import pytest

from competition.data.cache import read_cached_planes
from competition.data.checks.label_maps import LabelMaps
from competition.data.manifest import Manifest, target_matrix
from competition.masks.bit_planes import unpack_planes
from competition.reporting.data_section import data_figures
from competition.reporting.image_figures import fold_figure
from competition.reporting.label_figures import SHOWN_CLASSES, overlap_figure, prevalence_figure, size_figure
from competition.reporting.page import Report, Section, write_report

pytestmark = pytest.mark.slow  # draws charts

HANDS = ["samples", "class-sizes", "positions", "overlaps", "prevalence", "images", "folds", "duplicates"]
HANDS += ["near-duplicates", "suspicious-labels"]


def tables(figures):
    return {figure.name: figure.table for figure in figures}


@pytest.fixture(scope="module")
def hands(shared_hands):
    return data_figures(shared_hands.track, shared_hands.workspace, shared_hands.manifest, shared_hands.folds)


def test_the_figures_of_masks_are_written_with_their_tables(hands, tmp_path) -> None:
    assert [figure.name for figure in hands] == HANDS
    page = write_report(
        tmp_path / "report", Report("t", "s", sections=[Section("data", "The data", hands)])
    ).read_text()
    assert page.count("<svg") == 5
    assert {path.stem for path in (tmp_path / "report").glob("*.csv")} == set(HANDS) - {"samples"}


def test_sizes_positions_and_prevalence_are_those_of_the_masks(hands, shared_hands) -> None:
    masks = [
        unpack_planes(read_cached_planes(shared_hands.workspace, entry.sample), 3) for entry in shared_hands.train()
    ]
    areas = np.array([mask.sum(axis=(1, 2)) for mask in masks])
    sizes = tables(hands)["class-sizes"].set_index("class")
    for index, name in enumerate(shared_hands.track.classes):
        seen = areas[areas[:, index] > 0, index]
        assert sizes.loc[name, "samples"] == len(seen)
        assert sizes.loc[name, ["smallest", "median", "largest"]].tolist() == [seen.min(), np.median(seen), seen.max()]
    assert tables(hands)["prevalence"]["samples"].tolist() == (areas > 0).sum(axis=0).tolist()
    rows = [np.nonzero(mask[0])[0].mean() / mask.shape[1] for mask in masks]
    assert tables(hands)["positions"]["median row"][0] == pytest.approx(np.median(rows), abs=0.02)


def test_overlaps_are_shares_of_the_class_in_the_row(hands, shared_hands) -> None:
    both, alone = 0, 0
    for entry in shared_hands.train():
        mask = unpack_planes(read_cached_planes(shared_hands.workspace, entry.sample), 3)
        both += (mask[0] & mask[1]).sum()
        alone += mask[0].sum()
    table = tables(hands)["overlaps"].set_index("class")
    assert table.loc["disc", "square"] == pytest.approx(both / alone, abs=0.01)
    assert np.isnan(table.loc["disc", "disc"])


def test_folds_list_samples_groups_and_classes(hands, shared_hands) -> None:
    table = tables(hands)["folds"]
    held_out = [shared_hands.folds.held_out(shared_hands.train(), fold) for fold in (0, 1)]
    assert table["samples"].tolist() == [len(entries) for entries in held_out]
    assert table["groups"].tolist() == [3, 2]
    assert table["bar"].tolist() == [target_matrix(entries)[:, 2].sum() for entries in held_out]


def test_classes_may_have_the_names_of_other_columns_of_the_folds(shared_hands) -> None:
    track = replace(shared_hands.track, classes=("samples", "groups", "fold"))
    figure = fold_figure(track, shared_hands.train(), shared_hands.folds)
    held_out = [shared_hands.folds.held_out(shared_hands.train(), fold) for fold in (0, 1)]
    expected = [
        [fold, len(entries), 3 - fold, *target_matrix(entries).sum(axis=0)] for fold, entries in enumerate(held_out)
    ]
    assert figure.table.to_numpy().tolist() == expected
    assert "with samples" in figure.body


@pytest.mark.slow
def test_predictions_make_an_exchanged_label_the_first(shared_hands, decided_masks) -> None:
    def draw(member, entry):
        truth = unpack_planes(read_cached_planes(shared_hands.workspace, entry.sample), 3)
        return 40 + 180 * (truth[[1, 0, 2]] if entry.sample == "hand2" else truth).astype(np.uint8)

    made = decided_masks(shared_hands, draw)
    figures = data_figures(
        shared_hands.track, shared_hands.workspace, shared_hands.manifest, shared_hands.folds, made.data, made.decision
    )
    found = tables(figures)["suspicious-labels"]
    assert set(found["sample"][:2]) == {"hand2"}
    assert found["reason"][0].startswith("Dice 0.")
    assert "orange" in figures[-1].sentence


def test_patients_are_drawn_with_all_their_views(shared_patients, decided_table) -> None:
    probabilities = target_matrix(shared_patients.train()) * 0.8 + 0.1
    probabilities[5] = 1 - probabilities[5]
    made = decided_table(shared_patients, probabilities)
    figures = data_figures(
        shared_patients.track,
        shared_patients.workspace,
        shared_patients.manifest,
        shared_patients.folds,
        made.data,
        made.decision,
    )
    names = [figure.name for figure in figures]
    assert names == [name for name in HANDS if name not in ("class-sizes", "positions", "overlaps")]
    assert "without L-A, R-A" in figures[0].body
    assert tables(figures)["suspicious-labels"]["sample"][0] == "5"
    assert len(tables(figures)["images"]) == 9 * 4 - 2


@pytest.mark.slow
def test_without_test_images_and_without_any_label_nothing_fails(shared_hands) -> None:
    empty = [
        replace(entry, areas=(0, 0, 0), targets=(0, 0, 0), object_areas=(0.0,) * 3) for entry in shared_hands.train()
    ]
    manifest = Manifest(shared_hands.manifest.data_root, tuple(empty))
    figures = data_figures(shared_hands.track, shared_hands.workspace, manifest, shared_hands.folds)
    assert figures[1].sentence == "No class has a labelled pixel: check the folder of the labels."
    assert "no test images yet" in next(figure.sentence for figure in figures if figure.name == "images")


@pytest.mark.slow
def test_of_many_classes_some_are_drawn_and_all_are_in_the_table(shared_hands) -> None:
    names = tuple(f"bone{number}" for number in range(40))
    track = replace(shared_hands.track, classes=names)
    random = np.random.default_rng(0)
    entries = []
    for entry in shared_hands.train():
        areas = tuple(int(area) for area in random.integers(1, 500, 40))
        objects = tuple(area / 2 for area in areas)
        entries.append(replace(entry, areas=areas, object_areas=objects, targets=(0, *[1] * 39)))
    for figure in (size_figure(track, entries), prevalence_figure(track, entries)):
        assert len(figure.table) == 40
        assert "bone29" in figure.body
        assert "bone30" not in figure.body
        assert f"the first {SHOWN_CLASSES} classes" in figure.sentence


def test_the_advice_on_small_objects_is_about_objects_and_not_about_the_class(shared_hands) -> None:
    """Of two classes that cover as much, the second does so with thirty small cells."""
    track = replace(shared_hands.track, classes=("organ", "cell"))
    entry = replace(shared_hands.train()[0], areas=(600, 600), object_areas=(600.0, 20.0), targets=(1, 1))
    figure = size_figure(track, [entry, replace(entry, areas=(600, 0), object_areas=(600.0, 0.0))])
    assert "of cell, the smallest, have 20 pixels in the median" in figure.sentence
    assert figure.table["median object in pixels"].tolist() == [600, 20]


def test_areas_are_in_mm2_where_every_spacing_is_known(shared_hands) -> None:
    known = [replace(entry, spacing_mm=(0.5, 0.4)) for entry in shared_hands.train()]
    figure = size_figure(shared_hands.track, known)
    pixels = size_figure(shared_hands.track, shared_hands.train())
    assert "mm²" in figure.sentence
    assert figure.table["median"].to_numpy() == pytest.approx(0.2 * pixels.table["median"].to_numpy())
    assert "mm²" not in size_figure(shared_hands.track, [known[0], *shared_hands.train()[1:]]).sentence


def test_classes_that_never_overlap_are_said_to_be_apart(shared_hands) -> None:

    maps = LabelMaps(("a",), np.full((1, 3, 2), 0.5), np.zeros((3, 32, 32)), np.diag([5.0, 6, 0]))
    assert overlap_figure(shared_hands.track, maps).sentence.startswith("No two classes share a pixel")
