"""The file of single images beside a decision: read back as written, and named where it is missing or damaged."""

from dataclasses import replace

import numpy as np
import pytest

from competition.ensembling.segmentation.scored_vote import ScoredVote, load_scored_vote, save_scored_vote
from competition.errors import CompetitionError


@pytest.fixture
def vote():
    random = np.random.default_rng(0)
    return ScoredVote(
        samples=["a", "<b>", "ü"],
        counts=random.integers(0, 1 << 24, (3, 3, 2)),
        values=np.where(random.random((3, 2, 2)) < 0.5, np.nan, random.random((3, 2, 2))),
        levels=random.integers(0, 255, (3, 2)),
        curves=np.where(random.random((2, 256)) < 0.5, np.nan, random.random((2, 256))),
    )


def test_what_is_written_is_read(vote, tmp_path):
    save_scored_vote(tmp_path / "v.npz", vote)
    read = load_scored_vote(tmp_path / "v.npz", "Run ./run.sh tune")
    assert read.samples == vote.samples
    for name in ("counts", "values", "levels", "curves"):
        assert np.array_equal(getattr(read, name), getattr(vote, name), equal_nan=name in ("values", "curves"))
        assert getattr(read, name).dtype == getattr(vote, name).dtype


def test_a_decision_of_an_earlier_version_names_the_command(tmp_path):
    with pytest.raises(CompetitionError, match=r"earlier version of tune: .*\. Run \./run\.sh tune --name x\.$"):
        load_scored_vote(tmp_path / "v.npz", "Run ./run.sh tune --name x")


def test_a_changed_byte_and_a_foreign_array_are_rejected(vote, tmp_path):
    path = tmp_path / "v.npz"
    save_scored_vote(path, vote)
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    with pytest.raises(CompetitionError, match="damaged"):
        load_scored_vote(path, "Run ./run.sh tune")
    save_scored_vote(path, replace(vote, samples=vote.samples[:2]))
    with pytest.raises(CompetitionError, match="no file of scored images"):
        load_scored_vote(path, "Run ./run.sh tune")
    save_scored_vote(path, replace(vote, values=vote.values[:2]))
    with pytest.raises(CompetitionError, match="no file of scored images"):
        load_scored_vote(path, "Run ./run.sh tune")


def test_a_count_metric_has_no_values(vote, tmp_path):
    save_scored_vote(tmp_path / "v.npz", replace(vote, values=np.empty((3, 0, 2))))
    assert load_scored_vote(tmp_path / "v.npz", "Run ./run.sh tune").measured.values.shape == (3, 0, 2)
