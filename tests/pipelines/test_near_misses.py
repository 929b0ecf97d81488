"""Names and ids that two files spell differently: one line that shows the right spelling, in every stage."""

import unicodedata

import numpy as np
import pandas as pd
import pytest

from competition.formats.parquet_tables import write_table
from competition.submission.run_lengths.files import write_rle_csv
from competition.submission.table.files import write_table_csv
from competition.tracks import get_track

VESSELS = get_track("aneurysm").classes
NAMES = [f"{number:03d}é.png" for number in range(40)]

MISSPELT = {
    "leading zeros": lambda name: name.lstrip("0") or name,
    "a path": lambda name: f"test/images/{name}",
    "back slashes": lambda name: f"C:\\data\\{name}",
    "no ending": lambda name: name.removesuffix(".png"),
    "another ending": lambda name: name.replace(".png", ".jpg"),
    "capitals": lambda name: name.upper(),
    "NFD": lambda name: unicodedata.normalize("NFD", name),
}


@pytest.fixture
def hearts(tmp_path):
    """A submission of 40 hearts whose names are prepared."""
    folder = tmp_path / "workspace" / "cache" / "cardiac"
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"name": NAMES, "split": "test", "height": 4, "width": 5, "stratum": "", "group": "one"})
    write_table(folder / "manifest.parquet", frame)
    write_rle_csv(tmp_path / "right.csv", [(name, "lv", "1 4") for name in NAMES])
    return tmp_path / "right.csv"


@pytest.mark.parametrize("kind", MISSPELT)
@pytest.mark.parametrize("stage_name", ["check", "score", "vote", "compare"])
def test_the_right_spelling_of_an_image_is_shown_once(refusal, hearts, tmp_path, kind, stage_name):
    spelt = [MISSPELT[kind](name) for name in NAMES]
    changed = [wrong for wrong, name in zip(spelt, NAMES, strict=True) if wrong != name]
    wrong = tmp_path / "wrong.csv"
    write_rle_csv(wrong, [(name, "lv", "1 4") for name in spelt])
    others = {"check": [], "score": [hearts], "vote": [hearts, "--out", tmp_path / "V.csv"], "compare": [hearts]}
    error, said = refusal(stage_name, wrong, *others[stage_name], "--track", "cardiac")
    told = error if stage_name != "check" else said
    first = NAMES[spelt.index(changed[0])]
    assert f"did you mean {first!r} instead of {changed[0]!r} ({len(changed)} names differ like this)?" in told
    assert len(said.splitlines()) < 12
    assert max(map(len, (error, *said.splitlines()))) < 900


@pytest.mark.parametrize("stage_name", ["vote", "compare"])
def test_an_index_without_its_zeros_is_named(refusal, tmp_path, stage_name):
    values = np.zeros((3, 22))
    write_table_csv(tmp_path / "A.csv", ["0047", "0003", "1001"], VESSELS, values)
    write_table_csv(tmp_path / "B.csv", ["47", "3", "1001"], VESSELS, values)
    out = ("--out", tmp_path / "V.csv") if stage_name == "vote" else ()
    error, _ = refusal(stage_name, tmp_path / "A.csv", tmp_path / "B.csv", *out, "--track", "aneurysm")
    assert "did you mean '47' instead of '0047' (2 names differ like this)?" in error
    assert not (tmp_path / "V.csv").exists()


def test_score_joins_an_index_without_its_zeros(stage, tmp_path):
    values = np.zeros((3, 22))
    values[0] = 1
    write_table_csv(tmp_path / "A.csv", ["0047", "0003", "1001"], VESSELS, values)
    lines = (tmp_path / "A.csv").read_text().replace("0047", "47").replace("0003", "3").splitlines()
    (tmp_path / "T.csv").write_text("".join(f"{line},{number}\n" for number, line in enumerate(lines)))
    figures, _ = stage("score", tmp_path / "A.csv", tmp_path / "T.csv", "--track", "aneurysm")
    assert figures["score"] == 1.0


@pytest.mark.slow
def test_imported_predictions_are_shown_the_right_spelling(refusal, hands_with_run, hand_entries, tmp_path):
    (tmp_path / "theirs").mkdir()
    for entry in hand_entries["test"]:
        np.save(tmp_path / "theirs" / f"{entry.sample.upper()}.npy", np.zeros((3, entry.height, entry.width), bool))
    error, _ = refusal("import", "--name", "theirs", "--test", tmp_path / "theirs")
    name = hand_entries["test"][0].sample
    assert f"did you mean '{name}.npy' instead of '{name.upper()}' (2 names differ like this)?" in error


@pytest.mark.parametrize("stage_name", ["vote", "compare"])
def test_a_name_that_is_spelled_right_is_not_shown_instead_of_itself(refusal, tmp_path, stage_name):
    bones = get_track("hand_bone").classes
    rows = [(image, bone, "1 4") for image in ("1.png", "2.png") for bone in bones]
    write_rle_csv(tmp_path / "whole.csv", rows)
    write_rle_csv(tmp_path / "short.csv", rows[1:])
    out = ("--out", tmp_path / "V.csv") if stage_name == "vote" else ()
    error, _ = refusal(stage_name, tmp_path / "whole.csv", tmp_path / "short.csv", *out, "--track", "hand_bone")
    assert f"1.png {bones[0]}" in error
    assert "did you mean" not in error
