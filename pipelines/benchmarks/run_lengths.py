"""Run lengths against the baseline's: encode, decode, vote and score one image of 29 bones, and whole files."""

import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks, unpack_planes
from competition.masks.run_length_text import parse_image
from competition.masks.run_length_votes import quorum, vote
from competition.masks.run_lengths import decode_planes, encode_planes, overlaps
from competition.metrics.counts import dice
from competition.phantoms.hand_bone.anatomy import CLASS_ORDER
from competition.submission.known_images import KnownImages
from competition.submission.run_lengths.files import read_rle_csv, write_rle_csv
from competition.submission.run_lengths.form import RunLengthForm, read_alike, score_rle, vote_on_masks
from competition.text import size_text
from pipelines.benchmarks import rivals
from pipelines.benchmarks.synthetic_images import DRAWN, MEMBERS, draw_masks, draw_submission
from pipelines.benchmarks.timed_pairs import Row, Scale, compare, require_equal, time_pair

TEST_IMAGES = 288  # of the hand-bone competition

T = TypeVar("T")


def measure_encode(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time label planes to strings against the baseline's encoder and against pycocotools, which start from masks."""
    planes, work = pack_masks(masks), f"encode {size_text(masks.shape)}"

    def ours() -> list[str]:
        return encode_planes(planes, len(masks))

    def baseline() -> list[str]:
        return [rivals.encode(mask) for mask in masks]

    rows = [
        compare(f"{work}, baseline", ours, baseline, scale.rounds, 20),
        compare(f"{work}, baseline, ours from masks too", lambda: _strings(masks), baseline, scale.rounds),
    ]
    documented, flipped = (f"{work}, pycocotools {how}" for how in ("as documented", "on transposed views"))
    try:
        decoded = [rivals.decode_coco(rivals.encode_coco(mask)) for mask in masks]
    except CompetitionError as error:
        return [*rows, Row(documented, "s", time_pair(ours, int, 1)[0], None, 50, note=error.what)]
    views = [rivals.decode_coco(rivals.encode_coco_view(mask)).T for mask in masks]
    require_equal(np.array_equal(decoded, masks) and np.array_equal(views, masks), documented)
    as_documented = time_pair(ours, lambda: [rivals.encode_coco(mask) for mask in masks], scale.rounds)
    as_views = time_pair(ours, lambda: [rivals.encode_coco_view(mask) for mask in masks], scale.rounds)
    note = "pycocotools writes its own compressed form, column by column; the decoded masks are equal"
    view_note = "rows read as columns, so that nothing is copied: the fastest use of pycocotools"
    return [
        *rows,
        Row(documented, "s", *as_documented, target=50, note=note),
        Row(flipped, "s", *as_views, note=view_note),
    ]


def measure_decode(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time strings to label planes against the baseline's loop over slices."""
    rles, size_hw = _strings(masks), (masks.shape[1], masks.shape[2])

    def baseline() -> list[NDArray[np.uint8]]:
        return [rivals.decode(rle, size_hw) for rle in rles]

    def equal(planes: NDArray[np.uint8], decoded: list[NDArray[np.uint8]]) -> bool:
        return np.array_equal(unpack_planes(planes, len(masks)), decoded)

    work = f"decode {size_text(masks.shape)} to planes, baseline to masks"
    return [compare(work, partial(decode_planes, rles, size_hw), baseline, scale.rounds, 8, equal)]


def measure_vote(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time a majority of five submissions, strings to strings."""
    size_hw = (masks.shape[1], masks.shape[2])
    members = [_strings(draw_submission(masks, seed)) for seed in range(MEMBERS)]
    majority, names = quorum([Fraction(1)] * MEMBERS, Fraction(1, 2)), [f"member {seed}" for seed in range(MEMBERS)]
    work = f"vote of {MEMBERS} submissions, {size_text(masks.shape)}"
    ours = partial(vote, members, majority, size_hw[0] * size_hw[1], names)
    return [compare(work, ours, lambda: rivals.vote(members, size_hw), scale.rounds, 30)]


def measure_score(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time the Dice of a submission against the truth, from strings."""
    submission, truth = _strings(draw_submission(masks, 0)), _strings(masks)
    size_hw, places = (masks.shape[1], masks.shape[2]), [""] * len(masks)

    def ours() -> list[float]:
        runs = (parse_image(rles, places, size_hw[0] * size_hw[1]) for rles in (submission, truth))
        scores: list[float] = dice(*overlaps(*runs)).tolist()
        return scores

    work = f"score {size_text(masks.shape)}"
    return [compare(work, ours, lambda: rivals.score(submission, truth, size_hw), scale.rounds, 10)]


def measure_submissions(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time vote, score and compare of whole files, reading and writing included; the rival does one image, no file.

    Five submissions of 288 images x 29 bones are voted on, one is scored, two are compared, as the stages do it. The
    files repeat a few hands under other names, because nothing here is cached.
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
            rows = (
                (image, name, rle)
                for number, image in enumerate(names)
                for name, rle in zip(CLASS_ORDER, hands[number % DRAWN], strict=True)
            )
            write_rle_csv(path, rows)

        def vote_on_files() -> None:
            election = quorum([Fraction(1)] * MEMBERS, Fraction(1, 2))
            files = read_alike(paths[:MEMBERS], CLASS_ORDER)
            write_rle_csv(paths[-1], vote_on_masks(paths[:MEMBERS], files, CLASS_ORDER, election, known))

        vote_s, _ = _timed(vote_on_files)
        score_s, score = _timed(lambda: score_rle(paths[0], read_rle_csv(paths[MEMBERS]), CLASS_ORDER, known).score)
        compare_s, _ = _timed(lambda: RunLengthForm().compare(paths[0], paths[1], CLASS_ORDER, known))
        voted = read_rle_csv(paths[-1])
    rival_vote_s, first = _timed(lambda: rivals.vote([hands[0] for hands in members], size_hw))
    rival_scores = [rivals.score(hand, right, size_hw) for hand, right in zip(members[0], truth, strict=True)]
    rival_score_s, _ = _timed(lambda: rivals.score(members[0][0], truth[0], size_hw))
    work = f"{images} x {len(CLASS_ORDER)} rows of {size_text(size_hw)}"
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


def _timed(function: Callable[[], T]) -> tuple[float, T]:
    """Return the processor seconds of one call, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result
