"""Whole submission files: five of 288 images x 29 bones voted on, one scored, two compared, as the stages do it."""

import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from competition.masks.bit_planes import pack_masks
from competition.masks.run_length_votes import quorum
from competition.masks.run_lengths import encode_planes
from competition.phantoms.hand_bone.anatomy import CLASS_ORDER
from competition.submission.known_images import KnownImages
from competition.submission.run_lengths.files import read_rle_csv, write_rle_csv
from competition.submission.run_lengths.form import RunLengthForm, read_alike, vote_on_masks
from competition.submission.run_lengths.scores import score_rle
from pipelines.benchmarks import rivals
from pipelines.benchmarks.drawn_maps import draw_masks, draw_submission
from pipelines.benchmarks.duels import Row, Scale, require_equal

MEMBERS = 5
TEST_IMAGES = 288  # of the hand-bone competition
DRAWN = 4  # hands; the files repeat them under other names, because nothing here remembers what it has seen

T = TypeVar("T")


def measure_submissions(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Votes, scores and compares files, reading and writing them included; the rival does one image and no file.

    Args:
        scale: How large.
        masks: Tell how large an image is.
    """
    images, size_hw = (TEST_IMAGES if scale.full else scale.images[1]), (masks.shape[1], masks.shape[2])
    drawn = [draw_masks(scale.size, seed) for seed in range(DRAWN)]
    members = [[_strings(draw_submission(hand, seed)) for hand in drawn] for seed in range(MEMBERS)]
    truth = [_strings(hand) for hand in drawn]
    names = [f"{number:04d}.png" for number in range(images)]
    known = KnownImages(size_hw=size_hw)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        paths = [Path(folder) / f"{name}.csv" for name in ("A", "B", "C", "D", "E", "truth", "vote")]
        for path, hands in zip(paths, [*members, truth], strict=False):
            _write(path, names, hands)

        def vote() -> None:
            election = quorum([Fraction(1)] * MEMBERS, Fraction(1, 2))
            files = read_alike(paths[:MEMBERS], CLASS_ORDER)
            write_rle_csv(paths[-1], vote_on_masks(paths[:MEMBERS], files, CLASS_ORDER, election, known))

        vote_s, _ = _timed(vote)
        score_s, score = _timed(lambda: score_rle(paths[0], read_rle_csv(paths[MEMBERS]), CLASS_ORDER, known).score)
        compare_s, _ = _timed(lambda: RunLengthForm().compare(paths[0], paths[1], CLASS_ORDER, known))
        voted = read_rle_csv(paths[-1])
    rival_vote_s, first = _timed(lambda: rivals.vote([hands[0] for hands in members], size_hw))
    rival_scores = [rivals.score(hand, right, size_hw) for hand, right in zip(members[0], truth, strict=True)]
    rival_score_s, _ = _timed(lambda: rivals.score(members[0][0], truth[0], size_hw))
    work = f"{images} x {len(CLASS_ORDER)} rows of {size_hw[0]}x{size_hw[1]}"
    of_each_hand = np.bincount(np.arange(images) % DRAWN, minlength=DRAWN)
    expected = float(np.average(np.mean(rival_scores, axis=1), weights=of_each_hand))
    require_equal([voted[names[0], name] for name in CLASS_ORDER] == first and bool(np.isclose(score, expected)), work)
    note = f"files read and written; the rival's one image x {images}, without files"
    return [
        Row(f"vote of {MEMBERS} files, {work}", "s", vote_s, rival_vote_s * images, note=note),
        Row(f"score a file, {work}", "s", score_s, rival_score_s * images, note=note),
        Row(f"compare two files, {work}", "s", compare_s, None),
    ]


def _strings(masks: NDArray[np.bool_]) -> list[str]:
    return encode_planes(pack_masks(masks), len(masks))


def _write(path: Path, names: list[str], hands: list[list[str]]) -> None:
    """A submission of these images, hand after hand and from the first again."""
    rows = (
        (image, name, rle)
        for number, image in enumerate(names)
        for name, rle in zip(CLASS_ORDER, hands[number % DRAWN], strict=True)
    )
    write_rle_csv(path, rows)


def _timed(function: Callable[[], T]) -> tuple[float, T]:
    """Processor seconds of one call, and what it gave."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result
