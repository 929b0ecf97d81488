"""A disk that is full or read-only: what can be had without it is had, everything else is one sentence."""

import csv
import errno
from pathlib import Path

import pytest

import competition.ensembling.submission
import pipelines.prepare
from competition.files import writing
from competition.workspace import Workspace

pytestmark = pytest.mark.slow

SMALL = ["--set", "data.size=32", "--set", "train.epochs=1", "--set", "model.pretrained=false"]


def fail(path: Path, *_: object) -> None:
    """As ``write_png`` does on a full disk."""
    with writing(path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_submission_without_its_preview_is_handed_in(stage, hands_with_run: Workspace, monkeypatch) -> None:
    monkeypatch.setattr(competition.ensembling.submission, "write_png", fail)
    figures, said = stage("ensemble")
    assert "warning: no preview was written: can't write (No space left on device)" in said
    assert Path(figures["submission"]).exists()
    assert hands_with_run.latest_submission_file().read_bytes() == Path(figures["submission"]).read_bytes()
    with hands_with_run.leaderboard_file().open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [figures["id"]]
    assert "preview: " not in said


def test_data_without_a_contact_sheet_is_prepared(stage, monkeypatch, tmp_path: Path) -> None:
    words = ("prepare", "--track", "knee", "--phantom", "--people", 4, "--test-people", 1, "--size", 32, "--folds", 2)
    with monkeypatch.context() as patch:
        patch.setattr(pipelines.prepare, "draw_contact_sheet", fail)
        figures, said = stage(*words)
    assert "warning: no contact sheet was written: can't write (No space left on device)" in said
    assert Path(figures["manifest"]).exists()
    assert not Path(figures["contact_sheet"]).exists()
    figures, _ = stage(*words)  # it is drawn as soon as there is space
    assert Path(figures["contact_sheet"]).exists()


@pytest.mark.parametrize(("stage_name", "blocked"), [("train", "new"), ("search", "search")])
def test_a_workspace_that_cannot_be_written_is_one_sentence(
    refusal, hands_with_run: Workspace, stage_name: str, blocked: str
) -> None:
    """A file where the folder would be made: unlike missing rights, that stops root too."""
    place = hands_with_run.run_folder(blocked)
    place.write_text("in the way")
    words = ["--trials", "1"] if stage_name == "search" else []
    error, _ = refusal(stage_name, "--experiment", "quick", "--fold", "0", "--name", "new", *SMALL, *words)
    assert "can't write (" in error
    assert str(place) in error
    assert place.read_text() == "in the way"


def test_a_trained_run_is_only_deleted_where_it_is_ours(refusal, hands_with_run: Workspace) -> None:
    """--force removes old predictions; a folder of that name which holds something else stays."""
    fold = hands_with_run.fold_folder("quick", 0)
    (fold / "oof@3").mkdir()
    (fold / "oof@3" / "notes.txt").write_text("mine")
    error, _ = refusal("train", "--experiment", fold / "config.yaml", "--fold", "0", "--name", "quick", "--force")
    assert "contains no index.json" in error
    assert (fold / "oof@3" / "notes.txt").read_text() == "mine"
