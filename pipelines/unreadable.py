"""Test samples that can't be read: the option that goes on without them, and the words nobody should miss."""

import argparse
from collections.abc import Sequence

from competition.console import shout
from competition.data.manifest import Entry
from competition.text import few

FILL_BAD = "predict black images in their place with --fill-bad"


def add_fill_bad(parser: argparse.ArgumentParser) -> None:
    """Adds --fill-bad."""
    parser.add_argument(
        "--fill-bad", action="store_true", help="take unreadable test samples as black images, which score next to 0"
    )


def shout_unreadable(entries: Sequence[Entry], masked_views: int) -> None:
    """Says what is missing of the test samples, after each was listed with its reason.

    Args:
        entries: All samples that were read.
        masked_views: How many views of test samples could not be read.
    """
    black = [entry.sample for entry in entries if entry.split == "test" and not any(entry.present)]
    if masked_views:
        shout(f"{masked_views} view{'s' * (masked_views > 1)} of test samples can't be read, so masked (listed above)")
    if black:
        shout(f"nothing of {few(black)} can be read: black images are predicted in their place, which score next to 0")
