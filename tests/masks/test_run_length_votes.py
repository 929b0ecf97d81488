"""Votes in the run-length domain against masks that are drawn and counted."""

from fractions import Fraction

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.masks.run_length_text import parse, parse_image
from competition.masks.run_length_votes import Quorum, quorum, vote
from competition.masks.run_lengths import encode_planes


def encoded(masks):
    """The run lengths of masks (C, H, W) bool."""
    return encode_planes(pack_masks(masks), len(masks))


def counted(members, weights, threshold):
    """The vote on drawn masks (M, C, H, W), in exact fractions."""
    sums = np.zeros(members.shape[1:], dtype=object)
    for masks, weight in zip(members, weights, strict=True):
        sums = sums + masks.astype(object) * weight
    return (sums > threshold * sum(weights)).astype(bool)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("weights", "threshold"),
    [
        (["1"], "1/2"),
        (["1", "1"], "1/2"),
        (["1", "1", "1"], "1/2"),
        (["1", "1", "1", "1"], "1/2"),  # two of four is a tie, and a tie is no majority
        (["1", "1", "1"], "0"),  # anyone's pixel
        (["0.1", "0.2", "0.3", "0.4"], "0.3"),
        (["0.5", "0", "0.5"], "1/3"),
        (["3", "1", "1"], "2/5"),
    ],
)
def test_votes_equal_masks_that_are_drawn_and_added(seed, weights, threshold):
    random = np.random.default_rng(seed)
    members = random.random((len(weights), 11, 9, 13)) < random.choice([0.05, 0.5, 0.95])
    members[:, 3] = False
    members[:, 4] = True
    members[:, 5] = members[0, 5]
    members[:, 6] = False
    members[0, 6, -1, -1] = members[-1, 6, 0, 0] = True
    shares = [Fraction(weight) for weight in weights]
    election = quorum(shares, Fraction(threshold))
    result = vote([encoded(masks) for masks in members], election, 9 * 13, ["a"] * len(weights))
    assert result == encoded(counted(members, shares, Fraction(threshold)))


def test_by_hand():
    election = quorum([Fraction(1)] * 3, Fraction(1, 2))
    assert vote([["1 4"], ["3 4"], ["6 1"]], election, 9, ["a", "b", "c"]) == ["3 2 6 1"]
    assert vote([["1 2"], ["3 2"]], quorum([Fraction(1)] * 2, Fraction(0)), 9, ["a", "b"]) == ["1 4"]


def test_nobody_elects_anything_and_one_class_does_not_run_into_the_next():
    election = quorum([Fraction(1)] * 2, Fraction(1, 2))
    assert vote([["", ""], ["", ""]], election, 9, ["a", "b"]) == ["", ""]
    assert vote([["8 2", "1 1"], ["8 2", "1 1"]], election, 9, ["a", "b"]) == ["8 2", "1 1"]


def test_a_quorum_is_exact_where_floats_are_not():
    # 0.1 + 0.2 as floats is greater than 0.3.
    assert quorum([Fraction("0.1"), Fraction("0.2"), Fraction("0.7")], Fraction("0.3")) == Quorum((1, 2, 7), 3)
    assert vote([["1 1"], ["1 1"], [""]], Quorum((1, 2, 7), 3), 4, ["a", "b", "c"]) == [""]


@pytest.mark.parametrize("weights", [[], ["0", "0"], ["1", "-1"]])
def test_weights_that_can_not_be_normalised_are_refused(weights):
    with pytest.raises(CompetitionError, match="can't be normalised"):
        quorum([Fraction(weight) for weight in weights], Fraction(1, 2))


@pytest.mark.parametrize("threshold", ["1", "-0.1", "1.5"])
def test_a_threshold_is_a_share(threshold):
    with pytest.raises(CompetitionError, match="a threshold lies from 0 to below 1"):
        quorum([Fraction(1)], Fraction(threshold))


@pytest.mark.parametrize(
    "rles",
    [
        ["1 2 5 1", "", "9 1"],
        [""],
        ["  3   1 ", "1 1"],
        ["3 1\n7 2", ""],
        ["1 2 3 4", "1 9"],
        ["00000003 02", "000000004 1"],
    ],
)
def test_an_image_is_read_as_class_by_class(rles):
    runs, counts = parse_image(rles, ["a.csv"] * len(rles), 9)
    expected = [parse(rle, "") for rle in rles]
    assert counts.tolist() == [len(one) for one in expected]
    assert runs.tolist() == [run for one in expected for run in one.tolist()]


@pytest.mark.parametrize("digits", range(1, 16))
def test_numbers_of_every_length_are_read(digits):
    random = np.random.default_rng(digits)
    starts, lengths = (random.integers(10 ** (digits - 1), 10**digits, 29) for _ in range(2))
    largest = 10**digits - 1
    rles = [f"{start} {length}" for start, length in zip([*starts, largest], [*lengths, largest], strict=True)]
    runs, counts = parse_image(rles, ["a.csv"] * 30, 10**16)
    assert counts.tolist() == [1] * 30
    assert runs.tolist() == [
        [start - 1, start - 1 + length] for start, length in zip([*starts, largest], [*lengths, largest], strict=True)
    ]


@pytest.mark.parametrize(
    ("rle", "reason"),
    [
        ("1 2 3", "of 3 numbers"),
        ("0 2", "starts at 0"),
        ("1 0", "has length 0"),
        ("3 2 4 1", "before the one ahead"),
        ("9 2", "ends at pixel 10, but the image has 9"),
        ("1.5 2", "'1.5'"),
        ("-1 2", "'-1'"),
        ("\u0661 1", "is no pixel number"),
        ("1000000000000000000000 1", "1000000000000000000000"),
    ],
)
def test_a_wrong_string_is_named_with_its_class(rle, reason):
    with pytest.raises(CompetitionError, match=reason) as caught:
        parse_image(["1 1", rle], ["a.csv, x.png, disc", "a.csv, x.png, square"], 9)
    assert "a.csv, x.png, square" in str(caught.value)
