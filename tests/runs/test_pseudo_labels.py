"""A teacher labels the test images for the student of its own fold and for no other."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from competition.data.datasets import TrainingSet
from competition.data.folds import FULL, Folds
from competition.data.loader import collate
from competition.data.manifest import Manifest
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.masks.stored_arrays import read_array
from competition.prediction.predictor import make_predictor, predict_map, predict_scores
from competition.runs import pseudo_labels
from competition.runs.fold_training import fold_job, train_one
from competition.runs.run import Run, check_fold, fold_identity
from competition.settings import Experiment
from competition.training import loop
from competition.training.checkpoints import load_checkpoint, load_network, load_trained, save_trained

pytestmark = pytest.mark.slow


def run_of(prepared, experiment, name):
    return Run(name, prepared.track, prepared.workspace, experiment, prepared.manifest, prepared.folds)


TEACHER = {
    "train": {"epochs": 4, "lr": 1e-2, "repeats": 2},
    "model": {"prior": 0.3},
    "predict": {"views": ["identity", "hflip"]},
}


@pytest.fixture(scope="module")
def classroom(shared_hands, copy_prepared, tiny_experiment, tmp_path_factory):
    """Images with a teacher trained on both folds."""
    hands = copy_prepared(shared_hands, tmp_path_factory.mktemp("classroom") / "hands")
    for fold in (0, 1):
        train_one(run_of(hands, tiny_experiment(**TEACHER), "teacher"), fold, force=False)
    return hands


@pytest.fixture
def taught(classroom, copy_prepared, tiny_experiment, tmp_path):
    """The teacher, and a student that is not trained yet, both the test's own."""
    hands = copy_prepared(classroom, tmp_path / "hands", runs=True)
    student = tiny_experiment(data={"pseudo": "teacher", "flip": True}, train={"epochs": 1, "ema": False})
    return run_of(hands, tiny_experiment(**TEACHER), "teacher"), run_of(hands, student, "student")


def decisions(teacher, fold):
    """What the teacher's fold says about the test images, (C, H, W) bool each."""
    trained = load_trained(teacher.folder(fold) / "weights.pt")
    predictor = make_predictor(
        [load_network(trained, teacher.track)], teacher.experiment, teacher.track, teacher.workspace, None
    )
    views = ["identity", "hflip"]
    return {entry.sample: predict_map(predictor, entry, views) >= 128 for entry in teacher.manifest.of("test")}


def test_a_student_learns_what_the_teacher_of_its_fold_says(taught):
    teacher, student = taught
    said = [decisions(teacher, fold) for fold in (0, 1)]
    assert any(not np.array_equal(said[0][name], said[1][name]) for name in said[0])
    assert any(mask.any() for mask in said[0].values())
    for fold in (0, 1):
        job = fold_job(student, fold, student.folder(fold))
        own = student.folds.training(student.manifest.of("train"), fold)
        assert job.training[: len(own)] == own
        assert [entry.sample for entry in job.training[len(own) :]] == ["hand10", "hand11"]
        for entry in job.training[len(own) :]:
            planes = read_array(student.folder(fold) / "pseudo" / f"{entry.sample}.b2")
            np.testing.assert_array_equal(unpack_planes(planes, 3), said[fold][entry.sample])
            assert entry.targets == tuple(int(mask.any()) for mask in said[fold][entry.sample])
        assert not set(job.training) & set(job.held_out)
    assert not (student.workspace.cache_folder() / "labels" / "hand10.b2").exists()


def test_the_network_is_shown_the_test_image_with_its_label(taught, tiny_experiment):
    teacher, student = taught
    said = decisions(teacher, 1)["hand10"]
    job = fold_job(student, 1, student.folder(1))
    plain = tiny_experiment(data={"size": 64, "pseudo": "teacher"})
    dataset = TrainingSet(job.training, job.workspace, job.track, plain, job.pseudo)
    (index,) = [number for number, entry in enumerate(dataset.entries) if entry.sample == "hand10"]
    drawn = dataset[(index, 0)]
    np.testing.assert_array_equal(unpack_planes(drawn.planes, 3), said)
    np.testing.assert_array_equal(drawn.images[0, 0], np.load(student.workspace.root / "raw" / "hand10.npy"))


def test_a_fold_does_not_even_need_the_teacher_of_another(taught):
    teacher, student = taught
    shutil.rmtree(teacher.folder(1))
    train_one(student, 0, force=False)
    assert (student.folder(0) / "finished.json").exists()
    with pytest.raises(
        CompetitionError, match=r"fold 1 of the teacher 'teacher' is not trained yet.*--name teacher --fold 1"
    ):
        train_one(student, 1, force=False)


def test_only_the_weights_of_the_own_fold_are_ever_asked(taught, monkeypatch):
    _, student = taught
    asked, original = [], pseudo_labels.open_predictor
    monkeypatch.setattr(
        pseudo_labels,
        "open_predictor",
        lambda checkpoints, *others: (
            asked.extend(trained.identity.fold for trained in checkpoints) or original(checkpoints, *others)
        ),
    )
    for fold in (1, 0):
        fold_job(student, fold, student.folder(fold))
    assert asked == [1, 0]
    fold_job(student, 0, student.folder(0))
    assert asked == [1, 0]  # labels that are there are not made again


def test_a_teacher_that_has_changed_makes_another_student(taught):
    teacher, student = taught
    train_one(student, 0, force=False)
    check_fold(student, 0)
    before = fold_identity(student, 0)[0].pseudo_hash
    path = teacher.folder(0) / "weights.pt"
    trained = load_trained(path)
    next(iter(trained.weights.values())).flatten()[0] += 1e-3
    save_trained(path, trained)
    after = fold_identity(student, 0)[0].pseudo_hash
    assert after != before
    with pytest.raises(
        CompetitionError, match=rf"the teacher or the test images .*\({before}, now {after}\).*--name NEW"
    ):
        check_fold(student, 0)
    train_one(student, 0, force=True)
    assert load_trained(student.folder(0) / "weights.pt").identity.pseudo_hash == after
    planes = read_array(student.folder(0) / "pseudo" / "hand10.b2")
    np.testing.assert_array_equal(unpack_planes(planes, 3), decisions(teacher, 0)["hand10"])


def test_other_test_images_make_another_student(taught):
    _, student = taught
    entries = [
        replace(entry, pixels=entry.pixels[::-1]) if entry.split == "test" else entry
        for entry in student.manifest.entries
    ]
    other = replace(student, manifest=Manifest(student.manifest.data_root, tuple(entries)))
    assert fold_identity(other, 0)[0].pseudo_hash != fold_identity(student, 0)[0].pseudo_hash
    assert fold_identity(other, 0)[0].data_hash == fold_identity(student, 0)[0].data_hash


def test_the_labels_change_what_is_learned(taught, tiny_experiment):
    _, student = taught
    train_one(student, 0, force=False)
    alone = replace(
        student, name="alone", experiment=tiny_experiment(train={"epochs": 1, "ema": False}, data={"flip": True})
    )
    train_one(alone, 0, force=False)
    weights = [
        load_checkpoint(run.folder(0) / "last.pt")["model"]["encoder.model.conv1.0.weight"] for run in (student, alone)
    ]
    assert not torch.equal(*weights)
    assert fold_identity(alone, 0)[0].pseudo_hash == ""


def test_a_student_of_all_samples_has_the_teacher_of_all_samples(taught):
    teacher, student = taught
    with pytest.raises(CompetitionError, match=r"fold full of the teacher 'teacher' is not trained yet"):
        fold_job(student, FULL, student.folder(FULL))
    train_one(teacher, FULL, force=False)
    job = fold_job(student, FULL, student.folder(FULL))
    assert (len(job.training), job.held_out) == (12, [])
    planes = unpack_planes(read_array(student.folder(FULL) / "pseudo" / "hand11.b2"), 3)
    np.testing.assert_array_equal(planes, decisions(teacher, FULL)["hand11"])


def changed_identity(teacher, **change):
    path = teacher.folder(0) / "weights.pt"
    trained = load_trained(path)
    save_trained(path, replace(trained, identity=replace(trained.identity, **change)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": "phantom_tiny_hands"}, "trained on phantom_tiny_hands, not tiny_hands"),
        ({"fold_hash": "0123456789"}, "trained with other folds .*0123456789"),
        ({"data_hash": "0123456789"}, "images or labels have changed"),
        ({"classes": ("disc", "bar", "square")}, "trained for other classes"),
        ({"fold": 1}, "holds out fold 1, not fold 0"),
    ],
)
def test_a_teacher_of_something_else_is_refused(taught, change, sentence):
    teacher, student = taught
    changed_identity(teacher, **change)
    with pytest.raises(CompetitionError, match=rf"{sentence}.*"):
        check_fold(student, 0)
    with pytest.raises(CompetitionError, match=rf"{sentence}.*"):
        train_one(student, 0, force=True)
    assert not (student.folder(0) / "last.pt").exists()


def test_a_teacher_of_parts_of_images_is_refused(taught):
    teacher, student = taught
    path = teacher.folder(0) / "weights.pt"
    trained = load_trained(path)
    settings = trained.experiment.model_dump()
    settings["data"]["crop_to"] = {"run": "first", "classes": ["disc"]}
    save_trained(path, replace(trained, experiment=Experiment.model_validate(settings)))
    with pytest.raises(CompetitionError, match=r"teacher 'teacher' looks at boxes .*Choose a teacher of whole images"):
        check_fold(student, 0)


def test_a_fold_file_that_has_changed_since_the_teacher_was_trained_is_refused(taught):
    _, student = taught
    moved = replace(student, folds=Folds(student.folds.fold_of | {"person0": 1}, student.folds.path))
    with pytest.raises(CompetitionError, match=r"trained with other folds .*teacher.fold0.weights\.pt"):
        check_fold(moved, 0)


def test_without_a_test_image_there_is_nothing_to_label(taught):
    _, student = taught
    bare = replace(student, manifest=Manifest(student.manifest.data_root, tuple(student.manifest.of("train"))))
    with pytest.raises(CompetitionError, match="data of tiny_hands has no test image to label"):
        check_fold(bare, 0)


def test_a_test_sample_that_could_not_be_read_is_left_out(taught):
    _, student = taught
    entries = [replace(entry, present=(entry.sample != "hand10",)) for entry in student.manifest.entries]
    half = replace(student, manifest=Manifest(student.manifest.data_root, tuple(entries)))
    labelled = fold_identity(half, 0)[1].samples
    assert [entry.sample for entry in labelled] == ["hand11"]


class CutError(Exception):
    pass


def test_a_run_cut_while_labelling_or_training_ends_the_same(taught, monkeypatch):
    _, student = taught
    train_one(student, 0, force=False)
    cut = replace(student, name="cut")
    for module, function, call in ((pseudo_labels, "write_array", 2), (loop, "_optimizer_step", 2)):
        original, calls = getattr(module, function), []

        def cutting(*args, original=original, calls=calls, call=call):
            calls.append(args)
            if len(calls) == call:
                raise CutError
            return original(*args)

        with monkeypatch.context() as patch:
            patch.setattr(module, function, cutting)
            with pytest.raises(CutError):
                train_one(cut, 0, force=False)
        assert (cut.folder(0) / "pseudo").exists() == (module is loop)
    train_one(cut, 0, force=False)
    first, second = (load_checkpoint(run.folder(0) / "last.pt")["model"] for run in (student, cut))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_patients_are_taught_probabilities(tiny_patients, tiny_experiment):
    settings = {"multiview": True, "model": {"encoder": "test_resnet"}}
    teacher = run_of(tiny_patients, tiny_experiment(**settings, train={"epochs": 2}), "teacher")
    train_one(teacher, 0, force=False)
    student = run_of(
        tiny_patients, tiny_experiment(**settings, data={"pseudo": "teacher"}, train={"epochs": 1}), "student"
    )
    job = fold_job(student, 0, student.folder(0))
    entry = job.training[-1]
    assert entry.sample == "8"
    network = load_network(load_trained(teacher.folder(0) / "weights.pt"), teacher.track)
    predictor = make_predictor([network], teacher.experiment, teacher.track, teacher.workspace, None)
    probs = predict_scores(predictor, entry, ["identity"])
    assert entry.targets == tuple(probs)
    assert min(probs) > 0
    assert max(probs) < 1
    dataset = TrainingSet(job.training, job.workspace, job.track, student.experiment, job.pseudo)
    batch = collate([dataset[(len(job.training) - 1, 0)], dataset[(0, 0)]])
    np.testing.assert_array_equal(batch.targets[0].numpy(), probs.astype(np.float32))
    assert batch.targets[1].tolist() == list(job.training[0].targets)
    train_one(student, 0, force=False)
    assert (student.folder(0) / "finished.json").exists()
