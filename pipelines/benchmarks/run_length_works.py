"""Run lengths against the baseline's: encode, decode, vote and score, on one image of 29 bones."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks, unpack_planes
from competition.masks.run_length_text import parse_image
from competition.masks.run_length_votes import quorum, vote
from competition.masks.run_lengths import decode_planes, encode_planes, overlaps
from competition.metrics.counts import dice
from pipelines.benchmarks import rivals
from pipelines.benchmarks.drawn_maps import draw_submission
from pipelines.benchmarks.duels import Row, Scale, duel, require_equal

MEMBERS = 5


def measure_encode(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Label planes to strings against the baseline's encoder and against pycocotools, which start from masks."""
    classes, planes = len(masks), pack_masks(masks)
    work = f"encode {_shape(masks)}"

    def ours() -> list[str]:
        return encode_planes(planes, classes)

    def packed() -> list[str]:
        return encode_planes(pack_masks(masks), classes)

    def baseline() -> list[str]:
        return [rivals.encode(mask) for mask in masks]

    require_equal(ours() == baseline() and packed() == baseline(), work)
    rows = [
        Row(f"{work}, baseline", "s", *duel(ours, baseline, scale.rounds), target=20),
        Row(f"{work}, baseline, ours from masks too", "s", *duel(packed, baseline, scale.rounds)),
    ]
    return rows + _against_coco(scale, masks, planes, work)


def _against_coco(scale: Scale, masks: NDArray[np.bool_], planes: NDArray[np.uint8], work: str) -> list[Row]:
    classes = len(masks)
    columns, flipped = (f"{work}, pycocotools {how}" for how in ("as documented", "on transposed views"))
    try:
        documented = [rivals.decode_coco(rivals.encode_coco(mask)) for mask in masks]
    except CompetitionError as error:
        return [Row(columns, "s", duel(lambda: encode_planes(planes, classes), int, 1)[0], None, 50, note=error.what)]
    views = [rivals.decode_coco(rivals.encode_coco_view(mask)).T for mask in masks]
    require_equal(np.array_equal(documented, masks) and np.array_equal(views, masks), columns)

    def ours() -> list[str]:
        return encode_planes(planes, classes)

    return [
        Row(
            columns,
            "s",
            *duel(ours, lambda: [rivals.encode_coco(mask) for mask in masks], scale.rounds),
            target=50,
            note="pycocotools writes its own compressed form, column by column; equal masks come back",
        ),
        Row(
            flipped,
            "s",
            *duel(ours, lambda: [rivals.encode_coco_view(mask) for mask in masks], scale.rounds),
            note="rows read as columns, so that nothing is copied: the fastest that pycocotools can be",
        ),
    ]


def measure_decode(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Strings to label planes against the baseline's loop over slices."""
    classes, size_hw = len(masks), (masks.shape[1], masks.shape[2])
    rles = encode_planes(pack_masks(masks), classes)

    def ours() -> NDArray[np.uint8]:
        return decode_planes(rles, size_hw)

    def rival() -> list[NDArray[np.uint8]]:
        return [rivals.decode(rle, size_hw) for rle in rles]

    work = f"decode {_shape(masks)} to planes, baseline to masks"
    require_equal(np.array_equal(unpack_planes(ours(), classes), rival()), work)
    return [Row(work, "s", *duel(ours, rival, scale.rounds), target=8)]


def measure_vote(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Return a majority of five submissions, strings to strings."""
    size_hw = (masks.shape[1], masks.shape[2])
    members = [encode_planes(pack_masks(draw_submission(masks, seed)), len(masks)) for seed in range(MEMBERS)]
    majority, names = quorum([Fraction(1)] * MEMBERS, Fraction(1, 2)), [f"member {seed}" for seed in range(MEMBERS)]

    def ours() -> list[str]:
        return vote(members, majority, size_hw[0] * size_hw[1], names)

    def rival() -> list[str]:
        return rivals.vote(members, size_hw)

    work = f"vote of {MEMBERS} submissions, {_shape(masks)}"
    require_equal(ours() == rival(), work)
    return [Row(work, "s", *duel(ours, rival, scale.rounds), target=30)]


def measure_score(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Dice of a submission against the truth, from strings."""
    classes, size_hw = len(masks), (masks.shape[1], masks.shape[2])
    submission, truth = (encode_planes(pack_masks(side), classes) for side in (draw_submission(masks, 0), masks))
    pixels, places = size_hw[0] * size_hw[1], [""] * classes

    def ours() -> list[float]:
        runs = (parse_image(rles, places, pixels) for rles in (submission, truth))
        scores: list[float] = dice(*overlaps(*runs)).tolist()
        return scores

    def rival() -> list[float]:
        return rivals.score(submission, truth, size_hw)

    work = f"score {_shape(masks)}"
    require_equal(ours() == rival(), work)
    return [Row(work, "s", *duel(ours, rival, scale.rounds), target=10)]


def _shape(masks: NDArray[np.bool_]) -> str:
    return "x".join(map(str, masks.shape))
