import pytest

from competition.text import NearKeys, counted, difference, near_pairs


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


def test_each_missing_key_gets_the_stray_one_that_was_meant():
    assert near_pairs(["0010.png", "0011.png", "x"], ["10", "11", "y"]) == {"0010.png": "10", "0011.png": "11"}


def test_a_stray_key_that_fits_two_missing_ones_is_meant_by_neither():
    assert near_pairs(["010", "0010"], ["10"]) == {}


@pytest.mark.parametrize(
    ("written", "meant", "how"),
    [
        ("7", "007", "leading zeros"),
        ("train\\p0.png", "p0.png", "folder"),
        ("train/p0", "p0.png", "folder"),
        ("p0.jpg", "p0.png", "ending"),
        ("P0", "p0", "capital letters"),
        ("a/7.JPG", "007.png", "folder and leading zeros and ending"),
        ("007 ", "007", "spelling"),
    ],
)
def test_what_differs_between_two_spellings_of_a_key(written, meant, how):
    assert difference(written, meant) == how


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, ("row",), "1 row"),
        (0, ("row",), "0 rows"),
        (1200, ("row",), "1,200 rows"),
        (2, ("class", "classes"), "2 classes"),
    ],
)
def test_a_number_has_the_right_plural(number, noun, text):
    assert counted(number, *noun) == text
