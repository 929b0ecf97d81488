"""tracks: the table shows what the tracks declare and, with --check, only what was tested."""

from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.phantoms import PHANTOMS, knee
from competition.phantoms.cardiac import phantom as heart
from competition.tracks import get_track, track_names
from pipelines import ensemble
from pipelines.track_check import COLUMNS, DONE, declared

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent


def documented_rows():
    """The cells of the table of docs/measurements.md by track."""
    lines = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8").splitlines()
    start = lines.index(f"| {' | '.join(COLUMNS)} |")
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name.strip("`")] = dict(zip(COLUMNS[1:], cells, strict=True))
    return rows


def test_without_check_nothing_is_claimed_to_be_done(stage, tmp_path):
    figures, said = stage("tracks")
    assert list(figures["tracks"]) == track_names()
    assert all(name in said for name in track_names())
    cells = [cell for track in figures["tracks"].values() for cell in track["cells"].values()]
    assert not any(cell.startswith(DONE) for cell in cells)
    assert figures["tracks"]["lumbar"]["cells"]["submission form"] == "zip of .npy (rows, columns, 7)"
    assert figures["tracks"]["aneurysm"]["cells"]["metric"] == "AUROC, tuned exactly"
    assert not (tmp_path / "workspace").exists()


def test_the_page_has_every_track_with_all_done_and_what_is_declared():
    rows = documented_rows()
    assert list(rows) == track_names()
    for name, cells in rows.items():
        said = declared(get_track(name))
        for column in ("submission form", "metric"):
            assert cells[column] == DONE + said[column]
        assert cells["real data"].removeprefix(DONE).startswith(said["real data"])
        assert all(cells[column].startswith(DONE) for column in COLUMNS[1:] if column != "real data")


def test_a_checked_track_gives_the_row_of_the_page(stage, tmp_path):
    knee.draw(tmp_path / "real", 3, 1, 60, 0, lambda: None)
    words = ("tracks", "--check", "--markdown", "--track", "knee", "--real", f"knee={tmp_path / 'real'}")
    figures, said = stage(*words)
    cells = figures["tracks"]["knee"]["cells"]
    expected = documented_rows()["knee"]
    assert {column: cells[column] for column in expected if column != "real data"} == {
        column: cell for column, cell in expected.items() if column != "real data"
    }
    assert cells["real data"] == f"{DONE}none known: 6 + 2 samples of 3 groups (PNG pairs)"
    assert f"| `knee` | {' | '.join(cells[column] for column in COLUMNS[1:])} |" in said.splitlines()
    assert figures["tracks"]["knee"]["samples"] == {"train": 16, "test": 6, "read": 22}
    assert figures["tracks"]["knee"]["rows"] == 6
    assert 0 <= figures["tracks"]["knee"]["score"] < 1  # one epoch: nothing may be above 0.5
    assert not (tmp_path / "workspace").exists()


@pytest.mark.exhaustive
def test_all_forms_of_a_track_are_read(stage, monkeypatch):
    assert PHANTOMS["cardiac"].other_forms == (heart.draw_dicom, heart.draw_tfrecords)
    monkeypatch.setattr("pipelines.track_check.DRAWN", ["--people", "2", "--test-people", "1", "--size", "32"])
    figures, _ = stage("tracks", "--check", "--track", "cardiac")
    cells = figures["tracks"]["cardiac"]["cells"]
    assert cells["reads the original form"] == documented_rows()["cardiac"]["reads the original form"]
    assert cells["real data"] == get_track("cardiac").public_data  # not given, so not done


def test_what_fails_is_said_and_ends_the_stage(refusal, monkeypatch, tmp_path):
    def broken(args):
        raise CompetitionError("the vote went wrong")

    monkeypatch.setattr(ensemble, "run", broken)
    (tmp_path / "empty").mkdir()
    error, said = refusal("tracks", "--check", "--track", "knee", "--markdown", "--real", f"knee={tmp_path / 'empty'}")
    assert "2 of these checks failed; the first: knee, submission form: the vote went wrong" in error
    (row,) = [line for line in said.splitlines() if line.startswith("| `knee`")]
    assert "FAILED: the vote went wrong" in row
    assert "FAILED: data folder is empty" in row
    assert row.endswith(" | mean Dice, tuned exactly |")  # never reached
    assert row.count(DONE) == 3


def test_a_track_without_drawn_data_says_that_it_was_not_tried(stage, tmp_path):
    knee.draw(tmp_path / "raw", 3, 1, 60, 0, lambda: None)
    declaration = tmp_path / "mine.yaml"
    declaration.write_text((ROOT / "competition" / "tracks" / "knee.yaml").read_text())
    figures, _ = stage("tracks", "--track", declaration, "--check", "--real", f"mine={tmp_path / 'raw'}")
    cells = figures["tracks"]["mine"]["cells"]
    assert (cells["phantom"], cells["trains"]) == ("none", "not tested: there is no synthetic data")
    assert cells["real data"].startswith(DONE)
    assert not cells["metric"].startswith(DONE)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--real", "knee=x"], "Give --check with it"),
        (["--check", "--real", "kne=x"], "--real takes TRACK=DIR with a track of hand_bone,"),
        (["--check", "--real", "knee"], "not 'knee'"),
    ],
)
def test_real_data_that_nobody_can_place_is_refused(refusal, words, reason):
    assert reason in refusal("tracks", *words)[0]
