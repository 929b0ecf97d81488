"""What is a number in run lengths, how large an image may be, and what a broken mask costs."""

import subprocess
import sys

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.run_length_text import LARGEST_IMAGE, parse, parse_image
from competition.masks.run_lengths import overlaps

STRANGE = ["0_1", "1_0", "+1", "-1", "1.0", "1e3", "0x1", "\u0661", "\uff11", "\u00b2", "1\u20032", "1\x1c2", "1" * 19]


@pytest.mark.parametrize("word", STRANGE)
@pytest.mark.parametrize("text", ["{} 2", "1 2 5 {}"])
def test_only_ascii_digits_are_a_number(word: str, text: str) -> None:
    for read in (lambda rle: parse(rle, "a.csv"), lambda rle: parse_image(["3 4", rle], ["a.csv"] * 2, None)):
        with pytest.raises(CompetitionError, match=r"is no pixel number: a\.csv") as refused:
            read(text.format(word))
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("rle", [" 1 2", "1 2 ", "1  2", "1\t2", "01 002", "\r\n1 2"])
def test_blanks_and_leading_zeros_do_not_matter(rle: str) -> None:
    assert parse(rle, "").tolist() == [[0, 2]]


@pytest.mark.parametrize("start", [LARGEST_IMAGE, 2**40, 9 * 10**17])
def test_a_start_beyond_any_image_is_refused_where_no_size_is_known(start: int) -> None:
    rles = [f"{start} 1 {start + 5} 2", "1 4"]
    with pytest.raises(CompetitionError, match="no image has more than 2147483648"):
        parse_image(rles, ["a.csv"] * 2, None)
    with pytest.raises(CompetitionError, match="no image has more than 2147483648"):
        parse(f"1 1 {start} 2", "a.csv", relative=True)
    assert parse(f"{LARGEST_IMAGE - 1} 2", "").tolist() == [[LARGEST_IMAGE - 2, LARGEST_IMAGE]]


def test_equal_masks_at_the_end_of_the_largest_image_overlap_in_full() -> None:
    rles = [f"{LARGEST_IMAGE - 9} 5"] * 300  # of so many classes, laid one behind the other
    runs = parse_image(rles, ["a.csv"] * 300, None)
    np.testing.assert_array_equal(overlaps(runs, runs), np.full((3, 300), 5))


BROKEN = """
import resource
from competition.errors import CompetitionError
from competition.masks.run_length_text import parse_image
text = " ".join(f"{start} 1" for start in range(1, 3_000_000, 2)) + " x"
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    parse_image([text], ["a.csv"], None)
except CompetitionError as error:
    assert "'x' in run lengths" in str(error)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_bad_last_word_costs_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, check=True)
    assert int(done.stdout) * (1 if sys.platform == "darwin" else 1024) < 200e6  # 14 MB of text once took 550 MB
