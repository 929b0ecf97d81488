"""What the stage import refuses: one sentence each, and nothing is written."""

import numpy as np
import pandas as pd
import pytest

from competition.masks.stored_arrays import write_array
from competition.prediction.probability_maps import MapFolder, read_map, write_index
from competition.submission.run_lengths.files import write_rle_csv

pytestmark = pytest.mark.slow

CLASSES = ("disc", "square", "bar")


def set_value(path, value):
    array = np.load(path)
    array[-1, -1, -1] = value
    np.save(path, array)


BROKEN = {
    "missing image": (lambda f: (f / "hand3.npy").unlink(), "1 of 10 samples are not predicted (hand3)"),
    "unknown image": (lambda f: np.save(f / "foot.npy", 0), "1 predictions belong to none of the 10 samples (foot)"),
    "test image": (lambda f: np.save(f / "hand10.npy", 0), "belong to none of the 10 samples (hand10)"),
    "twice": (
        lambda f: np.save(f / "hand3.npy.npy", 0),
        "'hand3' is predicted by two files, one of them hand3.npy.npy",
    ),
    "wrong size": (lambda f: np.save(f / "hand3.npy", np.zeros((3, 64, 64))), "shape (3, 64, 64) fits neither (3, 61"),
    "wrong classes": (lambda f: np.save(f / "hand3.npy", np.zeros((2, 61, 47))), "shape (2, 61, 47) fits neither (3,"),
    "above one": (lambda f: set_value(f / "hand3.npy", 1.5), "1.5 is not a probability from 0 to 1"),
    "below zero": (lambda f: set_value(f / "hand3.npy", -2), "-2 is not a probability from 0 to 1"),
    "not a number": (lambda f: set_value(f / "hand3.npy", np.nan), "a probability is NaN"),
    "truncated": (lambda f: (f / "hand3.npy").write_bytes((f / "hand3.npy").read_bytes()[:900]), "can't be read as an"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_predictions_are_named_and_nothing_is_written(refusal, hands_with_run, float_arrays, broken):
    break_it, sentence = BROKEN[broken]
    break_it(float_arrays[0])
    error, _ = refusal(
        "import",
        "--name",
        "theirs",
        "--oof",
        float_arrays[0],
        "--folds",
        hands_with_run.fold_file(),
        "--test",
        float_arrays[1],
    )
    assert sentence in error
    assert str(float_arrays[0]) in error
    assert sorted(path.name for path in hands_with_run.run_folder("theirs").parent.iterdir()) == ["quick"]


def test_broken_test_predictions_are_named(refusal, hands_with_run, float_arrays):
    set_value(float_arrays[1] / "hand11.npy", 7)
    error, _ = refusal("import", "--name", "theirs", "--test", float_arrays[1])
    assert "7 is not a probability from 0 to 1" in error
    assert "hand11.npy" in error


BROKEN_OURS = {
    "no index": (lambda f: (f / "index.json").write_text("{}"), "this is no index of maps"),
    "other classes": (
        lambda f: write_index(f, MapFolder(("disc", "ring", "bar"), ("hand0",), {})),
        "maps of the classes disc, ring, bar, not disc, square, bar",
    ),
    "missing map": (lambda f: (f / "hand3.b2").unlink(), "1 maps of its index.json are missing, first hand3.b2"),
    "truncated map": (lambda f: (f / "hand3.b2").write_bytes((f / "hand3.b2").read_bytes()[:99]), "damaged"),
    "wrong size": (lambda f: write_array(f / "hand3.b2", np.zeros((3, 47, 61), np.uint8)), "shape (3, 47, 61), not (3"),
    "listed twice": (
        lambda f: write_index(f, MapFolder(CLASSES, ("hand3", "hand3.npy"), {})),
        "'hand3' is predicted a second time",
    ),
}


@pytest.mark.parametrize("broken", BROKEN_OURS)
def test_broken_folders_of_our_form_are_named(
    refusal, hands_with_run, hand_entries, tmp_path, broken, write_maps, noise
):
    break_it, sentence = BROKEN_OURS[broken]
    break_it(write_maps(tmp_path / "oof", hand_entries["train"], noise))
    words = ("--oof", tmp_path / "oof", "--folds", hands_with_run.fold_file())
    assert sentence in refusal("import", "--name", "theirs", *words)[0]


BROKEN_CSV = {
    "missing row": (lambda t: t.replace("hand3.npy,square,1 2\n", ""), "1 rows are missing (hand3.npy square)"),
    "missing image": (
        lambda t: "\n".join(line for line in t.split("\n") if "hand3" not in line),
        "1 of 10 samples are not predicted (hand3)",
    ),
    "unknown image": (lambda t: t.replace("hand3.npy", "foot.npy"), "belong to none of the 10 samples (foot.npy)"),
    "unknown class": (lambda t: t.replace("hand3.npy,square", "hand3.npy,sqare"), "an unknown class (hand3.npy sqare)"),
    "duplicate": (lambda t: t + "hand3.npy,bar,1 2\n", "class 'bar' of image 'hand3.npy' appears twice"),
    "odd": (lambda t: t.replace("hand3.npy,disc,1 2", "hand3.npy,disc,1 2 3"), "run lengths of 3 numbers"),
    "float": (lambda t: t.replace("hand3.npy,disc,1 2", "hand3.npy,disc,1.0 2"), "'1.0' in run lengths"),
    "past the end": (lambda t: t.replace("hand3.npy,disc,1 2", "hand3.npy,disc,2867 2"), "the image has 2867"),
    "overlap": (lambda t: t.replace("hand3.npy,disc,1 2", "hand3.npy,disc,1 3 2 4"), "before the one ahead of it"),
    "header": (lambda t: t.replace("image_name", "image"), "no column 'image_name', did you mean 'image'?"),
    "cut row": (lambda t: t + "hand3.npy", "has 1 fields, not 3"),
    "empty": (lambda t: "", "the file is empty"),
}


@pytest.mark.parametrize("broken", BROKEN_CSV)
def test_broken_csvs_are_named(refusal, hands_with_run, hand_entries, tmp_path, broken):
    change, sentence = BROKEN_CSV[broken]
    path = tmp_path / "theirs.csv"
    write_rle_csv(path, [(entry.name, name, "1 2") for entry in hand_entries["train"] for name in CLASSES])
    path.write_text(change(path.read_text()))
    error, _ = refusal("import", "--name", "theirs", "--oof", path, "--folds", hands_with_run.fold_file())
    assert sentence in error
    assert str(path) in error


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda v: v.__setitem__((2, 0), 1.5), "1.5 is not a probability"),
        (lambda v: v.__setitem__((2, 0), np.nan), "a probability is NaN"),
    ],
)
def test_broken_tables_are_named(refusal, patients_with_run, shared_patients, tmp_path, change, sentence):
    names = [entry.name for entry in shared_patients.train()]
    values = np.full((len(names), 3), 0.25)
    change(values)
    frame = pd.DataFrame(values, index=pd.Index(names, name="Index"), columns=list(shared_patients.track.classes))
    frame.to_csv(tmp_path / "t.csv", na_rep="nan")
    words = ("import", "--name", "theirs", "--oof", tmp_path / "t.csv", "--folds", patients_with_run.fold_file())
    assert sentence in refusal(*words)[0]
    frame.fillna(0.5).clip(0, 1)[1:].to_csv(tmp_path / "t.csv")
    assert "1 of 8 samples are not predicted (0)" in refusal(*words)[0]
    assert "predicts all 3 classes" in refusal(*words, "--classes", "any,left")[0]


def test_a_fold_file_that_leaks_is_refused_with_the_person_and_the_other_way(
    refusal, hands_with_run, float_arrays, tmp_path
):
    text = hands_with_run.fold_file().read_text()
    assert "person2,0" in text
    (tmp_path / "folds.csv").write_text(text.replace("person2,0", "person2,1"))
    error, _ = refusal("import", "--name", "theirs", "--oof", float_arrays[0], "--folds", tmp_path / "folds.csv")
    assert "'person2' is in different folds" in error
    assert "have seen our held-out groups" in error
    assert "import without --oof" in error


def test_a_trained_run_is_never_overwritten_and_an_import_only_with_force(
    stage, refusal, hands_with_run, hand_entries, float_arrays
):
    words = ("--oof", float_arrays[0], "--folds", hands_with_run.fold_file(), "--test", float_arrays[1])
    for force in ([], ["--force"]):
        error, _ = refusal("import", "--name", "quick", *words, *force)
        assert "the name 'quick' is taken by a trained run" in error
    stage("import", "--name", "theirs", *words)
    set_value(float_arrays[0] / "hand3.npy", 0.75)
    error, _ = refusal("import", "--name", "theirs", *words)
    assert "imported before from other files" in error
    assert "--force" in error
    stage("tune", "--members", "theirs", "--name", "old")
    stage("import", "--name", "theirs", *words, "--force")
    assert read_map(hands_with_run.fold_folder("theirs", 1) / "oof", "hand3")[-1, -1, -1] == 191
    error, _ = refusal("ensemble", "--decision", "old")
    assert "member 'theirs' was imported again since it was tuned" in error
    error, _ = refusal("import", "--name", "theirs", "--test", float_arrays[1])  # the same name with fewer predictions
    assert "imported before from other files" in error


@pytest.mark.parametrize("name", ["ensembles", "search", "a,b", "a:b", "a@3", "a/b", "", "."])
def test_a_name_that_would_mean_something_else_is_refused(refusal, hands_with_run, float_arrays, name):
    error, _ = refusal("import", "--name", name, "--test", float_arrays[1])
    assert "can't be called" in error or "is taken by a trained run" in error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "neither --oof nor --test is given"),
        (("--oof", "oof"), "--oof and --folds go together"),
        (("--folds", "folds.csv"), "neither --oof nor --test"),
        (("--test", "nowhere"), "no such file or folder: nowhere"),
        (("--test", "empty"), "no predictions found; expected a folder of .npy or .npz files"),
        (
            ("--test", "test", "--classes", "disc,sqare,bar"),
            "--classes: 'sqare' is unknown, did you mean 'square'?",
        ),
        (("--test", "test", "--classes", "disc,disc,bar"), "--classes: 'disc' appears twice"),
    ],
)
def test_what_is_asked_for_wrongly_is_explained(
    refusal, hands_with_run, float_arrays, tmp_path, monkeypatch, words, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert sentence in refusal("import", "--name", "theirs", *words)[0]


def test_train_leaves_the_name_of_an_import_alone(
    stage, refusal, hands_with_run, float_arrays, tiny_experiment, tmp_path
):
    stage("import", "--name", "theirs", "--test", float_arrays[1])
    (tmp_path / "theirs.yaml").write_text(tiny_experiment().to_yaml())
    for force in ([], ["--force"]):
        error, _ = refusal("train", "--experiment", tmp_path / "theirs.yaml", "--fold", "0", *force)
        assert "the name 'theirs' is taken by an imported member" in error


def test_what_an_imported_member_can_not_do_is_said(
    stage, refusal, hands_with_run, float_arrays, hand_entries, tmp_path
):
    words = ("import", "--name", "theirs", "--oof", float_arrays[0], "--folds", hands_with_run.fold_file())
    stage(*words)
    for member in ("theirs:0", "theirs@3"):
        assert "'theirs' was imported and votes as a whole" in refusal("tune", "--members", member)[0]
    stage("tune", "--members", "theirs")
    error, _ = refusal("ensemble")
    assert "'theirs' was imported and has not predicted 2 of these 2 test images (first: hand10)" in error
    stage(*words, "--test", float_arrays[1], "--force")
    stage("tune", "--members", "theirs")
    assert "its folds can't vote alone" in refusal("ensemble", "--folds", "0")[0]
    stage("ensemble")
    folds = hands_with_run.fold_file().read_text()
    hands_with_run.fold_file().write_text(folds.replace("person2,0", "person2,1"))
    error, _ = refusal("tune", "--members", "theirs")
    assert "run 'theirs' was imported on other folds" in error
    assert "import it again with --force" in error
