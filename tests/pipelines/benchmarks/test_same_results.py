"""The comparison of two versions finds every difference that a user would see, and no other."""

import json

import numpy as np
import pytest

from competition.masks.stored_arrays import write_array
from pipelines.benchmarks.same_results import compare_workspaces, main


def write_workspace(root, weight=500, score="0.9", level=7, **more):
    """Write one fold, one map, one decision and one submission."""
    fold = root / "runs" / "phantom_legs" / "quick" / "fold0"
    decision = root / "runs" / "phantom_legs" / "ensembles" / "quick" / "decision.json"
    for folder in (fold / "oof", decision.parent, root / "submissions" / "1"):
        folder.mkdir(parents=True)
    (fold / "history.csv").write_text(f"epoch,seconds,score\n0,{more.get('seconds', 1)},{score}\n")
    write_array(fold / "oof" / "a.b2", np.full((1, 2, 2), level, np.uint8))
    decision.write_text(json.dumps({"members": [{"name": "quick", "weight": weight}], **more}))
    (root / "submissions" / "1" / "submission.csv").write_text("id,rle\na,1 2\n")
    return root


def differing(before, after):
    return [name for _, _, wrong in compare_workspaces(before, after) for name in wrong]


def test_times_and_keys_of_one_version_are_no_difference(tmp_path):
    before = write_workspace(tmp_path / "before", created="yesterday", seconds=3)
    after = write_workspace(tmp_path / "after", created="today", seconds=4, trained={"quick": [0]}, metric="dice")
    assert differing(before, after) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"weight": 501}, "runs/phantom_legs/ensembles/quick/decision.json"),
        ({"other": 1}, "runs/phantom_legs/ensembles/quick/decision.json"),
        ({"score": "0.90001"}, "runs/phantom_legs/quick/fold0/history.csv"),
        ({"level": 8}, "runs/phantom_legs/quick/fold0/oof/a.b2"),
    ],
)
def test_each_difference_is_named(tmp_path, change, name):
    assert differing(write_workspace(tmp_path / "before"), write_workspace(tmp_path / "after", **change)) == [name]


def test_a_file_that_only_one_version_wrote_differs(tmp_path):
    before, after = write_workspace(tmp_path / "before"), write_workspace(tmp_path / "after")
    (after / "submissions" / "1" / "submission.csv").unlink()
    assert differing(before, after) == ["submissions/1/submission.csv"]


def test_nothing_to_compare_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["same_results", str(tmp_path), str(tmp_path)])
    assert main() == 1
    assert "0 of 0 files differ" in capsys.readouterr().out
