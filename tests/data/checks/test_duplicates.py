"""Pictures and labels that two people share."""

from dataclasses import replace

import pytest

from competition.data.checks.duplicates import same_labels, same_pixels
from competition.data.manifest import Entry

VIEWS = ("LI-A", "RI-A")
BLANK = Entry("", "", "train", "", "", (True, True), 8, 8, (0.0, 0.0), (1.0, 1.0), (1,), "", "", "")


def sample(name: str, *pixels: str, split: str = "train", group: str = "") -> Entry:
    return replace(BLANK, sample=name, name=name, split=split, group=group or name, view_pixels=pixels)


def test_pictures_of_their_own_are_no_problem() -> None:
    assert same_pixels([sample("1", "a", "b"), sample("2", "c", "d"), sample("3", "e", "f", split="test")], VIEWS) == []


def test_a_view_of_another_patient_is_found_whatever_view_it_is_there() -> None:
    (problem,) = same_pixels([sample("1", "a", "b"), sample("2", "c", "a")], VIEWS)
    assert (problem.key, problem.split, problem.note) == ("2", "train", False)
    assert problem.reason == "RI-A same pixels as LI-A 1 of group 1: it would leak between folds"


def test_the_first_pair_of_each_sample_is_named_once() -> None:
    found = same_pixels([sample("1", "a", "b"), sample("2", "a", "b"), sample("3", "b", "x")], VIEWS)
    assert [(problem.key, problem.reason.split(":")[0]) for problem in found] == [
        ("2", "LI-A same pixels as LI-A 1 of group 1"),
        ("3", "LI-A same pixels as RI-A 1 of group 1"),
    ]


@pytest.mark.parametrize("test_first", [True, False])
def test_a_training_picture_in_the_test_set_is_a_problem_of_the_training_sample(test_first: bool) -> None:
    entries = [sample("1", "a", "b"), sample("9", "b", "c", split="test", group="1")]
    (problem,) = same_pixels(entries[::-1] if test_first else entries, VIEWS)
    assert (problem.key, problem.split) == ("1", "train")
    assert problem.reason == "RI-A same pixels as LI-A 9 of the test set, which a network would memorise"


def test_what_one_group_two_test_samples_or_absent_views_share_is_none() -> None:
    assert same_pixels([sample("1", "a", "a"), sample("1b", "a", "b", group="1")], VIEWS) == []
    assert same_pixels([sample("8", "a", "b", split="test"), sample("9", "a", "c", split="test")], VIEWS) == []
    assert same_pixels([sample("1", "", "a"), sample("2", "", "b")], VIEWS) == []


def test_of_a_track_with_one_view_the_view_is_not_named() -> None:
    (problem,) = same_pixels([sample("1", "a"), sample("2", "a")], ("image",))
    assert problem.reason == "same pixels as 1 of group 1: it would leak between folds"


def test_the_same_label_of_two_people_is_noted() -> None:
    one = replace(BLANK, sample="1", name="1", group="1", labels="x")
    (problem,) = same_labels([one, replace(one, sample="2", name="2", group="2")])
    assert problem.note
    assert "the same label as 1 of group 1" in problem.reason
    empty = replace(one, targets=(0,))
    assert same_labels([empty, replace(empty, sample="2", group="2"), replace(one, group="3", labels="")]) == []
