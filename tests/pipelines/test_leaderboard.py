"""Scores recorded by the command line, in the range of the metric of the submission's track."""

import pytest

from competition.submission.leaderboard import Row, append, read
from competition.workspace import Workspace
from pipelines.__main__ import main

LOSS = """\
task: multilabel
train: train/*.png
test: test/*.png
table: {csv: train.csv, image: id, targets: [a, b]}
group: '(.+)'
metric: log_loss
"""


@pytest.fixture
def board(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(LOSS)
    (tmp_path / "other.yaml").write_text(LOSS)
    path = Workspace(tmp_path, "").leaderboard_file()
    for track in ("mine", "hand_bone"):
        append(path, Row(f"of_{track}", "2026-11-21T15:30:12", track, False, "quick", "1"))
    return path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["of_hand_bone", "--public", "0.9"], None),
        (["of_hand_bone", "--public", "97.3"], "not between 0 and 1, as mean Dice is"),
        (["of_mine", "--public", "-0.3", "--track", "mine.yaml"], None),
        (["of_mine", "--public", "0.3", "--track", "mine.yaml"], "Give --public -0.3"),
        (["of_mine", "--public", "-0.3"], "Add --track with the YAML or Python file of mine"),
        (["of_mine", "--public", "-0.3", "--track", "other.yaml"], "Add --track with the YAML or Python file of mine"),
    ],
)
def test_a_score_is_compared_with_the_metric_of_its_track(board, capsys, words, sentence):
    code = main(["leaderboard", "record", *words, "--workspace", str(board.parents[1])])
    error = capsys.readouterr().err
    assert (code, sentence or "") == ((1 if sentence else 0), sentence if sentence and sentence in error else "")
    recorded = read(board).set_index("id")["public"].dropna()
    assert recorded.to_dict() == ({} if sentence else {words[0]: float(words[2])})
