"""The tutorial of docs/your_competition.md works: its YAML, its table and its commands, on small synthetic knees."""

import csv
import json
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from competition.data.manifest import read_manifest
from competition.masks.stored_arrays import read_array
from competition.tracks import get_track
from competition.workspace import Workspace
from pipelines.__main__ import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "your_competition.md").read_text(encoding="utf-8")
TUTORIAL = PAGE.split("\n## Where images, masks and people are\n")[0]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)
MINE, KAGGLE = (text for kind, text in BLOCKS if kind == "yaml")
(COMMANDS,) = (text for kind, text in BLOCKS if not kind)
(ROWS,) = (text for kind, text in BLOCKS if kind == "csv")
SIZE_HW = (240, 30)  # 32 pixels wide on the training grid: half the work of 64
BONES = ("femur", "tibia")


def words_of(line):
    return shlex.split(line, comments=True)[1:]


def draw_knee(number):
    """A grey picture and its two masks; the first knee has the masks of the page's rows, no tibia among them."""
    masks = {bone: np.zeros(SIZE_HW, bool) for bone in BONES}
    if number == 0:
        # The page's runs by hand: 240 pixels a column, so pixel 1402 is row 201 of column 5.
        masks["femur"][201:207, 5] = masks["femur"][201:210, 6] = True
    else:
        masks["femur"][20 + number : 110, 8:23] = True
        masks["tibia"][130 : 220 - number, 9:21] = True
    noise = np.random.default_rng(number).integers(0, 30, SIZE_HW)
    return (40 + 120 * masks["femur"] + 90 * masks["tibia"] + noise).astype(np.uint8), masks


def starts_and_lengths(mask):
    """Down the columns, counted from 1, the plain way; -1 for none."""
    ends = np.flatnonzero(np.diff(np.pad(mask.T.ravel().astype(int), 1)))
    return " ".join(f"{start + 1} {end - start}" for start, end in ends.reshape(-1, 2)) or "-1"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with the same knees for both tracks: six persons, 012 to 017, the last for the test; read here."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COMPETITION_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(MINE)
    Path("kaggle.yaml").write_text(KAGGLE)
    rows = ROWS.splitlines()
    for number in range(6):
        name = f"{12 + number:03d}_a"
        picture, masks = draw_knee(number)
        split = "test" if number == 5 else "train"
        files = {f"mine/{split}/images/{name}.png": picture, f"kaggle/{split}/{name}.png": picture}
        if split == "train":
            files |= {f"mine/train/masks/{bone}/{name}.png": mask * np.uint8(255) for bone, mask in masks.items()}
        for path, image in files.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(path, image)
        if 0 < number < 5:
            rows += [f"{name},{bone},{starts_and_lengths(mask)}" for bone, mask in masks.items()]
    Path("kaggle/train.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def labels(home, name):
    track = get_track(f"{name}.yaml")
    return {
        entry.sample: entry.labels for entry in read_manifest(Workspace(home / "workspace", name), track).of("train")
    }


def test_the_commands_as_printed_end_in_a_submission_that_is_taken(home, capsys):
    lines = COMMANDS.splitlines()
    assert [words_of(line)[0] for line in lines] == ["prepare", "train", "ensemble", "check"]
    for line in lines:
        shorter = ["--set", "train.epochs=4"] if "train" in words_of(line) else []  # of 20, in all else as printed
        assert main([*words_of(line), *shorter]) == 0, capsys.readouterr().err
    assert "submission is valid\n" in capsys.readouterr().out
    with open("mine.csv", newline="") as file:
        assert [row[:2] for row in csv.reader(file)][1:] == [["017_a.png", bone] for bone in BONES]
    assert main(["leaderboard", "--track", "mine.yaml"]) == 0
    assert "-quick " in capsys.readouterr().out
    for words, sentence in (
        (["leaderboard", "--track", "knne"], "unknown track 'knne'"),
        (["leaderboard", "--track", "kaggle.yaml"], None),
        (["train", "--track", "kaggle.yaml"], "Run ./run.sh prepare --track kaggle.yaml."),
        (["ensemble", "--track", "mine.yaml", "--out", "mine"], "--out is a folder: mine."),
    ):
        status, captured = main(words), capsys.readouterr()
        assert status == (0 if sentence is None else 1)
        assert (sentence or "there are no submissions of kaggle yet") in captured.err + captured.out
    (prepare,) = [words_of(line) for line in lines if words_of(line)[0] == "prepare"]
    assert main([word.replace("mine", "kaggle") for word in prepare]) == 0, capsys.readouterr().err
    assert sorted(labels(home, "mine")) == ["012_a", "013_a", "014_a", "015_a", "016_a"]
    assert labels(home, "kaggle") == labels(home, "mine")
    assert main(["check", "--track", "kaggle.yaml", "mine.csv"]) == 1
    assert "the columns are not id,class,segmentation" in capsys.readouterr().err


@pytest.mark.exhaustive
def test_the_same_commands_end_in_kaggles_form_and_every_stage_takes_it(home, capsys):
    lines = [line.replace("mine", "kaggle") for line in COMMANDS.splitlines()]
    prepare, train, ensemble, check = map(words_of, lines)
    train += ["--set", "train.repeats=2"]
    _, masks = draw_knee(5)
    truth = [f"017_a,{bone},{starts_and_lengths(mask)}" for bone, mask in masks.items()]
    Path("truth").mkdir()
    Path("truth/truth.csv").write_text("\n".join([ROWS.splitlines()[0], *truth]))
    track = ["--track", "kaggle.yaml"]
    score = ["score", *track, "kaggle.csv", "truth", "--json"]
    for words in (
        prepare,
        train,
        [*ensemble, "--no-report"],
        check,
        [*score, "by_columns.json"],
        ["vote", *track, "kaggle.csv", "kaggle.csv", "--out", "vote.csv"],
        ["compare", *track, "kaggle.csv", "vote.csv"],
        ["import", *track, "--name", "theirs", "--test", "kaggle.csv"],
        ["tune", *track, "--members", "theirs", "--weights", "1", "--name", "theirs"],
        ["ensemble", *track, "--decision", "theirs", "--out", "theirs.csv"],
    ):
        assert main(words) == 0, capsys.readouterr().err
    assert "submission is valid\n" in capsys.readouterr().out
    assert Path("kaggle.csv").read_text() == Path("vote.csv").read_text() == Path("theirs.csv").read_text()
    header, *by_columns = read_rows("kaggle.csv")
    assert header == ROWS.splitlines()[0].split(",")
    assert [row[:2] for row in by_columns] == [["017_a", bone] for bone in BONES]
    # The same network in the form that a YAML without Kaggle's table has.
    house = "submission: {image: image_name, class: class, rle: rle, ending: true, order: row}"
    Path("kaggle.yaml").write_text(re.sub(r"^submission: .*$", house, KAGGLE, flags=re.MULTILINE))
    ensemble += ["--decision", "quick", "--no-report"]
    assert main(ensemble) == 1
    assert "the declaration of the data has changed since it was prepared: " in capsys.readouterr().err
    for words in (prepare, ensemble, check, [*score, "by_rows.json"]):
        assert main(words) == 0, capsys.readouterr().err
    header, *by_rows = read_rows("kaggle.csv")
    assert header == ["image_name", "class", "rle"]
    for (name, _, text), (_, _, down_columns) in zip(by_rows, by_columns, strict=True):
        mask = np.zeros(SIZE_HW[0] * SIZE_HW[1], bool)
        for start, length in np.array(text.split(), int).reshape(-1, 2):
            mask[start - 1 : start - 1 + length] = True
        assert mask.any()
        assert (name, starts_and_lengths(mask.reshape(SIZE_HW))) == ("017_a.png", down_columns)
    figures = [json.loads(Path(f"by_{order}.json").read_text()) for order in ("rows", "columns")]
    assert figures[0]["per_class"] == figures[1]["per_class"]


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("kaggle", "order: column, start: 1}\ntest", "order: row, start: 1}\ntest"),
        ("mine", "group", "channels: 3\ngroup"),
    ],
)
def test_a_changed_declaration_is_prepared_again_and_never_used_with_the_old_pixels(home, capsys, name, old, new):
    prepare = ["prepare", "--track", f"{name}.yaml", "--data", name]
    assert main(prepare) == 0, capsys.readouterr().err
    workspace = Workspace(home / "workspace", name)
    before = labels(home, name), read_array(workspace.image_file("013_a", "image")).shape
    text = Path(f"{name}.yaml").read_text()
    assert old in text
    Path(f"{name}.yaml").write_text(text.replace(old, new, 1))
    assert main(["train", "--track", f"{name}.yaml"]) == 1
    assert f"Run ./run.sh prepare --track {name}.yaml." in capsys.readouterr().err
    assert main(prepare) == 0, capsys.readouterr().err
    assert "6 samples read, 0 cached" in capsys.readouterr().out
    assert (labels(home, name), read_array(workspace.image_file("013_a", "image")).shape) != before
    assert main(prepare) == 0
    assert "0 samples read, 6 cached" in capsys.readouterr().out


def test_the_other_ways_to_say_it_are_taken_too(home, capsys):
    """One label picture by value, as in the paragraph below it, and a column per class, as in the last paragraph."""
    values, columns = Path("values.yaml"), Path("columns.yaml")
    line = next(line for line in MINE.splitlines() if line.startswith("masks:"))
    classes = re.search(r"`(classes: \{.*?\})`", TUTORIAL)[1]
    assert "leave `{class}` out of `masks`" in TUTORIAL.replace("\n", " ")
    text = MINE.replace(line, "masks: train/labels/{stem}.png")
    values.write_text(re.sub(r"^classes: .*$", classes, text, flags=re.MULTILINE))
    (Path("mine") / "train" / "labels").mkdir()
    wide = ["id,femur,tibia"]
    for number in range(5):
        _, masks = draw_knee(number)
        cv2.imwrite(f"mine/train/labels/{12 + number:03d}_a.png", masks["femur"] + masks["tibia"] * np.uint8(2))
        wide.append(
            f"{12 + number:03d}_a," + ",".join(starts_and_lengths(masks[bone]).replace("-1", "") for bone in BONES)
        )
    Path("kaggle/train.csv").write_text("\n".join(wide) + "\n")
    columns.write_text(KAGGLE.replace("class: class, rle: segmentation, ", ""))
    for declaration, data in (("mine", "mine"), ("values", "mine"), ("columns", "kaggle")):
        assert main(["prepare", "--track", f"{declaration}.yaml", "--data", data]) == 0, capsys.readouterr().err
    assert labels(home, "values") == labels(home, "columns") == labels(home, "mine")
    assert len(set(labels(home, "mine").values())) == 5
