import pytest

from competition.text import NearKeys


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("7", "007"),
        ("0007", "007"),
        ("train/images/007.png", "007"),
        ("train\\images\\007", "007"),
        (" 007 ", "007"),
        ("007.DCM", "007"),
        ("HAND_A", "hand_a"),
        ("한글", "한글"),
        ("0", "000"),
    ],
)
def test_another_spelling_of_a_key_is_found(written, meant):
    assert NearKeys(["007", "hand_a", "한글", "000", "other"]).find(written) == meant


def test_a_key_with_an_ending_is_found_from_one_without():
    assert NearKeys(["hand.png"]).hint("hand.jpg") == ", did you mean 'hand.png'?"


def test_a_key_near_to_two_known_ones_gives_no_guess():
    near = NearKeys(["07", "7"])
    assert near.find("007") is None
    assert near.hint("007") == ""


def test_a_stranger_is_near_to_nothing():
    assert NearKeys(["007"]).find("hand") is None
    assert NearKeys([]).find("") is None
