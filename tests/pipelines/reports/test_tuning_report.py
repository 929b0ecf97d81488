"""The warning on a vote below its best member, and the text of the post-processing."""

import pytest

from competition.ensembling.decision import AloneScore, Decision, Scores, WeightedMember
from competition.runs.members import parse_members
from pipelines.reports.tuning_report import below_best, operations_text


def decision_of(vote, operations=("none", "none", "none"), **alone):
    """Members alone as (score, low and high end of what it is above the vote)."""
    names, half = ("disc", "square", "bar"), (127 + 0.5) / 255
    return Decision(
        track="hands",
        dataset="hands",
        task="segmentation",
        classes=names,
        members=[
            WeightedMember(name=name, folds=(0, 2), weight=1000 // len(alone), config_hash="c", fold_hash="f")
            for name in alone
        ],
        levels=dict.fromkeys(names, 127),
        thresholds=dict.fromkeys(names, half),
        operations=dict(zip(names, operations, strict=True)),
        scores=Scores(fold_mean=vote, fold_sd=None, oof=None, oof_crossfit=None, interval_low=None, interval_high=None),
        coverage=9,
        reason="",
        vote=AloneScore(score=vote, low=None, high=None),
        alone={
            name: AloneScore(
                score=score, low=None, high=None, over_vote=score - vote, over_vote_low=low, over_vote_high=high
            )
            for name, (score, low, high) in alone.items()
        },
    )


def test_a_vote_below_its_best_member_names_it_with_the_paired_interval_and_a_command():
    decision = decision_of(0.8612, slow=(0.85, -0.02, 0.0), quick=(0.8830, 0.01, 0.034))
    said = below_best(decision, " --track knee --phantom")
    assert said == (
        "the vote (0.8612) is below its best member quick (0.8830; difference -0.0218, 95 % interval -0.0340 .. "
        "-0.0100); to use it alone: ./run.sh tune --track knee --phantom --members quick:0,2"
    )
    assert parse_members(said.split("--members ")[1].split()[0]) == {"quick": (0, 2)}


def test_without_an_interval_the_reason_is_named():
    said = below_best(decision_of(0.8, a=(0.9, None, None), b=(0.7, None, None)), "")
    assert "difference -0.1000, too few groups for an interval" in said


@pytest.mark.parametrize("members", [{"a": (0.8, -0.1, 0.1), "b": (0.7, -0.2, 0.0)}, {"a": (0.9, 0.0, 0.2)}])
def test_a_vote_that_is_not_below_another_contestant_gives_no_sentence(members):
    assert below_best(decision_of(0.8, **members), "") is None


def test_every_chosen_operation_is_named_with_its_classes():
    decision = decision_of(0.8, ("surest", "fill", "surest"), a=(0.8, None, None))
    assert operations_text(decision) == "surest (disc, bar), fill (square)"
    assert operations_text(decision_of(0.8, a=(0.8, None, None))) == "none"
