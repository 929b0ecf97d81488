"""docs/json.md is made of what the stages document, and the keys that are only sometimes there are there then.

Wherever a test runs a stage, ``documented_figures.check_keys`` compares the other keys.
"""

import importlib
import re

import numpy as np
import pandas as pd
import pytest
from array_submissions import array_of, random_masks, zip_of
from documented_figures import check_keys

from competition.formats.parquet_tables import write_table
from competition.submission.run_lengths.files import write_rle_csv
from competition.submission.table.files import write_table_csv
from competition.tracks import get_track
from pipelines import compare, demo, leaderboard, score
from pipelines.__main__ import STAGES
from pipelines.json_page import COMMON, PAGE, json_page

BONES, VESSELS = get_track("hand_bone").classes, get_track("aneurysm").classes


def test_the_page_is_made_of_the_stages():
    assert PAGE.read_text(encoding="utf-8") == json_page(), "run .venv/bin/python -m pipelines.json_page"


@pytest.mark.parametrize("name", STAGES)
def test_each_key_has_one_short_sentence(name):
    for key, sentence in importlib.import_module(f"pipelines.{name}").FIGURES.items():
        assert re.fullmatch(r"[a-z_0-9]+", key)
        assert key not in COMMON
        assert re.fullmatch(r"[A-Zo][^|]{10,118}\.", sentence), key


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"run", "scores", "seconds", "peak_mb"}, "train: in FIGURES, and not there"),
        ({"run", "scores", "folder", "more", "seconds", "peak_mb"}, "train: not in FIGURES"),
        ({"run", "scores", "folder", "seconds"}, "train: in FIGURES, and not there"),
    ],
)
def test_a_key_too_few_or_too_many_is_noticed(keys, complaint):
    check_keys("train", {"run", "scores", "folder", "seconds", "peak_mb"})
    with pytest.raises(AssertionError, match=complaint):
        check_keys("train", keys)


@pytest.fixture
def submissions(tmp_path):
    """Track -> the same submission twice."""
    files = {track: [tmp_path / f"{track}{number}" for number in (0, 1)] for track in ("aneurysm", "hand_bone")}
    targets = np.zeros((4, len(VESSELS)))
    targets[:2, [0, 3]] = 1
    masks = {stem: random_masks(0, size) for stem, size in (("7", (11, 9)), ("12", (8, 13)))}
    for number in (0, 1):
        write_table_csv(files["aneurysm"][number], ["0001", "0002", "1003", "1004"], VESSELS, targets)
        rows = [(name, bone, "1 4") for name in ("a.png", "b.png") for bone in BONES]
        write_rle_csv(files["hand_bone"][number], rows)
    zips = [
        zip_of(tmp_path / f"{number}.zip", **{f"_{stem}": array_of(one) for stem, one in masks.items()})
        for number in (0, 1)
    ]
    folder = tmp_path / "workspace" / "cache" / "hand_bone"
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"name": ["a.png", "b.png"], "split": "test", "height": 64, "width": 48})
    write_table(folder / "manifest.parquet", frame.assign(stratum="straight", side="left", group=["1", "2"]))
    return files | {"lumbar": zips}


def test_every_key_of_score_is_there_when_its_sentence_says_so(stage, submissions):
    def keys(track, *more):
        return set(stage("score", "--track", track, *submissions[track], *more)[0])

    plain = keys("hand_bone")
    assert keys("hand_bone", "--by", "stratum") - plain == {"per_stratum"}
    assert keys("hand_bone", "--by", "side") - plain == {"per_side"}
    assert keys("hand_bone", "--bootstrap", "10") - plain == {"interval"}
    table, arrays = keys("aneurysm"), keys("lumbar")
    told = {key: sentence.split(":")[0] for key, sentence in score.FIGURES.items()}
    assert {key for key, when in told.items() if when == "Only for tables"} == table - plain
    assert {key for key, when in told.items() if when == "Only for array zips"} == arrays - plain
    # "count_score" is that of a metric that is no count metric: tests/end_to_end/test_object_submission.py.
    others = {"per_stratum", "per_side", "interval", "count_score"}
    assert set(score.FIGURES) == (plain | table | arrays | others) - COMMON.keys()


def test_every_key_of_compare_and_leaderboard_is_there_when_its_sentence_says_so(stage, submissions, tmp_path):
    masks, table = (set(stage("compare", "--track", name, *submissions[name])[0]) for name in ("hand_bone", "aneurysm"))
    only = {key for key, sentence in compare.FIGURES.items() if sentence.startswith("Only for masks: ")}
    assert masks - table == only
    # Those of objects are tested in tests/end_to_end/test_object_submission.py.
    objects = {key for key, sentence in compare.FIGURES.items() if sentence.startswith("Only for forms with a row per")}
    assert masks == {*compare.FIGURES, *COMMON} - objects
    assert set(stage("leaderboard", "--out", tmp_path / "ranking.csv")[0]) == {*leaderboard.FIGURES, *COMMON}


def test_the_keys_of_the_demo(monkeypatch, tmp_path, stage):
    made = {"oof": 0.9, "oof_crossfit": 0.89, "test": 0.88, "submission": "submission.csv"}
    made |= {"report": "report.html", "further": 1}
    monkeypatch.setattr(demo, "call_stage", lambda *_, **__: made)
    monkeypatch.setattr(demo, "start_importing", lambda _: None)
    figures, _ = stage("demo")
    for track in figures["tracks"].values():
        assert set(track) == {"oof", "oof_crossfit", "test", "submission", "report", "seconds"}
        assert set(track) < set(re.findall(r"\w+", demo.FIGURES["tracks"]))
