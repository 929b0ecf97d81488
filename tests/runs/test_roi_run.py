"""Two stages: boxes come from the first stage's maps, and the second is trained, scored and asked through them."""

import shutil

import numpy as np
import pytest
from scipy import ndimage

from competition.data.boxes import Box
from competition.data.cache import read_cached_planes
from competition.data.folds import read_folds
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.prediction.histograms import load_histograms
from competition.prediction.probability_maps import read_index, read_map, write_map
from competition.runs.fold_training import fold_job, train_one
from competition.runs.members import Member
from competition.runs.roi_run import find_boxes, find_first_stage
from competition.runs.run import Run, check_fold, open_run
from competition.runs.test_set_predictions import predict_test_set
from competition.settings import CropSettings
from competition.workspace import Workspace

pytestmark = pytest.mark.slow

CROP = {"run": "first", "classes": ["square"], "margin": 0.25}


@pytest.fixture(scope="module")
def first(shared_hands, tiny_experiment, tmp_path_factory):
    """A first stage of both folds; its out-of-fold maps are replaced by the truth, hand 3's by one without a square."""
    root = tmp_path_factory.mktemp("stages") / "hands"
    shutil.copytree(shared_hands.workspace.root, root, ignore=shutil.ignore_patterns("runs"))
    workspace = Workspace(root, shared_hands.workspace.dataset)
    experiment, folds = tiny_experiment(train={"epochs": 1}), read_folds(workspace.fold_file())
    run = Run("first", shared_hands.track, workspace, experiment, shared_hands.manifest, folds)
    for fold in (0, 1):
        train_one(run, fold, force=False)
        for entry in run.held_out(fold):
            masks = unpack_planes(read_cached_planes(run.workspace, entry.sample), 3)
            masks[1] &= entry.sample != "hand3"
            write_map(run.folder(fold) / "oof", entry.sample, np.where(masks, 128, 127).astype(np.uint8))
    return run


def second(first, tiny_experiment, name="second", **data):
    """A run that looks where the first one sees the square, and predicts bar and square alone."""
    settings = {"crop_to": CROP, "classes": ["bar", "square"], "size": 32} | data
    experiment = tiny_experiment(data=settings, train={"epochs": 1}, model={"prior": 0.6})
    return open_run(name, first.track, first.workspace, experiment)


def stage_of(first, **changes):
    return find_first_stage(
        first.workspace, first.folds, first.manifest.of("train"), CropSettings.model_validate(CROP | changes)
    )


def raw_masks(first, entry):
    return np.load(first.workspace.root / "raw" / f"{entry.sample.replace('hand', 'mask')}.npy")


def square_box(first, entry, margin):
    """From the raw masks: all rows and columns of the square, and the margin."""
    mask = raw_masks(first, entry)[1]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    above, beside = round(margin * len(rows)), round(margin * len(columns))
    return Box(
        max(0, rows[0] - above),
        max(0, columns[0] - beside),
        min(entry.height, rows[-1] + 1 + above),
        min(entry.width, columns[-1] + 1 + beside),
    )


def test_boxes_are_drawn_around_what_the_held_out_maps_show(first, capsys):
    stage, entries = stage_of(first), first.manifest.of("train")
    capsys.readouterr()
    boxes = find_boxes(stage, stage.folder_of, entries)
    assert boxes == {
        entry.sample: Box(0, 0, 61, 47) if entry.sample == "hand3" else square_box(first, entry, 0.25)
        for entry in entries
    }
    assert "first finds no square in hand3: whole images are used" in capsys.readouterr().out


def test_the_box_of_several_classes_is_that_of_their_largest_component(first):
    stage, entries = stage_of(first, classes=["square", "disc"], margin=0), first.manifest.of("train")
    expected = {}
    for entry in entries:
        disc, square, _ = raw_masks(first, entry)
        labels, count = ndimage.label(disc if entry.sample == "hand3" else disc | square, np.ones((3, 3)))
        areas = [(labels == number).sum() for number in range(1, count + 1)]
        rows, columns = ndimage.find_objects(labels)[int(np.argmax(areas))]
        expected[entry.sample] = Box(rows.start, columns.start, rows.stop, columns.stop)
    assert find_boxes(stage, stage.folder_of, entries) == expected


def test_a_first_stage_that_can_not_tell_is_refused(first, tiny_experiment):
    with pytest.raises(CompetitionError, match="does not predict 'sqare', did you mean 'square'"):
        stage_of(first, classes=["disc", "sqare"])
    with pytest.raises(CompetitionError, match="run 'frist' has no trained fold, did you mean 'first'"):
        stage_of(first, run="frist")
    half = Run("half", first.track, first.workspace, first.experiment, first.manifest, first.folds)
    train_one(half, 0, force=False)
    with pytest.raises(CompetitionError, match=r"has not predicted 4 of 10 training samples .*Train its other folds"):
        stage_of(first, run="half")
    blind = second(first, tiny_experiment, "blind", crop_to=None)
    for fold in (0, 1):
        train_one(blind, fold, force=False)
    with pytest.raises(CompetitionError, match="run 'blind' does not predict 'disc'; known are square, bar"):
        stage_of(first, run="blind", classes=["disc"])


def test_a_map_of_another_size_is_refused(first):
    stage, (entry, *_) = stage_of(first), first.manifest.of("train")
    folder = stage.folder_of[entry.sample]
    kept = read_map(folder, entry.sample)
    write_map(folder, entry.sample, kept[:, 1:])
    try:
        with pytest.raises(CompetitionError, match="map of hand0 is 63x64, not 64x64"):
            find_boxes(stage, stage.folder_of, [entry])
    finally:
        write_map(folder, entry.sample, kept)


def test_the_second_stage_predicts_its_classes_inside_of_its_boxes_alone(first, tiny_experiment, capsys):
    run = second(first, tiny_experiment)
    assert run.track.classes == ("square", "bar")
    train_one(run, 0, force=False)
    assert "looks at boxes of " in capsys.readouterr().out
    folder = run.folder(0) / "oof"
    assert read_index(folder, "").classes == ("square", "bar")
    histograms = load_histograms(folder / "histograms.npz")
    for entry in run.held_out(0):
        levels = read_map(folder, entry.sample)
        assert levels.shape == (2, entry.height, entry.width)
        box = Box(0, 0, 61, 47) if entry.sample == "hand3" else square_box(first, entry, 0.25)
        assert (levels[:, *box.window] > 0).mean() > 0.9
        levels[:, *box.window] = 0
        assert not levels.any()
        masks = raw_masks(first, entry)
        assert histograms[entry.sample][:, 1].sum(axis=1).tolist() == [masks[1].sum(), masks[2].sum()]
    trained, last = (run.folder(0) / name for name in ("weights.pt", "last.pt"))
    assert trained.exists()
    assert last.exists()


def test_a_second_stage_of_another_first_stage_is_refused(first, tiny_experiment, monkeypatch):
    run = second(first, tiny_experiment, "moved")
    train_one(run, 0, force=False)
    check_fold(run, 0)
    before = stage_of(first).stage_hash
    monkeypatch.setattr("competition.runs.roi_run.weights_hash", lambda trained: "other")
    assert stage_of(first).stage_hash != before
    with pytest.raises(CompetitionError, match=r"run of data\.crop_to.* was trained again since .*--force"):
        check_fold(run, 0)
    member = Member(
        name="moved",
        folds=(0,),
        config_hash=run.experiment.hash(),
        fold_hash=run.folds.hash(),
        classes=run.track.classes,
    )
    with pytest.raises(CompetitionError, match=r"'first', which gives the boxes of 'moved', was trained again since"):
        predict_test_set(first.track, first.workspace, first.workspace, member, run.manifest.of("test"))


def test_test_samples_are_cropped_by_the_first_stages_test_maps(first, tiny_experiment, monkeypatch):
    run = second(first, tiny_experiment, "asked")
    train_one(run, 0, force=False)
    entries = run.manifest.of("test")
    member = Member(
        name="asked",
        folds=(0,),
        config_hash=run.experiment.hash(),
        fold_hash=run.folds.hash(),
        classes=run.track.classes,
    )
    stage = stage_of(first)
    told = first.workspace.root / "told"
    for entry in entries:
        levels = np.zeros((3, entry.height, entry.width), np.uint8)
        levels[1, 20:30, 10:30] = 128
        write_map(told, entry.sample, levels)

    def find(stage_, folder_of, samples):
        for sample, folder in folder_of.items():  # what the first stage itself predicts, of all its folds
            assert read_map(folder, sample).shape[0] == 3
            assert read_index(folder, "").made_by["folds"] == [0, 1]
        return find_boxes(stage_, dict.fromkeys(folder_of, told), samples)

    monkeypatch.setattr("competition.runs.test_set_predictions.find_boxes", find)
    folder = predict_test_set(first.track, first.workspace, first.workspace, member, entries)
    assert read_index(folder, "").made_by["stage_hash"] == stage.stage_hash
    for entry in entries:
        levels = read_map(folder, entry.sample)
        assert len(levels) == 2
        inside = Box(18, 5, 32, 35)  # a quarter of 10 rows is 2.5, rounded to even; of 20 columns 5
        assert (levels[:, *inside.window] > 0).mean() > 0.9
        levels[:, *inside.window] = 0
        assert not levels.any()


def test_the_boxes_of_a_job_are_those_of_all_training_samples(first, tiny_experiment):
    run = second(first, tiny_experiment, "job")
    job = fold_job(run, 1, run.folder(1))
    assert job.identity.stage_hash == stage_of(first).stage_hash
    assert set(job.boxes) == {entry.sample for entry in first.manifest.of("train")}
    whole = fold_job(first, 1, first.folder(1))
    assert (whole.boxes, whole.identity.stage_hash) == (None, "")
